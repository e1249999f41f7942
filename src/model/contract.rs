//! What may leave on an uplink, as conditions on packets. `docs/security.md` says the same in words.
//!
//! This is a second model of the contract, and it is written independently of `policy`: it knows packets, but no chains
//! and no order of rules. The two share only the configuration and the situation.

mod packets;
mod servers;

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::layout::Field;
use super::rule::Match;
use crate::config::{Access, Config, InboundOn, LanService, Networks, PublishedPorts};
use crate::net::{Family, Transport};
use crate::vpn::{PauseScope, Situation, Uplink};
use packets::{
    IGMP, answer_to, dhcp, dhcp_search, dhcp_servers, icmp, in_frame, net, no_dns, number, on_its_way,
    to_port,
};

/// Who sends a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// A program of this machine, through the kernel's own protocols.
    Local,
    /// A container or a virtual machine, through a bridge of this machine.
    Forwarded,
    /// A raw packet socket, or a container that shares the network card: only the wire sees its packets.
    Raw,
    /// Like `Raw`, but the sender gives the frame an EtherType other than those of IPv4 and IPv6.
    Frame,
}

/// User ids whose sockets have more permissions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Users {
    /// Those of VPN clients.
    pub vpn: BTreeSet<u32>,
    /// Those of DHCP clients.
    pub dhcp: BTreeSet<u32>,
}

/// What may leave now.
#[derive(Debug, Clone, Copy)]
pub struct Contract<'a> {
    /// What the administrator wants.
    pub config: &'a Config,
    /// What is true now.
    pub situation: &'a Situation,
    /// The time, in seconds since 1970.
    pub now: i64,
    /// User ids of this system.
    pub users: &'a Users,
}

/// Conditions that all hold for a packet that may leave.
type Allowed = Vec<Match>;

/// What a packet that may leave is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// It goes to a VPN server, or asks for the name of one.
    Server,
    /// It goes to the LAN, or answers it.
    Lan,
    /// The link itself needs it: ARP, DHCP, neighbours.
    Link,
    /// It signs in at a captive portal during a pause for that.
    Portal,
}

/// Packets of these parts.
type Parts = Vec<(Part, Allowed)>;

/// Gives all of these packets the same part.
fn part(part: Part, all: impl IntoIterator<Item = Allowed>) -> impl Iterator<Item = (Part, Allowed)> {
    all.into_iter().map(move |one| (part, one))
}

impl Contract<'_> {
    /// Whether an administrator has opened everything.
    pub fn is_open(&self) -> bool {
        self.is_paused() && self.situation.pause_scope == PauseScope::Everything
    }

    /// A pause that is over opens nothing, also while the agent has not yet put its rules in force.
    fn is_paused(&self) -> bool {
        self.situation.paused_until.is_some_and(|until| self.now < until.as_second())
    }

    /// The packets that this sender may send on the link of this name.
    pub fn allowed(&self, family: Family, sender: Sender, link: &str) -> Vec<Allowed> {
        if self.is_open() {
            return vec![Vec::new()];
        }
        self.parts(family, sender, link).into_iter().map(|(_, one)| one).collect()
    }

    /// Like [`Self::allowed`], with the part of each. It ignores a pause that opens everything.
    pub fn parts(&self, family: Family, sender: Sender, link: &str) -> Parts {
        let frames = || part(Part::Link, super::frames::allowed(self.situation, link));
        match sender {
            Sender::Local => self.sent(family, link),
            Sender::Forwarded => part(Part::Lan, self.forwarded(family, link)).collect(),
            Sender::Raw => {
                let packets = self.on_the_wire(family).into_iter();
                packets.flat_map(|(of, one)| part(of, in_frame(family, one))).chain(frames()).collect()
            }
            Sender::Frame => frames().collect(),
        }
    }

    fn sent(&self, family: Family, link: &str) -> Parts {
        let mut allowed: Parts = part(Part::Server, self.vpn_servers(family)).collect();
        allowed.extend(part(Part::Link, self.of_the_link(family, self.on_link(Some(link)))));
        allowed.extend(part(Part::Lan, self.lan(family, Some(link))));
        allowed.extend(part(Part::Lan, self.discovery(family)));
        if self.situation.portal_uplinks.iter().any(|uplink| uplink.as_str() == link) {
            allowed.extend(part(Part::Portal, self.portal()));
        }
        for own in self.own(family, Some(link)) {
            let answer = |ports: Allowed| {
                let connection =
                    [Match::from(&own), Match::is(Field::State, 2), Match::is(Field::Direction, 1)];
                [&connection[..], &ports].concat()
            };
            allowed.extend(part(Part::Lan, self.answers(family).into_iter().map(answer)));
            allowed.extend(part(Part::Lan, self.served(family, Some(link)).into_iter().map(answer)));
        }
        allowed
    }

    fn forwarded(&self, family: Family, link: &str) -> Vec<Allowed> {
        let mut allowed = Vec::new();
        if self.config.docker.published_ports != PublishedPorts::None {
            // An answer of a published port: DNAT rewrote its destination on the way in (`IPS_DST_NAT`). Before that,
            // its destination was an address of this machine on an uplink. If the request had come out of a tunnel, it
            // would have been the tunnel's address.
            let answer = [Match::masked(Field::Status, 32, 32), Match::is(Field::Direction, 1)];
            for lan in self.connected(family, Some(link)) {
                let to = [&[Match::to(&lan), no_dns(family)][..], &answer].concat();
                let own = self.own(family, None).into_iter();
                allowed.extend(own.map(|own| [&to[..], &[Match::first_to(&own)]].concat()));
            }
        }
        let of_lan = self.situation.networks.iter().filter(|network| network.access == Access::Lan);
        for network in of_lan {
            let bridge = [network.bridge.as_str().as_bytes(), &[0]].concat();
            let from = Match::Name(super::rule::Way::In, bridge);
            allowed.extend(
                self.lans(family, Some(link))
                    .into_iter()
                    .map(|lan| vec![from.clone(), Match::to(&lan), no_dns(family)]),
            );
        }
        allowed
    }

    /// The packets that any sender may put on the wire. The rules there know no connection.
    fn on_the_wire(&self, family: Family) -> Parts {
        let mut allowed: Parts = part(Part::Server, self.vpn_servers(family)).collect();
        allowed.extend(part(Part::Server, self.later_fragments(family)));
        allowed.extend(part(Part::Link, self.of_the_link(family, self.on_link(None))));
        allowed.extend(part(Part::Link, dhcp_search(family)));
        let own_socket = Match::is(Field::Socket, 1);
        if !self.situation.portal_uplinks.is_empty() {
            let portal = self.portal().into_iter().map(|one| [vec![own_socket.clone()], one].concat());
            allowed.extend(part(Part::Portal, portal));
        }
        let lan = self.lan(family, None).into_iter().chain(self.discovery(family));
        allowed.extend(part(Part::Lan, lan.map(|one| [one, vec![on_its_way(family)]].concat())));
        for own in self.own(family, None) {
            let from = |ports: Allowed| [vec![Match::from(&own)], ports].concat();
            let answers = self.answers(family).into_iter().chain(self.served(family, None)).map(from);
            // The kernel answers a ping without a socket.
            let answers = answers.map(|one| match one.contains(&Match::protocol(icmp(family))) {
                true => [one, Match::icmp_type(if family == Family::V4 { 0 } else { 129 })].concat(),
                false => [one, vec![own_socket.clone()]].concat(),
            });
            allowed.extend(part(Part::Lan, answers));
            if self.config.docker.published_ports != PublishedPorts::None {
                let published = self.connected(family, None).map(|lan| {
                    vec![
                        Match::from(&own),
                        Match::to(&lan),
                        own_socket.clone().not(),
                        on_its_way(family),
                        no_dns(family),
                    ]
                });
                allowed.extend(part(Part::Lan, published));
            }
        }
        allowed
    }

    /// What a link itself needs: DHCP, and in IPv6 neighbours and MLD.
    fn of_the_link(&self, family: Family, on_link: Vec<IpNet>) -> Vec<Allowed> {
        let mut allowed = Vec::new();
        for uid in self.users.dhcp.iter().chain([&0]) {
            for server in dhcp_servers(family) {
                allowed.push([vec![Match::to(&server)], dhcp(family), Match::user(*uid)].concat());
            }
        }
        if family == Family::V4 {
            return allowed;
        }
        let message = |to: &IpNet, number, hops| {
            let mut message = vec![Match::to(to), Match::protocol(58)];
            message.extend(Match::icmp_type(number));
            message.extend(Match::hops(family, [hops, hops]));
            message
        };
        allowed.push(message(&net("ff02::2/128"), 133, 255));
        let near = [net("fe80::/10"), net("ff02::/16")];
        for place in near.iter().chain(&on_link).filter(|place| Family::of(place.addr()) == family) {
            allowed.extend([135, 136].map(|number| message(place, number, 255)));
        }
        allowed.extend([131, 132, 143].map(|number| message(&net("ff00::/8"), number, 1)));
        allowed
    }

    fn lan(&self, family: Family, link: Option<&str>) -> Vec<Allowed> {
        self.lans(family, link).into_iter().map(|lan| vec![Match::to(&lan), no_dns(family)]).collect()
    }

    /// The networks of the LAN. If a bridge or a VLAN is in between, a packet for the network of one link leaves on
    /// another link.
    fn lans(&self, family: Family, link: Option<&str>) -> Vec<IpNet> {
        if !self.config.lan.allow {
            return Vec::new();
        }
        match &self.config.lan.networks {
            Networks::Connected => self.connected(family, link).collect(),
            Networks::Listed(listed) => {
                let tunnels = &self.situation.tunnel_networks;
                let rest =
                    listed.iter().flat_map(|prefix| prefix.without(tunnels)).map(|prefix| prefix.net());
                rest.filter(|lan| Family::of(lan.addr()) == family).collect()
            }
        }
    }

    fn uplinks<'s>(&'s self, link: Option<&'s str>) -> impl Iterator<Item = &'s Uplink> + use<'s> {
        let all = self.situation.uplinks.iter();
        all.filter(move |uplink| link.is_none_or(|link| uplink.interface.as_str() == link))
    }

    fn connected<'s>(
        &'s self,
        family: Family,
        link: Option<&'s str>,
    ) -> impl Iterator<Item = IpNet> + use<'s> {
        let prefixes = self.uplinks(link).flat_map(|uplink| &uplink.prefixes).map(|prefix| prefix.net());
        prefixes.filter(move |lan| Family::of(lan.addr()) == family)
    }

    fn on_link(&self, link: Option<&str>) -> Vec<IpNet> {
        self.uplinks(link).flat_map(|uplink| uplink.on_link.clone()).collect()
    }

    /// The machine's own addresses on its uplinks.
    fn own(&self, family: Family, link: Option<&str>) -> Vec<IpNet> {
        let addresses = self.uplinks(link).flat_map(|uplink| &uplink.addresses);
        addresses.filter(|address| Family::of(**address) == family).map(|own| IpNet::from(*own)).collect()
    }

    /// mDNS, SSDP and IGMP, and what `lan.services` names.
    fn discovery(&self, family: Family) -> Vec<Allowed> {
        let lan = &self.config.lan;
        let (multicast, services) =
            (lan.allow && lan.multicast, if lan.allow { &lan.services[..] } else { &[] });
        let group = |to: &str, port, hops: &[[u8; 2]]| -> Vec<Allowed> {
            let with = |&hops: &[u8; 2]| {
                [vec![Match::to(&net(to))], to_port(Transport::Udp, port), Match::hops(family, hops)].concat()
            };
            hops.iter().map(with).collect()
        };
        // No router forwards a broadcast, so any TTL is allowed.
        let any = [[0, u8::MAX]];
        let (mdns, near) = ([[255, 255], [1, 1]], [[0, 4]]);
        let mut allowed = Vec::new();
        match family {
            Family::V4 => {
                if multicast {
                    allowed.extend(group("224.0.0.251/32", 5353, &mdns));
                    allowed.extend(group("239.255.255.250/32", 1900, &near));
                    let igmp = vec![Match::to(&net("224.0.0.0/4")), Match::protocol(IGMP)];
                    allowed.push([igmp, Match::hops(family, [1, 1])].concat());
                }
                for service in services {
                    allowed.extend(match service {
                        LanService::WsDiscovery => group("239.255.255.250/32", 3702, &near),
                        LanService::LocalSend => group("224.0.0.167/32", 53317, &near),
                        LanService::KdeConnect => group("255.255.255.255/32", 1716, &any),
                        LanService::WakeOnLan => [7, 9]
                            .into_iter()
                            .flat_map(|port| group("255.255.255.255/32", port, &any))
                            .collect(),
                    });
                }
            }
            Family::V6 => {
                if multicast {
                    allowed.extend(group("ff02::fb/128", 5353, &mdns));
                    allowed.extend(
                        ["ff02::c/128", "ff05::c/128"].into_iter().flat_map(|to| group(to, 1900, &near)),
                    );
                }
                if services.contains(&LanService::WsDiscovery) {
                    allowed.extend(group("ff02::c/128", 3702, &near));
                }
            }
        }
        allowed
    }

    /// What a sign-in at a captive portal needs, during a pause for it.
    fn portal(&self) -> Vec<Allowed> {
        let ports = [(Transport::Udp, 53), (Transport::Tcp, 53), (Transport::Tcp, 80), (Transport::Tcp, 443)];
        match self.is_paused() {
            false => Vec::new(),
            true => ports.map(|(transport, port)| to_port(transport, port)).to_vec(),
        }
    }

    /// Answers to packets that `input.allow` lets in, without the conditions about the address and the connection.
    fn answers(&self, family: Family) -> Vec<Allowed> {
        let inbound = self.config.input.allow.iter().filter(|inbound| inbound.on == InboundOn::Any);
        let fits = |net: &IpNet| Family::of(net.addr()) == family;
        let inbound = inbound.filter(|inbound| inbound.from.as_ref().is_none_or(fits));
        inbound
            .flat_map(|inbound| {
                let to: Allowed = inbound.from.iter().map(Match::to).collect();
                answer_to(family, &inbound.traffic).into_iter().map(move |one| [to.clone(), one].concat())
            })
            .collect()
    }

    /// Answers of docker-proxy, which serves published ports over IPv6 on this machine itself.
    fn served(&self, family: Family, link: Option<&str>) -> Vec<Allowed> {
        if family == Family::V4 || self.config.docker.published_ports == PublishedPorts::None {
            return Vec::new();
        }
        let mut allowed = Vec::new();
        for lan in self.connected(family, link) {
            for &(transport, port) in &self.situation.published {
                let mut answer = vec![Match::to(&lan), Match::protocol(number(transport))];
                answer.extend(Match::port(Field::SourcePort, [port.get(); 2]));
                allowed.push(answer);
            }
        }
        allowed
    }
}
