use super::*;
use crate::config::Config;
use crate::guide::VpnKind;
use crate::vpn::{
    ActiveVpn, Announcement, Event, Link, LinkKind, LinkTable, NmView, Reason, Remembered, Report,
    ReportKind, Reporter, VpnEnd, VpnPhase,
};

const PATH: &str = "/active/1";

fn profile(uuid: &str) -> Profile {
    let endpoints = vec!["198.51.100.7:1194/udp".parse().unwrap()];
    Profile { endpoints, ..Profile::plain(uuid, &format!("{uuid} at home"), VpnKind::ManagedOpenVpn) }
}

fn view(profiles: &[&str], active: Option<(&str, VpnPhase)>) -> Event {
    let active = active.map(|(path, phase)| ActiveVpn {
        path: path.into(),
        uuid: profiles[0].into(),
        id: format!("{} at home", profiles[0]),
        phase,
        interface: Some("tun0".parse().unwrap()),
        gateway: None,
        mark: None,
    });
    let profiles = profiles.iter().map(|uuid| profile(uuid)).collect();
    Event::NetworkManager(Some(NmView {
        profiles,
        active: active.into_iter().collect(),
        ..NmView::default()
    }))
}

fn links(tunnel: bool, uplink: &str) -> Event {
    let link = |index, name: &str, kind, address: &str, routes: &[&str]| Link {
        addresses: vec![address.parse().unwrap()],
        routes: routes.iter().map(|route| route.parse().unwrap()).collect(),
        ..Link::plain(index, name, kind)
    };
    let mut links = vec![link(2, "eth0", LinkKind::Other, uplink, &[])];
    if tunnel {
        links.push(link(3, "tun0", LinkKind::Tunnel, "10.8.0.2/24", &["0.0.0.0/0"]));
    }
    Event::Links(LinkTable { links, ..LinkTable::default() })
}

/// A machine, and the time now, in seconds.
struct Fixture {
    machine: Machine,
    now: u64,
}

impl Fixture {
    fn new(reconnect: Reconnect) -> Self {
        Self::remembering(reconnect, Remembered::default())
    }

    fn remembering(reconnect: Reconnect, remembered: Remembered) -> Self {
        let mut config = Config::default();
        config.vpn.reconnect = reconnect;
        let machine = Machine::new(config, remembered, 1000);
        Self { machine, now: 1000 }
    }

    /// One that protects.
    fn protected(reconnect: Reconnect) -> Self {
        let mut fixture = Self::new(reconnect);
        fixture.step(links(true, "10.0.0.2/24"));
        fixture.step(view(&["a", "b"], Some((PATH, VpnPhase::Activated))));
        assert_eq!(fixture.machine.state_without_pause(), State::Protected);
        fixture
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.machine.step(event, self.now)
    }

    fn lose(&mut self) -> Vec<Action> {
        self.step(links(false, "10.0.0.2/24"));
        self.step(view(&["a", "b"], Some((PATH, VpnPhase::Ended(VpnEnd::ServiceStopped)))))
    }

    fn fail(&mut self) -> Vec<Action> {
        self.step(Event::Reconnected(Err("no answer".into())))
    }

    /// How long until the next attempt begins.
    fn until_next(&mut self) -> Option<u64> {
        let before = self.now;
        self.now = self.machine.backoff.next_moment()?;
        let begun = self.step(Event::Clock);
        assert!(reconnects(&begun), "its time has come: {begun:?}");
        Some(self.now - before)
    }
}

fn uuid(reconnect_target: &ReconnectTarget) -> String {
    match reconnect_target {
        ReconnectTarget::Profile(profile) => profile.uuid.clone(),
        ReconnectTarget::WgQuick(interface) => panic!("{interface}"),
    }
}

fn reconnects(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Reconnect(_)))
}

#[test]
fn a_vpn_that_the_user_ended_is_never_brought_back() {
    let mut fixture = Fixture::protected(Reconnect::Auto);
    fixture.step(view(&["a", "b"], Some((PATH, VpnPhase::Ended(VpnEnd::User)))));
    fixture.step(links(false, "10.0.0.2/24"));
    assert_eq!(fixture.machine.state_without_pause(), State::Locked);
    fixture.now += 10_000;
    assert!(!reconnects(&fixture.step(Event::Clock)));
    assert_eq!(fixture.until_next(), None);

    // Neither is a VPN that the user ended while the agent was bringing it back.
    let mut fixture = Fixture::protected(Reconnect::Auto);
    fixture.lose();
    fixture.until_next();
    fixture.step(view(&["a", "b"], Some(("/active/2", VpnPhase::Connecting))));
    fixture.step(view(&["a", "b"], Some(("/active/2", VpnPhase::Ended(VpnEnd::User)))));
    fixture.fail();
    assert_eq!((fixture.machine.state_without_pause(), fixture.until_next()), (State::Locked, None));
}

#[test]
fn only_with_reconnect_auto_the_agent_reconnects_by_itself() {
    for reconnect in [Reconnect::Ask, Reconnect::Never] {
        let mut fixture = Fixture::protected(reconnect);
        assert!(!reconnects(&fixture.lose()));
        assert_eq!(fixture.machine.state_without_pause(), State::Lost);
        assert_eq!(fixture.until_next(), None);
    }
}

#[test]
fn the_time_between_attempts_grows_from_two_seconds_to_five_minutes() {
    let mut fixture = Fixture::protected(Reconnect::Auto);
    assert!(!reconnects(&fixture.lose()), "not at once");
    let mut waits = Vec::new();
    for _ in 0..10 {
        waits.extend(fixture.until_next());
        assert!(!reconnects(&fixture.step(Event::Clock)), "one at a time");
        fixture.fail();
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    // After a change of the network the waits begin again.
    fixture.step(links(false, "10.1.0.2/24"));
    assert_eq!(fixture.until_next(), Some(2));
}

#[test]
fn an_unstable_vpn_is_not_brought_back_more_often() {
    let mut fixture = Fixture::protected(Reconnect::Auto);
    let mut waits = Vec::new();
    for stays in [60, 1, 1, 1, 60] {
        fixture.now += stays;
        fixture.lose();
        waits.extend(fixture.until_next());
        fixture.step(links(true, "10.0.0.2/24"));
        fixture.step(view(&["a", "b"], Some((PATH, VpnPhase::Activated))));
        assert_eq!(fixture.machine.state_without_pause(), State::Protected);
        fixture.step(Event::Reconnected(Ok(())));
    }
    assert_eq!(waits, [2, 4, 8, 16, 2]);
}

/// With two servers, one of which is in use and falls silent.
fn silent(servers: &[&str]) -> Fixture {
    let mut fixture = Fixture::new(Reconnect::Auto);
    fixture.step(links(true, "10.0.0.2/24"));
    let Event::NetworkManager(Some(mut view)) = view(&["a"], Some((PATH, VpnPhase::Activated))) else {
        unreachable!()
    };
    view.profiles[0].endpoints = servers.iter().map(|server| server.parse().unwrap()).collect();
    view.active[0].gateway = Some("198.51.100.7".parse().unwrap());
    fixture.step(Event::NetworkManager(Some(view)));
    let tunnel = fixture.machine.listening()[0].tunnel.clone();
    assert!(!reconnects(&fixture.step(Event::Silent { tunnel })));
    assert_eq!(fixture.machine.state_without_pause(), State::Lost);
    fixture
}

#[test]
fn a_client_with_another_server_gets_time_to_connect_to_it() {
    let two = ["198.51.100.7:1194/udp", "198.51.100.8:1194/udp"];
    assert_eq!(silent(&two[..1]).until_next(), Some(2), "the control: it has no other");
    let mut fixture = silent(&two);
    fixture.now += 60;
    assert!(!reconnects(&fixture.step(Event::Clock)), "it has not had its ping-restart");
    fixture.now += 60;
    // Other events do not delay it.
    fixture.step(Event::Resolvers(["10.0.0.1".parse().unwrap()].into()));
    assert_eq!(fixture.until_next(), Some(60));
    fixture.fail();
    assert_eq!(fixture.until_next(), Some(SWITCH_TIMEOUT), "it is still at it");

    // A client that has connected to its other server is left alone. If it has given up, the VPN is brought back at
    // once.
    let mut fixture = silent(&two);
    let tunnel = fixture.machine.listening()[0].tunnel.clone();
    fixture.step(Event::Heard { tunnel, server: two[1].parse().unwrap() });
    assert_eq!((fixture.machine.state_without_pause(), fixture.until_next()), (State::Protected, None));
    let mut fixture = silent(&two);
    fixture.now += 30;
    fixture.step(view(&["a"], Some((PATH, VpnPhase::Ended(VpnEnd::ServiceStopped)))));
    assert_eq!(fixture.until_next(), Some(2));
}

#[test]
fn nothing_is_attempted_while_a_vpn_is_connecting_or_no_manager_is_there() {
    let mut fixture = Fixture::protected(Reconnect::Auto);
    fixture.lose();
    fixture.step(view(&["a", "b"], Some(("/active/2", VpnPhase::Connecting))));
    assert_eq!((fixture.machine.state_without_pause(), fixture.until_next()), (State::Connecting, None));
    fixture.step(view(&["a", "b"], Some(("/active/2", VpnPhase::Ended(VpnEnd::Timeout)))));
    assert_eq!(fixture.until_next(), Some(2));
    fixture.fail();
    fixture.step(Event::NetworkManager(None));
    assert_eq!(fixture.until_next(), None);
    assert_eq!(fixture.machine.reconnect_target(), Err(NoReconnectTarget::NoNetworkManager));
}

#[test]
fn a_connection_that_the_agent_ends_does_not_count_as_ended_by_the_user() {
    let mut fixture = Fixture::protected(Reconnect::Auto);
    // The tunnel is dead and NetworkManager still calls it activated.
    fixture.step(links(false, "10.0.0.2/24"));
    fixture.until_next();
    fixture.step(Event::Restarting { path: PATH.into() });
    let told = fixture.step(view(&["a", "b"], Some((PATH, VpnPhase::Ended(VpnEnd::User)))));
    assert_eq!(fixture.machine.state_without_pause(), State::Lost);
    let again = |action: &Action| {
        matches!(action, Action::Announce(Announcement::Lost { reason: Reason::Restarted, .. }))
    };
    assert!(!told.iter().any(again), "the loss was announced before: {told:?}");
}

#[test]
fn the_last_vpn_or_the_only_profile_is_brought_back() {
    let mut fixture = Fixture::new(Reconnect::Ask);
    assert_eq!(fixture.machine.reconnect_target(), Err(NoReconnectTarget::NoNetworkManager));
    fixture.step(view(&[], None));
    assert_eq!(fixture.machine.reconnect_target(), Err(NoReconnectTarget::NoProfile));
    fixture.step(view(&["b", "a"], None));
    assert_eq!(fixture.machine.reconnect_target(), Err(NoReconnectTarget::Several));
    fixture.step(view(&["a"], None));
    assert_eq!(uuid(&fixture.machine.reconnect_target().unwrap()), "a");

    let mut fixture = Fixture::protected(Reconnect::Ask);
    fixture.lose();
    fixture.step(view(&["b", "a"], None));
    assert_eq!(uuid(&fixture.machine.reconnect_target().unwrap()), "a");
    let last = fixture.machine.last().cloned();
    // The next agent knows it too.
    let mut next = Fixture::remembering(Reconnect::Ask, Remembered { last, ..Remembered::default() });
    next.step(view(&["b", "a"], None));
    assert_eq!(uuid(&next.machine.reconnect_target().unwrap()), "a");
    // A profile that was deleted, or does not count, is not brought back.
    next.step(view(&["b"], None));
    assert_eq!(uuid(&next.machine.reconnect_target().unwrap()), "b");
    let mut config = Config::default();
    config.vpn.connections = vec!["other".into()];
    fixture.step(Event::Config(Box::new(config)));
    assert_eq!(fixture.machine.reconnect_target(), Err(NoReconnectTarget::NoProfile));
}

#[test]
fn the_plan_says_who_must_restart_a_plain_client() {
    let mut fixture = Fixture::new(Reconnect::Auto);
    fixture.step(links(true, "10.0.0.2/24"));
    fixture.step(view(&["a"], None));
    let report = Report {
        kind: ReportKind::Up,
        interface: "tun0".parse().unwrap(),
        pid: Some(7),
        started: None,
        endpoint: Some("198.51.100.7:1194/udp".parse().unwrap()),
        either: None,
    };
    fixture.step(Event::Report(report, Reporter::Root));
    fixture.step(Event::ClientUnit { pid: 7, unit: "openvpn-client@work.service".into() });
    assert_eq!(fixture.machine.state_without_pause(), State::Protected);
    fixture.step(Event::ClientExited { pid: 7 });
    assert_eq!(fixture.machine.state_without_pause(), State::Lost);
    let said = fixture.machine.reconnect_target().unwrap_err().to_string();
    assert!(said.ends_with("sudo systemctl restart openvpn-client@work.service"), "{said}");
    assert_eq!(fixture.until_next(), None, "another VPN is not what was lost");
}

/// A tunnel that carries all traffic and then goes away. `report`: whether OpenVPN's hook has reported it.
fn plain_tunnel_is_lost(report: bool) -> Fixture {
    let mut fixture = Fixture::new(Reconnect::Auto);
    fixture.step(Event::NetworkManager(Some(NmView { answered: u64::MAX, ..NmView::default() })));
    fixture.step(Event::Begun);
    fixture.step(links(true, "10.0.0.2/24"));
    if report {
        let report = Report {
            kind: ReportKind::Up,
            interface: "tun0".parse().unwrap(),
            pid: None,
            started: None,
            endpoint: Some("198.51.100.7:1194/udp".parse().unwrap()),
            either: None,
        };
        fixture.step(Event::Report(report, Reporter::Root));
    }
    fixture.now += 60;
    fixture.step(Event::Clock);
    assert_eq!(fixture.machine.state_without_pause(), State::Protected);
    fixture.step(links(false, "10.0.0.2/24"));
    assert_eq!(fixture.machine.state_without_pause(), State::Lost);
    fixture
}

#[test]
fn only_a_tunnel_that_openvpn_reported_is_called_openvpn_s() {
    let said = |fixture: &Fixture| fixture.machine.reconnect_target().unwrap_err().to_string();
    let unknown = plain_tunnel_is_lost(false);
    assert!(!said(&unknown).to_lowercase().contains("openvpn"), "{}", said(&unknown));
    let openvpn = plain_tunnel_is_lost(true);
    assert!(said(&openvpn).contains("systemctl restart openvpn-client@NAME"), "{}", said(&openvpn));
    // The next agent knows the difference too.
    for (fixture, expected) in [(unknown, "does not know which program"), (openvpn, "OpenVPN")] {
        let stored = serde_json::to_string(&fixture.machine.last()).unwrap();
        let last = serde_json::from_str(&stored).unwrap();
        let next = Fixture::remembering(Reconnect::Ask, Remembered { last, ..Remembered::default() });
        assert!(said(&next).contains(expected), "{}", said(&next));
    }
}

#[test]
fn a_tunnel_that_an_older_version_stored_is_of_an_unknown_program() {
    let last = serde_json::from_str(r#"{"client":{"interface":"tun0","unit":null}}"#).unwrap();
    let fixture = Fixture::remembering(Reconnect::Ask, Remembered { last, ..Remembered::default() });
    let said = fixture.machine.reconnect_target().unwrap_err();
    assert_eq!(said, NoReconnectTarget::Unknown("tun0".parse().unwrap()));
}
