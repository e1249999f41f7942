//! Which endpoint and which mark a WireGuard device uses now, and how far a peer that moves is followed.
//!
//! A device says where its peers are. A server chooses from which address its packets seem to come, and so where its peer
//! sends. So the agent follows a peer only under these conditions:
//!
//! - root's file or the device's profile has the key of every peer of the device;
//! - its packets have a mark, by the device or by that file or profile;
//! - the new address is on the internet and on no link of this machine, and the port is no port of DNS.
//!
//! An endpoint that the file or the profile names needs only the first of them.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;

use super::claim::{Claim, Evidence, Finding};
use super::facts::Facts;
use super::learned::{LearnedVpn, Origin};
use super::{ActiveVpn, Profile, Reason, Sender, WireGuardDevice, public};
use crate::net::{Endpoint, Family, IfName, PeerKey};

/// Where the peers of a device are.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// Where the device may reach them.
    pub(super) in_use: BTreeSet<Endpoint>,
    /// Where the agent does not follow them.
    pub(super) unfollowed: BTreeSet<Endpoint>,
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

    /// What the kernel shows of a claim. A WireGuard device stays as it is when the network under it goes away, and
    /// nobody reports that.
    pub(super) fn finding(&self, claim: &Claim, evidence: &Evidence<'_>) -> Finding {
        let is_cut_off = || self.sender(claim) == Sender::Kernel && self.links.are_disconnected(&self.config);
        let finding = claim.finding(evidence);
        if !matches!(finding, Finding::Fails(_)) && is_cut_off() {
            return Finding::Fails(Reason::Unreachable);
        }
        finding
    }

    /// Where the peers of root's WireGuard file are, as far as its device says.
    pub(super) fn peers(&self, interface: &IfName) -> Peers {
        let device = self.device_of_file(interface).zip(self.wireguard_file(interface));
        let Some((device, vpn)) = device else { return Peers::default() };
        let named = vpn.endpoints.iter().copied().chain(self.resolved(vpn.names.iter())).collect();
        self.peers_of(device, &named, self.mark_of_file(vpn))
    }

    /// Where the peers of NetworkManager's profile are, as far as the device of its connection says.
    pub(super) fn peers_of_profile(&self, active: &ActiveVpn, profile: &Profile) -> Peers {
        let device = active.interface.as_ref().filter(|_| profile.sender == Sender::Kernel);
        let keys: BTreeSet<PeerKey> = profile.keys.iter().copied().collect();
        let device = device.and_then(|interface| self.device_with(interface, &keys));
        let Some(device) = device else { return Peers::default() };
        let named = self.endpoints_of_profile(&profile.uuid);
        self.peers_of(device, &named, active.mark.or(profile.mark))
    }

    fn peers_of(
        &self,
        device: &WireGuardDevice,
        named: &BTreeSet<Endpoint>,
        mark: Option<NonZeroU32>,
    ) -> Peers {
        let mut peers = Peers::default();
        let networks = LazyCell::new(|| self.networks());
        for &endpoint in device.peers.values().flatten() {
            // Without a mark every program may send to the endpoint.
            if named.contains(&endpoint) || mark.is_some() && networks.may_be(&endpoint) {
                peers.in_use.insert(endpoint);
            } else {
                peers.unfollowed.insert(endpoint);
            }
        }
        peers
    }

    fn networks(&self) -> PeerNetworks {
        let internet = Family::ALL.into_iter().flat_map(|family| public(family).networks()).collect();
        let links =
            self.links.links.iter().flat_map(|link| link.addresses.iter().map(IpNet::trunc)).collect();
        PeerNetworks { internet, links }
    }

    /// The mark of the packets of root's WireGuard file: what its device says goes before what the file says.
    pub(super) fn mark_of_file(&self, vpn: &LearnedVpn) -> Option<NonZeroU32> {
        let interface = vpn.interface.as_ref().filter(|_| vpn.origin == Origin::WireGuard);
        let device = interface.and_then(|interface| self.device_of_file(interface));
        device.and_then(|device| device.mark).or(vpn.mark)
    }

    pub(super) fn device_of_file(&self, interface: &IfName) -> Option<&WireGuardDevice> {
        self.device_with(interface, self.keys.get(interface)?)
    }

    /// What a device does, if each of its peers has one of these keys: a profile of a user's can take over a device of
    /// the same name.
    fn device_with(&self, interface: &IfName, keys: &BTreeSet<PeerKey>) -> Option<&WireGuardDevice> {
        let device = self.devices.of(self.links.named(interface)?)?;
        let is_own = !device.peers.is_empty() && device.peers.keys().all(|key| keys.contains(key));
        is_own.then_some(device)
    }
}

/// Where a peer is followed.
struct PeerNetworks {
    internet: Vec<IpNet>,
    /// The networks on the links of this machine.
    links: Vec<IpNet>,
}

impl PeerNetworks {
    fn may_be(&self, endpoint: &Endpoint) -> bool {
        let is_in = |nets: &[IpNet], address: &IpAddr| nets.iter().any(|net| net.contains(address));
        let address = endpoint.address();
        !endpoint.port().is_dns() && is_in(&self.internet, &address) && !is_in(&self.links, &address)
    }
}
