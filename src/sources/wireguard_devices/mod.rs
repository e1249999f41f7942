//! Reads what WireGuard devices do: the mark on their packets, where their peers are, and whether the peers answer.
//!
//! The kernel answers over generic netlink. The program of a userspace device (wireguard-go, boringtun, GotaTun)
//! answers on its socket. Neither reports changes, so the devices are read when their links change and every few
//! seconds. Only devices of VPNs that count are read. From the keys in the answers, the agent keeps only the public
//! keys of peers and a hash of the device's own private key.

pub(crate) mod netlink;
mod program;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::trusted::TrustedRoot;
use crate::config::{MAX_SERVERS, plain};
use crate::net::{Endpoint, OwnKey, PeerKey};
use crate::system;
use crate::vpn::{Event, Link, LinkKind, Traffic, WireGuardDevice};

/// How often devices are read while their links do not change.
const INTERVAL: Duration = Duration::from_secs(5);

/// A prefix of this length or shorter is a default route, or one of its two halves.
const HALF: u8 = 1;

/// Reads the devices of the links in `wanted`, until its sender is dropped.
pub async fn watch(wanted: watch::Receiver<Vec<Link>>, events: mpsc::Sender<Event>) {
    watch_in(&TrustedRoot { root: PathBuf::from("/"), owner: 0 }, wanted, events).await;
}

/// Sends [`Event::WireGuardDevices`] after the first reading, and whenever the devices differ.
async fn watch_in(
    trusted: &TrustedRoot,
    mut wanted: watch::Receiver<Vec<Link>>,
    events: mpsc::Sender<Event>,
) {
    let (mut sent, mut known, mut said) = (None, BTreeMap::new(), BTreeMap::new());
    loop {
        let links = wanted.borrow_and_update().clone();
        // A device that does not answer now keeps its last values.
        known.retain(|index, _| links.iter().any(|link| link.index == *index));
        said.retain(|index, _| links.iter().any(|link| link.index == *index));
        for link in &links {
            match read(trusted, link).await {
                Ok(device) => {
                    said.remove(&link.index);
                    known.insert(link.index, device);
                }
                Err(error) if error.is_absence() => {}
                Err(error) => {
                    let fault = error.to_string();
                    if said.get(&link.index) != Some(&fault) {
                        let name = plain(&link.name);
                        tracing::warn!(
                            "the WireGuard device {name} is not read, and its file counts: {fault}"
                        );
                    }
                    said.insert(link.index, fault);
                }
            }
        }
        let devices: Vec<WireGuardDevice> = known.values().cloned().collect();
        if sent.as_ref() != Some(&devices) {
            sent = Some(devices.clone());
            let event = Event::WireGuardDevices { devices, awake: system::awake() };
            if events.send(event).await.is_err() {
                return;
            }
        }
        let changed = if links.is_empty() {
            wanted.changed().await
        } else {
            timeout(INTERVAL, wanted.changed()).await.unwrap_or(Ok(()))
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Why a device cannot be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("its link is of another kind")]
    Kind,
    #[error("the kernel does not show it: {0}")]
    Kernel(std::io::Error),
    #[error(transparent)]
    Program(#[from] program::ProgramError),
}

impl ReadError {
    /// Whether the device has no WireGuard program: its socket does not exist.
    fn is_absence(&self) -> bool {
        matches!(self, Self::Program(program::ProgramError::Refused(refused)) if refused.is_absence())
    }
}

async fn read(trusted: &TrustedRoot, link: &Link) -> Result<WireGuardDevice, ReadError> {
    let index = link.index;
    match link.kind {
        LinkKind::WireGuard => {
            let asked = spawn_blocking(move || netlink::ask(index)).await;
            let reading = asked.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            reading.map(|reading| reading.finish(index)).map_err(ReadError::Kernel)
        }
        LinkKind::Tunnel => Ok(program::ask(trusted, &link.name).await?.finish(index)),
        LinkKind::Loopback
        | LinkKind::Ipsec
        | LinkKind::Ppp
        | LinkKind::OpenVpn
        | LinkKind::Bridge
        | LinkKind::Veth
        | LinkKind::Other => Err(ReadError::Kind),
    }
}

/// A device that is being read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    pub(crate) mark: Option<NonZeroU32>,
    pub(crate) own: Option<OwnKey>,
    pub(crate) peers: BTreeMap<PeerKey, Peer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Peer {
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) traffic: Traffic,
    pub(crate) reach: Reach,
}

/// How much is routed to a peer (`AllowedIPs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Reach {
    #[default]
    Networks,
    Everything,
}

impl Reading {
    /// The peer of this key; `None` where there are too many.
    fn peer(&mut self, key: PeerKey) -> Option<&mut Peer> {
        let is_full = self.peers.len() >= MAX_SERVERS && !self.peers.contains_key(&key);
        (!is_full).then(|| self.peers.entry(key).or_default())
    }

    fn finish(self, index: u32) -> WireGuardDevice {
        let reach = self.peers.values().map(|peer| peer.reach).max();
        let mut traffic = Traffic::default();
        for peer in self.peers.values().filter(|peer| Some(peer.reach) == reach) {
            traffic.handshake = traffic.handshake.latest(peer.traffic.handshake);
            traffic.sent = traffic.sent.wrapping_add(peer.traffic.sent);
            traffic.received = traffic.received.wrapping_add(peer.traffic.received);
        }
        let peers = self.peers.into_iter().map(|(key, peer)| (key, peer.endpoint)).collect();
        WireGuardDevice { index, mark: self.mark, own: self.own, peers, traffic }
    }
}

impl Peer {
    /// Notes a network that is routed to it.
    fn route(&mut self, prefix_length: u8) {
        if prefix_length <= HALF {
            self.reach = Reach::Everything;
        }
    }
}
