//! tunwarden
pub mod config;
pub mod net;
pub mod vpn;
