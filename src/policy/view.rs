//! One family of one situation, with the questions that several chains ask about it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::well_known::NAME_SERVERS;
use super::{Device, IfMatch, Owners, Protocol, Rule, Verdict};
use crate::config::{Config, Inbound, InboundOn, Networks, PublishedPorts, Traffic, TrafficRule};
use crate::net::{Family, IfName, IfPattern, LanPrefix, Port, Transport};
use crate::vpn::{ForwardedTo, PauseScope, Refusal, Situation, TunnelAddress, Uplink};

/// What every chain is made from.
pub(super) struct View<'a> {
    pub(super) config: &'a Config,
    pub(super) owners: &'a Owners,
    pub(super) situation: &'a Situation,
    pub(super) family: Family,
}

/// A published port of a container without IPv6, which docker-proxy serves on the host itself.
#[derive(Clone, Copy)]
pub(super) struct Proxied<'a> {
    /// The uplink on which the LAN reaches it.
    pub(super) uplink: &'a IfName,
    /// The network of the LAN.
    pub(super) network: IpNet,
    pub(super) transport: Transport,
    pub(super) port: Port,
}

impl<'a> View<'a> {
    /// A rule of this family that matches every packet.
    pub(super) fn rule(&self, verdict: Verdict) -> Rule {
        Rule::new(self.family, verdict)
    }

    /// Reports to the agent why a packet that reaches this rule is refused.
    pub(super) fn line(&self, reason: Refusal) -> Rule {
        self.rule(Verdict::Log(reason))
    }

    /// Why a packet is refused that is neither for the LAN nor for a VPN server.
    pub(super) fn reason(&self) -> Refusal {
        Refusal::of_state(self.situation.state, self.situation.pause_scope)
    }

    /// The tunnels that may carry packets now.
    pub(super) fn tunnels(&self) -> Vec<IfMatch> {
        let mut patterns = match &self.situation.named_tunnels {
            Some(names) => names.iter().cloned().map(IfPattern::from).collect(),
            None => self.config.tunnel.interfaces.clone(),
        };
        for further in self.situation.further_tunnels.iter().cloned().map(IfPattern::from) {
            if !patterns.contains(&further) {
                patterns.push(further);
            }
        }
        patterns.into_iter().map(|pattern| IfMatch::device(Device::Tunnel, pattern)).collect()
    }

    /// The bridges of containers and virtual machines.
    pub(super) fn bridges(&self) -> impl Iterator<Item = IfMatch> {
        let named = self.config.docker.bridges.iter().cloned();
        let all = named.chain(self.situation.bridges.iter().cloned().map(IfPattern::from));
        all.map(|pattern| IfMatch::device(Device::Bridge, pattern))
    }

    /// Links that have the name of a container bridge and are not one.
    pub(super) fn misnamed_bridges(&self) -> impl Iterator<Item = IfPattern> {
        let bridges = &self.config.docker.bridges;
        let misnamed = self.situation.shut_out.iter();
        misnamed.filter(|link| bridges.iter().any(|bridge| bridge.overlaps(link))).cloned()
    }

    /// The rule of a pause that opens everything. The kernel's own clock ends it.
    pub(super) fn pause(&self, verdict: Verdict) -> Option<Rule> {
        match self.situation.pause_scope {
            PauseScope::Everything => self.paused(verdict),
            PauseScope::Portal => None,
        }
    }

    /// A rule that holds during a pause of any scope.
    pub(super) fn paused(&self, verdict: Verdict) -> Option<Rule> {
        let rule = self.rule(verdict).until(self.situation.paused_until?);
        Some(match self.situation.paused_from {
            Some(moment) => rule.since(moment),
            None => rule,
        })
    }

    /// The private networks on the links of uplinks, each with its uplink.
    pub(super) fn connected_lans(&self) -> impl Iterator<Item = (&'a IfName, IpNet)> + use<'a> {
        let family = self.family;
        let uplinks = self.situation.uplinks.iter();
        let lans =
            uplinks.flat_map(|uplink| uplink.prefixes.iter().map(|lan| (&uplink.interface, lan.net())));
        lans.filter(move |(_, net)| Family::of(net.addr()) == family)
    }

    /// The networks that the configuration calls the LAN, less those of tunnels.
    pub(super) fn listed_lans(&self, listed: &[LanPrefix]) -> Vec<IpNet> {
        let tunnels = &self.situation.tunnel_networks;
        let rest = listed.iter().flat_map(|prefix| prefix.without(tunnels)).map(|prefix| prefix.net());
        rest.filter(|net| Family::of(net.addr()) == self.family).collect()
    }

    /// The networks of the LAN, each with every uplink that it counts on; none where `lan.allow` is off.
    pub(super) fn lans(&self) -> Vec<(&'a IfName, IpNet)> {
        if !self.config.lan.allow {
            return Vec::new();
        }
        match &self.config.lan.networks {
            Networks::Connected => self.connected_lans().collect(),
            Networks::Listed(listed) => {
                let listed = self.listed_lans(listed);
                let on = |uplink: &'a Uplink| listed.iter().map(|&net| (&uplink.interface, net));
                self.situation.uplinks.iter().flat_map(on).collect()
            }
        }
    }

    /// The machine's own addresses on its uplinks, each with its uplink. An address that a tunnel has too is the
    /// tunnel's.
    pub(super) fn own_addresses(&self) -> impl Iterator<Item = (&'a IfName, IpAddr)> + use<'a> {
        let family = self.family;
        let uplinks = self.situation.uplinks.iter();
        let own = uplinks.flat_map(|uplink| uplink.addresses.iter().map(|&own| (&uplink.interface, own)));
        let tunnels = &self.situation.tunnel_addresses;
        let of_tunnel = |address: IpAddr| tunnels.iter().any(|tunnel| tunnel.address == address);
        own.filter(move |(_, address)| Family::of(*address) == family && !of_tunnel(*address))
    }

    /// The own addresses of tunnels, whether a packet may pass them or not.
    pub(super) fn tunnel_addresses(&self) -> impl Iterator<Item = &'a TunnelAddress> + use<'a> {
        let family = self.family;
        let all = self.situation.tunnel_addresses.iter();
        all.filter(move |own| Family::of(own.address) == family)
    }

    /// The own addresses of tunnels that may carry packets now, each with its tunnel.
    pub(super) fn open_tunnel_addresses(&self) -> impl Iterator<Item = (IfMatch, IpAddr)> + use<'a> {
        let situation = self.situation;
        let open = self.tunnel_addresses().filter(|own| situation.is_open(&own.interface));
        open.map(|own| (IfMatch::device(Device::Tunnel, own.interface.clone()), own.address))
    }

    /// What `input.allow` names in this family, for one place where it comes in.
    pub(super) fn inbound(&self, on: InboundOn) -> impl Iterator<Item = &'a Inbound> + use<'a> {
        let family = self.family;
        let allow = self.config.input.allow.iter().filter(move |inbound| inbound.on == on);
        allow.filter(move |inbound| inbound.from.is_none_or(|net| Family::of(net.addr()) == family))
    }

    /// What comes in through the tunnel alone: what `input.allow` names, and the forwarded ports that docker-proxy
    /// serves on the host.
    pub(super) fn through_the_tunnel(&self) -> Vec<Inbound> {
        let proxied = self.situation.forwarded.iter().filter(|forwarded| forwarded.to == ForwardedTo::Proxy);
        let proxied = proxied.filter(|_| self.family == Family::V6).map(|forwarded| Inbound {
            traffic: TrafficRule::Ports(forwarded.transport, vec![forwarded.port.into()]),
            from: None,
            on: InboundOn::Tunnel,
        });
        self.inbound(InboundOn::Tunnel).cloned().chain(proxied).collect()
    }

    /// The published ports that docker-proxy serves on the host, for each network of the LAN. Containers
    /// without IPv6 have them; in IPv4 they are forwarded.
    pub(super) fn proxied(&self) -> Vec<Proxied<'a>> {
        if self.config.docker.published_ports == PublishedPorts::None || self.family == Family::V4 {
            return Vec::new();
        }
        let published = &self.situation.published;
        let on = |(uplink, network)| {
            published.iter().map(move |&(transport, port)| Proxied { uplink, network, transport, port })
        };
        self.connected_lans().flat_map(on).collect()
    }

    /// One rule for each kind of traffic, made from `base`.
    pub(super) fn traffic(&self, traffic: &Traffic, base: &Rule) -> Vec<Rule> {
        match traffic {
            Traffic::Any => vec![base.clone()],
            Traffic::Listed(rules) => rules.iter().flat_map(|rule| traffic_rules(rule, base)).collect(),
        }
    }
}

/// One rule for each port of a kind of traffic, made from `base`.
pub(super) fn traffic_rules(traffic: &TrafficRule, base: &Rule) -> Vec<Rule> {
    match traffic {
        TrafficRule::To(net, rule) if Family::of(net.addr()) == base.family() => {
            traffic_rules(rule, &base.clone().to(*net))
        }
        TrafficRule::To(..) => Vec::new(),
        TrafficRule::Icmp => vec![base.clone().protocol(Protocol::Icmp)],
        TrafficRule::Ports(transport, ports) if ports.is_empty() => vec![base.clone().transport(*transport)],
        TrafficRule::Ports(transport, ports) => {
            ports.iter().map(|&port| base.clone().transport(*transport).dport(port)).collect()
        }
    }
}

/// The rule for packets to the ports of name servers, for every protocol that has ports.
pub(super) fn to_name_servers(rule: &Rule) -> Vec<Rule> {
    let by = |protocol| rule.clone().protocol(protocol).dport_either(NAME_SERVERS);
    Protocol::WITH_PORTS.map(by).to_vec()
}

/// The loopback interface, which no pattern of the configuration can name.
pub(super) fn loopback() -> IfPattern {
    IfName::loopback().into()
}
