//! What OpenVPN and NetworkManager hand to our hooks, one file for each. Pure.
//!
//! `tunwarden hook` picks the fields out of its environment or arguments and reports them to the agent,
//! which parses them here.

pub mod dispatcher;
pub mod openvpn;
