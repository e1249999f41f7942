//! What the host itself may send.

use super::{Chain, ChainName, HopLimit, Protocol, Rule, Verdict, View, bootstrap, loopback, traffic_rules};
use crate::config::Networks;
use crate::net::{Family, IfName, Port, Transport};
use ipnet::IpNet;

pub(super) const DNS: Port = Port::fixed(53);
pub(super) const DNS_OVER_TLS: Port = Port::fixed(853);

/// Multicast groups that discovery speaks to: mDNS (RFC 6762) and SSDP (UPnP Device Architecture).
pub(super) const MDNS: Port = Port::fixed(5353);
const SSDP: Port = Port::fixed(1900);

/// mDNS is sent with 255 (RFC 6762, 11), or by a program that asks once with the default of a socket. No
/// router forwards its groups.
const MDNS_HOPS: [HopLimit; 2] = [HopLimit::Exactly(255), HopLimit::Exactly(1)];
/// SSDP is sent with 4 (UPnP Device Architecture 1.0), 2 (1.1 and later) or less.
const SSDP_HOPS: [HopLimit; 1] = [HopLimit::Below(5)];

pub(super) fn chains(view: &View<'_>) -> Vec<Chain> {
    vec![
        Chain { name: ChainName::OutputVpnKillSwitch, rules: output(view) },
        Chain { name: ChainName::VpnBootstrap, rules: bootstrap::bootstrap(view) },
        Chain { name: ChainName::VpnOwner, rules: bootstrap::owners(view) },
        Chain { name: ChainName::VpnContainers, rules: containers(view) },
        Chain { name: ChainName::VpnDns, rules: dns(view) },
        Chain { name: ChainName::VpnTunnel, rules: tunnel(view) },
        Chain { name: ChainName::VpnLink, rules: host_link(view) },
        Chain { name: ChainName::VpnLan, rules: lan(view) },
    ]
}

fn output(view: &View<'_>) -> Vec<Rule> {
    let jump = |chain| view.rule(Verdict::Jump(chain));
    let mut rules = vec![view.rule(Verdict::Accept).output(loopback())];
    rules.extend(view.pause(Verdict::Accept));
    rules.extend(portal(view));
    // A server may listen on 53 or 853: the allowance, which names it exactly, stands before the
    // refusal of DNS.
    rules.push(jump(ChainName::VpnBootstrap));
    // A resolver in a container is no way out (what it asks itself is forwarded, into the tunnel), so
    // containers stand before the refusal of DNS too.
    rules.extend(view.bridges().map(|bridge| jump(ChainName::VpnContainers).output(bridge)));
    // DNS is refused before the LAN is allowed: a router is on the LAN, and asks the ISP.
    rules.extend(to_name_servers(&jump(ChainName::VpnDns)));
    rules.extend([jump(ChainName::VpnTunnel), jump(ChainName::VpnLink), jump(ChainName::VpnLan)]);
    rules.extend(replies(view));
    rules.extend(proxied(view));
    // No rule here accepts what is merely established: a flow from before the lock, or one whose
    // route has moved off the tunnel, would go on in clear.
    rules.push(view.rule(Verdict::Drop));
    rules
}

/// The rule for packets to the ports of DNS, by every protocol that has ports.
pub(super) fn to_name_servers(rule: &Rule) -> Vec<Rule> {
    let by = |protocol| rule.clone().protocol(protocol).dport_either([DNS, DNS_OVER_TLS]);
    Protocol::WITH_PORTS.map(by).to_vec()
}

/// What signing in at a captive portal takes: names, and web pages. From the host alone, and only by
/// the uplink that leads out.
fn portal(view: &View<'_>) -> Vec<Rule> {
    let pages = portal_pages(view);
    let by =
        |uplink: &IfName| pages.iter().map(|rule| rule.clone().output(uplink.clone())).collect::<Vec<_>>();
    view.situation.portal_uplinks.iter().flat_map(by).collect()
}

/// The same on every link. The portal may be anywhere, and often answers in others' names.
pub(super) fn portal_pages(view: &View<'_>) -> Vec<Rule> {
    let wanted = [
        (Transport::Udp, DNS),
        (Transport::Tcp, DNS),
        (Transport::Tcp, Port::fixed(80)),
        (Transport::Tcp, Port::fixed(443)),
    ];
    let open = match view.situation.portal_uplinks[..] {
        [] => None,
        [..] => view.paused(Verdict::Accept),
    };
    let page = |rule: Rule| wanted.map(|(by, port)| rule.clone().transport(by).dport(port));
    open.into_iter().flat_map(page).collect()
}

fn dns(view: &View<'_>) -> Vec<Rule> {
    let mut rules = shut_out(view, &Verdict::Drop);
    rules.extend(view.tunnels().into_iter().map(|tunnel| view.rule(Verdict::Return).output(tunnel)));
    rules.push(view.rule(Verdict::Drop));
    rules
}

fn tunnel(view: &View<'_>) -> Vec<Rule> {
    // A network card may be named so that a tunnel's pattern matches it.
    let mut rules = shut_out(view, &Verdict::Return);
    for tunnel in view.tunnels() {
        let base = view.rule(Verdict::Accept).output(tunnel);
        rules.extend(view.traffic(&view.config.tunnel.allow, &base));
    }
    rules
}

fn shut_out(view: &View<'_>, verdict: &Verdict) -> Vec<Rule> {
    let shut = view.situation.shut_out.iter().cloned();
    shut.map(|pattern| view.rule(verdict.clone()).output(pattern)).collect()
}

/// What the host may say on its links: neighbours by an address on the link are asked on that link alone.
fn host_link(view: &View<'_>) -> Vec<Rule> {
    let mut rules = link(view);
    for uplink in &view.situation.uplinks {
        let on_link = uplink.on_link.iter().flat_map(|&net| neighbours(view, net));
        rules.extend(on_link.map(|rule| rule.output(uplink.interface.clone())));
    }
    rules
}

/// DHCP (RFC 2131, RFC 8415), neighbour discovery (RFC 4861) and MLD (RFC 2710, RFC 3810), but for what
/// depends on the addresses of a link.
pub(super) fn link(view: &View<'_>) -> Vec<Rule> {
    let accept = || view.rule(Verdict::Accept);
    // The socket of a DHCP client is root's, and its server is near: to a public address a lease
    // could otherwise be renewed by anybody who listens there.
    let dhcp = |sport, dport, to| accept().to(to).udp(Port::fixed(sport), Port::fixed(dport)).owner(0);
    match view.family {
        Family::V4 => {
            nets(&["255.255.255.255/32", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"])
                .into_iter()
                .map(|to| dhcp(68, 67, to))
                .collect()
        }
        Family::V6 => {
            let mut rules: Vec<Rule> = nets(&["ff02::1:2/128", "ff05::1:3/128", "fe80::/10", "fc00::/7"])
                .into_iter()
                .map(|to| dhcp(546, 547, to))
                .collect();
            // Routers are asked as a group.
            let routers = nets(&["ff02::2/128"]).into_iter();
            rules.extend(routers.map(|group| accept().to(group).icmp_type(133).hop_limit(255)));
            rules.extend(nets(&["fe80::/10", "ff02::/16"]).into_iter().flat_map(|net| neighbours(view, net)));
            // MLD reports and done go one hop, to multicast groups.
            let groups = nets(&["ff00::/8"]);
            rules.extend(
                [131, 132, 143]
                    .into_iter()
                    .flat_map(|number| groups.iter().map(move |&group| (number, group)))
                    .map(|(number, group)| accept().to(group).icmp_type(number).hop_limit(1)),
            );
            rules
        }
    }
}

/// A neighbour is asked for, and asks, with a hop limit of 255. Routers forward that to any address that
/// is not on the link, so the addresses are named.
pub(super) fn neighbours(view: &View<'_>, net: IpNet) -> Vec<Rule> {
    if Family::of(net.addr()) != view.family || view.family == Family::V4 {
        return Vec::new();
    }
    let message = |number| view.rule(Verdict::Accept).to(net).icmp_type(number).hop_limit(255);
    [135, 136].map(message).to_vec()
}

fn lan(view: &View<'_>) -> Vec<Rule> {
    let lan = &view.config.lan;
    let mut rules = Vec::new();
    if lan.allow {
        let of_family = |net: &IpNet| Family::of(net.addr()) == view.family;
        match &lan.networks {
            Networks::Listed(listed) => {
                let nets = view.listed_lan(listed).into_iter();
                rules.extend(nets.map(|net| view.rule(Verdict::Accept).to(net)));
            }
            // By interface as well: a private prefix that is routed elsewhere is not the LAN.
            Networks::Connected => rules.extend(view.situation.uplinks.iter().flat_map(|uplink| {
                let nets = uplink.prefixes.iter().map(crate::net::LanPrefix::net).filter(of_family);
                nets.map(|net| view.rule(Verdict::Accept).to(net).output(uplink.interface.clone()))
            })),
        }
    }
    if lan.allow && lan.multicast {
        rules.extend(discovery(view));
    }
    rules
}

pub(super) fn discovery(view: &View<'_>) -> Vec<Rule> {
    let to = |group: &str| nets(&[group]).into_iter().map(|net| view.rule(Verdict::Accept).to(net));
    let ask = |group: &str, port: Port, hops: &[HopLimit]| -> Vec<Rule> {
        let udp = to(group).map(|rule| rule.transport(Transport::Udp).dport(port));
        udp.flat_map(|rule| hops.iter().map(move |&limit| rule.clone().hops(limit))).collect()
    };
    match view.family {
        Family::V4 => {
            let mut rules = ask("224.0.0.251/32", MDNS, &MDNS_HOPS);
            rules.extend(ask("239.255.255.250/32", SSDP, &SSDP_HOPS));
            // IGMP goes one hop (RFC 3376, 4).
            rules.extend(to("224.0.0.0/4").map(|rule| rule.protocol(Protocol::Igmp).hop_limit(1)));
            rules
        }
        Family::V6 => {
            let ssdp = ["ff02::c/128", "ff05::c/128"].map(|group| ask(group, SSDP, &SSDP_HOPS)).concat();
            [ask("ff02::fb/128", MDNS, &MDNS_HOPS), ssdp].concat()
        }
    }
}

/// The host speaks to its own containers and virtual machines, whose bridges are no uplinks. Only to
/// private addresses: should a bridge to the world carry such a name, the internet is not behind it.
fn containers(view: &View<'_>) -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        view.shut_out_bridges().map(|pattern| view.rule(Verdict::Return).output(pattern)).collect();
    rules.extend(private(view.family).into_iter().map(|net| view.rule(Verdict::Accept).to(net)));
    rules
}

/// Answers to what `input.allow` let in: only those, only to where it came from, and only with the
/// uplink's own address. A flow that came in through a tunnel has the tunnel's: should the tunnel go,
/// its answers must not go on in clear.
fn replies(view: &View<'_>) -> Vec<Rule> {
    let uplinks = view.situation.uplinks.iter();
    let own =
        uplinks.flat_map(|uplink| uplink.addresses.iter().map(move |&address| (&uplink.interface, address)));
    own.filter(|(_, address)| Family::of(*address) == view.family)
        .flat_map(|(interface, address)| {
            view.inbound().flat_map(move |inbound| {
                let base = view
                    .rule(Verdict::Accept)
                    .from(address.into())
                    .output(interface.clone())
                    .tracked(super::Tracked::EstablishedReply);
                let base = match inbound.from {
                    Some(net) => base.to(net),
                    None => base,
                };
                traffic_rules(&inbound.traffic, &base).into_iter().map(Rule::mirrored).collect::<Vec<_>>()
            })
        })
        .collect()
}

/// Answers of docker-proxy's, as narrow.
fn proxied(view: &View<'_>) -> Vec<Rule> {
    let answer = |(uplink, net, transport, port): (&IfName, IpNet, Transport, Port)| {
        let own = view.situation.uplinks.iter().find(|own| own.interface == *uplink);
        let own = own.into_iter().flat_map(|own| own.addresses.iter().copied());
        own.filter(|address| Family::of(*address) == view.family)
            .map(|address| {
                let base = view.rule(Verdict::Accept).from(address.into()).to(net).output(uplink.clone());
                base.transport(transport).sport(port).tracked(super::Tracked::EstablishedReply)
            })
            .collect::<Vec<_>>()
    };
    view.proxied().into_iter().flat_map(answer).collect()
}

fn private(family: Family) -> Vec<IpNet> {
    match family {
        Family::V4 => nets(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"]),
        Family::V6 => nets(&["fc00::/7", "fe80::/10", "ff02::/16"]),
    }
}

/// Networks that are known when this is written. A test reads every one of them.
pub(super) fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}
