//! One rule of iptables: its conditions and its target.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::net::Family;
use crate::net::Services;

/// A rule. A field that is `None` matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rule {
    pub(super) input: Option<Device>,
    pub(super) output: Option<Device>,
    pub(super) from: Option<AddressMatch>,
    pub(super) to: Option<AddressMatch>,
    pub(super) protocol: Option<Protocol>,
    pub(super) ports: Option<Ports>,
    pub(super) source_ports: Option<Ports>,
    pub(super) states: Option<BTreeSet<String>>,
    /// The user whose sockets the rule matches.
    pub(super) owner: Option<String>,
    /// Further conditions, which no key of the configuration can express.
    pub(super) narrower: BTreeSet<String>,
    pub(super) target: Target,
    /// `-g`: packets that come back from the chain do not come back to this one.
    pub(super) is_goto: bool,
}

/// First and last port of each range, in order.
pub(super) type Ports = Vec<(u16, u16)>;

/// An interface, or all interfaces except this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) but: bool,
}

/// The source or destination addresses that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AddressMatch {
    Networks(Vec<IpNet>),
    /// Everything except these networks.
    But(Vec<IpNet>),
    /// A name that iptables looks up.
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
    Icmp,
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Target {
    /// The rule only counts packets.
    #[default]
    None,
    Accept,
    /// DROP, REJECT and similar targets.
    Refuse,
    Return,
    /// The packet continues with the next rule.
    Continue(String),
    Chain(String),
}

impl Target {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "ACCEPT" => Self::Accept,
            "DROP" | "REJECT" | "TARPIT" | "DELUDE" => Self::Refuse,
            "RETURN" => Self::Return,
            "LOG" | "NFLOG" | "ULOG" | "AUDIT" | "MARK" | "CONNMARK" | "CLASSIFY" | "SET" | "TRACE"
            | "TCPMSS" | "DSCP" | "TOS" | "SECMARK" | "CONNSECMARK" | "CHECKSUM" | "TTL" | "HL" | "LED" => {
                Self::Continue(name.to_owned())
            }
            other => Self::Chain(other.to_owned()),
        }
    }
}

/// Builds a rule from options.
pub(super) struct Match<'s> {
    pub(super) rule: Rule,
    family: Family,
    services: &'s Services,
    /// The options of iptables that the line has, and the matches that `-m` loads.
    letters: BTreeSet<char>,
    loaded: BTreeSet<String>,
}

/// Matches whose options are all known to this file.
const PLAIN: [&str; 10] =
    ["tcp", "udp", "icmp", "icmp6", "icmpv6", "conntrack", "state", "multiport", "comment", "owner"];

/// Options that exist only if `-m` has loaded the match that defines them.
const OF_MATCHES: [(&str, &str); 8] = [
    ("dports", "multiport"),
    ("sports", "multiport"),
    ("destination-ports", "multiport"),
    ("source-ports", "multiport"),
    ("ctstate", "conntrack"),
    ("state", "state"),
    ("uid-owner", "owner"),
    ("gid-owner", "owner"),
];

/// Prefixes of the options of targets.
const OF_TARGETS: [&str; 4] = ["reject-with", "log-", "nflog-", "set-"];

impl<'s> Match<'s> {
    pub(super) fn new(family: Family, services: &'s Services) -> Self {
        let (letters, loaded) = (BTreeSet::new(), BTreeSet::new());
        Self { rule: Rule::default(), family, services, letters, loaded }
    }

    /// One of iptables' own options.
    pub(super) fn option(&mut self, letter: char, value: &str, negated: bool) -> Result<(), String> {
        let kind = if letter == 'g' { 'j' } else { letter };
        if letter == 'm' {
            self.loaded.insert(value.to_owned());
        } else if !self.letters.insert(kind) {
            return Err(format!("the option -{letter} is there twice; iptables refuses that"));
        }
        let rule = &mut self.rule;
        match letter {
            'j' | 'g' => {
                rule.target = Target::named(value);
                rule.is_goto = letter == 'g' && matches!(rule.target, Target::Chain(_));
            }
            'm' if PLAIN.contains(&value) => {}
            'm' => drop(rule.narrower.insert(format!("-m {value}"))),
            'p' => match protocol(value) {
                protocol @ Some(_) if !negated => rule.protocol = protocol,
                None if !negated => {}
                _ => drop(rule.narrower.insert(format!("! -p {value}"))),
            },
            's' => rule.from = addresses(value, self.family, negated)?,
            'd' => rule.to = addresses(value, self.family, negated)?,
            'i' | 'o' => {
                // `+` is every interface.
                let device = (value != "+").then(|| Device { name: value.to_owned(), but: negated });
                if letter == 'i' { rule.input = device } else { rule.output = device }
            }
            _ => return Err(format!("the option -{letter} is not understood")),
        }
        Ok(())
    }

    /// An option of a match or a target.
    pub(super) fn extension(&mut self, name: &str, values: &[String], negated: bool) -> Result<(), String> {
        if let Some((_, needed)) = OF_MATCHES.iter().find(|(option, _)| *option == name)
            && !self.loaded.contains(*needed)
        {
            return Err(format!("without -m {needed} before it, iptables refuses the option --{name}"));
        }
        let rule = &mut self.rule;
        let value = values.first().map(String::as_str).unwrap_or_default();
        let old_negation = negated || value == "!";
        // The same match is there twice. Both conditions count, but the rule has room for only one.
        let is_set = match name {
            "dport" | "dports" | "destination-port" | "destination-ports" => rule.ports.is_some(),
            "sport" | "sports" | "source-port" | "source-ports" => rule.source_ports.is_some(),
            "ctstate" | "state" => rule.states.is_some(),
            "uid-owner" => rule.owner.is_some(),
            _ => false,
        };
        if is_set {
            rule.narrower.insert(format!("--{name} a second time"));
        }
        match name {
            "comment" => {}
            "dport" | "dports" | "destination-port" | "destination-ports" if !old_negation => {
                rule.ports = Some(ports(value, self.services)?);
            }
            "sport" | "sports" | "source-port" | "source-ports" if !old_negation => {
                rule.source_ports = Some(ports(value, self.services)?);
            }
            "ctstate" | "state" if !old_negation => {
                rule.states = Some(value.split(',').map(str::to_ascii_uppercase).collect());
            }
            "icmp-type" | "icmpv6-type" if !old_negation => {
                rule.narrower.insert(format!("--{name} {}", icmp_type(value)));
            }
            "uid-owner" if !old_negation => rule.owner = Some(value.to_owned()),
            _ if OF_TARGETS.iter().any(|option| name.starts_with(option)) => {}
            _ => {
                let not = if old_negation { "! " } else { "" };
                rule.narrower.insert(format!("{not}--{name} {}", values.join(" ")).trim().to_owned());
            }
        }
        Ok(())
    }
}

/// The number of an ICMP type, as `iptables-save` prints it.
fn icmp_type(name: &str) -> &str {
    match name {
        "echo-reply" | "pong" => "0",
        "destination-unreachable" => "3",
        "echo-request" | "ping" => "8",
        "time-exceeded" | "ttl-exceeded" => "11",
        "parameter-problem" => "12",
        other => other,
    }
}

fn protocol(text: &str) -> Option<Protocol> {
    Some(match text.to_ascii_lowercase().as_str() {
        "all" | "0" => return None,
        "tcp" | "6" => Protocol::Tcp,
        "udp" | "17" => Protocol::Udp,
        "icmp" | "1" | "icmpv6" | "ipv6-icmp" | "icmp6" | "58" => Protocol::Icmp,
        other => Protocol::Other(other.to_owned()),
    })
}

/// Ports in a list of numbers, names and ranges.
fn ports(text: &str, services: &Services) -> Result<Ports, String> {
    let wrong = |one: &str| format!("{one} is neither a port nor a service of this system");
    let mut ports = Vec::new();
    for one in text.split(',').take(64) {
        let range = match one.split_once(':') {
            None => services.port(one).map(|port| (port, port)),
            Some((first, last)) => {
                let first = if first.is_empty() { Some(0) } else { services.port(first) };
                let last = if last.is_empty() { Some(u16::MAX) } else { services.port(last) };
                first.zip(last)
            }
        };
        match range {
            Some((first, last)) if first <= last => ports.push((first, last)),
            _ => return Err(wrong(one)),
        }
    }
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

/// Networks in a list, or a name.
fn addresses(text: &str, family: Family, negated: bool) -> Result<Option<AddressMatch>, String> {
    let mut networks = Vec::new();
    for one in text.split(',').take(256) {
        match network(one, family) {
            Some(network) => networks.push(network),
            None if one.parse::<IpAddr>().is_ok_and(|address| !is_of(&address, family)) => {
                return Err(format!("{} refuses the address {one}", family.iptables()));
            }
            None if one.contains(['/', ':']) || text.contains(',') || negated => {
                return Err(format!("{one} is not a network that {} takes", family.iptables()));
            }
            None => return Ok(Some(AddressMatch::Name(one.to_owned()))),
        }
    }
    if networks.iter().any(|network| network.prefix_len() == 0) {
        return if negated { Err("it matches no address".to_owned()) } else { Ok(None) };
    }
    networks.sort_unstable();
    Ok(Some(if negated { AddressMatch::But(networks) } else { AddressMatch::Networks(networks) }))
}

const fn is_of(address: &IpAddr, family: Family) -> bool {
    match family {
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    }
}

fn network(text: &str, family: Family) -> Option<IpNet> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = match (address, family) {
        ("0" | "any" | "anywhere", Family::V4) => [0; 4].into(),
        ("0" | "any" | "anywhere", Family::V6) => [0_u16; 8].into(),
        (address, _) => address.parse().ok().filter(|address| is_of(address, family))?,
    };
    let net = match length {
        None if text == "any" || text == "anywhere" => IpNet::new(address, 0).ok()?,
        None => address.into(),
        Some(length) => match length.parse() {
            Ok(length) => IpNet::new(address, length).ok()?,
            Err(_) => IpNet::with_netmask(address, length.parse().ok()?).ok()?,
        },
    };
    Some(net.trunc())
}

/// Chains that other programs fill.
const OF_OTHERS: [&str; 10] =
    ["ufw", "DOCKER", "f2b-", "fail2ban", "LIBVIRT", "CNI-", "KUBE-", "NETAVARK", "ts-", "IN_"];

/// Whether another program fills the chain of this name.
pub(super) fn is_of_another_program(chain: &str) -> bool {
    let ours = ["DOCKER-USER", "DOCKER_VPN_KILL_SWITCH"].contains(&chain);
    !ours && OF_OTHERS.iter().any(|name| chain.starts_with(name))
}
