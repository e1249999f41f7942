//! Acts on the system outside the firewall, with one file for each kind of action.
//!
//! An effect does what the agent asks, and reports whether it worked. It never decides what may leave: the rules that
//! allow an action are in force before the action begins.

pub mod dns;
pub mod hosts;
// The fuzz targets do not use these.
#[cfg(not(fuzzing))]
pub mod reconnect;
pub mod replace;
pub mod routes;
pub mod systemd;
