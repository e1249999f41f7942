//! Tests of the whole folder: from a text to a configuration, its faults and its explanation.
#![allow(clippy::disallowed_methods, reason = "a test starts programs, reads the clock and touches files")]

use proptest::prelude::*;

use super::*;

const DOCKER_EXAMPLES: [(&str, &str); 3] = [
    (include_str!("../../examples/docker-three-rules.toml"), "docker-three-rules.toml"),
    (include_str!("../../examples/docker-chain.toml"), "docker-chain.toml"),
    (include_str!("../../examples/docker-ports.toml"), "docker-ports.toml"),
];
const ARTICLE: &str = include_str!("../../examples/article.toml");
const EVERY_KEY: &str = include_str!("../../examples/config.toml");

fn faults(text: &str) -> Faults {
    match Config::parse(text, "config.toml") {
        Ok(config) => panic!("{text:?} was taken: {config:?}"),
        Err(faults) => faults,
    }
}

/// Each fault as `LINE:COLUMN TEXT WHAT`, where TEXT is the part of the line that the caret marks.
fn fault_lines(text: &str) -> Vec<String> {
    let short = |fault: &Fault| {
        let meant = fault.source_line().chars().skip(fault.caret().start).take(fault.caret().len());
        format!("{}:{} {} {}", fault.line(), fault.column(), meant.collect::<String>(), fault.what())
    };
    faults(text).found().iter().map(short).collect()
}

#[test]
fn every_fault_is_reported_with_its_position() {
    insta::assert_snapshot!(faults(include_str!("testdata/many_faults.toml")));
}

#[test]
fn broken_syntax_hides_no_other_fault() {
    insta::assert_snapshot!(faults(include_str!("testdata/broken.toml")));
}

/// Sections, each with a value that has no meaning.
const MEANINGLESS: [(&str, &str); 55] = [
    ("tunnel", "interfaces = []"),
    ("tunnel", "interfaces = \"tun0\""),
    ("tunnel", "interfaces = [\"tun*\"]"),
    ("tunnel", "interfaces = [\"+\"]"),
    ("tunnel", "interfaces = [\"lo\"]"),
    ("tunnel", "interfaces = [\"sixteen-bytes-xx\"]"),
    ("tunnel", "interfaces = [\"tun0\", \"tun0\"]"),
    ("tunnel", "allow = \"all\""),
    ("tunnel", "allow = true"),
    ("tunnel", "allow = [\"any\"]"),
    ("tunnel", "allow = [{ protocol = \"icmp\", ports = [1] }]"),
    ("tunnel", "allow = [{ protocol = \"sctp\" }]"),
    ("tunnel", "allow = [{ ports = [1] }]"),
    ("tunnel", "allow = [{ protocol = \"tcp\", ports = [] }]"),
    ("tunnel", "allow = [{ protocol = \"tcp\", ports = 443 }]"),
    ("tunnel", "allow = [{ protocol = \"tcp\", ports = [\"20-10\"] }]"),
    ("tunnel", "allow = [{ protocol = \"tcp\", from = \"10.0.0.0/8\" }]"),
    ("tunnel", "routes = []"),
    ("tunnel", "routes = [\"10.0.0.1/8\"]"),
    ("bootstrap", "ports = []"),
    ("bootstrap", "ports = [{ protocol = \"udp\" }]"),
    ("bootstrap", "ports = [{ protocol = \"udp\", port = 65536 }]"),
    ("bootstrap", "ports = [{ protocol = \"udp\", port = \"1194\" }]"),
    ("bootstrap", "ports = [{ protocol = \"icmp\", port = 1 }]"),
    ("bootstrap", "servers = [\"127.0.0.1\"]"),
    ("bootstrap", "servers = [\"vpn..net\"]"),
    ("bootstrap", "scope = \"Any\""),
    ("bootstrap", "owners = []"),
    ("bootstrap", "owners = [\"root; id\"]"),
    ("bootstrap", "owners = [0]"),
    ("bootstrap", "dns = \"on\""),
    ("lan", "allow = \"yes\""),
    ("lan", "networks = [\"8.8.8.0/24\"]"),
    ("lan", "networks = \"10.0.0.0/8\""),
    ("input", "allow = \"any\""),
    ("input", "allow = [{ protocol = \"tcp\", ports = [22], from = \"192.168.1.1/16\" }]"),
    ("docker", "published_ports = \"wan\""),
    ("docker", "networks = [\"web\"]"),
    ("docker", "networks = { web = \"wan\" }"),
    ("docker", "networks = { web = true }"),
    ("docker", "networks = { \"\" = \"none\" }"),
    ("docker", "networks = { \"a\\u001b\" = \"none\" }"),
    ("docker", "networks = { host = \"none\" }"),
    ("docker", "networks = { none = \"lan\" }"),
    ("vpn", "connections = [\"\"]"),
    ("vpn", "connections = [\"a\\u001b\"]"),
    ("vpn", "reconnect = \"always\""),
    ("vpn", "reconnect = true"),
    ("vpn", "silence = 30"),
    ("vpn", "silence = \"30\""),
    ("vpn", "silence = \"4s\""),
    ("vpn", "silence = \"61m\""),
    ("vpn", "silence = \"never\""),
    ("firewall", "backend = \"nftables\""),
    ("log", "destinations = \"yes\""),
];

#[test]
fn values_without_a_meaning_are_refused() {
    for (section, bad) in MEANINGLESS {
        let text = format!("[{section}]\n{bad}\n");
        let found = faults(&text);
        let [fault] = found.found() else { panic!("{text}{found}") };
        assert_eq!(fault.line(), 2, "{fault}");
        assert!(!fault.hint().is_empty(), "{fault}");
    }
    let long = format!("vpn.connections = [\"{}\"]", "x".repeat(257));
    assert_eq!(faults(&long).found().len(), 1);
}

/// The entries of other lists become rules, which the kernel checks one by one. Servers become members of a set.
#[test]
fn thousands_of_servers_can_be_listed() {
    let servers = |count: usize| {
        let each = |n| format!("\"198.18.{}.{}\",", n / 250, n % 250 + 1);
        format!("bootstrap.servers = [{}]", (0..count).map(each).collect::<String>())
    };
    let config = Config::parse(&servers(MAX_SERVERS), "f").unwrap();
    assert_eq!(config.bootstrap.servers.len(), MAX_SERVERS);
    let explained = config.explain();
    assert!(explained.lines().count() < 80, "{explained}");
    assert!(explained.contains("and 16372 more"), "{explained}");
    assert_eq!(faults(&servers(MAX_SERVERS + 1)).found().len(), 1);
    let twice = format!("bootstrap.servers = [{}]", "\"198.18.0.1\",".repeat(MAX_SERVERS));
    assert!(faults(&twice).to_string().contains("this entry twice"));
    let ports: String = (1..=1025).map(|n| format!("{n},")).collect();
    let ports = format!("tunnel.allow = [{{ protocol = \"tcp\", ports = [{ports}] }}]");
    assert_eq!(faults(&ports).found().len(), 1);
}

#[test]
fn the_caret_is_under_the_wrong_entry() {
    let text =
        "[tunnel]\nallow = [{ protocol = \"tcp\", ports = [443, 80, 0, 65536, -1, 99999999999999999999] }]";
    assert_eq!(
        fault_lines(text),
        [
            "2:48 0 0 is no port",
            "2:51 65536 65536 is no port",
            "2:58 -1 -1 is no port",
            "2:62 99999999999999999999 99999999999999999999 is no port",
        ]
    );
}

#[test]
fn a_key_in_the_wrong_section_gets_a_hint_with_the_right_one() {
    let found =
        faults("interfaces = [\"tun0\"]\n[tunel]\n[lan]\nscope = \"any\"\nmulticst = true\ncolour = 1\n");
    let hints: Vec<&str> = found.found().iter().map(Fault::hint).collect();
    assert_eq!(
        hints,
        [
            "`interfaces` belongs in [tunnel]",
            "did you mean `tunnel`?",
            "`scope` belongs in [bootstrap]",
            "did you mean `multicast`?",
            "[lan] has `allow`, `networks`, `multicast` and `services`",
        ]
    );
}

#[test]
fn duplicates_are_refused() {
    let text = "[lan]\nallow = true\n[tunnel]\nallow = \"any\"\n[lan]\nallow = false\n[[docker]]\n";
    assert_eq!(
        fault_lines(text),
        [
            "5:2 lan a second section [lan]",
            "6:1 allow duplicate key `allow`",
            "7:1 [[docker]] [docker] is written once",
        ]
    );
}

#[test]
fn only_the_first_of_many_faults_are_listed() {
    let text: String = (0..300).map(|nth| format!("key{nth} = 1\n")).collect();
    let Faults::Wrong { found, more } = faults(&text) else { panic!() };
    assert_eq!((found.len(), more), (100, 200));
}

#[test]
fn the_examples_are_valid() {
    assert_eq!(Config::parse(EVERY_KEY, "config.toml").unwrap(), Config::default());
    assert_eq!(Config::parse("", "config.toml").unwrap(), Config::default());
    insta::assert_snapshot!(Config::parse(ARTICLE, "article.toml").unwrap().explain());
    for (text, name) in DOCKER_EXAMPLES {
        Config::parse(text, name).unwrap();
    }
}

#[test]
fn the_example_names_every_key() {
    for (section, keys) in schema::keys() {
        let (_, below) = EVERY_KEY.split_once(&format!("\n{section}\n")).unwrap();
        let below = below.split("\n[").next().unwrap();
        for key in keys {
            assert!(below.contains(&format!("\n{key} = ")), "{section} {key}");
        }
    }
}

#[test]
fn every_key_is_understood() {
    let config = Config::parse(include_str!("testdata/everything.toml"), "everything.toml").unwrap();
    insta::assert_debug_snapshot!(config);
    insta::assert_snapshot!(config.explain());
}

#[test]
fn the_default_is_explained() {
    insta::assert_snapshot!(Config::default().explain());
    assert_eq!(Config::default().warnings(), []);
}

#[test]
fn every_line_of_the_explanation_fits() {
    for text in ["", ARTICLE, include_str!("testdata/everything.toml")] {
        let explained = Config::parse(text, "f").unwrap().explain();
        assert!(explained.lines().all(|line| line.chars().count() <= 80), "{explained}");
    }
}

/// A text that is made to overload a parser is refused quickly, and on the small stack of a thread.
#[test]
fn a_hostile_document_is_read_in_bounded_time() {
    let deep = |open: &str, close: &str| {
        let nested = 200_000 / (open.len() + close.len());
        format!("a = {}1{}", open.repeat(nested), close.repeat(nested))
    };
    let dotted = vec!["a"; 79].join(".");
    let comb = format!("{dotted} = {}1{}", format!("{{{dotted} = ").repeat(79), "}".repeat(79));
    let numbers: String = (0..100_000).map(|nth| format!("{}, ", nth % 65535 + 1)).collect();
    let mut documents = vec![
        deep("[", "]"),
        deep("{ a = ", " }"),
        "[".repeat(1 << 20),
        "a.".repeat(1 << 19),
        "[tunnel]\n".repeat(100_000),
        "x = 1\n".repeat(100_000),
        "=\n".repeat(30_000),
        "]".repeat(1 << 20),
        "\u{0}".repeat(1 << 20),
        "#".repeat(10 << 20),
        comb,
        format!("tunnel.allow = [{{ protocol = \"tcp\", ports = [{numbers}] }}]"),
        format!("vpn.connections = [{}]", "\"x\", ".repeat(100_000)),
    ];
    documents.push(documents[0][..60_000].to_owned());
    for document in documents {
        let shown: String = document.chars().take(20).collect();
        let work = move || Config::parse(&document, "f").map_err(|faults| faults.to_string());
        let small = std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap();
        let shown_faults = small.join().unwrap().unwrap_err();
        assert!(shown_faults.len() < 100_000, "{shown}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        if let Err(faults) = Config::parse(&text, "f") {
            prop_assert!(faults.to_string().chars().all(|c| c == '\n' || !c.is_control()));
        }
    }

    /// Words of the configuration in any order reach more of the code than random text does.
    #[test]
    fn no_order_of_words_panics(words in prop::collection::vec(prop::sample::select(vec![
        "[tunnel]", "[[lan]]", "[bootstrap", "interfaces", "ports", "port", "allow", "protocol", "from", "=", "=",
        "=", "[", "]", "{", "}", ",", ".", "\n", "\n", "\r\n", "\"tcp\"", "\"icmp\"", "\"any\"", "\"\"\"", "'",
        "\"10.0.0.1/8\"", "443", "-0x1", "1e9", "true", "1979-05-27", "#", "\u{202e}", "é", "\t", "\u{1b}",
    ]), 0..60)) {
        if let Err(faults) = Config::parse(&words.join(" "), "f") {
            let text = faults.to_string();
            prop_assert!(!faults.found().is_empty());
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        }
    }
}

#[test]
fn silence_is_a_length_of_time_or_off() {
    let silence =
        |text: &str| Config::parse(&format!("vpn.silence = \"{text}\""), "c").map(|c| c.vpn.silence);
    for (text, seconds) in [("off", None), ("5s", Some(5)), ("1m30s", Some(90)), ("1h", Some(3600))] {
        assert_eq!(silence(text).unwrap(), seconds);
    }
    assert_eq!(Config::default().vpn.silence, Some(30));
    let bare = faults("vpn.silence = 45");
    assert!(bare.found()[0].hint().contains("\"45s\""), "{bare}");
}

#[test]
fn a_likely_mistake_gets_a_hint_that_works() {
    for (text, hint) in [
        ("bootstrap.servers = [\"https://vpn.example.net:8443/x\"]", "write \"vpn.example.net:8443\""),
        ("bootstrap.servers = [\"udp://198.51.100.1:1194\"]", "write \"198.51.100.1:1194/udp\""),
        ("bootstrap.servers = [\"198.51.100.0/24\"]", "a network is no server"),
        ("bootstrap.servers = [\"2001:db8::1:51820\"]", "\"[2001:db8::1]:51820\""),
        ("bootstrap.servers = [\"2001:db8:0:0:0:0:0:1:1194/udp\"]", "\"[2001:db8::1]:1194/udp\""),
        ("bootstrap.servers = [\"198.51.100.1 1194 udp\"]", "write \"198.51.100.1:1194/udp\""),
        ("bootstrap.servers = [\"vpn.example.net:udp:1194\"]", "write \"vpn.example.net:1194/udp\""),
        ("bootstrap.servers = [\"localhost:1413\"]", "that program's user in `owners`"),
        ("lan.networks = \"any\"", "[\"192.168.0.0/16\"]"),
        ("tunnel.routes = \"all\"", "[\"10.0.0.0/8\"]"),
        ("docker.published_ports = \"tunnel\"", "`forwarded`"),
        ("input.allow = [{ protocol = \"tcp\", from = \"any\" }]", "leave `from` out"),
        ("bootstrap.owners = [0]", "\"root\""),
        ("bootstrap.owners = [\"0\"]", "\"root\""),
        ("bootstrap.owners = [1000]", "id -nu 1000"),
        ("tunnel.allow = \"all\"", "did you mean \"any\"?"),
        ("docker.allow = \"everything\"", "did you mean \"any\"?"),
        ("tunnel.allow = \"web\"", "a list: [{ protocol = \"tcp\""),
        ("tunnel.allow = true", "a list: [{ protocol = \"tcp\""),
        ("input.allow = \"any\"", "[{ protocol = \"tcp\", ports = [22], from ="),
    ] {
        let found = faults(text);
        assert!(found.found()[0].hint().contains(hint), "{text}: {found}");
    }
}

#[test]
fn answers_of_the_lan_come_in_to_one_port_with_the_layer_that_remembers_it() {
    for (layers, promised) in [
        ("\"iptables\", \"nftables\"", "to the port that asked"),
        ("\"iptables\"", "to the address that asked"),
        ("\"nftables\"", "to the port that asked"),
    ] {
        let text = Config::parse(&format!("firewall.layers = [{layers}]"), "c").unwrap().explain();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(promised), "{layers}: {text}");
    }
}

#[test]
fn valid_values_that_leak_or_lock_out_cause_a_warning() {
    for (text, warning) in [
        ("bootstrap.servers = [\"192.168.1.1:53/udp\"]", "192.168.1.1:53/udp in `servers` has a port of DNS"),
        ("bootstrap.servers = [\"dns.example.net:853\"]", "has a port of DNS"),
        ("bootstrap.ports = [{ protocol = \"tcp\", port = 53 }]", "53 is a port of DNS"),
        ("bootstrap.owners = [\"nm-openvpn\"]", "root is not among the owners"),
        ("bootstrap.servers = [\"2001:db8::1:1194\"]", "\"[2001:db8::1]:1194\""),
        ("docker.bridges = [\"eth0\"]", "eth0 matches the names of network cards"),
        ("docker.bridges = [\"docker0\", \"e+\"]", "e+ matches the names of network cards"),
    ] {
        let config = Config::parse(text, "c").unwrap();
        let warnings = config.warnings();
        assert!(warnings.len() == 1 && warnings[0].text.contains(warning), "{text}: {warnings:?}");
    }
    for quiet in [
        "docker.bridges = [\"docker0\", \"br-+\", \"virbr+\", \"mybridge\"]",
        "bootstrap.servers = [\"2001:db8::1\", \"[2001:db8::1:1194]:1194/udp\"]",
    ] {
        assert_eq!(Config::parse(quiet, "c").unwrap().warnings(), [], "{quiet}");
    }
}
