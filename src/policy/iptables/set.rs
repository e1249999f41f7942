//! The text that `ipset -exist restore` takes.
//!
//! The members go into a second set, which then changes places with the one that rules may name. So no packet
//! meets half a set.

use crate::net::{Endpoint, Family};
use crate::policy::{EndpointSet, Ruleset};

/// The maximum number of members where none is given (ipset(8), `maxelem`).
const USUAL_MAXIMUM: usize = 65_536;

/// The type of our sets.
pub const TYPE: &str = "hash:ip,port";

/// The restore text of one set, also where the kernel holds it already.
pub fn render(set: &EndpointSet) -> String {
    let name = set.name();
    let beside = format!("{name}_NEW");
    let count = set.members().len();
    // Room from the start: growing takes as long as everything else together.
    let (buckets, maximum) = (count.next_power_of_two() / 2, count.max(USUAL_MAXIMUM));
    let family = family(set);
    let create = |name: &str| {
        format!("create {name} {TYPE} {family} hashsize {} maxelem {maximum}\n", buckets.max(64))
    };
    let mut text = create(&beside);
    // An earlier run may have left it half filled.
    text += &format!("flush {beside}\n");
    text.extend(set.members().iter().map(|member| format!("add {beside} {}\n", member_text(member))));
    text += &create(&name.to_string());
    text += &format!("swap {beside} {name}\ndestroy {beside}\n");
    text
}

/// The restore text of every set of a ruleset: what `rules` prints.
pub fn render_all(ruleset: &Ruleset) -> String {
    ruleset.sets.iter().map(render).collect()
}

/// How ipset names a family.
pub fn family(set: &EndpointSet) -> &'static str {
    match set.name().family() {
        Family::V4 => "family inet",
        Family::V6 => "family inet6",
    }
}

/// A member as ipset writes it: `198.51.100.7,udp:1194`.
pub fn member_text(member: &Endpoint) -> String {
    format!("{},{}:{}", member.address(), member.transport(), member.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_set_is_filled_and_changes_places_last() {
        let endpoints = ["198.51.100.7:1194/udp", "198.51.100.8:443/tcp", "[2001:db8::1]:1194/udp"];
        let set = EndpointSet::new(Family::V4, endpoints.map(|text| text.parse().unwrap()));
        let name = set.name();
        let expected = format!(
            "create {name}_NEW hash:ip,port family inet hashsize 64 maxelem 65536\n\
             flush {name}_NEW\n\
             add {name}_NEW 198.51.100.7,udp:1194\n\
             add {name}_NEW 198.51.100.8,tcp:443\n\
             create {name} hash:ip,port family inet hashsize 64 maxelem 65536\n\
             swap {name}_NEW {name}\n\
             destroy {name}_NEW\n"
        );
        assert_eq!(render(&set), expected);
    }
}
