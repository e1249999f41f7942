//! Tunnels that nobody reports: the kernel's evidence, and what root's WireGuard files add to it.

mod others;

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::super::*;
use crate::config::Config;
use crate::guide::VpnKind;
use crate::net::{Endpoint, IfName};

pub(super) const SERVER: &str = "198.51.100.9:51820/udp";

/// A link that has all traffic, by its own routes.
pub(super) fn link(index: u32, name: &str, kind: LinkKind) -> Link {
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Link { addresses: nets(&["10.7.0.2/32"]), routes: nets(&["0.0.0.0/0"]), ..Link::plain(index, name, kind) }
}

pub(super) fn links(links: &[Link]) -> Event {
    Event::Links(LinkTable { links: links.to_vec(), ..LinkTable::default() })
}

pub(super) fn file(name: &str, mark: u32) -> WireGuardFile {
    WireGuardFile {
        path: format!("/etc/wireguard/{name}.conf"),
        interface: name.parse().unwrap(),
        endpoints: [SERVER.parse().unwrap()].into(),
        names: BTreeSet::new(),
        mark: NonZeroU32::new(mark),
        keys: BTreeSet::new(),
        own: None,
    }
}

/// A machine with this line of configuration and these files of root's, after its first events.
pub(super) fn begun(config: &str, files: &[WireGuardFile]) -> Machine {
    let config = Config::parse(config, "test").unwrap();
    let mut machine = Machine::new(config, Remembered::default(), 0);
    machine.step(Event::WireGuardFiles(files.to_vec()), 0);
    machine.step(Event::NetworkManager(Some(NmView { answered: u64::MAX, ..NmView::default() })), 0);
    machine.step(Event::Begun, 0);
    machine
}

fn tunnels(machine: &Machine) -> Vec<(String, TunnelSource)> {
    let tunnels = machine.situation().tunnels;
    tunnels.into_iter().map(|tunnel| (tunnel.interface.to_string(), tunnel.source)).collect()
}

pub(super) fn left_out(machine: &Machine) -> Vec<(String, String)> {
    machine.left_out().into_iter().map(|(name, what)| (name, what.remedy())).collect()
}

pub(super) fn lost(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Announce(Announcement::Lost { .. })))
}

#[test]
fn a_tunnel_that_does_not_count_protects_nothing_and_is_left_out_with_the_line_to_add() {
    let office = link(2, "office", LinkKind::WireGuard);
    let mut machine = begun("", &[]);
    let actions = machine.step(links(std::slice::from_ref(&office)), 1);
    assert_eq!((machine.situation().state, tunnels(&machine)), (State::Locked, vec![]));
    assert!(machine.situation().further_tunnels.is_empty());
    assert!(actions.iter().any(|action| matches!(action, Action::LeftOut(name, _) if name == "office")));
    let [(name, remedy)] = &left_out(&machine)[..] else { panic!("{:?}", left_out(&machine)) };
    assert!(name == "office" && remedy.ends_with("tunnel.interfaces = [\"tun+\", \"office\"]"), "{remedy}");
    // Without the internet, or as another kind of link, it is no tunnel of a VPN.
    for other in [
        Link { routes: Vec::new(), ..office.clone() },
        Link { up: false, ..office.clone() },
        Link { kind: LinkKind::Veth, ..office.clone() },
        Link { kind: LinkKind::Ppp, ..office.clone() },
    ] {
        machine.step(links(&[other]), 2);
        assert_eq!(left_out(&machine), []);
    }
    // A file of root's for another device says nothing about this one.
    let mut machine = begun("", &[file("home", 7)]);
    machine.step(links(std::slice::from_ref(&office)), 1);
    assert_eq!(machine.situation().state, State::Locked);
    // It counts for its own device, unless the configuration names other VPNs.
    let named = "vpn.connections = [\"work\"]";
    let mut machine = begun(named, &[file("office", 7)]);
    machine.step(links(&[office, link(3, "tun0", LinkKind::Tunnel)]), 1);
    assert_eq!((machine.situation().state, machine.situation().named_tunnels), (State::Locked, Some(vec![])));
    let left_out = left_out(&machine);
    assert!(left_out[0].1.ends_with("vpn.connections = [\"wireguard:office\", \"work\"]"), "{left_out:?}");
    assert!(left_out[1].0 == "tun0" && left_out[1].1.contains("vpn.connections = []"), "{left_out:?}");
}

#[test]
fn a_tunnel_that_carries_protects_and_its_end_is_a_loss() {
    for (name, kind) in
        [("tun0", LinkKind::Tunnel), ("office", LinkKind::Tunnel), ("office", LinkKind::WireGuard)]
    {
        for config in ["", "vpn.connections = [\"wireguard:office\", \"wireguard:tun0\"]"] {
            let mut machine = begun(config, &[file("office", 7), file("tun0", 7)]);
            machine.step(links(&[link(2, name, kind)]), 1);
            assert_eq!(machine.situation().state, State::Protected, "{name} {kind:?} {config}");
            assert_eq!(tunnels(&machine), [(name.to_owned(), TunnelSource::Kernel)]);
            let named: Vec<IfName> = machine.situation().further_tunnels;
            assert_eq!(named.contains(&name.parse().unwrap()), name != "tun0");
            let kernel: Vec<_> = machine.situation().bootstrap.kernel.into_iter().collect();
            let server: Endpoint = SERVER.parse().unwrap();
            assert_eq!(kernel, [(server, KernelPacket::Marked(NonZeroU32::new(7).unwrap()))]);
            assert!(lost(&machine.step(links(&[]), 2)), "{name}");
            assert_eq!((machine.situation().state, tunnels(&machine)), (State::Lost, vec![]));
            machine.step(links(&[link(3, name, kind)]), 3);
            assert_eq!(machine.situation().state, State::Protected, "another device of the same VPN");
        }
    }
    // A network card or a link of PPP with the name of root's file is no tunnel.
    let mut machine = begun("", &[file("eth0", 7), file("ppp0", 7)]);
    machine.step(links(&[link(2, "eth0", LinkKind::Other), link(3, "ppp0", LinkKind::Ppp)]), 1);
    assert_eq!(machine.situation().state, State::Locked);
    assert_eq!(machine.situation().wires.len(), 2, "both lead out");
    assert!(machine.situation().shut_out.is_empty());
}

#[test]
fn a_wireguard_device_without_a_network_under_it_is_lost_until_there_is_one() {
    let (eth0, office) = (link(2, "eth0", LinkKind::Other), link(3, "office", LinkKind::WireGuard));
    let eth0 = Link { routes: Vec::new(), ..eth0 };
    for cut in [
        Link { carrier: false, ..eth0.clone() },
        Link { up: false, ..eth0.clone() },
        Link { addresses: vec!["fe80::2/64".parse().unwrap()], ..eth0.clone() },
    ] {
        let mut machine = begun("", &[file("office", 7)]);
        machine.step(links(&[cut.clone(), office.clone()]), 1);
        assert_eq!(machine.situation().state, State::Locked);
        machine.step(links(&[eth0.clone(), office.clone()]), 2);
        assert_eq!(machine.situation().state, State::Protected);
        let actions = machine.step(links(&[cut, office.clone()]), 3);
        let reason = Reason::Unreachable;
        let is_it = |action: &Action| matches!(action, Action::Announce(Announcement::Lost { reason: told, .. }) if *told == reason);
        assert!(machine.situation().state == State::Lost && actions.iter().any(is_it), "{actions:?}");
        let wifi = Link { index: 4, name: "wlan0".to_owned(), ..eth0.clone() };
        machine.step(links(&[wifi, office.clone()]), 4);
        assert_eq!(machine.situation().state, State::Protected);
    }
}

#[test]
fn before_the_first_reports_a_link_alone_is_no_evidence() {
    let mut machine =
        Machine::new(Config::default(), Remembered { state: State::Lost, ..Remembered::default() }, 0);
    machine.step(links(&[link(2, "tun0", LinkKind::Tunnel)]), 0);
    assert_eq!(machine.situation().state, State::Lost);
    machine.step(Event::Begun, 0);
    assert_eq!(machine.situation().state, State::Protected);
}

#[test]
fn a_source_that_reports_the_link_decides_before_the_kernel() {
    let report = |kind| {
        let interface = "tun0".parse().unwrap();
        let endpoint = Some("192.0.2.1:1194/udp".parse().unwrap());
        Event::Report(
            Report { kind, interface, pid: Some(7), started: None, endpoint, either: None },
            Reporter::Root,
        )
    };
    let mut machine = begun("", &[]);
    let tun0 = links(&[link(2, "tun0", LinkKind::Tunnel)]);
    machine.step(tun0.clone(), 1);
    assert_eq!(tunnels(&machine), [("tun0".to_owned(), TunnelSource::Kernel)]);
    let actions = machine.step(report(ReportKind::Up), 2);
    assert_eq!((machine.situation().state, lost(&actions)), (State::Protected, false));
    assert_eq!(tunnels(&machine), [("tun0".to_owned(), TunnelSource::OpenVpn)]);
    machine.step(report(ReportKind::DownLost), 3);
    assert_eq!(machine.situation().state, State::Lost, "its client has lost the server");
    machine.step(report(ReportKind::Up), 4);
    // Somebody asked for the end. The link stays for a moment, and that is neither protection nor a loss.
    machine.step(report(ReportKind::DownAsked), 5);
    assert_eq!(machine.situation().state, State::Locked);
    machine.step(tun0, 5);
    assert_eq!(machine.situation().state, State::Locked);
    assert!(!lost(&machine.step(links(&[]), 6)));
    assert_eq!(machine.situation().state, State::Locked);
}

#[test]
fn a_file_without_a_mark_is_closed_and_reported_until_it_is_named() {
    let mut machine = begun("", &[file("office", 0)]);
    assert_eq!(keys(&machine), []);
    let [(name, remedy)] = &left_out(&machine)[..] else { panic!("{:?}", left_out(&machine)) };
    assert!(
        name == "office" && remedy.contains("/etc/wireguard/office.conf, in [Interface]: FwMark"),
        "{remedy}"
    );
    assert!(remedy.ends_with("vpn.connections = [\"wireguard:office\"]"), "{remedy}");
    machine.step(links(&[link(2, "office", LinkKind::WireGuard)]), 1);
    assert_eq!((machine.situation().state, keys(&machine)), (State::Protected, vec![]));
    let mut named = begun("vpn.connections = [\"wireguard:office\"]", &[file("office", 0)]);
    assert_eq!((keys(&named), left_out(&named)), (vec![KernelPacket::Any], vec![]));
    named.step(links(&[link(2, "office", LinkKind::WireGuard)]), 1);
    assert_eq!((named.situation().state, keys(&named)), (State::Protected, vec![KernelPacket::Any]));
    // A user's profile of that name is no file of root's.
    let mut machine = begun("vpn.connections = [\"wireguard:office\"]", &[]);
    let profile = Profile {
        endpoints: vec![SERVER.parse().unwrap()],
        sender: Sender::Kernel,
        mark: NonZeroU32::new(7),
        interface: "office".parse().ok(),
        ..Profile::plain("u", "wireguard:office", VpnKind::ManagedWireGuard)
    };
    machine.step(Event::NetworkManager(Some(NmView { profiles: vec![profile], ..NmView::default() })), 1);
    machine.step(links(&[link(2, "office", LinkKind::WireGuard)]), 1);
    assert_eq!((machine.situation().state, keys(&machine)), (State::Locked, vec![]));
}

fn keys(machine: &Machine) -> Vec<KernelPacket> {
    machine.situation().bootstrap.kernel.into_iter().map(|(_, by)| by).collect()
}

pub(super) fn openvpn(path: &str, device: &str, server: &str) -> OpenVpnFile {
    OpenVpnFile {
        path: path.to_owned(),
        endpoints: [server.parse().unwrap()].into(),
        names: BTreeSet::new(),
        user: Some(7),
        mark: NonZeroU32::new(9),
        device: Some(device.parse().unwrap()),
        management: None,
    }
}

#[test]
fn the_device_that_an_openvpn_file_of_roots_names_is_a_tunnel() {
    let servers = ["198.51.100.7:1194/udp", "198.51.100.8:443/tcp"];
    let files = || {
        let [one, other] = servers;
        let card = openvpn("/etc/openvpn/card.conf", "eth0", one);
        let files = ["one", "other"].map(|name| format!("/etc/openvpn/client/{name}.conf"));
        let [one, other] = [openvpn(&files[0], "nordvpn0", one), openvpn(&files[1], "nordvpn0", other)];
        Event::OpenVpnFiles(vec![
            one,
            other,
            card,
            openvpn("/etc/openvpn/third.conf", "tun9", "192.0.2.3:1194/udp"),
        ])
    };
    for kind in [LinkKind::Tunnel, LinkKind::OpenVpn] {
        let mut machine = begun("", &[]);
        machine.step(files(), 1);
        assert_eq!(left_out(&machine), []);
        let actions = machine.step(links(&[link(2, "nordvpn0", kind), link(3, "eth0", LinkKind::Other)]), 1);
        assert!(!actions.iter().any(|action| matches!(action, Action::LeftOut(..))), "{actions:?}");
        let situation = machine.situation();
        assert_eq!((situation.state, situation.wires.len()), (State::Protected, 1), "{kind:?}");
        assert_eq!(tunnels(&machine), [("nordvpn0".to_owned(), TunnelSource::Kernel)]);
        let allowed: Vec<String> = situation.bootstrap.endpoints.keys().map(ToString::to_string).collect();
        assert_eq!(allowed, servers, "of the files that name the device");
        assert!(situation.bootstrap.endpoints.values().all(|users| *users == [7].into()));
        // With DCO the kernel sends the packets.
        let marked = KernelPacket::Marked(NonZeroU32::new(9).unwrap());
        let by_kernel = if kind == LinkKind::OpenVpn { vec![marked; 2] } else { vec![] };
        assert_eq!(keys(&machine), by_kernel);
        assert!(lost(&machine.step(links(&[]), 2)));
        assert_eq!(machine.reconnect_target(), Err(NoReconnectTarget::OpenVpn("nordvpn0".parse().unwrap())));
    }
    // A card, and a link of PPP, of that name stay uplinks.
    for kind in [LinkKind::Other, LinkKind::Ppp, LinkKind::Veth] {
        let mut machine = begun("", &[]);
        machine.step(files(), 1);
        machine.step(links(&[link(2, "nordvpn0", kind)]), 1);
        assert_eq!(
            (machine.situation().state, machine.situation().wires.len()),
            (State::Locked, 1),
            "{kind:?}"
        );
    }
}

#[test]
fn a_file_that_does_not_count_makes_no_tunnel_and_the_line_that_names_it_is_reported() {
    let file = openvpn("/etc/openvpn/client/nord.conf", "nordvpn0", "198.51.100.7:1194/udp");
    let nordvpn0 = links(&[link(2, "nordvpn0", LinkKind::Tunnel)]);
    for (config, state) in [("openvpn:other", State::Locked), ("openvpn:nord", State::Protected)] {
        let mut machine = begun(&format!("vpn.connections = [\"{config}\"]"), &[]);
        machine.step(Event::OpenVpnFiles(vec![file.clone()]), 1);
        machine.step(nordvpn0.clone(), 1);
        assert_eq!(machine.situation().state, state, "{config}");
        let line = "vpn.connections = [\"openvpn:nord\", \"openvpn:other\"]";
        let told =
            left_out(&machine).iter().any(|(name, remedy)| name == "nordvpn0" && remedy.ends_with(line));
        assert_eq!(told, state == State::Locked, "{:?}", left_out(&machine));
    }
}
