//! What the agent keeps on disk for the next agent.

use super::writer::Writer;
use super::{Agent, describe};
use crate::bus::BusSignal;
use crate::status::{Enforcement, Verdict};
use crate::store::{Applied, Store};
use crate::system;
use crate::vpn::{Announcement, Change, LastLoss, LastVpn, ReportLog, Situation};

/// The state directory, and what it holds.
pub(super) struct Memory {
    pub(super) store: Store,
    /// Writes the files in the state directory. Those in `/run` are in memory, and the loop writes them itself.
    pub(super) writer: Writer,
    /// What is on disk for the next agent.
    pub(super) kept: Applied,
    /// The last reports of root's hooks.
    pub(super) reported: ReportLog,
}

impl Memory {
    pub(super) fn new(store: Store, kept: Applied) -> Self {
        Self { store, writer: Writer::default(), reported: kept.heard.clone(), kept }
    }

    /// Keeps what the state machine has learned.
    pub(super) fn remember(&self, change: Change) {
        let store = self.store.clone();
        let file = match &change {
            Change::Learned(_) => "the servers",
            Change::Names(_) => "the names of servers",
            Change::Networks(_) => "the bridges of Docker",
        };
        if let Some(Err(error)) = self.writer.write(file, move || store.remember(&change)) {
            tracing::warn!("{}: the next agent has to learn this again", describe(&error));
        }
    }
}

impl Agent {
    /// Keeps the situation for the next agent, if its rules are in force; otherwise that of the last rules
    /// that were.
    pub(super) fn keep(&mut self, wanted: Situation) {
        let (situation, refused) = match self.rules.found {
            Enforcement::Enforced => (wanted.clone(), None),
            Enforcement::Closed | Enforcement::NotEnforced | Enforcement::Unknown(_) => {
                (self.memory.kept.situation.clone(), Some(wanted.state))
            }
        };
        self.rules.wanted = wanted;
        let loss = self.last_loss();
        let kept = Applied {
            situation,
            refused,
            since: self.machine.since(),
            reports: self.machine.reports(),
            heard: self.memory.reported.clone(),
            silent: self.machine.silent_tunnels(),
            last: self.machine.last().cloned(),
            pause_ends: self.timers.pause_ends,
            loss,
        };
        if kept != self.memory.kept {
            if let Err(error) = self.memory.store.keep_applied(&kept) {
                tracing::warn!("{}", describe(&error));
            }
            self.memory.kept = kept;
        }
    }

    /// The last loss, and whether the rules have been in force ever since.
    fn last_loss(&mut self) -> Option<LastLoss> {
        let damaged = std::mem::take(&mut self.rules.damaged);
        let held = !damaged && Verdict::of(self.rules.found, self.rules.wanted.state).is_closed();
        let new = self.announcer.news.iter().rev().find_map(|news| loss(news, self.machine.last()));
        let loss = new.or_else(|| self.memory.kept.loss.clone())?;
        Some(LastLoss { held: loss.held && held, ..loss })
    }
}

/// The loss that this news announces. `last` is the VPN that was there last.
fn loss(news: &BusSignal, last: Option<&LastVpn>) -> Option<LastLoss> {
    let BusSignal::Vpn(Announcement::Lost { name, interface, reason }) = news else { return None };
    let interface = interface.as_ref().map_or_else(String::new, ToString::to_string);
    let uuid = match last {
        Some(LastVpn::Profile { uuid, name: of_last }) if of_last == name => Some(uuid.clone()),
        Some(LastVpn::Profile { .. } | LastVpn::Client { .. }) | None => None,
    };
    Some(LastLoss {
        name: name.clone(),
        uuid,
        interface,
        reason: reason.to_string(),
        code: Some(*reason),
        seen_by: reason.seen_by().to_owned(),
        at: system::now(),
        held: true,
    })
}
