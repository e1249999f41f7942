//! Which endpoint and which mark a WireGuard device of root's file uses now, and how far a peer that moves is followed.
//!
//! A device says where its peers are. A server chooses from which address its packets seem to come, and so where its peer
//! sends. So a peer is followed only if root's file has its key, by the device's mark, on the internet, to no port of DNS,
//! and to no address on a link of this machine. What root's file names needs no such proof.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;

use super::claim::{Claim, Evidence};
use super::facts::Facts;
use super::learned::{LearnedVpn, Origin};
use super::{Reason, Sender, WireGuardDevice, public};
use crate::net::{Endpoint, Family, IfName};

/// Where the peers of a device are.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// Where the device may reach them.
    pub(super) in_use: BTreeSet<Endpoint>,
    /// Where nothing follows them.
    pub(super) strays: BTreeSet<Endpoint>,
}

impl Facts {
    /// The endpoints in use of the device of root's WireGuard file; all that root's files name for the device while
    /// that is unknown.
    pub(super) fn endpoints_of_interface(&self, interface: &IfName) -> BTreeSet<Endpoint> {
        let Peers { in_use, .. } = self.peers(interface);
        if !in_use.is_empty() {
            return in_use;
        }
        self.named_for(interface)
    }

    /// Why the kernel does not confirm a claim. A WireGuard device stays as it is when the network under it goes away,
    /// and nobody reports that.
    pub(super) fn objection(&self, claim: &Claim, evidence: &Evidence<'_>) -> Option<Reason> {
        let is_cut_off = || self.sender(claim) == Sender::Kernel && self.links.lead_nowhere(&self.config);
        claim.objection(evidence).or_else(|| is_cut_off().then_some(Reason::Unreachable))
    }

    /// Where the peers of root's WireGuard file are, as far as its device says.
    pub(super) fn peers(&self, interface: &IfName) -> Peers {
        let mut peers = Peers::default();
        let Some(device) = self.device_of_file(interface) else { return peers };
        let Some(vpn) = self.wireguard_file(interface) else { return peers };
        let by_name = self.resolved(vpn.names.iter());
        let places = LazyCell::new(|| self.places());
        // Without a mark every program may send to the endpoint.
        let is_marked = self.mark_of_file(vpn).is_some();
        for &endpoint in device.peers.values().flatten() {
            let is_named = vpn.endpoints.contains(&endpoint) || by_name.contains(&endpoint);
            if is_named || is_marked && places.may_be(&endpoint) {
                peers.in_use.insert(endpoint);
            } else {
                peers.strays.insert(endpoint);
            }
        }
        peers
    }

    fn places(&self) -> Places {
        let internet = Family::ALL.into_iter().flat_map(|family| public(family).networks()).collect();
        let links =
            self.links.links.iter().flat_map(|link| link.addresses.iter().map(IpNet::trunc)).collect();
        Places { internet, links }
    }

    /// The mark of the packets of root's WireGuard file: what its device says goes before what the file says.
    pub(super) fn mark_of_file(&self, vpn: &LearnedVpn) -> Option<NonZeroU32> {
        let interface = vpn.interface.as_ref().filter(|_| vpn.origin == Origin::WireGuard);
        let device = interface.and_then(|interface| self.device_of_file(interface));
        device.and_then(|device| device.mark).or(vpn.mark)
    }

    /// What the device of root's WireGuard file does, if every peer of the device is one of the file's: a profile of a
    /// user's can take over a device of the same name.
    fn device_of_file(&self, interface: &IfName) -> Option<&WireGuardDevice> {
        let keys = self.keys.get(interface)?;
        let device = self.devices.of(self.links.named(interface)?)?;
        let is_own = !device.peers.is_empty() && device.peers.keys().all(|key| keys.contains(key));
        is_own.then_some(device)
    }
}

/// Where a peer is followed.
struct Places {
    internet: Vec<IpNet>,
    /// The networks on the links of this machine.
    links: Vec<IpNet>,
}

impl Places {
    fn may_be(&self, endpoint: &Endpoint) -> bool {
        let is_in = |nets: &[IpNet], address: &IpAddr| nets.iter().any(|net| net.contains(address));
        let address = endpoint.address();
        !endpoint.port().is_dns() && is_in(&self.internet, &address) && !is_in(&self.links, &address)
    }
}
