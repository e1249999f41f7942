//! The laboratory of tunwarden's tests.
//!
//! A [`Lab`] is two machines in namespaces of their own, `host` and `isp`, joined by links.
//! Real services run in them: OpenVPN, a system bus, NetworkManager, Docker, a desktop session. Tests send traffic from
//! the host ([`Probe`], [`Flood`]), listen on the ISP's side ([`Capture`]) and let the
//! [`Contract`] judge what was seen there. What the ISP saw is the evidence; what tunwarden
//! says about itself is not.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use tunwarden_lab::{Contract, with_lab};
//!
//! with_lab(|lab| {
//!     let capture = lab.capture()?;
//!     lab.host().udp("203.0.113.9:4000")?.from_user("nobody").count(20).send()?;
//!     Contract::locked().lan("10.0.0.0/24")?.check(&capture.stop()?)
//! })
//! # }
//! ```
//!
//! It needs root, and touches neither the network, nor the bus, nor the files of the machine
//! it runs on: [`guard`] refuses to act in the machine's own namespace, and everything else
//! is gone when the test's process is gone, however that ended. Several laboratories may run
//! at once.

pub mod address;
pub mod guard;
pub mod openvpn;

mod bus;
mod capture;
mod contract;
mod dns;
mod dns_forwarder;
mod docker;
mod frame;
mod groups;
mod lab;
mod machine;
mod marker;
mod network_manager;
mod session;
mod traffic;
mod uplink;
mod wait;
mod whole_machine;

pub use bus::SystemBus;
pub use capture::Capture;
pub use contract::Contract;
pub use dns::{Dns, Manner};
pub use dns_forwarder::DnsForwarder;
pub use docker::{Docker, Engine};
pub use frame::{Frame, Packet, TAG_MARK, Transport};
pub use lab::{Lab, with_lab};
pub use machine::{Cmd, Machine, Output, Process};
pub use network_manager::NetworkManager;
pub use session::Session;
pub use traffic::{Container, ContainerFlood, Echo, Flood, Probe, Sent, forged};
pub use uplink::Uplink;
pub use wait::{wait_for, wait_until};
pub use whole_machine::{Release, WholeMachine};
