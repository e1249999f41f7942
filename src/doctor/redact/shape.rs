//! Finds out what a piece of text looks like: an address, a hardware address, a domain name, a key.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::config::REFERENCE;

/// Endings of files and units that are not top-level domains.
const FILES: [&str; 28] = [
    "service",
    "target",
    "timer",
    "socket",
    "mount",
    "slice",
    "scope",
    "device",
    "toml",
    "conf",
    "ovpn",
    "json",
    "log",
    "txt",
    "lock",
    "sock",
    "ko",
    "new",
    "pid",
    "nmconnection",
    "rules",
    "crt",
    "key",
    "pem",
    "wants",
    "requires",
    "list",
    "desktop",
];

/// Endings of files that are also top-level domains. They count as file endings only in a path.
const PROGRAMS: [&str; 6] = ["sh", "so", "py", "pl", "rs", "md"];

/// The first parts of bus names and kernel settings.
const SYSTEMS: [&str; 5] = ["org.freedesktop.", "org.tunwarden.", "net.ipv4.", "net.ipv6.", "net.netfilter."];

/// Whether an address belongs to a place in the internet.
pub(super) fn is_public4(address: Ipv4Addr) -> bool {
    let is_mask = address.octets()[0] >= 240;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.octets()[0] == 0
        || is_mask)
}

/// Whether an address identifies a place or a machine. A link-local address may contain a hardware address. Prefixes
/// that everybody has identify nothing.
pub(super) fn is_public6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let bare = segments[1..].iter().all(|segment| *segment == 0);
    // The address of a solicited node contains a part of another address.
    let solicited = segments[..7] == [0xff02, 0, 0, 0, 0, 1, segments[6]] && segments[6] >= 0xff00;
    let shared = bare && matches!(segments[0], 0xfe80 | 0xfc00 | 0xfd00 | 0x2000);
    !(address.is_unspecified()
        || address.is_loopback()
        || shared
        || address.is_multicast() && (!solicited || segments[7] == 0 && segments[6] == 0xff00))
}

/// Whether a text in lower case is a hardware address, of six bytes or more.
pub(super) fn is_mac(text: &str) -> bool {
    let is_list = |separator: char| {
        let bytes: Vec<&str> = text.split(separator).collect();
        bytes.len() >= 6
            && bytes.iter().all(|byte| byte.len() == 2 && byte.chars().all(|char| char.is_ascii_hexdigit()))
    };
    let groups: Vec<&str> = text.split('.').collect();
    let is_dotted = groups.len() == 3
        && groups.iter().all(|group| group.len() == 4 && group.chars().all(|char| char.is_ascii_hexdigit()));
    is_list(':') || is_list('-') || is_dotted
}

/// Whether a lower-case text is a hardware address that belongs to no machine.
pub(super) fn is_mac_of_nobody(text: &str) -> bool {
    ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"].contains(&text)
}

/// Whether a text in lower case is a UUID.
pub(super) fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(|char| char == '-' || char.is_ascii_hexdigit())
}

/// Whether a text is a WireGuard key: 32 bytes in base 64.
pub(super) fn is_key(text: &str) -> bool {
    let base64 = |char: char| char.is_ascii_alphanumeric() || char == '+' || char == '/';
    text.len() == 44 && text.strip_suffix('=').is_some_and(|text| text.chars().all(base64))
}

/// A name without the ending of a file or a unit, and that ending with its dot.
pub(super) fn split_ending(name: &str) -> (&str, &str) {
    match name.rsplit_once('.') {
        Some((stem, ending)) if FILES.contains(&ending.to_lowercase().as_str()) => name.split_at(stem.len()),
        Some(_) | None => (name, ""),
    }
}

/// Whether a text is a domain name or an e-mail address. `before` is the text before it, up to the last separator.
pub(super) fn is_domain(text: &str, before: &str) -> bool {
    let (stem, ending) = split_ending(text);
    let host = stem.rsplit_once('@').map_or(stem, |(_, host)| host);
    let lower = host.to_lowercase();
    let Some((head, last)) = lower.rsplit_once('.') else { return false };
    // It is a file of that name, and not a host after `https://`.
    let in_path = before.ends_with('/') && before.len() > 1;
    let is_program = PROGRAMS.contains(&last) && !head.contains('.') && in_path;
    let is_system = SYSTEMS.iter().any(|system| lower.starts_with(system));
    let is_ours = ending.is_empty() && is_key_of_ours(head, last);
    let labels = host.split('.').all(|label| !label.is_empty());
    let top = last.chars().count() >= 2 && last.chars().all(char::is_alphabetic) || last.starts_with("xn--");
    // After a name with dots, the ending of a file is part of that name.
    labels && (top || !ending.is_empty() && !is_number(host)) && !is_program && !is_system && !is_ours
}

/// Whether these are a section and a key of tunwarden's configuration, which have a dot between them, like a domain.
fn is_key_of_ours(section: &str, key: &str) -> bool {
    let keys =
        REFERENCE.iter().filter(|reference| reference.name == section).flat_map(|section| section.keys);
    keys.into_iter().any(|reference| reference.name == key)
}

fn is_number(text: &str) -> bool {
    text.chars().all(|char| char.is_ascii_digit() || char == '.')
}

/// The first IPv4 address in a text, with its start and its end.
pub(super) fn find_address4(text: &str) -> Option<(usize, usize, Ipv4Addr)> {
    let number = |char: char| char.is_ascii_digit();
    let starts = text.char_indices().filter(|(at, char)| number(*char) && !text[..*at].ends_with(number));
    starts.into_iter().find_map(|(start, _)| {
        let run =
            text[start..].find(|char| !number(char) && char != '.').map_or(text.len(), |end| start + end);
        let mut dots = text[start..run].match_indices('.').map(|(at, _)| start + at);
        let end = dots.nth(3).unwrap_or(run);
        let address = text[start..end].trim_end_matches('.');
        Some((start, start + address.len(), address.parse().ok()?))
    })
}
