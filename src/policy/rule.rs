//! A rule as data: what it matches and where it sends the packet.
//!
//! The text form is that of `iptables-save`, so that what was committed can be compared with what
//! the kernel gives back. Rules are made by the chain modules and by nobody else.

use std::fmt;

use ipnet::IpNet;

use super::{ChainName, HopLimit, Ported, Protocol, SetName, Tracked};
use crate::net::{Endpoint, Family, IfPattern, Port, PortRange, Transport};

/// What happens to a packet that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes this table.
    Accept,
    /// It is gone.
    Drop,
    /// Back to where this chain was jumped to from.
    Return,
    /// Into another chain, and back here when that has no verdict.
    Jump(ChainName),
    /// Into another chain; a return there leads to where *this* chain was jumped to from.
    Goto(ChainName),
}

/// An interface that must, or must not, be the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch {
    pub(super) pattern: IfPattern,
    pub(super) negated: bool,
    pub(super) device: Option<Device>,
}

impl IfMatch {
    /// One of such a name that is such a device.
    pub fn device(device: Device, name: impl Into<IfPattern>) -> Self {
        Self { device: Some(device), ..name.into().into() }
    }
}

impl<P: Into<IfPattern>> From<P> for IfMatch {
    fn from(pattern: P) -> Self {
        Self { pattern: pattern.into(), negated: false, device: None }
    }
}

/// What sort of device an interface must be, besides its name: the kernel knows it from the moment the
/// device is there, whoever names it. A rule for nftables says so; iptables has no match for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// One whose packets a VPN carries.
    Tunnel,
    /// A software bridge.
    Bridge,
}

/// One rule. Made with [`Rule::new`] and narrowed by what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(super) family: Family,
    pub(super) verdict: Verdict,
    pub(super) source: Option<IpNet>,
    pub(super) destination: Option<IpNet>,
    pub(super) input: Option<IfMatch>,
    pub(super) output: Option<IfMatch>,
    pub(super) protocol: Option<Protocol>,
    pub(super) sport: Option<PortRange>,
    pub(super) dport: Option<PortRange>,
    pub(super) either_dport: Option<[Port; 2]>,
    pub(super) set: Option<SetName>,
    pub(super) icmp_type: Option<u8>,
    pub(super) hop_limit: Option<HopLimit>,
    pub(super) owner: Option<u32>,
    pub(super) mark: Option<u32>,
    pub(super) tracked: Option<Tracked>,
    pub(super) since: Option<jiff::Timestamp>,
    pub(super) until: Option<jiff::Timestamp>,
}

impl Rule {
    /// A rule that matches every packet of `family`.
    pub fn new(family: Family, verdict: Verdict) -> Self {
        Self {
            family,
            verdict,
            source: None,
            destination: None,
            input: None,
            output: None,
            protocol: None,
            sport: None,
            dport: None,
            either_dport: None,
            set: None,
            icmp_type: None,
            hop_limit: None,
            owner: None,
            mark: None,
            tracked: None,
            since: None,
            until: None,
        }
    }

    /// Only from this network.
    pub fn from(mut self, source: IpNet) -> Self {
        self.source = Some(source);
        self
    }

    /// Only to this network.
    pub fn to(mut self, destination: IpNet) -> Self {
        self.destination = Some(destination);
        self
    }

    /// Only if it came in on this interface.
    pub fn input(mut self, interface: impl Into<IfMatch>) -> Self {
        self.input = Some(interface.into());
        self
    }

    /// Only if it came in on any other interface.
    pub fn input_not(mut self, pattern: impl Into<IfPattern>) -> Self {
        self.input = Some(IfMatch { negated: true, ..pattern.into().into() });
        self
    }

    /// Only if it goes out on this interface.
    pub fn output(mut self, interface: impl Into<IfMatch>) -> Self {
        self.output = Some(interface.into());
        self
    }

    /// Only this protocol.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Only this transport.
    pub fn transport(self, transport: Transport) -> Self {
        self.protocol(Protocol::Transport(transport))
    }

    /// Only from these ports; needs a transport.
    pub fn sport(mut self, ports: impl Into<PortRange>) -> Self {
        self.sport = Some(ports.into());
        self
    }

    /// Only to these ports; needs a transport.
    pub fn dport(mut self, ports: impl Into<PortRange>) -> Self {
        self.dport = Some(ports.into());
        self
    }

    /// Only to one of these two ports; needs a protocol with ports.
    pub fn dport_either(mut self, ports: [Port; 2]) -> Self {
        self.either_dport = Some(ports);
        self
    }

    /// Only to an endpoint in this set.
    pub fn to_member(mut self, set: SetName) -> Self {
        self.set = Some(set);
        self
    }

    /// Only to this endpoint.
    pub fn to_endpoint(self, endpoint: Endpoint) -> Self {
        self.to(endpoint.address().into()).transport(endpoint.transport()).dport(endpoint.port())
    }

    /// The set that the destination must be in.
    pub(super) fn set(&self) -> Option<SetName> {
        self.set
    }

    /// The same rule for one member of its set, if it is one that this rule matches.
    pub(super) fn for_member(&self, member: Endpoint) -> Option<Self> {
        let fits = self.protocol.is_none_or(|own| own == Protocol::Transport(member.transport()));
        fits.then(|| Self { set: None, ..self.clone() }.to_endpoint(member))
    }

    /// The same without its destination's port, if it is UDP to one endpoint: what later fragments of it
    /// look like.
    pub(super) fn without_port(&self) -> Option<Self> {
        let udp = self.protocol == Some(Protocol::Transport(Transport::Udp));
        let one = udp && self.destination.is_some() && self.dport.is_some();
        one.then(|| Self { dport: None, ..self.clone() })
    }

    /// Only UDP from this port to that one.
    pub fn udp(self, sport: Port, dport: Port) -> Self {
        self.transport(Transport::Udp).sport(sport).dport(dport)
    }

    /// Only ICMP, or ICMPv6, of this type (IANA's numbers).
    pub fn icmp_type(mut self, number: u8) -> Self {
        self.icmp_type = Some(number);
        self.protocol(Protocol::Icmp)
    }

    /// The same rule for the answers: the ports change sides.
    pub fn mirrored(mut self) -> Self {
        std::mem::swap(&mut self.sport, &mut self.dport);
        self
    }

    /// Only with this TTL, or IPv6 hop limit.
    pub fn hop_limit(self, limit: u8) -> Self {
        self.hops(HopLimit::Exactly(limit))
    }

    /// Only with such a TTL, or IPv6 hop limit.
    pub fn hops(mut self, limit: HopLimit) -> Self {
        self.hop_limit = Some(limit);
        self
    }

    /// Only from sockets of this user id.
    pub fn owner(mut self, uid: u32) -> Self {
        self.owner = Some(uid);
        self
    }

    /// Only with this mark, which takes CAP_NET_ADMIN to put on a socket.
    pub fn mark(mut self, mark: u32) -> Self {
        self.mark = Some(mark);
        self
    }

    /// Only in this state of its connection.
    pub fn tracked(mut self, tracked: Tracked) -> Self {
        self.tracked = Some(tracked);
        self
    }

    /// Only from this moment on, which the kernel itself watches.
    pub fn since(mut self, moment: jiff::Timestamp) -> Self {
        self.since = Some(moment);
        self
    }

    /// Only until this moment, which the kernel itself watches.
    pub fn until(mut self, moment: jiff::Timestamp) -> Self {
        self.until = Some(moment);
        self
    }

    fn protocol_name(&self) -> Option<&'static str> {
        Some(match (self.protocol?, self.family) {
            (Protocol::Transport(transport), _) => transport.as_str(),
            (Protocol::Icmp, Family::V4) => "icmp",
            (Protocol::Icmp, Family::V6) => "ipv6-icmp",
            (Protocol::Igmp, _) => "igmp",
            // iptables has no name of its own for it, and not every system has a file with the names.
            (Protocol::Ported(Ported::Dccp), _) => "33",
            (Protocol::Ported(ported), _) => ported.as_str(),
        })
    }

    fn hop_limit_words(&self, limit: HopLimit) -> String {
        let name = if self.family == Family::V4 { "ttl" } else { "hl" };
        match limit {
            HopLimit::Exactly(limit) => format!("-m {name} --{name}-eq {limit}"),
            HopLimit::Below(limit) => format!("-m {name} --{name}-lt {limit}"),
        }
    }

    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut push = |word: Option<String>| words.extend(word);
        // Every address is no match at all, and is listed as none.
        let some = |net: &IpNet| net.prefix_len() > 0;
        push(self.source.filter(some).map(|net| format!("-s {net}")));
        push(self.destination.filter(some).map(|net| format!("-d {net}")));
        push(self.input.as_ref().map(|input| format!("{}-i {}", input.not(), input.pattern)));
        push(self.output.as_ref().map(|output| format!("{}-o {}", output.not(), output.pattern)));
        push(self.protocol_name().map(|name| format!("-p {name}")));
        if let Some(Protocol::Transport(transport)) = self.protocol
            && (self.sport.is_some() || self.dport.is_some())
        {
            push(Some(format!("-m {transport}")));
            push(self.sport.map(|ports| format!("--sport {ports}")));
            push(self.dport.map(|ports| format!("--dport {ports}")));
        }
        push(self.either_dport.map(|[one, other]| format!("-m multiport --dports {one},{other}")));
        push(self.set.map(|set| format!("-m set --match-set {set} dst,dst")));
        push(self.icmp_type.map(|number| match self.family {
            Family::V4 => format!("-m icmp --icmp-type {number}"),
            Family::V6 => format!("-m icmp6 --icmpv6-type {number}"),
        }));
        push(self.hop_limit.map(|limit| self.hop_limit_words(limit)));
        push(self.mark.map(|mark| format!("-m mark --mark {mark:#x}")));
        push(self.owner.map(|uid| format!("-m owner --uid-owner {uid}")));
        push(self.tracked.map(|tracked| format!("-m conntrack {}", tracked.options())));
        // xt_time reads its dates as UTC unless told otherwise (iptables-extensions(8)).
        push((self.since.is_some() || self.until.is_some()).then(|| "-m time".to_owned()));
        push(self.since.map(|moment| format!("--datestart {}", date(moment))));
        push(self.until.map(|moment| format!("--datestop {}", date(moment))));
        words
    }
}

impl fmt::Display for Rule {
    /// The rule as `iptables-save` prints it, without the leading `-A CHAIN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for word in self.words() {
            write!(f, "{word} ")?;
        }
        match &self.verdict {
            Verdict::Accept => f.write_str("-j ACCEPT"),
            Verdict::Drop => f.write_str("-j DROP"),
            Verdict::Return => f.write_str("-j RETURN"),
            Verdict::Jump(chain) => write!(f, "-j {chain}"),
            Verdict::Goto(chain) => write!(f, "-g {chain}"),
        }
    }
}

fn date(moment: jiff::Timestamp) -> impl fmt::Display {
    moment.strftime("%Y-%m-%dT%H:%M:%S")
}

impl IfMatch {
    fn not(&self) -> &'static str {
        if self.negated { "! " } else { "" }
    }
}
