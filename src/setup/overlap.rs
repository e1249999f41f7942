//! Whether a rule that refuses matches packets of a rule that accepts. If in doubt, it does.

use ipnet::IpNet;

use super::rule::{AddressMatch, Device, Ports, Rule};

/// How many of the packets that a rule accepts are refused by an earlier rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Overlap {
    None,
    Part,
    Whole,
}

pub(super) fn overlap(refusal: &Rule, accept: &Rule) -> Overlap {
    // These packets belong to no connection, or are malformed. Refusing them stops no program.
    let invalid = refusal.states.as_ref().is_some_and(|states| !states.contains("NEW"));
    let malformed = |text: &String| text.contains("--tcp-flags") || text.contains("--syn");
    if invalid || refusal.narrower.iter().any(malformed) || are_disjoint(refusal, accept) {
        return Overlap::None;
    }
    let whole = covers(&refusal.input, &accept.input)
        && covers(&refusal.output, &accept.output)
        && covers(&refusal.from, &accept.from)
        && covers(&refusal.to, &accept.to)
        && covers(&refusal.protocol, &accept.protocol)
        && covers(&refusal.ports, &accept.ports)
        && covers(&refusal.source_ports, &accept.source_ports)
        && covers(&refusal.owner, &accept.owner)
        && refusal.states.is_none()
        && refusal.narrower.is_empty();
    if whole { Overlap::Whole } else { Overlap::Part }
}

fn covers<T: PartialEq>(outer: &Option<T>, inner: &Option<T>) -> bool {
    outer.is_none() || outer == inner
}

/// Whether no packet can match both rules.
fn are_disjoint(one: &Rule, other: &Rule) -> bool {
    let protocols = matches!((&one.protocol, &other.protocol), (Some(a), Some(b)) if a != b);
    let owners = matches!((&one.owner, &other.owner), (Some(a), Some(b)) if a != b);
    protocols
        || owners
        || both(&one.input, &other.input, devices_are_disjoint)
        || both(&one.output, &other.output, devices_are_disjoint)
        || both(&one.from, &other.from, addresses_are_disjoint)
        || both(&one.to, &other.to, addresses_are_disjoint)
        || both(&one.ports, &other.ports, ports_are_disjoint)
        || both(&one.source_ports, &other.source_ports, ports_are_disjoint)
}

fn both<T>(one: &Option<T>, other: &Option<T>, are_disjoint: impl Fn(&T, &T) -> bool) -> bool {
    matches!((one, other), (Some(one), Some(other)) if are_disjoint(one, other))
}

/// Whether `outer` matches every name that `inner` matches; `+` at the end matches anything.
fn within(inner: &str, outer: &str) -> bool {
    match outer.strip_suffix('+') {
        Some(stem) => inner.trim_end_matches('+').starts_with(stem),
        None => inner == outer,
    }
}

fn devices_are_disjoint(one: &Device, other: &Device) -> bool {
    match (one.but, other.but) {
        (false, false) => !within(&one.name, &other.name) && !within(&other.name, &one.name),
        (true, false) => within(&other.name, &one.name),
        (false, true) => within(&one.name, &other.name),
        (true, true) => false,
    }
}

fn addresses_are_disjoint(one: &AddressMatch, other: &AddressMatch) -> bool {
    let in_any = |net: &IpNet, nets: &[IpNet]| nets.iter().any(|outer| outer.contains(net));
    match (one, other) {
        (AddressMatch::Networks(a), AddressMatch::Networks(b)) => {
            !a.iter().any(|net| in_any(net, b)) && !b.iter().any(|net| in_any(net, a))
        }
        (AddressMatch::But(but), AddressMatch::Networks(nets))
        | (AddressMatch::Networks(nets), AddressMatch::But(but)) => nets.iter().all(|net| in_any(net, but)),
        (AddressMatch::But(_), AddressMatch::But(_))
        | (AddressMatch::Name(_), _)
        | (_, AddressMatch::Name(_)) => false,
    }
}

fn ports_are_disjoint(one: &Ports, other: &Ports) -> bool {
    !one.iter().any(|(first, last)| other.iter().any(|(from, to)| first <= to && from <= last))
}
