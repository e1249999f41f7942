//! Numbers of protocols (IANA's protocol numbers), with the words of nft for them.

use crate::net::Transport;
use crate::policy::Ported;

/// A protocol above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
#[repr(u8)]
pub enum L4 {
    Icmp = 1,
    Igmp = 2,
    Tcp = 6,
    Udp = 17,
    Dccp = 33,
    Icmpv6 = 58,
    Sctp = 132,
    UdpLite = 136,
}

impl L4 {
    /// Those whose packets begin with a source and a destination port, in the order of their numbers in a rule.
    pub(super) const WITH_PORTS: [Self; 5] = [Self::Tcp, Self::Udp, Self::Dccp, Self::Sctp, Self::UdpLite];

    /// The word of nft for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Icmp => "icmp",
            Self::Igmp => "igmp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Dccp => "dccp",
            Self::Icmpv6 => "ipv6-icmp",
            Self::Sctp => "sctp",
            Self::UdpLite => "udplite",
        }
    }
}

impl From<Transport> for L4 {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Udp,
            Transport::Tcp => Self::Tcp,
        }
    }
}

impl From<Ported> for L4 {
    fn from(ported: Ported) -> Self {
        match ported {
            Ported::UdpLite => Self::UdpLite,
            Ported::Dccp => Self::Dccp,
            Ported::Sctp => Self::Sctp,
        }
    }
}
