//! The known state of NetworkManager between signals, and the view that follows from it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::phase::is_users_end;
use super::settings::Reading;
use crate::guide::VpnKind;
use crate::net::IfName;
use crate::vpn::{ActiveVpn, NmView, Profile, VpnEnd, VpnPhase};

/// Everything that one NetworkManager has reported.
#[derive(Debug, Default)]
pub(super) struct Cache {
    profiles: BTreeMap<String, Saved>,
    active: BTreeMap<String, Connection>,
    /// Active connections that the cache ignores from now on: connections that are not VPNs, and VPNs whose end has
    /// been reported. NetworkManager never uses a path twice.
    passed: BTreeSet<String>,
    /// The interfaces of active connections that are no VPNs.
    made: BTreeMap<String, BTreeSet<IfName>>,
    clock: Tick,
    /// The number of the last question that was answered.
    answered: u64,
    changed: bool,
}

/// A counter of the phases that signals have reported. A reading that began before a signal must not overwrite what the
/// signal reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Tick(u64);

#[derive(Debug)]
struct Saved {
    profile: Profile,
    /// The fault of this profile that the log has already shown.
    fault: Option<String>,
}

#[derive(Debug)]
struct Connection {
    vpn: ActiveVpn,
    /// The counter when a signal last reported the phase.
    reported_at: Tick,
    /// The path of the connection's own device. A VPN of a plugin has none.
    device: Option<String>,
    /// Whether a user has ended that device. NetworkManager gives this reason only for the device, not for the
    /// connection.
    is_users_end: bool,
}

impl Connection {
    /// The phase, corrected by the reason that NetworkManager has given for the device.
    fn reasoned(&self, phase: VpnPhase) -> VpnPhase {
        match phase {
            VpnPhase::Ended(VpnEnd::Device | VpnEnd::Other(0)) if self.is_users_end => {
                VpnPhase::Ended(VpnEnd::User)
            }
            VpnPhase::Ended(_) | VpnPhase::Connecting | VpnPhase::Activated => phase,
        }
    }
}

/// The active connections as they were read.
#[derive(Debug)]
pub(super) struct ActiveList {
    /// [`Cache::now`] before the first question was sent.
    pub(super) asked: Tick,
    /// The paths of all active connections.
    pub(super) paths: BTreeSet<String>,
    /// The VPNs among them.
    pub(super) vpns: Vec<ActiveVpn>,
    /// The devices of the VPNs that have one of their own, by the paths of the VPNs.
    pub(super) devices: BTreeMap<String, String>,
    /// The paths of the connections that are certainly not VPNs, with the interfaces that NetworkManager made for them.
    pub(super) others: BTreeMap<String, BTreeSet<IfName>>,
    /// Whether the devices of all of them were read.
    pub(super) is_whole: bool,
}

impl Cache {
    pub(super) fn now(&self) -> Tick {
        self.clock
    }

    /// Whether signals of this active connection are ignored.
    pub(super) fn is_passed(&self, path: &str) -> bool {
        self.passed.contains(path)
    }

    /// The paths for which [`Cache::is_passed`] holds.
    pub(super) fn passed(&self) -> &BTreeSet<String> {
        &self.passed
    }

    /// Whether any VPN is active or being activated.
    pub(super) fn has_vpn(&self) -> bool {
        !self.active.is_empty()
    }

    /// Takes the phase of a connection from a signal. A connection that is not known yet is read later.
    pub(super) fn take_phase(&mut self, path: &str, phase: VpnPhase) {
        self.clock.0 += 1;
        match self.active.get_mut(path) {
            Some(connection) => {
                connection.reported_at = self.clock;
                let phase = connection.reasoned(phase);
                self.changed |= connection.vpn.phase != phase;
                connection.vpn.phase = phase;
            }
            None if matches!(phase, VpnPhase::Ended(_)) => {
                self.passed.insert(path.to_owned());
            }
            None => {}
        }
    }

    /// Takes the state of a device from a signal, and the reason (`NMDeviceState`, `NMDeviceStateReason`).
    pub(super) fn take_device(&mut self, path: &str, state: u32, reason: u32) {
        let own = |connection: &&mut Connection| connection.device.as_deref() == Some(path);
        if let Some(is_users_end) = is_users_end(state, reason) {
            let own = self.active.values_mut().filter(own);
            own.for_each(|connection| connection.is_users_end = is_users_end);
        }
    }

    /// The path of the VPN of this kind that is active or being activated, if there is exactly one.
    pub(super) fn only_vpn_of(&self, kind: VpnKind) -> Option<&str> {
        let kind_of = |uuid: &str| {
            let mut profiles = self.profiles.values().map(|saved| &saved.profile);
            profiles.find(|profile| profile.uuid == uuid).map(|profile| profile.kind)
        };
        let own = self.active.iter().filter(|(_, connection)| kind_of(&connection.vpn.uuid) == Some(kind));
        let mut paths = own.map(|(path, _)| path);
        paths.next().filter(|_| paths.next().is_none()).map(String::as_str)
    }

    /// Takes the server that the plugin of this connection has reached. Returns whether the connection is known.
    pub(super) fn take_gateway(&mut self, path: &str, gateway: std::net::IpAddr) -> bool {
        let Some(connection) = self.active.get_mut(path) else { return false };
        self.changed |= connection.vpn.gateway != Some(gateway);
        connection.vpn.gateway = Some(gateway);
        true
    }

    /// Removes a profile.
    pub(super) fn forget_profile(&mut self, path: &str) {
        self.changed |= self.profiles.remove(path).is_some();
    }

    /// Removes every profile except these.
    pub(super) fn keep_profiles(&mut self, paths: &BTreeSet<String>) {
        let before = self.profiles.len();
        self.profiles.retain(|path, _| paths.contains(path));
        self.changed |= self.profiles.len() != before;
    }

    /// Takes a profile that was read. Returns what was left out of it, unless that was returned before.
    pub(super) fn learn_profile(&mut self, path: String, reading: Reading) -> Option<String> {
        let fault = reading.skipped.map(|skipped| skipped.to_string());
        let before = self.profiles.get(&path);
        let is_news = fault.is_some() && before.is_none_or(|saved| saved.fault != fault);
        self.changed |= before.is_none_or(|saved| saved.profile != reading.profile);
        let news = fault.clone().filter(|_| is_news);
        self.profiles.insert(path, Saved { profile: reading.profile, fault });
        news
    }

    /// Takes the active connections that were read.
    pub(super) fn learn_active(&mut self, list: ActiveList) {
        for (path, connection) in &mut self.active {
            if !list.paths.contains(path) && !is_ended(connection) {
                connection.vpn.phase = connection.reasoned(VpnPhase::Ended(VpnEnd::Other(0)));
                self.changed = true;
            }
        }
        self.passed.retain(|path| list.paths.contains(path));
        self.passed.extend(list.others.keys().cloned());
        let before = self.made.clone();
        self.made.retain(|path, _| list.paths.contains(path));
        self.made.extend(list.others);
        self.changed |= self.made != before;
        let mut devices = list.devices;
        for vpn in list.vpns {
            let device = devices.remove(&vpn.path);
            self.learn_vpn(vpn, device, list.asked);
        }
    }

    /// Whether this question is answered.
    pub(super) fn has_answered(&self, question: u64) -> bool {
        self.answered >= question
    }

    /// Notes that the active connections are known as they were after this question.
    pub(super) fn answer(&mut self, question: u64) {
        self.changed |= self.answered != question;
        self.answered = question;
    }

    fn learn_vpn(&mut self, read: ActiveVpn, device: Option<String>, asked: Tick) {
        if self.passed.contains(&read.path) {
            return;
        }
        let Some(known) = self.active.get_mut(&read.path) else {
            if matches!(read.phase, VpnPhase::Ended(_)) {
                self.passed.insert(read.path);
            } else {
                self.changed = true;
                let path = read.path.clone();
                self.active
                    .insert(path, Connection { vpn: read, reported_at: asked, device, is_users_end: false });
            }
            return;
        };
        known.device = device.or(known.device.take());
        let phase = if known.reported_at > asked { known.vpn.phase } else { known.reasoned(read.phase) };
        let vpn = ActiveVpn { phase, gateway: known.vpn.gateway, ..read };
        self.changed |= known.vpn != vpn;
        known.vpn = vpn;
    }

    /// The view, if it may have changed since it was last taken. A connection that has ended is in one view only.
    pub(super) fn take_view(&mut self) -> Option<NmView> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let view = NmView {
            profiles: self.profiles.values().map(|saved| saved.profile.clone()).collect(),
            active: self.active.values().map(|connection| connection.vpn.clone()).collect(),
            made: self.made.values().flatten().cloned().collect(),
            answered: self.answered,
        };
        let ended = self.active.iter().filter(|(_, connection)| is_ended(connection));
        for path in ended.map(|(path, _)| path.clone()).collect::<Vec<String>>() {
            self.active.remove(&path);
            self.passed.insert(path);
            self.changed = true;
        }
        Some(view)
    }

    /// Makes sure that the next [`Cache::take_view`] returns a view, even an empty one.
    pub(super) fn mark_changed(&mut self) {
        self.changed = true;
    }
}

fn is_ended(connection: &Connection) -> bool {
    matches!(connection.vpn.phase, VpnPhase::Ended(_))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn vpn(path: &str, phase: VpnPhase) -> ActiveVpn {
        ActiveVpn {
            path: path.into(),
            uuid: "u".into(),
            id: "work".into(),
            phase,
            interface: None,
            gateway: None,
            mark: None,
        }
    }

    fn list(cache: &Cache, vpns: Vec<ActiveVpn>) -> ActiveList {
        let paths = vpns.iter().map(|vpn| vpn.path.clone()).collect();
        ActiveList {
            asked: cache.now(),
            paths,
            vpns,
            devices: BTreeMap::new(),
            others: BTreeMap::new(),
            is_whole: true,
        }
    }

    fn phases(cache: &mut Cache) -> Option<Vec<VpnPhase>> {
        cache.take_view().map(|view| view.active.iter().map(|vpn| vpn.phase).collect())
    }

    const USER: VpnPhase = VpnPhase::Ended(VpnEnd::User);

    #[test]
    fn an_end_is_reported_once_and_never_undone_by_an_earlier_reading() {
        let mut cache = Cache::default();
        let first = list(&cache, vec![vpn("/4", VpnPhase::Activated)]);
        cache.learn_active(first);
        assert_eq!(phases(&mut cache), Some(vec![VpnPhase::Activated]));

        let late = list(&cache, vec![vpn("/4", VpnPhase::Activated)]);
        cache.take_phase("/4", USER);
        assert_eq!(phases(&mut cache), Some(vec![USER]));
        cache.take_phase("/4", USER);
        cache.learn_active(late);
        assert_eq!(phases(&mut cache), Some(vec![]));
        assert_eq!(phases(&mut cache), None);
        assert!(cache.is_passed("/4"));
    }

    #[test]
    fn a_signal_is_newer_than_a_read_that_began_before_it() {
        let mut cache = Cache::default();
        let first = list(&cache, vec![vpn("/4", VpnPhase::Connecting)]);
        cache.learn_active(first);
        let late = list(&cache, vec![vpn("/4", VpnPhase::Connecting)]);
        cache.take_phase("/4", VpnPhase::Activated);
        cache.learn_active(late);
        assert_eq!(phases(&mut cache), Some(vec![VpnPhase::Activated]));
        let fresh = list(&cache, vec![vpn("/4", VpnPhase::Connecting)]);
        cache.learn_active(fresh);
        assert_eq!(phases(&mut cache), Some(vec![VpnPhase::Connecting]));
    }

    #[test]
    fn a_connection_that_vanished_without_a_signal_has_ended() {
        let mut cache = Cache::default();
        let first = list(&cache, vec![vpn("/4", VpnPhase::Activated)]);
        cache.learn_active(first);
        cache.take_view();
        let none = list(&cache, vec![]);
        cache.learn_active(none);
        assert_eq!(phases(&mut cache), Some(vec![VpnPhase::Ended(VpnEnd::Other(0))]));
    }

    #[test]
    fn a_connection_that_ended_before_it_was_read_is_never_reported() {
        let mut cache = Cache::default();
        cache.take_phase("/4", USER);
        let late = list(&cache, vec![vpn("/4", VpnPhase::Connecting), vpn("/5", USER)]);
        cache.learn_active(late);
        assert_eq!(phases(&mut cache), None);
        assert!(cache.is_passed("/5"));
    }

    #[test]
    fn a_server_without_a_path_goes_to_the_only_vpn_of_its_plugin_s_kind() {
        let mut cache = Cache::default();
        let profile = |uuid: &str, kind| {
            let mut reading = super::super::settings::tests::read(&[("remote", "198.51.100.7")]);
            reading.profile.uuid = uuid.to_owned();
            reading.profile.kind = kind;
            reading
        };
        for (path, kind) in [("/1", VpnKind::Vpnc), ("/2", VpnKind::ManagedOpenVpn), ("/3", VpnKind::Vpnc)] {
            cache.learn_profile(path.to_owned(), profile(path, kind));
        }
        let active = |paths: &[&str]| {
            let of = |path: &&str| ActiveVpn { uuid: (*path).to_owned(), ..vpn(path, VpnPhase::Connecting) };
            paths.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(cache.only_vpn_of(VpnKind::Vpnc), None);
        let openvpn = list(&cache, active(&["/2"]));
        cache.learn_active(openvpn);
        assert_eq!(cache.only_vpn_of(VpnKind::Vpnc), None, "another plugin's connection");
        let both = list(&cache, active(&["/1", "/2"]));
        cache.learn_active(both);
        assert_eq!(cache.only_vpn_of(VpnKind::Vpnc), Some("/1"));
        let two = list(&cache, active(&["/1", "/2", "/3"]));
        cache.learn_active(two);
        assert_eq!(cache.only_vpn_of(VpnKind::Vpnc), None, "either may have reached it");
        assert!(!cache.take_gateway("/4", "198.51.100.7".parse().unwrap()));
    }

    #[test]
    fn a_fault_is_reported_once() {
        let reading = |remote: &str| super::super::settings::tests::read(&[("remote", remote)]);
        let mut cache = Cache::default();
        assert!(cache.learn_profile("/1".into(), reading("-a")).is_some());
        assert!(cache.take_view().is_some());
        assert!(cache.learn_profile("/1".into(), reading("-a")).is_none());
        assert!(cache.take_view().is_none());
        assert!(cache.learn_profile("/1".into(), reading("-b")).is_some());
        assert!(cache.learn_profile("/1".into(), reading("198.51.100.7")).is_none());
        assert!(cache.take_view().is_some());
    }
}
