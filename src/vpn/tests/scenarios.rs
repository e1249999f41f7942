//! A tunnel, its client and their reports, step by step.

use super::super::*;
use crate::config::Config;

fn tun0(index: u32) -> Event {
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Event::Links(LinkTable {
        links: vec![Link {
            addresses: nets(&["10.8.0.2/24"]),
            routes: nets(&["0.0.0.0/1", "128.0.0.0/1"]),
            ..Link::plain(index, "tun0", LinkKind::Tunnel)
        }],
        ..LinkTable::default()
    })
}

fn hook(kind: ReportKind, pid: u32, reporter: Reporter) -> Event {
    let endpoint = Some("192.0.2.1:1194/udp".parse().unwrap());
    Event::Report(
        Report {
            kind,
            interface: "tun0".parse().unwrap(),
            pid: Some(pid),
            started: None,
            endpoint,
            either: None,
        },
        reporter,
    )
}

/// A process that the client `pid` has started, and that client.
fn client(pid: u32) -> Reporter {
    let processes = vec![Process { pid: 70, started: 900 }, Process { pid, started: 500 }];
    Reporter::Client(Lineage { uid: 65_534, processes })
}

fn protected() -> Machine {
    let mut machine = Machine::new(Config::default(), Remembered::default(), 0);
    machine.step(hook(ReportKind::Up, 7, Reporter::Root), 0);
    machine.step(tun0(1), 0);
    assert_eq!(machine.situation().state, State::Protected);
    machine
}

#[test]
fn the_late_down_of_an_older_process_ends_nothing() {
    let mut machine = protected();
    machine.step(hook(ReportKind::DownAsked, 6, Reporter::Root), 1);
    assert_eq!(machine.situation().state, State::Protected);
    machine.step(hook(ReportKind::DownAsked, 7, Reporter::Root), 1);
    assert_eq!(machine.situation().state, State::Locked);
}

#[test]
fn another_tunnel_of_the_same_name_protects_nobody_until_its_client_says_so() {
    let mut machine = protected();
    machine.step(tun0(2), 1);
    assert_eq!(machine.situation().state, State::Lost);
    machine.step(hook(ReportKind::Up, 8, client(7)), 1);
    assert_eq!(machine.situation().state, State::Lost, "of another process");
    machine.step(hook(ReportKind::Up, 7, client(8)), 1);
    assert_eq!(machine.situation().state, State::Lost, "by another process");
    machine.step(hook(ReportKind::Up, 7, client(7)), 1);
    assert_eq!(machine.situation().state, State::Protected);
}

#[test]
fn a_client_brings_its_tunnel_back_although_nobody_heard_its_report_of_the_loss() {
    let mut machine = protected();
    machine.step(Event::Silent { tunnel: TunnelId::named("hook:tun0".to_owned()) }, 1);
    machine.step(tun0(2), 2);
    assert_eq!(machine.situation().state, State::Lost, "a link alone is no proof");
    machine.step(hook(ReportKind::Up, 7, client(8)), 3);
    assert_eq!(machine.situation().state, State::Lost, "by another process");
    machine.step(hook(ReportKind::Up, 7, client(7)), 3);
    assert_eq!(machine.situation().state, State::Protected);
}

#[test]
fn a_client_does_not_bring_back_the_device_that_a_user_had_networkmanager_make() {
    let made = |names: &[&str]| {
        let made = names.iter().map(|name| name.parse().unwrap()).collect();
        Event::NetworkManager(Some(NmView { made, ..NmView::default() }))
    };
    for is_known_first in [true, false] {
        let mut machine = protected();
        machine.step(Event::Links(LinkTable::default()), 1);
        machine.step(tun0(2), 2);
        if is_known_first {
            machine.step(made(&["tun0"]), 2);
        }
        machine.step(hook(ReportKind::Up, 7, client(7)), 3);
        machine.step(made(&["tun0"]), 4);
        assert_eq!(machine.situation().state, State::Lost, "{is_known_first}");
        machine.step(Event::Links(LinkTable::default()), 5);
        machine.step(made(&[]), 5);
        machine.step(tun0(3), 6);
        machine.step(hook(ReportKind::Up, 7, client(7)), 7);
        assert_eq!(machine.situation().state, State::Protected, "the control: its own device");
    }
}

#[test]
fn only_what_its_own_client_has_started_calls_a_tunnel_lost() {
    let mut machine = protected();
    let nobody = Reporter::Client(Lineage { uid: 65_534, processes: Vec::new() });
    for other in [client(8), nobody] {
        machine.step(hook(ReportKind::DownLost, 7, other.clone()), 1);
        machine.step(hook(ReportKind::DownAsked, 7, other), 1);
        assert_eq!(machine.situation().state, State::Protected);
    }
    let Event::Report(report, _) = hook(ReportKind::DownLost, 7, client(7)) else { unreachable!() };
    let other = Report { interface: "tun1".parse().unwrap(), ..report.clone() };
    assert!(!machine.may_report(&other, &client(7)), "on the tunnel of another client");
    assert!(machine.may_report(&report, &client(7)));
    machine.step(Event::Report(report, client(7)), 1);
    assert_eq!(machine.situation().state, State::Lost);
}

#[test]
fn a_process_with_the_id_of_a_client_that_has_ended_is_not_that_client() {
    let mut machine = Machine::new(Config::default(), Remembered::default(), 0);
    let Event::Report(up, _) = hook(ReportKind::Up, 7, Reporter::Root) else { unreachable!() };
    let up = Report { started: Some(500), ..up };
    machine.step(Event::Report(up.clone(), Reporter::Root), 0);
    machine.step(tun0(1), 0);
    let later = Process { pid: 7, started: 501 };
    let later = Reporter::Client(Lineage { uid: 65_534, processes: vec![later] });
    machine.step(hook(ReportKind::DownLost, 7, later), 1);
    assert_eq!(machine.situation().state, State::Protected);
    let late = Report { kind: ReportKind::DownAsked, started: Some(400), ..up };
    machine.step(Event::Report(late, Reporter::Root), 1);
    assert_eq!(machine.situation().state, State::Protected, "the late down of an older process");
    assert_eq!(machine.reports()[0].started, Some(500));
    machine.step(hook(ReportKind::DownLost, 7, client(7)), 1);
    assert_eq!(machine.situation().state, State::Lost);
}

fn client_up(server: &str) -> Event {
    let endpoint = Some(server.parse().unwrap());
    let interface = "tun0".parse().unwrap();
    let report =
        Report { kind: ReportKind::Up, interface, pid: Some(7), started: None, endpoint, either: None };
    Event::Report(report, client(7))
}

#[test]
fn a_client_that_comes_back_names_no_server_that_is_not_allowed() {
    let mut machine = protected();
    machine.step(hook(ReportKind::DownLost, 7, client(7)), 1);
    let before = machine.situation();
    machine.step(client_up("203.0.113.66:1194/udp"), 1);
    assert_eq!(machine.situation(), before);
    assert_eq!(before.state, State::Lost);
}

#[test]
fn a_client_widens_nothing_while_another_tunnel_protects() {
    let mut machine = protected();
    let Event::Links(mut table) = tun0(1) else { unreachable!() };
    table.links.push(Link { index: 2, name: "tun1".to_owned(), ..table.links[0].clone() });
    machine.step(Event::Links(table), 1);
    let (kind, interface) = (ReportKind::Up, "tun1".parse().unwrap());
    let endpoint = Some("198.51.100.9:1194/udp".parse().unwrap());
    machine.step(
        Event::Report(
            Report { kind, interface, pid: Some(8), started: None, endpoint, either: None },
            Reporter::Root,
        ),
        1,
    );
    machine.step(hook(ReportKind::DownLost, 7, client(7)), 1);
    let before = machine.situation();
    assert_eq!(before.state, State::Protected);
    // Known, and allowed again when everything is lost, but not now.
    machine.step(client_up("192.0.2.1:1194/udp"), 1);
    assert_eq!(machine.situation(), before);
}

#[test]
fn a_loss_names_the_interface_that_networkmanager_has_forgotten_already() {
    let vpn = |interface: Option<&str>, phase| ActiveVpn {
        path: "/1".to_owned(),
        uuid: "u".to_owned(),
        id: "lab".to_owned(),
        phase,
        interface: interface.map(|name| name.parse().unwrap()),
        gateway: None,
        mark: None,
    };
    let view = |vpn| Event::NetworkManager(Some(NmView { active: vec![vpn], ..NmView::default() }));
    let mut machine = Machine::new(Config::default(), Remembered::default(), 0);
    machine.step(view(vpn(None, VpnPhase::Connecting)), 1);
    machine.step(tun0(1), 1);
    machine.step(view(vpn(Some("tun0"), VpnPhase::Activated)), 1);
    assert_eq!(machine.situation().state, State::Protected);
    assert_eq!(machine.step(view(vpn(None, VpnPhase::Activated)), 2), []);
    let actions = machine.step(Event::Links(LinkTable::default()), 2);
    let lost = Announcement::Lost {
        name: "lab".to_owned(),
        interface: "tun0".parse().ok(),
        reason: Reason::LinkGone,
    };
    assert!(actions.contains(&Action::Announce(lost)), "{actions:?}");
}
