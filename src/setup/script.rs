//! Reads the article's scripts: which ports, networks and interfaces their user had let through.

use crate::config::{Inbound, Traffic, TrafficRule};
use crate::net::{Family, IfPattern, LanPrefix, Port, PortRange, Server, Transport, network};

/// No script of a person's is longer.
const MAX_LINES: usize = 2000;

/// What scripts let through, as far as a configuration can say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carried {
    /// Interfaces that were taken for the tunnel.
    pub interfaces: Vec<IfPattern>,
    /// What the host may send through it; `None` when nothing was said.
    pub tunnel: Option<Traffic>,
    /// What containers may send through it.
    pub docker: Option<Traffic>,
    /// Ports of VPN servers anywhere.
    pub ports: Vec<(Transport, Port)>,
    /// VPN servers by address.
    pub servers: Vec<Server>,
    /// Private networks.
    pub lan: Vec<LanPrefix>,
    /// What may come in.
    pub input: Vec<Inbound>,
    /// Lines that were not carried over.
    pub left: Vec<Left>,
}

/// A line that no configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Its number, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// Why not.
    pub why: &'static str,
}

/// Where a rule stands, in the article's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Output,
    Input,
    Docker,
}

/// The words of one rule.
#[derive(Debug, Default)]
struct Words<'a> {
    place: Option<Place>,
    output: Option<&'a str>,
    input: Option<&'a str>,
    to: Option<&'a str>,
    from: Option<&'a str>,
    protocol: Option<&'a str>,
    ports: Vec<&'a str>,
    states: bool,
    verdict: Option<&'a str>,
}

/// Adds what a script says to what was carried before.
pub fn read_script(text: &str, carried: &mut Carried) {
    for (number, line) in text.lines().enumerate().take(MAX_LINES) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Err(why) = read_line(line, carried) {
            let text = line.chars().filter(|c| !c.is_control()).take(200).collect();
            carried.left.push(Left { line: number + 1, text, why });
        }
    }
}

const NOT_A_RULE: &str = "is no rule of iptables";
const UNKNOWN: &str = "has a word that is not understood";

fn read_line(line: &str, carried: &mut Carried) -> Result<(), &'static str> {
    // A rule in a shell's hands may be anything.
    if line.contains(['$', '`', ';', '|', '&', '<', '>', '"', '\'', '\\', '(', '!']) {
        return Err("is for a shell, which is not asked here");
    }
    let line = line.split(" #").next().unwrap_or(line);
    let mut words = line.split_whitespace().peekable();
    words.next_if_eq(&"sudo");
    let program = words.next().unwrap_or_default();
    if !matches!(program.rsplit('/').next(), Some("iptables" | "ip6tables")) {
        return Err(NOT_A_RULE);
    }
    let Some(rule) = rule(words)? else { return Ok(()) };
    take(&rule, carried)
}

/// `None` for what sets the stage: flushes, policies, new chains, and jumps from chain to chain.
fn rule<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Option<Words<'a>>, &'static str> {
    let mut rule = Words::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or("ends too early");
        match word {
            "-F" | "-X" | "-N" | "-P" | "--flush" | "--policy" | "--new-chain" | "--delete-chain" => {
                return Ok(None);
            }
            "-t" | "--table" => match value()? {
                "filter" => {}
                "nat" | "mangle" | "raw" => return stage(words),
                _ => return Err(UNKNOWN),
            },
            "-A" | "-I" | "--append" | "--insert" => {
                rule.place = Some(match value()? {
                    "OUTPUT" | "OUTPUT_VPN_KILL_SWITCH" => Place::Output,
                    "INPUT" | "RELATED_AND_ESTABLISHED" => Place::Input,
                    "DOCKER-USER" | "DOCKER_VPN_KILL_SWITCH" => Place::Docker,
                    _ => return Err("is in a chain that the article does not have"),
                });
            }
            "-o" | "--out-interface" => rule.output = Some(value()?),
            "-i" | "--in-interface" => rule.input = Some(value()?),
            "-d" | "--destination" => rule.to = Some(value()?),
            "-s" | "--source" => rule.from = Some(value()?),
            "-p" | "--protocol" => rule.protocol = Some(value()?),
            "--dport" | "--dports" | "--destination-port" => rule.ports.extend(value()?.split(',')),
            "-m" | "--match" => match value()? {
                "udp" | "tcp" | "icmp" | "conntrack" | "state" | "multiport" | "comment" => {}
                _ => return Err(UNKNOWN),
            },
            "--comment" => drop(value()?),
            "--ctstate" | "--state" => {
                value()?;
                rule.states = true;
            }
            "-j" | "--jump" => rule.verdict = Some(value()?),
            // The place of an inserted rule.
            number if rule.place.is_some() && number.parse::<u16>().is_ok() => {}
            _ => return Err(UNKNOWN),
        }
    }
    Ok(Some(rule))
}

/// Another table: a flush of it is no rule.
fn stage<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Option<Words<'a>>, &'static str> {
    match words.next() {
        Some("-F" | "-X" | "--flush" | "--delete-chain") => Ok(None),
        _ => Err("is in a table that tunwarden leaves alone"),
    }
}

fn take(rule: &Words<'_>, carried: &mut Carried) -> Result<(), &'static str> {
    let place = rule.place.ok_or(UNKNOWN)?;
    let ours =
        ["RELATED_AND_ESTABLISHED", "OUTPUT_VPN_KILL_SWITCH", "DOCKER_VPN_KILL_SWITCH", "DROP", "RETURN"];
    match rule.verdict {
        Some("ACCEPT") => {}
        // tunwarden's own chains do the same.
        Some(verdict) if ours.contains(&verdict) && rule.to.is_none() && rule.protocol.is_none() => {
            return Ok(());
        }
        _ => return Err("refuses or sends elsewhere"),
    }
    let lo = [rule.output, rule.input].contains(&Some("lo"));
    // Loopback and replies are in every configuration.
    if lo || (rule.states && place != Place::Output) {
        return Ok(());
    }
    if rule.states {
        return Err("lets a flow go on in clear that was open before");
    }
    match place {
        Place::Input => carried.input.push(inbound(rule)?),
        Place::Docker => through_tunnel(rule, &mut carried.docker, &mut carried.interfaces)?,
        Place::Output if rule.output.is_some() => {
            through_tunnel(rule, &mut carried.tunnel, &mut carried.interfaces)?;
        }
        Place::Output => outside(rule, carried)?,
    }
    Ok(())
}

fn through_tunnel(
    rule: &Words<'_>,
    traffic: &mut Option<Traffic>,
    interfaces: &mut Vec<IfPattern>,
) -> Result<(), &'static str> {
    let name = rule.output.filter(|_| rule.input.is_none() && rule.from.is_none() && rule.to.is_none());
    let pattern: IfPattern = name.and_then(|name| name.parse().ok()).ok_or("names no tunnel")?;
    let kind = kind(rule)?;
    // A card is no tunnel, whatever a rule says of it.
    let card = ["eth", "en", "wl", "ww", "br", "docker", "veth"];
    if card.iter().any(|card| pattern.to_string().starts_with(card)) {
        return Err("lets out in clear: it names a network card");
    }
    if !interfaces.contains(&pattern) {
        interfaces.push(pattern);
    }
    match (kind, &mut *traffic) {
        (None, _) => *traffic = Some(Traffic::Any),
        (Some(_), Some(Traffic::Any)) => {}
        (Some(kind), Some(Traffic::Listed(list))) => merge(list, kind),
        (Some(kind), None) => *traffic = Some(Traffic::Listed(vec![kind])),
    }
    Ok(())
}

/// Ports of one transport stand in one rule.
fn merge(list: &mut Vec<TrafficRule>, new: TrafficRule) {
    if let TrafficRule::Ports(transport, ports) = &new {
        for rule in list.iter_mut() {
            if let TrafficRule::Ports(same, known) = rule
                && same == transport
                && !known.is_empty()
                && !ports.is_empty()
            {
                known.extend(ports.iter().copied().filter(|port| !known.contains(port)).collect::<Vec<_>>());
                return;
            }
        }
    }
    if !list.contains(&new) {
        list.push(new);
    }
}

/// What leaves outside the tunnel: to the VPN's server, or to the LAN.
fn outside(rule: &Words<'_>, carried: &mut Carried) -> Result<(), &'static str> {
    if rule.from.is_some() || rule.input.is_some() {
        return Err(UNKNOWN);
    }
    match (rule.to, rule.protocol) {
        (None, Some(protocol)) => {
            let transport: Transport = protocol.parse().map_err(|_| "lets out in clear to anywhere")?;
            let [port] = rule.ports[..] else { return Err("lets out in clear to anywhere") };
            let port: Port = port.parse().map_err(|_| "lets out in clear to anywhere")?;
            // What a VPN's server listens at; 443 to anywhere is the web.
            if transport == Transport::Tcp && [22, 53, 80, 443, 853].contains(&port.get()) || port.get() == 53
            {
                return Err("lets out in clear to anywhere; name the server in bootstrap.servers");
            }
            if !carried.ports.contains(&(transport, port)) {
                carried.ports.push((transport, port));
            }
        }
        (Some(to), Some(protocol)) => {
            let (transport, port) = match rule.ports[..] {
                [port] => (protocol.parse::<Transport>().map_err(|_| UNKNOWN)?, port.parse::<Port>()),
                _ => return Err("is more than a server's port"),
            };
            let port = port.map_err(|_| UNKNOWN)?;
            let address = host(to).ok_or("names more than one server")?;
            let server = if address.is_ipv6() {
                format!("[{address}]:{port}/{transport}")
            } else {
                format!("{address}:{port}/{transport}")
            };
            carried.servers.push(server.parse().map_err(|_| "names no server")?);
        }
        (Some(to), None) => {
            let prefix: LanPrefix = to.parse().map_err(|_| "is no private network")?;
            if !carried.lan.contains(&prefix) {
                carried.lan.push(prefix);
            }
        }
        (None, None) => return Err("lets everything out in clear"),
    }
    Ok(())
}

/// A single address, with or without its full length.
fn host(text: &str) -> Option<std::net::IpAddr> {
    let net = network(text).ok()?;
    let full = match Family::of(net.addr()) {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    (net.prefix_len() == full).then(|| net.addr())
}

fn inbound(rule: &Words<'_>) -> Result<Inbound, &'static str> {
    if rule.input.is_some() || rule.to.is_some() || rule.output.is_some() {
        return Err("is narrower than input.allow can say");
    }
    let from = rule.from.map(network).transpose().map_err(|_| "is from no network")?;
    match kind(rule)? {
        Some(TrafficRule::Ports(_, ports)) if ports.is_empty() => Err("lets everything in"),
        Some(traffic) => Ok(Inbound { traffic, from }),
        None => Err("lets everything in"),
    }
}

/// Which traffic; `None` for all of it.
fn kind(rule: &Words<'_>) -> Result<Option<TrafficRule>, &'static str> {
    Ok(match rule.protocol {
        None | Some("all") if rule.ports.is_empty() => None,
        Some("icmp" | "icmpv6" | "ipv6-icmp") => Some(TrafficRule::Icmp),
        Some(protocol) => {
            let transport: Transport =
                protocol.parse().map_err(|_| "has a protocol that no configuration names")?;
            let ports = rule.ports.iter().map(|text| ports(text));
            Some(TrafficRule::Ports(transport, ports.collect::<Option<_>>().ok_or("has no port by number")?))
        }
        None => return Err(UNKNOWN),
    })
}

/// `443`, or `6000:6007` as iptables writes it.
fn ports(text: &str) -> Option<PortRange> {
    match text.split_once(':') {
        None => text.parse::<Port>().ok().map(PortRange::from),
        Some((first, last)) => {
            let (first, last): (Port, Port) = (first.parse().ok()?, last.parse().ok()?);
            toml::Value::String(format!("{first}-{last}")).try_into().ok()
        }
    }
}

#[cfg(test)]
mod tests;
