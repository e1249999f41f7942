//! The known state on one connection to the bus, and what each signal and each answer changes in it.

use std::collections::BTreeSet;
use std::time::Duration;

use zbus::names::OwnedUniqueName;
use zbus::{Connection, Message};

use super::super::skipped::shown;
use super::cache::Cache;
use super::error::ReadError;
use super::objects::{Bus, Manager};
use super::phase::{active_end, vpn_phase};
use super::plugins::{Plugins, Serves};
use super::read::{Fresh, Present, Stale, objects, users};
use super::signals::{Senders, Signal};
use super::{LAST_PAUSE, Views};

/// Time before the source asks a NetworkManager again that did not answer. It doubles up to [`LAST_PAUSE`].
const SHORT_PAUSE: Duration = Duration::from_millis(30);

/// Number of attempts during which a NetworkManager that has just started may lack its objects without a line in the
/// log. With the pauses between them, this takes about two seconds.
const STARTING: u32 = 7;

/// One connection to the bus.
pub(super) struct Session {
    connection: Connection,
    pub(super) bus: Bus,
    manager: Presence,
    plugins: Plugins,
    cache: Cache,
    /// Whether everything of this NetworkManager has been read once.
    is_whole: bool,
    stale: Stale,
    /// The number of the agent's last question.
    question: u64,
    /// What the present job reads.
    pending: Stale,
    /// Number of times in a row that a question could not be answered, because the device of a connection was unknown.
    unsettled: u32,
    /// Number of times in a row that NetworkManager did not answer, and whether the log has reported this.
    failures: u32,
    is_unanswered: bool,
    /// Objects that the log has already called unreadable.
    warned: BTreeSet<String>,
}

/// Whether NetworkManager is on the bus.
#[derive(Debug, PartialEq, Eq)]
enum Presence {
    Unknown,
    Absent,
    Owner(OwnedUniqueName),
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            bus: Bus(connection.clone()),
            connection,
            manager: Presence::Unknown,
            plugins: Plugins::default(),
            cache: Cache::default(),
            is_whole: false,
            stale: Stale::default(),
            question: 0,
            pending: Stale::default(),
            failures: 0,
            unsettled: 0,
            is_unanswered: false,
            warned: BTreeSet::new(),
        }
    }

    /// The unique name of NetworkManager.
    pub(super) fn manager(&self) -> Option<&OwnedUniqueName> {
        match &self.manager {
            Presence::Owner(owner) => Some(owner),
            Presence::Unknown | Presence::Absent => None,
        }
    }

    /// Takes the names that were on the bus at the start. A signal that has come since then is newer.
    pub(super) fn take_present(&mut self, present: Present) {
        if self.manager == Presence::Unknown {
            self.manager_is(present.manager);
        }
        for (name, owner) in present.plugins {
            if !self.plugins.knows(&name) {
                self.plugin_is(name, Some(owner));
            }
        }
    }

    /// Takes a question: the active connections are read again.
    pub(super) fn ask(&mut self, question: u64) {
        if question > self.question {
            self.question = question;
            self.stale.active = true;
        }
    }

    /// Takes one message.
    pub(super) fn take_signal(&mut self, message: &Message) {
        let senders = Senders { manager: self.manager(), plugins: &self.plugins };
        let Some(signal) = Signal::read(message, &senders) else { return };
        match signal {
            Signal::Manager(owner) => self.manager_is(owner),
            Signal::Plugin { name, owner } => self.plugin_is(name, owner),
            Signal::VpnState { path, state, reason } => {
                if let Some(phase) = vpn_phase(state, reason) {
                    self.phase_is(&path, phase);
                }
            }
            Signal::ActiveState { path, state, reason } => match active_end(state, reason) {
                Some(phase) => self.phase_is(&path, phase),
                None => self.stale.active |= !self.cache.is_passed(&path),
            },
            Signal::Active { path } => self.stale.active |= !self.cache.is_passed(&path),
            Signal::ActiveList => self.stale.active = true,
            Signal::DeviceState { path, state, reason } => self.cache.take_device(&path, state, reason),
            Signal::Devices => self.stale.active |= self.cache.has_vpn(),
            Signal::Profile { path } => {
                self.stale.profiles.insert(path);
            }
            Signal::ProfileGone { path } => {
                self.cache.forget_profile(&path);
                // An answer that was sent before this signal may still arrive and contain the profile.
                self.stale.profiles.insert(path);
            }
            Signal::Gateway { plugin, address } => {
                self.plugins.reach(&plugin, address);
                self.assign_gateways();
            }
        }
    }

    fn manager_is(&mut self, owner: Option<OwnedUniqueName>) {
        self.cache = Cache::default();
        self.is_whole = false;
        self.failures = 0;
        self.unsettled = 0;
        self.is_unanswered = false;
        self.warned.clear();
        self.stale = Stale { plugins: std::mem::take(&mut self.stale.plugins), ..Stale::default() };
        self.manager = match owner {
            Some(owner) => {
                tracing::debug!(%owner, "NetworkManager is on the bus");
                self.stale.everything();
                Presence::Owner(owner)
            }
            None => {
                tracing::debug!("NetworkManager is not on the bus");
                Presence::Absent
            }
        };
    }

    fn plugin_is(&mut self, name: String, owner: Option<OwnedUniqueName>) {
        match owner {
            Some(owner) => {
                self.stale.plugins.insert(owner.clone());
                self.plugins.arrive(name, owner);
            }
            None => self.plugins.leave(&name),
        }
    }

    fn phase_is(&mut self, path: &str, phase: crate::vpn::VpnPhase) {
        if !self.cache.is_passed(path) {
            self.cache.take_phase(path, phase);
            self.stale.active = true;
        }
    }

    /// Gives each server that a plugin has reached to the connection that the plugin serves, once.
    fn assign_gateways(&mut self) {
        let cache = &mut self.cache;
        self.plugins.assign(|serves, gateway| {
            let path = match serves {
                Serves::Connection(path) => Some(path),
                Serves::All(kind) => cache.only_vpn_of(kind).map(str::to_owned),
            };
            path.is_some_and(|path| cache.take_gateway(&path, gateway))
        });
    }

    /// Reports the view to the agent, if it has changed.
    pub(super) async fn tell(&mut self, views: &mut Views) {
        match self.manager {
            Presence::Unknown => {}
            Presence::Absent => {
                views.tell(None).await;
            }
            Presence::Owner(_) if !self.is_whole => views.tell_unread().await,
            Presence::Owner(_) => {
                if let Some(view) = self.cache.take_view() {
                    views.tell(Some(view)).await;
                }
            }
        }
    }

    /// The next job, if anything is stale. Its result goes to [`Session::learn`].
    pub(super) fn job(&mut self) -> Option<impl Future<Output = Result<Fresh, ReadError>> + use<>> {
        if self.stale.is_empty() {
            return None;
        }
        self.pending = std::mem::take(&mut self.stale);
        let stale = self.pending.clone();
        let bus = self.bus.clone();
        let manager =
            self.manager().map(|owner| Manager { connection: self.connection.clone(), owner: owner.clone() });
        let (passed, asked) = (self.cache.passed().clone(), self.cache.now());
        let (pause, question) = (self.pause(), self.question);
        Some(async move {
            tokio::time::sleep(pause).await;
            let mut fresh = Fresh { question, ..Fresh::default() };
            if let Some(manager) = manager {
                objects(&manager, &stale, &passed, asked, &mut fresh).await?;
            }
            users(&bus, &stale, &mut fresh).await?;
            Ok(fresh)
        })
    }

    fn pause(&self) -> Duration {
        match self.failures.max(self.unsettled).checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => (SHORT_PAUSE * 2_u32.pow(doublings.min(8))).min(LAST_PAUSE),
        }
    }

    /// Gives up the present job: another process has become NetworkManager.
    pub(super) fn abandon(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        self.stale.plugins.extend(pending.plugins);
    }

    /// Takes the result of a job.
    pub(super) fn learn(&mut self, outcome: Result<Fresh, ReadError>) {
        let pending = std::mem::take(&mut self.pending);
        let fresh = match outcome {
            Ok(fresh) => fresh,
            Err(error) => {
                self.fail(pending, &error);
                return;
            }
        };
        self.failures = 0;
        self.is_unanswered = false;
        for (path, error) in fresh.failed {
            if self.warned.insert(path.clone()) {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(path, error, "NetworkManager's object cannot be read, going on without it");
            }
        }
        self.learn_profiles(fresh.all_profiles.as_ref(), fresh.profiles);
        if let Some(active) = fresh.active {
            let is_whole = active.is_whole;
            self.cache.learn_active(active);
            self.answer(fresh.question, is_whole);
        }
        for (plugin, user) in fresh.plugins {
            if user == Some(0) {
                self.plugins.trust(&plugin);
            }
        }
        self.assign_gateways();
    }

    /// Answers a question by what was read. While the device of an active connection is unknown, any link may be that
    /// device, so everything is read again.
    fn answer(&mut self, question: u64, is_whole: bool) {
        if is_whole {
            self.cache.answer(question);
            self.unsettled = 0;
        } else if self.cache.has_answered(question) {
            self.unsettled = 0;
        } else {
            self.stale.active = true;
            self.unsettled = self.unsettled.saturating_add(1);
        }
    }

    fn fail(&mut self, pending: Stale, error: &ReadError) {
        self.stale.put_back(pending);
        self.failures = self.failures.saturating_add(1);
        // NetworkManager takes its name some time before it has its objects.
        let is_starting = matches!(error, ReadError::Gone) && self.failures < STARTING;
        if !is_starting && !std::mem::replace(&mut self.is_unanswered, true) {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, "NetworkManager does not answer, asking again");
        }
    }

    fn learn_profiles(
        &mut self,
        all: Option<&BTreeSet<String>>,
        read: Vec<(String, Option<super::settings::Reading>)>,
    ) {
        if let Some(paths) = all {
            self.cache.keep_profiles(paths);
            self.is_whole = true;
            self.cache.mark_changed();
        }
        for (path, reading) in read {
            let Some(reading) = reading else {
                self.cache.forget_profile(&path);
                continue;
            };
            let (id, uuid) = (shown(&reading.profile.id), shown(&reading.profile.uuid));
            if let Some(skipped) = self.cache.learn_profile(path, reading) {
                tracing::warn!(profile = %id, %uuid, "left out of a VPN profile: {skipped}");
            }
        }
    }
}
