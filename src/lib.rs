//! tunwarden
pub mod config;
pub mod net;
pub mod policy;
pub mod vpn;
