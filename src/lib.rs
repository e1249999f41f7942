//! tunwarden: a VPN kill switch for a Linux desktop and its containers that fails closed.
//!
//! The map, in the direction in which data flows:
//!
//! - [`sources`] watch something and report it as a [`vpn::Event`]. They never touch the firewall.
//! - [`vpn`] combines events in one pure step into a [`vpn::Situation`].
//! - [`policy`] turns the situation into the [`policy::Ruleset`], rules as data, and renders them. Pure too.
//! - [`firewall`] commits them to the kernel and reads them back.
//!   [`netfilter`] speaks with the kernel's nf_tables: it reads which program changes a table, and it encodes our
//!   tables and reads them back.
//! - [`model`] computes which packets the rules of every program let out, for `prove`. Pure too.
//! - [`blocked`] keeps which packets were refused, whose they were, and why. Pure too.
//! - [`effects`] act on the world once the rules allow it: they look up server names, pin them in `/etc/hosts`,
//!   set host routes, bring a lost VPN back, and ask systemd.
//! - [`agent`] owns the order: one loop, and data flows in one direction.
//! - [`bus`] and [`status`] report what was applied, and only that.
//! - [`notifier`], a program of its own in the user's session, shows it to a person.
//!
//! Beside this flow are [`net`] (names, addresses and ports as types that cannot hold a wrong value), [`guide`]
//! (what works with which VPN), [`config`] (what the administrator wants), [`store`] and [`system`] (the edges to disk,
//! clock, users, processes and programs), [`hooks`] (what OpenVPN and NetworkManager hand to our hooks), [`setup`] (the
//! first run), [`doctor`] (what is wrong with a machine) and [`cli`] (one file for each command).

// The fuzzers leave out the modules with `cfg(not(fuzzing))`, which no other module uses. So they build faster.
#[cfg(not(fuzzing))]
pub mod agent;
pub mod blocked;
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
pub mod guide;
pub mod hooks;
pub mod model;
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
