//! Devices that an ordinary user may have made, under the name that root's file or a profile gives to its own.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::super::*;
use super::kernel::{begun, file, left_out, link, links, lost, openvpn};
use crate::net::IfName;

const NAMED: &str = "vpn.connections = [\"openvpn:nord\"]";

/// A machine that knows a file of root's for the device `nordvpn0`.
fn with_file(config: &str) -> Machine {
    let mut machine = begun(config, &[]);
    let file = openvpn("/etc/openvpn/client/nord.conf", "nordvpn0", "198.51.100.7:1194/udp");
    machine.step(Event::OpenVpnFiles(vec![file]), 1);
    machine
}

fn nordvpn0(index: u32) -> Event {
    links(&[link(index, "nordvpn0", LinkKind::Tunnel)])
}

/// The same device, which users can open.
fn openable(index: u32) -> Event {
    let links = vec![link(index, "nordvpn0", LinkKind::Tunnel)];
    Event::Links(LinkTable { links, of_users: [index].into(), ..LinkTable::default() })
}

/// What carries packets into the VPN, besides the patterns of the configuration.
fn carries(machine: &Machine) -> Vec<IfName> {
    let situation = machine.situation();
    situation.further_tunnels.into_iter().chain(situation.named_tunnels.unwrap_or_default()).collect()
}

fn is_locked(machine: &Machine, why: &str) {
    let situation = machine.situation();
    assert_eq!(
        (situation.state, situation.tunnels.len(), carries(machine)),
        (State::Locked, 0, vec![]),
        "{why}"
    );
    // It is no way out to the LAN either.
    assert_eq!((situation.uplinks.len(), situation.wires.len()), (0, 0), "{why}");
}

#[test]
fn a_tun_device_that_users_can_open_is_no_evidence_and_carries_nothing() {
    for config in ["", NAMED] {
        let mut machine = with_file(config);
        machine.step(openable(2), 1);
        is_locked(&machine, config);
        let [(name, remedy)] = &left_out(&machine)[..] else { panic!("{:?}", left_out(&machine)) };
        assert!(name == "nordvpn0" && remedy.contains("without --mktun"), "{remedy}");
        machine.step(nordvpn0(2), 2);
        is_locked(&machine, "a user who has it open can hide whose it is");
        machine.step(nordvpn0(3), 3);
        assert_eq!(machine.situation().state, State::Protected, "the control: a device of root's");
    }
}

#[test]
fn a_file_whose_server_is_behind_a_local_proxy_names_its_device() {
    let mut machine = begun("bootstrap.servers = [\"198.51.100.8:443/tcp\"]", &[]);
    let file = openvpn("/etc/openvpn/client/nord.conf", "nordvpn0", "198.51.100.7:1194/udp");
    let file = OpenVpnFile { endpoints: BTreeSet::new(), ..file };
    machine.step(Event::OpenVpnFiles(vec![file]), 1);
    machine.step(nordvpn0(2), 1);
    let situation = machine.situation();
    let allowed: Vec<String> = situation.bootstrap.endpoints.keys().map(ToString::to_string).collect();
    assert_eq!((situation.state, &allowed[..]), (State::Protected, &["198.51.100.8:443/tcp".to_owned()][..]));
}

fn hook(kind: ReportKind) -> Event {
    let interface = "nordvpn0".parse().unwrap();
    let endpoint = Some("198.51.100.7:1194/udp".parse().unwrap());
    let report = Report { kind, interface, pid: Some(7), started: None, endpoint, either: None };
    Event::Report(report, Reporter::Root)
}

#[test]
fn a_persistent_device_counts_while_openvpn_reports_that_very_one() {
    for config in ["", NAMED] {
        let mut machine = with_file(config);
        machine.step(openable(2), 1);
        machine.step(hook(ReportKind::Up), 2);
        assert_eq!(machine.situation().state, State::Protected, "{config}");
        assert!(carries(&machine).contains(&"nordvpn0".parse().unwrap()), "{config}");
        // OpenVPN loses it, and a user takes its name.
        machine.step(hook(ReportKind::DownLost), 3);
        machine.step(openable(3), 4);
        assert_eq!((machine.situation().state, carries(&machine)), (State::Lost, vec![]), "{config}");
    }
}

fn made(names: &[&str]) -> Event {
    let made = names.iter().map(|name| name.parse().unwrap()).collect();
    Event::NetworkManager(Some(NmView { made, ..NmView::default() }))
}

#[test]
fn a_device_that_networkmanager_made_for_a_user_is_no_evidence_even_after_networkmanager() {
    for config in ["", NAMED] {
        let mut machine = with_file(config);
        machine.step(made(&["nordvpn0"]), 1);
        machine.step(nordvpn0(2), 2);
        is_locked(&machine, config);
        for later in [made(&[]), Event::NetworkManager(None), nordvpn0(2)] {
            machine.step(later, 3);
            is_locked(&machine, "it is still the same device");
        }
        machine.step(nordvpn0(3), 4);
        assert_eq!(machine.situation().state, State::Protected, "{config}");
        // NetworkManager says later than the kernel that it made it.
        assert!(!lost(&machine.step(made(&["nordvpn0"]), 5)));
        is_locked(&machine, config);
    }
    // The pattern of the configuration names it too.
    let mut machine = begun("", &[]);
    machine.step(made(&["tun7"]), 1);
    for kind in [LinkKind::Tunnel, LinkKind::Ipsec] {
        machine.step(links(&[link(4, "tun7", kind)]), 1);
        is_locked(&machine, "tun7");
    }
}

#[test]
fn the_device_of_a_connection_that_does_not_count_is_no_evidence_even_after_its_end() {
    let mut machine = begun("vpn.connections = [\"wireguard:office\"]", &[file("office", 7)]);
    let office = |index| links(&[link(index, "office", LinkKind::WireGuard)]);
    machine.step(office(2), 1);
    assert_eq!(machine.situation().state, State::Protected, "the control: wg-quick's own");
    let mut users = ActiveVpn {
        path: "/1".to_owned(),
        uuid: "u".to_owned(),
        id: "mine".to_owned(),
        phase: VpnPhase::Activated,
        interface: "office".parse().ok(),
        gateway: None,
        mark: None,
    };
    for phase in [VpnPhase::Activated, VpnPhase::Ended(VpnEnd::User)] {
        users.phase = phase;
        let view = NmView { active: vec![users.clone()], ..NmView::default() };
        machine.step(Event::NetworkManager(Some(view)), 2);
        is_locked(&machine, "a user's connection");
    }
    machine.step(office(3), 3);
    assert_eq!(machine.situation().state, State::Protected, "another device");
}

#[test]
fn a_file_makes_no_device_of_another_kind() {
    let made = [LinkKind::Tunnel, LinkKind::Ipsec, LinkKind::WireGuard, LinkKind::OpenVpn];
    let protecting = |machine: &dyn Fn() -> Machine, name: &str| {
        let protects = |kind: &&LinkKind| {
            let mut machine = machine();
            machine.step(links(&[link(2, name, **kind)]), 1);
            machine.situation().state == State::Protected
        };
        made.iter().filter(protects).copied().collect::<Vec<_>>()
    };
    for config in ["", NAMED] {
        assert_eq!(protecting(&|| with_file(config), "nordvpn0"), [LinkKind::Tunnel, LinkKind::OpenVpn]);
    }
    for config in ["", "vpn.connections = [\"wireguard:office\"]"] {
        let machine = || begun(config, &[file("office", 7)]);
        assert_eq!(protecting(&machine, "office"), [LinkKind::Tunnel, LinkKind::WireGuard]);
    }
}

#[test]
fn networkmanager_alone_says_which_device_is_a_named_profiles() {
    let mut machine = begun("vpn.connections = [\"work\"]", &[]);
    let profile = Profile {
        endpoints: vec![super::kernel::SERVER.parse().unwrap()],
        sender: Sender::Kernel,
        mark: NonZeroU32::new(7),
        interface: "office".parse().ok(),
        ..Profile::plain("w", "work", crate::guide::VpnKind::ManagedWireGuard)
    };
    let mut view = NmView { profiles: vec![profile], ..NmView::default() };
    machine.step(Event::NetworkManager(Some(view.clone())), 1);
    machine.step(links(&[link(2, "office", LinkKind::WireGuard)]), 1);
    assert_eq!((machine.situation().state, machine.situation().named_tunnels), (State::Locked, Some(vec![])));
    view.active.push(ActiveVpn {
        path: "/1".to_owned(),
        uuid: "w".to_owned(),
        id: "work".to_owned(),
        phase: VpnPhase::Activated,
        interface: "office".parse().ok(),
        gateway: None,
        mark: NonZeroU32::new(7),
    });
    machine.step(Event::NetworkManager(Some(view)), 2);
    assert_eq!(machine.situation().state, State::Protected);
}
