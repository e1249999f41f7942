//! The edge to the kernel: rules are committed only here, and read back after every commit.
//!
//! There are up to two layers, which hold the same rules. A packet has to pass both. A change therefore goes
//! to both at once, except the rules of a pause, which go to iptables first. During the change no more may
//! pass than before it or after it. If one layer or one family refuses the change, it is taken back in all
//! of them (`change.rs`).

mod absent;
mod arp;
mod before;
mod change;
mod comparison;
mod family;
mod fewer_modules;
mod iptables;
mod listing;
mod mark;
mod misplaced;
pub(crate) mod nftables;
mod outcome;
mod plan;
mod policies;
mod reading;
mod release;
mod routing;
mod saved;
pub(crate) mod saved_set;
mod sets;
mod tool;

pub use arp::{ArpError, hide_tunnel_addresses, restore_arp};
pub use before::{Dump, forget_article, has_rules};
pub use listing::{RulesError, rules};
pub use nftables::KernelError;
pub use outcome::{Commit, FirewallError, WIRES_HELD, WIRES_OPEN};
pub use policies::{Kept, note_forward};
pub use release::{LeftChain, Released, StillClosed};
pub use routing::RoutingError;
pub use saved::{Saved, SavedError, SavedTable, canonical};
pub use sets::{SetError, can_hold_sets};
pub use tool::{ToolError, iptables_program, other_backend, transactions};

use jiff::Timestamp;

use crate::config::{self, Layer};
use crate::describe::describe;
use crate::policy::Ruleset;
use iptables::Iptables;
use nftables::{Lacks, Nftables};
use outcome::Trust;

/// The layers that the configuration names.
#[derive(Debug)]
pub struct Firewall {
    config: config::FirewallSettings,
    iptables: Option<Iptables>,
    nftables: Option<Nftables>,
    /// Whether a layer that the configuration no longer names may still be in force.
    leftovers: Leftovers,
    /// Whether routing may be shut, by a failed commit of this process or of an earlier one.
    routes: Routes,
    last: Vec<LayerReport>,
    /// The rules that every layer held when it was last read.
    held: Option<Ruleset>,
    /// When the rules of a pause end that the nftables layer may hold.
    pause_ends: Option<Timestamp>,
    run: Run,
}

/// How long the process that changes the rules runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// It changes the rules once and ends. A user or the boot waits for it.
    Once,
    /// It runs until it is stopped: the agent.
    Agent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Routes {
    MaybeShut,
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftovers {
    Possible,
    None,
    /// Our rules were in this backend of iptables, which the configuration does not name.
    Removed(&'static str),
}

/// One layer, as it was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerReport {
    /// The layer.
    pub layer: Layer,
    /// What it held.
    pub found: LayerFound,
    /// What it cannot do on this system, as text for people.
    pub lacks: Option<String>,
    /// Whether this process owns its tables or a copy, so that a flush by another program leaves the rules in force.
    pub owned: bool,
}

/// What a layer was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerFound {
    /// The rules.
    Rules,
    /// Other rules, or none.
    Other,
    /// Not the rules. What was refused is closed completely, with all its wires.
    Closed,
    /// It could not be read. The text says why.
    Unread(String),
}

impl LayerReport {
    /// Whether it judges every frame that leaves on a wire.
    pub fn holds_wires(&self) -> bool {
        let holds = matches!(self.found, LayerFound::Rules | LayerFound::Closed);
        self.layer == Layer::Nftables && holds && self.lacks.is_none()
    }
}

impl LayerFound {
    fn after_commit(result: Result<Option<&Commit>, &FirewallError>) -> Self {
        match result {
            Ok(Some(Commit::Unread(why))) => Self::Unread(why.clone()),
            Ok(Some(_)) => Self::Rules,
            Err(why) if why.is_unread() => Self::Unread(describe(why)),
            Ok(None) | Err(_) => Self::Other,
        }
    }

    /// What a layer that was found to hold this holds after the last resort had this result.
    fn after_close(self, result: &Result<Option<Commit>, FirewallError>) -> Self {
        match result {
            Err(FirewallError::ClosedCompletely(_)) => Self::Closed,
            Ok(_) | Err(_) => self,
        }
    }

    fn after_look(result: &Result<Vec<String>, FirewallError>) -> Self {
        match result {
            Ok(lines) if lines.is_empty() => Self::Rules,
            Ok(_) => Self::Other,
            Err(why) => Self::Unread(describe(why)),
        }
    }
}

impl Firewall {
    /// The layers of a configuration. What the kernel holds is not known yet.
    pub fn new(config: &config::FirewallSettings) -> Self {
        let named = |layer| config.layers.contains(&layer);
        Self {
            iptables: named(Layer::Iptables).then(|| Iptables::new(config.backend)),
            nftables: named(Layer::Nftables).then(Nftables::new),
            config: config.clone(),
            leftovers: Leftovers::Possible,
            routes: Routes::MaybeShut,
            last: Vec::new(),
            held: None,
            pause_ends: None,
            run: Run::Once,
        }
    }

    /// The same for the agent, which keeps running: it owns its tables where the kernel allows it.
    pub fn of_agent(config: &config::FirewallSettings) -> Self {
        let firewall = Self::new(config);
        Self { nftables: firewall.nftables.map(|_| Nftables::of_agent()), run: Run::Agent, ..firewall }
    }

    /// When this process tries again what the kernel refused besides the rules: to own its tables, the
    /// egress hook, and answers to refused senders. The next commit from then on does it.
    pub fn due(&self) -> Option<tokio::time::Instant> {
        self.nftables.as_ref().and_then(Nftables::due)
    }

    /// Gives up ownership. The tables stay as they are, and another process can change them.
    pub async fn give_up_ownership(&mut self) {
        if let Some(nftables) = &mut self.nftables {
            nftables.give_up_ownership().await;
        }
    }

    /// Whether the kernel does not report changes of the rules by other programs.
    pub fn is_unreported(&self) -> bool {
        self.iptables.as_ref().is_some_and(Iptables::is_unreported)
    }

    /// Which rules are in force in another form, or in fewer layers, than configured.
    pub fn warning(&self) -> Option<String> {
        let iptables = self.iptables.as_ref().and_then(Iptables::warning).map(ToOwned::to_owned);
        let missing_answers =
            self.nftables.as_ref().and_then(Nftables::missing_answers).map(ToOwned::to_owned);
        let lacks = self.last.iter().filter_map(|layer| layer.lacks.clone());
        let all: Vec<String> = iptables.into_iter().chain(missing_answers).chain(lacks).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// The caller found no difference between `ruleset` and the kernel.
    pub fn holds(&mut self, ruleset: Ruleset) {
        if let Some(nftables) = &mut self.nftables {
            nftables.holds();
        }
        if let Some(iptables) = &mut self.iptables {
            iptables.holds(ruleset.clone());
        }
        self.pause_ends = ruleset.paused_until();
        self.held = Some(ruleset);
    }

    /// The rules that every layer holds, if the last commit left rules in force that are known.
    pub fn held(&self) -> Option<&Ruleset> {
        self.held.as_ref()
    }

    /// Makes the next commit read everything first, because another program may have changed something.
    pub fn require_full_read(&mut self) {
        if let Some(iptables) = &mut self.iptables {
            iptables.require_full_read();
        }
        if let Some(nftables) = &mut self.nftables {
            nftables.require_full_read();
        }
    }

    /// A commit was given up in the middle of it, so it is not known what the kernel holds.
    pub fn abandon(&mut self) {
        self.held = None;
        self.require_full_read();
        if let Some(nftables) = &mut self.nftables {
            nftables.abandon();
        }
    }

    /// Every difference between `ruleset` and what the kernel holds, one line each.
    ///
    /// # Errors
    /// When the kernel cannot be read. Then it is not known whether there are differences.
    pub async fn differences(&mut self, ruleset: &Ruleset) -> Result<Vec<String>, FirewallError> {
        let (iptables, nftables) = tokio::join!(
            async {
                match &self.iptables {
                    Some(iptables) => iptables.differences(ruleset).await,
                    None => Ok(Vec::new()),
                }
            },
            async {
                match &mut self.nftables {
                    Some(nftables) => nftables.differences(ruleset).await,
                    None => Ok(Vec::new()),
                }
            },
        );
        self.report_layers(LayerFound::after_look(&iptables), LayerFound::after_look(&nftables));
        let lines = [iptables?, nftables?].concat();
        if self.iptables.is_none()
            && lines.is_empty()
            && self.last.iter().all(|layer| layer.found != LayerFound::Rules)
        {
            return Err(FirewallError::NoLayer(self.why_none()));
        }
        Ok(lines)
    }

    /// Each layer that the configuration names, as it was last read.
    pub fn layers(&self) -> &[LayerReport] {
        &self.last
    }

    /// Removes everything of ours from the kernel, in every layer. Policies go back to what they were before
    /// our rules came. Returns what stays.
    ///
    /// # Errors
    /// When one layer could not be released. The other one is released all the same.
    pub async fn release(&mut self) -> Result<Released, FirewallError> {
        let backend = self.config.backend;
        let iptables = self.iptables.get_or_insert_with(|| Iptables::new(backend));
        let nftables = self.nftables.get_or_insert_with(Nftables::new);
        let (stays, released) = tokio::join!(iptables.release(), nftables.release());
        released?;
        let stays = stays?;
        routing::open().await?;
        Ok(stays)
    }

    /// Removes everything of ours as [`Firewall::release`] does, and restores what iptables held before. The
    /// restore comes first: if that firewall was closed, nothing is open in between.
    ///
    /// # Errors
    /// If the restore fails, our rules stay. If a part of our rules cannot be removed, that part still refuses
    /// packets.
    pub async fn restore_earlier(&mut self, before: &Dump) -> Result<(), FirewallError> {
        before.put_back(config::Backend::Auto).await?;
        iptables::release_sets().await?;
        self.nftables.get_or_insert_with(Nftables::new).release().await?;
        Ok(routing::open().await?)
    }

    /// Says that our rules were removed from the other backend of iptables. They refused packets until then.
    pub fn removed_backend(&self) -> Option<String> {
        match self.leftovers {
            Leftovers::Removed(word) => Some(format!(
                "rules of tunwarden were in iptables-{word}, which firewall.backend does not name; they are removed"
            )),
            Leftovers::Possible | Leftovers::None => None,
        }
    }

    /// Removes a layer that the configuration no longer names. If that fails, it stays: it refuses packets,
    /// and lets none out.
    async fn remove_leftovers(&mut self) {
        if self.leftovers != Leftovers::Possible {
            return;
        }
        self.leftovers = Leftovers::None;
        let released = match (&self.iptables, &self.nftables) {
            (Some(iptables), Some(_)) => iptables.release_other_backend().await,
            (None, _) => Iptables::new(self.config.backend).release().await.map(|_| None),
            (Some(iptables), None) => match Nftables::new().release().await {
                Ok(()) => iptables.release_other_backend().await,
                Err(error) => Err(error),
            },
        };
        if let Ok(Some(word)) = released {
            self.leftovers = Leftovers::Removed(word);
        }
        if let Some(said) = self.removed_backend() {
            tracing::info!("{said}");
        }
        if let Err(error) = released {
            tracing::warn!(
                "a layer or backend that the configuration no longer names may still refuse packets: {}",
                describe(&error)
            );
        }
    }

    fn report_layers(&mut self, iptables: LayerFound, nftables: LayerFound) {
        let of_iptables = self.iptables.as_ref().map(|_| LayerReport {
            layer: Layer::Iptables,
            found: iptables,
            lacks: None,
            owned: false,
        });
        let of_nftables = self.nftables.as_ref().map(|layer| {
            let (found, lacks) = match layer.lacks() {
                Lacks::Nothing => (nftables, layer.unhooked()),
                Lacks::Wires(why) => (nftables, Some(why.clone())),
                Lacks::Everything(why) => (LayerFound::Other, Some(why.clone())),
            };
            LayerReport { layer: Layer::Nftables, found, lacks, owned: layer.is_owned() }
        });
        self.last = of_iptables.into_iter().chain(of_nftables).collect();
    }

    fn why_none(&self) -> String {
        let why = self.last.iter().filter_map(|layer| layer.lacks.clone());
        why.collect::<Vec<_>>().join("; ")
    }
}
