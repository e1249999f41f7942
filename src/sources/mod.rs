//! The sources of events, one in each file.
//!
//! A source watches one thing and reports what it sees as an [`Event`](crate::vpn::Event). It draws no conclusions,
//! never touches the firewall, and does not know the other sources. [`drift`], [`files`] and [`reports`] send no
//! events: they report only that the kernel's tables, a file or a folder must be read again. [`refusals`] sends no
//! events either: it fills the memory of `blocked`.

mod changes;
pub mod clock;
pub mod docker;
pub mod drift;
mod faults;
pub mod files;
pub mod links;
pub mod management;
pub mod network_manager;
pub mod openvpn_files;
pub mod process;
pub mod refusals;
pub mod reports;
pub mod resolvers;
mod root_files;
pub mod silence;
pub(crate) mod skipped;
pub mod sleep;
mod trusted;
pub mod wireguard_devices;
pub mod wireguard_files;
