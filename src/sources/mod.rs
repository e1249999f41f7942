//! Where events come from, one source a file.
//!
//! A source watches one thing and says what it sees as an [`Event`](crate::vpn::Event). It never
//! concludes, never touches the firewall, and knows nothing of the other sources. What [`drift`],
//! [`hosts`] and [`reports`] see is no event: it says nothing of the VPN, only that the kernel, the file of
//! the pins, or the folder of reports is to be looked at.

mod changes;
pub mod clock;
pub mod docker;
pub mod drift;
pub mod files;
pub mod links;
pub mod management;
pub mod network_manager;
pub mod openvpn_files;
pub mod process;
pub mod reports;
pub mod resolvers;
pub mod silence;
pub(crate) mod skipped;
pub mod sleep;
