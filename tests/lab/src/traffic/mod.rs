//! Traffic sent from a machine: single probes, and floods that go on.

mod container;
mod echo;
mod flood;
pub mod forged;
mod icmp;
mod probe;
mod raw;
mod talk;

pub use self::container::{Container, ContainerFlood};
pub use self::echo::Echo;
pub use self::flood::Flood;
pub use self::probe::{Probe, Sent};
