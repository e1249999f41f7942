//! Warnings about settings that are valid, but dangerous or without effect.

use super::hint::listed;
use super::{
    Access, Bootstrap, Config, Dns, ForwardedPort, InboundOn, Lan, Networks, RootFile, Routes, Scope,
    Traffic, TrafficRule, Tunnel, Vpn, looks_like_a_uuid,
};
use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::net::{Host, IfPattern, Port, Server, Transport};

/// Names of network cards, modems and bridges, by systemd.net-naming-scheme(7) and by the kernel.
const CARDS: [&str; 15] = [
    "eth0",
    "eno1",
    "enp3s0",
    "ens33",
    "enx001122334455",
    "wlan0",
    "wlp2s0",
    "wlo1",
    "wlx001122334455",
    "wwan0",
    "wwp0s20",
    "usb0",
    "ppp0",
    "docker0",
    "virbr0",
];

/// Prefixes of such names, for those that are not in [`CARDS`].
const CARD_STEMS: [&str; 15] = [
    "eth", "eno", "enp", "ens", "enx", "wlan", "wlp", "wlo", "wlx", "wwan", "wwp", "usb", "ppp", "br-",
    "veth",
];

/// A warning about a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The name of the section, for example `tunnel`.
    pub section: &'static str,
    /// What may go wrong, in one or two sentences. Only [`Config::explain`] escapes it for a terminal.
    pub text: String,
}

impl Config {
    /// All warnings about this configuration.
    pub fn warnings(&self) -> Vec<Warning> {
        let all = [
            ("tunnel", tunnel(&self.tunnel)),
            ("bootstrap", bootstrap(self)),
            ("lan", lan(&self.lan, &self.tunnel.routes)),
            ("input", input(self)),
            ("docker", docker(self)),
            ("vpn", vpn(&self.vpn)),
        ];
        let tagged =
            |(section, texts): (_, Vec<String>)| texts.into_iter().map(move |text| Warning { section, text });
        all.into_iter().flat_map(tagged).collect()
    }
}

/// Warns about ids: any local user may make a profile with any id. A UUID that is in use cannot be imitated, and an
/// entry that looks like a UUID matches no id.
fn vpn(vpn: &Vpn) -> Vec<String> {
    let is_id = |name: &&String| !looks_like_a_uuid(name) && RootFile::of(name).is_none();
    let names: Vec<String> = vpn.connections.iter().filter(is_id).cloned().collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "{}: any user of this machine may make a profile of the same name. Use the UUID that `nmcli \
         connection` shows.",
        listed(&names, "and")
    )]
}

fn tunnel(tunnel: &Tunnel) -> Vec<String> {
    let mut warnings: Vec<String> = tunnel.interfaces.iter().filter_map(card).collect();
    match &tunnel.allow {
        Traffic::Any => {}
        Traffic::Listed(rules) if rules.is_empty() => {
            warnings
                .push("tunnel.allow is empty: no program may send anything through the tunnel.".to_owned());
        }
        Traffic::Listed(rules) if !rules.iter().any(passes_dns) => warnings.push(
            "Names cannot be looked up through the tunnel: UDP 53 is not in tunnel.allow. Add \
             { protocol = \"udp\", ports = [53] } unless that is what you want."
                .to_owned(),
        ),
        Traffic::Listed(_) => {}
    }
    warnings
}

/// If a pattern matches names of network cards, its text and an example for a message.
fn like_a_card<'c>(
    pattern: &IfPattern,
    cards: impl IntoIterator<Item = &'c &'c str>,
    stems: impl IntoIterator<Item = &'c &'c str>,
) -> Option<(String, String)> {
    let text = pattern.to_string();
    let stem = text.trim_end_matches('+');
    let example = cards.into_iter().find(|card| pattern.matches(card));
    let alike = stems.into_iter().any(|card| stem.starts_with(card));
    if example.is_none() && !alike {
        return None;
    }
    let such = example.map_or(String::new(), |card| format!(" such as {card}"));
    Some((text, such))
}

/// The warning for a pattern of bridges that may match a network card.
fn bridge_card(pattern: &IfPattern) -> Option<String> {
    if super::Docker::default().bridges.contains(pattern) {
        return None;
    }
    let cards = CARDS.iter().filter(|card| !["docker0", "virbr0"].contains(card));
    let stems = CARD_STEMS.iter().filter(|stem| !["br-", "veth"].contains(stem));
    let (text, such) = like_a_card(pattern, cards, stems)?;
    Some(format!(
        "{text} matches the names of network cards or modems{such}. If such a card appears while the agent is not \
         running, it counts as a bridge of containers. Name only bridges of containers and virtual machines."
    ))
}

/// The warning for a pattern of tunnels that may match a network card.
fn card(pattern: &IfPattern) -> Option<String> {
    let (text, such) = like_a_card(pattern, &CARDS, &CARD_STEMS)?;
    Some(format!(
        "{text} matches the names of network cards, modems or bridges{such}. If such a card appears while the \
         agent is not running, it counts as a tunnel, and everything may leave through it in clear. Name only \
         your VPN's interface."
    ))
}

fn passes_dns(rule: &TrafficRule) -> bool {
    match rule {
        TrafficRule::Ports(Transport::Udp, ports) => {
            ports.is_empty() || ports.iter().any(|range| range.contains(Port::fixed(53)))
        }
        TrafficRule::Ports(Transport::Tcp, _) | TrafficRule::Icmp => false,
        // It is the VPN's own resolver.
        TrafficRule::To(_, rule) => passes_dns(rule),
    }
}

fn bootstrap(config: &Config) -> Vec<String> {
    let bootstrap = &config.bootstrap;
    let mut warnings = Vec::new();
    if bootstrap.scope == Scope::Any {
        warnings.push(
            "scope = \"any\": while the VPN is down, every program of these users can reach every address of the \
             internet on these ports. \"auto\" allows this only until a server is known."
                .to_owned(),
        );
    }
    if let Some((_, port)) = bootstrap.ports.iter().find(|(_, port)| port.is_dns()) {
        warnings.push(format!(
            "{} is a port of DNS: while any address may be reached on `ports`, lookups of these users leave in \
             clear, and so do those of containers that Docker makes as root. Write the server with its port \
             in `servers` instead.",
            port.get()
        ));
    }
    if bootstrap.owners.iter().any(|owner| owner.as_str() == "nobody") {
        warnings.push(
            "Many programs run as the user nobody, and each would get the VPN client's allowance. tunwarden finds \
             the user that an OpenVPN configuration switches to, so you need not name it here."
                .to_owned(),
        );
    }
    if !bootstrap.owners.iter().any(|owner| owner.as_str() == "root") {
        warnings.push(
            "root is not among the owners. A VPN client that connects as root, as OpenVPN does before it drops its \
             privileges, cannot reach its server, and the agent cannot look up names. Add \"root\"."
                .to_owned(),
        );
    }
    warnings.extend(dns(bootstrap));
    warnings.extend(bootstrap.servers.iter().filter_map(unbracketed));
    let names = bootstrap.servers.iter().filter(|server| matches!(server.host, Host::Name(_)));
    let names: Vec<String> = names.map(ToString::to_string).collect();
    if !names.is_empty() && bootstrap.dns == Dns::Off {
        warnings.push(format!(
            "{}: with dns = \"off\" no name is looked up, so this server gets no allowance. Write its \
             address, or dns = \"pin\".",
            listed(&names, "and")
        ));
    }
    warnings.extend(bootstrap.servers.iter().filter_map(|server| unreachable(server, &bootstrap.ports)));
    warnings
}

/// Warns about servers that have a DNS port.
fn dns(bootstrap: &Bootstrap) -> Option<String> {
    let is_dns = |port: Port| [53, 853].contains(&port.get());
    let servers = bootstrap.servers.iter().filter(|server| server.port.is_some_and(is_dns));
    let servers: Vec<String> = servers.map(ToString::to_string).collect();
    (!servers.is_empty()).then(|| {
        format!(
            "{} in `servers` has a port of DNS: DNS queries of root's programs would leave outside the tunnel, in \
             clear. Name it only if your VPN's server uses this port.",
            listed(&servers, "and")
        )
    })
}

/// The warning for an IPv6 address whose last part looks like a port.
fn unbracketed(server: &Server) -> Option<String> {
    let Host::Address(std::net::IpAddr::V6(address)) = server.host else { return None };
    let end = format!("{:x}", address.segments().last()?);
    let ports = ["53", "80", "443", "1194", "1195", "1196", "1197", "1198"];
    let meant = server.port.is_none() && ports.contains(&end.as_str());
    let text = address.to_string();
    meant.then(|| {
        let host = text.strip_suffix(&format!(":{end}")).unwrap_or(&text).trim_end_matches("::");
        format!(
            "{text} is an address without a port. If {end} is the port, write the address in brackets: \
             \"[{host}]:{end}\"."
        )
    })
}

/// The warning for a server to which no rule leads.
fn unreachable(server: &Server, ports: &[(Transport, Port)]) -> Option<String> {
    let transport = server.transport.filter(|_| server.port.is_none())?;
    let served = ports.iter().any(|(other, _)| *other == transport);
    (!served).then(|| {
        format!("{server} can never be reached: it has no port, and `ports` has no {transport} port.")
    })
}

fn lan(lan: &Lan, routes: &Routes) -> Vec<String> {
    let Networks::Listed(networks) = &lan.networks else { return Vec::new() };
    if !lan.allow {
        return vec!["lan.networks has no effect while lan.allow = false.".to_owned()];
    }
    if networks.is_empty() {
        return vec!["lan.networks is empty: no machine of the LAN can be reached.".to_owned()];
    }
    let mut warnings = Vec::new();
    let wide = networks.iter().filter(|prefix| is_wide(prefix.net()));
    let wide: Vec<String> = wide.map(ToString::to_string).collect();
    if !wide.is_empty() {
        warnings.push(format!(
            "{} is large. Packets to addresses in it that are not on your own network pass too, and leave in clear \
             through your provider. \"connected\" allows only the networks that this machine is on.",
            listed(&wide, "and")
        ));
    }
    let Routes::Networks(routes) = routes else { return warnings };
    let of_vpn = networks.iter().filter(|prefix| prefix.without(routes) != [**prefix]);
    let of_vpn: Vec<String> = of_vpn.map(ToString::to_string).collect();
    if !of_vpn.is_empty() {
        warnings.push(format!(
            "{}: the part that is in tunnel.routes belongs to the VPN and can never be reached on the LAN.",
            listed(&of_vpn, "and")
        ));
    }
    warnings
}

/// Whether a prefix is larger than the networks of a home or an office.
fn is_wide(net: IpNet) -> bool {
    match net {
        IpNet::V4(v4) => v4.prefix_len() < 20,
        // Every IPv6 link has fe80::/10, and link-local addresses are never routed.
        IpNet::V6(v6) => v6.prefix_len() < 48 && !v6.addr().is_unicast_link_local(),
    }
}

fn docker(config: &Config) -> Vec<String> {
    let mut warnings: Vec<String> = config.docker.bridges.iter().filter_map(bridge_card).collect();
    let on_lan = config.docker.networks.iter().filter(|&(_, access)| *access == Access::Lan);
    let on_lan: Vec<&str> = on_lan.map(|(name, _)| name.as_str()).collect();
    if !on_lan.is_empty() && !config.lan.allow {
        warnings.push(format!("{}: \"lan\" has no effect while lan.allow = false.", listed(&on_lan, "and")));
    }
    warnings.extend(forwarded_twice(&config.docker.forwarded));
    warnings
}

/// Warns about a port for two containers, because Docker lets only one container publish a port.
fn forwarded_twice(forwarded: &[ForwardedPort]) -> Option<String> {
    let mut seen = BTreeSet::new();
    let twice = forwarded.iter().find(|entry| !seen.insert((entry.transport, entry.port)))?;
    let port = format!("{} {}", twice.transport.as_str().to_uppercase(), twice.port.get());
    Some(format!("{port} is forwarded to two containers. Only the one that publishes it is reached."))
}

fn input(config: &Config) -> Vec<String> {
    // A port that the VPN forwards must be open to every address.
    let on_cards = config.input.allow.iter().filter(|inbound| inbound.on == InboundOn::Any);
    let open = on_cards.filter(|inbound| inbound.from.is_none());
    let warning = |inbound: &super::Inbound| {
        let what = inbound.traffic.in_words();
        format!("{what} is open to every address. Add from = \"192.168.0.0/16\", or your own network.")
    };
    open.map(warning).collect()
}
