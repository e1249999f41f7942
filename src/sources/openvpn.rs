//! Reads what OpenVPN hands its hooks, in OpenVPN's own words. Pure.
//!
//! Two steps, in two processes: [`from_environment`] picks the known keys out of the hook's
//! environment, [`parse`] makes a [`Report`] of them in the agent. The names are those of
//! openvpn(8), "Environmental Variables"; what the manual leaves open was seen with OpenVPN 2.6.14.
//! Everything else in the environment, and so everything that a server can push, is left alone.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::str::FromStr;

use crate::net::{Endpoint, IfName, Port, Transport};
use crate::vpn::{Report, ReportKind};

/// The keys of a report.
pub const KEYS: [&str; 10] = [
    "script_type",
    "script_context",
    "signal",
    "dev",
    "daemon_pid",
    "trusted_ip",
    "trusted_ip6",
    "trusted_port",
    "proto_1",
    "ifconfig_local",
];

/// No value that we read is longer than an IPv6 address.
const MAX_BYTES: usize = 256;

/// OpenVPN takes at most this many `remote` lines (its `CONNECTION_LIST_SIZE`).
const MAX_REMOTES: usize = 64;

/// Why a report is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// A key without which the report says nothing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A value that is not what its key promises, escaped and shortened.
    #[error("`{key}` is {value}, which is not {expected}")]
    Malformed {
        /// The key.
        key: &'static str,
        /// The value, in quotes.
        value: String,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// A value longer than any honest one.
    #[error("`{key}` is {bytes} bytes long; at most {MAX_BYTES} are read")]
    TooLong {
        /// The key.
        key: &'static str,
        /// The length of its value.
        bytes: usize,
    },
    /// A value that is no UTF-8.
    #[error("`{0}` is not UTF-8")]
    Encoding(&'static str),
}

/// Picks the known keys out of a hook's environment.
///
/// `proto_1` becomes the transport *in use*: OpenVPN numbers its `proto_N` by the `remote` lines, and
/// does not say which of them it took. Where that cannot be told, `proto_1` is left out.
///
/// # Errors
/// A known key whose value is no UTF-8 or too long.
pub fn from_environment(
    vars: impl Iterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, ReportError> {
    let mut fields = BTreeMap::new();
    let mut remotes = BTreeMap::<usize, Remote>::new();
    for (name, value) in vars {
        let Some(name) = name.to_str() else { continue };
        if let Some(key) = KEYS.into_iter().find(|&key| key == name) {
            fields.insert(key.to_owned(), text(key, &value)?.to_owned());
        }
        note_remote(&mut remotes, name, &value);
    }
    if remotes.len() > 1 {
        fields.remove("proto_1");
        if let Some(transport) = transport_in_use(remotes.into_values(), &fields) {
            fields.insert("proto_1".to_owned(), transport.to_string());
        }
    }
    Ok(fields)
}

/// Makes a report of a hook's fields; `None` for a hook that reports nothing of a tunnel.
///
/// A report that a tunnel goes needs only its interface: what else of it cannot be read is left out,
/// since to lose the report would keep an allowance open.
///
/// # Errors
/// A report that a tunnel is there with anything malformed in it, and any without its interface.
pub fn parse(fields: &BTreeMap<String, String>) -> Result<Option<Report>, ReportError> {
    let fields = Fields(fields);
    let Some(kind) = kind(&fields)? else { return Ok(None) };
    let Some(interface) = fields.read::<IfName>("dev", "an interface name")? else {
        return Err(ReportError::Missing("dev"));
    };
    let pid = fields.read_with("daemon_pid", "a process id", process_id);
    let endpoint = endpoint(&fields);
    // Not needed, but a report with nonsense in it is not to be trusted.
    let local = fields.read::<IpAddr>("ifconfig_local", "an address");
    Ok(Some(match kind {
        ReportKind::Up => {
            local?;
            Report { kind, interface, pid: pid?, endpoint: endpoint? }
        }
        ReportKind::DownAsked | ReportKind::DownLost => {
            Report { kind, interface, pid: pid.unwrap_or_default(), endpoint: endpoint.unwrap_or_default() }
        }
    }))
}

fn kind(fields: &Fields) -> Result<Option<ReportKind>, ReportError> {
    let asked = || -> Result<bool, ReportError> {
        let by_signal = matches!(fields.get("signal")?, Some("sigterm" | "sigint"));
        Ok(by_signal && fields.get("script_context")? != Some("restart"))
    };
    Ok(match fields.get("script_type")?.ok_or(ReportError::Missing("script_type"))? {
        "up" | "route-up" => Some(ReportKind::Up),
        // Comes before `up` and names no interface then; what it knows, `up` tells a moment later.
        "ipchange" => fields.get("dev")?.map(|_| ReportKind::Up),
        "down" | "route-pre-down" => {
            // A signal that cannot be read is none that anybody has given.
            Some(if asked().unwrap_or(false) { ReportKind::DownAsked } else { ReportKind::DownLost })
        }
        _ => None,
    })
}

/// The server in use; `None` before one has answered, and where its transport is not known.
fn endpoint(fields: &Fields) -> Result<Option<Endpoint>, ReportError> {
    let v4 = fields.read("trusted_ip", "an address")?;
    let v6 = fields.read("trusted_ip6", "an address")?;
    let port: Option<Port> = fields.read("trusted_port", "a port")?;
    let transport =
        fields.read_with("proto_1", "a transport of OpenVPN's", |text| Transport::from_openvpn(text).ok())?;
    let (key, address): (_, IpAddr) = match (v4, v6) {
        (Some(address), None) => ("trusted_ip", address),
        (None, Some(address)) => ("trusted_ip6", address),
        // OpenVPN names one; of two nobody can say which is in use.
        (None, None) | (Some(_), Some(_)) => return Ok(None),
    };
    let (Some(port), Some(transport)) = (port, transport) else { return Ok(None) };
    match Endpoint::new(address, transport, port) {
        Ok(endpoint) => Ok(Some(endpoint)),
        Err(_) => Err(malformed(key, &address.to_string(), "an address that a server can have")),
    }
}

/// A pid in plain digits, and not the kernel's 0.
fn process_id(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&pid| plain && pid > 0)
}

/// The fields by key, within the limits.
struct Fields<'a>(&'a BTreeMap<String, String>);

impl<'a> Fields<'a> {
    fn get(&self, key: &'static str) -> Result<Option<&'a str>, ReportError> {
        self.0.get(key).map(|value| limited(key, value)).transpose()
    }

    fn read<T: FromStr>(&self, key: &'static str, expected: &'static str) -> Result<Option<T>, ReportError> {
        self.read_with(key, expected, |text| text.parse().ok())
    }

    fn read_with<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ReportError> {
        let Some(text) = self.get(key)? else { return Ok(None) };
        parse(text).map(Some).ok_or_else(|| malformed(key, text, expected))
    }
}

fn text<'a>(key: &'static str, value: &'a OsStr) -> Result<&'a str, ReportError> {
    limited(key, value.to_str().ok_or(ReportError::Encoding(key))?)
}

fn limited<'a>(key: &'static str, value: &'a str) -> Result<&'a str, ReportError> {
    let bytes = value.len();
    if bytes > MAX_BYTES { Err(ReportError::TooLong { key, bytes }) } else { Ok(value) }
}

fn malformed(key: &'static str, value: &str, expected: &'static str) -> ReportError {
    let short: String = value.chars().take(40).collect();
    ReportError::Malformed { key, value: format!("{short:?}"), expected }
}

/// One `remote` line as the environment shows it.
#[derive(Debug, Default)]
struct Remote {
    transport: Option<Transport>,
    address: Option<IpAddr>,
    port: Option<Port>,
}

/// Takes `proto_N`, `remote_N` (an address or a name) and `remote_port_N`.
fn note_remote(remotes: &mut BTreeMap<usize, Remote>, name: &str, value: &OsStr) {
    let (Some((stem, number)), Some(value)) = (name.rsplit_once('_'), value.to_str()) else { return };
    let Some(number) = number.parse().ok().filter(|number| (1..=MAX_REMOTES).contains(number)) else {
        return;
    };
    match stem {
        "proto" => remotes.entry(number).or_default().transport = Transport::from_openvpn(value).ok(),
        "remote" => remotes.entry(number).or_default().address = value.parse().ok(),
        "remote_port" => remotes.entry(number).or_default().port = value.parse().ok(),
        _ => {}
    }
}

/// The one transport of all the `remote` lines that can be the server in use.
fn transport_in_use(
    remotes: impl Iterator<Item = Remote>,
    fields: &BTreeMap<String, String>,
) -> Option<Transport> {
    let address = fields.get("trusted_ip").or(fields.get("trusted_ip6"))?.parse::<IpAddr>().ok()?;
    let port = fields.get("trusted_port")?.parse::<Port>().ok()?;
    // A line with a name may stand for any address.
    let possible = |remote: &Remote| {
        remote.port.is_none_or(|other| other == port)
            && remote.address.is_none_or(|other| other.to_canonical() == address.to_canonical())
    };
    let mut transports = remotes.filter(possible).map(|remote| remote.transport);
    let first = transports.next()??;
    transports.all(|other| other == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
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
            ("trusted_ip", "127.0.0.1"),
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
        assert_eq!(report.local, "10.8.0.2".parse().ok());
        for kind in [("script_type", "route-up"), ("script_type", "ipchange"), ("script_context", "restart")]
        {
            assert_eq!(read(&[kind]).unwrap(), Some(report.clone()), "{kind:?}");
        }
    }

    #[test]
    fn ipchange_says_nothing_before_there_is_an_interface() {
        let mut early = fields(UP, &[("script_type", "ipchange")]);
        early.remove("dev");
        assert_eq!(parse(&early), Ok(None));
    }

    #[test]
    fn only_a_signal_of_a_person_is_a_wish() {
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
    fn a_loss_is_never_lost_for_a_detail() {
        let long = "a".repeat(257);
        let bad = [("trusted_ip", "x"), ("daemon_pid", "x"), ("ifconfig_local", "x"), ("signal", &*long)];
        let mut down = fields(UP, &bad);
        down.insert("script_type".to_owned(), "down".to_owned());
        let report = parse(&down).unwrap().unwrap();
        assert_eq!(report.kind, ReportKind::DownLost);
        assert_eq!((report.pid, report.endpoint, report.local), (None, None, None));
    }

    #[test]
    fn the_server_is_known_whole_or_not_at_all() {
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
    fn of_several_remotes_the_one_in_use_gives_the_transport() {
        let remotes = |second: &[(&'static str, &'static str)]| {
            let first = [("remote_1", "198.51.100.9"), ("remote_port_1", "1194"), ("proto_1", "udp")];
            endpoint_of(&environment(&[&first, second].concat()))
        };
        let tcp = ("proto_2", "tcp4-client");
        let port = ("remote_port_2", "1194");
        assert_eq!(
            remotes(&[("remote_2", "198.51.100.7"), port, tcp]).as_deref(),
            Some("198.51.100.7:1194/tcp")
        );
        assert_eq!(
            remotes(&[("remote_2", "vpn.example.net"), port, tcp]).as_deref(),
            Some("198.51.100.7:1194/tcp")
        );
        // The same server over both: the environment does not tell which.
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
            .chain([
                ("OPENVPN_dev", "tun9"),
                ("DEV", "tun9"),
                ("proto_99999999999999999999", "tcp"),
                ("", ""),
            ])
            .collect();
        assert_eq!(environment(&more), fields(UP, &[]));
    }

    #[test]
    fn only_a_known_key_has_to_be_text() {
        let bytes = || OsString::from_vec(vec![0xff, 0xfe]);
        let vars =
            [(bytes(), "x".into()), ("foreign_option_1".into(), bytes()), ("remote_1".into(), bytes())];
        assert_eq!(from_environment(vars.into_iter()), Ok(BTreeMap::new()));
        let vars = [("dev".into(), bytes())];
        assert_eq!(from_environment(vars.into_iter()), Err(ReportError::Encoding("dev")));
        let vars = [("signal".into(), "x".repeat(257).into())];
        let error = ReportError::TooLong { key: "signal", bytes: 257 };
        assert_eq!(from_environment(vars.into_iter()), Err(error));
    }
}
