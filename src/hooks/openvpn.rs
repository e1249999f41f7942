//! Reads what OpenVPN hands its hooks, in OpenVPN's own words. Pure.
//!
//! Two steps, in two processes: [`from_environment`] picks the known keys out of the hook's
//! environment, [`parse`] makes a [`Report`] of them in the agent. The names are those of
//! openvpn(8), "Environmental Variables"; what the manual leaves open was seen with OpenVPN 2.6.14.
//! Everything else in the environment, and so everything that a server can push, is left alone.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::IpAddr;
use std::str::FromStr;

use crate::net::{Endpoint, IfName, Port, Transport, server_address};
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

/// When the hook was called, by `CLOCK_BOOTTIME` in nanoseconds. No key of OpenVPN's: our hook adds it.
pub const CALLED_AT: &str = "called_at";

/// Maximum length of a value, in bytes. No value that is read is longer than an IPv6 address.
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
    /// A value that is longer than any that OpenVPN passes.
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
/// does not say which of them it took. Where that is ambiguous, `proto_1` is left out.
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

/// Makes a report of a hook's fields; `None` for a hook that reports nothing about a tunnel.
///
/// A report that a tunnel ends needs only its interface. Other values that cannot be read are left out: without the
/// report an allowance would stay open.
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
    let server = server(&fields);
    // Not needed, but a report with a malformed value is refused.
    let local = fields.read::<IpAddr>("ifconfig_local", "an address");
    Ok(Some(match kind {
        ReportKind::Up => {
            local?;
            let (endpoint, either) = server?;
            Report { kind, interface, pid: pid?, started: None, endpoint, either }
        }
        ReportKind::DownAsked | ReportKind::DownLost => {
            let (endpoint, either) = server.unwrap_or_default();
            Report { kind, interface, pid: pid.unwrap_or_default(), started: None, endpoint, either }
        }
    }))
}

/// When the hook was called, if it says so.
pub fn called_at(fields: &BTreeMap<String, String>) -> Option<u64> {
    let text = fields.get(CALLED_AT)?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

fn kind(fields: &Fields) -> Result<Option<ReportKind>, ReportError> {
    let asked = || -> Result<bool, ReportError> {
        let by_signal = matches!(fields.get("signal")?, Some("sigterm" | "sigint"));
        Ok(by_signal && fields.get("script_context")? != Some("restart"))
    };
    Ok(match fields.get("script_type")?.ok_or(ReportError::Missing("script_type"))? {
        "up" | "route-up" => Some(ReportKind::Up),
        // OpenVPN calls it before `up`, and without an interface. `up` gets the same values a moment later.
        "ipchange" => fields.get("dev")?.map(|_| ReportKind::Up),
        "down" | "route-pre-down" => {
            // A signal that cannot be read counts as none.
            Some(if asked().unwrap_or(false) { ReportKind::DownAsked } else { ReportKind::DownLost })
        }
        // Others of OpenVPN's scripts, and the dispatcher's actions.
        _ => None,
    })
}

/// The server in use: its endpoint, or only its address and port if its protocol is unknown.
type Server = (Option<Endpoint>, Option<(IpAddr, Port)>);

/// The server in use; nothing before one has answered.
fn server(fields: &Fields) -> Result<Server, ReportError> {
    let v4 = fields.read("trusted_ip", "an address")?;
    let v6 = fields.read("trusted_ip6", "an address")?;
    let port: Option<Port> = fields.read("trusted_port", "a port")?;
    let transport =
        fields.read_with("proto_1", "a transport of OpenVPN's", |text| Transport::from_openvpn(text).ok())?;
    let (key, address): (_, IpAddr) = match (v4, v6) {
        (Some(address), None) => ("trusted_ip", address),
        (None, Some(address)) => ("trusted_ip6", address),
        // OpenVPN names one. If there are two, it is not known which is in use.
        (None, None) | (Some(_), Some(_)) => return Ok((None, None)),
    };
    let Some(port) = port else { return Ok((None, None)) };
    // OpenVPN connects to another program on this machine, such as stunnel, and does not know the server of that program.
    if address.to_canonical().is_loopback() {
        return Ok((None, None));
    }
    let Ok(address) = server_address(address) else {
        return Err(malformed(key, &address.to_string(), "an address that a server can have"));
    };
    let endpoint = transport.and_then(|transport| Endpoint::new(address, transport, port).ok());
    Ok((endpoint, endpoint.is_none().then_some((address, port))))
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
