//! What a rule of a script means for the configuration: a key, nothing new, or something that no key can express.

use super::chains::{Direction, Effective};
use super::machine::{DeviceKind, Machine};
use super::outside::outside;
use super::overlap::Overlap;
use super::piece::{Meaning, Piece, covered, left, too_narrow};
use super::rule::{AddressMatch, Ports, Protocol, Rule, Target, is_of_another_program};
use crate::config::{Inbound, InboundOn, TrafficRule};
use crate::net::{IfPattern, Port, PortRange, Transport};
use ipnet::IpNet;

/// The meaning of a rule; `None` if no packet of its chain can match it.
pub(super) fn meaning(found: &Effective, machine: &Machine) -> Option<Meaning> {
    let rule = &found.rule;
    let impossible = match found.direction {
        Direction::Input => rule.output.is_some(),
        Direction::Output => rule.input.is_some(),
        Direction::Forward => false,
    };
    if impossible {
        return None;
    }
    Some(match &rule.target {
        Target::Accept => accepted(found, machine),
        Target::Refuse => covered("everything that is not allowed is refused anyway"),
        Target::Return => covered("it only returns to the calling chain"),
        Target::None => covered("it only counts packets"),
        Target::Continue(name) if matches!(Target::named(name), Target::Continue(_)) => {
            left(format!("{name} changes or logs packets, and no key can do that"))
        }
        Target::Continue(name) => {
            left(format!("{name} is a chain whose rules were not found, or a target that no key can express"))
        }
        Target::Chain(chain) => jump(chain),
    })
}

fn jump(chain: &str) -> Meaning {
    if is_of_another_program(chain) {
        return left(format!("the chain {chain} belongs to another program"));
    }
    covered(format!("it jumps to {chain}, whose rules are listed separately"))
}

fn accepted(found: &Effective, machine: &Machine) -> Meaning {
    let rule = &found.rule;
    let kind = |device: &Option<super::rule::Device>| {
        device.as_ref().filter(|device| !device.but).map(|device| machine.device(&device.name))
    };
    let (from, to) = (kind(&rule.input), kind(&rule.output));
    if [from, to].contains(&Some(DeviceKind::Loopback)) {
        return covered("loopback is always open");
    }
    match &found.refused {
        Some((Overlap::Whole, _)) => return covered("an earlier rule refuses all of it"),
        Some((Overlap::Part, origin)) => {
            return left(format!(
                "an earlier rule refuses a part of it (line {}: {}), and no key can express this",
                origin.line, origin.text
            ));
        }
        Some((Overlap::None, _)) | None => {}
    }
    if let Some(states) = &rule.states
        && !states.contains("NEW")
    {
        return match found.direction {
            Direction::Output if !matches!(to, Some(DeviceKind::Tunnel)) => left(
                "it allows open connections to continue in clear; replies to incoming connections pass anyway",
            ),
            Direction::Output | Direction::Input | Direction::Forward => covered("replies always pass"),
        };
    }
    if let Some(meaning) = of_the_link(rule) {
        return meaning;
    }
    if rule.input.as_ref().or(rule.output.as_ref()).is_some_and(|device| device.but) {
        return left("it allows every interface except one, so packets would leave in clear");
    }
    match found.direction {
        Direction::Input => inbound(rule, from, machine),
        Direction::Output => outbound(rule, to, machine),
        Direction::Forward => forwarded(rule, from, to),
    }
}

/// Traffic that every network needs, so every configuration allows it.
fn of_the_link(rule: &Rule) -> Option<Meaning> {
    let only = |ports: &Option<Ports>, those: &[u16]| {
        ports.as_ref().is_some_and(|list| {
            !list.is_empty() && list.iter().all(|(first, last)| first == last && those.contains(first))
        })
    };
    let udp = rule.protocol == Some(Protocol::Udp);
    let dhcp = only(&rule.ports, &[67, 68, 546, 547]);
    let both = only(&rule.ports, &[67, 68]) && only(&rule.source_ports, &[67, 68]);
    if udp && (dhcp || both) {
        return Some(covered("DHCP always passes"));
    }
    let multicast = |place: &Option<AddressMatch>| match place {
        Some(AddressMatch::Networks(nets)) => nets.iter().all(|net| net.addr().is_multicast()),
        Some(AddressMatch::But(_) | AddressMatch::Name(_)) | None => false,
    };
    if multicast(&rule.to) && (udp && only(&rule.ports, &[1900, 5353])) {
        return Some(covered("lan.multicast allows discovery"));
    }
    if matches!(&rule.protocol, Some(Protocol::Other(name)) if name == "igmp" || name == "2") {
        return Some(covered("lan.multicast allows IGMP"));
    }
    let neighbours = ["133", "134", "135", "136", "137", "143", "router-", "neighbo", "redirect"];
    let discovery = |text: &String| {
        text.strip_prefix("--icmpv6-type ")
            .is_some_and(|kind| neighbours.iter().any(|one| kind.starts_with(one)))
    };
    (rule.narrower.iter().any(discovery)).then(|| covered("neighbour discovery always passes"))
}

fn outbound(rule: &Rule, to: Option<DeviceKind>, machine: &Machine) -> Meaning {
    match to {
        Some(DeviceKind::Tunnel) => through_tunnel(rule, Piece::Tunnel),
        Some(DeviceKind::Bridge) => covered("this machine always reaches its own containers"),
        Some(DeviceKind::Unknown) => match outside(rule, machine) {
            Meaning::LeftOut(_) => ask(rule),
            other @ (Meaning::Pieces(_) | Meaning::Covered(_) | Meaning::Ask(_)) => other,
        },
        Some(DeviceKind::Card | DeviceKind::Loopback) | None => outside(rule, machine),
    }
}

/// Asks the user about the interface of a rule, unless no interface can have this name: iptables has no pattern `tun*`.
fn ask(rule: &Rule) -> Meaning {
    let name = name(rule);
    match name.parse::<IfPattern>() {
        Ok(_) => Meaning::Ask(name),
        Err(error) => left(format!("it matches no interface: {error}")),
    }
}

fn name(rule: &Rule) -> String {
    rule.output.as_ref().map_or(String::new(), |device| device.name.clone())
}

type MakePiece = fn(IfPattern, Option<TrafficRule>) -> Piece;

fn through_tunnel(rule: &Rule, piece: MakePiece) -> Meaning {
    if let Some(why) = too_narrow(rule) {
        return left(why);
    }
    if rule.owner.is_some() || rule.from.is_some() {
        return left("it applies to one user or one source address, and tunnel.allow cannot express this");
    }
    let Ok(pattern): Result<IfPattern, _> = name(rule).parse() else { return left("it names no interface") };
    let traffic = match traffic(rule) {
        Ok(traffic) => traffic,
        Err(why) => return left(why),
    };
    match &rule.to {
        None => Meaning::Pieces(vec![piece(pattern, traffic)]),
        Some(AddressMatch::Networks(nets)) => {
            let kinds = traffic.map_or_else(every_kind, |kind| vec![kind]);
            let to = |net: &IpNet| {
                let net = *net;
                kinds.iter().map(move |kind| TrafficRule::To(net, Box::new(kind.clone())))
            };
            let all = nets.iter().flat_map(to);
            Meaning::Pieces(all.map(|rule| piece(pattern.clone(), Some(rule))).collect())
        }
        Some(AddressMatch::But(_) | AddressMatch::Name(_)) => {
            left("it applies to some destinations, and no key can express this")
        }
    }
}

/// Rules that together match TCP, UDP and ICMP.
fn every_kind() -> Vec<TrafficRule> {
    let all = |transport| TrafficRule::Ports(transport, Vec::new());
    vec![all(Transport::Tcp), all(Transport::Udp), TrafficRule::Icmp]
}

/// The traffic that the rule matches; `None` for all traffic.
fn traffic(rule: &Rule) -> Result<Option<TrafficRule>, &'static str> {
    let transport = match (&rule.protocol, &rule.ports) {
        (None, None) => return Ok(None),
        (Some(Protocol::Icmp), None) => return Ok(Some(TrafficRule::Icmp)),
        (Some(Protocol::Tcp), _) => Transport::Tcp,
        (Some(Protocol::Udp), _) => Transport::Udp,
        (None | Some(Protocol::Icmp | Protocol::Other(_)), _) => {
            return Err("its protocol is not one that a key can name (tcp, udp, icmp)");
        }
    };
    let ports = rule.ports.iter().flatten().map(|&(first, last)| range(first, last));
    let ports: Option<Vec<PortRange>> = ports.collect();
    Ok(Some(TrafficRule::Ports(transport, ports.ok_or("it names port 0")?)))
}

fn range(first: u16, last: u16) -> Option<PortRange> {
    let port = |number: u16| Port::try_from(i64::from(number)).ok();
    PortRange::between(port(first.max(u16::from(last > 0)))?, port(last)?)
}

fn inbound(rule: &Rule, from: Option<DeviceKind>, machine: &Machine) -> Meaning {
    if rule.source_ports.is_some() && rule.ports.is_none() && rule.states.is_none() {
        return covered("replies come in anyway");
    }
    if let Some(why) = too_narrow(rule) {
        return left(why);
    }
    match from {
        Some(DeviceKind::Bridge) => {
            return left("it applies to containers only, and input.allow cannot express this");
        }
        Some(DeviceKind::Tunnel | DeviceKind::Unknown) => {
            return left(
                "it allows incoming connections through the VPN; for a port that your VPN forwards, add \
                 on = \"tunnel\" to a rule of input.allow",
            );
        }
        Some(DeviceKind::Card) if rule.from.is_none() => {
            let name = rule.input.as_ref().map(|device| device.name.as_str());
            if machine.cards().any(|card| Some(card) != name) {
                return left(
                    "it applies to one network card, and input.allow applies to all; name the network with `from`",
                );
            }
        }
        Some(DeviceKind::Card | DeviceKind::Loopback) | None => {}
    }
    if rule.to.is_some() {
        return left("it applies to one address of this machine, and input.allow cannot express this");
    }
    let sources: Vec<Option<IpNet>> = match &rule.from {
        None => vec![None],
        Some(AddressMatch::Networks(nets)) => nets.iter().copied().map(Some).collect(),
        Some(AddressMatch::But(_) | AddressMatch::Name(_)) => return left("its source is not a network"),
    };
    let kinds = match traffic(rule) {
        Err(why) => return left(why),
        Ok(Some(TrafficRule::Ports(_, ports))) if ports.is_empty() && rule.from.is_none() => {
            return left("it allows all incoming connections from everywhere");
        }
        Ok(Some(kind)) => vec![kind],
        Ok(None) if rule.from.is_none() => return left("it allows all incoming connections from everywhere"),
        Ok(None) => every_kind(),
    };
    let of = |from: Option<IpNet>| {
        kinds
            .iter()
            .map(move |traffic| Piece::Input(Inbound { traffic: traffic.clone(), from, on: InboundOn::Any }))
    };
    Meaning::Pieces(sources.into_iter().flat_map(of).collect())
}

fn forwarded(rule: &Rule, from: Option<DeviceKind>, to: Option<DeviceKind>) -> Meaning {
    match (from, to) {
        (Some(DeviceKind::Bridge), Some(DeviceKind::Bridge)) => {
            covered("Docker's own rules decide between containers")
        }
        (None | Some(DeviceKind::Bridge), Some(DeviceKind::Tunnel)) => through_tunnel(rule, Piece::Docker),
        (None | Some(DeviceKind::Bridge), Some(DeviceKind::Unknown)) => ask(rule),
        (Some(DeviceKind::Tunnel), _) => left(
            "it allows connections from the VPN to containers; for a port that your VPN forwards, name the container \
                 in docker.forwarded",
        ),
        (Some(DeviceKind::Card), Some(DeviceKind::Tunnel)) => {
            left("it lets other machines use the VPN of this machine, and no key can do that")
        }
        (_, Some(DeviceKind::Card)) => left("it allows containers to send in clear"),
        _ if matches!(&rule.to, Some(AddressMatch::Networks(nets)) if nets.iter().all(crate::net::is_private)) => {
            left(
                "it allows containers to reach the LAN; docker.networks = { NAME = \"lan\" } does this for one network",
            )
        }
        _ => left("it allows containers to send in clear"),
    }
}
