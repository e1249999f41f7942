use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::shape::{is_public4, is_public6};
use super::*;

fn redact(text: &str) -> String {
    let names = [("anna".to_owned(), Kind::User), ("mars".to_owned(), Kind::Host)];
    let profile = ("Work in Bern".to_owned(), Kind::Profile);
    Redactor::new(names.into_iter().chain([profile])).text(text)
}

#[test]
fn only_identifying_text_is_replaced() {
    for (before, after) in [
        ("-d 203.0.113.9/32 -p udp --dport 1194", "-d ADDRESS4-1/32 -p udp --dport 1194"),
        ("[2001:db8::7]:1194/udp", "[ADDRESS6-1]:1194/udp"),
        ("203.0.113.9:443 and 203.0.113.9", "ADDRESS4-1:443 and ADDRESS4-1"),
        ("SRC=203.0.113.9 DST=10.0.0.1", "SRC=ADDRESS4-1 DST=10.0.0.1"),
        ("remote vpn.example.net 1194", "remote DOMAIN-1 1194"),
        ("VPN.Example.NET. vpn.example.net:1194", "DOMAIN-1. DOMAIN-1:1194"),
        ("/etc/openvpn/us1.example.net.udp.ovpn", "/etc/openvpn/DOMAIN-1.ovpn"),
        ("mail anna@example.net now", "mail USER-1@DOMAIN-1 now"),
        ("MAC=02:00:5e:10:00:01:02:00:5e:10:00:02:08:00 ", "MAC=MAC-1 "),
        ("enx02005e100001: up", "enxMAC-1: up"),
        ("0200.5e10.0001 learned", "MAC-1 learned"),
        ("fe80::5eff:fe10:1%eth0", "ADDRESS6-1%eth0"),
        ("/home/anna/x on Mars", "/home/USER-1/x on HOST-1"),
        ("connection work in bern (123e4567-e89b-12d3-a456-426614174000)", "connection PROFILE-1 (UUID-1)"),
        ("peer: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "peer: KEY-1"),
        ("https://vpn.sh/x", "https://DOMAIN-1/x"),
        ("https://203.0.113.9/x", "https://ADDRESS4-1/x"),
        ("ip-203.0.113.9-tcp", "ip-ADDRESS4-1-tcp"),
        ("2001:db8::1-2001:db8::2", "ADDRESS6-1-ADDRESS6-2"),
        ("::ffff:203.0.113.9", "ADDRESS6-1"),
    ] {
        assert_eq!(redact(before), after, "{before}");
    }
}

#[test]
fn text_that_every_machine_has_is_not_replaced() {
    for text in [
        "-A VPN_LAN -d 192.168.1.0/24 -j ACCEPT",
        "0.0.0.0/0 ::/0 ::1 fe80::/10 ff02::fb 224.0.0.251 255.255.255.255",
        "2026-11-29T21:03:52+00:00 tunwarden[123]: 00:00:00:00:00:00",
        "/etc/tunwarden/config.toml, /usr/local/bin/vpnkillswitch.sh and tunwarden-lock.service",
        "bootstrap.servers, input.allow and net.ipv4.ip_forward",
        "org.freedesktop.NetworkManager",
        "iptables v1.8.9 (nf_tables), nft 1.0.6, kernel 6.12.9",
        "getty@tty1.service",
        "line 3: tunwarden::agent",
    ] {
        assert_eq!(redact(text), text);
    }
}

#[test]
fn a_replacement_is_the_same_in_every_part_of_a_report() {
    let mut redactor = Redactor::new([("anna".to_owned(), Kind::User)]);
    assert_eq!(redactor.text("203.0.113.9 vpn.example.net"), "ADDRESS4-1 DOMAIN-1");
    let value = serde_json::json!({"name": "b.example.net", "of": ["vpn.example.net", 3], "to": "198.51.100.1\nanna"});
    let seen = redactor.json(&value);
    assert_eq!(
        seen,
        serde_json::json!({"name": "DOMAIN-2", "of": ["DOMAIN-1", 3], "to": "ADDRESS4-2\nUSER-1"})
    );
}

fn mac() -> impl Strategy<Value = String> {
    prop::collection::vec(1_u8..=254, 6)
        .prop_map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

/// One thing that must be replaced, with the text around it.
fn original() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<Ipv4Addr>().prop_filter("public", |a| is_public4(*a)).prop_map(|a| a.to_string()),
        any::<Ipv6Addr>().prop_filter("public", |a| is_public6(*a)).prop_map(|a| a.to_string()),
        mac(),
        "[a-z]{1,8}[0-9]{0,3}(-[a-z]{1,5})?(\\.[a-z0-9]{1,9}){1,3}\\.(net|com|org|ch|info)",
        "[a-zäöü]{3,9}\\.example",
    ]
}

fn context() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("", ""),
        ("-d ", " -j DROP"),
        ("\"", "\","),
        ("(", ")."),
        ("SRC=", " LEN=60"),
        ("{ ", ", 1194 }"),
        ("https://", "/index.html"),
        ("<", ">"),
        ("to ", ": refused"),
        ("remote ", ".\n"),
        ("'", "'/32"),
        ("[", "]:1194/udp"),
    ])
}

proptest! {
    #[test]
    fn no_original_survives(parts in prop::collection::vec((context(), original()), 1..8)) {
        let text: String = parts.iter().map(|((head, tail), word)| format!("{head}{word}{tail}\n")).collect();
        let seen = Redactor::default().text(&text).to_lowercase();
        for (_, original) in &parts {
            prop_assert!(!seen.contains(&original.to_lowercase()), "{original} survives in {seen}");
        }
    }

    #[test]
    fn equal_text_has_equal_replacements_and_different_text_different_ones(one in original(), other in original()) {
        let mut redactor = Redactor::default();
        let (first, again) = (redactor.text(&one), redactor.text(&format!("{one} ")));
        prop_assert_eq!(&first, again.trim());
        prop_assert_eq!(one == other, first == redactor.text(&other));
    }

    #[test]
    fn no_given_name_survives(name in "[a-z]{3}[a-z0-9-]{0,8}[xqz]{2}", text in "[ -~]{0,20}") {
        let shown = Redactor::new([(name.clone(), Kind::User)]).text(&format!("{text} {name} /home/{name}/ {name}-pc"));
        prop_assert!(!shown.contains(&format!(" {name} ")), "{shown}");
        prop_assert!(shown.ends_with(" USER-1 /home/USER-1/ USER-1-pc"), "{shown}");
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let once = Redactor::default().text(&text);
        prop_assert!(once.len() <= text.len() * 16 + 16);
    }
}
