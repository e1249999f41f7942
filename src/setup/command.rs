//! Parses one call of iptables or ip6tables from its words.

use super::rule::{Match, Rule, Target};
use crate::net::Family;
use crate::net::Services;

/// A program of the iptables family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// `iptables`, `ip6tables`.
    Rules(Family),
    /// `iptables-restore`, `ip6tables-restore`.
    Restore(Family),
}

impl Program {
    /// The program with this name or path, and its own arguments among these words.
    pub(super) fn named<'w>(name: &str, arguments: &'w [String]) -> Option<(Self, &'w [String])> {
        let name = name.rsplit('/').next().unwrap_or_default();
        if matches!(name, "xtables-multi" | "xtables-nft-multi" | "xtables-legacy-multi") {
            let (first, rest) = arguments.split_first()?;
            return Self::of(first).map(|program| (program, rest));
        }
        Self::of(name).map(|program| (program, arguments))
    }

    fn of(name: &str) -> Option<Self> {
        let (family, rest) = match name.strip_prefix("iptables") {
            Some(rest) => (Family::V4, rest),
            None => (Family::V6, name.strip_prefix("ip6tables")?),
        };
        match rest {
            "" | "-nft" | "-legacy" => Some(Self::Rules(family)),
            "-restore" | "-nft-restore" | "-legacy-restore" | "-apply" => Some(Self::Restore(family)),
            _ => None,
        }
    }
}

/// Whether the call only reads rules.
pub(super) fn is_check(words: &[String]) -> bool {
    words.iter().any(|word| {
        matches!(word.as_str(), "-C" | "--check" | "-h" | "--help" | "-V" | "--version")
            || word.starts_with("--list")
            || !word.starts_with("--")
                && word.starts_with('-')
                && word.len() <= 6
                && word.contains(['L', 'S'])
                && word.chars().skip(1).all(|c| "LSnvxt".contains(c))
    })
}

/// The action of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Append(String, Rule),
    /// At a position, from 1.
    Insert(String, usize, Rule),
    /// The rule at a position, from 1.
    Replace(String, usize, Rule),
    Delete(String, Rule),
    /// By its position, from 1.
    DeleteNumber(String, usize),
    Policy(String, Target),
    Flush(Option<String>),
    NewChain(String),
    /// Reads rules, resets counters, or removes an empty chain.
    Nothing,
}

/// A call and its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) table: String,
    pub(super) action: Action,
}

/// One-letter options that take a value.
const SHORT_WITH_WORD: &str = "AIDRPNXFEtpsdiojgmLSZCcW";

/// Long options of iptables itself, and the equivalent letter. iptables accepts every unambiguous prefix.
const LONG: [(&str, char); 32] = [
    ("append", 'A'),
    ("insert", 'I'),
    ("delete", 'D'),
    ("replace", 'R'),
    ("policy", 'P'),
    ("new-chain", 'N'),
    ("new", 'N'),
    ("flush", 'F'),
    ("delete-chain", 'X'),
    ("table", 't'),
    ("protocol", 'p'),
    ("source", 's'),
    ("src", 's'),
    ("destination", 'd'),
    ("dst", 'd'),
    ("in-interface", 'i'),
    ("out-interface", 'o'),
    ("jump", 'j'),
    ("goto", 'g'),
    ("match", 'm'),
    ("check", 'C'),
    ("list", 'L'),
    ("list-rules", 'S'),
    ("zero", 'Z'),
    ("rename-chain", 'E'),
    ("wait", 'w'),
    ("verbose", 'v'),
    ("numeric", 'n'),
    ("ipv4", '4'),
    ("ipv6", '6'),
    ("set-counters", 'c'),
    ("fragment", 'f'),
];

/// An option of iptables itself, by its letter, or an option of a match, by its name.
enum Flag {
    Own(char),
    Other(String),
}

/// The words of a call, split into options and values.
struct Words<'w> {
    words: &'w [String],
    at: usize,
    /// The value that is in the same word as its option.
    attached: Option<String>,
}

impl Words<'_> {
    fn next(&mut self) -> Option<String> {
        let word = self.words.get(self.at)?.clone();
        self.at += 1;
        Some(word)
    }

    fn value(&mut self) -> Result<String, String> {
        self.optional().ok_or_else(|| "a value is missing at its end".to_owned())
    }

    /// A value, unless an option follows.
    fn optional(&mut self) -> Option<String> {
        if let Some(value) = self.attached.take() {
            return Some(value);
        }
        let next = self.words.get(self.at)?;
        if next == "!" || next.starts_with('-') && next.len() > 1 {
            return None;
        }
        self.next()
    }

    fn optional_number(&mut self) -> Option<usize> {
        let number = match &self.attached {
            Some(value) => value.parse().ok(),
            None => self.words.get(self.at)?.parse().ok(),
        };
        if number.is_some() {
            self.optional();
        }
        number
    }

    fn flag(&mut self, word: &str) -> Result<Flag, String> {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            self.attached = value;
            return Ok(own(name).map_or_else(|| Flag::Other(name.to_owned()), Flag::Own));
        }
        // `-vA OUTPUT`
        let verbose = word.strip_prefix('-').unwrap_or(word).trim_start_matches('v');
        let mut letters = if verbose.is_empty() { word.chars() } else { verbose.chars() };
        let letter = letters.find(|c| *c != '-').ok_or("a single dash is not an option")?;
        let rest: String = letters.collect();
        if !rest.is_empty() {
            if SHORT_WITH_WORD.contains(letter) || letter == 'w' {
                self.attached = Some(rest);
            } else if !rest.chars().all(|c| "vnx".contains(c)) {
                return Err(format!("the option {word} is not understood"));
            }
        }
        Ok(Flag::Own(letter))
    }
}

fn own(name: &str) -> Option<char> {
    if let Some((_, letter)) = LONG.iter().find(|(long, _)| *long == name) {
        return Some(*letter);
    }
    // These options of matches begin like an option of iptables.
    if ["source-port", "destination-port", "src-type", "dst-type", "state", "set", "pol"].contains(&name) {
        return None;
    }
    let mut letters: Vec<char> =
        LONG.iter().filter(|(long, _)| name.len() >= 3 && long.starts_with(name)).map(|(_, l)| *l).collect();
    letters.dedup();
    match letters.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}

/// Parses the words of one call.
///
/// # Errors
/// Why the call is not understood.
pub(super) fn command(family: Family, words: &[String], services: &Services) -> Result<Command, String> {
    if is_check(words) {
        return Ok(Command { table: "filter".to_owned(), action: Action::Nothing });
    }
    let mut words = Words { words, at: 0, attached: None };
    let mut table = "filter".to_owned();
    let mut action = None;
    let mut rule = Match::new(family, services);
    let mut negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            negated = true;
            continue;
        }
        if !word.starts_with('-') || word.len() < 2 {
            // Counters, as iptables-save prints them.
            if word.starts_with('[') && word.ends_with(']') {
                continue;
            }
            return Err(format!("the word {word} is not understood"));
        }
        match words.flag(&word)? {
            Flag::Own('t') => table = words.value()?,
            Flag::Own(letter @ ('A' | 'I' | 'D' | 'R' | 'P' | 'N' | 'F' | 'X' | 'Z' | 'E')) => {
                action = Some(begin(letter, &mut words)?);
            }
            Flag::Own('w' | 'W') => drop(words.optional_number()),
            Flag::Own('c') => drop((words.value()?, words.optional())),
            Flag::Own('4') if family == Family::V6 => {
                return Err("ip6tables refuses the option -4".to_owned());
            }
            Flag::Own('6') if family == Family::V4 => return Err("iptables refuses the option -6".to_owned()),
            Flag::Own('v' | 'n' | 'x' | '4' | '6') => {}
            Flag::Own(letter @ ('j' | 'g' | 'm' | 'p' | 's' | 'd' | 'i' | 'o')) => {
                let value = match words.optional() {
                    // `-s ! 10.0.0.0/8`, the syntax of older releases.
                    None if words.words.get(words.at).is_some_and(|word| word == "!") => {
                        words.at += 1;
                        negated = true;
                        words.value()?
                    }
                    Some(value) => value,
                    None => return Err("a value is missing at its end".to_owned()),
                };
                rule.option(letter, &value, negated)?;
            }
            Flag::Own(letter) => return Err(format!("the option -{letter} is not understood")),
            Flag::Other(name) => {
                let mut values = Vec::new();
                // The value may begin with a dash.
                if ["comment", "log-prefix", "nflog-prefix"].contains(&name.as_str()) {
                    values.extend(words.attached.take().or_else(|| words.next()));
                }
                while let Some(value) = words.optional() {
                    values.push(value);
                }
                rule.extension(&name, &values, negated)?;
            }
        }
        negated = false;
    }
    let action = action.ok_or("it does not name a chain")?;
    Ok(Command { table, action: finish(action, rule) })
}

fn begin(letter: char, words: &mut Words<'_>) -> Result<Action, String> {
    Ok(match letter {
        'A' => Action::Append(words.value()?, Rule::default()),
        'I' => {
            let chain = words.value()?;
            Action::Insert(chain, words.optional_number().unwrap_or(1), Rule::default())
        }
        'R' => {
            let chain = words.value()?;
            let place = words.optional_number().ok_or("it does not name a position")?;
            Action::Replace(chain, place, Rule::default())
        }
        'D' => {
            let chain = words.value()?;
            match words.optional_number() {
                Some(number) => Action::DeleteNumber(chain, number),
                None => Action::Delete(chain, Rule::default()),
            }
        }
        'P' => {
            let chain = words.value()?;
            Action::Policy(chain, Target::named(&words.value()?))
        }
        'N' => Action::NewChain(words.value()?),
        'F' => Action::Flush(words.optional()),
        'X' | 'Z' => {
            words.optional();
            Action::Nothing
        }
        _ => return Err(format!("the option -{letter} is not supported")),
    })
}

fn finish(action: Action, rule: Match<'_>) -> Action {
    match action {
        Action::Append(chain, _) => Action::Append(chain, rule.rule),
        Action::Insert(chain, place, _) => Action::Insert(chain, place, rule.rule),
        Action::Replace(chain, place, _) => Action::Replace(chain, place, rule.rule),
        Action::Delete(chain, _) => Action::Delete(chain, rule.rule),
        other @ (Action::DeleteNumber(..)
        | Action::Policy(..)
        | Action::Flush(_)
        | Action::NewChain(_)
        | Action::Nothing) => other,
    }
}
