//! Which endpoints the servers of profiles, files and the configuration stand for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::claim::{Claim, Claimant};
use super::facts::Facts;
use super::learned::{LearnedVpn, Origin, file_key};
use super::peers::Peers;
use super::{ActiveVpn, Profile, Sender};
use crate::config::Dns;
use crate::net::{Endpoint, Host, HostName, IfName, Port, Server, Transport};

impl Facts {
    /// The VPNs learned that count.
    pub(super) fn counting(&self) -> impl Iterator<Item = (&String, &LearnedVpn)> {
        self.learning.all().iter().filter(|(key, vpn)| vpn.counts(key, &self.config))
    }

    /// Who sends the packets of a tunnel to its server.
    pub(super) fn sender(&self, claim: &Claim) -> Sender {
        let learned = claim.uuid().and_then(|uuid| self.learning.get(uuid));
        learned.or_else(|| self.wireguard_of(claim)).map_or(Sender::Client, |vpn| vpn.sender)
    }

    /// Root's WireGuard file of a claim that the kernel makes.
    pub(super) fn wireguard_of(&self, claim: &Claim) -> Option<&LearnedVpn> {
        let interface = claim.interface.as_ref().filter(|_| claim.claimant == Claimant::Kernel)?;
        self.wireguard_file(interface)
    }

    pub(super) fn wireguard_file(&self, interface: &IfName) -> Option<&LearnedVpn> {
        let mut files = self.learning.wireguard_files().filter(|vpn| vpn.counts("", &self.config));
        files.find(|vpn| vpn.interface.as_ref() == Some(interface))
    }

    /// Root's OpenVPN files that count and name this device. A provider's files may all name the same one.
    fn openvpn_files(&self, interface: &IfName) -> impl Iterator<Item = &LearnedVpn> {
        let files = self.counting().map(|(_, vpn)| vpn).filter(|vpn| vpn.origin == Origin::OpenVpn);
        files.filter(move |vpn| vpn.interface.as_ref() == Some(interface))
    }

    /// Every endpoint of root's files for this device; none without such a file.
    pub(super) fn named_for(&self, interface: &IfName) -> BTreeSet<Endpoint> {
        let files: Vec<&LearnedVpn> = match self.wireguard_file(interface) {
            Some(vpn) => vec![vpn],
            None => self.openvpn_files(interface).collect(),
        };
        let named = files.iter().flat_map(|vpn| self.resolved(vpn.names.iter()));
        files.iter().flat_map(|vpn| vpn.endpoints.iter().copied()).chain(named).collect()
    }

    /// Whose file of root's makes this device: OpenVPN's, if one names it and none of WireGuard's does.
    pub(super) fn origin_of(&self, interface: &IfName) -> Origin {
        let is_openvpn =
            self.wireguard_file(interface).is_none() && self.openvpn_files(interface).next().is_some();
        if is_openvpn { Origin::OpenVpn } else { Origin::WireGuard }
    }

    /// Whether an OpenVPN configuration of root's counts. It also returns true for one that is gone: no message comes
    /// from its socket any more.
    pub(super) fn file_counts(&self, file: &str) -> bool {
        self.learning.get(&file_key(file)).is_none_or(|vpn| vpn.counts(file, &self.config))
    }

    /// The endpoints that a server of the configuration stands for.
    pub(super) fn configured(&self, server: &Server) -> Vec<Endpoint> {
        let ports = &self.config.bootstrap.ports;
        match &server.host {
            Host::Address(_) => server.endpoints(ports),
            Host::Name(name) => {
                self.addresses(name).flat_map(|address| server.endpoints_at(address, ports)).collect()
            }
        }
    }

    /// The names among the configuration's servers.
    pub(super) fn configured_names(&self) -> impl Iterator<Item = HostName> {
        self.config.bootstrap.servers.iter().filter_map(|server| match &server.host {
            Host::Name(name) => Some(name.clone()),
            Host::Address(_) => None,
        })
    }

    /// The addresses that a name stands for; none while no name is looked up.
    fn addresses(&self, name: &HostName) -> impl Iterator<Item = IpAddr> {
        let pinned = self.config.bootstrap.dns == Dns::Pin;
        let resolved = self.names.all().get(name).filter(|_| pinned);
        resolved.into_iter().flat_map(|resolved| resolved.addresses())
    }

    /// The endpoints that servers with names stand for.
    pub(super) fn resolved<'n>(
        &self,
        servers: impl Iterator<Item = &'n (HostName, Transport, Port)>,
    ) -> BTreeSet<Endpoint> {
        let of = |(name, transport, port): &(HostName, Transport, Port)| {
            let endpoint = |address| Endpoint::new(address, *transport, *port).ok();
            self.addresses(name).filter_map(endpoint).collect::<Vec<_>>()
        };
        servers.flat_map(of).collect()
    }

    /// The endpoints that an active connection uses or will use.
    pub(super) fn endpoints_of(&self, active: &ActiveVpn) -> BTreeSet<Endpoint> {
        match &active.interface {
            Some(interface) if self.is_external(&active.uuid, interface) => {
                self.endpoints_of_interface(interface)
            }
            Some(_) | None => self.endpoints_of_connection(active),
        }
    }

    /// Whether NetworkManager has only found a device that wg-quick or systemd-networkd made: then its profile names no
    /// server.
    pub(super) fn is_external(&self, uuid: &str, interface: &IfName) -> bool {
        let mut profiles = self.profiles().filter(|profile| profile.uuid == uuid);
        let is_empty = |profile: &Profile| profile.endpoints.is_empty() && profile.names.is_empty();
        profiles.any(|profile| profile.sender == Sender::Kernel && is_empty(profile))
            && self.wireguard_file(interface).is_some()
    }

    fn endpoints_of_connection(&self, active: &ActiveVpn) -> BTreeSet<Endpoint> {
        let Some(profile) = self.profiles().find(|profile| profile.uuid == active.uuid) else {
            return BTreeSet::new();
        };
        let Peers { in_use, .. } = self.peers_of_profile(active, profile);
        if !in_use.is_empty() {
            return in_use;
        }
        let saved = profile.endpoints.iter().copied();
        // Only a plugin reports a gateway.
        let gateway = active.gateway.filter(|_| profile.sender == Sender::Client);
        let Some(gateway) = gateway else {
            return saved.chain(self.resolved(profile.names.iter())).collect();
        };
        let exact: BTreeSet<Endpoint> =
            saved.filter(|endpoint| endpoint.address() == gateway.to_canonical()).collect();
        if !exact.is_empty() {
            return exact;
        }
        // The profile has only a name for it.
        let named = profile.names.iter();
        named.filter_map(|(_, transport, port)| Endpoint::new(gateway, *transport, *port).ok()).collect()
    }

    /// Every endpoint that a profile of NetworkManager's stands for.
    pub(super) fn endpoints_of_profile(&self, uuid: &str) -> BTreeSet<Endpoint> {
        let profile = self.profiles().find(|profile| profile.uuid == uuid);
        let saved = profile.iter().flat_map(|profile| profile.endpoints.iter().copied());
        let named = profile.iter().flat_map(|profile| self.resolved(profile.names.iter()));
        saved.chain(named).collect()
    }

    /// Every endpoint that a configuration file of root's stands for.
    pub(super) fn endpoints_of_file(&self, file: &str) -> BTreeSet<Endpoint> {
        let vpn = self.learning.get(&file_key(file)).filter(|vpn| vpn.origin == Origin::OpenVpn);
        let named = vpn.iter().flat_map(|vpn| self.resolved(vpn.names.iter()));
        vpn.iter().flat_map(|vpn| vpn.endpoints.iter().copied()).chain(named).collect()
    }
}
