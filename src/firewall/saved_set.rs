//! Parses what `ipset save` prints of one set, and compares it with ours. Pure.

use std::collections::BTreeSet;

use crate::net::{Endpoint, Port};
use crate::policy::EndpointSet;
use crate::policy::iptables::set::{TYPE, family, member_text};

/// Maximum number of differing members that are named. The rest is counted.
const NAMED: usize = 5;

/// A set in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SavedSet {
    /// Its type and options.
    header: String,
    members: BTreeSet<Endpoint>,
    /// Members that are not endpoints, so not ours.
    foreign: Vec<String>,
}

impl SavedSet {
    /// Parses the output of `ipset save NAME`; `None` if a line is not understood.
    pub(crate) fn parse(name: &str, text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let header = lines.next()?.strip_prefix("create ")?.strip_prefix(name)?.strip_prefix(' ')?;
        let mut saved = Self { header: header.to_owned(), ..Self::default() };
        for line in lines {
            let member = line.strip_prefix("add ")?.strip_prefix(name)?.strip_prefix(' ')?;
            match endpoint(member) {
                Some(endpoint) => drop(saved.members.insert(endpoint)),
                None => saved.foreign.push(member.to_owned()),
            }
        }
        Some(saved)
    }

    /// Every difference from `set`, one line each.
    pub(crate) fn differences(&self, set: &EndpointSet) -> Vec<String> {
        if !self.header.starts_with(&format!("{TYPE} {} ", family(set))) {
            return vec![format!("it is another kind of set: {}", self.header)];
        }
        let missing: Vec<String> = set.members().difference(&self.members).map(member_text).collect();
        let mut foreign: Vec<String> = self.members.difference(set.members()).map(member_text).collect();
        foreign.extend(self.foreign.iter().cloned());
        [("missing", missing), ("foreign", foreign)]
            .into_iter()
            .flat_map(|(what, which)| few(what, &which))
            .collect()
    }
}

fn few(what: &str, members: &[String]) -> Vec<String> {
    let mut lines: Vec<String> =
        members.iter().take(NAMED).map(|member| format!("{what}: {member}")).collect();
    if members.len() > NAMED {
        lines.push(format!("{what}: {} more", members.len() - NAMED));
    }
    lines
}

/// `198.51.100.7,udp:1194`, and nothing behind it.
fn endpoint(member: &str) -> Option<Endpoint> {
    let (address, rest) = member.split_once(',')?;
    let (transport, port) = rest.split_once(':')?;
    let port = Port::try_from(port.parse::<i64>().ok()?).ok()?;
    Endpoint::new(address.parse().ok()?, transport.parse().ok()?, port).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;

    fn ours() -> EndpointSet {
        let texts = ["198.51.100.7:1194/udp", "198.51.100.8:443/tcp"];
        EndpointSet::new(Family::V4, texts.map(|text| text.parse().unwrap()))
    }

    fn differences(lines: &[&str]) -> Vec<String> {
        SavedSet::parse("NAME", &lines.join("\n")).unwrap().differences(&ours())
    }

    const HEADER: &str = "create NAME hash:ip,port family inet hashsize 64 maxelem 65536 initval 0x1";

    #[test]
    fn nonsense_is_not_trusted() {
        let other = format!("{HEADER}\nadd OTHER 198.51.100.7,udp:1194");
        for bad in
            ["", "create OTHER hash:ip", "add NAME 198.51.100.7,udp:1194", &other, "create NAMEX hash:ip"]
        {
            assert_eq!(SavedSet::parse("NAME", bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_same_members_in_another_order_are_the_same() {
        let same = [HEADER, "add NAME 198.51.100.8,tcp:443", "add NAME 198.51.100.7,udp:1194"];
        assert_eq!(differences(&same), [""; 0]);
    }

    #[test]
    fn missing_and_foreign_members_are_listed() {
        let lines = [
            HEADER,
            "add NAME 198.51.100.7,udp:1194",
            "add NAME 203.0.113.9,udp:1194",
            "add NAME 198.51.100.8,tcp:443 timeout 0",
            "add NAME 0.0.0.0,icmp:0/0",
        ];
        let expected = [
            "missing: 198.51.100.8,tcp:443",
            "foreign: 203.0.113.9,udp:1194",
            "foreign: 198.51.100.8,tcp:443 timeout 0",
            "foreign: 0.0.0.0,icmp:0/0",
        ];
        assert_eq!(differences(&lines), expected);
    }

    #[test]
    fn only_some_of_many_members_are_named() {
        let many = (1..=200).map(|n| format!("add NAME 203.0.113.{n},udp:1194"));
        let lines: Vec<String> = std::iter::once(HEADER.to_owned()).chain(many).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let said = differences(&lines);
        assert_eq!((said.len(), said.last().map(String::as_str)), (2 + 6, Some("foreign: 195 more")));
    }

    #[test]
    fn a_set_of_another_type_is_a_difference() {
        let other = "create NAME hash:ip,port family inet6 hashsize 64";
        assert_eq!(differences(&[other]).len(), 1);
        assert_eq!(differences(&["create NAME hash:net family inet"]).len(), 1);
    }
}
