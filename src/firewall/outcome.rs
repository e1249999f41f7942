//! What becomes of a commit.

use super::{ListingError, RoutingError, SavedError, SetError, ToolError};
use crate::config::Layer;
use crate::net::Family;

/// How a commit found the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// Holding what it was last given, or never given anything.
    AsPlanned,
    /// Somebody else's rules stood before our jumps in filter's FORWARD, as after most things that
    /// Docker does: every difference, a line each. Nothing was open, and they are back in their places.
    Moved(Vec<String>),
    /// Somebody else had moved something of ours: every difference, a line each. It is mended.
    Mended(Vec<String>),
    /// The program took the commit, and then what the kernel holds could not be read.
    Unread(String),
}

impl Commit {
    /// Both together.
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

/// Whether the kernel is taken to hold what it was last seen to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Full,
    /// Somebody else may have moved it.
    None,
}

/// Why the kernel does not hold what it should.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// What iptables holds cannot be read.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// What nftables holds cannot be read.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// What iptables holds cannot be read from the kernel.
    #[error("cannot read what nf_tables holds")]
    Netfilter(#[source] std::io::Error),
    /// A table stays switched off.
    #[error("the table {0} is switched off (flags dormant), and cannot be switched on")]
    Dormant(&'static str, #[source] std::io::Error),
    /// A set could not be taken away, or read.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The kernel took the commit and holds something else.
    #[error("the kernel does not hold what was committed: {}", .0.join("; "))]
    Differs(Vec<String>),
    /// It was refused, and the rules before it are in force.
    #[error("refused; the rules that were in force before stay in force")]
    Kept(#[source] Box<FirewallError>),
    /// What the kernel holds cannot be read. The program's word that it took the rules is all there is.
    #[error("the rules were written, and what the kernel holds cannot be read: {0}")]
    Unread(String),
    /// What a commit found cannot be read.
    #[error("cannot read what the kernel holds")]
    Unreadable(#[source] Box<FirewallError>),
    /// The rules are not in force; those of last resort are.
    #[error("closed completely, because the rules could not be put in force")]
    ClosedCompletely(#[source] Box<FirewallError>),
    /// The same, but what the kernel holds cannot be read: the program's word is all there is.
    #[error("closed completely, as far as can be known without reading what the kernel holds")]
    ClosedUnread(#[source] Box<FirewallError>),
    /// Neither the rules nor those of last resort could be put in force.
    #[error("NOT closed: neither the rules nor a complete lock could be put in force ({last})")]
    Open {
        /// Of which families.
        families: Vec<Family>,
        /// Why not the rules.
        source: Box<FirewallError>,
        /// Why not the lock.
        last: Box<FirewallError>,
    },
    /// The same, but nothing is routed any more.
    #[error(
        "nothing is routed any more ({}), for neither the rules nor a complete lock could be put in force; \
         the way out: mend it, and sudo tunwarden lock; or sudo tunwarden release",
        names(.families)
    )]
    ClosedByRouting {
        /// Of which families.
        families: Vec<Family>,
        /// Why not the rules.
        source: Box<FirewallError>,
    },
    /// The rules of routing could not be changed.
    #[error(transparent)]
    Routing(#[from] RoutingError),
    /// Another process owns our tables and nobody else may change them.
    #[error(
        "the tables of nftables are the agent's own, and it does not answer; \
         end it: sudo systemctl restart tunwarden; or sudo tunwarden release"
    )]
    Owned(#[source] Box<FirewallError>),
    /// This system has no layer of those that the configuration names.
    #[error("NOT closed: {0}; name another in firewall.layers")]
    NoLayer(String),
    /// One layer could not be put in force, and the other holds the rules.
    #[error("nothing leaves in clear by the rules of the other layer, but {layer} failed")]
    OneLayer {
        /// Which could not.
        layer: Layer,
        /// Why.
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
    /// Whether what the kernel holds now could not be read.
    pub fn is_unread(&self) -> bool {
        match self {
            Self::ClosedUnread(_)
            | Self::Unread(_)
            | Self::Unreadable(_)
            | Self::Netfilter(_)
            | Self::Tool(_)
            | Self::Saved(_)
            | Self::Listing(_)
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
            | Self::OneLayer { .. } => false,
        }
    }

    /// Whether it was refused, and the rules before it are in force.
    pub fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// Whether it is the rules before that are in force, or not known which are.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Kept(_) | Self::Unread(_))
    }

    /// Whether another attempt at once may end otherwise.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Tool(why) | Self::Set(SetError::Tool(why)) => !why.is_wait(),
            Self::Unreadable(why) => why.may_pass(),
            Self::Saved(_)
            | Self::Listing(_)
            | Self::Netfilter(_)
            | Self::Dormant(..)
            | Self::Set(_)
            | Self::Differs(_)
            | Self::Kept(_)
            | Self::Unread(_)
            | Self::ClosedCompletely(_)
            | Self::ClosedUnread(_)
            | Self::Open { .. }
            | Self::ClosedByRouting { .. }
            | Self::Routing(_)
            | Self::Owned(_)
            | Self::NoLayer(_)
            | Self::OneLayer { .. } => true,
        }
    }

    /// Whether anything may leave in clear by it.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Kept(_)
            | Self::Unread(_)
            | Self::ClosedCompletely(_)
            | Self::ClosedUnread(_)
            | Self::ClosedByRouting { .. }
            | Self::OneLayer { .. } => false,
            Self::Tool(_)
            | Self::Saved(_)
            | Self::Listing(_)
            | Self::Netfilter(_)
            | Self::Dormant(..)
            | Self::Unreadable(_)
            | Self::Set(_)
            | Self::Differs(_)
            | Self::Routing(_)
            | Self::Open { .. }
            | Self::Owned(_)
            | Self::NoLayer(_) => true,
        }
    }

    /// The families of which something may leave in clear by it.
    pub(super) fn open_families(&self) -> Vec<Family> {
        if let Self::Open { families, .. } = self {
            return families.clone();
        }
        if self.is_open() { Family::ALL.to_vec() } else { Vec::new() }
    }

    /// The same beside a layer that is closed.
    pub(super) fn beside_another(self, layer: Layer) -> Self {
        // It is not open as a whole.
        if let Self::Open { source, .. } = self {
            return Self::OneLayer { layer, source };
        }
        Self::OneLayer { layer, source: Box::new(self) }
    }
}

/// What a layer came to; `None` where this system has no such layer.
pub(super) type LayerResult = Result<Option<Commit>, FirewallError>;

/// What two layers come to: a packet has to pass both, so one that is closed closes.
pub(super) fn together(iptables: LayerResult, nftables: LayerResult) -> LayerResult {
    match (iptables, nftables) {
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
    fn what_is_open_is_never_hidden() {
        for result in [
            together(Err(open()), Ok(None)),
            together(Ok(None), Err(open())),
            together(Err(open()), Err(open())),
        ] {
            assert!(matches!(result, Err(FirewallError::Open { .. })), "{result:?}");
        }
        assert!(matches!(together(Ok(None), Ok(None)), Ok(None)));
    }
}
