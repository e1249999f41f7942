use proptest::prelude::*;

use super::*;

fn servers(text: &str) -> Vec<String> {
    let client = read(text);
    let named = client.names.iter().map(|(name, by, port)| format!("{name}:{port}/{by}"));
    client.endpoints.iter().map(ToString::to_string).chain(named).collect()
}

fn fault(text: &str) -> String {
    read(text).skipped.map(|skipped| skipped.to_string()).unwrap_or_default()
}

#[test]
fn invalid_servers_are_left_out_and_reported_with_their_line() {
    for (text, expected) in [
        ("remote", "line 1: `remote` takes"),
        ("remote 198.51.100.7 1 udp x", "line 1: `remote` takes"),
        ("\nremote 224.0.0.1", "line 2: \"224.0.0.1\": "),
        ("remote 255.255.255.255", "broadcast"),
        ("remote 127.0.0.1", "loopback"),
        ("remote 127.1", "loopback"),
        ("remote 0x7f000001", "loopback"),
        ("remote 198.51.100.7\nsocks-proxy 0177.1", "loopback"),
        ("remote 0.0.0.0", "unspecified"),
        ("remote ::", "unspecified"),
        ("remote ff02::1 1194 udp6", "multicast"),
        ("remote fe80::1% 1194 udp6", "neither an address nor a host name"),
        ("remote 2001:db8::1%eth0 1194 udp6", "neither an address nor a host name"),
        ("remote localhost 1413 tcp", "loopback"),
        ("remote 198.51.100.7\nsocks-proxy 127.0.0.1", "where another program such as stunnel forwards"),
        (
            "remote 127.0.0.1 1413\nproto tcp\nroute 198.51.100.151 255.255.255.255 net_gateway",
            "(here it seems to be \"198.51.100.151\") in bootstrap.servers",
        ),
        ("remote-random-hostname\nremote vpn.example.net", "write one fixed word and a dot before the name"),
        ("remote 198.51.100.7 0", "no port"),
        ("remote 198.51.100.7 no-such-service tcp", "no port"),
        ("remote 198.51.100.7 1194/udp", "no port"),
        ("remote 198.51.100.7 1194 sctp", "sctp"),
        ("remote \"$(id)\"", "host name"),
        ("remote 198.51.100.7\\x", "backslash"),
        ("<connection>\nport 1\n</connection>\n", "line 1: the connection names no remote"),
        ("<connection>\nremote 198.51.100.7\nproto x\n</connection>\n", "line 1: "),
        ("<connection>\nremote 198.51.100.7\n", "no end"),
        ("remote-random-hostname\nremote vpn.example.net", "remote-random-hostname"),
        ("config /etc/openvpn/more.conf", "is not read"),
    ] {
        assert_eq!(servers(text), [""; 0], "{text:?}");
        assert!(fault(text).contains(expected), "{text:?}: {:?}", fault(text));
    }
    assert!(fault("user \u{1b}[2J").chars().all(|c| !c.is_control()));
}

#[test]
fn a_server_s_configuration_connects_nowhere() {
    for text in ["mode server", "server 10.8.0.0 255.255.255.0", "server-bridge"] {
        let text = format!("{text}\nremote 198.51.100.7\nuser nobody\n");
        assert_eq!(read(&text), Client::default(), "{text}");
    }
    assert_eq!(servers("mode p2p\nremote 198.51.100.7\n"), ["198.51.100.7:1194/udp"]);
}

#[test]
fn the_last_port_and_protocol_count_for_every_remote() {
    let text = "port 1\nremote 198.51.100.1\nremote 198.51.100.2 443 tcp-client\nremote vpn.example.net\n\
                remote 2001:db8::1 53 udp6\nrport 800\nproto tcp\nremote-random\n";
    let expected =
        ["198.51.100.1:800/tcp", "198.51.100.2:443/tcp", "[2001:db8::1]:53/udp", "vpn.example.net:800/tcp"];
    assert_eq!(servers(text), expected);
    assert_eq!(read(text).skipped, None);
    assert_eq!(servers(&format!("{text}proto-force udp\n")), ["[2001:db8::1]:53/udp"]);
}

#[test]
fn a_connection_block_takes_earlier_options_and_hides_the_remotes_outside() {
    let text = "port 1000\nremote 198.51.100.1\n<connection>\nremote 198.51.100.3\nproto tcp\n</connection>\n\
                port 2000\n <connection>\n--remote 198.51.100.4\n</connection>\nproto tcp\n";
    assert_eq!(servers(text), ["198.51.100.3:1000/tcp", "198.51.100.4:2000/udp"]);
}

#[test]
fn lines_inside_a_key_are_not_options() {
    let text = "<ca>\nremote 198.51.100.9\nuser root\n</ca>\n<tls-crypt>\n<connection>\n</tls-crypt>\nremote \
                198.51.100.7\n";
    assert_eq!(servers(text), ["198.51.100.7:1194/udp"]);
    assert_eq!(read(text).user, None);
}

#[test]
fn with_a_proxy_the_endpoint_is_the_proxy() {
    assert_eq!(servers("remote 198.51.100.7\nhttp-proxy 10.0.0.5 8080\n"), ["10.0.0.5:8080/tcp"]);
    assert_eq!(servers("remote 198.51.100.7\nsocks-proxy proxy.lan\n"), ["proxy.lan:1080/tcp"]);
}

#[test]
fn a_proxy_that_would_carry_udp_is_reported() {
    let text = "remote 198.51.100.7 443 udp\nsocks-proxy 198.51.100.9\n";
    assert_eq!(servers(text), ["198.51.100.9:1080/tcp"]);
    assert!(fault(text).contains("a new port for each connection"), "{:?}", fault(text));
    for told in
        ["proto tcp\nremote 198.51.100.7\nsocks-proxy 198.51.100.9\n", "remote 198.51.100.7 443 udp\n"]
    {
        assert_eq!(fault(told), "", "{told}");
    }
}

#[test]
fn names_of_ports_scopes_and_optional_options_are_read_as_openvpn_reads_them() {
    assert_eq!(servers("remote 198.51.100.7 https tcp"), ["198.51.100.7:443/tcp"]);
    assert_eq!(servers("port openvpn\nremote 198.51.100.7"), ["198.51.100.7:1194/udp"]);
    assert_eq!(servers("remote fe80::1%eth0 1194 udp6"), ["[fe80::1]:1194/udp"]);
    for host in ["198.51.25607", "0xc6336407", "3325256711", "198.51.100.007"] {
        assert_eq!(servers(&format!("remote {host}")), ["198.51.100.7:1194/udp"], "{host}");
    }
    assert_eq!(servers("setenv opt remote 198.51.100.7 443 tcp"), ["198.51.100.7:443/tcp"]);
    assert_eq!(
        servers("setenv opt\nsetenv remote 198.51.100.9\nremote 198.51.100.7"),
        ["198.51.100.7:1194/udp"]
    );
}

#[test]
fn a_device_of_an_exact_name_is_known_if_it_is_a_tunnel() {
    let device =
        |text: &str| read(&format!("remote 127.0.0.1\n{text}")).device.map(|device| device.to_string());
    assert_eq!(device("dev nordvpn0\ndev-type tun").as_deref(), Some("nordvpn0"));
    assert_eq!(device("dev-type tap\ndev mine").as_deref(), Some("mine"));
    assert_eq!(device("dev tun7").as_deref(), Some("tun7"));
    assert_eq!(device("dev vpn\ndev-type tun").as_deref(), Some("vpn"));
    assert_eq!(device("dev averyverylongname\ndev-type tun").as_deref(), Some("averyverylongna"));
    for none in ["dev tun", "dev nordvpn0", "dev null", "dev n%d\ndev-type tun", "dev a/b/c\ndev-type tun"] {
        assert_eq!(device(none), None, "{none}");
    }
    for no_client in ["dev tun7", "dev tun7\nremote 198.51.100.7\nserver 10.8.0.0 255.255.255.0"] {
        assert_eq!(read(no_client).device, None, "{no_client}");
    }
}

#[test]
fn user_and_mark_are_read() {
    let client = read("remote 198.51.100.7\nuser nobody\nmark 7766\n");
    assert_eq!(client.user.unwrap().as_str(), "nobody");
    assert_eq!(client.mark, NonZeroU32::new(7766));
    assert_eq!(read("mark 0x7766\n").mark, None, "OpenVPN reads plain digits");
}

#[test]
fn ten_thousand_remotes_are_read_and_too_many_are_bounded() {
    let of = |count: usize| -> String {
        (0..count).map(|n| format!("remote 10.{}.{}.1\n", n / 250, n % 250)).collect()
    };
    assert_eq!(read(&of(10_000)).endpoints.len(), 10_000);
    let client = read(&of(MAX_SERVERS + 5));
    assert_eq!(client.endpoints.len(), MAX_SERVERS);
    assert_eq!(client.skipped.unwrap().others, 4);
}

/// Lines that the reader knows, in any order, with other lines in between.
fn text() -> impl Strategy<Value = String> {
    let lines = prop::sample::select(vec![
        "remote 198.51.100.7",
        "remote vpn.example.net 443 tcp",
        "remote 127.0.0.1",
        "<connection>",
        "</connection>",
        "<ca>",
        "</ca>",
        "port 70000",
        "proto tcp",
        "user nobody",
        "mode server",
        "remote \"",
        "\\",
    ]);
    let line = prop_oneof![3 => lines.prop_map(str::to_owned), 1 => ".*"];
    prop::collection::vec(line, 0..20).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn a_file_of_any_bytes_is_read(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let client = read(&String::from_utf8_lossy(&bytes));
        prop_assert!(client.endpoints.len() <= MAX_SERVERS);
    }

    #[test]
    fn no_text_makes_an_impossible_server(text in text()) {
        let client = read(&text);
        let fit = |endpoint: &Endpoint| crate::net::server_address(endpoint.address()).is_ok();
        prop_assert!(client.endpoints.iter().all(fit));
        let said = client.skipped.map(|skipped| skipped.to_string()).unwrap_or_default();
        prop_assert!(said.chars().all(|c| !c.is_control()) && said.len() < 500, "{said:?}");
    }
}
