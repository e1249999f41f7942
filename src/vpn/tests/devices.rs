//! What WireGuard devices report, and how far the rules follow it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use super::super::*;
use super::kernel::{SERVER, begun, file, left_out, link, links, lost};
use crate::net::{Endpoint, PeerKey};

fn key(byte: u8) -> PeerKey {
    PeerKey::try_from(&[byte; 32][..]).unwrap()
}

/// A file of root's with the key 1 of its peer.
fn keyed(name: &str, mark: u32) -> WireGuardFile {
    WireGuardFile { keys: [key(1)].into(), ..file(name, mark) }
}

/// The device of the link 2, with these peers.
fn device(mark: u32, peers: &[(u8, &str)]) -> WireGuardDevice {
    let peers = peers.iter().map(|(byte, at)| (key(*byte), at.parse::<Endpoint>().ok()));
    let (index, traffic) = (2, Traffic::default());
    let (mark, own, peers) = (NonZeroU32::new(mark), None, peers.collect::<BTreeMap<_, _>>());
    WireGuardDevice { index, mark, own, peers, traffic }
}

fn devices(device: WireGuardDevice) -> Event {
    Event::WireGuardDevices { devices: vec![device], awake: 1 }
}

/// The kernel's packets that may leave, as `198.51.100.9:51820/udp 51820`.
fn allowed(machine: &Machine) -> Vec<String> {
    let bootstrap = machine.situation().bootstrap;
    assert!(bootstrap.endpoints.is_empty() && !bootstrap.any, "{bootstrap:?}");
    let text = |(endpoint, by): &(Endpoint, KernelPacket)| match by {
        KernelPacket::Marked(mark) => format!("{endpoint} {mark}"),
        KernelPacket::Any => endpoint.to_string(),
    };
    bootstrap.kernel.iter().map(text).collect()
}

fn office() -> Event {
    links(&[link(2, "office", LinkKind::WireGuard)])
}

#[test]
fn the_mark_of_the_device_goes_before_the_mark_of_the_file() {
    let mut machine = begun("", &[keyed("office", 51_820)]);
    let up = Link { routes: Vec::new(), ..link(2, "office", LinkKind::Tunnel) };
    machine.step(links(&[up]), 1);
    assert_eq!(allowed(&machine), [format!("{SERVER} 51820")]);
    // wg-quick sets the mark of a second device with a default route before it makes the route.
    machine.step(devices(device(51_821, &[(1, SERVER)])), 1);
    assert_eq!(
        (machine.situation().state, allowed(&machine)),
        (State::Locked, vec![format!("{SERVER} 51821")])
    );
    machine.step(links(&[link(2, "office", LinkKind::Tunnel)]), 1);
    assert_eq!(
        (machine.situation().state, allowed(&machine)),
        (State::Protected, vec![format!("{SERVER} 51821")])
    );
    // Without an answer, with another device of the same name, and with no device, the file's mark counts.
    for (index, answer) in [(2, vec![]), (3, vec![device(51_821, &[(1, SERVER)])])] {
        let mut machine = machine.clone();
        machine.step(Event::WireGuardDevices { devices: answer, awake: 2 }, 2);
        machine.step(links(&[link(index, "office", LinkKind::Tunnel)]), 2);
        assert_eq!(allowed(&machine), [format!("{SERVER} 51820")]);
    }
    // If the device has no mark, the file's counts: it opens nothing for packets without a mark.
    machine.step(devices(device(0, &[(1, SERVER)])), 2);
    assert_eq!(allowed(&machine), [format!("{SERVER} 51820")]);
    // If the file has no mark, the mark of its device lets its packets out.
    let mut machine = begun("", &[keyed("office", 0)]);
    machine.step(office(), 1);
    assert_eq!((allowed(&machine).len(), left_out(&machine).len()), (0, 1));
    machine.step(devices(device(7, &[(1, SERVER)])), 1);
    assert_eq!((allowed(&machine), left_out(&machine)), (vec![format!("{SERVER} 7")], vec![]));
}

#[test]
fn a_peer_is_followed_only_where_a_server_on_the_internet_can_be() {
    let eth0 = |addresses: &[&str]| {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Link { addresses, ..link(9, "eth0", LinkKind::Other) }
    };
    let eth0 = eth0(&["192.168.1.2/24", "203.0.113.2/24", "2001:db8:1::2/64"]);
    let office = link(2, "office", LinkKind::WireGuard);
    for (at, is_followed) in [
        ("198.51.100.77:443/udp", true),
        ("[2001:db8::77]:51820/udp", true),
        // Ports of DNS; the router, the broadcast address and this machine on the LAN; another LAN.
        ("198.51.100.77:53/udp", false),
        ("198.51.100.77:853/udp", false),
        ("192.168.1.1:51820/udp", false),
        ("192.168.1.255:51820/udp", false),
        ("192.168.1.2:51820/udp", false),
        ("10.0.0.1:51820/udp", false),
        ("169.254.1.1:51820/udp", false),
        ("240.0.0.1:51820/udp", false),
        ("[fe80::1]:51820/udp", false),
        ("[fd00::1]:51820/udp", false),
        // Public networks on the link of the card.
        ("203.0.113.1:51820/udp", false),
        ("[2001:db8:1::1]:51820/udp", false),
    ] {
        let mut machine = begun("", &[keyed("office", 7)]);
        machine.step(links(&[eth0.clone(), office.clone()]), 1);
        machine.step(devices(device(7, &[(1, at)])), 1);
        let expected = if is_followed { at } else { SERVER };
        assert_eq!(
            (machine.situation().state, allowed(&machine)),
            (State::Protected, vec![format!("{expected} 7")])
        );
        let told = left_out(&machine);
        assert_eq!(told.is_empty(), is_followed, "{at}: {told:?}");
        assert!(
            told.iter().all(|(name, remedy)| name == "office" && remedy.contains("Endpoint")),
            "{told:?}"
        );
        // Root's file may name any of them.
        let named = WireGuardFile { endpoints: [at.parse().unwrap()].into(), ..keyed("office", 7) };
        let is_broadcast = at.starts_with("192.168.1.255");
        machine.step(Event::WireGuardFiles(vec![named]), 1);
        assert_eq!(allowed(&machine).is_empty(), is_broadcast, "{at}");
        assert_eq!(left_out(&machine).is_empty(), !is_broadcast, "{at}");
    }
}

#[test]
fn a_peer_is_not_followed_where_every_program_may_send() {
    let list = "vpn.connections = [\"wireguard:office\"]";
    for (mark, followed) in [(0, SERVER.to_owned()), (7, "198.51.100.77:443/udp 7".to_owned())] {
        let mut machine = begun(list, &[keyed("office", mark)]);
        machine.step(office(), 1);
        machine.step(devices(device(mark, &[(1, "198.51.100.77:443/udp")])), 1);
        assert_eq!((machine.situation().state, allowed(&machine)), (State::Protected, vec![followed]));
    }
}

#[test]
fn a_device_with_a_peer_that_the_file_does_not_name_is_not_the_file_s() {
    let elsewhere = "198.51.100.66:443/udp";
    for peers in [&[(2, elsewhere)][..], &[(1, elsewhere), (2, SERVER)], &[]] {
        let mut machine = begun("vpn.connections = [\"wireguard:office\"]", &[keyed("office", 7)]);
        machine.step(office(), 1);
        machine.step(devices(device(8, peers)), 1);
        assert_eq!(allowed(&machine), [format!("{SERVER} 7")], "{peers:?}");
    }
    // A file without keys identifies no device.
    let mut machine = begun("", &[file("office", 7)]);
    machine.step(office(), 1);
    machine.step(devices(device(8, &[(1, elsewhere)])), 1);
    assert_eq!(allowed(&machine), [format!("{SERVER} 7")]);
}

#[test]
fn the_allowance_follows_the_device_and_ends_with_it() {
    let moved = "198.51.100.66:443/udp";
    let mut machine = begun("", &[keyed("office", 7)]);
    machine.step(office(), 1);
    machine.step(devices(device(7, &[(1, moved)])), 1);
    assert_eq!(allowed(&machine), [format!("{moved} 7")]);
    let tunnel = &machine.situation().tunnels[0];
    assert_eq!(tunnel.endpoint, Some(moved.parse().unwrap()));
    // Lost: the server in use, and the one that the file names.
    machine.step(Event::Silent { tunnel: TunnelId::named("kernel:office".to_owned()) }, 2);
    assert_eq!(machine.situation().state, State::Lost);
    assert_eq!(allowed(&machine), [format!("{SERVER} 7"), format!("{moved} 7")]);
    machine.step(links(&[]), 3);
    assert_eq!((machine.situation().state, allowed(&machine)), (State::Lost, vec![format!("{SERVER} 7")]));
    // A reading of a device that is gone does not count for the next device.
    machine.step(links(&[link(4, "office", LinkKind::WireGuard)]), 4);
    assert_eq!(allowed(&machine), [format!("{SERVER} 7")]);
}

#[test]
fn only_devices_that_count_and_that_root_made_are_read() {
    let tun = link(2, "office", LinkKind::Tunnel);
    let all = [tun.clone(), link(3, "tun0", LinkKind::WireGuard), link(4, "home", LinkKind::WireGuard)];
    let names =
        |machine: &Machine| machine.wireguard_links().into_iter().map(|link| link.name).collect::<Vec<_>>();
    let mut machine = begun("", &[keyed("office", 7), keyed("home", 7)]);
    machine.step(links(&all), 1);
    assert_eq!(names(&machine), ["office", "home"]);
    let table = LinkTable { links: all.to_vec(), of_users: [2].into(), ..LinkTable::default() };
    machine.step(Event::Links(table), 1);
    assert_eq!(names(&machine), ["home"], "an ordinary user may open it");
    let mut machine =
        begun("vpn.connections = [\"wireguard:office\"]", &[keyed("office", 7), keyed("home", 7)]);
    machine.step(links(&all), 1);
    assert_eq!(names(&machine), ["office"]);
}

#[test]
fn a_device_that_networkmanager_has_only_found_has_the_servers_of_root_s_file() {
    let mut machine = begun("", &[keyed("office", 7)]);
    let profile = Profile {
        sender: Sender::Kernel,
        interface: "office".parse().ok(),
        ..Profile::plain("u", "office", crate::guide::VpnKind::ManagedWireGuard)
    };
    let active = ActiveVpn {
        path: "/1".to_owned(),
        uuid: "u".to_owned(),
        id: "office".to_owned(),
        phase: VpnPhase::Activated,
        interface: "office".parse().ok(),
        gateway: None,
        mark: NonZeroU32::new(7),
    };
    let view = NmView { profiles: vec![profile], active: vec![active], ..NmView::default() };
    machine.step(Event::NetworkManager(Some(view)), 1);
    machine.step(office(), 1);
    assert_eq!(
        (machine.situation().state, allowed(&machine)),
        (State::Protected, vec![format!("{SERVER} 7")])
    );
    assert_eq!(machine.situation().tunnels[0].source, TunnelSource::NetworkManager);
    let moved = "198.51.100.66:443/udp";
    machine.step(devices(device(7, &[(1, moved)])), 1);
    assert_eq!(allowed(&machine), [format!("{moved} 7")]);
}

#[test]
fn a_peer_of_networkmanager_s_profile_is_followed_by_its_key_and_its_mark() {
    let profile = |keys: Vec<PeerKey>| Profile {
        endpoints: vec![SERVER.parse().unwrap()],
        sender: Sender::Kernel,
        interface: "office".parse().ok(),
        manager_marks: true,
        keys,
        ..Profile::plain("u", "work", crate::guide::VpnKind::ManagedWireGuard)
    };
    let active = |mark| ActiveVpn {
        path: "/1".to_owned(),
        uuid: "u".to_owned(),
        id: "work".to_owned(),
        phase: VpnPhase::Activated,
        interface: "office".parse().ok(),
        gateway: None,
        mark: NonZeroU32::new(mark),
    };
    let moved = "198.51.100.66:443/udp";
    let after_moving = |keys: Vec<PeerKey>, mark, to: &str| {
        let mut machine = begun("", &[]);
        let (profiles, active) = (vec![profile(keys)], vec![active(mark)]);
        let view = NmView { profiles, active, ..NmView::default() };
        machine.step(Event::NetworkManager(Some(view)), 1);
        machine.step(office(), 1);
        assert_eq!(machine.wireguard_links().len(), 1);
        machine.step(devices(device(mark, &[(1, to)])), 1);
        allowed(&machine)
    };
    assert_eq!(after_moving(vec![key(1)], 7, moved), [format!("{moved} 7")]);
    let stays = vec![format!("{SERVER} 7")];
    assert_eq!(after_moving(vec![key(2)], 7, moved), stays, "the device has a peer of somebody else's");
    assert_eq!(after_moving(vec![key(1)], 7, "198.51.100.66:53/udp"), stays);
    assert_eq!(after_moving(vec![key(1)], 7, "10.7.0.9:443/udp"), stays);
    assert_eq!(after_moving(vec![key(1)], 0, moved), Vec::<String>::new(), "nothing marks its packets");
}

/// Readings every five seconds, in which bytes are sent and none come.
fn send(machine: &mut Machine, seconds: std::ops::Range<u64>) -> Vec<Action> {
    let reading = |awake| {
        let traffic = Traffic { handshake: Handshake::At(1), sent: awake, received: 1 };
        let devices = vec![WireGuardDevice { traffic, ..device(7, &[(1, SERVER)]) }];
        Event::WireGuardDevices { devices, awake }
    };
    seconds.step_by(5).flat_map(|awake| machine.step(reading(awake), awake)).collect()
}

#[test]
fn a_device_without_a_handshake_for_three_minutes_of_sending_is_lost_until_the_next_one() {
    for silence in ["off", "5m"] {
        let mut machine = begun(&format!("vpn.silence = \"{silence}\""), &[keyed("office", 7)]);
        machine.step(office(), 1);
        let actions = send(&mut machine, 1_000..1_180);
        assert!(machine.situation().state == State::Protected && !lost(&actions));
        let actions = send(&mut machine, 1_180..1_185);
        assert!(machine.situation().state == State::Lost && lost(&actions));
        assert_eq!(allowed(&machine), [format!("{SERVER} 7")]);
        machine.step(office(), 1_186);
        assert_eq!(machine.situation().state, State::Lost, "its link is still there");
        // A listener ends the silence where there is one: see `Wait::Recovery`.
        assert_eq!(machine.listening().len(), usize::from(silence != "off"));
        let traffic = Traffic { handshake: Handshake::At(2), sent: 1_190, received: 93 };
        let devices = vec![WireGuardDevice { traffic, ..device(7, &[(1, SERVER)]) }];
        machine.step(Event::WireGuardDevices { devices, awake: 1_190 }, 1_190);
        let after = if silence == "off" { State::Protected } else { State::Lost };
        assert_eq!(machine.situation().state, after, "{silence}");
    }
}

#[test]
fn what_goes_into_a_program_s_device_is_counted_for_three_minutes_at_most() {
    // boringtun and GotaTun count no packets that they cannot send.
    for (kind, silence, seconds) in [
        (LinkKind::Tunnel, "off", Some(180)),
        (LinkKind::Tunnel, "5m", Some(180)),
        (LinkKind::Tunnel, "30s", Some(30)),
        (LinkKind::WireGuard, "off", None),
        (LinkKind::WireGuard, "5m", Some(300)),
    ] {
        let mut machine = begun(&format!("vpn.silence = \"{silence}\""), &[keyed("office", 7)]);
        machine.step(links(&[link(2, "office", kind)]), 1);
        machine.step(devices(device(7, &[(1, SERVER)])), 1);
        assert_eq!(machine.situation().state, State::Protected);
        let waits = |machine: &Machine| -> Vec<Wait> {
            let listening = machine.listening();
            assert!(listening.iter().all(|one| one.answered == Answered::IntoTunnel));
            listening.iter().map(|one| one.wait).collect()
        };
        let expected: Vec<Wait> = seconds.map(Wait::Silence).into_iter().collect();
        assert_eq!(waits(&machine), expected, "{kind:?}, {silence}");
        let Some(tunnel) = machine.listening().pop().map(|one| one.tunnel) else { continue };
        assert!(lost(&machine.step(Event::Silent { tunnel }, 200)));
        assert_eq!((machine.situation().state, waits(&machine)), (State::Lost, vec![Wait::Recovery]));
    }
    // For a tun device that no WireGuard program answers for, nothing is counted.
    let mut machine = begun("vpn.silence = \"off\"", &[keyed("office", 7)]);
    machine.step(links(&[link(2, "office", LinkKind::Tunnel)]), 1);
    assert_eq!((machine.situation().state, machine.listening().len()), (State::Protected, 0));
}

#[test]
fn five_thousand_peers_are_all_followed() {
    let at = |n: usize| -> Endpoint { format!("198.18.{}.{}:51820/udp", n / 256, n % 256).parse().unwrap() };
    let key = |n: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        PeerKey::try_from(&bytes[..]).unwrap()
    };
    let keys: BTreeSet<PeerKey> = (0..5_000).map(key).collect();
    let mut machine = begun("", &[WireGuardFile { keys, ..file("office", 7) }]);
    machine.step(office(), 1);
    let peers = (0..5_000).map(|n| (key(n), Some(at(n)))).collect();
    machine.step(devices(WireGuardDevice { peers, ..device(7, &[]) }), 1);
    assert_eq!((machine.situation().state, allowed(&machine).len()), (State::Protected, 5_000));
}

#[test]
fn a_mark_of_two_programs_is_reported_and_the_same_mark_of_one_program_is_not() {
    let mut machine = begun("", &[keyed("home", 7), keyed("office", 7)]);
    assert_eq!(left_out(&machine), []);
    let profile = Profile {
        endpoints: vec!["198.51.100.8:51820/udp".parse().unwrap()],
        sender: Sender::Kernel,
        mark: NonZeroU32::new(7),
        ..Profile::plain("u", "work", crate::guide::VpnKind::ManagedWireGuard)
    };
    machine.step(Event::NetworkManager(Some(NmView { profiles: vec![profile], ..NmView::default() })), 1);
    let told: Vec<String> =
        machine.left_out().into_iter().map(|(name, what)| format!("{name}: {what}")).collect();
    let [told] = &told[..] else { panic!("{told:?}") };
    assert!(told.starts_with("home: its mark 0x7 is also that of work"), "{told}");
}
