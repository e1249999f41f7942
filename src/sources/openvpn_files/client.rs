//! Where a client connects to, read from the options of an OpenVPN configuration. Pure.
//!
//! The options are read as OpenVPN reads them. The last port and the last protocol hold for every `remote`. A
//! `<connection>` inherits the options before it. If there is a `<connection>`, a `remote` outside of it is
//! not a server.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use super::super::skipped::{Skipped, shown};
use super::management::{Management, SocketOption, Whose};
use super::options::{Line, options};
use crate::config::MOST_SERVERS;
use crate::config::UserName;
use crate::net::{Endpoint, EndpointError, HostName, Port, Transport};

/// OpenVPN's port where the configuration names none (IANA), and a SOCKS proxy's (RFC 1928).
const DEFAULT_PORT: &str = "1194";
const SOCKS_PORT: &str = "1080";

/// A client as far as its configuration could be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) endpoints: BTreeSet<Endpoint>,
    pub(crate) names: BTreeSet<(HostName, Transport, Port)>,
    /// The user that the client changes to.
    pub(super) user: Option<UserName>,
    /// The mark on its packets.
    pub(super) mark: Option<NonZeroU32>,
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

/// Reads a configuration. The configuration of a server has no endpoint.
pub(crate) fn read(text: &str) -> Client {
    let mut reader = Reader::default();
    for option in options(text) {
        match option {
            Ok(option) => reader.take(&option),
            Err((line, error)) => reader.skip(line, &error.to_string()),
        }
    }
    reader.client()
}

#[derive(Default)]
struct Reader {
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
        Skipped::note(&mut self.client.skipped, &format!("line {line}: {fault}"));
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
            (["config", file], None) => {
                self.skip(option.line, &format!("{} is not looked into", shown(file)));
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
        let entries = if self.connections.is_empty() {
            let remotes = std::mem::take(&mut self.remotes).into_iter();
            remotes.map(|remote| remote.or(&self.common)).collect()
        } else {
            std::mem::take(&mut self.connections)
        };
        for (seen, entry) in entries.into_iter().enumerate() {
            let transport = entry.transport.unwrap_or(Transport::Udp);
            if self.only.is_some_and(|only| only != transport) {
                continue;
            }
            let added = if seen < MOST_SERVERS {
                self.add(&entry, transport)
            } else {
                Err(format!("at most {MOST_SERVERS} servers are kept"))
            };
            if let Err(fault) = added {
                self.skip(entry.line, &fault);
            }
        }
        match std::mem::take(&mut self.management).socket() {
            Ok(place) => self.client.management = place,
            // The socket is meant for another program, but the hook reports the tunnel.
            Err(unheard) if unheard.whose == Whose::Others && self.client.reports => {}
            Err(unheard) => self.skip(unheard.line, &unheard.why),
        }
        self.client
    }

    fn add(&mut self, entry: &Entry, transport: Transport) -> Result<(), String> {
        let host = entry.host.as_deref().unwrap_or_default();
        let port = entry.port.as_deref().unwrap_or(DEFAULT_PORT);
        let (host, port, transport) = match &entry.proxy {
            Some((host, port)) => (host.as_str(), port.as_str(), Transport::Tcp),
            None => (host, port, transport),
        };
        let fault = |error: EndpointError| format!("{}: {error}", shown(host));
        let port: Port = port.parse().map_err(EndpointError::from).map_err(fault)?;
        if let Ok(address) = host.parse::<IpAddr>() {
            let endpoint =
                Endpoint::new(address, transport, port).map_err(EndpointError::from).map_err(fault)?;
            self.client.endpoints.insert(endpoint);
        } else if self.random_names && entry.proxy.is_none() {
            let why = "with remote-random-hostname no name is known before it is asked for";
            return Err(format!("{}: {why}", shown(host)));
        } else {
            let name = HostName::try_from(host.to_owned()).map_err(fault)?;
            self.client.names.insert((name, transport, port));
        }
        Ok(())
    }
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
