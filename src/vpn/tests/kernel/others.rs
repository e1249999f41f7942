//! Bringing a device of wg-quick's back, and what messages say about profiles that do not work as they are.

use super::*;
use crate::net::{HostName, Port, Transport};

/// A machine that has lost the tunnel of this file at 100 s, and what it did then.
fn lost_at_100(config: &str, file: WireGuardFile) -> (Machine, Vec<Action>) {
    let interface = file.interface.to_string();
    let mut machine = begun(config, &[file]);
    machine.step(Event::Resolvers([std::net::IpAddr::from([192, 0, 2, 53])].into()), 1);
    machine.step(links(&[link(2, &interface, LinkKind::Tunnel)]), 1);
    assert_eq!(machine.situation().state, State::Protected);
    let actions = machine.step(links(&[]), 100);
    assert_eq!(machine.situation().state, State::Lost);
    (machine, actions)
}

fn reconnects(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Reconnect(ReconnectTarget::WgQuick(_))))
}

#[test]
fn a_lost_device_of_wg_quick_is_brought_back_once_its_server_s_name_is_answered() {
    let auto = "vpn.reconnect = \"auto\"";
    let (mut machine, _) = lost_at_100(auto, file("office", 7));
    assert!(!reconnects(&machine.step(Event::Clock, 101)), "too early");
    assert!(reconnects(&machine.step(Event::Clock, 102)));
    let (mut asked, _) = lost_at_100("", file("office", 7));
    assert!(!reconnects(&asked.step(Event::Clock, 10_000)), "nobody asked for it");
    assert_eq!(asked.reconnect_target(), Ok(ReconnectTarget::WgQuick("office".parse().unwrap())));

    let name: HostName = "wg.example.net".to_owned().try_into().unwrap();
    let names = [(name.clone(), Transport::Udp, Port::fixed(51_820))].into();
    let named = WireGuardFile { names, ..file("office", 7) };
    // Without an answer it comes back by the addresses that are known.
    for addresses in [vec![[198, 51, 100, 10].into()], vec![]] {
        let (mut machine, actions) = lost_at_100(auto, named.clone());
        assert!(actions.iter().any(|action| matches!(action, Action::LookUp { .. })), "{actions:?}");
        let waits = machine.step(Event::Clock, 110);
        assert!(!reconnects(&waits), "its server may have moved");
        assert!(machine.next_moment(110).is_some_and(|next| next > 110), "it would be woken again and again");
        let known = addresses.len();
        assert!(reconnects(&machine.step(Event::Resolved { name: name.clone(), addresses }, 111)));
        let servers = machine.situation().bootstrap.kernel.into_iter().map(|(server, _)| server.to_string());
        assert_eq!(servers.filter(|server| server == "198.51.100.10:51820/udp").count(), known);
    }
}

#[test]
fn a_question_from_before_the_loss_that_fails_after_it_does_not_count() {
    let name: HostName = "wg.example.net".to_owned().try_into().unwrap();
    let names = [(name.clone(), Transport::Udp, Port::fixed(51_820))].into();
    let (mut machine, _) =
        lost_at_100("vpn.reconnect = \"auto\"", WireGuardFile { names, ..file("office", 7) });
    machine.step(links(&[link(2, "office", LinkKind::Tunnel)]), 102);
    assert_eq!(machine.situation().state, State::Protected);
    machine.step(links(&[]), 105);
    let silence = || Event::Resolved { name: name.clone(), addresses: vec![] };
    let actions = machine.step(silence(), 108);
    assert!(!reconnects(&actions), "it was asked while the tunnel carried: {actions:?}");
    assert!(actions.iter().any(|action| matches!(action, Action::LookUp { .. })), "{actions:?}");
    assert!(reconnects(&machine.step(silence(), 112)));
}

#[test]
fn what_no_unit_of_wg_quick_s_can_bring_back_is_reported() {
    let interface = || "office".parse::<IfName>().unwrap();
    let netdev = WireGuardFile { path: "/etc/systemd/network/a.netdev".to_owned(), ..file("office", 7) };
    let auto = "vpn.reconnect = \"auto\"";
    let (mut machine, _) = lost_at_100(auto, netdev);
    assert_eq!(machine.reconnect_target(), Err(NoReconnectTarget::Networkd(interface())));
    assert!(!reconnects(&machine.step(Event::Clock, 10_000)));
    let (mut machine, _) = lost_at_100("", file("office", 7));
    let config = Config::parse("vpn.connections = [\"wireguard:home\"]", "test").unwrap();
    machine.step(Event::Config(Box::new(config)), 101);
    assert_eq!(
        machine.reconnect_target(),
        Err(NoReconnectTarget::WgQuick(interface())),
        "it does not count any more"
    );
    let (machine, _) = lost_at_100("", file("a=b", 7));
    assert!(
        matches!(machine.reconnect_target(), Err(NoReconnectTarget::WgQuick(_))),
        "no unit has such a name"
    );
}

#[test]
fn the_user_of_a_plugin_s_client_may_reach_its_server_from_the_start_of_its_connection() {
    let profile = Profile {
        endpoints: vec!["198.51.100.7:443/tcp".parse().unwrap()],
        user: Some(990),
        ..Profile::plain("u", "work", VpnKind::ManagedOpenConnect)
    };
    let mut machine = begun("tunnel.interfaces = [\"vpn+\"]", &[]);
    let allowed = |machine: &Machine| {
        let endpoints = machine.situation().bootstrap.endpoints;
        endpoints.into_iter().map(|(endpoint, users)| (endpoint.to_string(), users)).collect::<Vec<_>>()
    };
    let expected = vec![("198.51.100.7:443/tcp".to_owned(), BTreeSet::from([990]))];
    let active = |phase, interface: Option<&str>| ActiveVpn {
        path: "/1".to_owned(),
        uuid: "u".to_owned(),
        id: "work".to_owned(),
        phase,
        interface: interface.and_then(|name| name.parse().ok()),
        gateway: None,
        mark: None,
    };
    let mut view = NmView { profiles: vec![profile], ..NmView::default() };
    let mut step = |active: Vec<ActiveVpn>| {
        view.active = active;
        machine.step(Event::NetworkManager(Some(view.clone())), 1);
        (machine.situation().state, allowed(&machine))
    };
    assert_eq!(step(vec![]), (State::Locked, expected.clone()));
    let connecting = active(VpnPhase::Connecting, None);
    assert_eq!(step(vec![connecting]), (State::Connecting, expected.clone()));
    step(vec![active(VpnPhase::Activated, Some("vpn0"))]);
    machine.step(links(&[link(2, "vpn0", LinkKind::Tunnel)]), 2);
    assert_eq!((machine.situation().state, allowed(&machine)), (State::Protected, expected));
}

#[test]
fn a_profile_without_a_mark_is_reported_with_its_command_unless_networkmanager_marks_it() {
    let profile = |id: &str, manager_marks| Profile {
        endpoints: vec![SERVER.parse().unwrap()],
        sender: Sender::Kernel,
        interface: "wg0".parse().ok(),
        manager_marks,
        ..Profile::plain("4d1f6b52", id, VpnKind::ManagedWireGuard)
    };
    let view = |profile: &Profile, phase: Option<VpnPhase>, mark| {
        let active = phase.map(|phase| ActiveVpn {
            path: "/1".to_owned(),
            uuid: profile.uuid.clone(),
            id: profile.id.clone(),
            phase,
            interface: "wg0".parse().ok(),
            gateway: None,
            mark: NonZeroU32::new(mark),
        });
        Event::NetworkManager(Some(NmView {
            profiles: vec![profile.clone()],
            active: active.into_iter().collect(),
            ..NmView::default()
        }))
    };
    for (id, word) in [
        ("office", "office"),
        ("Home VPN", "'Home VPN'"),
        ("it's", "4d1f6b52"),
        ("-x", "4d1f6b52"),
        ("uuid", "4d1f6b52"),
        ("a$(id)", "'a$(id)'"),
        ("a\nb", "4d1f6b52"),
    ] {
        let mut machine = begun("", &[]);
        machine.step(view(&profile(id, false), None, 0), 1);
        let [(_, remedy)] = &left_out(&machine)[..] else { panic!("{id}: {:?}", machine.left_out()) };
        assert!(remedy.contains(&format!("modify {word} wireguard.fwmark 0x7766;")), "{remedy}");
    }
    let marked = profile("office", true);
    let mut machine = begun("", &[]);
    machine.step(view(&marked, None, 0), 1);
    assert_eq!(left_out(&machine), [], "it gets a mark when it comes up");
    machine.step(view(&marked, Some(VpnPhase::Connecting), 0), 2);
    assert_eq!(left_out(&machine), []);
    machine.step(links(&[link(2, "wg0", LinkKind::WireGuard)]), 3);
    machine.step(view(&marked, Some(VpnPhase::Activated), 0), 3);
    assert_eq!(left_out(&machine).len(), 1, "it has got none");
    machine.step(view(&profile("office", false), Some(VpnPhase::Activated), 7), 4);
    assert_eq!(left_out(&machine), [], "it has one");
    assert_eq!(keys(&machine).len(), 1);
}

#[test]
fn a_profile_of_a_kind_that_does_not_work_is_reported_and_one_whose_tunnel_is_not_named_too() {
    let told = |kind, config: &str| {
        let profile = Profile::plain("u", "office", kind);
        let mut machine = begun(config, &[]);
        machine.step(Event::NetworkManager(Some(NmView { profiles: vec![profile], ..NmView::default() })), 1);
        left_out(&machine).into_iter().map(|(_, remedy)| remedy).collect::<Vec<String>>()
    };
    for kind in [VpnKind::L2tp, VpnKind::Pptp, VpnKind::Ipsec, VpnKind::OtherPlugin] {
        assert_eq!(told(kind, ""), [kind.guide().todo]);
    }
    let named = "bootstrap.servers = [\"198.51.100.9:443/tcp\"]";
    assert_eq!(told(VpnKind::OtherPlugin, named), [""; 0], "root has named its server");
    for (kind, device) in
        [(VpnKind::Fortinet, "ppp0"), (VpnKind::Sstp, "ppp0"), (VpnKind::ManagedOpenConnect, "vpn0")]
    {
        let [remedy] = &told(kind, "")[..] else { panic!("{kind:?}") };
        let line = format!("tunnel.interfaces = [\"tun+\", \"{device}\"]");
        assert!(remedy.ends_with(&line), "{remedy}");
        assert_eq!(told(kind, &line), [""; 0], "the line helps");
    }
    for kind in [VpnKind::ManagedOpenVpn, VpnKind::ManagedWireGuard, VpnKind::Vpnc] {
        assert_eq!(told(kind, ""), [""; 0], "{kind:?}");
    }
    let uncounted = told(VpnKind::L2tp, "vpn.connections = [\"home\"]");
    assert_eq!(uncounted, [""; 0], "what does not count is not told");
}
