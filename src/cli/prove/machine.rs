//! The facts about links that `prove` and `why` use.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::Config;
use crate::model::{LinkFacts, Machine};
use crate::system;
use crate::vpn::{ExactTunnel, LinkKind, LinkTable, Situation, Wire};

/// The links as the kernel has them now. The kernel's data decide which of them lead out. Only one fact comes from the
/// agent: which links have led out before.
pub(super) fn machine(mut table: LinkTable, config: &Config, situation: &Situation) -> Machine {
    table.known_uplinks = situation.wires.iter().map(|wire| wire.index).collect();
    table.exact_tunnels.clone_from(&situation.exact_tunnels);
    // An older agent saved only the tunnels that carry packets.
    let makers = BTreeSet::from([ExactTunnel::WireGuardFile, ExactTunnel::OpenVpnFile]);
    for name in &situation.further_tunnels {
        table.exact_tunnels.entry(name.clone()).or_insert_with(|| makers.clone());
    }
    let (ports, uplinks): (Vec<Wire>, Vec<Wire>) =
        table.wires(config).into_iter().partition(|wire| is_port(&table, wire, is_bond));
    let names = |wires: Vec<Wire>| wires.into_iter().map(|wire| wire.interface.to_string());
    Machine {
        uplinks: names(uplinks).chain(table.unnamed_wires(config)).collect(),
        ports: names(ports).collect(),
        tunnels: situation.tunnels.iter().map(|tunnel| tunnel.interface.to_string()).collect(),
        devices: devices(&table, config, situation),
        links: table
            .links
            .iter()
            .map(|link| LinkFacts { name: link.name.clone(), kind: link.kind })
            .collect(),
        now: i64::try_from(system::now()).unwrap_or(i64::MAX),
    }
}

/// Devices with the exact name of a tunnel that carry no packets of it: a user may have made them.
fn devices(table: &LinkTable, config: &Config, situation: &Situation) -> Vec<String> {
    let carries = |name: &str| situation.further_tunnels.iter().any(|tunnel| tunnel.as_str() == name);
    table.exact_names(config).into_iter().filter(|name| !carries(name)).collect()
}

/// Whether only frames leave on a link, because it is a port of a bridge or of a bond. A link with another master (VRF)
/// has packets of its own.
fn is_port(table: &LinkTable, wire: &Wire, is_bond: impl Fn(&str) -> bool) -> bool {
    let link = |index: u32| table.links.iter().find(move |link| link.index == index);
    let master = link(wire.index).and_then(|link| link.master).and_then(link);
    master.is_some_and(|master| master.kind == LinkKind::Bridge || is_bond(&master.name))
}

/// Whether a link is a bond: for a bond, and for no other link, the kernel has this folder with settings.
fn is_bond(name: &str) -> bool {
    !name.contains('/') && Path::new("/sys/class/net").join(name).join("bonding").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpn::Link;

    #[test]
    fn a_device_with_the_name_of_roots_file_is_no_uplink_and_is_judged_while_it_carries_nothing() {
        let makers = BTreeSet::from([ExactTunnel::OpenVpnFile]);
        let address = vec!["10.99.0.1/24".parse().unwrap()];
        let link = |kind| Link { addresses: address.clone(), ..Link::plain(7, "nordvpn0", kind) };
        let of = |kind, further: &[&str]| {
            let situation = Situation {
                exact_tunnels: [("nordvpn0".parse().unwrap(), makers.clone())].into(),
                further_tunnels: further.iter().map(|name| name.parse().unwrap()).collect(),
                ..Situation::default()
            };
            let table = LinkTable { links: vec![link(kind)], ..LinkTable::default() };
            let machine = machine(table, &Config::default(), &situation);
            [machine.uplinks, machine.devices]
        };
        let (no, nord) = (Vec::<String>::new(), vec!["nordvpn0".to_owned()]);
        assert_eq!(of(LinkKind::Tunnel, &[]), [no.clone(), nord.clone()], "a user's");
        assert_eq!(of(LinkKind::Tunnel, &["nordvpn0"]), [no.clone(), no.clone()], "root's");
        assert_eq!(of(LinkKind::Ipsec, &[]), [nord, no], "of a kind that OpenVPN does not make");
    }

    #[test]
    fn only_a_port_of_a_bridge_or_a_bond_sends_frames_alone() {
        let link = |index, name: &str, kind, master| Link { master, ..Link::plain(index, name, kind) };
        let is_port_of = |name: &str, kind| {
            let links = vec![link(2, "eth0", LinkKind::Other, Some(3)), link(3, name, kind, None)];
            let table = LinkTable { links, ..LinkTable::default() };
            let wire = Wire { interface: "eth0".parse().unwrap(), index: 2 };
            is_port(&table, &wire, |name| name == "bond0")
        };
        assert!(is_port_of("br0", LinkKind::Bridge));
        assert!(is_port_of("bond0", LinkKind::Other));
        assert!(!is_port_of("vrf0", LinkKind::Other), "a card in a VRF has packets of its own");
    }
}
