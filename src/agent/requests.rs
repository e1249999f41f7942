//! Requests: from callers on the bus, and by SIGHUP.

use sd_notify::NotifyState;

use super::drift::Read;
use super::owners::owners;
use super::receiver::is_accepted;
use super::verifications::Callers;
use super::{Agent, describe};
use crate::bus::{Answer, Request, Verified};
use crate::config::Config;
use crate::effects::reconnect::ReconnectScope;
use crate::effects::systemd::notify;
use crate::firewall::{Firewall, FirewallError};
use crate::policy::{self, Ruleset};
use crate::system;
use crate::vpn::Event;

impl Agent {
    pub(super) async fn answer(&mut self, request: Request) {
        match request {
            Request::Pause(seconds, scope, by, answer) => {
                let result = self.pause(seconds, scope, by).await;
                let _ = answer.send(result);
            }
            Request::Resume(by, answer) => {
                let result = self.resume(by).await;
                let _ = answer.send(result);
            }
            Request::Reload(answer) => {
                let result = self.reload().await;
                let _ = answer.send(result);
            }
            Request::Verify(by, answer) => self.verifications.request(by.uid, answer),
            Request::Reconnect(answer) => match self.machine.reconnect_target() {
                Ok(reconnect_target) if self.machine.carries(&reconnect_target) => {
                    let _ = answer.send(Ok(()));
                }
                Ok(reconnect_target) => {
                    self.reconnect(reconnect_target, ReconnectScope::Everything, Some(answer))
                }
                Err(error) => {
                    let _ = answer.send(Err(error.to_string()));
                }
            },
            // OpenVPN waits for its hook. The hook is answered before the rules change.
            Request::Report(dated, reporter, answer) => {
                if is_accepted(&self.machine, &dated, &reporter, answer) {
                    self.take_report(dated, reporter);
                    self.enforce().await;
                }
            }
        }
    }

    pub(super) fn in_force(&self) -> Answer {
        match self.rules.are_enforced() {
            true => Ok(()),
            false => Err(format!(
                "{}; the agent tries again; see: journalctl -u tunwarden",
                self.rules.failure().unwrap_or("the rules could not be put in force")
            )),
        }
    }

    pub(super) async fn reload_on_signal(&mut self) {
        // `Type=notify-reload` waits for the time as well (sd_notify(3)).
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(_) => notify(&[NotifyState::Reloading]),
        }
        if let Err(error) = self.reload().await {
            tracing::error!("the configuration was refused, the old one stays in force:\n{error}");
        }
        notify(&[NotifyState::Ready]);
    }

    async fn reload(&mut self) -> Answer {
        let written = match (self.configuration.load)() {
            Ok(written) => written,
            Err(faults) => {
                self.configuration.refuse(&faults);
                self.announce().await;
                return Err(faults.to_string());
            }
        };
        let config = written.config.clone();
        let owners = owners(&config);
        let mut machine = self.machine.clone();
        machine.step(Event::Config(Box::new(config.clone())), system::now());
        let ruleset = policy::ruleset(&config, &owners, &machine.situation());
        if let Err(refused) = self.try_configured(&config, ruleset).await {
            let why = self.restore(&refused).await;
            return Err(format!("the kernel refuses its rules, the old configuration stays in force: {why}"));
        }
        tracing::info!("the configuration was read again");
        self.configuration.accept(&written);
        self.owners.current = owners;
        self.take(Event::Config(Box::new(config)));
        self.enforce().await;
        self.in_force()
    }

    /// Puts the rules of another configuration in force, in the layers that the configuration names.
    async fn try_configured(&mut self, config: &Config, ruleset: Ruleset) -> Result<(), FirewallError> {
        let old = self.machine.config().firewall.clone();
        if config.firewall == old {
            return self.try_rules(ruleset).await;
        }
        self.receiver.run(&self.machine, self.rules.firewall.give_up_ownership()).await;
        self.rules.firewall = Firewall::of_agent(&config.firewall);
        self.rules.applied = None;
        let result = self.try_rules(ruleset).await;
        if result.is_err() {
            self.receiver.run(&self.machine, self.rules.firewall.give_up_ownership()).await;
            self.rules.firewall = Firewall::of_agent(&old);
        }
        result
    }

    /// Compares the kernel with the rules once, for all callers who wait.
    pub(super) async fn verify_for_all(&mut self) {
        let Callers { waiting, root } = self.verifications.take_callers();
        // The rules differ after a commit that failed. An ordinary user must not make the agent repeat it.
        let result = match self.rules.failure() {
            Some(why) if !root => Err(why.to_owned()),
            Some(_) | None => self.verify().await,
        };
        tracing::debug!("looked at the kernel for {} callers", waiting.len());
        for answer in waiting {
            let _ = answer.send(result.clone());
        }
    }

    /// Compares the kernel with the rules, and repairs what differs.
    async fn verify(&mut self) -> Verified {
        let ruleset = policy::ruleset(self.machine.config(), &self.owners.current, &self.machine.situation());
        let lines = self.receiver.run(&self.machine, self.rules.firewall.differences(&ruleset)).await;
        let pending = self.announcer.status.borrow().pending.clone();
        if pending != self.rules.pending {
            // The slow program has ended, and the status still says that it runs.
            self.announce().await;
        }
        let lines = lines.map_err(|error| describe(&error))?;
        if !lines.is_empty() {
            tracing::warn!("the kernel did not hold the rules: {}", lines.join("; "));
            self.rules.next_read = Read::Everything;
            self.enforce().await;
        }
        Ok(lines)
    }
}
