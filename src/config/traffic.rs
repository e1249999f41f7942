//! Rules of traffic: the entries of `tunnel.allow`, `docker.allow` and `input.allow`.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;

use super::item::{Empty, Item, Section};
use super::schema::{net, no_port};
use super::words::Protocol;
use super::{Inbound, InboundOn, Traffic, TrafficRule};
use crate::net::{Port, PortRange};

/// `tunnel.allow` and `docker.allow`
pub(super) fn traffic(item: Item<'_>) -> Option<Traffic> {
    let example = "[{ protocol = \"tcp\", ports = [443, 80] }, { protocol = \"icmp\" }]";
    item.word_or("any", Some(example), Traffic::Any, |item| {
        item.list(Empty::Allowed, listed_rule).map(Traffic::Listed)
    })
}

/// An entry of `tunnel.allow` or `docker.allow`. It may name the destination of its traffic.
fn listed_rule(item: Item<'_>) -> Option<TrafficRule> {
    let section =
        item.table("a rule", &["protocol", "ports", "to"], "{ protocol = \"tcp\", ports = [443, 80] }")?;
    section.refuse_others(|_| None);
    let traffic = rule(&section);
    let to = match section.get("to") {
        Some(to) if is_everywhere(to) => {
            return to.wrong("`to` takes a network", "leave `to` out for every address");
        }
        Some(to) => Some(to.text(net)?),
        None => None,
    };
    Some(match to {
        Some(net) => TrafficRule::To(net, Box::new(traffic?)),
        None => traffic?,
    })
}

/// An entry of `input.allow`.
pub(super) fn inbound(item: Item<'_>) -> Option<Inbound> {
    let example = "{ protocol = \"tcp\", ports = [22], from = \"192.168.0.0/16\" }";
    let section = item.table("an inbound rule", &["protocol", "ports", "from", "on"], example)?;
    section.refuse_others(|_| None);
    let traffic = rule(&section);
    let from = match section.get("from") {
        Some(from) if is_everywhere(from) => {
            return from.wrong("`from` takes a network", "leave `from` out for every address");
        }
        Some(from) => Some(from.text(net)?),
        None => None,
    };
    let on = section.get("on").map_or(Some(InboundOn::default()), Item::word)?;
    Some(Inbound { traffic: traffic?, from, on })
}

fn is_everywhere(item: Item<'_>) -> bool {
    matches!(item.as_text(), Some("any" | "all" | "*" | "everywhere"))
}

/// Reads `protocol` and `ports`. Without `ports` the rule applies to all ports.
fn rule(section: &Section<'_>) -> Option<TrafficRule> {
    let protocol = section.require("protocol", "add protocol = \"tcp\", \"udp\" or \"icmp\"");
    let protocol: Option<Protocol> = protocol.and_then(Item::word);
    let ports = section.get("ports");
    match (protocol, ports) {
        (Some(Protocol::Icmp), Some(ports)) => {
            ports.wrong("ICMP has no ports", "remove `ports`, or write protocol = \"tcp\" or \"udp\"")
        }
        (Some(Protocol::Icmp), None) => Some(TrafficRule::Icmp),
        (Some(Protocol::Ports(transport)), None) => Some(TrafficRule::Ports(transport, Vec::new())),
        (None, None) => None,
        (protocol, Some(ports)) => {
            let no_port = "name at least one port, or leave `ports` out for all of them";
            let ports = ports.list(Empty::Refused(no_port), port_range)?;
            match protocol? {
                Protocol::Ports(transport) => Some(TrafficRule::Ports(transport, ports)),
                Protocol::Icmp => None,
            }
        }
    }
}

fn port_range(item: Item<'_>) -> Option<PortRange> {
    let hint = "write a port as 443, a range as \"6000-6007\"";
    match (item.as_number(), item.as_text()) {
        (Some(number), _) => match Port::try_from(number) {
            Ok(port) => Some(port.into()),
            Err(_) => no_port(item, &number.to_string()),
        },
        (None, Some(text)) => {
            let deserializer = IntoDeserializer::<ValueError>::into_deserializer(text);
            match PortRange::deserialize(deserializer) {
                Ok(range) => Some(range),
                Err(error) => item.wrong(error.to_string(), hint),
            }
        }
        (None, None) => item.wrong("an entry of `ports` is a port or a range of them", hint),
    }
}
