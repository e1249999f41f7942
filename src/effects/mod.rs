//! What acts on the world beside the firewall, one file for each kind of act.
//!
//! An effect does what the agent asks and reports whether it worked. It never decides what may leave: the rules that
//! allow an act are in force before the act begins.

pub mod dns;
pub mod hosts;
// The fuzzers do not reach these.
#[cfg(not(fuzzing))]
pub mod reconnect;
pub mod routes;
pub mod systemd;
