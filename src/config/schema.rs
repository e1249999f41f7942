//! The keys of each section, and the values that they accept.
//!
//! A missing key has its default. The parsers of [`crate::net`] decide what a text means. This file only adds a hint
//! for a wrong text.

use super::forwarded::forwarded;
use super::hint::shown;
use super::item::{Empty, Findings, Item, Section, Wrong};
use super::server_hint::server_hint;
use super::traffic::{inbound, traffic};
use super::{
    Bootstrap, Config, Docker, FirewallSettings, Input, Lan, Layer, Log, MAX_SERVERS, Networks, Routes,
    SILENCE, Tunnel, UserName, Vpn,
};
use crate::net::{
    EndpointError, Host, IfPattern, IfPatternError, LanPrefix, LengthError, Port, PrefixError, Server,
    Transport, length, network,
};
use ipnet::IpNet;
use toml::de::DeTable;

/// Maximum length of the name of a connection or a Docker network, in bytes. Real names are much shorter.
const MAX_NAME: usize = 256;

const TUNNEL: &[&str] = &["interfaces", "allow", "routes"];
const BOOTSTRAP: &[&str] = &["ports", "servers", "scope", "owners", "dns"];
const LAN: &[&str] = &["allow", "networks", "multicast", "services"];
const INPUT: &[&str] = &["allow"];
const DOCKER: &[&str] = &["allow", "published_ports", "forwarded", "bridges", "networks"];
const VPN: &[&str] = &["connections", "reconnect", "silence"];
const FIREWALL: &[&str] = &["backend", "layers"];
const LOG: &[&str] = &["destinations"];

const SECTIONS: &[&str] = &["tunnel", "bootstrap", "lan", "input", "docker", "vpn", "firewall", "log"];

/// The title and the keys of every section, in the order of [`SECTIONS`].
const KEYS: [(&str, &[&str]); 8] = [
    ("[tunnel]", TUNNEL),
    ("[bootstrap]", BOOTSTRAP),
    ("[lan]", LAN),
    ("[input]", INPUT),
    ("[docker]", DOCKER),
    ("[vpn]", VPN),
    ("[firewall]", FIREWALL),
    ("[log]", LOG),
];

/// The title and the keys of each section.
#[cfg(test)]
pub(super) fn keys() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    KEYS.into_iter()
}

/// Reads the configuration of a document. Faults are added to `findings`. If there are any, the result must
/// not be used.
pub(super) fn config<'d>(document: &'d DeTable<'d>, findings: &'d Findings<'d>) -> Config {
    let root = Section::root(document, SECTIONS, findings);
    root.refuse_others(home);
    let read = |name, (title, keys)| {
        let section = root.section(name, title, keys)?;
        section.refuse_others(home);
        Some(section)
    };
    let [tunnels, bootstraps, lans, inputs, dockers, vpns, firewalls, logs] = KEYS;
    Config {
        tunnel: read("tunnel", tunnels).map(tunnel).unwrap_or_default(),
        bootstrap: read("bootstrap", bootstraps).map(bootstrap).unwrap_or_default(),
        lan: read("lan", lans).map(lan).unwrap_or_default(),
        input: read("input", inputs).map(input).unwrap_or_default(),
        docker: read("docker", dockers).map(docker).unwrap_or_default(),
        vpn: read("vpn", vpns).map(vpn).unwrap_or_default(),
        firewall: read("firewall", firewalls).map(firewall).unwrap_or_default(),
        log: read("log", logs).map(log).unwrap_or_default(),
    }
}

/// A hint that names the section with this key, if exactly one has it.
fn home(key: &str) -> Option<String> {
    let mut homes = KEYS.iter().filter(|(_, keys)| keys.contains(&key));
    match (homes.next(), homes.next()) {
        (Some((title, _)), None) => Some(format!("`{key}` belongs in {title}")),
        _ => None,
    }
}

fn tunnel(section: Section<'_>) -> Tunnel {
    let default = Tunnel::default();
    let no_tunnel = "name the tunnel's interface: [\"tun+\"]; without one nothing could pass, ever";
    let no_route = "write \"default\", or the networks that the tunnel has to carry";
    Tunnel {
        interfaces: section.read("interfaces", default.interfaces, |item| {
            item.list(Empty::Refused(no_tunnel), |item| item.text(pattern))
        }),
        allow: section.read("allow", default.allow, traffic),
        routes: section.read("routes", default.routes, |item| {
            let example = Some("[\"10.0.0.0/8\"]");
            item.word_or("default", example, Routes::Default, |item| {
                item.list(Empty::Refused(no_route), |item| item.text(route)).map(Routes::Networks)
            })
        }),
    }
}

fn bootstrap(section: Section<'_>) -> Bootstrap {
    let default = Bootstrap::default();
    let no_port = "name the VPN server's port: [{ protocol = \"udp\", port = 1194 }]";
    let no_owner = "name the user the VPN client runs as: [\"root\"]; with nobody it could never connect";
    Bootstrap {
        ports: section.read("ports", default.ports, |item| item.list(Empty::Refused(no_port), server_port)),
        servers: section.read("servers", default.servers, |item| {
            item.list_of_at_most(MAX_SERVERS, Empty::Allowed, |item| item.text(server))
        }),
        scope: section.read("scope", default.scope, Item::word),
        owners: section.read("owners", default.owners, |item| {
            item.list(Empty::Refused(no_owner), |item| match item.as_number() {
                Some(number) => {
                    item.wrong("an owner is a name, not a number", owner_hint(&number.to_string()))
                }
                None => item.text(owner),
            })
        }),
        dns: section.read("dns", default.dns, Item::word),
    }
}

fn lan(section: Section<'_>) -> Lan {
    let default = Lan::default();
    Lan {
        allow: section.read("allow", default.allow, Item::flag),
        networks: section.read("networks", default.networks, |item| {
            let example = Some("[\"192.168.0.0/16\"]");
            item.word_or("connected", example, Networks::Connected, |item| {
                item.list(Empty::Allowed, |item| item.text(lan_prefix)).map(Networks::Listed)
            })
        }),
        multicast: section.read("multicast", default.multicast, Item::flag),
        services: section.read("services", default.services, |item| item.list(Empty::Allowed, Item::word)),
    }
}

fn input(section: Section<'_>) -> Input {
    let example = "write what may come in: [{ protocol = \"tcp\", ports = [22], from = \"192.168.0.0/16\" }]";
    let allow = section.read("allow", Vec::new(), |item| match item.as_text() {
        Some(text) => item.wrong(format!("`allow` takes a list, not \"{}\"", shown(text)), example),
        None => item.list(Empty::Allowed, inbound),
    });
    Input { allow }
}

fn docker(section: Section<'_>) -> Docker {
    let default = Docker::default();
    Docker {
        allow: section.read("allow", default.allow, traffic),
        published_ports: section.read("published_ports", default.published_ports, |item| match item.as_text() {
            Some("tunnel" | "vpn") => item.wrong(
                "`published_ports` says what the LAN reaches",
                "name each port in `forwarded`: [{ protocol = \"tcp\", port = 51413, to = \"transmission:51413\" }]",
            ),
            Some(_) | None => item.word(),
        }),
        forwarded: section.read("forwarded", default.forwarded, |item| item.list(Empty::Allowed, forwarded)),
        bridges: section
            .read("bridges", default.bridges, |item| item.list(Empty::Allowed, |item| item.text(pattern))),
        networks: section.read("networks", default.networks, |item| {
            item.entries("write { web = \"none\", printers = \"lan\" }", docker_network, Item::word)
        }),
    }
}

fn vpn(section: Section<'_>) -> Vpn {
    let default = Vpn::default();
    Vpn {
        connections: section.read("connections", default.connections, |item| {
            item.list(Empty::Allowed, |item| item.text(connection))
        }),
        reconnect: section.read("reconnect", default.reconnect, Item::word),
        silence: section.read("silence", default.silence, |item| match item.as_number() {
            Some(number) => {
                let number = u64::try_from(number).unwrap_or_default();
                item.wrong("`silence` takes a length of time", silence_hint(number))
            }
            None => item.text(silence),
        }),
    }
}

/// A hint for a number of seconds without a unit.
fn silence_hint(number: u64) -> String {
    match SILENCE.contains(&number) {
        true => format!("write its unit: \"{number}s\""),
        false => "write \"30s\", \"2m\" or \"off\"".to_owned(),
    }
}

fn silence(text: &str) -> Result<Option<u64>, Wrong> {
    if text == "off" {
        return Ok(None);
    }
    let hint = silence_hint(0);
    match length(text) {
        Ok(seconds) if SILENCE.contains(&seconds) => Ok(Some(seconds)),
        Ok(_) => Err(Wrong { what: format!("`silence` is 5s to 1h, not {text}"), hint }),
        Err(LengthError::NoUnit(number)) => {
            Err(Wrong { what: format!("`silence` cannot be \"{number}\""), hint: silence_hint(number) })
        }
        Err(error) => Err(Wrong { what: format!("`silence` cannot be \"{}\": {error}", shown(text)), hint }),
    }
}

fn firewall(section: Section<'_>) -> FirewallSettings {
    let default = FirewallSettings::default();
    let no_layer = "name at least one: [\"iptables\", \"nftables\"]; without one nothing would be held";
    let layers = default.layers.into_iter().collect();
    FirewallSettings {
        backend: section.read("backend", default.backend, Item::word),
        layers: section
            .read("layers", layers, |item| item.list(Empty::Refused(no_layer), Item::word::<Layer>))
            .into_iter()
            .collect(),
    }
}

fn log(section: Section<'_>) -> Log {
    Log { destinations: section.read("destinations", Log::default().destinations, Item::flag) }
}

fn server_port(item: Item<'_>) -> Option<(Transport, Port)> {
    let section =
        item.table("a port of a server", &["protocol", "port"], "{ protocol = \"udp\", port = 1194 }")?;
    section.refuse_others(|_| None);
    let protocol = section.require("protocol", "add protocol = \"udp\" or \"tcp\"").and_then(Item::word);
    let port = section.require("port", "add the port's number: port = 1194").and_then(port);
    Some((protocol?, port?))
}

pub(super) fn port(item: Item<'_>) -> Option<Port> {
    match item.as_number() {
        Some(number) => Port::try_from(number).ok().or_else(|| no_port(item, &number.to_string())),
        None => item.wrong("`port` takes one number", "write a number from 1 to 65535, without quotes: 1194"),
    }
}

pub(super) fn no_port<T>(item: Item<'_>, number: &str) -> Option<T> {
    item.wrong(format!("{} is no port", item.written().unwrap_or(number)), "ports are 1 to 65535")
}

fn pattern(text: &str) -> Result<IfPattern, Wrong> {
    text.parse().map_err(|error: IfPatternError| {
        let hint = match &error {
            IfPatternError::TooWide(_) => "begin with the letters that only tunnels have: \"tun+\"",
            IfPatternError::Wildcard(_) => {
                "put one + at the end: \"tun+\" is every name that begins with tun"
            }
            IfPatternError::Name(_) => "write the name as `ip link` shows it: \"tun0\", or \"tun+\"",
        };
        Wrong { what: error.to_string(), hint: hint.to_owned() }
    })
}

fn server(text: &str) -> Result<Server, Wrong> {
    let server: Server = text
        .parse()
        .map_err(|error: EndpointError| Wrong { what: error.to_string(), hint: server_hint(text) })?;
    match &server.host {
        Host::Name(name) if is_this_machine(name.as_str()) => Err(Wrong {
            what: format!("{name} is this machine itself, and no server"),
            hint: "name the server that the program here connects to, and that program's user in `owners`"
                .to_owned(),
        }),
        Host::Name(_) | Host::Address(_) => Ok(server),
    }
}

fn is_this_machine(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

fn owner(text: &str) -> Result<UserName, Wrong> {
    UserName::try_from(text.to_owned())
        .map_err(|error| Wrong { what: error.to_string(), hint: owner_hint(text) })
}

fn owner_hint(text: &str) -> String {
    match text.parse::<u32>() {
        Ok(0) => "write the user's name: \"root\"".to_owned(),
        Ok(number) => format!("write the user's name, which this shows: id -nu {number}"),
        Err(_) => "write the user's name as `id` shows it: \"root\"".to_owned(),
    }
}

pub(super) fn net(text: &str) -> Result<IpNet, Wrong> {
    network(text).map_err(|error| wrong_prefix(text, "", &error))
}

fn route(text: &str) -> Result<IpNet, Wrong> {
    network(text).map_err(|error| wrong_prefix(text, "default", &error))
}

fn lan_prefix(text: &str) -> Result<LanPrefix, Wrong> {
    text.parse().map_err(|error| wrong_prefix(text, "connected", &error))
}

/// The hint for a wrong prefix. `whole` is the word that stands for all networks in the place of a list.
fn wrong_prefix(text: &str, whole: &str, error: &PrefixError) -> Wrong {
    let masked = text
        .split_once('/')
        .and_then(|(address, mask)| IpNet::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok());
    let hint = match error {
        PrefixError::Form(_) if !text.is_empty() && text == whole => {
            format!("write \"{text}\" without brackets")
        }
        PrefixError::Form(_) if masked.is_some() => {
            masked.map_or(String::new(), |net| format!("write \"{}\"", net.trunc()))
        }
        PrefixError::HostBits(_, corrected) => format!("write \"{corrected}\""),
        PrefixError::Form(_) => "write \"192.168.0.0/16\" or \"fd00::/8\"".to_owned(),
        PrefixError::Public(_) => {
            "name the network of your own router, such as \"192.168.1.0/24\"".to_owned()
        }
    };
    Wrong { what: error.to_string(), hint }
}

fn connection(text: &str) -> Result<String, Wrong> {
    name(text, "a connection", "write the name or the UUID that `nmcli connection` shows")
}

fn docker_network(text: &str) -> Result<String, Wrong> {
    let wrong = |what: &str, hint: &str| Err(Wrong { what: what.to_owned(), hint: hint.to_owned() });
    match text {
        "host" => wrong(
            "`host` is no network of its own: its containers are this machine itself",
            "remove it; what this machine may send is in [tunnel] and [lan]",
        ),
        "none" => wrong("a container on `none` has no network at all", "remove it"),
        _ => name(text, "a network", "write the name that `docker network ls` shows"),
    }
}

fn name(text: &str, of: &str, hint: &str) -> Result<String, Wrong> {
    let what = match text {
        "" => format!("{of}'s name cannot be empty"),
        _ if text.len() > MAX_NAME => {
            format!("{of}'s name has at most {MAX_NAME} bytes; this one has {}", text.len())
        }
        _ if text.contains(char::is_control) => {
            format!("{of}'s name has no control characters: `{}`", shown(text))
        }
        _ => return Ok(text.to_owned()),
    };
    Err(Wrong { what, hint: hint.to_owned() })
}
