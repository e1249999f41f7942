#![allow(clippy::unwrap_used)]

use super::*;

pub(in super::super) fn read(data: &[(&str, &str)]) -> Reading {
    read_as("org.freedesktop.NetworkManager.openvpn", data)
}

fn settings(
    connection: ConnectionSetting,
    vpn: Option<VpnSetting>,
    wireguard: Option<WireGuardSetting>,
) -> Settings {
    Settings { connection, vpn, wireguard, ipv4: IpSetting::default(), ipv6: IpSetting::default() }
}

fn read_as(service: &str, data: &[(&str, &str)]) -> Reading {
    let data = data.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    let connection = ConnectionSetting {
        id: "work".into(),
        uuid: "u".into(),
        kind: "vpn".into(),
        interface: "eth0".into(),
    };
    let vpn = Some(VpnSetting { service: service.into(), data });
    settings(connection, vpn, None).vpn_profile().unwrap()
}

fn read_wireguard(fwmark: u32, endpoints: &[&str]) -> Reading {
    let connection = ConnectionSetting {
        id: "wg".into(),
        uuid: "u".into(),
        kind: "wireguard".into(),
        interface: "office".into(),
    };
    let peers = endpoints.iter().map(|&endpoint| Peer { endpoint: endpoint.into(), ..Peer::default() });
    let (auto_v4, auto_v6) = (unset(), unset());
    let wireguard = Some(WireGuardSetting { fwmark, auto_v4, auto_v6, peers: peers.collect() });
    settings(connection, None, wireguard).vpn_profile().unwrap()
}

#[test]
fn a_peer_that_is_no_server_is_left_out_and_named() {
    for bad in [
        "198.51.100.9",
        "198.51.100.9:0",
        "198.51.100.9:51820/tcp",
        "2001:db8::1:51820",
        "[2001:db8::1]",
        "127.0.0.1:51820",
        "255.255.255.255:51820",
        "[ff02::1]:51820",
        "$(id):51820",
    ] {
        let reading = read_wireguard(0, &[bad, "198.51.100.9:51820"]);
        assert_eq!(endpoints(&reading), ["198.51.100.9:51820/udp"], "{bad:?}");
        assert!(reading.skipped.is_some(), "{bad:?}");
    }
}

#[test]
fn every_peer_of_wireguard_is_a_server_that_the_kernel_sends_to() {
    let reading =
        read_wireguard(0x7766, &["198.51.100.9:51820", "[2001:db8::1]:1", "wg.example.net:443", ""]);
    assert_eq!(endpoints(&reading), ["198.51.100.9:51820/udp", "[2001:db8::1]:1/udp"]);
    assert_eq!(names(&reading), ["wg.example.net:443/udp"]);
    let Profile { sender, mark, interface, .. } = reading.profile;
    assert_eq!(interface.as_ref().map(crate::net::IfName::as_str), Some("office"));
    assert_eq!((sender, mark, reading.skipped), (Sender::Kernel, NonZeroU32::new(0x7766), None));
    assert_eq!(read_wireguard(0, &[]).profile.mark, None);
}

#[test]
fn a_long_name_is_cut() {
    let connection = ConnectionSetting {
        id: "ä".repeat(9_000),
        uuid: "u".into(),
        kind: "vpn".into(),
        interface: "eth0".into(),
    };
    let reading = settings(connection, None, None).vpn_profile().unwrap();
    assert_eq!(reading.profile.id.chars().count(), LONGEST_NAME);
}

fn endpoints(reading: &Reading) -> Vec<String> {
    reading.profile.endpoints.iter().map(ToString::to_string).collect()
}

fn names(reading: &Reading) -> Vec<String> {
    let name = |(name, transport, port): &_| format!("{name}:{port}/{transport}");
    reading.profile.names.iter().map(name).collect()
}

#[test]
fn invalid_servers_are_left_out_and_named() {
    for bad in [
        "198.51.100.7:0",
        "198.51.100.7:65536",
        "198.51.100.7:+80",
        "198.51.100.7:1194:sctp",
        "198.51.100.7:udp",
        "224.0.0.1",
        "255.255.255.255:1194",
        "127.0.0.1",
        "0.0.0.0",
        "[ff02::1]:1194:udp",
        "2001:db8::1:1194:udp",
        "vpn.example.net\n198.51.100.7",
        "vpn.example.net\u{0}",
        "$(id)",
        "-x.net",
        "10.0.0",
        ":1194",
        "[]:1194",
        "[198.51.100.7",
        "[vpn.example.net]:1194",
        "ｖpn.example.net",
    ] {
        let reading = read(&[("remote", bad)]);
        assert_eq!(reading.profile.endpoints, [], "{bad:?}");
        assert_eq!(reading.profile.names, [], "{bad:?}");
        assert!(reading.skipped.is_some(), "{bad:?}");
    }
}

#[test]
fn a_fault_is_reported_escaped_and_short() {
    let long = format!("\u{1b}[2J{}", "x".repeat(500));
    let skipped = read(&[("remote", &format!("{long}, -a, -b"))]).skipped.unwrap().to_string();
    assert!(skipped.starts_with(r#""\u{1b}[2Jxxx"#), "{skipped}");
    assert!(skipped.ends_with("(and 2 more)") && skipped.len() < 300, "{skipped}");
    assert!(skipped.chars().all(|c| !c.is_control()), "{skipped:?}");
}

#[test]
fn no_more_servers_are_taken_than_any_provider_has() {
    let remotes: Vec<_> = (0..MAX_REMOTES + 2_000).map(|n| format!("10.{}.{}.1", n / 250, n % 250)).collect();
    let reading = read(&[("remote", &remotes.join(","))]);
    assert_eq!(reading.profile.endpoints.len(), MAX_REMOTES);
    assert_eq!(reading.skipped.unwrap().others, 1_999);
}

#[test]
fn a_bad_port_of_the_profile_removes_only_the_servers_that_use_it() {
    let reading = read(&[("remote", "198.51.100.7 198.51.100.8:443"), ("port", "99999")]);
    assert_eq!(endpoints(&reading), ["198.51.100.8:443/udp"]);
    assert!(reading.skipped.is_some());
}

#[test]
fn with_a_proxy_the_endpoint_is_the_proxy() {
    for (proxy, expected) in [
        (
            &[("proxy-type", "http"), ("proxy-server", "10.0.0.5"), ("proxy-port", "3128")][..],
            "10.0.0.5:3128/tcp",
        ),
        (&[("proxy-type", "http"), ("proxy-server", "10.0.0.5")], "10.0.0.5:8080/tcp"),
        (&[("proxy-type", "socks"), ("proxy-server", "10.0.0.5"), ("proxy-port", "0")], "10.0.0.5:1080/tcp"),
        (&[("proxy-type", "none"), ("proxy-server", "10.0.0.5")], "198.51.100.7:1194/udp"),
        (&[("proxy-type", "http")], "198.51.100.7:1194/udp"),
    ] {
        let data: Vec<_> = [("remote", "198.51.100.7")].into_iter().chain(proxy.iter().copied()).collect();
        assert_eq!(endpoints(&read(&data)), [expected], "{proxy:?}");
    }
}

#[test]
fn another_plugin_gives_a_profile_without_servers() {
    let reading = read_as("org.freedesktop.NetworkManager.iodine", &[("gateway", "198.51.100.7")]);
    assert_eq!((reading.profile.endpoints.len(), reading.profile.names.len()), (0, 0));
    assert_eq!(reading.profile.id, "work");
    assert_eq!(reading.skipped, None);
}

#[test]
fn a_profile_that_is_no_vpn_is_ignored() {
    let connection = ConnectionSetting {
        id: "lan".into(),
        uuid: "u".into(),
        kind: "802-3-ethernet".into(),
        interface: "eth0".into(),
    };
    assert!(settings(connection, None, None).vpn_profile().is_none());
}

#[test]
fn every_form_of_a_remote_is_read_as_nm_openvpn_reads_it() {
    for (remote, expected) in [
        ("198.51.100.7", "198.51.100.7:1194/udp"),
        ("198.51.100.7:443", "198.51.100.7:443/udp"),
        ("198.51.100.7:443:tcp", "198.51.100.7:443/tcp"),
        ("198.51.100.7:443:tcp4-client", "198.51.100.7:443/tcp"),
        ("198.51.100.7::tcp", "198.51.100.7:1194/tcp"),
        ("198.51.100.7:", "198.51.100.7:1194/udp"),
        ("2001:db8::1", "[2001:db8::1]:1194/udp"),
        ("[2001:db8::1]", "[2001:db8::1]:1194/udp"),
        ("[2001:db8::1]:443:tcp6", "[2001:db8::1]:443/tcp"),
        ("2001:db8::1:443", "[2001:db8::1:443]:1194/udp"),
        ("::ffff:198.51.100.7", "198.51.100.7:1194/udp"),
    ] {
        let reading = read(&[("remote", remote)]);
        assert_eq!(endpoints(&reading), [expected], "{remote}");
        assert_eq!(reading.skipped, None, "{remote}");
    }
}

#[test]
fn missing_parts_of_a_remote_come_from_the_profile() {
    let remote = "vpn.example.net, 198.51.100.7\t198.51.100.8:53:udp,,VPN.example.net.:1194";
    let reading = read(&[("remote", remote), ("port", "443"), ("proto-tcp", "yes")]);
    assert_eq!(endpoints(&reading), ["198.51.100.7:443/tcp", "198.51.100.8:53/udp"]);
    assert_eq!(names(&reading), ["vpn.example.net:443/tcp", "vpn.example.net:1194/tcp"]);
    assert_eq!(reading.skipped, None);
}

#[test]
fn a_gateway_of_another_plugin_is_read_with_the_ports_that_its_client_uses() {
    let tls = ["198.51.100.9:443/udp", "198.51.100.9:443/tcp"];
    for (plugin, data, expected) in [
        ("openconnect", &[("gateway", "198.51.100.9")][..], &tls[..]),
        ("openconnect", &[("gateway", "https://198.51.100.9/group")], &tls),
        (
            "openconnect",
            &[("gateway", "198.51.100.9:4443")],
            &["198.51.100.9:4443/udp", "198.51.100.9:4443/tcp"],
        ),
        ("openconnect", &[("gateway", "[2001:db8::1]:1")], &["[2001:db8::1]:1/udp", "[2001:db8::1]:1/tcp"]),
        (
            "openconnect",
            &[("gateway", "198.51.100.9"), ("protocol", "gp")],
            &["198.51.100.9:4501/udp", "198.51.100.9:443/tcp"],
        ),
        ("openconnect", &[("gateway", "198.51.100.9"), ("proxy", "http://10.0.0.5:1")], &[]),
        ("vpnc", &[("IPSec gateway", "198.51.100.9")], &["198.51.100.9:500/udp", "198.51.100.9:4500/udp"]),
        ("fortisslvpn", &[("gateway", "198.51.100.9:10443")], &["198.51.100.9:10443/tcp"]),
        ("sstp", &[("gateway", "198.51.100.9")], &["198.51.100.9:443/tcp"]),
        ("sstp", &[("gateway", "198.51.100.9"), ("proxy-server", "10.0.0.5")], &[]),
        ("l2tp", &[("gateway", "198.51.100.9")], &[]),
        ("pptp", &[("gateway", "198.51.100.9")], &[]),
        ("strongswan", &[("address", "198.51.100.9")], &[]),
    ] {
        let reading = read_as(&format!("org.freedesktop.NetworkManager.{plugin}"), data);
        assert_eq!(endpoints(&reading), expected, "{plugin} {data:?}");
        assert_eq!(reading.profile.sender, Sender::Client);
    }
    let named = read_as("org.freedesktop.NetworkManager.openconnect", &[("gateway", "vpn.example.net/a/b")]);
    assert_eq!(names(&named), ["vpn.example.net:443/udp", "vpn.example.net:443/tcp"]);
}

#[test]
fn a_gateway_that_is_no_server_is_left_out_and_named() {
    for bad in [
        "",
        "https://",
        "http://198.51.100.9",
        "127.0.0.1",
        "255.255.255.255",
        "[ff02::1]",
        "198.51.100.9:0",
        "198.51.100.9:65536",
        "user@198.51.100.9",
        "198.51.100.9 198.51.100.8",
        "$(id)",
        "-a",
        "198.51.100.9?x",
        "198.51.100.9#x",
    ] {
        let reading = read_as("org.freedesktop.NetworkManager.openconnect", &[("gateway", bad)]);
        assert_eq!((endpoints(&reading), names(&reading)), (vec![], vec![]), "{bad:?}");
        assert!(reading.skipped.is_some(), "{bad:?}");
    }
}

#[test]
fn networkmanager_marks_a_profile_that_takes_all_traffic_unless_its_settings_forbid_it() {
    let marks = |auto: i32, allowed: &str, ipv4: IpSetting| {
        let peer = Peer { allowed: vec![allowed.to_owned()], ..Peer::default() };
        let setting = WireGuardSetting { fwmark: 0, auto_v4: auto, auto_v6: auto, peers: vec![peer] };
        super::marks(&setting, &ipv4, &IpSetting::default())
    };
    for (auto, allowed, expected) in [
        (unset(), "0.0.0.0/0", true),
        (unset(), "::/0", true),
        (unset(), "10.0.0.0/8", false),
        (0, "0.0.0.0/0", false),
        (1, "10.0.0.0/8", true),
    ] {
        assert_eq!(marks(auto, allowed, IpSetting::default()), expected, "{auto} {allowed}");
    }
    let never = IpSetting { never_default: true, gateway: String::new() };
    assert!(!marks(unset(), "0.0.0.0/0", never));
    let other = IpSetting { never_default: false, gateway: "10.0.0.1".to_owned() };
    assert!(!marks(unset(), "0.0.0.0/0", other));
}
