//! Which endpoints are known, and which of them may be reached in a state: the contract's middle
//! column.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::claim::{Claim, Claimant, Standing};
use super::facts::Facts;
use super::learned::{LearnedVpn, LeftOut, MAX_NAMES, Origin};
use super::learning::Memory;
use super::{Allowance, KernelPacket, Sender, State};
use crate::config::{Dns, RootFile, Scope, looks_like_a_uuid};
use crate::net::{Endpoint, HostName, Port};

/// Maximum number of profiles in the line that allows one.
const MAX_IN_LINE: usize = 8;

/// Maximum length of a profile's name in that line, in bytes. The configuration refuses a longer one.
const MAX_NAME_IN_LINE: usize = 256;

/// Who named a VPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// Root: the configuration names the profile, the file is root's, or the hook ran as root.
    Root,
    /// Any user who may save a profile.
    User,
}

/// The rows of the contract, from everything that is known.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) facts: &'a Facts,
    pub(super) claims: &'a [Claim],
}

impl Known<'_> {
    /// The bootstrap allowance of a state. During a pause the caller asks for the state without the pause.
    pub(super) fn allowance(&self, state: State) -> Allowance {
        if self.facts.config.bootstrap.scope == Scope::Nothing {
            return Allowance::default();
        }
        let mut allowance = match state {
            State::Locked | State::Lost | State::Paused => self.everything_known(),
            State::Connecting => self.of_claims(Standing::Coming),
            State::Protected => self.in_use(),
        };
        for broadcast in self.facts.links.broadcasts() {
            allowance.remove(broadcast);
        }
        allowance
    }

    pub(super) fn everything_known(&self) -> Allowance {
        let bootstrap = &self.facts.config.bootstrap;
        let mut allowance = Allowance::default();
        let configured = bootstrap.servers.iter().flat_map(|server| self.facts.configured(server));
        allowance.endpoints.extend(configured.map(|endpoint| (endpoint, BTreeSet::new())));
        for (key, vpn) in self.facts.counting() {
            self.add_learned(&mut allowance, key, vpn);
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

    /// Whether no server at all is known, not even by a name that is being looked up. If the file of known
    /// servers is damaged, servers were known.
    fn knows_nothing(&self, everything: &Allowance) -> bool {
        self.facts.learning.memory() == Memory::Whole
            && everything.endpoints.is_empty()
            && self.facts.counting().all(|(_, vpn)| vpn.endpoints.is_empty())
            && (self.facts.config.bootstrap.dns == Dns::Off || !self.names_a_server())
    }

    /// Whether any server is known by a name, looked up or not.
    fn names_a_server(&self) -> bool {
        self.facts.configured_names().next().is_some()
            || self.facts.counting().any(|(_, vpn)| !vpn.names.is_empty())
    }

    /// Who named a VPN. If two profiles have the name that root wrote, it does not count as root's: any user can
    /// give a profile the name of another.
    pub(super) fn named_by(&self, origin: Origin, uuid: &str, name: &str) -> NamedBy {
        let list = &self.facts.config.vpn;
        let of_root = match origin {
            Origin::Hook | Origin::OpenVpn | Origin::WireGuard => true,
            Origin::NetworkManager => list.names_uuid(uuid) || list.names_id(name) && !self.shares_name(name),
        };
        if of_root { NamedBy::Root } else { NamedBy::User }
    }

    fn shares_name(&self, name: &str) -> bool {
        let learned = self.facts.learning.of_manager().filter(|(_, vpn)| vpn.name == name).count();
        let saved = self.facts.manager.as_ref().map_or(&[][..], |view| &view.profiles);
        learned > 1 || saved.iter().filter(|profile| profile.id == name).count() > 1
    }

    fn vpn_named_by(&self, key: &str, vpn: &LearnedVpn) -> NamedBy {
        self.named_by(vpn.origin, key, &vpn.name)
    }

    fn claim_named_by(&self, claim: &Claim) -> NamedBy {
        let uuid = claim.uuid().unwrap_or_default();
        let name = self.facts.learning.get(uuid).map_or(&claim.name, |vpn| &vpn.name);
        self.named_by(self.origin(claim), uuid, name)
    }

    fn add_learned(&self, allowance: &mut Allowance, key: &str, vpn: &LearnedVpn) {
        let named_by = LazyCell::new(|| self.vpn_named_by(key, vpn));
        let servers = vpn.endpoints.iter().copied().chain(self.facts.resolved(vpn.names.iter()));
        let servers = servers.filter(|server| !server.port().is_dns() || *named_by == NamedBy::Root);
        match vpn.sender {
            Sender::Client => {
                for endpoint in servers {
                    allowance.endpoints.entry(endpoint).or_default().extend(vpn.user);
                }
            }
            Sender::Kernel => {
                let named_by = self.opened_by(vpn.origin, &vpn.name, *named_by);
                let packet = kernel_packet(self.facts.mark_of_file(vpn), named_by);
                allowance.kernel.extend(servers.flat_map(|endpoint| packet.map(|by| (endpoint, by))));
            }
        }
    }

    /// Whether nothing identifies its packets, so that none is allowed.
    pub(super) fn is_unmarked(&self, key: &str, vpn: &LearnedVpn) -> bool {
        let named_by = self.opened_by(vpn.origin, &vpn.name, self.vpn_named_by(key, vpn));
        vpn.sender == Sender::Kernel && kernel_packet(self.facts.mark_of_file(vpn), named_by).is_none()
    }

    /// Who allows every program to send to a server without a mark. A WireGuard file does not allow that; its name
    /// in the configuration does.
    fn opened_by(&self, origin: Origin, name: &str, named_by: NamedBy) -> NamedBy {
        match origin {
            Origin::WireGuard if !self.facts.config.vpn.names_file(RootFile::WireGuard, name) => {
                NamedBy::User
            }
            Origin::Hook | Origin::OpenVpn | Origin::WireGuard | Origin::NetworkManager => named_by,
        }
    }

    pub(super) fn add_claim(&self, allowance: &mut Allowance, claim: &Claim) {
        let sender = self.facts.sender(claim);
        let by_kernel = sender == Sender::Kernel || self.is_offloaded(claim);
        let named_by = self.claim_named_by(claim);
        let origin = self.origin(claim);
        let users = LazyCell::new(|| self.users(claim));
        let opened_by = LazyCell::new(|| self.opened_by(origin, &claim.name, named_by));
        let mark_of_device = LazyCell::new(|| self.mark_of_device(claim, origin));
        let servers =
            claim.endpoints.iter().filter(|server| !server.port().is_dns() || named_by == NamedBy::Root);
        for &endpoint in servers {
            if sender == Sender::Client {
                allowance.endpoints.entry(endpoint).or_default().extend(users.iter());
            }
            if by_kernel {
                let mark = match origin {
                    Origin::NetworkManager | Origin::WireGuard => *mark_of_device,
                    Origin::Hook | Origin::OpenVpn => self.mark_of_files(endpoint),
                };
                allowance.kernel.extend(kernel_packet(mark, *opened_by).map(|by| (endpoint, by)));
            }
        }
    }

    /// Where a claim comes from. The kernel's own is that of the file that names its device.
    fn origin(&self, claim: &Claim) -> Origin {
        match (&claim.claimant, &claim.interface) {
            (Claimant::Kernel, Some(interface)) => self.facts.origin_of(interface),
            _ => claim.origin(),
        }
    }

    /// User ids that its client runs as: those of its process, and those in its profile or in the files that name its
    /// server.
    pub(super) fn users(&self, claim: &Claim) -> BTreeSet<u32> {
        let plain = !claim.is_managed();
        let of_files = claim.endpoints.iter().filter(|_| plain).flat_map(|&endpoint| self.files_of(endpoint));
        let of_profile = claim.uuid().and_then(|uuid| self.facts.learning.get(uuid));
        of_files.chain(of_profile).filter_map(|vpn| vpn.user).chain(claim.users.iter().copied()).collect()
    }

    /// Root's files that name this server.
    pub(super) fn files_of(&self, endpoint: Endpoint) -> impl Iterator<Item = &LearnedVpn> {
        let files = self.facts.counting().map(|(_, vpn)| vpn).filter(|vpn| vpn.origin == Origin::OpenVpn);
        files.filter(move |vpn| {
            vpn.endpoints.contains(&endpoint) || self.facts.resolved(vpn.names.iter()).contains(&endpoint)
        })
    }

    /// Whether its client leaves the packets of the tunnel to the kernel (OpenVPN's DCO).
    fn is_offloaded(&self, claim: &Claim) -> bool {
        claim.link(&self.facts.links, &self.facts.config).is_some_and(|link| link.kind.is_sent_by_kernel())
    }

    /// The mark on a device's packets: its own, else that of its profile or its file.
    fn mark_of_device(&self, claim: &Claim, origin: Origin) -> Option<NonZeroU32> {
        if origin == Origin::WireGuard {
            return self.facts.wireguard_of(claim).and_then(|vpn| self.facts.mark_of_file(vpn));
        }
        let of_profile = || self.facts.learning.get(claim.uuid()?)?.mark;
        claim.mark.or_else(of_profile)
    }

    /// The mark on OpenVPN's packets to a server, if all files that name the server agree.
    fn mark_of_files(&self, endpoint: Endpoint) -> Option<NonZeroU32> {
        let mut marks = self.files_of(endpoint).map(|vpn| vpn.mark);
        marks.next().flatten().filter(|&mark| marks.all(|other| other == Some(mark)))
    }

    /// Every server name that has to be looked up.
    #[cfg(test)]
    pub(super) fn wanted_names(&self) -> BTreeSet<HostName> {
        let roots = self.roots_names();
        let users = self.users_names(&roots);
        let admitted = users.into_iter().filter(|name| self.facts.names.is_admitted(name));
        roots.into_iter().chain(admitted).collect()
    }

    /// Names that root has named: they are looked up at any time.
    pub(super) fn roots_names(&self) -> BTreeSet<HostName> {
        if self.facts.config.bootstrap.dns == Dns::Off {
            return BTreeSet::new();
        }
        let roots = self.facts.counting().filter(|(key, vpn)| self.vpn_named_by(key, vpn) == NamedBy::Root);
        let roots: Vec<&LearnedVpn> = roots.map(|(_, vpn)| vpn).collect();
        let of = |origin| roots.iter().copied().filter(move |vpn| vpn.origin == origin).collect();
        let mut openvpn: Vec<&LearnedVpn> = of(Origin::OpenVpn);
        openvpn.sort_by_key(|vpn| is_of_an_archive(vpn));
        let others = [Origin::WireGuard, Origin::Hook, Origin::NetworkManager].map(of);
        let bounded = others.into_iter().chain([openvpn]).flat_map(bounded_names);
        self.facts.configured_names().chain(bounded).collect()
    }

    /// Number of names in root's OpenVPN files that are not looked up, because there are too many.
    fn names_beyond(&self) -> usize {
        if self.facts.config.bootstrap.dns == Dns::Off {
            return 0;
        }
        let files = self.facts.counting().map(|(_, vpn)| vpn).filter(|vpn| vpn.origin == Origin::OpenVpn);
        let names: BTreeSet<HostName> = files.flat_map(LearnedVpn::host_names).collect();
        names.len().saturating_sub(MAX_NAMES)
    }

    /// What is not used of root's files.
    fn left_out_of_files(&self) -> Vec<(String, LeftOut)> {
        let facts = self.facts;
        let beyond = Some(self.names_beyond()).filter(|count| *count > 0);
        let beyond = beyond.map(|count| ("/etc/openvpn".to_owned(), LeftOut::NamesOfFiles(count)));
        let faults = facts.file_faults.values().flatten().map(|fault| {
            let (reason, remedy) = (fault.reason.clone(), fault.remedy.clone());
            (fault.path.clone(), LeftOut::File { reason, remedy })
        });
        faults.chain(beyond).collect()
    }

    /// Names of the servers of other profiles, while the profile is being activated or in use. Any user may save a
    /// profile, and each question sends a name from it to the network's resolver. `roots` are root's names.
    pub(super) fn users_names(&self, roots: &BTreeSet<HostName>) -> BTreeSet<HostName> {
        if self.facts.config.bootstrap.dns == Dns::Off {
            return BTreeSet::new();
        }
        let active = self.claims.iter().filter_map(Claim::uuid).collect::<BTreeSet<_>>();
        let users = self.users_vpns().filter(|(key, _)| active.contains(key.as_str()));
        let names = users.flat_map(|(_, vpn)| vpn.host_names()).filter(HostName::is_public);
        names.filter(|name| !roots.contains(name)).collect()
    }

    fn users_vpns(&self) -> impl Iterator<Item = (&String, &LearnedVpn)> {
        let counting = self.facts.counting().filter(|(_, vpn)| vpn.origin == Origin::NetworkManager);
        counting.filter(|(key, vpn)| self.vpn_named_by(key, vpn) == NamedBy::User)
    }

    /// What is not used of the VPNs that count, each with the VPN's name for people.
    pub(super) fn left_out(&self) -> Vec<(String, LeftOut)> {
        let active = self.users_names(&self.roots_names());
        let pinned = self.facts.config.bootstrap.dns == Dns::Pin;
        let mut left_out = self.left_out_of_files();
        left_out.extend(self.unmarked_files());
        left_out.extend(self.shared_marks());
        left_out.extend(self.kinds_left_out());
        for (key, vpn) in self.users_vpns() {
            let mut leave = |what| left_out.push((vpn.name.clone(), what));
            let ports = vpn.endpoints.iter().map(Endpoint::port).chain(vpn.names.iter().map(|name| name.2));
            if self.is_unmarked(key, vpn) {
                if !self.is_marked_by_manager(key, vpn) {
                    leave(LeftOut::Unmarked(self.word_for(key, vpn)));
                }
            } else if ports.into_iter().any(Port::is_dns) {
                leave(LeftOut::Dns(self.line_for(key, vpn)));
            }
            let (public, own): (BTreeSet<_>, BTreeSet<_>) = vpn.host_names().partition(HostName::is_public);
            if pinned && !own.is_empty() {
                leave(LeftOut::Names(own, self.line_for(key, vpn)));
            }
            if public.iter().any(|name| active.contains(name) && !self.facts.names.is_admitted(name)) {
                leave(LeftOut::TooManyNames(self.line_for(key, vpn)));
            }
        }
        left_out
    }

    /// The line of the configuration that names this profile, and with it those that count now.
    fn line_for(&self, key: &str, vpn: &LearnedVpn) -> String {
        let named = &self.facts.config.vpn.connections;
        // It is named already, and another profile has the same name: only the UUID is unique.
        let own = if named.is_empty() { self.name_in_config(key, vpn) } else { key.to_owned() };
        let unique = self.name_in_config(key, vpn);
        let is_other = |name: &String| *name != vpn.name && *name != unique;
        self.line_with(own, self.others_in_config().into_iter().filter(is_other).collect())
    }

    /// How the configuration names what counts now.
    pub(super) fn others_in_config(&self) -> Vec<String> {
        let named = &self.facts.config.vpn.connections;
        if !named.is_empty() {
            return named.clone();
        }
        let profiles = self.facts.learning.of_manager().map(|(key, vpn)| self.name_in_config(key, vpn));
        profiles.chain(self.files_in_config()).take(MAX_IN_LINE).collect()
    }

    /// The line that names one VPN and these others.
    pub(super) fn line_with(&self, own: String, others: Vec<String>) -> String {
        let most = if self.facts.config.vpn.connections.is_empty() { MAX_IN_LINE - 1 } else { usize::MAX };
        let others = others.into_iter().take(most);
        let quoted = |name: String| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        let names: Vec<String> = std::iter::once(own).chain(others).map(quoted).collect();
        format!("vpn.connections = [{}]", names.join(", "))
    }

    /// How the configuration names a profile: by its name, or by its UUID where the name cannot be used.
    pub(super) fn name_in_config(&self, key: &str, vpn: &LearnedVpn) -> String {
        let fits = !vpn.name.is_empty() && vpn.name.len() <= MAX_NAME_IN_LINE;
        let plain = crate::config::plain(&vpn.name) == vpn.name;
        let is_unique = !self.shares_name(&vpn.name) && !looks_like_a_uuid(&vpn.name);
        if fits && plain && is_unique { vpn.name.clone() } else { key.to_owned() }
    }

    /// The names in the configuration, in root's files, and in the profiles whose tunnels carry packets.
    pub(super) fn names_in_use(&self) -> BTreeSet<HostName> {
        let carrying = self.claims.iter().filter(|claim| claim.standing == Standing::Carrying);
        let profiles = carrying.filter_map(|claim| self.facts.learning.get(claim.uuid()?));
        let of_root = |vpn: &&LearnedVpn| matches!(vpn.origin, Origin::OpenVpn | Origin::WireGuard);
        let files = self.facts.learning.all().values().filter(of_root);
        let learned = profiles.chain(files).flat_map(LearnedVpn::host_names);
        let wanted = self.facts.names.wanted();
        self.facts.configured_names().chain(learned).filter(|name| wanted.contains(name)).collect()
    }
}

/// What identifies packets that the kernel itself sends. Without a mark it is their destination alone, which
/// opens that server to every program: only root may do that.
fn kernel_packet(mark: Option<NonZeroU32>, named_by: NamedBy) -> Option<KernelPacket> {
    mark.map(KernelPacket::Marked).or((named_by == NamedBy::Root).then_some(KernelPacket::Any))
}

/// Whether a file of OpenVPN is in a folder that an archive of a provider made: its names must not take the places of
/// those that systemd's units use.
fn is_of_an_archive(vpn: &LearnedVpn) -> bool {
    let below = vpn.name.strip_prefix("/etc/openvpn/").unwrap_or(&vpn.name);
    below.strip_prefix("client/").unwrap_or(below).contains('/')
}

/// The first [`MAX_NAMES`] different names, in the order of the VPNs.
fn bounded_names(vpns: Vec<&LearnedVpn>) -> BTreeSet<HostName> {
    let mut names = BTreeSet::new();
    for name in vpns.into_iter().flat_map(LearnedVpn::host_names) {
        if names.len() == MAX_NAMES {
            break;
        }
        names.insert(name);
    }
    names
}
