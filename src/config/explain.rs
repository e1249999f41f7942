//! Explains a configuration in words for the user who wrote it.

use super::hint::{listed, plain};
use super::{
    Access, Backend, Bootstrap, Config, Dns, Docker, FirewallSettings, InboundOn, Input, Lan, LanService,
    Layer, Log, Networks, PublishedPorts, Reconnect, RootFile, Routes, Scope, Traffic, TrafficRule, Tunnel,
    Vpn, Warning,
};
use crate::net::{Host, Port, PortRange, Transport};

/// The width of the text, in columns. The narrowest usual terminal has 80.
const WIDTH: usize = 80;

/// What no firewall of this kind can stop.
const LIMITS: &str = "tunwarden cannot stop root and privileged containers in the host's namespaces, because \
    they can remove the rules. It cannot stop a program with CAP_NET_RAW that sends through AF_XDP sockets, or \
    through raw packet sockets that leave a checksum to the card (PACKET_VNET_HDR). Docker gives containers \
    this capability unless they run with `--cap-drop NET_RAW`.";

/// What the layer in iptables cannot stop.
const IPTABLES_LIMITS: &str = "iptables alone cannot stop macvlan and ipvlan containers and raw AF_PACKET senders: \
    their packets never reach its rules. Add \"nftables\" to `layers`.";

impl Config {
    /// Explains this configuration: for each section what may pass, and the warnings. It looks nothing up: the
    /// caller reports users that do not exist.
    pub fn explain(&self) -> String {
        let mut page = Page { text: String::new(), warnings: self.warnings() };
        page.section("tunnel", "Through the VPN", tunnel(&self.tunnel));
        page.section(
            "bootstrap",
            "To reach the VPN's server, outside the tunnel",
            bootstrap(&self.bootstrap),
        );
        page.section("lan", "Your local network", lan(&self.lan, &self.firewall));
        page.section("input", "From outside to this machine", input(&self.input));
        page.section("docker", "Containers", docker(&self.docker, &self.tunnel));
        page.section("vpn", "Which VPNs count", vpn(&self.vpn));
        page.section("firewall", "How the rules are set", firewall(&self.firewall));
        page.section("log", "In the journal", log(self.log));
        page.section("", "Always", always(&self.firewall));
        page.text
    }
}

/// Builds the text.
struct Page {
    text: String,
    warnings: Vec<Warning>,
}

impl Page {
    /// Adds a title, its sentences, and the warnings of its section.
    fn section(&mut self, name: &str, title: &str, sentences: Vec<String>) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        let key = if name.is_empty() { String::new() } else { format!(" [{name}]") };
        self.text.push_str(&format!("{gap}{title}{key}\n"));
        for sentence in sentences {
            self.paragraph("  ", &sentence);
        }
        for warning in self.warnings.clone().iter().filter(|warning| warning.section == name) {
            self.paragraph("  ! ", &warning.text);
        }
    }

    /// Adds a sentence, wrapped into lines. All lines have the same indent.
    fn paragraph(&mut self, mark: &str, sentence: &str) {
        let mut column = 0;
        for word in plain(sentence).split(' ').filter(|word| !word.is_empty()) {
            let width = word.chars().count();
            if column == 0 || column + 1 + width > WIDTH {
                let indent =
                    if column == 0 { mark.to_owned() } else { format!("\n{}", " ".repeat(mark.len())) };
                self.text.push_str(&indent);
                column = mark.len();
            } else {
                self.text.push(' ');
                column += 1;
            }
            self.text.push_str(word);
            column += width;
        }
        self.text.push('\n');
    }
}

fn tunnel(tunnel: &Tunnel) -> Vec<String> {
    let names = joined(&tunnel.interfaces, "and");
    let allowed = match &tunnel.allow {
        Traffic::Any => format!("Any program may send anything through {names}."),
        Traffic::Listed(rules) if rules.is_empty() => format!("Nothing may be sent through {names}."),
        Traffic::Listed(rules) => {
            format!("Through {names} any program may send {}, and nothing else.", rules_in_words(rules))
        }
    };
    let carries = match &tunnel.routes {
        Routes::Default => "the default route, that is everything that goes to the internet".to_owned(),
        Routes::Networks(networks) => joined(networks, "and"),
    };
    vec![
        allowed,
        "A network card with such a name does not count as a tunnel: nothing may be sent through it."
            .to_owned(),
        format!("The machine counts as protected while a tunnel carries {carries}."),
    ]
}

/// Maximum number of servers with a sentence of their own. A provider's whole list would hide the other sentences.
const MAX_SHOWN_SERVERS: usize = 12;

fn bootstrap(bootstrap: &Bootstrap) -> Vec<String> {
    let owners: Vec<&str> = bootstrap.owners.iter().map(|owner| owner.as_str()).collect();
    let owners = listed(&owners, "and");
    let ports: Vec<String> = bootstrap.ports.iter().map(port).collect();
    let ports = listed(&ports, "and");
    let known = "the servers in your VPN profiles, in OpenVPN's configurations and in this file, each on its \
                 own port";
    let scope = match bootstrap.scope {
        Scope::Known => format!("While the VPN is down, {owners} may reach {known}, and nothing else."),
        Scope::Auto => format!(
            "Until a VPN server is known, {owners} may reach any address on {ports}. After that they may reach \
             only {known}."
        ),
        Scope::Any => format!("While the VPN is down, {owners} may reach any address on {ports}."),
        Scope::Nothing => "No program may reach a VPN server.".to_owned(),
    };
    let mut sentences = vec![
        scope,
        "While the VPN is up, they may reach the server in use, and no other.".to_owned(),
        "No other user may do this, except the user that an OpenVPN configuration switches to (often \
         nobody): that user may reach its servers."
            .to_owned(),
    ];
    sentences.extend(bootstrap.servers.iter().take(MAX_SHOWN_SERVERS).map(|server| match &server.host {
        Host::Address(_) => format!("bootstrap.servers: {server} is known from the start."),
        Host::Name(name) => format!("bootstrap.servers: {name} is a name that must be looked up."),
    }));
    let more = bootstrap.servers.len().saturating_sub(MAX_SHOWN_SERVERS);
    if more > 0 {
        sentences.push(format!("bootstrap.servers: and {more} more."));
    }
    sentences.push(match bootstrap.dns {
        Dns::Pin => {
            "If only the name of a VPN server is known, the agent alone looks it up, at the resolvers of \
             /etc/resolv.conf, and writes the addresses into a marked block of /etc/hosts."
                .to_owned()
        }
        Dns::Off => "No server name is ever looked up outside the tunnel.".to_owned(),
    });
    sentences
}

fn lan(lan: &Lan, firewall: &FirewallSettings) -> Vec<String> {
    if !lan.allow {
        return vec!["No machine of the LAN may be reached. Only DHCP passes, to get an address.".to_owned()];
    }
    let networks = match &lan.networks {
        Networks::Connected => {
            "The LAN may be reached: all private networks that are on the link of a network card now. If a \
             network gives out public addresses, as some cafés do, it is not the LAN."
                .to_owned()
        }
        Networks::Listed(networks) if networks.is_empty() => "No network may be reached.".to_owned(),
        Networks::Listed(networks) => {
            format!("{} may be reached, in every place where you use this machine.", joined(networks, "and"))
        }
    };
    let multicast = match lan.multicast {
        true if !firewall.layers.contains(&Layer::Nftables) => {
            "Discovery of printers and players (mDNS, SSDP, IGMP) passes. For 6 seconds after a question, answers of the \
             LAN come in to the address that asked: the layer of iptables does not remember the port."
        }
        true => {
            "Discovery of printers and players (mDNS, SSDP, IGMP) passes. For 6 seconds after a question, answers of the \
             LAN come in to the port that asked."
        }
        false => "Discovery (mDNS, SSDP, IGMP) does not pass: printers and players may not be found.",
    };
    let mut sentences = vec![
        networks,
        "A network that belongs to a VPN (tunnel.routes, its routes and addresses) is never the LAN."
            .to_owned(),
        "DNS (53, 853) never passes: your router does not see which names you look up.".to_owned(),
        multicast.to_owned(),
    ];
    sentences.extend(lan.services.iter().map(|service| service_sentence(*service).to_owned()));
    sentences
}

fn service_sentence(service: LanService) -> &'static str {
    match service {
        LanService::WsDiscovery => "Programs may search the LAN by WS-Discovery (UDP 3702).",
        LanService::LocalSend => "LocalSend works on the LAN: the LAN may open TCP and UDP 53317.",
        LanService::KdeConnect => {
            "KDE Connect works on the LAN: the LAN may open UDP 1716 and TCP 1714 to 1764."
        }
        LanService::WakeOnLan => "Magic packets leave as a broadcast on the link (UDP 7 and 9).",
    }
}

fn input(input: &Input) -> Vec<String> {
    let mut sentences = vec!["Replies come in.".to_owned()];
    sentences.extend(input.allow.iter().map(|inbound| {
        let from = inbound.from.map_or("any address".to_owned(), |net| net.to_string());
        let by = match inbound.on {
            InboundOn::Any => "",
            InboundOn::Tunnel => " through the tunnel, and not from a network card",
        };
        format!("{} may be opened from {from}{by}.", inbound.traffic.in_words())
    }));
    if input.allow.is_empty() {
        sentences.push("No other machine may open a connection to this machine.".to_owned());
    }
    sentences
}

fn docker(docker: &Docker, tunnel: &Tunnel) -> Vec<String> {
    let names = joined(&tunnel.interfaces, "and");
    let allowed = match &docker.allow {
        Traffic::Any => format!("Containers may send anything through {names}, and nothing outside it."),
        Traffic::Listed(rules) if rules.is_empty() && docker.forwarded.is_empty() => {
            "Containers may send nothing out.".to_owned()
        }
        Traffic::Listed(rules) if rules.is_empty() => {
            "Containers may send nothing out, except answers from ports that the VPN forwards.".to_owned()
        }
        Traffic::Listed(rules) => {
            format!("Containers may send {} through {names}, and nothing else.", rules_in_words(rules))
        }
    };
    let published = match docker.published_ports {
        PublishedPorts::Lan => "Ports that they publish can be reached from the LAN.",
        PublishedPorts::None if docker.forwarded.is_empty() => {
            "Ports that they publish can be reached only from this machine."
        }
        PublishedPorts::None => {
            "Ports that they publish can be reached only from this machine, except those that the VPN forwards."
        }
    };
    let mut sentences = vec![allowed, published.to_owned()];
    sentences.extend(docker.forwarded.iter().map(|forwarded| {
        let outer = port(&(forwarded.transport, forwarded.port));
        format!(
            "{outer} of the tunnel's address reaches the container {}, while it publishes port {} as its port {}. \
             This opens it on no network card.",
            forwarded.container.as_str(),
            forwarded.port.get(),
            forwarded.inner.get()
        )
    }));
    for (access, what) in [
        (Access::Lan, "may reach the LAN, never DNS (53, 853), and not the tunnel"),
        (Access::None, "may reach nothing outside their network, and nothing outside reaches them"),
    ] {
        let of_access = docker.networks.iter().filter(|&(_, other)| *other == access);
        let names: Vec<&String> = of_access.map(|(name, _)| name).collect();
        if !names.is_empty() {
            sentences.push(format!("Containers on {} {what}.", joined(&names, "and")));
        }
    }
    sentences
}

fn vpn(vpn: &Vpn) -> Vec<String> {
    let counting = if vpn.connections.is_empty() {
        "Every VPN profile of NetworkManager counts, also one that another user of this machine made. So do the \
         configurations of root in /etc/openvpn and /etc/wireguard. To trust only yours, name it in vpn.connections."
            .to_owned()
    } else {
        let named = listed(&vpn.connections, "and");
        match vpn.connections.iter().any(|named| RootFile::of(named) == Some(RootFile::OpenVpn)) {
            true => format!("Only {named} count. Any other VPN changes nothing."),
            false => format!(
                "Only {named} and the configurations of root in /etc/openvpn count. Any other VPN changes nothing."
            ),
        }
    };
    let reconnect = match vpn.reconnect {
        Reconnect::Ask => "A lost VPN is connected again when you ask for it: tunwarden reconnect.",
        Reconnect::Auto => {
            "The agent connects a lost VPN of NetworkManager or of wg-quick@NAME again. It repeats this, and waits \
             longer each time, from 2 seconds to 5 minutes. It does not connect a VPN that you ended."
        }
        Reconnect::Never => "A lost VPN is not connected again unless you ask for it: tunwarden reconnect.",
    };
    let silence = match vpn.silence {
        Some(seconds) => format!(
            "A server that sends nothing for {seconds} seconds while packets are sent to it counts as lost, until \
             it sends again."
        ),
        None => "A silent server is not noticed before the VPN client notices it.".to_owned(),
    };
    vec![counting, reconnect.to_owned(), silence]
}

fn firewall(firewall: &FirewallSettings) -> Vec<String> {
    let iptables = match firewall.backend {
        Backend::Auto => "In iptables, with the system's default program.",
        Backend::Nft => "In iptables, always with iptables-nft.",
        Backend::Legacy => "In iptables, always with iptables-legacy.",
    };
    let nftables = "In two tables of nftables: they also check each packet that leaves through a network card, \
                    for every sender.";
    let line = |layer: &Layer| match layer {
        Layer::Iptables => iptables.to_owned(),
        Layer::Nftables => nftables.to_owned(),
    };
    firewall.layers.iter().map(line).collect()
}

fn log(log: Log) -> Vec<String> {
    let destinations = if log.destinations {
        "Once a minute: how many packets were refused, by reason, and where they were sent."
    } else {
        "Once a minute: how many packets were refused, by reason, and no destination."
    };
    vec![destinations.to_owned()]
}

fn always(firewall: &FirewallSettings) -> Vec<String> {
    let dropped = "Everything that is not named above is dropped, in IPv4 and IPv6, also while tunwarden is \
                   not running.";
    let beneath = (!firewall.layers.contains(&Layer::Nftables)).then_some(IPTABLES_LIMITS);
    [dropped, LIMITS].into_iter().chain(beneath).map(ToOwned::to_owned).collect()
}

fn joined<T: ToString>(things: &[T], last: &str) -> String {
    let texts: Vec<String> = things.iter().map(ToString::to_string).collect();
    listed(&texts, last)
}

fn rules_in_words(rules: &[TrafficRule]) -> String {
    let words: Vec<String> = rules.iter().map(TrafficRule::in_words).collect();
    words.join("; ")
}

fn port((transport, port): &(Transport, Port)) -> String {
    format!("{} {port}", transport.as_str().to_uppercase())
}

impl TrafficRule {
    /// The traffic in words: "TCP 443, 80 and 6000-6007".
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Icmp => "ICMP (ping)".to_owned(),
            Self::To(net, rule) => format!("{} to {net}", rule.in_words()),
            Self::Ports(transport, ports) => {
                let transport = transport.as_str().to_uppercase();
                let ports: Vec<String> = ports.iter().map(range).collect();
                if ports.is_empty() {
                    format!("{transport} on every port")
                } else {
                    format!("{transport} {}", listed(&ports, "and"))
                }
            }
        }
    }
}

/// A range in the syntax of the configuration.
fn range(range: &PortRange) -> String {
    range.to_string().replace(':', "-")
}
