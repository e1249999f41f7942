//! Removes from a text for a bug report what identifies a person or a place. Pure.
//!
//! Public addresses, MAC addresses, domain names, keys and given names are replaced by words such as `ADDRESS4-1`. The
//! same original always becomes the same word, so the report stays readable. Addresses that every network may use stay:
//! private, loopback and multicast addresses, and masks.
//!
//! If in doubt, it replaces: a version with four numbers looks like an address, so it is replaced.

mod shape;

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv6Addr;

use shape::{is_domain, is_key, is_mac, is_mac_of_nobody, is_public4, is_public6, is_uuid};

/// What a word stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An IPv4 address.
    Address4,
    /// An IPv6 address.
    Address6,
    /// A hardware address.
    Mac,
    /// A domain name, or an e-mail address.
    Domain,
    /// The name of this machine.
    Host,
    /// A user's name.
    User,
    /// The name of a VPN profile, a network or a container.
    Profile,
    /// A UUID.
    Uuid,
    /// A WireGuard key.
    Key,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Address4 => "ADDRESS4",
            Self::Address6 => "ADDRESS6",
            Self::Mac => "MAC",
            Self::Domain => "DOMAIN",
            Self::Host => "HOST",
            Self::User => "USER",
            Self::Profile => "PROFILE",
            Self::Uuid => "UUID",
            Self::Key => "KEY",
        }
    }
}

/// Names that are also ordinary words, or that do not identify a person.
const ORDINARY: [&str; 22] = [
    "root",
    "nobody",
    "client",
    "server",
    "openvpn",
    "wireguard",
    "docker",
    "config",
    "default",
    "bridge",
    "host",
    "none",
    "tunwarden",
    "localhost",
    "lan",
    "vpn",
    "dns",
    "all",
    "any",
    "iptables",
    "ip6tables",
    "nft",
];

/// Replaces, and remembers the word for each original.
#[derive(Debug, Default)]
pub struct Redactor {
    /// Names to be replaced, in lower case, the longest first.
    names: Vec<(String, Kind)>,
    words: HashMap<(Kind, String), String>,
    counts: HashMap<Kind, usize>,
}

impl Redactor {
    /// A redactor that also replaces these names where they occur as whole words.
    pub fn new(names: impl IntoIterator<Item = (String, Kind)>) -> Self {
        let mut seen = BTreeSet::new();
        let mut names: Vec<(String, Kind)> = names
            .into_iter()
            .map(|(name, kind)| (name.trim().to_lowercase(), kind))
            .filter(|(name, _)| name.chars().count() >= 2 && !ORDINARY.contains(&name.as_str()))
            .filter(|(name, _)| seen.insert(name.clone()))
            .collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self { names, ..Self::default() }
    }

    /// The text with everything replaced.
    pub fn text(&mut self, text: &str) -> String {
        // Names are replaced first, because a name of several words is not one token.
        let mut out = String::with_capacity(text.len());
        for part in self.split_names(text) {
            match part {
                Part::Text(text) => self.tokens(text, &mut out),
                Part::Name(name, kind) => out.push_str(&self.word(kind, &name)),
            }
        }
        out
    }

    /// Every string of a JSON value with everything replaced.
    pub fn json(&mut self, value: &serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(list) => Value::Array(list.iter().map(|one| self.json(one)).collect()),
            Value::Object(map) => {
                Value::Object(map.iter().map(|(key, value)| (key.clone(), self.json(value))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// The word for an original: the one that it got before, or a new one.
    fn word(&mut self, kind: Kind, original: &str) -> String {
        if let Some(word) = self.words.get(&(kind, original.to_owned())) {
            return word.clone();
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let word = format!("{}-{count}", kind.word());
        self.words.insert((kind, original.to_owned()), word.clone());
        word
    }

    /// The text in parts: the names, and the text between them.
    fn split_names<'a>(&self, text: &'a str) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        let (mut from, mut at) = (0, 0);
        while let Some(char) = text[at..].chars().next() {
            let begins = !text[..at].ends_with(char::is_alphanumeric);
            let found = self.names.iter().filter(|_| begins).find_map(|(name, kind)| {
                let length = prefix_length(&text[at..], name)?;
                let ends = !text[at + length..].starts_with(char::is_alphanumeric);
                ends.then(|| (length, name.clone(), *kind))
            });
            match found {
                Some((length, name, kind)) => {
                    parts.extend([Part::Text(&text[from..at]), Part::Name(name, kind)]);
                    at += length;
                    from = at;
                }
                None => at += char.len_utf8(),
            }
        }
        parts.push(Part::Text(&text[from..]));
        parts
    }

    /// Replaces inside each run of characters that can be part of addresses or names.
    fn tokens(&mut self, text: &str, out: &mut String) {
        let in_token = |char: char| char.is_alphanumeric() || "._-:@%+/=".contains(char);
        let mut rest = text;
        while let Some(start) = rest.find(in_token) {
            let end = rest[start..].find(|char| !in_token(char)).map_or(rest.len(), |end| start + end);
            out.push_str(&rest[..start]);
            self.token(&rest[start..end], out);
            rest = &rest[end..];
        }
        out.push_str(rest);
    }

    fn token(&mut self, token: &str, out: &mut String) {
        // The last `=` belongs to the key. Only `KEY=` can be before a key.
        let key = token.len().checked_sub(44).and_then(|at| token.get(at..)).filter(|key| is_key(key));
        if let Some(key) = key {
            self.pieces(&token[..token.len() - 44], out);
            out.push_str(&self.word(Kind::Key, key));
            return;
        }
        self.pieces(token, out);
    }

    /// Replaces inside each part of a token between `/`, `=`, `%` and `+`.
    fn pieces(&mut self, token: &str, out: &mut String) {
        let mut before = "";
        for piece in token.split_inclusive(['/', '=', '%', '+']) {
            let end = piece.trim_end_matches(['/', '=', '%', '+']);
            self.piece(end, before, out);
            out.push_str(&piece[end.len()..]);
            before = piece;
        }
    }

    fn piece(&mut self, piece: &str, before: &str, out: &mut String) {
        let core = piece.trim_matches(['.', ':', '-', '@']);
        let Some(at) = piece.find(core).filter(|_| !core.is_empty()) else { return out.push_str(piece) };
        // `::1` and `fe80::` begin or end with characters that can also end a sentence, so the longest address counts.
        let ends = (at + core.len()..=piece.len()).rev().filter(|end| piece.is_char_boundary(*end));
        let address = ends.into_iter().find_map(|end| Some((end, piece[..end].parse::<Ipv6Addr>().ok()?)));
        if let Some((end, address)) = address {
            match is_public6(address) {
                true => out.push_str(&self.word(Kind::Address6, &address.to_string())),
                false => out.push_str(&piece[..end]),
            }
            return out.push_str(&piece[end..]);
        }
        out.push_str(&piece[..at]);
        self.core(core, before, out);
        out.push_str(&piece[at + core.len()..]);
    }

    fn core(&mut self, core: &str, before: &str, out: &mut String) {
        let lower = core.to_lowercase();
        if is_mac_of_nobody(&lower) {
            return out.push_str(core);
        }
        if is_mac(&lower) {
            return out.push_str(&self.word(Kind::Mac, &lower.replace('-', ":")));
        }
        if let Some(name) = ["enx", "wlx", "wwx"].iter().find_map(|head| lower.strip_prefix(head))
            && name.len() == 12
            && name.chars().all(|char| char.is_ascii_hexdigit())
        {
            let word = self.word(Kind::Mac, name);
            return out.push_str(&format!("{}{word}", &core[..3]));
        }
        if is_uuid(&lower) {
            return out.push_str(&self.word(Kind::Uuid, &lower));
        }
        if core.matches(':').count() >= 2 && self.address6(core, out) {
            return;
        }
        for (number, part) in core.split(':').enumerate() {
            if number > 0 {
                out.push(':');
            }
            self.name_or_address4(part, before, out);
        }
    }

    /// Replaces an IPv6 address in a piece with several colons. Returns whether the piece was one.
    fn address6(&mut self, core: &str, out: &mut String) -> bool {
        // A range has two addresses.
        if let Some((first, last)) = core.split_once('-') {
            let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
            if is_address(first) && is_address(last) {
                self.address6(first, out);
                out.push('-');
                return self.address6(last, out);
            }
        }
        let hex = |char: char| char.is_ascii_hexdigit() || char == ':' || char == '.';
        let start = core.find(':').map_or(0, |colon| {
            let head = &core[..colon];
            if head.chars().all(hex) && head.len() <= 4 { 0 } else { colon + 1 }
        });
        let (label, rest) = core.split_at(start);
        match rest.parse::<Ipv6Addr>() {
            Ok(address) if is_public6(address) => {
                let word = self.word(Kind::Address6, &address.to_string());
                out.push_str(&format!("{label}{word}"));
            }
            Ok(_) => out.push_str(core),
            // A longer run of groups may contain an address. A time of day has only two colons.
            Err(_) if rest.chars().all(hex) && (rest.contains("::") || rest.matches(':').count() > 3) => {
                let word = self.word(Kind::Address6, &rest.to_lowercase());
                out.push_str(&format!("{label}{word}"));
            }
            Err(_) => return false,
        }
        true
    }

    fn name_or_address4(&mut self, part: &str, before: &str, out: &mut String) {
        if is_domain(part, before) {
            let (stem, ending) = shape::split_ending(part);
            return out.push_str(&format!("{}{ending}", self.word(Kind::Domain, &stem.to_lowercase())));
        }
        let mut rest = part;
        while let Some((start, end, address)) = shape::find_address4(rest) {
            out.push_str(&rest[..start]);
            match is_public4(address) {
                true => out.push_str(&self.word(Kind::Address4, &address.to_string())),
                false => out.push_str(&rest[start..end]),
            }
            rest = &rest[end..];
        }
        out.push_str(rest);
    }
}

enum Part<'a> {
    Text(&'a str),
    Name(String, Kind),
}

/// The number of bytes of `text` that match `name`, in upper or lower case. `name` is in lower case.
fn prefix_length(text: &str, name: &str) -> Option<usize> {
    let mut wanted = name.chars();
    let mut length = 0;
    let mut chars = text.chars();
    while !wanted.as_str().is_empty() {
        let char = chars.next()?;
        for lower in char.to_lowercase() {
            if wanted.next() != Some(lower) {
                return None;
            }
        }
        length += char.len_utf8();
    }
    Some(length)
}

#[cfg(test)]
mod tests;
