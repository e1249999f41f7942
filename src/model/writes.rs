//! What rules write in addition to their verdict, and which later answers about the packet this changes.

use std::net::{IpAddr, SocketAddr};

/// Something that a rule writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Write {
    /// A new destination of the packet, or another socket that receives it.
    Destination,
    /// This new destination of the packet.
    DestinationTo(NewDestination),
    /// A new source of the packet.
    Source,
    /// A new source of the packet: an address of the link on which it leaves.
    LinkSource,
    /// The mark of the packet.
    Mark,
    /// The mark of the packet, copied from its connection.
    MarkOfConnection,
    /// The mark of the connection.
    ConnectionMark,
    /// Whether the kernel has a connection for the packet.
    Tracking,
    /// Its TTL, or IPv6 hop limit.
    Hops,
    /// Its type of service.
    Service,
    /// The model does not know what it writes.
    Anything,
}

/// Where NAT sends a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NewDestination {
    /// The address; `None` for this machine itself.
    pub address: Option<IpAddr>,
    /// The port; `None` if it does not change.
    pub port: Option<u16>,
}

/// What a rule writes, and after how many of its matches. A rule of nf_tables may have more matches after it has
/// written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The part that is written, and the new value if it is known.
    pub write: Write,
    /// Number of matches before it.
    pub after: usize,
}

impl Write {
    /// What this write may mean for a packet, for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Destination | Self::DestinationTo(_) => "a rule may give it another destination",
            Self::Source | Self::LinkSource => "a rule may give it another source",
            Self::Mark | Self::MarkOfConnection | Self::ConnectionMark => {
                "a rule may give it a mark, which other rules and routes ask for"
            }
            Self::Tracking => "a rule may let it pass without a connection",
            Self::Hops | Self::Service => "a rule may change its header",
            Self::Anything => "a rule may change it in a way that the model does not know",
        }
    }

    /// What a target of iptables writes (iptables-extensions(8)). `options` are the words after its name. Without them,
    /// the result is everything that the target can write.
    pub(super) fn of_target(name: &str, options: &[String]) -> Vec<Self> {
        let has = |start: &str| options.iter().any(|option| option.starts_with(start));
        match name {
            "DNAT" | "REDIRECT" => {
                vec![new_destination(options).map_or(Self::Destination, Self::DestinationTo)]
            }
            "TPROXY" => vec![Self::Destination],
            "SNAT" => vec![Self::Source],
            "MASQUERADE" => vec![Self::LinkSource],
            "NETMAP" => vec![Self::Destination, Self::Source],
            "MARK" => vec![Self::Mark],
            "CONNMARK" if has("--restore") => vec![Self::MarkOfConnection],
            "CONNMARK" if options.is_empty() => vec![Self::Mark, Self::ConnectionMark],
            "CONNMARK" => vec![Self::ConnectionMark],
            "CT" if !options.is_empty() && !has("--notrack") => Vec::new(),
            "CT" | "NOTRACK" => vec![Self::Tracking],
            "TTL" | "HL" => vec![Self::Hops],
            "TOS" | "DSCP" | "ECN" => vec![Self::Service],
            // These targets write nothing that a later rule of the model tests. A program that reads a queue gives
            // packets back unchanged.
            "ACCEPT" | "DROP" | "REJECT" | "RETURN" | "QUEUE" | "NFQUEUE" | "LOG" | "NFLOG" | "ULOG"
            | "TRACE" | "AUDIT" | "SECMARK" | "CONNSECMARK" | "CLASSIFY" | "TCPMSS" | "TCPOPTSTRIP"
            | "CHECKSUM" | "SET" | "IDLETIMER" | "RATEEST" | "LED" | "TEE" => Vec::new(),
            _ => vec![Self::Anything],
        }
    }
}

/// The destination that the options of `DNAT` or `REDIRECT` name, if they name exactly one.
fn new_destination(options: &[String]) -> Option<NewDestination> {
    let [option, value] = options else { return None };
    match option.as_str() {
        "--to-destination" => {
            let with_port = value.parse::<SocketAddr>().map(|both| (both.ip(), Some(both.port())));
            let (address, port) = with_port.or_else(|_| value.parse().map(|address| (address, None))).ok()?;
            Some(NewDestination { address: Some(address), port })
        }
        "--to-ports" => Some(NewDestination { address: None, port: Some(value.parse().ok()?) }),
        _ => None,
    }
}
