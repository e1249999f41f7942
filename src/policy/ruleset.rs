//! The rules of both families as one ordered value.

use std::fmt;

use super::{AnsweredBridges, EndpointSet, Rule, WireRules};
use crate::net::Family;

/// Chains that are ours. Where the article has a name for one, it is that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainName {
    /// filter: everything the host sends.
    OutputVpnKillSwitch,
    /// filter: the allowance through which the VPN client reaches its server. It changes with the VPN.
    VpnBootstrap,
    /// filter: the users whose sockets may use the allowance.
    VpnOwner,
    /// filter: the host's own containers and virtual machines.
    VpnContainers,
    /// filter: DNS that does not go into a tunnel ends here.
    VpnDns,
    /// filter: what may go into a tunnel.
    VpnTunnel,
    /// filter: DHCP and neighbour discovery, without which there is no link.
    VpnLink,
    /// filter: the LAN. It changes with the links.
    VpnLan,
    /// filter: everything that comes in.
    RelatedAndEstablished,
    /// filter: packets for a tunnel's address that come in on another link, and packets out of a tunnel with a source
    /// on the LAN. It changes with the VPN.
    VpnTunnelAddress,
    /// filter and mangle: everything that is forwarded.
    DockerVpnKillSwitch,
    /// filter and mangle: from one container bridge to another.
    DockerBridges,
    /// filter and mangle: networks that reach the LAN instead of the tunnel.
    DockerLan,
    /// filter, IPv4: the last chain for what is forwarded, where no other chain had a verdict.
    DockerIpv4,
    /// filter, IPv6: the same.
    DockerIpv6,
    /// filter: how programs of this machine learn at once that a packet is refused.
    VpnRefused,
    /// nf_tables alone: the same for containers.
    DockerRefused,
    /// On the wires alone: everything that goes out.
    VpnWire,
    /// On the wires alone: packets with ports. DNS ends here.
    VpnWirePorts,
    /// On the wires alone: answers of published ports.
    VpnWirePublished,
}

impl ChainName {
    /// Every chain of ours.
    pub const ALL: [Self; 20] = [
        Self::OutputVpnKillSwitch,
        Self::VpnBootstrap,
        Self::VpnOwner,
        Self::VpnContainers,
        Self::VpnDns,
        Self::VpnTunnel,
        Self::VpnLink,
        Self::VpnLan,
        Self::RelatedAndEstablished,
        Self::VpnTunnelAddress,
        Self::DockerVpnKillSwitch,
        Self::DockerBridges,
        Self::DockerLan,
        Self::DockerIpv4,
        Self::DockerIpv6,
        Self::VpnRefused,
        Self::DockerRefused,
        Self::VpnWire,
        Self::VpnWirePorts,
        Self::VpnWirePublished,
    ];

    /// The chain of ours that has this name in the kernel.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|chain| chain.as_str() == name)
    }

    /// The name in the kernel; iptables allows 28 bytes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutputVpnKillSwitch => "OUTPUT_VPN_KILL_SWITCH",
            Self::VpnBootstrap => "VPN_BOOTSTRAP",
            Self::VpnOwner => "VPN_OWNER",
            Self::VpnContainers => "VPN_CONTAINERS",
            Self::VpnDns => "VPN_DNS",
            Self::VpnTunnel => "VPN_TUNNEL",
            Self::VpnLink => "VPN_LINK",
            Self::VpnLan => "VPN_LAN",
            Self::RelatedAndEstablished => "RELATED_AND_ESTABLISHED",
            Self::VpnTunnelAddress => "VPN_TUNNEL_ADDRESS",
            Self::DockerVpnKillSwitch => "DOCKER_VPN_KILL_SWITCH",
            Self::DockerBridges => "DOCKER_VPN_BRIDGES",
            Self::DockerLan => "DOCKER_VPN_LAN",
            Self::DockerIpv4 => "DOCKER_VPN_IPV4",
            Self::DockerIpv6 => "DOCKER_VPN_IPV6",
            Self::VpnRefused => "VPN_REFUSED",
            Self::DockerRefused => "DOCKER_VPN_REFUSED",
            Self::VpnWire => "VPN_WIRE",
            Self::VpnWirePorts => "VPN_WIRE_PORTS",
            Self::VpnWirePublished => "VPN_WIRE_PUBLISHED",
        }
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Chains that belong to the kernel or to Docker. They jump to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForeignChain {
    /// What comes in.
    Input,
    /// What passes through.
    Forward,
    /// What goes out.
    Output,
    /// Docker's chain for the rules of its users. We make it where Docker has not.
    DockerUser,
}

impl ForeignChain {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Input, Self::Forward, Self::Output, Self::DockerUser];

    /// The chain's name in the kernel.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
            Self::DockerUser => "DOCKER-USER",
        }
    }
}

/// The tables in which we have chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableName {
    /// `filter`
    Filter,
    /// `mangle`, which no container engine writes to.
    Mangle,
}

impl TableName {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Filter, Self::Mangle];

    /// The table's name in the kernel.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Mangle => "mangle",
        }
    }
}

/// A chain of ours with its rules in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Which of our chains.
    pub name: ChainName,
    /// Its rules, first to last.
    pub rules: Vec<Rule>,
}

/// What we hold in one table of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Which table.
    pub name: TableName,
    /// The built-in chains whose policy is DROP.
    pub dropping: Vec<ForeignChain>,
    /// Our chains, in the order in which they are printed.
    pub chains: Vec<Chain>,
    /// Which foreign chain jumps to which chain of ours from its first place.
    pub jumps: Vec<(ForeignChain, ChainName)>,
    /// Which foreign chain jumps to which chain of ours from its last place, after the rules of others.
    pub last: Vec<(ForeignChain, ChainName)>,
}

/// Everything we hold in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// iptables: filter, then mangle.
    pub ipv4: Vec<Table>,
    /// ip6tables: filter, then mangle.
    pub ipv6: Vec<Table>,
    /// The sets that rules of either family name.
    pub sets: Vec<EndpointSet>,
    /// Which containers get an answer when a packet of theirs is refused; `None` where the kernel cannot answer.
    pub answered: Option<AnsweredBridges>,
    /// What may go out on the wires.
    pub wire: WireRules,
}

impl Ruleset {
    /// The tables of one family.
    pub fn family(&self, family: Family) -> &[Table] {
        match family {
            Family::V4 => &self.ipv4,
            Family::V6 => &self.ipv6,
        }
    }
}
