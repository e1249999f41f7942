//! Tests that a value which a hint proposes is accepted in the place of the wrong value.

use super::Config;

/// The faults of one key, each with its hint, without line breaks.
fn hints(section: &str, line: &str) -> String {
    let faults = Config::parse(&format!("[{section}]\n{line}\n"), "c").expect_err(line).to_string();
    faults.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_hint_leads_to_a_value_that_is_accepted() {
    for (section, wrong, written) in [
        ("tunnel", "allow = \"ALL\"", "\"any\""),
        ("docker", "allow = \"Everything\"", "\"any\""),
        ("tunnel", "allow = [443]", "{ protocol = \"tcp\", ports = [443, 80] }"),
        ("tunnel", "allow = [{ protocol = \"tcp\", to = \"any\" }]", "leave `to` out"),
        ("tunnel", "routes = [\"default\"]", "\"default\" without brackets"),
        ("bootstrap", "ports = \"1194/udp\"", "{ protocol = \"udp\", port = 1194 }"),
        ("bootstrap", "servers = \"vpn.example.net\"", "[\"vpn.example.net\"]"),
        ("bootstrap", "servers = [\"vpn.example.net 1194\"]", "\"vpn.example.net:1194\""),
        ("lan", "networks = [\"192.168.1.0/255.255.255.0\"]", "\"192.168.1.0/24\""),
        ("lan", "networks = [\"connected\"]", "\"connected\" without brackets"),
        ("input", "allow = false", "{ protocol = \"tcp\", ports = [22], from = \"192.168.0.0/16\" }"),
        ("docker", "forwarded = [6881]", "{ protocol = \"tcp\", port = 51413, to = \"transmission:51413\" }"),
        ("vpn", "silence = false", "\"off\""),
        ("vpn", "silence = \"0\"", "\"30s\""),
        ("vpn", "silence = 2", "\"30s\""),
        ("vpn", "silence = 45", "\"45s\""),
        ("vpn", "silence = \"45\"", "\"45s\""),
        ("vpn", "connections = [1]", "\"1\""),
        ("tunnel", "interfaces: [\"tun+\"]", "write key = value, with an equals sign"),
    ] {
        let said = hints(section, wrong);
        assert!(said.contains(written), "{wrong}: {said}");
        assert!(
            !said.contains("[false]") && !said.contains("\"false\"") && !said.contains("[\"1194"),
            "{said}"
        );
    }
    for (section, right) in [
        ("tunnel", "allow = [{ protocol = \"tcp\", ports = [443, 80] }]"),
        ("tunnel", "routes = \"default\""),
        ("bootstrap", "ports = [{ protocol = \"udp\", port = 1194 }]"),
        ("bootstrap", "servers = [\"vpn.example.net:1194\"]"),
        ("lan", "networks = \"connected\""),
        ("lan", "networks = [\"192.168.1.0/24\"]"),
        ("input", "allow = [{ protocol = \"tcp\", ports = [22], from = \"192.168.0.0/16\" }]"),
        ("docker", "forwarded = [{ protocol = \"tcp\", port = 51413, to = \"transmission:51413\" }]"),
        ("vpn", "silence = \"off\""),
        ("vpn", "silence = \"45s\""),
        ("vpn", "connections = [\"1\"]"),
    ] {
        Config::parse(&format!("[{section}]\n{right}\n"), "c").unwrap_or_else(|faults| panic!("{faults}"));
    }
}
