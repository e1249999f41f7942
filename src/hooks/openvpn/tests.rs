//! With values that OpenVPN 2.6.14 gave its scripts, and with malformed ones.

use std::os::unix::ffi::OsStringExt;

use super::*;

/// What OpenVPN 2.6.14 gave its `up` script, less what is not read.
const UP: &[(&str, &str)] = &[
    ("script_type", "up"),
    ("script_context", "init"),
    ("dev", "tun0"),
    ("daemon_pid", "11031"),
    ("trusted_ip", "198.51.100.7"),
    ("trusted_port", "1194"),
    ("proto_1", "udp"),
    ("ifconfig_local", "10.8.0.2"),
];

fn fields(of: &[(&str, &str)], more: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().chain(more).map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn read(more: &[(&str, &str)]) -> Result<Option<Report>, ReportError> {
    parse(&fields(UP, more))
}

fn environment(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let vars = fields(UP, more).into_iter().map(|(key, value)| (key.into(), value.into()));
    from_environment(vars).unwrap()
}

fn endpoint_of(fields: &BTreeMap<String, String>) -> Option<String> {
    parse(fields).unwrap().unwrap().endpoint.map(|endpoint| endpoint.to_string())
}

#[test]
fn a_malformed_value_refuses_the_report_and_is_named() {
    for (key, value) in [
        ("dev", "tun0; id"),
        ("dev", ""),
        ("dev", "`id`\u{1b}[31m"),
        ("dev", "sixteen-bytes-ab"),
        ("daemon_pid", "-1"),
        ("daemon_pid", "+7"),
        ("daemon_pid", "0"),
        ("daemon_pid", "4294967296"),
        ("trusted_ip", "$(id)"),
        ("trusted_ip", "198.51.100.7/32"),
        ("trusted_ip", "0.0.0.0"),
        ("trusted_port", "0"),
        ("trusted_port", "1194 -j ACCEPT"),
        ("proto_1", "tcp-server"),
        ("ifconfig_local", "10.8.0.2\n"),
    ] {
        let error = read(&[(key, value)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{key}` is \"")), "{error}");
        assert!(!error.contains(['\u{1b}', '\n']), "{error:?}");
    }
    let long = "a".repeat(257);
    for key in ["dev", "script_type", "trusted_ip6", "ifconfig_local"] {
        assert_eq!(read(&[(key, &long)]), Err(ReportError::TooLong { key, bytes: 257 }));
    }
    assert!(read(&[("dev", &"é".repeat(120))]).unwrap_err().to_string().chars().count() < 100);
}

#[test]
fn without_a_type_or_an_interface_there_is_no_report() {
    assert_eq!(parse(&BTreeMap::new()), Err(ReportError::Missing("script_type")));
    for kind in ["up", "route-up", "down"] {
        assert_eq!(parse(&fields(&[("script_type", kind)], &[])), Err(ReportError::Missing("dev")));
    }
    for kind in ["tls-verify", "client-connect", "UP", ""] {
        assert_eq!(read(&[("script_type", kind)]), Ok(None), "{kind}");
    }
}

#[test]
fn a_tunnel_that_is_there() {
    let report = read(&[]).unwrap().unwrap();
    assert_eq!(report.kind, ReportKind::Up);
    assert_eq!(report.interface.as_str(), "tun0");
    assert_eq!(report.pid, Some(11031));
    assert_eq!(report.endpoint, "198.51.100.7:1194/udp".parse().ok());
    for kind in [("script_type", "route-up"), ("script_type", "ipchange"), ("script_context", "restart")] {
        assert_eq!(read(&[kind]).unwrap(), Some(report.clone()), "{kind:?}");
    }
}

#[test]
fn behind_a_program_on_this_machine_the_tunnel_counts_and_its_server_is_unknown() {
    for local in [("trusted_ip", "127.0.0.1"), ("trusted_ip", "127.8.0.1")] {
        let report = read(&[local]).unwrap().unwrap();
        assert_eq!((report.kind, report.endpoint, report.either), (ReportKind::Up, None, None), "{local:?}");
    }
}

#[test]
fn ipchange_without_an_interface_is_no_report() {
    let mut early = fields(UP, &[("script_type", "ipchange")]);
    early.remove("dev");
    assert_eq!(parse(&early), Ok(None));
}

#[test]
fn only_signals_that_a_person_sends_count_as_a_request() {
    let kind = |script: &str, signal: &str, context: &str| {
        let down = [("script_type", script), ("signal", signal), ("script_context", context)];
        read(&down).unwrap().unwrap().kind
    };
    for script in ["down", "route-pre-down"] {
        for signal in ["sigterm", "sigint"] {
            assert_eq!(kind(script, signal, "init"), ReportKind::DownAsked);
            assert_eq!(kind(script, signal, "restart"), ReportKind::DownLost);
        }
        for signal in ["sigusr1", "sighup", "ping-restart", "ping-exit", "server_poll", "", "SIGTERM"] {
            assert_eq!(kind(script, signal, "init"), ReportKind::DownLost, "{signal}");
        }
    }
}

#[test]
fn a_malformed_detail_does_not_suppress_a_loss() {
    let long = "a".repeat(257);
    let bad = [("trusted_ip", "x"), ("daemon_pid", "x"), ("ifconfig_local", "x"), ("signal", &*long)];
    let mut down = fields(UP, &bad);
    down.insert("script_type".to_owned(), "down".to_owned());
    let report = parse(&down).unwrap().unwrap();
    assert_eq!(report.kind, ReportKind::DownLost);
    assert_eq!((report.pid, report.endpoint), (None, None));
}

#[test]
fn a_server_has_an_endpoint_or_only_an_address_and_port_or_is_unknown() {
    let without = |key: &str| {
        let mut some = fields(UP, &[]);
        some.remove(key);
        parse(&some).unwrap().unwrap().either.map(|(address, port)| format!("{address}:{port}"))
    };
    assert_eq!(without("proto_1").as_deref(), Some("198.51.100.7:1194"));
    assert_eq!([without("trusted_ip"), without("trusted_port"), without("")], [None, None, None]);
    let mut lie = fields(UP, &[("trusted_ip", "255.255.255.255")]);
    lie.remove("proto_1");
    assert!(parse(&lie).is_err());
    for key in ["trusted_ip", "trusted_port", "proto_1"] {
        let mut some = fields(UP, &[]);
        some.remove(key);
        assert_eq!(endpoint_of(&some), None, "without {key}");
    }
    assert_eq!(endpoint_of(&fields(UP, &[("trusted_ip6", "2001:db8::7")])), None);
    let mut v6 = fields(UP, &[("trusted_ip6", "2001:db8::7"), ("proto_1", "tcp6-client")]);
    v6.remove("trusted_ip");
    assert_eq!(endpoint_of(&v6).as_deref(), Some("[2001:db8::7]:1194/tcp"));
    v6.insert("trusted_ip6".to_owned(), "::ffff:198.51.100.7".to_owned());
    assert_eq!(endpoint_of(&v6).as_deref(), Some("198.51.100.7:1194/tcp"));
}

#[test]
fn the_protocol_is_that_of_the_remote_in_use() {
    let remotes = |second: &[(&'static str, &'static str)]| {
        let first = [("remote_1", "198.51.100.9"), ("remote_port_1", "1194"), ("proto_1", "udp")];
        endpoint_of(&environment(&[&first, second].concat()))
    };
    let tcp = ("proto_2", "tcp4-client");
    let port = ("remote_port_2", "1194");
    assert_eq!(remotes(&[("remote_2", "198.51.100.7"), port, tcp]).as_deref(), Some("198.51.100.7:1194/tcp"));
    assert_eq!(
        remotes(&[("remote_2", "vpn.example.net"), port, tcp]).as_deref(),
        Some("198.51.100.7:1194/tcp")
    );
    // The same server over both: the environment does not show which is in use.
    let both = [("remote_1", "198.51.100.7"), ("remote_2", "198.51.100.7"), port, tcp];
    assert_eq!(remotes(&both), None);
    assert_eq!(remotes(&[("remote_2", "198.51.100.7"), port, ("proto_2", "x")]), None);
    assert_eq!(remotes(&[("remote_2", "198.51.100.8"), port, tcp]), None);
}

#[test]
fn only_the_known_keys_leave_the_environment() {
    let hostile = (0..400).map(|n| (format!("foreign_option_{n}"), "`id` $(id); | \"'".repeat(16)));
    let hostile: Vec<_> = hostile.collect();
    let more: Vec<_> = hostile
        .iter()
        .map(|(key, value)| (&**key, &**value))
        .chain([("OPENVPN_dev", "tun9"), ("DEV", "tun9"), ("proto_99999999999999999999", "tcp"), ("", "")])
        .collect();
    assert_eq!(environment(&more), fields(UP, &[]));
}

#[test]
fn only_a_known_key_has_to_be_text() {
    let bytes = || OsString::from_vec(vec![0xff, 0xfe]);
    let vars = [(bytes(), "x".into()), ("foreign_option_1".into(), bytes()), ("remote_1".into(), bytes())];
    assert_eq!(from_environment(vars.into_iter()), Ok(BTreeMap::new()));
    let vars = [("dev".into(), bytes())];
    assert_eq!(from_environment(vars.into_iter()), Err(ReportError::Encoding("dev")));
    let vars = [("signal".into(), "x".repeat(257).into())];
    let error = ReportError::TooLong { key: "signal", bytes: 257 };
    assert_eq!(from_environment(vars.into_iter()), Err(error));
}
