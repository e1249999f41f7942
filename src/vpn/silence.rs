//! A server that sends nothing although packets are sent to it: which servers to listen for, and what follows
//! from a silence.
//!
//! Neither NetworkManager nor a hook reports that a server has died. An idle tunnel is not a silence. The
//! network can forge every packet on the wire, so a silence ends only by what the client has authenticated: a
//! packet out of the tunnel, or a report that the client is connected again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::claim::{Claim, Claimant};
use crate::net::Endpoint;

/// How many looks a silence is long.
pub const LOOKS: u32 = 3;

/// One tunnel's server, to be listened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Which tunnel's.
    pub tunnel: TunnelId,
    /// What comes from any of these counts.
    pub servers: BTreeSet<Endpoint>,
    /// The tunnel's link: what goes into it is sent to the server, what comes out of it is carried.
    pub link: u32,
    /// What is waited for.
    pub wait: Wait,
}

/// Which tunnel, for as long as it is claimed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TunnelId(String);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// That nothing comes for so many seconds, while packets are sent.
    Silence(u64),
    /// That something comes out of the tunnel again.
    Recovery,
}

/// Servers that have to be reached past a tunnel that is dead and still holds the default route.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detours {
    /// The servers' addresses.
    pub servers: BTreeSet<IpAddr>,
    /// The links that may lead to them, by index.
    pub uplinks: BTreeSet<u32>,
}

/// What one look found, counted since the look before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Something came.
    Heard,
    /// Nothing came; whether anything was sent is not known.
    Quiet,
    /// Nothing came, and something was sent.
    Unanswered,
    /// Nothing came, and nothing was sent.
    Idle,
}

/// Looks that found nothing, in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Silence(u32);

impl Silence {
    /// Takes in a look; whether the server counts as silent now.
    pub fn take(&mut self, look: Look) -> bool {
        match look {
            Look::Heard => self.0 = 0,
            // What was sent in the first of them is not known: it counts with those that follow.
            Look::Quiet => self.0 = self.0.max(1),
            Look::Unanswered => self.0 += 1,
            Look::Idle => {}
        }
        self.0 >= LOOKS
    }
}

impl TunnelId {
    /// As a test says it.
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent_after(looks: &[Look]) -> Option<usize> {
        let mut silence = Silence::default();
        looks.iter().position(|look| silence.take(*look)).map(|place| place + 1)
    }

    #[test]
    fn an_idle_tunnel_is_not_silent_however_long() {
        assert_eq!(silent_after(&[Look::Idle; 1000]), None);
        let mut idle = vec![Look::Quiet];
        idle.extend([Look::Idle; 1000]);
        assert_eq!(silent_after(&idle), None);
        // One packet after a long time is not a silence either.
        idle.push(Look::Unanswered);
        assert_eq!(silent_after(&idle), None);
    }

    #[test]
    fn whoever_is_spoken_to_and_says_nothing_is_silent() {
        let (quiet, sent) = (Look::Quiet, Look::Unanswered);
        assert_eq!(silent_after(&[quiet, sent, sent]), Some(3));
        assert_eq!(silent_after(&[quiet, Look::Idle, sent, Look::Idle, sent]), Some(5));
    }

    #[test]
    fn one_word_begins_it_anew() {
        let (quiet, sent) = (Look::Quiet, Look::Unanswered);
        assert_eq!(silent_after(&[quiet, sent, Look::Heard, quiet, sent, Look::Heard]), None);
        assert_eq!(silent_after(&[quiet, sent, Look::Heard, quiet, sent, sent]), Some(6));
    }
}
