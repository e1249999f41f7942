//! A server that sends nothing although packets are sent to it: which servers to listen for, and what follows
//! from a silence.
//!
//! Neither NetworkManager nor a hook reports that a server has died. An idle tunnel is not a silence. The
//! network can forge every packet on the wire, so a silence ends only by what the client has authenticated: a
//! packet out of the tunnel, a handshake of WireGuard, or a report that the client is connected again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::claim::{Claim, Claimant};
use crate::net::Endpoint;

/// Number of samples in a silence.
pub const SAMPLES: u32 = 3;

/// The servers of one tunnel, to be listened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The tunnel.
    pub tunnel: TunnelId,
    /// Packets from each of these count.
    pub servers: BTreeSet<Endpoint>,
    /// The index of the tunnel's link.
    pub link: u32,
    /// Which packets the server must answer.
    pub answered: Answered,
    /// What to wait for.
    pub wait: Wait,
}

/// Which packets a server answers while it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// Each packet to the server, and each packet into the tunnel.
    All,
    /// Packets into the tunnel. A WireGuard server does not answer the keepalives of its peer.
    IntoTunnel,
}

/// Identifies a tunnel while it is claimed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TunnelId(String);

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until nothing has come for this number of seconds, while packets were sent.
    Silence(u64),
    /// Until something comes out of the tunnel again.
    Recovery,
}

/// Servers that have to be reached past a dead tunnel that still has the default route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detours {
    /// The servers' addresses.
    pub servers: BTreeSet<IpAddr>,
    /// The links that may lead to them, by index.
    pub uplinks: BTreeSet<u32>,
}

/// What came and was sent since the sample before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// A packet came.
    Heard,
    /// Nothing came. Whether anything was sent is unknown.
    Quiet,
    /// Nothing came, and something was sent.
    Unanswered,
    /// Nothing came, and nothing was sent.
    Idle,
}

/// Number of samples in a row in which nothing came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Silence(u32);

impl Silence {
    /// Takes in a sample. Returns whether the server counts as silent now.
    pub fn take(&mut self, sample: Sample) -> bool {
        match sample {
            Sample::Heard => self.0 = 0,
            // Whether packets were sent in the first one is unknown: it counts with the samples that follow.
            Sample::Quiet => self.0 = self.0.max(1),
            Sample::Unanswered => self.0 += 1,
            Sample::Idle => {}
        }
        self.0 >= SAMPLES
    }
}

impl TunnelId {
    /// For tests.
    #[cfg(test)]
    pub(super) fn named(name: String) -> Self {
        Self(name)
    }

    pub(super) fn of(claim: &Claim) -> Self {
        Self(match &claim.claimant {
            Claimant::NetworkManager { path, .. } => path.clone(),
            Claimant::Hook => {
                format!("hook:{}", claim.interface.as_ref().map_or("", |interface| interface.as_str()))
            }
            Claimant::Management { file, .. } => format!("openvpn:{file}"),
            Claimant::Kernel => {
                format!("kernel:{}", claim.interface.as_ref().map_or("", |interface| interface.as_str()))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent_after(samples: &[Sample]) -> Option<usize> {
        let mut silence = Silence::default();
        samples.iter().position(|sample| silence.take(*sample)).map(|place| place + 1)
    }

    #[test]
    fn an_idle_tunnel_is_never_silent() {
        assert_eq!(silent_after(&[Sample::Idle; 1000]), None);
        let mut idle = vec![Sample::Quiet];
        idle.extend([Sample::Idle; 1000]);
        assert_eq!(silent_after(&idle), None);
        // One packet after a long time is not a silence either.
        idle.push(Sample::Unanswered);
        assert_eq!(silent_after(&idle), None);
    }

    #[test]
    fn a_server_that_does_not_answer_is_silent() {
        let (quiet, sent) = (Sample::Quiet, Sample::Unanswered);
        assert_eq!(silent_after(&[quiet, sent, sent]), Some(3));
        assert_eq!(silent_after(&[quiet, Sample::Idle, sent, Sample::Idle, sent]), Some(5));
    }

    #[test]
    fn one_packet_starts_the_count_again() {
        let (quiet, sent) = (Sample::Quiet, Sample::Unanswered);
        assert_eq!(silent_after(&[quiet, sent, Sample::Heard, quiet, sent, Sample::Heard]), None);
        assert_eq!(silent_after(&[quiet, sent, Sample::Heard, quiet, sent, sent]), Some(6));
    }
}
