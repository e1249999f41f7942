//! The list of VPNs in the status.

use std::num::NonZeroU32;

use super::super::*;
use super::kernel::{SERVER, begun, file};
use crate::config::Config;

/// Each VPN: its name, its first server, its mark, and why it is of no use.
fn listed(machine: &Machine) -> Vec<(String, String, u32, String)> {
    let one = |vpn: &KnownVpn| {
        let fault = match (vpn.counts, &vpn.fault) {
            (true, None) => "counts".to_owned(),
            (true, Some(fault)) => format!("counts, but {fault}"),
            (false, fault) => fault.clone().unwrap(),
        };
        let server = vpn.servers.first().cloned().unwrap_or_default();
        (vpn.name.clone(), server, vpn.mark.map_or(0, NonZeroU32::get), fault)
    };
    machine.listed_vpns().0.iter().map(one).collect()
}

fn profile(id: &str, kind: crate::guide::VpnKind) -> Profile {
    let endpoints = vec!["198.51.100.8:51820/udp".parse().unwrap()];
    Profile { endpoints, sender: Sender::Kernel, ..Profile::plain(&format!("uuid of {id}"), id, kind) }
}

fn saved(profiles: Vec<Profile>) -> Event {
    Event::NetworkManager(Some(NmView { profiles, ..NmView::default() }))
}

fn row(name: &str, server: &str, mark: u32, fault: &str) -> (String, String, u32, String) {
    (name.to_owned(), server.to_owned(), mark, fault.to_owned())
}

const OTHER: &str = "198.51.100.8:51820/udp";
const NOT_NAMED: &str = "vpn.connections does not name it";
const UNMARKED: &str = "counts, but its servers are left out: the kernel itself sends its packets, and without a \
                        mark every program could reach these servers";

#[test]
fn each_vpn_is_listed_with_its_server_its_mark_and_why_it_is_of_no_use() {
    use crate::guide::VpnKind::{L2tp, ManagedWireGuard};
    let mut machine = begun("", &[file("office", 7), file("bare", 0)]);
    let marked = Profile { mark: NonZeroU32::new(9), ..profile("marked", ManagedWireGuard) };
    let plugin = Profile { endpoints: Vec::new(), sender: Sender::Client, ..profile("old", L2tp) };
    machine.step(saved(vec![profile("home", ManagedWireGuard), marked, plugin]), 1);
    let works = crate::guide::VpnKind::L2tp.guide().works;
    assert_eq!(
        listed(&machine),
        [
            row("bare", SERVER, 0, UNMARKED),
            row("office", SERVER, 7, "counts"),
            row("home", OTHER, 0, UNMARKED),
            row("marked", OTHER, 9, "counts"),
            row("old", "", 0, &format!("counts, but L2TP over IPsec: {works}")),
        ]
    );
}

#[test]
fn with_named_connections_every_other_vpn_is_listed_as_one_that_does_not_count() {
    let mut machine =
        begun("vpn.connections = [\"wireguard:office\"]", &[file("office", 7), file("home", 8)]);
    let actions = machine.step(saved(vec![profile("work", crate::guide::VpnKind::ManagedWireGuard)]), 1);
    let rows = [
        row("office", SERVER, 7, "counts"),
        row("home", SERVER, 8, NOT_NAMED),
        row("work", OTHER, 0, NOT_NAMED),
    ];
    assert_eq!(listed(&machine), rows);
    assert!(!actions.iter().any(|action| matches!(action, Action::Remember(Change::Learned(_)))));

    // An agent that was restarted knows it too, before any source has spoken.
    let learned = Some(machine.facts.learning.all().clone());
    let config = Config::parse("vpn.connections = [\"wireguard:home\"]", "test").unwrap();
    let after = Machine::new(config, Remembered { learned, ..Remembered::default() }, 2);
    assert_eq!(listed(&after), [row("home", SERVER, 8, "counts"), row("office", SERVER, 7, NOT_NAMED)]);
}

#[test]
fn thousands_of_profiles_of_a_user_s_hide_no_file_of_root_s_and_the_list_is_bounded() {
    let mut machine = begun("", &[file("office", 7)]);
    let kind = crate::guide::VpnKind::ManagedWireGuard;
    machine.step(saved((0..3_000).map(|n| profile(&format!("{n:04}"), kind)).collect()), 1);
    let names = listed(&machine);
    assert_eq!((names.len(), names[0].0.as_str(), machine.listed_vpns().1), (128, "office", 2_873));
    assert_eq!(machine.known_vpns().len(), 3_001);
}

#[test]
fn what_is_in_use_is_listed_before_thousands_of_others() {
    use super::kernel::{link, links, openvpn};
    let archive = |n| openvpn(&format!("/etc/openvpn/{n:03}.conf"), "tun0", "198.51.100.7:1194/udp");
    let mut machine = begun("", &[]);
    machine.step(Event::OpenVpnFiles((0..300).map(archive).collect()), 1);
    let kind = crate::guide::VpnKind::ManagedWireGuard;
    let mut view = NmView { profiles: vec![profile("work", kind), profile("zz", kind)], ..NmView::default() };
    machine.step(Event::NetworkManager(Some(view.clone())), 1);
    assert!(!listed(&machine).iter().any(|vpn| vpn.0 == "zz"));
    view.active.push(ActiveVpn {
        path: "/1".to_owned(),
        uuid: "uuid of zz".to_owned(),
        id: "zz".to_owned(),
        phase: VpnPhase::Connecting,
        interface: None,
        gateway: None,
        mark: None,
    });
    machine.step(Event::NetworkManager(Some(view)), 2);
    assert_eq!((listed(&machine)[0].0.as_str(), machine.listed_vpns().1), ("zz", 302 - 128));
    // A tunnel that nobody reports.
    machine.step(Event::WireGuardFiles(vec![file("office", 7)]), 3);
    machine.step(links(&[link(2, "office", LinkKind::WireGuard)]), 3);
    let first: Vec<String> = listed(&machine).into_iter().take(2).map(|vpn| vpn.0).collect();
    assert_eq!(first, ["office", "zz"]);
}

#[test]
fn a_report_about_a_card_makes_no_vpn() {
    let mut machine = begun("", &[]);
    let links = vec![Link::plain(2, "eth0", LinkKind::Other)];
    machine.step(Event::Links(LinkTable { links, ..LinkTable::default() }), 1);
    for interface in ["eth0", "tun3"] {
        let report = Report {
            kind: ReportKind::Up,
            interface: interface.parse().unwrap(),
            pid: Some(7),
            started: None,
            endpoint: Some("198.51.100.7:1194/udp".parse().unwrap()),
            either: None,
        };
        machine.step(Event::Report(report, Reporter::Root), 1);
    }
    assert_eq!(listed(&machine), [row("tun3", "198.51.100.7:1194/udp", 0, "counts")]);
}
