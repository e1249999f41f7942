//! Which endpoints are known, and which of them may be reached in a state: the contract's middle
//! column.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use super::claim::{Claim, Standing};
use super::learned::{Learned, LearnedVpn, Memory, Origin};
use super::names::Names;
use super::{ActiveVpn, Allowance, KernelPacket, LinkKind, LinkTable, NmView, Profile, Sender, State};
use crate::config::{Config, Dns, Scope};
use crate::net::{Endpoint, Host, HostName, Port, Server, Transport};

/// So many names of profiles are looked up: whoever may make a profile could tell the resolver much with
/// more of them.
const MOST_NAMES: usize = 256;

/// The rows of the contract, from everything that is known.
pub(super) struct Known<'a> {
    pub(super) config: &'a Config,
    pub(super) nm: Option<&'a NmView>,
    pub(super) learned: &'a Learned,
    pub(super) claims: &'a [Claim],
    pub(super) names: &'a Names,
    pub(super) memory: Memory,
    pub(super) links: &'a LinkTable,
}

impl Known<'_> {
    /// The bootstrap allowance of a state. While paused it is that of the state beneath.
    pub(super) fn allowance(&self, state: State) -> Allowance {
        if self.config.bootstrap.scope == Scope::Nothing {
            return Allowance::default();
        }
        match state {
            State::Locked | State::Lost | State::Paused => self.everything_known(),
            State::Connecting => self.of_claims(|claim| claim.standing == Standing::Coming),
            State::Protected => self.of_claims(|claim| claim.standing == Standing::Carrying),
        }
    }

    fn everything_known(&self) -> Allowance {
        let bootstrap = &self.config.bootstrap;
        let mut allowance = Allowance::default();
        let configured = bootstrap.servers.iter().flat_map(|server| self.configured(server));
        allowance.endpoints.extend(configured.map(|endpoint| (endpoint, BTreeSet::new())));
        for vpn in self.counting() {
            self.add_learned(&mut allowance, vpn);
        }
        for claim in self.claims {
            self.add_claim(&mut allowance, claim);
        }
        allowance.any = match bootstrap.scope {
            Scope::Known | Scope::Nothing => false,
            Scope::Any => true,
            Scope::Auto => self.knows_nothing(&allowance),
        };
        allowance
    }

    /// Whether no server at all is known, not even by a name that is being looked up. What was known and
    /// cannot be read any more was not nothing.
    fn knows_nothing(&self, everything: &Allowance) -> bool {
        self.memory == Memory::Whole
            && everything.endpoints.is_empty()
            && self.counting().all(|vpn| vpn.endpoints.is_empty())
            && self.wanted_names().is_empty()
    }

    fn add_learned(&self, allowance: &mut Allowance, vpn: &LearnedVpn) {
        let servers = vpn.endpoints.iter().copied().chain(self.resolved(vpn.names.iter()));
        match vpn.sender {
            Sender::Client => {
                for endpoint in servers {
                    allowance.endpoints.entry(endpoint).or_default().extend(vpn.user);
                }
            }
            Sender::Kernel => {
                let packet = self.kernel_packet(vpn.mark, vpn.origin);
                allowance.kernel.extend(servers.flat_map(|endpoint| packet.map(|by| (endpoint, by))));
            }
        }
    }

    /// By what the kernel's own packets are known. Without a mark only their destination is left, which
    /// opens it to everybody: that takes the word of root, and any local user may make a profile.
    fn kernel_packet(&self, mark: Option<NonZeroU32>, origin: Origin) -> Option<KernelPacket> {
        let vouched_for = match origin {
            Origin::Hook | Origin::OpenVpn => true,
            Origin::NetworkManager => !self.config.vpn.connections.is_empty(),
        };
        mark.map(KernelPacket::Marked).or(vouched_for.then_some(KernelPacket::Any))
    }

    /// Whether its packets cannot be known, so that none is allowed.
    pub(super) fn is_unmarked(&self, vpn: &LearnedVpn) -> bool {
        vpn.sender == Sender::Kernel && self.kernel_packet(vpn.mark, vpn.origin).is_none()
    }

    fn add_claim(&self, allowance: &mut Allowance, claim: &Claim) {
        let sender = self.sender(claim);
        let by_kernel = sender == Sender::Kernel || self.is_offloaded(claim);
        for &endpoint in &claim.endpoints {
            if sender == Sender::Client {
                allowance.endpoints.entry(endpoint).or_default().extend(self.users(claim));
            }
            if by_kernel {
                let packet = self.kernel_packet(self.mark(claim, endpoint), claim.origin());
                allowance.kernel.extend(packet.map(|by| (endpoint, by)));
            }
        }
    }

    pub(super) fn sender(&self, claim: &Claim) -> Sender {
        let learned = claim.uuid().and_then(|uuid| self.learned.get(uuid));
        learned.map_or(Sender::Client, |vpn| vpn.sender)
    }

    /// User ids that its client runs as: as its process shows, and as the files say that name its server.
    pub(super) fn users(&self, claim: &Claim) -> BTreeSet<u32> {
        let plain = !claim.is_managed();
        let of_files = claim.endpoints.iter().filter(|_| plain).flat_map(|&endpoint| self.files_of(endpoint));
        of_files.filter_map(|vpn| vpn.user).chain(claim.users.iter().copied()).collect()
    }

    /// Root's files that name this server.
    fn files_of(&self, endpoint: Endpoint) -> impl Iterator<Item = &LearnedVpn> {
        let files = self.counting().filter(|vpn| vpn.origin == Origin::OpenVpn);
        files.filter(move |vpn| {
            vpn.endpoints.contains(&endpoint) || self.resolved(vpn.names.iter()).contains(&endpoint)
        })
    }

    /// Whether its client leaves the packets of the tunnel to the kernel (OpenVPN's DCO).
    fn is_offloaded(&self, claim: &Claim) -> bool {
        claim.link(self.links, self.config).is_some_and(|link| link.kind == LinkKind::KernelTunnel)
    }

    /// The mark on its packets: as its device says, else as its profile or its file wants it.
    fn mark(&self, claim: &Claim, endpoint: Endpoint) -> Option<NonZeroU32> {
        let of_profile = claim.uuid().and_then(|uuid| self.learned.get(uuid)).and_then(|vpn| vpn.mark);
        let mut of_files = self.files_of(endpoint).map(|vpn| vpn.mark);
        let of_file = of_files.next().flatten().filter(|&mark| of_files.all(|other| other == Some(mark)));
        match claim.origin() {
            Origin::NetworkManager => claim.mark.or(of_profile),
            Origin::Hook | Origin::OpenVpn => of_file,
        }
    }

    /// The VPNs learned that count.
    fn counting(&self) -> impl Iterator<Item = &LearnedVpn> {
        self.learned.iter().filter(|(key, vpn)| vpn.counts(key, self.config)).map(|(_, vpn)| vpn)
    }

    /// The endpoints that a server of the configuration stands for.
    fn configured(&self, server: &Server) -> Vec<Endpoint> {
        let ports = &self.config.bootstrap.ports;
        match &server.host {
            Host::Address(_) => server.endpoints(ports),
            Host::Name(name) => {
                self.addresses(name).flat_map(|address| server.endpoints_at(address, ports)).collect()
            }
        }
    }

    /// The addresses that a name stands for; none while no name is looked up.
    fn addresses(&self, name: &HostName) -> impl Iterator<Item = IpAddr> {
        let pinned = self.config.bootstrap.dns == Dns::Pin;
        let resolved = self.names.get(name).filter(|_| pinned);
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

    /// Every server name that has to be looked up.
    pub(super) fn wanted_names(&self) -> BTreeSet<HostName> {
        if self.config.bootstrap.dns == Dns::Off {
            return BTreeSet::new();
        }
        let (of_profiles, of_root): (Vec<_>, Vec<_>) =
            self.counting().partition(|vpn| vpn.origin == Origin::NetworkManager);
        let bounded = |vpns: Vec<&LearnedVpn>| {
            vpns.into_iter().flat_map(LearnedVpn::host_names).take(MOST_NAMES).collect::<Vec<_>>()
        };
        // Each within bounds of its own: a profile that anybody made crowds nothing of root's out.
        self.configured_names().chain(bounded(of_root)).chain(bounded(of_profiles)).collect()
    }

    /// Those of the configuration and of root's files, and of the profiles whose tunnels carry.
    pub(super) fn names_in_use(&self) -> BTreeSet<HostName> {
        let carrying = self.claims.iter().filter(|claim| claim.standing == Standing::Carrying);
        let profiles = carrying.filter_map(|claim| self.learned.get(claim.uuid()?));
        let files = self.learned.values().filter(|vpn| vpn.origin == Origin::OpenVpn);
        let learned = profiles.chain(files).flat_map(LearnedVpn::host_names);
        let wanted = self.wanted_names();
        self.configured_names().chain(learned).filter(|name| wanted.contains(name)).collect()
    }

    fn configured_names(&self) -> impl Iterator<Item = HostName> {
        self.config.bootstrap.servers.iter().filter_map(|server| match &server.host {
            Host::Name(name) => Some(name.clone()),
            Host::Address(_) => None,
        })
    }

    /// The endpoints of some claims; everything known when one of them does not know its own.
    fn of_claims(&self, wanted: impl Fn(&Claim) -> bool) -> Allowance {
        let mut allowance = Allowance::default();
        for claim in self.claims.iter().filter(|claim| wanted(claim)) {
            if claim.endpoints.is_empty() {
                return self.everything_known();
            }
            self.add_claim(&mut allowance, claim);
        }
        allowance
    }

    /// The endpoints that an active connection uses or will use.
    pub(super) fn endpoints_of(&self, active: &ActiveVpn) -> BTreeSet<Endpoint> {
        let Some(profile) = self.profiles().find(|profile| profile.uuid == active.uuid) else {
            return BTreeSet::new();
        };
        let saved = profile.endpoints.iter().copied();
        // Only a plugin tells a gateway.
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

    fn profiles(&self) -> impl Iterator<Item = &Profile> {
        let profiles = self.nm.map_or(&[][..], |view| &view.profiles);
        profiles.iter().filter(|profile| self.config.vpn.counts(&profile.uuid, &profile.id))
    }
}
