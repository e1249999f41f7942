//! The change from the rules in force to other rules: in all layers and both families, or in none.

use std::time::Duration;

use jiff::Timestamp;

use super::iptables::{Iptables, Order, Refusal};
use super::nftables::Nftables;
use super::outcome::{LayerResult, together};
use super::{Commit, Firewall, FirewallError, KernelError, LayerFound, Routes, Run, routing};
use crate::config::Layer;
use crate::describe::describe;
use crate::policy::Ruleset;
use crate::system;

/// How long nf_tables may take to close, if somebody waits for it. iptables closes at the same time.
const CLOSING: Duration = Duration::from_secs(20);

impl Firewall {
    /// Puts `ruleset` in force in every layer and reads it back. Writes only what has to change. Removes a
    /// layer that the configuration does not name, after the others hold the rules.
    ///
    /// If a layer or a family refuses, all of them go back to the rules before, if those rules are safe in
    /// place of `ruleset` ([`Ruleset::may_replace`]). Otherwise the layer or family that refused is closed
    /// completely.
    ///
    /// # Errors
    /// See [`FirewallError`]. [`FirewallError::is_open`] and [`FirewallError::is_open_on_wires`] say what may
    /// leave in clear.
    pub async fn commit(&mut self, ruleset: &Ruleset) -> Result<Commit, FirewallError> {
        let before = self.held.take().filter(|before| before.may_replace(ruleset));
        self.commit_or_go_back(ruleset, before).await
    }

    /// The same for a change that somebody asks for in an unchanged situation. If the kernel refuses, the
    /// rules before are as safe as they were, unless they are the rules of a pause.
    ///
    /// # Errors
    /// As [`Firewall::commit`], and [`FirewallError::NotOpened`].
    pub async fn try_commit(&mut self, ruleset: &Ruleset) -> Result<Commit, FirewallError> {
        let repaired =
            if ruleset.is_paused() { self.repair_before_pause().await? } else { Commit::AsPlanned };
        let before = self.held.take().filter(|before| !before.is_paused());
        if ruleset.is_paused() && before.is_some() {
            // Every layer and family takes the rules of the pause before one of them opens. A kernel that
            // refuses them, or a program that hangs, shows here, where nothing is open.
            self.put_or_go_back(&ruleset.trial(), before.clone(), Order::AtOnce).await?;
        }
        self.commit_or_go_back(ruleset, before).await.map(|commit| repaired.and(commit))
    }

    async fn commit_or_go_back(
        &mut self,
        ruleset: &Ruleset,
        before: Option<Ruleset>,
    ) -> Result<Commit, FirewallError> {
        // A pause opens. No family opens alone, and nf_tables, which refuses more, opens last.
        let order = match ruleset.is_paused() {
            true => Order::InTurn,
            false => Order::AtOnce,
        };
        self.put_or_go_back(ruleset, before, order).await
    }

    async fn put_or_go_back(
        &mut self,
        ruleset: &Ruleset,
        before: Option<Ruleset>,
        order: Order,
    ) -> Result<Commit, FirewallError> {
        let mut outcome = self.put(ruleset, order).await;
        if outcome.is_refused()
            && let Some(before) = before
        {
            let why = outcome.into_why();
            self.require_full_read();
            outcome = self.put(&before, Order::AtOnce).await;
            // If the rules are the same, the second attempt has put them in force.
            if !outcome.is_refused() && before != *ruleset {
                self.report(&outcome);
                if let Some(unread) = outcome.unread() {
                    return Err(FirewallError::Unread(unread));
                }
                self.held = Some(before);
                return Err(FirewallError::Kept(Box::new(why)));
            }
            if outcome.is_refused() {
                tracing::warn!("{}; and the rules before cannot be restored", describe(&why));
            }
        }
        let commit = match self.close(ruleset, outcome).await {
            Ok(Some(Commit::Unread(why))) => Err(FirewallError::Unread(why)),
            Ok(Some(commit)) => Ok(commit),
            Ok(None) => Err(FirewallError::NoLayer(self.why_none())),
            Err(why) => Err(why),
        };
        let commit = match commit {
            Ok(commit) => commit,
            Err(why) => {
                let why = self.with_open_wires(why);
                return Err(self.close_routes(why).await);
            }
        };
        self.held = Some(ruleset.clone());
        self.remove_leftovers().await;
        self.open_routes().await;
        Ok(commit)
    }

    /// A pause begins only from rules that are known and were just read. A family that cannot be read or
    /// changed is found before another one is open.
    async fn repair_before_pause(&mut self) -> Result<Commit, FirewallError> {
        let Some(held) = self.held.clone() else {
            return Err(FirewallError::NotOpened("it is not known which rules are in force".to_owned()));
        };
        match self.differences(&held).await {
            Ok(lines) if lines.is_empty() => Ok(Commit::AsPlanned),
            Ok(_) => {
                self.require_full_read();
                self.commit_or_go_back(&held, None).await
            }
            Err(why) => Err(FirewallError::NotOpened(describe(&why))),
        }
    }

    async fn put(&mut self, ruleset: &Ruleset, order: Order) -> Outcome {
        let timeout = self.timeout(ruleset);
        let iptables = commit_iptables(self.iptables.as_mut(), ruleset, order);
        let nftables = commit_nftables(self.nftables.as_mut(), ruleset, timeout);
        let outcome = match order {
            Order::AtOnce => {
                // nf_tables begins, because it closes within milliseconds.
                let (nftables, iptables) = tokio::join!(nftables, iptables);
                Outcome { iptables, nftables }
            }
            Order::InTurn => match iptables.await {
                Ok(commit) => Outcome { iptables: Ok(commit), nftables: nftables.await },
                refused => Outcome { iptables: refused, nftables: Ok(None) },
            },
        };
        match ruleset.paused_until() {
            // The rules of a trial open nothing.
            Some(ends) if !is_in_future(ends) => {}
            Some(ends) => self.pause_ends = self.pause_ends.max(Some(ends)),
            None if outcome.nftables.is_ok() => self.pause_ends = None,
            None => {}
        }
        outcome
    }

    /// How long nf_tables may take for these rules. Somebody waits for an answer while the other layer is closed
    /// already.
    fn timeout(&self, ruleset: &Ruleset) -> Option<Duration> {
        let closes = !ruleset.is_paused() && self.pause_ends.is_some();
        (self.run == Run::Once || closes).then_some(CLOSING)
    }

    /// A layer that was not closed may still hold the rules of a pause.
    fn with_open_wires(&self, why: FirewallError) -> FirewallError {
        match (why, self.pause_ends) {
            (FirewallError::OneLayer { layer: Layer::Nftables, source }, Some(until))
                if is_in_future(until) =>
            {
                FirewallError::WiresOpen { until, source }
            }
            (why, _) => why,
        }
    }

    /// Closes every layer and family that refused, and reports what each layer holds then.
    async fn close(&mut self, ruleset: &Ruleset, outcome: Outcome) -> LayerResult {
        let (of_iptables, of_nftables) = outcome.found();
        let iptables = match (outcome.iptables, &mut self.iptables) {
            (Err(refusal), Some(layer)) => Err(layer.close(refusal).await),
            (Err(refusal), None) => Err(refusal.into_why()),
            (Ok(commit), _) => Ok(commit),
        };
        let nftables = match (outcome.nftables, &mut self.nftables) {
            (Err(why), Some(layer)) => Err(layer.close(ruleset, why).await),
            (result, _) => result,
        };
        if matches!(nftables, Err(FirewallError::ClosedCompletely(_))) {
            self.pause_ends = None;
        }
        self.report_layers(of_iptables.after_close(&iptables), of_nftables.after_close(&nftables));
        together(iptables, nftables)
    }

    /// Closes by routing what `why` leaves open.
    async fn close_routes(&mut self, why: FirewallError) -> FirewallError {
        let families = why.open_families();
        if families.is_empty() {
            // Routing that is shut stays shut until rules were read that close.
            if !why.is_unread() {
                self.open_routes().await;
            }
            return why;
        }
        self.routes = Routes::MaybeShut;
        match routing::prohibit(&families).await {
            Ok(()) => FirewallError::ClosedByRouting { families, source: Box::new(why) },
            Err(error) => {
                tracing::error!("{}", describe(&error));
                why
            }
        }
    }

    /// Opens routing again: the rules are in force.
    async fn open_routes(&mut self) {
        if self.routes == Routes::Open {
            return;
        }
        match routing::open().await {
            Ok(()) => self.routes = Routes::Open,
            Err(error) => tracing::warn!("{}: nothing may be routed yet", describe(&error)),
        }
    }

    fn report(&mut self, outcome: &Outcome) {
        let (iptables, nftables) = outcome.found();
        self.report_layers(iptables, nftables);
    }
}

fn is_in_future(moment: Timestamp) -> bool {
    u64::try_from(moment.as_second()).is_ok_and(|moment| moment > system::now())
}

/// The result of a commit in each layer; `None` if there is no such layer.
struct Outcome {
    iptables: Result<Option<Commit>, Refusal>,
    nftables: LayerResult,
}

impl Outcome {
    /// What each layer holds, before anything is closed.
    fn found(&self) -> (LayerFound, LayerFound) {
        let iptables = self.iptables.as_ref().map(Option::as_ref).map_err(Refusal::why);
        let nftables = self.nftables.as_ref().map(Option::as_ref);
        (LayerFound::after_commit(iptables), LayerFound::after_commit(nftables))
    }

    fn is_refused(&self) -> bool {
        self.iptables.is_err() || self.nftables.is_err()
    }

    /// Why the rules of a layer that took them cannot be read.
    fn unread(&self) -> Option<String> {
        let iptables = self.iptables.as_ref().ok().and_then(Option::as_ref);
        let nftables = self.nftables.as_ref().ok().and_then(Option::as_ref);
        [iptables, nftables].into_iter().flatten().find_map(Commit::unread).map(ToOwned::to_owned)
    }

    /// Why a layer refused.
    fn into_why(self) -> FirewallError {
        match (self.iptables, self.nftables) {
            (Err(refusal), _) => refusal.into_why(),
            (Ok(_), Err(why)) => why,
            (Ok(_), Ok(_)) => FirewallError::Differs(Vec::new()),
        }
    }
}

async fn commit_iptables(
    layer: Option<&mut Iptables>,
    ruleset: &Ruleset,
    order: Order,
) -> Result<Option<Commit>, Refusal> {
    match layer {
        Some(layer) => layer.commit(ruleset, order).await.map(Some),
        None => Ok(None),
    }
}

async fn commit_nftables(
    layer: Option<&mut Nftables>,
    ruleset: &Ruleset,
    timeout: Option<Duration>,
) -> LayerResult {
    let Some(layer) = layer else { return Ok(None) };
    let Some(timeout) = timeout else { return layer.commit(ruleset).await };
    match tokio::time::timeout(timeout, layer.commit(ruleset)).await {
        Ok(result) => result,
        Err(_) => {
            layer.abandon();
            Err(KernelError::TimedOut(timeout).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::config::Config;
    use crate::firewall::nftables::in_worker;
    use crate::policy::last_resort;

    /// The thread for nf_tables is blocked, in place of the kernel: no work of it begins.
    #[test]
    fn a_layer_that_does_not_answer_in_time_is_given_up_and_then_read_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (begun, has_begun) = mpsc::channel();
            let (end, ends) = mpsc::channel::<()>();
            let stuck = tokio::spawn(in_worker(move || {
                begun.send(()).unwrap();
                ends.recv().unwrap();
                Ok(())
            }));
            tokio::task::yield_now().await;
            has_begun.recv().unwrap();
            let mut layer = Nftables::new();
            let limit = Duration::from_millis(10);
            let given_up = commit_nftables(Some(&mut layer), &last_resort(), Some(limit)).await;
            let error = given_up.unwrap_err();
            assert!(
                matches!(&error, FirewallError::Nftables(KernelError::TimedOut(after)) if *after == limit)
            );
            // The caller does not wait for it once more to close it.
            let closed = layer.close(&last_resort(), error).await;
            assert!(!closed.open_families().is_empty(), "it says that it is closed: {closed}");
            end.send(()).unwrap();
            stuck.await.unwrap().unwrap();
        });
    }

    #[test]
    fn lock_and_the_end_of_a_pause_wait_for_nf_tables_for_a_limited_time() {
        let config = Config::default().firewall;
        let locked = last_resort();
        assert_eq!(Firewall::new(&config).timeout(&locked), Some(CLOSING));
        let mut agent = Firewall::of_agent(&config);
        assert_eq!(agent.timeout(&locked), None, "nobody waits for it");
        agent.pause_ends = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(agent.timeout(&locked), Some(CLOSING));
    }
}
