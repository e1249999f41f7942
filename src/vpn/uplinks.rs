//! Which links have been uplinks, so that one stays a wire while its address is away.
//!
//! Only its address, its routes or its ports distinguish a veth, a bridge, or a tunnel that the configuration
//! does not name, from a container's link. `nmcli connection up` removes those for a moment, and a container
//! that shares the link goes on sending.

use std::collections::BTreeSet;

use super::{Link, LinkKind, LinkTable, Wire};
use crate::config::Config;

impl LinkTable {
    /// The links that have led out: those of `before` that are still there, and those that are seen to
    /// lead out now. A link that has become a container's is forgotten; `of_docker` are the bridges that
    /// Docker calls its own.
    pub(super) fn remember_uplinks(
        &mut self,
        before: &BTreeSet<u32>,
        of_docker: &BTreeSet<&str>,
        config: &Config,
    ) {
        self.known_uplinks.clear();
        let leading: BTreeSet<u32> =
            self.links.iter().filter(|link| self.leads_out(link, config)).map(index).collect();
        let given = |link: &&Link| link.kind == LinkKind::Bridge && of_docker.contains(link.name.as_str());
        let given: BTreeSet<u32> = self.links.iter().filter(given).map(index).collect();
        // First the bridges: a port of one that is remembered is no container's.
        let is_bridge = |link: &&Link| link.kind == LinkKind::Bridge;
        let kept = |link: &&Link| before.contains(&link.index) && !given.contains(&link.index);
        let bridges: Vec<u32> = self.links.iter().filter(is_bridge).filter(kept).map(index).collect();
        self.known_uplinks.extend(leading.iter().copied().chain(bridges));
        let kept = |link: &&Link| {
            kept(link) && !self.is_containers_port(link, config) && !self.is_tunnel(link, config)
        };
        let others: Vec<u32> = self.links.iter().filter(kept).map(index).collect();
        self.known_uplinks.extend(others);
    }

    /// Whether there are uplinks, and none of them is connected.
    pub(super) fn are_disconnected(&self, config: &Config) -> bool {
        let mut uplinks = self.links.iter().filter(|link| self.is_uplink(link, config)).peekable();
        uplinks.peek().is_some() && uplinks.all(|link| !link.is_addressed())
    }

    /// The links that are known as uplinks.
    pub(super) fn known_uplinks(&self) -> Vec<Wire> {
        let known = self.links.iter().filter(|link| self.known_uplinks.contains(&link.index));
        let wire = |link: &Link| Some(Wire { interface: link.name.parse().ok()?, index: link.index });
        let mut known: Vec<Wire> = known.filter_map(wire).collect();
        known.sort();
        known
    }

    /// Whether a link must be remembered as an uplink, because it surely is one now. A network card is recognised by
    /// its kind and needs no memory. A bridge without ports may yet become a container's.
    fn leads_out(&self, link: &Link, config: &Config) -> bool {
        match link.kind {
            LinkKind::Loopback | LinkKind::Other => false,
            LinkKind::Bridge => !self.is_container_bridge(link),
            LinkKind::Veth
            | LinkKind::Tunnel
            | LinkKind::Ipsec
            | LinkKind::Ppp
            | LinkKind::WireGuard
            | LinkKind::OpenVpn => !link.addresses.is_empty() && self.is_uplink(link, config),
        }
    }

    fn is_containers_port(&self, link: &Link, config: &Config) -> bool {
        link.master.is_some_and(|master| self.is_bridge_of_containers(master, config))
    }
}

fn index(link: &Link) -> u32 {
    link.index
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::super::{DockerBackend, DockerNetwork, DockerView, Event, Machine, Remembered};
    use super::*;

    fn link(index: u32, name: &str, kind: LinkKind, address: Option<&str>, master: Option<u32>) -> Link {
        let addresses = address.map(|address| address.parse().unwrap()).into_iter().collect();
        Link { master, addresses, ..Link::plain(index, name, kind) }
    }

    fn machine() -> Machine {
        Machine::new(Config::default(), Remembered::default(), 0)
    }

    /// The wires after these links were seen one after another.
    fn wires(machine: &mut Machine, tables: &[&[Link]]) -> Vec<String> {
        for links in tables {
            machine.step(Event::Links(LinkTable { links: links.to_vec(), ..LinkTable::default() }), 0);
        }
        machine.situation().wires.iter().map(|wire| wire.interface.to_string()).collect()
    }

    #[test]
    fn an_uplink_stays_a_wire_without_its_address_under_another_name_and_after_a_restart() {
        let own = link(2, "eth0", LinkKind::Veth, Some("10.0.0.2/24"), None);
        let (bare, renamed) =
            (Link { addresses: vec![], ..own.clone() }, Link { name: "lan0".to_owned(), ..own.clone() });
        let renamed = Link { addresses: vec![], ..renamed };
        assert_eq!(wires(&mut machine(), &[from_ref(&bare)]), [""; 0], "it may be a container's");
        let mut first = machine();
        assert_eq!(wires(&mut first, &[from_ref(&own), from_ref(&bare)]), ["eth0"]);
        assert_eq!(wires(&mut first, &[&[renamed]]), ["lan0"]);
        let uplinks = first.situation().known_uplinks;
        let mut next = Machine::new(Config::default(), Remembered { uplinks, ..Remembered::default() }, 0);
        assert_eq!(wires(&mut next, &[from_ref(&bare)]), ["eth0"], "the next agent");
        // Gone, it is forgotten: what comes back is another link.
        assert_eq!(wires(&mut next, &[&[], &[bare]]), [""; 0]);
    }

    #[test]
    fn a_wire_that_no_rule_can_name_is_reported() {
        let links = ["quo\"ted", "eth0", "plus+"].map(|name| link(2, name, LinkKind::Other, None, None));
        let mut machine = machine();
        assert_eq!(wires(&mut machine, &[&links]), ["eth0"]);
        assert_eq!(machine.situation().unnamed_wires, ["plus+", "quo\"ted"]);
    }

    #[test]
    fn every_kind_that_needs_an_address_is_remembered() {
        for (name, kind) in
            [("ppp0", LinkKind::Ppp), ("office", LinkKind::WireGuard), ("eth0", LinkKind::Veth)]
        {
            let own = link(2, name, kind, Some("10.0.0.2/24"), None);
            let bare = Link { addresses: vec![], up: false, carrier: false, ..own.clone() };
            assert_eq!(wires(&mut machine(), &[&[own], &[bare]]), [name]);
        }
    }

    #[test]
    fn a_link_that_becomes_a_container_s_or_a_tunnel_is_no_wire_any_more() {
        let bridge = link(3, "docker0", LinkKind::Bridge, Some("172.17.0.1/16"), None);
        let veth = link(2, "veth0", LinkKind::Veth, Some("fe80::2/64"), None);
        let port = Link { master: Some(3), ..veth.clone() };
        let mut machine = machine();
        assert_eq!(wires(&mut machine, &[&[veth.clone(), bridge.clone()]]), ["veth0"]);
        assert_eq!(wires(&mut machine, &[&[port.clone(), bridge.clone()]]), [""; 0]);
        let bare = Link { addresses: vec![], master: None, ..port };
        assert_eq!(wires(&mut machine, &[&[bare, bridge.clone()]]), [""; 0], "it was a container's since");
        let wg = link(4, "wg0", LinkKind::WireGuard, Some("10.9.0.2/24"), None);
        assert_eq!(wires(&mut machine, &[from_ref(&wg)]), ["wg0"]);
        let tun = Link { name: "tun0".to_owned(), ..wg };
        assert_eq!(wires(&mut machine, &[&[tun]]), [""; 0]);
    }

    #[test]
    fn a_bridge_that_has_led_out_stays_an_uplink_until_docker_calls_it_its_own() {
        let card = link(2, "veth0", LinkKind::Veth, None, Some(3));
        let mut bridge = link(3, "br-lan", LinkKind::Bridge, Some("10.0.0.2/24"), None);
        let bare = bridge.clone();
        bridge.routes = vec!["0.0.0.0/0".parse().unwrap()];
        assert_eq!(wires(&mut machine(), &[&[card.clone(), bare.clone()]]), [""; 0], "it is a container's");
        let mut machine = machine();
        assert_eq!(
            wires(&mut machine, &[&[card.clone(), bridge], &[card.clone(), bare.clone()]]),
            ["br-lan", "veth0"]
        );
        let bridge = "br-lan".parse().ok();
        let (name, driver, internal, ipv6) = ("net".to_owned(), "bridge".to_owned(), false, false);
        let networks = vec![DockerNetwork { name, driver, bridge, internal, ipv6 }];
        let (version, backend) = ("20.10.24".to_owned(), DockerBackend::Iptables);
        machine.step(Event::Docker(Some(DockerView { version, backend, networks })), 0);
        assert_eq!(wires(&mut machine, &[&[card, bare]]), [""; 0]);
    }

    #[test]
    fn a_new_bridge_is_a_wire_only_until_it_has_a_container() {
        let bridge = link(3, "mybr0", LinkKind::Bridge, Some("10.0.3.1/24"), None);
        let port = link(2, "veth0", LinkKind::Veth, None, Some(3));
        assert_eq!(wires(&mut machine(), &[from_ref(&bridge)]), ["mybr0"]);
        assert_eq!(wires(&mut machine(), &[from_ref(&bridge), &[bridge.clone(), port]]), [""; 0]);
    }
}
