//! `tunwarden lock` without an agent and without a bus: what the ISP sees of a locked machine.

mod answers;
mod cards;
mod discovery;
mod forwarded;
mod frames;
mod lan;
mod leaks;
mod link;
mod messages;
mod no_ethernet;
mod pppoe;
mod protocols;
mod real_programs;
mod tunnel_address;
mod unprintable;
mod verbs;
mod wires;
mod without_ipv6;

/// One known server with both of its addresses.
const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\", \"[2001:db8:7::7]\"]\n";

/// How long an answer may take on a busy machine before the test fails.
const TIMEOUT: std::time::Duration = crate::support::SOON;
