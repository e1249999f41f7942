//! Tests of changes of single keys.

use super::*;

const EXAMPLE: &str = include_str!("../../examples/config.toml");

fn assignments(texts: &[&str]) -> Vec<Assignment> {
    texts.iter().map(|text| text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))).collect()
}

fn edited(text: &str, texts: &[&str]) -> String {
    edit(text, "config.toml", &assignments(texts)).unwrap().text
}

/// Every line of the old text that is not in the new one, and the reverse.
fn differing(old: &str, new: &str) -> (Vec<String>, Vec<String>) {
    let without = |a: &str, b: &str| {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).map(ToOwned::to_owned).collect()
    };
    (without(old, new), without(new, old))
}

#[test]
fn comments_and_order_stay_and_only_the_key_changes() {
    let new = edited(
        EXAMPLE,
        &[
            "docker.published_ports=none",
            "input.allow=[{ protocol = \"tcp\", ports = [22], from = \"192.168.0.0/16\" }]",
            "vpn.reconnect=auto",
            "vpn.connections=[\"office\"]",
        ],
    );
    let (gone, came) = differing(EXAMPLE, &new);
    assert_eq!(gone, ["allow = []", "published_ports = \"lan\"", "connections = []", "reconnect = \"ask\""]);
    assert_eq!(
        came,
        [
            "allow = [{ protocol = \"tcp\", ports = [22], from = \"192.168.0.0/16\" }]",
            "published_ports = \"none\"",
            "connections = [\"office\"]",
            "reconnect = \"auto\"",
        ]
    );
    assert_eq!(EXAMPLE.lines().count(), new.lines().count());
}

#[test]
fn every_key_can_be_set_to_its_example_and_to_its_default_again() {
    for section in REFERENCE {
        for key in section.keys {
            let set =
                |text: &str, value: &str| edited(text, &[&format!("{}.{}={value}", section.name, key.name)]);
            let (name, parsed) = (key.name, |text: &str| Config::parse(text, "").unwrap());
            let changed = set(EXAMPLE, key.example);
            assert_ne!(parsed(&changed), parsed(EXAMPLE), "{}.{name}", section.name);
            let back = set(&changed, key.default);
            assert_eq!(parsed(&back), parsed(EXAMPLE), "{}.{name}", section.name);
        }
    }
}

#[test]
fn each_form_of_a_section_is_changed_in_its_place() {
    for (old, new) in [
        ("", "[lan]\nallow = false\n"),
        ("# mine\n", "# mine\n\n[lan]\nallow = false\n"),
        ("[lan]\n", "[lan]\nallow = false\n"),
        ("[lan]\nallow = true # at home", "[lan]\nallow = false # at home\n"),
        ("lan.allow = true\n", "lan.allow = false\n"),
        ("lan = { multicast = true, allow = true }\n", "lan = { multicast = true, allow = false }\n"),
        (
            "[vpn] # one\nreconnect = \"ask\"\n\n# two\n[lan]\nmulticast = true\n# three\n",
            "[vpn] # one\nreconnect = \"ask\"\n\n# two\n[lan]\nmulticast = true\nallow = false\n# three\n",
        ),
    ] {
        assert_eq!(edited(old, &["lan.allow=false"]), new, "{old:?}");
    }
    let tables = "[[input.allow]]\nprotocol = \"tcp\"\nports = [22]\n\n[lan]\nallow = true\n";
    let new = edited(tables, &["input.allow=[]"]);
    assert_eq!(Config::parse(&new, "").unwrap(), Config::default(), "{new}");
}

#[test]
fn a_value_that_is_not_right_is_refused_with_its_line_and_nothing_is_changed() {
    let refused = |text: &str, texts: &[&str]| {
        edit(text, "config.toml", &assignments(texts)).expect_err("it was taken").to_string()
    };
    // The second value is right, and is not taken either.
    let said = refused(EXAMPLE, &["lan.allow=flase", "vpn.reconnect=auto"]);
    let line = EXAMPLE.lines().position(|line| line == "allow = true").unwrap() + 1;
    assert!(said.contains(&format!("config.toml:{line}:9")) && said.contains("hint"), "{said}");
    for wrong in [
        "input.allow=[{ protocol = \"tcp\", ports = [70000] }]",
        "docker.published_ports=everybody",
        "vpn.reconnect=[]",
        "tunnel.interfaces=[]",
        "lan.networks=[\"8.8.8.0/24\"]",
        "vpn.silence=5",
    ] {
        assert!(refused(EXAMPLE, &[wrong]).contains("config.toml:"), "{wrong}");
    }
    // A fault that was there before is not hidden by a change.
    assert!(refused("[lann]\n", &["lan.allow=true"]).contains("config.toml:1:"));
    assert!(refused("[lan\n", &["lan.allow=true"]).contains("config.toml:1:"));
}

#[test]
fn nothing_but_a_known_key_with_one_value_is_parsed() {
    let parse = |text: &str| text.parse::<Assignment>().map(drop);
    assert_eq!(parse("lan.allow"), Err(AssignmentError::Form));
    for (text, hint) in [("lan.alow=true", "lan.allow"), ("nothing=1", "sections are tunnel"), ("=1", "")] {
        let error = parse(text).expect_err(text);
        assert!(matches!(error, AssignmentError::Key(..)) && error.to_string().contains(hint), "{error}");
    }
    for text in [
        "lan.allow=",
        "lan.allow=true\n[docker]\nallow = \"any\"",
        "lan.allow=true # why",
        "lan.allow=true, false",
        "lan.allow=\"a",
        "lan.allow=a b",
        "lan.allow=\u{1b}[2J",
        "vpn.connections=[\"a\"\n]",
    ] {
        let error = parse(text).expect_err(text);
        assert!(matches!(error, AssignmentError::Value(_)), "{text:?}: {error}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
    }
    assert_eq!(
        parse(&format!("vpn.connections=[\"{}\"]", "x".repeat(MAX_VALUE))),
        Err(AssignmentError::Long)
    );
    assert_eq!(parse(" vpn.silence = 45s "), Ok(()));
}

#[test]
fn a_change_is_shown_with_both_values_and_its_lines() {
    let edited =
        edit(EXAMPLE, "", &assignments(&["lan.allow=true", "lan.allow=false", "vpn.silence=off"])).unwrap();
    let changes: Vec<_> = edited
        .changes
        .iter()
        .map(|change| (change.key.as_str(), change.before.as_deref(), change.after.as_str()))
        .collect();
    assert_eq!(
        changes,
        [("lan.allow", Some("true"), "false"), ("vpn.silence", Some("\"30s\""), "\"off\"")],
        "a value that is there already is no change"
    );
    let line = EXAMPLE.lines().position(|line| line == "allow = true").unwrap() + 1;
    assert_eq!(edited.changes[0].diff, format!("@@ line {line} @@\n-allow = true\n+allow = false\n"));
    let new = edit("", "", &assignments(&["lan.allow=false"])).unwrap();
    assert_eq!(new.changes[0].before, None);
    assert_eq!(new.changes[0].diff, "@@ line 1 @@\n+[lan]\n+allow = false\n");
}

#[test]
fn the_values_are_those_of_the_file_and_the_defaults() {
    let values = values("[lan]\nallow = false\n", "").unwrap();
    let of = |name: &str| values.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_string());
    assert_eq!(of("lan.allow").as_deref(), Some("false"));
    assert_eq!(of("docker.published_ports").as_deref(), Some("\"lan\""));
    assert_eq!(values.len(), REFERENCE.iter().map(|section| section.keys.len()).sum::<usize>());
}
