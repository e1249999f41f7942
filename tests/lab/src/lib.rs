//! The laboratory of tunwarden's tests.
//!
//! A [`Lab`] has two machines in their own namespaces, `host` and `isp`, and links between them. Real
//! services run in them: OpenVPN, a system bus, NetworkManager, Docker, a desktop session. Tests send
//! traffic from the host ([`Probe`], [`Flood`]), capture it on the ISP's side ([`Capture`]) and check the
//! capture with a [`Contract`]. The ISP's capture is the evidence. Reports of tunwarden about itself are not.
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
//! It needs root, and changes neither the network, nor the bus, nor the files of the machine it runs on:
//! [`guard`] refuses to act in the machine's own namespace. Everything else disappears with the test's
//! process, also after SIGKILL. Several laboratories may run at once.

pub mod address;
pub mod guard;
pub mod openvpn;

mod bus;
mod capture;
mod contract;
mod desktop;
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
pub use desktop::{DesktopKind, Shade, xfce_library};
pub use dns::{AnswerMode, Dns};
pub use dns_forwarder::DnsForwarder;
pub use docker::{Docker, Engine, IMAGE, MOUNTS, TAKE_DOWN};
pub use frame::{Frame, Packet, TAG_MARK, Transport};
pub use lab::{Lab, with_lab};
pub use machine::{Cmd, Machine, Output, Process};
pub use network_manager::NetworkManager;
pub use session::{ScreenWindow, Session};
pub use traffic::{Container, ContainerFlood, Echo, Flood, Probe, Sent, forged};
pub use uplink::Uplink;
pub use wait::{bind_when_free, wait_for, wait_until};
pub use whole_machine::{Release, WholeMachine};
