//! The options of a rule as conditions (iptables(8), iptables-extensions(8)).

use ipnet::IpNet;

use crate::model::layout::Field;
use crate::model::rule::{Match, Way};
use crate::model::sets::Sets;
use crate::net::Family;

/// All conditions of a rule; `None` if an option has no value although it needs one.
pub(super) fn matches(words: &[String], family: Family, sets: &Sets) -> Option<Vec<Match>> {
    let mut reader =
        Reader { family, sets, module: String::new(), asked: Asked::Nothing, matches: Vec::new() };
    let mut rest = words;
    while let Some((first, mut after)) = rest.split_first() {
        let negated = first == "!";
        let mut option = first;
        if negated {
            (option, after) = after.split_first()?;
        }
        // The values of an option are the words before the next one.
        let end = after.iter().position(|word| word == "!" || word.starts_with('-')).unwrap_or(after.len());
        let (values, next) = after.split_at(end);
        rest = next;
        reader.option(option, values, negated)?;
    }
    Some(reader.matches)
}

/// Modules whose conditions are only their options and `-p`.
const KNOWN: [&str; 20] = [
    "",
    "tcp",
    "udp",
    "udplite",
    "sctp",
    "dccp",
    "multiport",
    "icmp",
    "icmp6",
    "ttl",
    "hl",
    "mark",
    "owner",
    "conntrack",
    "state",
    "set",
    "recent",
    "time",
    "comment",
    "addrtype",
];

/// What the options of one `-m conntrack` have tested so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    State,
    /// Something other than the state.
    Other,
}

struct Reader<'a> {
    family: Family,
    sets: &'a Sets,
    /// The module that the last `-m` names.
    module: String,
    /// What the options of this module have tested.
    asked: Asked,
    matches: Vec<Match>,
}

impl Reader<'_> {
    fn option(&mut self, option: &str, values: &[String], negated: bool) -> Option<()> {
        if option == "-m" {
            values.first()?.clone_into(&mut self.module);
            self.asked = Asked::Nothing;
            self.matches.extend((!self.is_known()).then(|| Match::Unknown(format!("-m {}", self.module))));
            return Some(());
        }
        let known = self.known(option, values);
        let all = match known {
            Some(matches) => matches,
            None if option == "--comment" || !self.is_known() => return Some(()),
            None => vec![Match::Unknown(format!("-m {} {option}", self.module).replace("-m  ", ""))],
        };
        let all = match (negated, all.len()) {
            (false, _) => all,
            (true, 1) => all.into_iter().map(Match::not).collect(),
            (true, _) => vec![Match::Any(vec![all]).not()],
        };
        let all = if option.starts_with("--ct") { self.of_connection(option, all) } else { all };
        self.matches.extend(all);
        Some(())
    }

    /// A packet without a connection has only a state. A match that tests something else, and no state, does not hold
    /// for such a packet.
    fn of_connection(&mut self, option: &str, mut all: Vec<Match>) -> Vec<Match> {
        match (option, self.asked) {
            ("--ctstate", Asked::Nothing | Asked::State) => self.asked = Asked::State,
            // iptables prints the state first.
            ("--ctstate", Asked::Other) => all.push(Match::Unknown("-m conntrack".to_owned())),
            (_, Asked::State) => {
                all.extend(Match::tracked());
                let without = [1, 64].map(|state| vec![Match::is(Field::State, state)]);
                all = vec![Match::Any([&[all][..], &without].concat())];
            }
            (_, Asked::Nothing | Asked::Other) => {
                self.asked = Asked::Other;
                all.extend(Match::tracked());
            }
        }
        all
    }

    /// Whether the module has no conditions except its options and the protocol that `-p` names.
    fn is_known(&self) -> bool {
        KNOWN.contains(&self.module.as_str())
    }

    /// The conditions of an option; `None` if the model does not know it.
    fn known(&self, option: &str, values: &[String]) -> Option<Vec<Match>> {
        let value = values.first().map(String::as_str);
        let one = |found: Match| Some(vec![found]);
        match (self.module.as_str(), option) {
            (_, "-s") => one(Match::from(&self.net(value?)?)),
            (_, "-d") => one(Match::to(&self.net(value?)?)),
            (_, "-i") => one(Match::Name(Way::In, name(value?))),
            (_, "-o") => one(Match::Name(Way::Out, name(value?))),
            (_, "-p") => one(Match::protocol(protocol(value?)?)),
            (_, "-f") => one(Match::later_fragment(self.family)),
            ("tcp" | "udp" | "udplite" | "sctp" | "dccp", "--sport") => port(Field::SourcePort, value?),
            ("tcp" | "udp" | "udplite" | "sctp" | "dccp", "--dport") => port(Field::DestinationPort, value?),
            ("multiport", "--sports") => one(any_port(&[Field::SourcePort], value?)?),
            ("multiport", "--dports") => one(any_port(&[Field::DestinationPort], value?)?),
            ("multiport", "--ports") => one(any_port(&[Field::SourcePort, Field::DestinationPort], value?)?),
            ("icmp", "--icmp-type") | ("icmp6", "--icmpv6-type") => icmp(value?),
            ("ttl", "--ttl-eq") | ("hl", "--hl-eq") => self.hops(value?, |limit| Some([limit, limit])),
            ("ttl", "--ttl-lt") | ("hl", "--hl-lt") => {
                self.hops(value?, |limit| Some([0, limit.checked_sub(1)?]))
            }
            ("ttl", "--ttl-gt") | ("hl", "--hl-gt") => {
                self.hops(value?, |limit| Some([limit.checked_add(1)?, u8::MAX]))
            }
            ("mark", "--mark") => one(mark(value?)?),
            ("owner", "--uid-owner") => users(value?),
            ("owner", "--socket-exists") => one(Match::is(Field::Socket, 1)),
            ("conntrack", "--ctstate") | ("state", "--state") => one(states(value?)?),
            ("conntrack", "--ctdir") => match value? {
                "ORIGINAL" => one(Match::is(Field::Direction, 0)),
                "REPLY" => one(Match::is(Field::Direction, 1)),
                _ => None,
            },
            ("conntrack", "--ctorigdst") => one(Match::first_to(&self.net(value?)?)),
            ("conntrack", "--ctorigdstport") => {
                Some(Match::between(Field::FirstPort, ports(value?)?.map(u128::from)))
            }
            ("addrtype", "--dst-type") if value? == "LOCAL" => one(Match::is(Field::LocalDestination, 1)),
            ("set", "--match-set") => one(self.sets.matches(value?, values.get(1)?, self.family)?),
            // This option records the packet and always matches. Its other options only say how it records.
            ("recent", "--set") => one(Match::always()),
            ("recent", "--name" | "--mask" | "--rsource" | "--rdest") => Some(Vec::new()),
            // The kernel's clock is UTC.
            ("time", "--utc") => Some(Vec::new()),
            ("time", "--datestart") => one(Match::Since(moment(value?)?)),
            ("time", "--datestop") => one(Match::Until(moment(value?)?)),
            _ => None,
        }
    }

    fn net(&self, text: &str) -> Option<IpNet> {
        let net: IpNet = match text.parse() {
            Ok(net) => net,
            Err(_) => IpNet::from(text.parse::<std::net::IpAddr>().ok()?),
        };
        (Family::of(net.addr()) == self.family).then_some(net)
    }

    fn hops(&self, text: &str, range: impl FnOnce(u8) -> Option<[u8; 2]>) -> Option<Vec<Match>> {
        Some(Match::hops(self.family, range(text.parse().ok()?)?))
    }
}

/// The name of a link, or the beginning of one. A zero byte ends a whole name.
fn name(text: &str) -> Vec<u8> {
    match text.strip_suffix('+') {
        Some(stem) => stem.as_bytes().to_vec(),
        None => [text.as_bytes(), &[0]].concat(),
    }
}

fn protocol(text: &str) -> Option<u8> {
    Some(match text {
        "icmp" => 1,
        "igmp" => 2,
        "tcp" => 6,
        "udp" => 17,
        "dccp" => 33,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        "ipv6-icmp" | "icmpv6" | "icmp6" => 58,
        "sctp" => 132,
        "udplite" => 136,
        number => number.parse().ok().filter(|&number| number != 0)?,
    })
}

fn ports(text: &str) -> Option<[u16; 2]> {
    match text.split_once(':') {
        Some((first, last)) => Some([first.parse().ok()?, last.parse().ok()?]),
        None => text.parse().ok().map(|port| [port, port]),
    }
}

fn port(field: Field, text: &str) -> Option<Vec<Match>> {
    Some(Match::port(field, ports(text)?))
}

fn any_port(fields: &[Field], text: &str) -> Option<Match> {
    let ranges: Option<Vec<[u16; 2]>> = text.split(',').map(ports).collect();
    let ranges = ranges?;
    let of = |&field: &Field| ranges.iter().map(move |&range| Match::port(field, range)).collect::<Vec<_>>();
    Some(Match::Any(fields.iter().flat_map(of).collect()))
}

/// An ICMP type, or a type with a code.
fn icmp(text: &str) -> Option<Vec<Match>> {
    let (number, code) = text.split_once('/').map_or((text, None), |(number, code)| (number, Some(code)));
    let mut matches = Match::icmp_type(number.parse().ok()?);
    if let Some(code) = code {
        matches.push(Match::masked(Field::SourcePort, code.parse::<u8>().ok()?.into(), 0x00ff));
    }
    Some(matches)
}

/// `0x1` or `0x1/0xff`.
fn mark(text: &str) -> Option<Match> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    Some(match text.split_once('/') {
        Some((value, mask)) => Match::masked(Field::Mark, number(value)?.into(), number(mask)?.into()),
        None => Match::is(Field::Mark, number(text)?.into()),
    })
}

/// A user id, or a range of them.
fn users(text: &str) -> Option<Vec<Match>> {
    let Some((first, last)) = text.split_once('-') else { return Some(Match::user(text.parse().ok()?)) };
    let range: [u32; 2] = [first.parse().ok()?, last.parse().ok()?];
    let mut matches = vec![Match::is(Field::Socket, 1)];
    matches.extend(Match::between(Field::User, range.map(u128::from)));
    Some(matches)
}

/// `IPS_SRC_NAT` and `IPS_DST_NAT`.
const SNAT: u128 = 16;
const DNAT: u128 = 32;

/// One of these states (`xt_conntrack`).
fn states(text: &str) -> Option<Match> {
    let of_connection = |bit| [vec![Match::masked(Field::Status, bit, bit)], Match::tracked()].concat();
    let state = |word: &str| {
        Some(vec![match word {
            "SNAT" => return Some(of_connection(SNAT)),
            "DNAT" => return Some(of_connection(DNAT)),
            "INVALID" => Match::is(Field::State, 1),
            "ESTABLISHED" => Match::is(Field::State, 2),
            "RELATED" => Match::is(Field::State, 4),
            "NEW" => Match::is(Field::State, 8),
            "UNTRACKED" => Match::is(Field::State, 64),
            _ => return None,
        }])
    };
    Some(Match::Any(text.split(',').map(state).collect::<Option<_>>()?))
}

/// `2026-01-02T03:04:05`, as UTC.
fn moment(text: &str) -> Option<i64> {
    Some(format!("{text}Z").parse::<jiff::Timestamp>().ok()?.as_second())
}
