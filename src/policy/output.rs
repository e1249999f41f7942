//! What the host itself may send.

use super::view::{Proxied, View, loopback, to_name_servers, traffic_rules};
use super::well_known::{
    ALL_ROUTERS, BROADCAST, FROM_THIS_LINK, GROUPS_V4, GROUPS_V6, HTTP, HTTPS, LINK_GROUPS, LINK_LOCAL, MDNS,
    MDNS_HOPS, ONE_HOP, SSDP, SSDP_HOPS, dhcp_client, dhcp_server, dhcp_servers, icmpv6, mdns_group, private,
    ssdp_groups,
};
use super::{Chain, ChainName, HopLimit, Protocol, Rule, Tracked, Verdict, bootstrap, lan_services, refusal};
use crate::config::{InboundOn, Networks};
use crate::net::{Family, IfName, Port, Transport};
use crate::vpn::{Refusal, Uplink};
use ipnet::IpNet;

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
        refusal::chain(view),
    ]
}

fn output(view: &View<'_>) -> Vec<Rule> {
    let jump = |chain| view.rule(Verdict::Jump(chain));
    let mut rules = vec![view.rule(Verdict::Accept).output(loopback())];
    rules.extend(view.pause(Verdict::Accept));
    rules.extend(portal(view));
    // A server may listen on 53 or 853: the allowance names it exactly, and stands before the refusal of DNS.
    rules.push(jump(ChainName::VpnBootstrap));
    // A resolver in a container is no way out, because its own questions are forwarded into the tunnel. So
    // containers stand before the refusal of DNS too.
    rules.extend(view.bridges().map(|bridge| jump(ChainName::VpnContainers).output(bridge)));
    // DNS is refused before the LAN is allowed: a router is on the LAN, and asks the ISP.
    rules.extend(to_name_servers(&jump(ChainName::VpnDns)));
    rules.extend([jump(ChainName::VpnTunnel), jump(ChainName::VpnLink), jump(ChainName::VpnLan)]);
    rules.extend(replies(view));
    rules.extend(proxied(view));
    // No rule accepts packets because their connection is established: a connection from before the lock, or
    // one whose route has moved off the tunnel, would go on in clear.
    rules.extend(refusal::reported(view.rule(Verdict::Drop), view.reason()));
    rules
}

/// What signing in at a captive portal takes: DNS and web pages. Only the host may send it, and only by the
/// uplinks that lead out.
fn portal(view: &View<'_>) -> Vec<Rule> {
    let pages = portal_pages(view);
    let by =
        |uplink: &IfName| pages.iter().map(|rule| rule.clone().output(uplink.clone())).collect::<Vec<_>>();
    view.situation.portal_uplinks.iter().flat_map(by).collect()
}

/// The same on every link, to any address: the portal may be anywhere, and often answers in the name of other
/// servers.
pub(super) fn portal_pages(view: &View<'_>) -> Vec<Rule> {
    let wanted = [
        (Transport::Udp, Port::DNS),
        (Transport::Tcp, Port::DNS),
        (Transport::Tcp, HTTP),
        (Transport::Tcp, HTTPS),
    ];
    let open = match view.situation.portal_uplinks[..] {
        [] => None,
        [..] => view.paused(Verdict::Accept),
    };
    let page = |rule: Rule| wanted.map(|(by, port)| rule.clone().transport(by).dport(port));
    open.into_iter().flat_map(page).collect()
}

fn dns(view: &View<'_>) -> Vec<Rule> {
    let refuse = |drop: Rule| refusal::reported(drop, Refusal::DnsOutsideTunnel);
    let mut rules: Vec<Rule> = shut_out(view, &Verdict::Drop).into_iter().flat_map(refuse).collect();
    rules.extend(view.tunnels().into_iter().map(|tunnel| view.rule(Verdict::Return).output(tunnel)));
    rules.extend(refuse(view.rule(Verdict::Drop)));
    rules
}

fn tunnel(view: &View<'_>) -> Vec<Rule> {
    // A network card may have a name that a tunnel's pattern matches.
    let mut rules = shut_out(view, &Verdict::Return);
    for tunnel in view.tunnels() {
        let base = view.rule(Verdict::Accept).output(tunnel);
        rules.extend(view.traffic(&view.config.tunnel.allow, &base));
        rules.extend(view.through_the_tunnel().iter().flat_map(|inbound| {
            let answer = base.clone().tracked(Tracked::EstablishedReply);
            let answer = match inbound.from {
                Some(net) => answer.to(net),
                None => answer,
            };
            traffic_rules(&inbound.traffic, &answer).into_iter().map(Rule::mirrored).collect::<Vec<_>>()
        }));
    }
    rules
}

fn shut_out(view: &View<'_>, verdict: &Verdict) -> Vec<Rule> {
    let shut = view.situation.shut_out.iter().cloned();
    shut.map(|pattern| view.rule(verdict.clone()).output(pattern)).collect()
}

/// What the host may send to the link itself. A neighbour with a global address is asked on its own link
/// alone.
fn host_link(view: &View<'_>) -> Vec<Rule> {
    let mut rules = link(view);
    for uplink in &view.situation.uplinks {
        let on_link = uplink.on_link.iter().flat_map(|&net| neighbours(view, net));
        rules.extend(on_link.map(|rule| rule.output(uplink.interface.clone())));
    }
    rules
}

/// DHCP, neighbour discovery and MLD, as far as they do not depend on the addresses of a link.
pub(super) fn link(view: &View<'_>) -> Vec<Rule> {
    let accept = || view.rule(Verdict::Accept);
    // The socket of a DHCP client is root's, or systemd-networkd's.
    let (client, server) = (dhcp_client(view.family), dhcp_server(view.family));
    let dhcp = |uid| {
        dhcp_servers(view.family).into_iter().map(move |to| accept().to(to).udp(client, server).owner(uid))
    };
    let mut rules: Vec<Rule> =
        [0].into_iter().chain(view.owners.leases.iter().copied()).flat_map(dhcp).collect();
    if view.family == Family::V4 {
        return rules;
    }
    // A router solicitation goes to the group of all routers.
    let ask = accept().to(ALL_ROUTERS).icmp_type(icmpv6::ROUTER_SOLICITATION);
    rules.push(ask.hop_limit(FROM_THIS_LINK));
    rules.extend([LINK_LOCAL, LINK_GROUPS].into_iter().flat_map(|net| neighbours(view, net)));
    let listeners = [icmpv6::LISTENER_REPORT, icmpv6::LISTENER_DONE, icmpv6::LISTENER_REPORT_V2];
    rules.extend(listeners.map(|number| accept().to(GROUPS_V6).icmp_type(number).hop_limit(ONE_HOP)));
    rules
}

/// Solicitations and advertisements of neighbours. Routers forward those to an address that is not on the
/// link, so the network is named.
pub(super) fn neighbours(view: &View<'_>, net: IpNet) -> Vec<Rule> {
    if Family::of(net.addr()) != view.family || view.family == Family::V4 {
        return Vec::new();
    }
    let message = |number| view.rule(Verdict::Accept).to(net).icmp_type(number).hop_limit(FROM_THIS_LINK);
    [icmpv6::NEIGHBOUR_SOLICITATION, icmpv6::NEIGHBOUR_ADVERTISEMENT].map(message).to_vec()
}

fn lan(view: &View<'_>) -> Vec<Rule> {
    let lan = &view.config.lan;
    if !lan.allow {
        return Vec::new();
    }
    let to = |net| view.rule(Verdict::Accept).to(net);
    let refuse = |drop: Rule| refusal::reported(drop, Refusal::NotThroughTunnel);
    let mut rules: Vec<Rule> = of_tunnels(view).into_iter().flat_map(refuse).collect();
    match &lan.networks {
        Networks::Listed(listed) => rules.extend(view.listed_lans(listed).into_iter().map(to)),
        // By interface as well: a private network that is routed elsewhere is not the LAN.
        Networks::Connected => {
            rules.extend(view.connected_lans().map(|(uplink, net)| to(net).output(uplink.clone())));
        }
    }
    if lan.multicast {
        rules.extend(discovery(view));
    }
    // By interface: a broadcast leaves by the default route, which may be the tunnel's.
    let questions = lan_services::questions(view);
    let by = |uplink: &Uplink| {
        questions.iter().map(|rule| rule.clone().output(uplink.interface.clone())).collect::<Vec<_>>()
    };
    rules.extend(view.situation.uplinks.iter().flat_map(by));
    rules
}

/// What has a tunnel's own address as its source is not for the LAN: it answers a connection that came out of the
/// tunnel, or belongs to one that went into it.
pub(super) fn of_tunnels(view: &View<'_>) -> Vec<Rule> {
    view.tunnel_addresses().map(|own| view.rule(Verdict::Drop).from(own.address.into())).collect()
}

/// What finds printers and players on the LAN: mDNS and SSDP, and in IPv4 the membership of their groups.
pub(super) fn discovery(view: &View<'_>) -> Vec<Rule> {
    let to = |net| view.rule(Verdict::Accept).to(net);
    let ask = |group, port: Port, hops: &[HopLimit]| -> Vec<Rule> {
        let udp = to(group).transport(Transport::Udp).dport(port);
        hops.iter().flat_map(|&limit| lan_services::question(udp.clone().hops(limit))).collect()
    };
    let mut rules = ask(mdns_group(view.family), MDNS, &MDNS_HOPS);
    rules.extend(ssdp_groups(view.family).into_iter().flat_map(|group| ask(group, SSDP, &SSDP_HOPS)));
    if view.family == Family::V4 {
        rules.push(to(GROUPS_V4).protocol(Protocol::Igmp).hop_limit(ONE_HOP));
    }
    rules
}

/// The host may send to its own containers and virtual machines. Their bridges are no uplinks. Only private
/// addresses are allowed, so that a bridge to the internet with such a name is no way out.
fn containers(view: &View<'_>) -> Vec<Rule> {
    let mut rules: Vec<Rule> =
        view.misnamed_bridges().map(|pattern| view.rule(Verdict::Return).output(pattern)).collect();
    rules.extend(private(view.family).into_iter().map(|net| view.rule(Verdict::Accept).to(net)));
    if view.family == Family::V4 {
        // A virtual machine may ask for its lease by broadcast. No router forwards the answer.
        let (client, server) = (dhcp_client(Family::V4), dhcp_server(Family::V4));
        rules.push(view.rule(Verdict::Accept).to(BROADCAST).udp(server, client));
    }
    rules
}

/// Answers to what `input.allow` lets in, to where it came from. They need the uplink's own address as their
/// source: a connection that came in through a tunnel has the tunnel's address, and must not go on in clear
/// when the tunnel is gone.
fn replies(view: &View<'_>) -> Vec<Rule> {
    let to_inbound = |(uplink, own): (&IfName, std::net::IpAddr)| {
        let base = view.rule(Verdict::Accept).from(own.into()).output(uplink.clone());
        let base = base.tracked(Tracked::EstablishedReply);
        let answers = |inbound: &crate::config::Inbound| {
            let base = match inbound.from {
                Some(net) => base.clone().to(net),
                None => base.clone(),
            };
            traffic_rules(&inbound.traffic, &base).into_iter().map(Rule::mirrored).collect::<Vec<_>>()
        };
        view.inbound(InboundOn::Any).flat_map(answers).collect::<Vec<_>>()
    };
    view.own_addresses().flat_map(to_inbound).collect()
}

/// Answers of docker-proxy, with the same limits.
fn proxied(view: &View<'_>) -> Vec<Rule> {
    let answers = |Proxied { uplink, network, transport, port }: Proxied<'_>| {
        let own = view.own_addresses().filter(move |(interface, _)| *interface == uplink);
        own.map(move |(_, address)| {
            let base = view.rule(Verdict::Accept).from(address.into()).to(network).output(uplink.clone());
            base.transport(transport).sport(port).tracked(Tracked::EstablishedReply)
        })
        .collect::<Vec<_>>()
    };
    view.proxied().into_iter().flat_map(answers).collect()
}
