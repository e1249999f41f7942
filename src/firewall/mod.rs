//! The edge to the kernel: rules are committed here and nowhere else, and read back every time.
//!
//! There may be two layers of them, made of the same rules. A packet has to pass each one, so a change
//! goes to both at once: what is in force meanwhile is no wider than the rules before or the rules
//! after. A change that one layer or one family refuses is taken back in all of them.

mod absent;
mod arp;
mod before;
mod change;
mod family;
mod iptables;
pub(crate) mod nftables;
mod outcome;
mod plan;
mod reading;
mod routing;
mod saved;
pub(crate) mod saved_set;
mod sets;
mod tool;

pub use arp::{ArpError, hide_tunnel_addresses, restore_arp};
pub use before::{Dump, forget_article, holds_any};
pub use nftables::ListingError;
pub use outcome::{Commit, FirewallError};
pub use routing::RoutingError;
pub use saved::{Saved, SavedError, SavedTable, canonical};
pub use sets::{SetError, can_hold_sets};
pub use tool::{ToolError, iptables_program, transactions};

use crate::config::{self, Layer};
use crate::describe::describe;
use crate::net::Family;
use crate::policy::Ruleset;
use iptables::Iptables;
use nftables::{Lacks, Nftables};
use outcome::Trust;

/// Every layer that the configuration names.
#[derive(Debug)]
pub struct Firewall {
    config: config::Firewall,
    iptables: Option<Iptables>,
    nftables: Option<Nftables>,
    /// Whether a layer that is not named may still be in force from before.
    leftovers: Leftovers,
    /// Whether a commit that failed, ours or a forerunner's, has left no way out.
    routes: Routes,
    last: Vec<LayerReport>,
    /// What every layer was last seen to hold.
    held: Option<Ruleset>,
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
}

/// What one layer comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerReport {
    /// Which.
    pub layer: Layer,
    /// What it held when it was last looked at.
    pub found: LayerFound,
    /// What it cannot do on this system, for people.
    pub lacks: Option<String>,
    /// Whether this process owns it, so that no flush of others takes it away.
    pub owned: bool,
}

/// What a layer was found to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerFound {
    /// The rules.
    Rules,
    /// Something else.
    Other,
    /// It could not be read, and why.
    Unread(String),
}

impl LayerReport {
    /// Whether it judges every frame that goes out on a wire.
    pub fn holds_wires(&self) -> bool {
        self.layer == Layer::Nftables && self.found == LayerFound::Rules && self.lacks.is_none()
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

    fn after_look(result: &Result<Vec<String>, FirewallError>) -> Self {
        match result {
            Ok(lines) if lines.is_empty() => Self::Rules,
            Ok(_) => Self::Other,
            Err(why) => Self::Unread(describe(why)),
        }
    }
}

/// What of the configuration this system cannot do, as far as that shows without root.
pub fn missing(config: &config::Firewall) -> Option<&'static str> {
    let wanted = config.layers.contains(&Layer::Nftables);
    (wanted && crate::system::program::path("nft").is_none())
        .then_some("firewall.layers: nft is not installed; install it with: sudo apt install nftables")
}

impl Firewall {
    /// The layers of a configuration, of which nothing is known yet.
    pub fn new(config: &config::Firewall) -> Self {
        let named = |layer| config.layers.contains(&layer);
        Self {
            iptables: named(Layer::Iptables).then(|| Iptables::new(config.backend)),
            nftables: named(Layer::Nftables).then(Nftables::new),
            config: config.clone(),
            leftovers: Leftovers::Possible,
            routes: Routes::MaybeShut,
            last: Vec::new(),
            held: None,
        }
    }

    /// The same for an agent, which goes on: what can be owned is its own for as long as it runs.
    pub fn of_agent(config: &config::Firewall) -> Self {
        let firewall = Self::new(config);
        Self { nftables: firewall.nftables.map(|_| Nftables::of_agent()), ..firewall }
    }

    /// Waits until what it owns is its own no more: a commit that looks at everything makes it so again.
    pub async fn orphaned(&mut self) {
        match &mut self.nftables {
            Some(nftables) => nftables.orphaned().await,
            None => std::future::pending().await,
        }
    }

    /// Gives up what it owns, as it is, so that another may take it over.
    pub async fn disown(&mut self) {
        if let Some(nftables) = &mut self.nftables {
            nftables.disown().await;
        }
    }

    /// Whether the kernel tells nothing of what others do to the rules.
    pub fn is_untold(&self) -> bool {
        self.iptables.as_ref().is_some_and(Iptables::is_untold)
    }

    /// What of the rules is in force in another form than they ask for, or in fewer layers, if anything is.
    pub fn complaint(&self) -> Option<String> {
        let iptables = self.iptables.as_ref().and_then(Iptables::complaint).map(ToOwned::to_owned);
        let lacks = self.last.iter().filter_map(|layer| layer.lacks.clone());
        let all: Vec<String> = iptables.into_iter().chain(lacks).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Takes it as known that the kernel holds `ruleset`: no differences were found.
    pub fn holds(&mut self, ruleset: Ruleset) {
        if let Some(nftables) = &mut self.nftables {
            nftables.holds(&ruleset);
        }
        if let Some(iptables) = &mut self.iptables {
            iptables.holds(ruleset.clone());
        }
        self.held = Some(ruleset);
    }

    /// What every layer was last seen to hold, if the last commit left it in force.
    pub fn held(&self) -> Option<&Ruleset> {
        self.held.as_ref()
    }

    /// Has the next commit look at everything first: somebody else may have moved something.
    pub fn distrust(&mut self) {
        if let Some(iptables) = &mut self.iptables {
            iptables.distrust();
        }
        if let Some(nftables) = &mut self.nftables {
            nftables.distrust();
        }
    }

    /// Every difference between `ruleset` and what the kernel holds, a line each.
    ///
    /// # Errors
    /// When the kernel cannot be read: that is no verdict.
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

    /// What each layer that is named came to when it was last looked at.
    pub fn layers(&self) -> &[LayerReport] {
        &self.last
    }

    /// Takes every trace of us out of the kernel, whatever layers are named; policies go back to ACCEPT,
    /// but for FORWARD where it is Docker's: there it stays what it is. Says in which families that is so.
    ///
    /// # Errors
    /// When a layer could not be released; the other one is all the same.
    pub async fn release(&mut self) -> Result<Vec<Family>, FirewallError> {
        let backend = self.config.backend;
        let iptables = self.iptables.get_or_insert_with(|| Iptables::new(backend));
        let nftables = self.nftables.get_or_insert_with(Nftables::new);
        let (dockers, released) = tokio::join!(iptables.release(), nftables.release());
        released?;
        let dockers = dockers?;
        routing::open().await?;
        Ok(dockers)
    }

    /// Takes every trace of us out as [`Firewall::release`] does, and puts back what iptables held before.
    /// That comes first: where it was closed, nothing is open in between.
    ///
    /// # Errors
    /// When it could not be put back: then ours stands. When the rest could not be taken out: it only ever
    /// refuses more.
    pub async fn give_way(&mut self, before: &Dump) -> Result<(), FirewallError> {
        before.put_back(config::Backend::Auto).await?;
        iptables::release_sets().await?;
        self.nftables.get_or_insert_with(Nftables::new).release().await?;
        Ok(routing::open().await?)
    }

    /// One that cannot be read or taken out stays: it only ever refuses more.
    async fn remove_leftovers(&mut self) {
        if std::mem::replace(&mut self.leftovers, Leftovers::None) == Leftovers::None {
            return;
        }
        let released = match (&self.iptables, &self.nftables) {
            (Some(_), Some(_)) => Ok(()),
            (None, _) => Iptables::new(self.config.backend).release().await.map(drop),
            (Some(_), None) => Nftables::new().release().await,
        };
        if let Err(error) = released {
            tracing::warn!("a layer that firewall.layers no longer names may still refuse packets: {error}");
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
                // What an earlier nft put there may still be in force.
                Lacks::Nft(why) => (LayerFound::Unread(why.clone()), Some(why.clone())),
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
