use super::*;
use crate::config::{Dns, Scope};
use crate::guide::VpnKind;
use crate::vpn::learning::MAX_VPNS;
use crate::vpn::{
    ActiveVpn, Event, KernelPacket, Link, LinkKind, LinkTable, Machine, NmView, OpenVpnFile, Profile,
    Remembered, State, VpnPhase,
};

mod files;

const MARK: Option<NonZeroU32> = NonZeroU32::new(0x7766);

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

fn profile(uuid: &str, servers: &[&str]) -> Profile {
    Profile {
        endpoints: servers.iter().map(|server| endpoint(server)).collect(),
        ..Profile::plain(uuid, uuid, VpnKind::ManagedOpenVpn)
    }
}

fn wireguard(mark: Option<NonZeroU32>) -> Profile {
    Profile { sender: Sender::Kernel, mark, ..profile("wg", &["198.51.100.9:51820/udp"]) }
}

fn view(profiles: Vec<Profile>) -> Event {
    Event::NetworkManager(Some(NmView { profiles, ..NmView::default() }))
}

fn file(path: &str, servers: &[&str]) -> OpenVpnFile {
    OpenVpnFile {
        management: None,
        path: path.to_owned(),
        endpoints: servers.iter().map(|server| endpoint(server)).collect(),
        names: BTreeSet::new(),
        user: Some(65_534),
        mark: None,
        device: None,
    }
}

fn fresh(config: Config) -> Machine {
    Machine::new(config, Remembered::default(), 0)
}

/// What the last agent knew cannot be read.
fn damaged() -> Remembered {
    Remembered { learned: None, ..Remembered::default() }
}

fn naming(profile: &str) -> Config {
    let mut config = Config::default();
    config.vpn.connections = vec![profile.to_owned()];
    config
}

fn kernel(machine: &Machine) -> Vec<(Endpoint, KernelPacket)> {
    machine.situation().bootstrap.kernel.into_iter().collect()
}

#[test]
fn a_damaged_store_does_not_count_as_empty() {
    let mut unread = Machine::new(Config::default(), damaged(), 0);
    assert!(!unread.situation().bootstrap.any);
    assert!(fresh(Config::default()).situation().bootstrap.any, "the control");
    // Neither does it if there is no profile now: a hook may have reported the servers that were lost.
    unread.step(view(Vec::new()), 1);
    unread.step(Event::OpenVpnFiles(Vec::new()), 1);
    assert!(!unread.situation().bootstrap.any);

    let mut config = Config::default();
    config.bootstrap.servers = vec!["198.51.100.1".parse().unwrap()];
    let unread = Machine::new(config.clone(), damaged(), 0);
    let servers: Vec<_> = unread.situation().bootstrap.endpoints.into_keys().collect();
    assert_eq!(servers, [endpoint("198.51.100.1:1194/udp")]);
    config.bootstrap.scope = Scope::Any;
    let unread = Machine::new(config, damaged(), 0);
    assert!(unread.situation().bootstrap.any, "the administrator wants it");
}

#[test]
fn a_name_that_is_being_looked_up_counts_as_known() {
    let named = |dns| {
        let mut config = Config::default();
        config.bootstrap.dns = dns;
        let mut machine = fresh(config);
        let mut profile = profile("work", &[]);
        profile.names =
            vec![("vpn.example.net".to_owned().try_into().unwrap(), Transport::Udp, Port::fixed(1194))];
        machine.step(view(vec![profile]), 1);
        machine.situation().bootstrap.any
    };
    assert!(!named(Dns::Pin));
    assert!(named(Dns::Off), "nobody will ever look it up");
}

#[test]
fn only_root_can_allow_packets_of_the_kernel_without_a_mark() {
    let server = endpoint("198.51.100.9:51820/udp");
    let mut machine = fresh(Config::default());
    let actions = machine.step(view(vec![wireguard(None)]), 1);
    assert_eq!(kernel(&machine), []);
    assert!(
        actions.contains(&super::super::Action::LeftOut("wg".to_owned(), LeftOut::Unmarked("wg".to_owned())))
    );
    assert!(!machine.situation().bootstrap.any, "a server is known");

    machine.step(view(vec![wireguard(MARK)]), 1);
    assert_eq!(kernel(&machine), [(server, KernelPacket::Marked(MARK.unwrap()))]);
    assert!(machine.situation().bootstrap.endpoints.is_empty(), "no owner's socket may send there");

    let mut machine = fresh(naming("wg"));
    let actions = machine.step(view(vec![wireguard(None)]), 1);
    assert_eq!(kernel(&machine), [(server, KernelPacket::Any)]);
    assert!(!actions.iter().any(|action| matches!(action, super::super::Action::LeftOut(..))));
}

fn tunnel(kind: LinkKind) -> Event {
    Event::Links(LinkTable {
        links: vec![Link {
            addresses: vec!["10.8.0.2/24".parse().unwrap()],
            routes: vec!["0.0.0.0/0".parse().unwrap()],
            ..Link::plain(7, "tun0", kind)
        }],
        ..LinkTable::default()
    })
}

#[test]
fn a_wireguard_connection_is_a_tunnel_and_its_device_has_the_mark() {
    let mut machine = fresh(Config::default());
    let active = ActiveVpn {
        path: "/1".to_owned(),
        uuid: "wg".to_owned(),
        id: "wg".to_owned(),
        phase: VpnPhase::Activated,
        interface: "tun0".parse().ok(),
        gateway: None,
        mark: MARK,
    };
    let profiles = vec![wireguard(None), profile("work", &["198.51.100.7:1194/udp"])];
    machine
        .step(Event::NetworkManager(Some(NmView { profiles, active: vec![active], ..NmView::default() })), 1);
    machine.step(tunnel(LinkKind::WireGuard), 1);
    let is = machine.situation();
    assert_eq!(is.state, State::Protected);
    let server = endpoint("198.51.100.9:51820/udp");
    assert_eq!(kernel(&machine), [(server, KernelPacket::Marked(MARK.unwrap()))]);
    assert!(is.bootstrap.endpoints.is_empty());
    assert_eq!(is.tunnels[0].endpoint, Some(server));
}

fn up(server: &str) -> Event {
    let (kind, interface) = (crate::vpn::ReportKind::Up, "tun0".parse().unwrap());
    let report = crate::vpn::Report {
        kind,
        interface,
        pid: Some(7),
        started: None,
        endpoint: Some(endpoint(server)),
        either: None,
    };
    Event::Report(report, crate::vpn::Reporter::Root)
}

#[test]
fn while_protected_the_user_of_the_file_that_names_the_server_in_use_may_reach_it_and_no_other() {
    let mut machine = fresh(Config::default());
    let files = vec![
        file("/etc/openvpn/a.conf", &["198.51.100.7:1194/udp", "198.51.100.8:1194/udp"]),
        OpenVpnFile { user: Some(1_000), ..file("/etc/openvpn/b.conf", &["198.51.100.9:1194/udp"]) },
    ];
    machine.step(Event::OpenVpnFiles(files), 1);
    machine.step(up("198.51.100.7:1194/udp"), 1);
    machine.step(tunnel(LinkKind::Tunnel), 1);
    let is = machine.situation();
    assert_eq!(is.state, State::Protected);
    let only = [(endpoint("198.51.100.7:1194/udp"), BTreeSet::from([65_534]))];
    assert_eq!(is.bootstrap.endpoints, only.into());
}

#[test]
fn a_server_that_root_s_files_name_with_another_transport_is_reached_by_that() {
    let (udp, tcp) = ("198.51.100.7:443/udp", "198.51.100.7:443/tcp");
    // What the files name, what the hook reports, and what may be reached.
    for (named, reported, used) in [
        (&[tcp][..], udp, tcp),
        (&[udp], tcp, udp),
        (&[tcp], tcp, tcp),
        (&[udp, tcp], udp, udp),
        (&[udp, tcp], tcp, tcp),
        (&["198.51.100.8:443/tcp", "198.51.100.7:444/tcp"], udp, udp),
        (&[], udp, udp),
    ] {
        let mut machine = fresh(Config::default());
        machine.step(Event::OpenVpnFiles(vec![file("/etc/openvpn/a.conf", named)]), 1);
        machine.step(tunnel(LinkKind::Tunnel), 1);
        machine.step(up(reported), 1);
        let reached = machine.situation().bootstrap.endpoints;
        assert_eq!(machine.situation().state, State::Protected);
        assert_eq!(reached.into_keys().collect::<Vec<_>>(), [endpoint(used)], "{named:?}, {reported}");
    }
}

#[test]
fn an_offloaded_openvpn_needs_both_its_owner_s_packets_and_the_kernel_s() {
    let server = endpoint("198.51.100.7:1194/udp");
    let mut machine = fresh(Config::default());
    machine.step(tunnel(LinkKind::Tunnel), 1);
    machine.step(up("198.51.100.7:1194/udp"), 1);
    assert_eq!(kernel(&machine), [], "the control: its client sends itself");
    machine.step(tunnel(LinkKind::OpenVpn), 1);
    assert_eq!(kernel(&machine), [(server, KernelPacket::Any)]);
    assert!(machine.situation().bootstrap.endpoints.contains_key(&server));
    let marked = OpenVpnFile { mark: MARK, ..file("/etc/openvpn/a.conf", &["198.51.100.7:1194/udp"]) };
    machine.step(Event::OpenVpnFiles(vec![marked]), 1);
    assert_eq!(kernel(&machine), [(server, KernelPacket::Marked(MARK.unwrap()))]);
}

#[test]
fn a_file_s_user_gets_its_servers_alone_and_a_file_that_is_gone_is_forgotten() {
    // Root's files count beside the named profiles.
    let mut machine = fresh(naming("work"));
    machine.step(view(vec![profile("work", &["198.51.100.1:1194/udp"])]), 1);
    let files = vec![file("/etc/openvpn/a.conf", &["198.51.100.7:1194/udp", "198.51.100.8:443/tcp"])];
    machine.step(Event::OpenVpnFiles(files), 1);
    let users = machine.situation().bootstrap.endpoints;
    assert_eq!(users[&endpoint("198.51.100.1:1194/udp")], BTreeSet::new());
    assert_eq!(users[&endpoint("198.51.100.7:1194/udp")], BTreeSet::from([65_534]));
    assert_eq!(users[&endpoint("198.51.100.8:443/tcp")], BTreeSet::from([65_534]));
    // What NetworkManager says does not touch it.
    machine.step(view(Vec::new()), 1);
    assert_eq!(machine.situation().bootstrap.endpoints.len(), 2);
    machine.step(Event::OpenVpnFiles(Vec::new()), 1);
    assert_eq!(machine.situation().bootstrap.endpoints.len(), 0);
}

#[test]
fn too_many_servers_are_bounded_and_root_s_are_kept() {
    let many = |of: u8, count: u32| -> Vec<Endpoint> {
        let address =
            |n: u32| std::net::IpAddr::from((0x0a00_0000 + (u32::from(of) << 16) + n).to_be_bytes());
        (0..count).map(|n| Endpoint::new(address(n), Transport::Udp, Port::fixed(1194)).unwrap()).collect()
    };
    let large = |uuid: &str, of: u8| Profile { endpoints: many(of, 10_000), ..profile(uuid, &[]) };
    let mut machine = fresh(Config::default());
    machine.step(Event::OpenVpnFiles(vec![file("/etc/openvpn/z.conf", &["198.51.100.7:1194/udp"])]), 1);
    let actions =
        machine.step(view(vec![large("0", 1), large("1", 2), profile("2", &["198.51.100.9:1194/udp"])]), 1);
    let known = machine.situation().bootstrap.endpoints;
    assert_eq!(known.len(), MAX_SERVERS);
    for kept in ["198.51.100.7:1194/udp", "198.51.100.9:1194/udp"] {
        assert!(known.contains_key(&endpoint(kept)), "{kept}");
    }
    let left_out = super::super::Action::LeftOut("1".to_owned(), LeftOut::Servers(20_002 - MAX_SERVERS));
    assert!(actions.contains(&left_out));
    let again = machine.step(Event::Clock, 1);
    assert!(!again.contains(&left_out), "said once");

    let crowd = (0..MAX_VPNS + 100).map(|n| profile(&format!("{n}"), &[])).collect();
    machine.step(view(crowd), 1);
    assert_eq!(machine.facts.learning.all().len(), MAX_VPNS);
    assert!(machine.facts.learning.all().contains_key("openvpn:/etc/openvpn/z.conf"));
}

fn dns() -> Profile {
    profile(
        "users",
        &["10.0.0.1:53/udp", "198.51.100.53:53/tcp", "198.51.100.53:853/udp", "198.51.100.7:443/tcp"],
    )
}

fn allowed(machine: &Machine) -> Vec<String> {
    let allowance = machine.situation().bootstrap;
    let kernel = allowance.kernel.iter().map(|(endpoint, _)| *endpoint);
    allowance.endpoints.keys().copied().chain(kernel).map(|endpoint| endpoint.to_string()).collect()
}

/// In each state of its connection, and with what an earlier version kept of it.
#[test]
fn a_profile_that_root_has_not_named_opens_no_port_of_dns() {
    let only = ["198.51.100.7:443/tcp"];
    let mut machine = fresh(Config::default());
    machine.step(view(vec![dns()]), 1);
    assert_eq!(allowed(&machine), only, "locked");
    let learned = Some(machine.facts.learning.all().clone());
    let recalled = Machine::new(Config::default(), Remembered { learned, ..Remembered::default() }, 1);
    assert_eq!(allowed(&recalled), only, "from the store");
    assert_eq!(recalled.left_out(), machine.left_out(), "the same after a restart");

    let mut active = ActiveVpn {
        path: "/1".to_owned(),
        uuid: "users".to_owned(),
        id: "users".to_owned(),
        phase: VpnPhase::Connecting,
        interface: None,
        gateway: None,
        mark: None,
    };
    let activation = |active: &ActiveVpn, profile: Profile| {
        Event::NetworkManager(Some(NmView {
            profiles: vec![profile],
            active: vec![active.clone()],
            ..NmView::default()
        }))
    };
    machine.step(activation(&active, dns()), 2);
    assert_eq!(
        (machine.situation().state, allowed(&machine)),
        (State::Connecting, only.map(str::to_owned).to_vec())
    );
    active.gateway = Some("198.51.100.53".parse().unwrap());
    machine.step(activation(&active, dns()), 3);
    assert_eq!(allowed(&machine), [""; 0], "the plugin's gateway");
    machine.step(tunnel(LinkKind::Tunnel), 4);
    active.phase = VpnPhase::Activated;
    active.interface = Some("tun0".parse().unwrap());
    machine.step(activation(&active, dns()), 4);
    assert_eq!((machine.situation().state, allowed(&machine)), (State::Protected, Vec::new()));

    // By a name, and by the kernel's own packets, with a mark or without.
    let mut named = profile("users", &[]);
    named.names = vec![("vpn.example.net".to_owned().try_into().unwrap(), Transport::Udp, Port::fixed(53))];
    machine.step(activation(&ActiveVpn { gateway: None, phase: VpnPhase::Connecting, ..active }, named), 5);
    let name = "vpn.example.net".to_owned().try_into().unwrap();
    machine.step(Event::Resolved { name, addresses: vec!["198.51.100.9".parse().unwrap()] }, 5);
    assert_eq!(allowed(&machine), [""; 0], "by a name");
    for mark in [None, MARK] {
        let mut machine = fresh(Config::default());
        machine.step(view(vec![Profile { sender: Sender::Kernel, mark, ..dns() }]), 1);
        assert!(!allowed(&machine).iter().any(|server| server.contains(":53/") || server.contains(":853/")));
    }
}

/// A UUID that root has written into the configuration.
const ROOTS: &str = "4d1f6b52-0a4e-4cf3-9a3b-0c2c5f6f2b11";

#[test]
fn a_profile_whose_id_is_the_uuid_in_the_configuration_does_not_count() {
    let list = format!("vpn.connections = [\"{ROOTS}\"]");
    let mut machine = fresh(Config::parse(&list, "line").unwrap());
    let own = Profile { uuid: ROOTS.to_owned(), ..profile("own", &["198.51.100.8:1194/udp"]) };
    machine.step(view(vec![Profile { id: ROOTS.to_owned(), ..dns() }, own]), 1);
    assert_eq!(allowed(&machine), ["198.51.100.8:1194/udp"]);
}

#[test]
fn the_suggested_line_lets_root_open_a_port_of_dns() {
    let mine = || Profile { uuid: "mine".to_owned(), ..dns() };
    let mut machine = fresh(Config::default());
    machine.step(view(vec![mine(), profile("other", &["198.51.100.8:1194/udp"])]), 1);
    let left_out = machine.left_out();
    let [(name, what @ LeftOut::Dns(line))] = &left_out.iter().collect::<Vec<_>>()[..] else {
        panic!("{left_out:?}")
    };
    assert_eq!((name.as_str(), line.as_str()), ("users", "vpn.connections = [\"users\", \"other\"]"));
    assert!(what.remedy().ends_with(line), "{what}");
    let config = Config::parse(line, "line").unwrap();
    machine.step(Event::Config(Box::new(config.clone())), 2);
    assert_eq!(allowed(&machine).len(), 5, "root named it");
    assert!(machine.left_out().is_empty());

    // If another profile has the same name, neither of the two counts as named by root.
    let namesake = Profile { uuid: "planted".to_owned(), ..dns() };
    machine.step(view(vec![mine(), namesake]), 3);
    assert_eq!(allowed(&machine), ["198.51.100.7:443/tcp"]);
    let left_out = machine.left_out();
    let mut lines =
        left_out.iter().filter_map(|(_, what)| if let LeftOut::Dns(line) = what { Some(line) } else { None });
    let planted = lines.find(|line| line.contains("planted"));
    assert_eq!(planted.unwrap(), "vpn.connections = [\"planted\", \"other\"]");
    let by_uuid = Config::parse("vpn.connections = [\"planted\"]", "line").unwrap();
    machine.step(Event::Config(Box::new(by_uuid)), 4);
    assert_eq!(allowed(&machine).len(), 4, "the UUID tells one from the other");

    // A name that is no plain text, too long, or looks like a UUID is spelt by its UUID.
    for odd in ["a\"b\\c", ROOTS, "line\nbreak", "", &"x".repeat(300)] {
        let mut machine = fresh(Config::default());
        machine.step(view(vec![Profile { id: odd.to_owned(), ..dns() }]), 1);
        let left_out = machine.left_out();
        let Some((_, LeftOut::Dns(line))) = left_out.first() else { panic!("{left_out:?}") };
        let config = Config::parse(line, "line").unwrap();
        machine.step(Event::Config(Box::new(config)), 2);
        assert_eq!(allowed(&machine).len(), 4, "{line}");
    }
}

#[test]
fn root_s_own_files_and_the_configuration_may_name_a_port_of_dns() {
    let config = Config::parse("bootstrap.servers = [\"198.51.100.1:53/udp\"]", "line").unwrap();
    let mut machine = fresh(config);
    machine.step(Event::OpenVpnFiles(vec![file("/etc/openvpn/a.conf", &["198.51.100.2:53/udp"])]), 1);
    assert_eq!(allowed(&machine), ["198.51.100.1:53/udp", "198.51.100.2:53/udp"]);
}
