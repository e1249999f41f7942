//! `tunwarden lock` alone: no agent, no bus. What the ISP sees of a locked machine.

mod cards;
mod lan;
mod leaks;
mod link;
#[path = "../support/mod.rs"]
mod support;
mod tunnel_address;
mod verbs;

/// One known server, at both of its addresses.
const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\", \"[2001:db8:7::7]\"]\n";

/// How long an answer may take that is on its way.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
