//! The results of a commit.

use super::{KernelError, RoutingError, SavedError, SetError, ToolError};
use crate::config::Layer;
use crate::net::Family;

/// What a commit found in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// The rules of the last commit, or this is the first commit.
    AsPlanned,
    /// Rules of another program stood before our jumps in FORWARD of the table filter. Docker causes this
    /// often. Nothing was open, and the jumps are first again. One line per difference.
    Moved(Vec<String>),
    /// Another program had changed something of ours, and it is repaired. One line per difference.
    Mended(Vec<String>),
    /// The program accepted the commit, but what the kernel holds could not be read afterwards.
    Unread(String),
}

impl Commit {
    /// Why what the kernel holds could not be read afterwards.
    pub(super) fn unread(&self) -> Option<&str> {
        match self {
            Self::Unread(why) => Some(why),
            Self::AsPlanned | Self::Moved(_) | Self::Mended(_) => None,
        }
    }

    /// The result of two commits together.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::AsPlanned, other) | (other, Self::AsPlanned) => other,
            (Self::Unread(why), _) | (_, Self::Unread(why)) => Self::Unread(why),
            (Self::Moved(one), Self::Moved(other)) => Self::Moved([one, other].concat()),
            (Self::Moved(one) | Self::Mended(one), Self::Moved(other) | Self::Mended(other)) => {
                Self::Mended([one, other].concat())
            }
        }
    }
}

/// Whether a commit assumes that the kernel still holds the last rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Full,
    /// It does not: another program may have changed something.
    None,
}

/// Why the kernel does not hold the rules.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The output of iptables-save cannot be understood.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// nf_tables did not take our tables, or does not say what it holds.
    #[error(transparent)]
    Nftables(#[from] KernelError),
    /// The kernel does not say what the tables of iptables hold.
    #[error("cannot read what nf_tables holds")]
    Netfilter(#[source] std::io::Error),
    /// A table is switched off and cannot be switched on.
    #[error("the table {0} is switched off (flags dormant), and cannot be switched on")]
    Dormant(&'static str, #[source] std::io::Error),
    /// A set could not be read, loaded or removed.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The kernel accepted the commit but holds something else.
    #[error("the kernel does not hold what was committed: {}", .0.join("; "))]
    Differs(Vec<String>),
    /// The rules were refused, and the rules before are in force.
    #[error("refused; the rules that were in force before stay in force")]
    Kept(#[source] Box<FirewallError>),
    /// A pause was not begun: it is not known which rules are in force.
    #[error("the pause was not begun: {0}")]
    NotOpened(String),
    /// The program says that it wrote the rules, but what the kernel holds cannot be read.
    #[error("the rules were written, and what the kernel holds cannot be read: {0}")]
    Unread(String),
    /// What the kernel holds before a commit, or after it, cannot be read.
    #[error("cannot read what the kernel holds")]
    Unreadable(#[source] Box<FirewallError>),
    /// The rules are not in force. Those of the last resort are.
    #[error("closed completely, because the rules could not be put in force")]
    ClosedCompletely(#[source] Box<FirewallError>),
    /// The same, but only the program says so: what the kernel holds cannot be read.
    #[error("closed completely, as far as can be known without reading what the kernel holds")]
    ClosedUnread(#[source] Box<FirewallError>),
    /// Neither the rules nor those of the last resort could be put in force.
    #[error("NOT closed: neither the rules nor a complete lock could be put in force ({last})")]
    Open {
        /// The families.
        families: Vec<Family>,
        /// Why the rules could not be put in force.
        source: Box<FirewallError>,
        /// Why the last resort could not be put in force.
        last: Box<FirewallError>,
    },
    /// The same, but routing is shut, so nothing leaves.
    #[error(
        "nothing is routed any more ({}), because neither the rules nor a complete lock could be put in force; \
         repair the cause, then: sudo tunwarden lock; or open everything: sudo tunwarden release",
        names(.families)
    )]
    ClosedByRouting {
        /// The families.
        families: Vec<Family>,
        /// Why the rules could not be put in force.
        source: Box<FirewallError>,
    },
    /// The routing rules could not be changed.
    #[error(transparent)]
    Routing(#[from] RoutingError),
    /// Another process owns our tables, so this one cannot change them.
    #[error(
        "the tables of nftables are the agent's own, and it does not answer; \
         end it: sudo systemctl restart tunwarden; or sudo tunwarden release"
    )]
    Owned(#[source] Box<FirewallError>),
    /// This system has none of the layers that the configuration names.
    #[error("NOT closed: {0}; name another in firewall.layers")]
    NoLayer(String),
    /// The last resort was not tried, because a program hangs, and would hang again.
    #[error("not tried, because a program hangs")]
    NotTried,
    /// The commit of rules that open was given up, because somebody asked to close.
    #[error("given up, because somebody asked to close")]
    GivenUp,
    /// The nftables layer could not be closed, and holds the rules of a pause. The other layer is closed.
    #[error(
        "iptables is closed, but the nftables layer may hold the rules of the pause until {until}: until then \
         raw packet senders and containers on macvlan or ipvlan can send in clear"
    )]
    WiresOpen {
        /// When the kernel ends the pause.
        until: jiff::Timestamp,
        /// Why the layer could not be closed.
        source: Box<FirewallError>,
    },
    /// One layer could not be put in force. The other one holds the rules.
    #[error("{} by the rules of the other layer, but {layer} failed", closed_beside(*layer, source))]
    OneLayer {
        /// The layer that failed.
        layer: Layer,
        /// The error of that layer.
        source: Box<FirewallError>,
    },
}

fn names(families: &[Family]) -> &'static str {
    match families {
        [Family::V4] => "IPv4",
        [Family::V6] => "IPv6",
        _ => "IPv4 and IPv6",
    }
}

impl FirewallError {
    /// Whether it is not known what the kernel holds.
    pub fn is_unread(&self) -> bool {
        match self {
            Self::ClosedUnread(_)
            | Self::NotOpened(_)
            | Self::Unread(_)
            | Self::GivenUp
            | Self::Unreadable(_)
            | Self::Netfilter(_)
            | Self::Tool(_)
            | Self::Saved(_)
            | Self::Nftables(_)
            | Self::Set(_) => true,
            Self::Differs(_)
            | Self::Kept(_)
            | Self::Dormant(..)
            | Self::ClosedCompletely(_)
            | Self::Open { .. }
            | Self::ClosedByRouting { .. }
            | Self::Routing(_)
            | Self::Owned(_)
            | Self::NoLayer(_)
            | Self::NotTried
            | Self::WiresOpen { .. }
            | Self::OneLayer { .. } => false,
        }
    }

    /// Whether the rules were refused, and the rules before are in force.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// Whether the rules before are in force, or it is not known which rules are.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Kept(_) | Self::Unread(_))
    }

    /// Whether another attempt at once may succeed.
    pub(super) fn may_succeed(&self) -> bool {
        match self {
            Self::Tool(why) | Self::Set(SetError::Tool(why)) => !why.is_timeout(),
            Self::Nftables(why) => !why.is_timeout(),
            Self::Unreadable(why) => why.may_succeed(),
            Self::Saved(_)
            | Self::Netfilter(_)
            | Self::Dormant(..)
            | Self::Set(_)
            | Self::Differs(_)
            | Self::Kept(_)
            | Self::NotOpened(_)
            | Self::Unread(_)
            | Self::ClosedCompletely(_)
            | Self::ClosedUnread(_)
            | Self::Open { .. }
            | Self::ClosedByRouting { .. }
            | Self::Routing(_)
            | Self::Owned(_)
            | Self::NoLayer(_)
            | Self::NotTried
            | Self::GivenUp
            | Self::WiresOpen { .. }
            | Self::OneLayer { .. } => true,
        }
    }

    /// Whether packets of raw senders, and of containers on macvlan or ipvlan, may leave in clear.
    pub fn is_open_on_wires(&self) -> bool {
        matches!(self, Self::WiresOpen { .. })
            || matches!(self, Self::OneLayer { layer, source } if wires_are_open(*layer, source))
    }

    /// Whether packets that pass iptables may leave in clear.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Kept(_)
            | Self::NotOpened(_)
            | Self::Unread(_)
            | Self::ClosedCompletely(_)
            | Self::ClosedUnread(_)
            | Self::ClosedByRouting { .. }
            | Self::WiresOpen { .. }
            | Self::OneLayer { .. } => false,
            Self::Tool(_)
            | Self::Saved(_)
            | Self::Nftables(_)
            | Self::Netfilter(_)
            | Self::Dormant(..)
            | Self::Unreadable(_)
            | Self::Set(_)
            | Self::Differs(_)
            | Self::Routing(_)
            | Self::Open { .. }
            | Self::Owned(_)
            | Self::NotTried
            | Self::GivenUp
            | Self::NoLayer(_) => true,
        }
    }

    /// A program hangs, or the kernel does not answer, and would do so again with the last resort.
    pub(super) fn not_closed(self, families: Vec<Family>) -> Self {
        Self::Open { families, source: Box::new(self), last: Box::new(Self::NotTried) }
    }

    /// The families in which packets may leave in clear.
    pub(super) fn open_families(&self) -> Vec<Family> {
        if let Self::Open { families, .. } = self {
            return families.clone();
        }
        if self.is_open() { Family::ALL.to_vec() } else { Vec::new() }
    }

    /// The same error beside another layer that is closed.
    pub(super) fn beside_another(self, layer: Layer) -> Self {
        // The other layer closes.
        if let Self::Open { source, .. } = self {
            return Self::OneLayer { layer, source };
        }
        Self::OneLayer { layer, source: Box::new(self) }
    }
}

/// What leaves while the rules also judge the frames on the wires. The other layer may have failed.
pub const WIRES_HELD: &str = "nothing leaves in clear";

/// What leaves while iptables alone holds rules: it does not see the frames of these senders.
pub const WIRES_OPEN: &str =
    "programs send nothing in clear, but raw packet senders and containers on macvlan or ipvlan may";

/// Whether this layer failed and nothing judges the frames on the wires: iptables does not see them.
fn wires_are_open(layer: Layer, why: &FirewallError) -> bool {
    layer == Layer::Nftables && why.is_open()
}

fn closed_beside(layer: Layer, why: &FirewallError) -> &'static str {
    if wires_are_open(layer, why) { WIRES_OPEN } else { WIRES_HELD }
}

/// The result of a commit in one layer; `None` if this system has no such layer.
pub(super) type LayerResult = Result<Option<Commit>, FirewallError>;

/// Whether the layer could be read.
fn is_known(result: &LayerResult) -> bool {
    match result {
        Ok(commit) => commit.as_ref().is_none_or(|commit| commit.unread().is_none()),
        Err(why) => !why.is_unread(),
    }
}

/// The result of both layers. A packet has to pass both, so one closed layer is enough to close.
pub(super) fn together(iptables: LayerResult, nftables: LayerResult) -> LayerResult {
    match (iptables, nftables) {
        // A layer that cannot be read does not make up for one that failed.
        (one, Err(why)) | (Err(why), one) if why.is_open() && !is_known(&one) => Err(why),
        (Ok(Some(one)), Ok(Some(other))) => Ok(Some(one.and(other))),
        (Ok(commit), Ok(None)) | (Ok(None), Ok(commit)) => Ok(commit),
        (Ok(Some(_)), Err(why)) => Err(why.beside_another(Layer::Nftables)),
        (Err(why), Ok(Some(_))) => Err(why.beside_another(Layer::Iptables)),
        (Ok(None), Err(why)) | (Err(why), Ok(None)) => Err(why),
        (Err(one), Err(other)) => Err(match (one.is_open(), other.is_open()) {
            (true, false) => one.beside_another(Layer::Iptables),
            (false, true) => other.beside_another(Layer::Nftables),
            (true, true) | (false, false) => one,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iptables_alone_leaves_the_wires_open() {
        let differs = || FirewallError::Differs(Vec::new());
        let together = |one, other| together(one, other).unwrap_err();
        let held = || Ok(Some(Commit::AsPlanned));
        for (why, is_open) in [
            (together(held(), Err(differs())), true),
            (together(held(), Err(open())), true),
            (together(Err(closed()), Err(differs())), true),
            (together(held(), Err(closed())), false),
            (together(Err(differs()), held()), false),
            (together(Err(open()), held()), false),
        ] {
            assert!(!why.is_open(), "{why}");
            assert_eq!(why.is_open_on_wires(), is_open, "{why}");
            assert_eq!(why.to_string().contains("nothing leaves in clear"), !is_open, "{why}");
        }
    }

    fn open() -> FirewallError {
        let why = || Box::new(FirewallError::Differs(vec!["why".to_owned()]));
        FirewallError::Open { families: vec![Family::V6], source: why(), last: why() }
    }

    fn closed() -> FirewallError {
        FirewallError::ClosedCompletely(Box::new(FirewallError::Differs(Vec::new())))
    }

    #[test]
    fn a_layer_that_is_open_beside_one_that_is_closed_is_not_called_open() {
        for result in [
            together(Err(open()), Ok(Some(Commit::AsPlanned))),
            together(Ok(Some(Commit::AsPlanned)), Err(open())),
            together(Err(open()), Err(closed())),
            together(Err(closed()), Err(open())),
        ] {
            assert!(matches!(result, Err(FirewallError::OneLayer { .. })), "{result:?}");
        }
    }

    #[test]
    fn an_open_family_is_always_reported() {
        let unread = || FirewallError::ClosedUnread(Box::new(FirewallError::Differs(Vec::new())));
        for result in [
            together(Ok(Some(Commit::Unread(String::new()))), Err(open())),
            together(Err(open()), Ok(Some(Commit::Unread(String::new())))),
            together(Err(unread()), Err(open())),
            together(Err(open()), Err(unread())),
            together(Err(open()), Ok(None)),
            together(Ok(None), Err(open())),
            together(Err(open()), Err(open())),
        ] {
            assert!(matches!(result, Err(FirewallError::Open { .. })), "{result:?}");
        }
        assert!(matches!(together(Ok(None), Ok(None)), Ok(None)));
    }
}
