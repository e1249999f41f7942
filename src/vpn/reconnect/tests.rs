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
struct Story {
    machine: Machine,
    now: u64,
}

impl Story {
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
        let mut story = Self::new(reconnect);
        story.step(links(true, "10.0.0.2/24"));
        story.step(view(&["a", "b"], Some((PATH, VpnPhase::Activated))));
        assert_eq!(story.machine.state_without_pause(), State::Protected);
        story
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
    let mut story = Story::protected(Reconnect::Auto);
    story.step(view(&["a", "b"], Some((PATH, VpnPhase::Ended(VpnEnd::User)))));
    story.step(links(false, "10.0.0.2/24"));
    assert_eq!(story.machine.state_without_pause(), State::Locked);
    story.now += 10_000;
    assert!(!reconnects(&story.step(Event::Clock)));
    assert_eq!(story.until_next(), None);

    // Neither is a VPN that the user ended while the agent was bringing it back.
    let mut story = Story::protected(Reconnect::Auto);
    story.lose();
    story.until_next();
    story.step(view(&["a", "b"], Some(("/active/2", VpnPhase::Connecting))));
    story.step(view(&["a", "b"], Some(("/active/2", VpnPhase::Ended(VpnEnd::User)))));
    story.fail();
    assert_eq!((story.machine.state_without_pause(), story.until_next()), (State::Locked, None));
}

#[test]
fn only_with_reconnect_auto_the_agent_reconnects_by_itself() {
    for reconnect in [Reconnect::Ask, Reconnect::Never] {
        let mut story = Story::protected(reconnect);
        assert!(!reconnects(&story.lose()));
        assert_eq!(story.machine.state_without_pause(), State::Lost);
        assert_eq!(story.until_next(), None);
    }
}

#[test]
fn the_time_between_attempts_grows_from_two_seconds_to_five_minutes() {
    let mut story = Story::protected(Reconnect::Auto);
    assert!(!reconnects(&story.lose()), "not at once");
    let mut waits = Vec::new();
    for _ in 0..10 {
        waits.extend(story.until_next());
        assert!(!reconnects(&story.step(Event::Clock)), "one at a time");
        story.fail();
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    // After a change of the network the waits begin again.
    story.step(links(false, "10.1.0.2/24"));
    assert_eq!(story.until_next(), Some(2));
}

#[test]
fn an_unstable_vpn_is_not_brought_back_more_often() {
    let mut story = Story::protected(Reconnect::Auto);
    let mut waits = Vec::new();
    for stays in [60, 1, 1, 1, 60] {
        story.now += stays;
        story.lose();
        waits.extend(story.until_next());
        story.step(links(true, "10.0.0.2/24"));
        story.step(view(&["a", "b"], Some((PATH, VpnPhase::Activated))));
        assert_eq!(story.machine.state_without_pause(), State::Protected);
        story.step(Event::Reconnected(Ok(())));
    }
    assert_eq!(waits, [2, 4, 8, 16, 2]);
}

/// With two servers, one of which is in use and falls silent.
fn silent(servers: &[&str]) -> Story {
    let mut story = Story::new(Reconnect::Auto);
    story.step(links(true, "10.0.0.2/24"));
    let Event::NetworkManager(Some(mut view)) = view(&["a"], Some((PATH, VpnPhase::Activated))) else {
        unreachable!()
    };
    view.profiles[0].endpoints = servers.iter().map(|server| server.parse().unwrap()).collect();
    view.active[0].gateway = Some("198.51.100.7".parse().unwrap());
    story.step(Event::NetworkManager(Some(view)));
    let tunnel = story.machine.listening()[0].tunnel.clone();
    assert!(!reconnects(&story.step(Event::Silent { tunnel })));
    assert_eq!(story.machine.state_without_pause(), State::Lost);
    story
}

#[test]
fn a_client_with_another_server_gets_time_to_connect_to_it() {
    let two = ["198.51.100.7:1194/udp", "198.51.100.8:1194/udp"];
    assert_eq!(silent(&two[..1]).until_next(), Some(2), "the control: it has no other");
    let mut story = silent(&two);
    story.now += 60;
    assert!(!reconnects(&story.step(Event::Clock)), "it has not had its ping-restart");
    story.now += 60;
    // Other events do not delay it.
    story.step(Event::Resolvers(["10.0.0.1".parse().unwrap()].into()));
    assert_eq!(story.until_next(), Some(60));
    story.fail();
    assert_eq!(story.until_next(), Some(SWITCH_TIMEOUT), "it is still at it");

    // A client that has connected to its other server is left alone. If it has given up, the VPN is brought back at
    // once.
    let mut story = silent(&two);
    let tunnel = story.machine.listening()[0].tunnel.clone();
    story.step(Event::Heard { tunnel, server: two[1].parse().unwrap() });
    assert_eq!((story.machine.state_without_pause(), story.until_next()), (State::Protected, None));
    let mut story = silent(&two);
    story.now += 30;
    story.step(view(&["a"], Some((PATH, VpnPhase::Ended(VpnEnd::ServiceStopped)))));
    assert_eq!(story.until_next(), Some(2));
}

#[test]
fn nothing_is_attempted_while_a_vpn_is_connecting_or_no_manager_is_there() {
    let mut story = Story::protected(Reconnect::Auto);
    story.lose();
    story.step(view(&["a", "b"], Some(("/active/2", VpnPhase::Connecting))));
    assert_eq!((story.machine.state_without_pause(), story.until_next()), (State::Connecting, None));
    story.step(view(&["a", "b"], Some(("/active/2", VpnPhase::Ended(VpnEnd::Timeout)))));
    assert_eq!(story.until_next(), Some(2));
    story.fail();
    story.step(Event::NetworkManager(None));
    assert_eq!(story.until_next(), None);
    assert_eq!(story.machine.reconnect_target(), Err(NoReconnectTarget::NoNetworkManager));
}

#[test]
fn a_connection_that_the_agent_ends_does_not_count_as_ended_by_the_user() {
    let mut story = Story::protected(Reconnect::Auto);
    // The tunnel is dead and NetworkManager still calls it activated.
    story.step(links(false, "10.0.0.2/24"));
    story.until_next();
    story.step(Event::Restarting { path: PATH.into() });
    let told = story.step(view(&["a", "b"], Some((PATH, VpnPhase::Ended(VpnEnd::User)))));
    assert_eq!(story.machine.state_without_pause(), State::Lost);
    let again = |action: &Action| {
        matches!(action, Action::Announce(Announcement::Lost { reason: Reason::Restarted, .. }))
    };
    assert!(!told.iter().any(again), "the loss was announced before: {told:?}");
}

#[test]
fn the_last_vpn_or_the_only_profile_is_brought_back() {
    let mut story = Story::new(Reconnect::Ask);
    assert_eq!(story.machine.reconnect_target(), Err(NoReconnectTarget::NoNetworkManager));
    story.step(view(&[], None));
    assert_eq!(story.machine.reconnect_target(), Err(NoReconnectTarget::NoProfile));
    story.step(view(&["b", "a"], None));
    assert_eq!(story.machine.reconnect_target(), Err(NoReconnectTarget::Several));
    story.step(view(&["a"], None));
    assert_eq!(uuid(&story.machine.reconnect_target().unwrap()), "a");

    let mut story = Story::protected(Reconnect::Ask);
    story.lose();
    story.step(view(&["b", "a"], None));
    assert_eq!(uuid(&story.machine.reconnect_target().unwrap()), "a");
    let last = story.machine.last().cloned();
    // The next agent knows it too.
    let mut next = Story::remembering(Reconnect::Ask, Remembered { last, ..Remembered::default() });
    next.step(view(&["b", "a"], None));
    assert_eq!(uuid(&next.machine.reconnect_target().unwrap()), "a");
    // A profile that was deleted, or does not count, is not brought back.
    next.step(view(&["b"], None));
    assert_eq!(uuid(&next.machine.reconnect_target().unwrap()), "b");
    let mut config = Config::default();
    config.vpn.connections = vec!["other".into()];
    story.step(Event::Config(Box::new(config)));
    assert_eq!(story.machine.reconnect_target(), Err(NoReconnectTarget::NoProfile));
}

#[test]
fn the_plan_says_who_must_restart_a_plain_client() {
    let mut story = Story::new(Reconnect::Auto);
    story.step(links(true, "10.0.0.2/24"));
    story.step(view(&["a"], None));
    let report = Report {
        kind: ReportKind::Up,
        interface: "tun0".parse().unwrap(),
        pid: Some(7),
        started: None,
        endpoint: Some("198.51.100.7:1194/udp".parse().unwrap()),
        either: None,
    };
    story.step(Event::Report(report, Reporter::Root));
    story.step(Event::ClientUnit { pid: 7, unit: "openvpn-client@work.service".into() });
    assert_eq!(story.machine.state_without_pause(), State::Protected);
    story.step(Event::ClientExited { pid: 7 });
    assert_eq!(story.machine.state_without_pause(), State::Lost);
    let said = story.machine.reconnect_target().unwrap_err().to_string();
    assert!(said.ends_with("sudo systemctl restart openvpn-client@work.service"), "{said}");
    assert_eq!(story.until_next(), None, "another VPN is not what was lost");
}

/// A tunnel that carries all traffic and then goes away. `report`: whether OpenVPN's hook has reported it.
fn plain_tunnel_is_lost(report: bool) -> Story {
    let mut story = Story::new(Reconnect::Auto);
    story.step(Event::NetworkManager(Some(NmView { answered: u64::MAX, ..NmView::default() })));
    story.step(Event::Begun);
    story.step(links(true, "10.0.0.2/24"));
    if report {
        let report = Report {
            kind: ReportKind::Up,
            interface: "tun0".parse().unwrap(),
            pid: None,
            started: None,
            endpoint: Some("198.51.100.7:1194/udp".parse().unwrap()),
            either: None,
        };
        story.step(Event::Report(report, Reporter::Root));
    }
    story.now += 60;
    story.step(Event::Clock);
    assert_eq!(story.machine.state_without_pause(), State::Protected);
    story.step(links(false, "10.0.0.2/24"));
    assert_eq!(story.machine.state_without_pause(), State::Lost);
    story
}

#[test]
fn only_a_tunnel_that_openvpn_reported_is_called_openvpn_s() {
    let said = |story: &Story| story.machine.reconnect_target().unwrap_err().to_string();
    let unknown = plain_tunnel_is_lost(false);
    assert!(!said(&unknown).to_lowercase().contains("openvpn"), "{}", said(&unknown));
    let openvpn = plain_tunnel_is_lost(true);
    assert!(said(&openvpn).contains("systemctl restart openvpn-client@NAME"), "{}", said(&openvpn));
    // The next agent knows the difference too.
    for (story, expected) in [(unknown, "does not know which program"), (openvpn, "OpenVPN")] {
        let stored = serde_json::to_string(&story.machine.last()).unwrap();
        let last = serde_json::from_str(&stored).unwrap();
        let next = Story::remembering(Reconnect::Ask, Remembered { last, ..Remembered::default() });
        assert!(said(&next).contains(expected), "{}", said(&next));
    }
}

#[test]
fn a_tunnel_that_an_older_version_stored_is_of_an_unknown_program() {
    let last = serde_json::from_str(r#"{"client":{"interface":"tun0","unit":null}}"#).unwrap();
    let story = Story::remembering(Reconnect::Ask, Remembered { last, ..Remembered::default() });
    let said = story.machine.reconnect_target().unwrap_err();
    assert_eq!(said, NoReconnectTarget::Unknown("tun0".parse().unwrap()));
}
