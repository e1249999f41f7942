//! How programs find each other on the LAN: what they ask, which answers come in, and what else a service needs
//! that `lan.services` names.

use super::view::View;
use super::well_known::{
    ASKING_PORTS, BROADCAST, KDE_CONNECT, KDE_CONNECT_LINKS, LOCALSEND, LOCALSEND_GROUP, MDNS, SSDP,
    SSDP_HOPS, WAKE_ON_LAN, WS_DISCOVERY, ws_discovery_group,
};
use super::{Asked, Chain, Rule, Ruleset, Table, Verdict};
use crate::config::LanService;
use crate::net::{Family, Port, Transport};

/// The services that `lan.services` names; none while the LAN is closed.
fn services<'a>(view: &View<'a>) -> &'a [LanService] {
    let lan = &view.config.lan;
    if lan.allow { &lan.services } else { &[] }
}

/// What the services of `lan.services` send to their groups, on any link.
pub(super) fn questions(view: &View<'_>) -> Vec<Rule> {
    let to = |net| view.rule(Verdict::Accept).to(net).transport(Transport::Udp);
    let v4 = view.family == Family::V4;
    let of = |service: &LanService| match service {
        LanService::WsDiscovery => {
            let ask = to(ws_discovery_group(view.family)).dport(WS_DISCOVERY);
            SSDP_HOPS.into_iter().flat_map(|limit| question(ask.clone().hops(limit))).collect()
        }
        LanService::LocalSend if v4 => {
            let ask = to(LOCALSEND_GROUP).dport(LOCALSEND);
            SSDP_HOPS.into_iter().flat_map(|limit| question(ask.clone().hops(limit))).collect()
        }
        LanService::KdeConnect if v4 => question(to(BROADCAST).dport(KDE_CONNECT)).into(),
        LanService::WakeOnLan if v4 => WAKE_ON_LAN.map(|port| to(BROADCAST).dport(port)).to_vec(),
        LanService::LocalSend | LanService::KdeConnect | LanService::WakeOnLan => Vec::new(),
    };
    services(view).iter().flat_map(of).collect()
}

/// Lets a packet to a group leave. From a port that the kernel has chosen it is a question, and its answers come
/// in. A service that answers the group from its own port opens nothing: any machine can make it answer.
pub(super) fn question(to_group: Rule) -> [Rule; 2] {
    [to_group.clone().sport(ASKING_PORTS).asked(Asked::Question), to_group]
}

/// Answers to questions to a group: from the port that was asked, from the LAN of the link.
pub(super) fn answers(view: &View<'_>) -> Vec<Rule> {
    let lan = &view.config.lan;
    let mut ports: Vec<Port> = if lan.allow && lan.multicast { vec![MDNS, SSDP] } else { Vec::new() };
    ports.extend(services(view).iter().filter_map(|service| match service {
        LanService::WsDiscovery => Some(WS_DISCOVERY),
        LanService::LocalSend => Some(LOCALSEND),
        LanService::KdeConnect => Some(KDE_CONNECT),
        LanService::WakeOnLan => None,
    }));
    from_the_lan(view)
        .flat_map(|from| {
            let from = from.transport(Transport::Udp).dport(ASKING_PORTS).asked(Asked::Answer);
            ports.iter().map(|&port| from.clone().sport(port)).collect::<Vec<_>>()
        })
        .collect()
}

/// What other machines of the LAN may open towards these services.
pub(super) fn inbound(view: &View<'_>) -> Vec<Rule> {
    let of = |from: &Rule, service: &LanService| {
        let from = |transport| from.clone().transport(transport);
        match service {
            LanService::LocalSend => {
                vec![from(Transport::Tcp).dport(LOCALSEND), from(Transport::Udp).dport(LOCALSEND)]
            }
            LanService::KdeConnect => {
                vec![from(Transport::Tcp).dport(KDE_CONNECT_LINKS), from(Transport::Udp).dport(KDE_CONNECT)]
            }
            LanService::WsDiscovery | LanService::WakeOnLan => Vec::new(),
        }
    };
    from_the_lan(view)
        .flat_map(|from| services(view).iter().flat_map(|service| of(&from, service)).collect::<Vec<_>>())
        .collect()
}

fn from_the_lan<'a>(view: &View<'a>) -> impl Iterator<Item = Rule> + use<'a> {
    let accept = view.rule(Verdict::Accept);
    view.lans().into_iter().map(move |(uplink, net)| accept.clone().from(net).input(uplink.clone()))
}

impl Ruleset {
    /// Whether it lets answers to questions to a group in, which takes `xt_recent` in iptables.
    pub fn has_answers(&self) -> bool {
        let mut tables = Family::ALL.into_iter().flat_map(|family| self.family(family));
        tables
            .any(|table| table.chains.iter().flat_map(|chain| &chain.rules).any(|rule| rule.asked.is_some()))
    }

    /// The same rules for a kernel without `xt_recent`: the questions leave, and no answer comes in.
    pub fn without_answers(&self) -> Self {
        let rule = |rule: &Rule| match rule.asked {
            Some(Asked::Answer) => None,
            Some(Asked::Question) | None => Some(Rule { asked: None, ..rule.clone() }),
        };
        let chain = |chain: &Chain| Chain { rules: chain.rules.iter().filter_map(rule).collect(), ..*chain };
        let tables = |tables: &[Table]| -> Vec<Table> {
            let table =
                |table: &Table| Table { chains: table.chains.iter().map(chain).collect(), ..table.clone() };
            tables.iter().map(table).collect()
        };
        Self { ipv4: tables(&self.ipv4), ipv6: tables(&self.ipv6), ..self.clone() }
    }
}
