//! Finds out what to write in the place of a text that is not a valid server. Pure.

use ipnet::IpNet;

use crate::net::{Port, Server};

/// A hint for a text that is not a valid server.
pub(super) fn server_hint(text: &str) -> String {
    let general = "write \"198.51.100.1\", \"vpn.example.net:1194\" or \"[2001:db8::1]:1194/udp\"";
    if let Some((scheme, rest)) = text.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        let scheme = if ["udp", "tcp"].contains(&scheme) { format!("/{scheme}") } else { String::new() };
        let server = format!("{host}{scheme}");
        if server.parse::<Server>().is_ok() {
            return format!("a server is no URL; write \"{server}\"");
        }
        return format!("a server is no URL; {general}");
    }
    if text.parse::<IpNet>().is_ok() {
        return "a network is no server; write each server's address, or name the network in [lan]"
            .to_owned();
    }
    if let Some(server) = meant(text) {
        return format!("write \"{server}\"");
    }
    // The text may be an IPv6 address with a port after its last colon.
    let (place, transport) = match text.rsplit_once('/') {
        Some((place, transport)) => (place, format!("/{transport}")),
        None => (text, String::new()),
    };
    if let Some((address, port)) = place.rsplit_once(':')
        && let Ok(address) = address.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>()
        && port.parse::<Port>().is_ok()
    {
        return format!("an IPv6 address with a port stands in brackets: \"[{address}]:{port}{transport}\"");
    }
    general.to_owned()
}

/// The server that a text in another notation probably means: an OpenVPN line `remote`, all parts separated by colons,
/// a user before the name, white space around it, or upper-case letters.
fn meant(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let text = text.strip_prefix("remote ").unwrap_or(&text).trim_end_matches(['/', ':']);
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let parts: Vec<&str> = text.split([' ', ':', '/']).filter(|part| !part.is_empty()).collect();
    let ways = match parts[..] {
        [host, one, other] => vec![format!("{host}:{one}/{other}"), format!("{host}:{other}/{one}")],
        [host, port] => vec![format!("{host}:{port}")],
        _ => Vec::new(),
    };
    std::iter::once(text.to_owned()).chain(ways).find(|server| server.parse::<Server>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hint_says_to_write_is_a_server() {
        for (text, server) in [
            ("vpn.example.net 1194 udp", "vpn.example.net:1194/udp"),
            ("remote vpn.example.net 1194", "vpn.example.net:1194"),
            ("198.51.100.1:tcp:443", "198.51.100.1:443/tcp"),
            (" vpn.example.net ", "vpn.example.net"),
            ("vpn.example.net/", "vpn.example.net"),
            ("vpn.example.net:", "vpn.example.net"),
            ("me@vpn.example.net", "vpn.example.net"),
            ("vpn.example.net:1194/UDP", "vpn.example.net:1194/udp"),
            ("tcp://198.51.100.1:443/x", "198.51.100.1:443/tcp"),
        ] {
            assert!(text.parse::<Server>().is_err(), "{text}");
            assert!(
                server_hint(text).ends_with(&format!("write \"{server}\"")),
                "{text}: {}",
                server_hint(text)
            );
            server.parse::<Server>().unwrap();
        }
        for text in ["*.example.net", "198.51.100.256", "198.51.100.1:0", "127.0.0.1", ""] {
            assert!(
                server_hint(text).starts_with("write \"198.51.100.1\","),
                "{text}: {}",
                server_hint(text)
            );
        }
    }
}
