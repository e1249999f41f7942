//! Reads the sets in the output of `ipset save`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::layout::Field;
use super::rule::Match;
use crate::net::Family;

/// Sets by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sets(BTreeMap<String, Set>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    /// The parts of an element, for example `ip,port`.
    parts: Vec<String>,
    /// The elements; `None` if the model does not understand one of them.
    elements: Option<Vec<String>>,
}

impl Sets {
    /// Reads what `ipset save` prints. A set that is not understood counts as unknown.
    pub(super) fn parse(listing: &str) -> Self {
        let mut sets = BTreeMap::new();
        for line in listing.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["create", name, kind, ..] => {
                    let kind = kind.split_once(':').map_or("", |(_, parts)| parts);
                    let parts = kind.split(',').map(ToOwned::to_owned).collect();
                    sets.insert(name.to_owned(), Set { parts, elements: Some(Vec::new()) });
                }
                // An element with options, such as `nomatch` or `timeout`, may not count, so the set is unknown.
                ["add", name, element] => {
                    let elements = sets.get_mut(name).and_then(|set: &mut Set| set.elements.as_mut());
                    elements.into_iter().for_each(|elements| elements.push(element.to_owned()));
                }
                ["add", name, ..] => sets.get_mut(name).into_iter().for_each(|set| set.elements = None),
                _ => {}
            }
        }
        Self(sets)
    }

    /// The condition that a packet is in a set, by these parts of the packet (`src` and `dst`); `None` if that is not
    /// known.
    pub(super) fn matches(&self, name: &str, parts: &str, family: Family) -> Option<Match> {
        let set = self.0.get(name)?;
        let sides: Vec<&str> = parts.split(',').collect();
        let element = |text: &String| element(set, &sides, text, family);
        Some(Match::Any(set.elements.as_ref()?.iter().map(element).collect::<Option<_>>()?))
    }
}

fn element(set: &Set, sides: &[&str], text: &str, family: Family) -> Option<Vec<Match>> {
    let values: Vec<&str> = text.split(',').collect();
    if values.len() != set.parts.len() || sides.len() < values.len() {
        return None;
    }
    let mut matches = Vec::new();
    for ((part, value), side) in set.parts.iter().zip(values).zip(sides) {
        match (part.as_str(), *side) {
            ("ip" | "net", side) => {
                let net: IpNet = match value.parse() {
                    Ok(net) => net,
                    Err(_) => IpNet::from(value.parse::<IpAddr>().ok()?),
                };
                if Family::of(net.addr()) != family {
                    return None;
                }
                matches.push(match side {
                    "dst" => Match::to(&net),
                    "src" => Match::from(&net),
                    _ => return None,
                });
            }
            ("port", side) => {
                let (protocol, port) = value.split_once(':')?;
                let number = match protocol {
                    "tcp" => 6,
                    "udp" => 17,
                    _ => return None,
                };
                let port: u16 = port.parse().ok()?;
                let field = if side == "dst" { Field::DestinationPort } else { Field::SourcePort };
                matches.push(Match::protocol(number));
                matches.extend(Match::port(field, [port, port]));
            }
            _ => return None,
        }
    }
    Some(matches)
}
