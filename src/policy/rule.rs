//! A rule as data: what it matches, and its verdict. Only the modules of the chains make rules.

use ipnet::IpNet;

use super::{Answer, Asked, ChainName, HopLimit, Protocol, SetName, Tracked};
use crate::net::{Endpoint, Family, IfPattern, Port, PortRange, Transport};
use crate::vpn::Refusal;

/// What happens to a packet that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It passes this table.
    Accept,
    /// It ends here.
    Drop,
    /// It ends here, and its sender gets an answer at once.
    Reject(Answer),
    /// The kernel reports the packet to the agent, and continues with the next rule.
    Log(Refusal),
    /// Back to the chain that jumped here.
    Return,
    /// Into another chain. It comes back here when that chain has no verdict.
    Jump(ChainName),
    /// Into another chain. When that chain has no verdict, the packet goes back to the chain that jumped to
    /// *this* one.
    Goto(ChainName),
}

/// An interface that a packet must, or must not, have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch {
    pub(super) pattern: IfPattern,
    pub(super) negated: bool,
    pub(super) device: Option<Device>,
}

impl IfMatch {
    /// One with this name that is such a device.
    pub fn device(device: Device, name: impl Into<IfPattern>) -> Self {
        Self { device: Some(device), ..name.into().into() }
    }
}

impl<P: Into<IfPattern>> From<P> for IfMatch {
    fn from(pattern: P) -> Self {
        Self { pattern: pattern.into(), negated: false, device: None }
    }
}

/// The kind of device that an interface must be, besides its name. The kernel knows the kind from the moment
/// the device is there, and no name changes it. nftables has a match for it, iptables has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A tunnel.
    Tunnel,
    /// A software bridge.
    Bridge,
}

/// One rule. [`Rule::new`] makes it, and each other method makes it match less.
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
    pub(super) opens: bool,
    pub(super) from_here: bool,
    pub(super) set: Option<SetName>,
    pub(super) icmp_type: Option<u8>,
    pub(super) hop_limit: Option<HopLimit>,
    pub(super) asked: Option<Asked>,
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
            opens: false,
            from_here: false,
            set: None,
            icmp_type: None,
            hop_limit: None,
            asked: None,
            owner: None,
            mark: None,
            tracked: None,
            since: None,
            until: None,
        }
    }

    /// The family of its packets.
    pub fn family(&self) -> Family {
        self.family
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

    /// Only the first packet of a connection of TCP.
    pub fn opening(mut self) -> Self {
        self.opens = true;
        self.transport(Transport::Tcp)
    }

    /// Only from an address of this machine.
    pub fn from_here(mut self) -> Self {
        self.from_here = true;
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

    /// The same without the destination's port, if it is UDP to one endpoint: it matches the later fragments of
    /// such a packet.
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

    /// The same rule for the answers: source and destination port change places.
    pub fn mirrored(mut self) -> Self {
        std::mem::swap(&mut self.sport, &mut self.dport);
        self
    }

    /// Only with this TTL, or IPv6 hop limit.
    pub fn hop_limit(self, limit: u8) -> Self {
        self.hops(HopLimit::Exactly(limit))
    }

    /// Only with one of these TTLs, or IPv6 hop limits.
    pub fn hops(mut self, limit: HopLimit) -> Self {
        self.hop_limit = Some(limit);
        self
    }

    /// A question to a group by UDP, or an answer to it. The kernel remembers who asks, and lets an answer in for a few
    /// seconds: nf_tables by address, asking port and asked port, iptables by the address alone (`xt_recent`).
    pub fn asked(mut self, asked: Asked) -> Self {
        self.asked = Some(asked);
        self
    }

    /// Only from sockets of this user id.
    pub fn owner(mut self, uid: u32) -> Self {
        self.owner = Some(uid);
        self
    }

    /// Only with this mark, which takes CAP_NET_ADMIN to put on a socket, or CAP_NET_RAW since Linux 5.17.
    pub fn mark(mut self, mark: u32) -> Self {
        self.mark = Some(mark);
        self
    }

    /// Only in this state of its connection.
    pub fn tracked(mut self, tracked: Tracked) -> Self {
        self.tracked = Some(tracked);
        self
    }

    /// Only from this moment on, by the kernel's own clock.
    pub fn since(mut self, moment: jiff::Timestamp) -> Self {
        self.since = Some(moment);
        self
    }

    /// Only until this moment, by the kernel's own clock.
    pub fn until(mut self, moment: jiff::Timestamp) -> Self {
        self.until = Some(moment);
        self
    }
}
