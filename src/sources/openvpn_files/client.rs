//! Reads from the options of an OpenVPN configuration which servers the client connects to. Pure.
//!
//! The options are read as OpenVPN reads them. The last port and the last protocol apply to every `remote`. A
//! `<connection>` inherits the options before it. If there is a `<connection>`, a `remote` outside of it is not a
//! server. A file that `config` names is read at the position of that option.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use super::super::skipped::{Skipped, shown};
use super::super::trusted::TrustedRoot;
use super::management::{Management, SocketOption, Whose};
use super::options::{Line, options};
use super::outer::{by_udp, forwarding_advice, is_this_machine, random_name};
use crate::config::MAX_SERVERS;
use crate::config::UserName;
use crate::net::{
    Endpoint, EndpointError, HostName, IfName, Port, PortError, Services, Transport, inet_aton,
};

/// OpenVPN's port where the configuration names none (IANA), and a SOCKS proxy's (RFC 1928).
const DEFAULT_PORT: &str = "1194";
const SOCKS_PORT: &str = "1080";

/// Maximum depth of files that include one another (OpenVPN's own limit), and maximum number of them.
const MAX_DEPTH: usize = 10;
const MAX_INCLUDES: usize = 64;

/// What the reader needs besides the text of the configuration.
pub(super) struct Surroundings<'a> {
    trusted: &'a TrustedRoot,
    services: &'a Services,
    /// The folder of the file. It is OpenVPN's working folder under Debian's units.
    folder: &'a Path,
}

impl<'a> Surroundings<'a> {
    pub(super) fn of(trusted: &'a TrustedRoot, services: &'a Services, folder: &'a Path) -> Self {
        Self { trusted, services, folder }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder
    }

    pub(super) fn owner(&self) -> u32 {
        self.trusted.owner
    }
}

/// A client as far as its configuration could be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) endpoints: BTreeSet<Endpoint>,
    pub(crate) names: BTreeSet<(HostName, Transport, Port)>,
    /// The user that the client changes to.
    pub(super) user: Option<UserName>,
    /// The mark on its packets.
    pub(super) mark: Option<NonZeroU32>,
    /// The exact name of its tunnel's device, if it gives one.
    pub(super) device: Option<IfName>,
    /// The folders of the files that it includes.
    pub(super) included: BTreeSet<PathBuf>,
    /// Whether the client reports its tunnel through our hook.
    pub(super) reports: bool,
    /// The management socket at which the agent can listen.
    pub(super) management: Option<SocketOption>,
    /// What was left out, for the log.
    pub(crate) skipped: Option<Skipped>,
}

/// One target of a client: what OpenVPN calls a connection entry.
#[derive(Debug, Clone, Default)]
struct Entry {
    line: usize,
    host: Option<String>,
    port: Option<String>,
    transport: Option<Transport>,
    /// A proxy. The client then connects only to it.
    proxy: Option<(String, String)>,
}

/// Reads a configuration without the files that it includes.
#[cfg(any(test, fuzzing))]
pub(crate) fn read(text: &str) -> Client {
    let mut reader = Reader::default();
    reader.file(text, None, 0);
    reader.client()
}

/// Reads a configuration with the files that it includes. The configuration of a server has no endpoint.
pub(super) fn read_in(text: &str, surroundings: &Surroundings<'_>) -> Client {
    let (services, folder) = (surroundings.services.clone(), surroundings.folder.to_owned());
    let mut reader = Reader { services, folder, ..Reader::default() };
    reader.file(text, Some(surroundings.trusted), 0);
    reader.client()
}

#[derive(Default)]
struct Reader {
    services: Services,
    /// The working folder.
    folder: PathBuf,
    /// The included file that is being read, for the log.
    included: String,
    includes: usize,
    /// `dev` and `dev-type`.
    device: Option<String>,
    kind: Option<String>,
    /// The address that the configuration routes outside the tunnel.
    past: Option<String>,
    /// Options for every entry that does not set them itself.
    common: Entry,
    remotes: Vec<Entry>,
    connections: Vec<Entry>,
    /// `proto-force`
    only: Option<Transport>,
    serves: bool,
    random_names: bool,
    management: Management,
    client: Client,
}

impl Reader {
    fn skip(&mut self, line: usize, fault: &str) {
        Skipped::note(&mut self.client.skipped, &format!("line {line}{}: {fault}", self.included));
    }

    /// Reads a file, and those that it includes.
    fn file(&mut self, text: &str, trusted: Option<&TrustedRoot>, depth: usize) {
        for option in options(text) {
            match option {
                Ok(Line { line, words, block: None }) if words.len() == 2 && words[0] == "config" => {
                    if let Err(fault) = self.include(&words[1], trusted, depth) {
                        self.skip(line, &fault);
                    }
                }
                Ok(option) => self.take(&option),
                Err((line, error)) => self.skip(line, &error.to_string()),
            }
        }
    }

    fn include(&mut self, file: &str, trusted: Option<&TrustedRoot>, depth: usize) -> Result<(), String> {
        let Some(trusted) = trusted else { return Err(format!("{} is not read", shown(file))) };
        self.includes += 1;
        if depth >= MAX_DEPTH || self.includes > MAX_INCLUDES {
            return Err(format!("{} is not read: too many files include one another", shown(file)));
        }
        // An absolute path starts at the system's root folder, which `trusted` names.
        let path = match Path::new(file).strip_prefix("/") {
            Ok(absolute) => trusted.root.join(absolute),
            Err(_) => self.folder.join(file),
        };
        self.client.included.extend(path.parent().map(Path::to_owned));
        let text =
            trusted.text(&path).map_err(|refused| format!("{} is left out: {refused}", shown(file)))?;
        let outer = std::mem::replace(&mut self.included, format!(" of {}", shown(file)));
        self.file(&text, Some(trusted), depth + 1);
        self.included = outer;
        Ok(())
    }

    fn take(&mut self, option: &Line<'_>) {
        let words: Vec<&str> = option.words.iter().map(String::as_str).collect();
        match (words.as_slice(), option.block) {
            (["connection"], Some(block)) => self.connection(option.line, block),
            (_, Some(_)) => {}
            (["remote", ..], None) => {
                let mut entry = Entry::default();
                match entry.take(option) {
                    Ok(_) => self.remotes.push(entry),
                    Err(fault) => self.skip(option.line, &fault),
                }
            }
            (["proto-force", proto], None) => self.only = Transport::from_openvpn(proto).ok(),
            (["user", name], None) => match UserName::try_from((*name).to_owned()) {
                Ok(user) => self.client.user = Some(user),
                Err(error) => self.skip(option.line, &error.to_string()),
            },
            (["mark", number], None) => self.client.mark = number.parse().ok(),
            (["up", program, ..], None) => self.client.reports = program.contains("tunwarden"),
            (["mode", mode], None) => self.serves |= *mode == "server",
            (["server" | "server-bridge" | "server-ipv6", ..], None) => self.serves = true,
            (["remote-random-hostname"], None) => self.random_names = true,
            ([name, ..], None) if name.starts_with("management") => self.management.take(option),
            (["cd", folder], None) => self.folder = self.folder.join(folder),
            (["dev", name], None) => self.device = Some((*name).to_owned()),
            (["dev-type", kind], None) => self.kind = Some((*kind).to_owned()),
            (["route", address, "255.255.255.255", "net_gateway", ..], None) => {
                self.past = Some((*address).to_owned());
            }
            _ => {
                if let Err(fault) = self.common.take(option) {
                    self.skip(option.line, &fault);
                }
            }
        }
    }

    fn connection(&mut self, line: usize, block: &str) {
        let mut entry = Entry { line, ..self.common.clone() };
        for option in options(block) {
            let taken = match &option {
                Ok(option) => entry.take(option),
                Err((_, error)) => Err(error.to_string()),
            };
            if let Err(fault) = taken {
                self.skip(line, &fault);
                return;
            }
        }
        if entry.host.is_some() {
            entry.line = line;
            self.connections.push(entry);
        } else {
            self.skip(line, "the connection names no remote");
        }
    }

    fn client(mut self) -> Client {
        if self.serves {
            return Client::default();
        }
        let entries: Vec<Entry> = if self.connections.is_empty() {
            let remotes = std::mem::take(&mut self.remotes).into_iter();
            remotes.map(|remote| remote.or(&self.common)).collect()
        } else {
            std::mem::take(&mut self.connections)
        };
        if !entries.is_empty() {
            self.client.device = device(self.device.as_deref(), self.kind.as_deref());
        }
        for entry in entries {
            let transport = entry.transport.unwrap_or(Transport::Udp);
            if self.only.is_some_and(|only| only != transport) {
                continue;
            }
            let added = if self.client.endpoints.len() + self.client.names.len() < MAX_SERVERS {
                self.add(&entry, transport)
            } else {
                Err(format!("at most {MAX_SERVERS} servers are kept"))
            };
            if let Err(fault) = added {
                self.skip(entry.line, &fault);
            }
        }
        match std::mem::take(&mut self.management).socket() {
            Ok(place) => self.client.management = place,
            // The socket is meant for another program. That is no problem, because the hook reports the tunnel.
            Err(unheard) if unheard.whose == Whose::Others && self.client.reports => {}
            Err(unheard) => self.skip(unheard.line, &unheard.why),
        }
        self.client
    }

    fn add(&mut self, entry: &Entry, transport: Transport) -> Result<(), String> {
        let host = entry.host.as_deref().unwrap_or_default();
        let port = entry.port.as_deref().unwrap_or(DEFAULT_PORT);
        let asked = transport;
        let (host, port, transport) = match &entry.proxy {
            Some((host, port)) => (host.as_str(), port.as_str(), Transport::Tcp),
            None => (host, port, transport),
        };
        if entry.proxy.is_some() && !is_this_machine(host) && asked == Transport::Udp {
            self.skip(entry.line, &by_udp(host));
        }
        let fault = |error: EndpointError| format!("{}: {error}", shown(host));
        if is_this_machine(host) {
            return Err(forwarding_advice(host, self.past.as_deref()));
        }
        let port: Port = self.port(port).map_err(EndpointError::from).map_err(fault)?;
        if let Some(address) = address(host) {
            let endpoint =
                Endpoint::new(address, transport, port).map_err(EndpointError::from).map_err(fault)?;
            self.client.endpoints.insert(endpoint);
        } else if self.random_names && entry.proxy.is_none() {
            return Err(random_name(host));
        } else {
            let name = HostName::try_from(host.to_owned()).map_err(fault)?;
            self.client.names.insert((name, transport, port));
        }
        Ok(())
    }

    /// The port of a number, or of a name in `/etc/services`.
    fn port(&self, text: &str) -> Result<Port, PortError> {
        match self.services.port(text) {
            Some(number) if !text.starts_with(|first: char| first.is_ascii_digit()) => {
                i64::from(number).try_into()
            }
            Some(_) | None => text.parse(),
        }
    }
}

/// The address of a host that is written as one, in any spelling that OpenVPN takes. A link-local address may have a scope.
pub(super) fn address(host: &str) -> Option<IpAddr> {
    let scoped = || {
        let (address, scope) = host.split_once('%')?;
        let address: Ipv6Addr = address.parse().ok()?;
        (address.is_unicast_link_local() && !scope.is_empty()).then_some(IpAddr::V6(address))
    };
    host.parse().ok().or_else(|| inet_aton(host).map(IpAddr::V4)).or_else(scoped)
}

/// Maximum length of a device's name in bytes. OpenVPN cuts off what is longer.
const LONGEST_DEVICE: usize = 15;

/// The exact name of a tunnel's device, if the options `dev` and `dev-type` give one. For `tun`, `tap` and a name with
/// `%d`, the kernel adds a number.
fn device(name: Option<&str>, kind: Option<&str>) -> Option<IfName> {
    let name = name.filter(|name| !matches!(*name, "tun" | "tap") && !name.contains('%'))?;
    let name = name.get(..LONGEST_DEVICE).unwrap_or(name);
    let is_tunnel = match kind {
        Some(kind) => matches!(kind, "tun" | "tap"),
        None => name.starts_with("tun") || name.starts_with("tap"),
    };
    if is_tunnel { name.parse().ok() } else { None }
}

impl Entry {
    /// Takes an option that may be in a `<connection>`. Ignores other options.
    fn take(&mut self, option: &Line<'_>) -> Result<(), String> {
        let words: Vec<&str> = option.words.iter().map(String::as_str).collect();
        let owned = |text: &&str| (*text).to_owned();
        match words.as_slice() {
            ["remote", host, more @ ..] if more.len() <= 2 => {
                self.line = option.line;
                self.host = Some(owned(host));
                self.port = more.first().map(owned).or(self.port.take());
                if let Some(proto) = more.get(1) {
                    self.transport = Some(transport(proto)?);
                }
            }
            ["remote", ..] => return Err("`remote` takes a host, a port and a protocol".to_owned()),
            ["port" | "rport", port] => self.port = Some(owned(port)),
            ["proto", proto] => self.transport = Some(transport(proto)?),
            ["http-proxy", host, port, ..] => self.proxy = Some((owned(host), owned(port))),
            ["socks-proxy", host, port, ..] => self.proxy = Some((owned(host), owned(port))),
            ["socks-proxy", host] => self.proxy = Some((owned(host), SOCKS_PORT.to_owned())),
            _ => {}
        }
        Ok(())
    }

    /// Fills the options that this entry does not set.
    fn or(self, common: &Self) -> Self {
        Self {
            port: self.port.or_else(|| common.port.clone()),
            transport: self.transport.or(common.transport),
            proxy: self.proxy.or_else(|| common.proxy.clone()),
            ..self
        }
    }
}

fn transport(proto: &str) -> Result<Transport, String> {
    Transport::from_openvpn(proto).map_err(|error| error.to_string().replace(char::is_control, "?"))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
