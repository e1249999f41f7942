//! Listings as releases of nft write them.

use super::*;
use crate::config::Config;
use crate::policy::nftables::{Found, tables};
use crate::policy::{Owners, ruleset};
use crate::vpn::{Situation, Wire};

/// The tables of a machine with two links and many servers.
fn wanted() -> [NftTable; 2] {
    let mut situation = Situation::default();
    let wire = |name: &str, index| Wire { interface: name.parse().unwrap(), index };
    situation.wires = vec![wire("eth0", 2), wire("wlan0", 3)];
    situation.bootstrap.endpoints =
        (1..200).map(|n| (format!("198.51.100.{n}:1194/udp").parse().unwrap(), [].into())).collect();
    tables(&ruleset(&Config::default(), &Owners::from([0]), &situation))
}

/// What is held after our own text, as nft 1.0.6 would list it.
fn listing(table: &NftTable) -> String {
    let text = table.replaced(Found::Present);
    let text = text.lines().skip(1).collect::<Vec<_>>().join("\n");
    let text = text.replace("icmpv6 type 133", "icmpv6 type nd-router-solicit");
    text.replace("devices = { \"eth0\", \"wlan0\" }", "devices = { eth0, wlan0 }")
        .replace(", 198", ",\n\t\t\t     198")
}

fn found(table: &NftTable, change: impl Fn(&str) -> String) -> Vec<String> {
    let listed = Listed::parse(&change(&listing(table))).unwrap();
    differences(table, Some(&listed))
}

#[test]
fn nonsense_is_not_trusted() {
    for bad in ["garbage", "table inet tunwarden {\n\tchain x {\n", "}", "chain x {\n}"] {
        assert!(Listed::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn every_name_of_a_link_is_read_as_one_name() {
    let links = |words: &str| Vec::from_iter(arrival(words).devices);
    let tail = "priority 10; policy drop;";
    for listed in [
        "= { priority, v,0, }, {, =, device }",
        "= { \"priority\", \"v,0\", \"}\", \"{\", \"=\", \"device\" }",
    ] {
        let found = arrival(&format!("type filter hook egress devices {listed} {tail}"));
        assert_eq!(Vec::from_iter(found.devices), ["=", "device", "priority", "v,0", "{", "}"], "{listed}");
        assert_eq!(found.how, format!("type filter hook egress {tail}"));
    }
    assert_eq!(links(&format!("type filter hook egress device \"priority\" {tail}")), ["priority"]);
    assert_eq!(links(&format!("type filter hook egress device \"s\" {tail}")), ["s"]);
    assert_eq!(links(&format!("type filter hook output {tail}")), [""; 0]);
}

#[test]
fn a_table_is_recognised_in_every_spelling_of_nft() {
    for table in wanted() {
        assert!(found(&table, ToOwned::to_owned).is_empty(), "{:?}", found(&table, ToOwned::to_owned));
        let later = |text: &str| {
            text.replace("& 8191 != 0", "& 0x1fff != 0x0").replace("tunwarden {", "tunwarden { # progname x")
        };
        assert!(found(&table, later).is_empty());
        let numbers = |text: &str| {
            ["icmp", "igmp", "ipv6-icmp"].iter().fold(
                text.replace(" . udp . 1194", " . 17 . 1194"),
                |text, word| {
                    text.replace(&format!("l4proto {word}\n"), &format!("l4proto {}\n", protocol(word)))
                        .replace(&format!("l4proto {word} "), &format!("l4proto {} ", protocol(word)))
                },
            )
        };
        assert!(found(&table, numbers).is_empty(), "{:?}", found(&table, numbers));
    }
}

#[test]
fn every_change_is_named() {
    let [inet, netdev] = wanted();
    let changes = [
        (&inet, "\t\tdrop\n\t}\n", "\t}\n", "missing: OUTPUT_VPN_KILL_SWITCH_V4 drop"),
        (&inet, "\t\tmeta skuid 0 accept", "\t\taccept", "foreign: VPN_OWNER_V4 accept"),
        (
            &inet,
            "policy drop",
            "policy accept",
            "output is not `type filter hook output priority 10; policy drop;`",
        ),
        (&inet, "198.51.100.7 .", "198.51.100.200 .", "has other elements"),
        (&inet, "198.51.100.7 . udp", "198.51.100.7 . 6", "has other elements"),
        (&inet, "\tchain output {", "\tchain mine {\n\t}\n\tchain output {", "foreign: chain mine"),
        (&inet, "\tchain output {", "\tmap m {\n\t}\n\tchain output {", "foreign: map m"),
        (&netdev, "{ eth0, wlan0 }", "{ eth0 }", "egress is not on wlan0"),
        (&netdev, "devices = { eth0, wlan0 }", "device \"eth0\"", "egress is not on wlan0"),
        (&netdev, "goto VPN_EGRESS", "accept", "foreign: egress accept"),
        (
            &netdev,
            "@ll,96,16 0x888e accept",
            "@ll,96,16 0x888f accept",
            "missing: VPN_ETHERNET @ll,96,16 34958 accept",
        ),
    ];
    for (table, old, new, line) in changes {
        let lines = found(table, |text| text.replacen(old, new, 1));
        assert!(lines.iter().any(|found| found.contains(line)), "{new:?}: {lines:?}");
    }
    assert_eq!(differences(&inet, None), ["nft inet tunwarden: the table is not there"]);
}

#[test]
fn a_missing_owner_is_reported_if_there_should_be_one() {
    let nobody = "nft inet tunwarden: it has no owner: a flush of everything would remove it";
    let [plain, _] = wanted();
    let table = NftTable { owner: Owner::Maker, ..plain.clone() };
    let flags = |flags: &'static str| move |text: &str| text.replace("flags owner, persist", flags);
    for owned in ["flags owner,persist", "flags owner", "flags persist,owner;"] {
        assert!(found(&table, flags(owned)).is_empty(), "{owned}: {:?}", found(&table, flags(owned)));
    }
    for orphaned in ["flags persist", "flags ", ""] {
        assert_eq!(found(&table, flags(orphaned)), [nobody], "{orphaned}");
    }
    // Without an agent nobody is to own it, and no matter if somebody does.
    let listed = Listed::parse(&listing(&table)).unwrap();
    assert!(differences(&plain, Some(&listed)).is_empty());
}
