//! tunwarden: a VPN kill switch for a Linux desktop and its containers that fails closed.
//!
//! The map, in the direction in which data flows:
//!
//! - [`sources`] see something and say it as an [`vpn::Event`]. They never touch the firewall.
//! - [`vpn`] fuses events in one pure step into a [`vpn::Situation`].
//! - [`policy`] makes of it the [`policy::Ruleset`], rules as data, and renders them. Pure too.
//! - [`firewall`] commits them to the kernel and reads them back.
//!   [`netfilter`] is the kernel's own word on who changes its tables.
//! - [`effects`] act on the world once the rules allow it: they look up server names, pin them in `/etc/hosts`,
//!   set host routes, bring a lost VPN back, and ask systemd.
//! - [`agent`] owns the order: one loop, no arrow back.
//! - [`bus`] and [`status`] tell what was applied, and only that.
//! - [`notifier`], a program of its own in the user's session, shows it to a person.
//!
//! Beside the stream stand [`net`] (words of the field as types that cannot be wrong), [`config`]
//! (what the administrator wants), [`store`] and [`system`] (the edges to disk, clock, users, processes and
//! programs), [`hooks`] (what OpenVPN and NetworkManager hand to our hooks),
//! [`setup`] (the first run), [`doctor`] (what is wrong with a machine) and [`cli`] (one file for each command).

// Nothing below stands on these; the fuzzers build faster without them.
#[cfg(not(fuzzing))]
pub mod agent;
pub mod bus;
#[cfg(not(fuzzing))]
pub mod cli;
pub mod config;
mod describe;
#[cfg(not(fuzzing))]
pub mod doctor;
pub mod effects;
pub mod firewall;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod hooks;
pub mod net;
pub mod netfilter;
mod netlink;
#[cfg(not(fuzzing))]
pub mod notifier;
pub mod policy;
pub mod setup;
pub mod sources;
pub mod status;
pub mod store;
pub mod system;
pub mod vpn;
