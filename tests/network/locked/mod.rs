//! `tunwarden lock` alone: no agent, no bus. What the ISP sees of a locked machine.

mod cards;
mod frames;
mod lan;
mod leaks;
mod link;
mod protocols;
mod tunnel_address;
mod unprintable;
mod verbs;
mod wires;
mod without_ipv6;

/// One known server, at both of its addresses.
const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\", \"[2001:db8:7::7]\"]\n";

/// Bound of a wait for an answer that is on its way, on a machine that is busy.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
