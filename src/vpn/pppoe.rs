//! Which sessions of PPPoE may send frames, and on which wires.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Link, LinkKind, LinkTable};
use crate::config::Config;
use crate::net::IfName;

/// A session of PPPoE that the kernel itself carries (RFC 2516).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PppoeSession {
    /// The link that its frames go out on.
    pub interface: IfName,
    /// Its number, as the server gave it.
    pub id: u16,
    /// The server's address on Ethernet.
    pub peer: [u8; 6],
}

impl LinkTable {
    /// The names of the links of kind `ppp` that are no tunnel. One of them may be the link of a PPPoE session; the
    /// kernel does not say which.
    pub(super) fn ppp_links(&self, config: &Config) -> Vec<IfName> {
        let links = self.links.iter().filter(|link| self.is_own_ppp(link, config));
        let mut names: Vec<IfName> = links.filter_map(|link| link.name.parse().ok()).collect();
        names.sort();
        names
    }

    /// The kernel's sessions, once for each wire that their frames go out on. There are none without a link of kind
    /// `ppp` that is no tunnel: every user can open a session, but only root can make such a link.
    pub(super) fn pppoe(&self, config: &Config) -> Vec<PppoeSession> {
        if !self.links.iter().any(|link| self.is_own_ppp(link, config)) {
            return Vec::new();
        }
        let wires: BTreeMap<u32, IfName> =
            self.wires(config).into_iter().map(|wire| (wire.index, wire.interface)).collect();
        let sessions: BTreeSet<PppoeSession> = self
            .sessions
            .iter()
            .flat_map(|session| {
                let below = self.named(&session.interface).map(|link| self.below(link)).unwrap_or_default();
                let wires = below.into_iter().filter_map(|index| wires.get(&index).cloned());
                wires.map(|interface| PppoeSession { interface, ..session.clone() }).collect::<Vec<_>>()
            })
            .collect();
        sessions.into_iter().collect()
    }

    fn is_own_ppp(&self, link: &Link, config: &Config) -> bool {
        link.kind == LinkKind::Ppp && !self.is_tunnel(link, config)
    }

    /// A link and all links that its frames go out on: the card of a VLAN, the ports of a bond or a bridge.
    fn below(&self, link: &Link) -> BTreeSet<u32> {
        let mut found = BTreeSet::from([link.index]);
        let mut open = vec![link.index];
        while let Some(above) = open.pop() {
            let ports = self.links.iter().filter(|port| port.master == Some(above)).map(|port| port.index);
            let lower = self.lower.get(&above).copied();
            open.extend(ports.chain(lower).filter(|index| found.insert(*index)));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x17];

    fn session(interface: &str) -> PppoeSession {
        PppoeSession { interface: interface.parse().unwrap(), id: 0x0102, peer: PEER }
    }

    fn table(links: &[(u32, &str, LinkKind, Option<u32>)], on: &str) -> LinkTable {
        let link = |&(index, name, kind, master): &(u32, &str, LinkKind, Option<u32>)| Link {
            master,
            ..Link::plain(index, name, kind)
        };
        LinkTable {
            links: links.iter().map(link).collect(),
            sessions: vec![session(on)],
            ..LinkTable::default()
        }
    }

    fn open(table: &LinkTable, config: &str) -> Vec<String> {
        let config = Config::parse(config, "config.toml").unwrap();
        let open = table.pppoe(&config);
        assert!(open.iter().all(|open| (open.id, open.peer) == (0x0102, PEER)), "{open:?}");
        open.iter().map(|open| open.interface.to_string()).collect()
    }

    const CARDS: [(u32, &str, LinkKind, Option<u32>); 2] =
        [(2, "eth0", LinkKind::Other, None), (3, "eth1", LinkKind::Other, None)];

    #[test]
    fn a_session_opens_its_own_wire_alone() {
        let links = [&CARDS[..], &[(4, "ppp0", LinkKind::Ppp, None)]].concat();
        assert_eq!(open(&table(&links, "eth0"), ""), ["eth0"]);
        assert_eq!(open(&table(&links, "eth1"), ""), ["eth1"]);
        assert_eq!(open(&table(&links, "eth7"), ""), [""; 0], "a link that is not there");
    }

    #[test]
    fn a_session_opens_nothing_without_a_link_of_ppp_or_beside_a_vpn_s_alone() {
        assert_eq!(open(&table(&CARDS, "eth0"), ""), [""; 0], "any user can open a session");
        let links = [&CARDS[..], &[(4, "ppp0", LinkKind::Ppp, None)]].concat();
        assert_eq!(open(&table(&links, "eth0"), "[tunnel]\ninterfaces = [\"ppp0\"]\n"), [""; 0]);
        let named = [&CARDS[..], &[(4, "ppp0", LinkKind::Veth, None)]].concat();
        assert_eq!(open(&table(&named, "eth0"), ""), [""; 0], "the kind decides, not the name");
    }

    #[test]
    fn a_session_on_a_vlan_or_a_bond_opens_the_cards_below() {
        let more = [(4, "ppp0", LinkKind::Ppp, None), (5, "eth0.7", LinkKind::Other, None)];
        let links = [&CARDS[..], &more].concat();
        let vlan = LinkTable { lower: BTreeMap::from([(5, 2)]), ..table(&links, "eth0.7") };
        assert_eq!(open(&vlan, ""), ["eth0", "eth0.7"]);
        // The session of the card itself does not pass on its VLAN.
        let card = LinkTable { lower: BTreeMap::from([(5, 2)]), ..table(&links, "eth0") };
        assert_eq!(open(&card, ""), ["eth0"]);
        let bond = [
            (2, "eth0", LinkKind::Other, Some(6)),
            (3, "eth1", LinkKind::Other, None),
            (4, "ppp0", LinkKind::Ppp, None),
            (6, "bond0", LinkKind::Other, None),
        ];
        assert_eq!(open(&table(&bond, "bond0"), ""), ["bond0", "eth0"]);
        // The kernel has no such circle. The search must end.
        let circle = LinkTable { lower: BTreeMap::from([(2, 3), (3, 2)]), ..table(&links, "eth0") };
        assert_eq!(open(&circle, ""), ["eth0", "eth1"]);
    }
}
