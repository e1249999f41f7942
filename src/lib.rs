//! tunwarden
pub mod config;
pub mod firewall;
pub mod net;
pub mod policy;
pub mod vpn;
