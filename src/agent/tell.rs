//! What is kept and told of a commit: on disk, in the log, to systemd and to the bus.

use sd_notify::NotifyState;

use super::{Agent, describe, publish};
use crate::bus::{News, Notice};
use crate::effects::systemd::notify;
use crate::status::{Enforcement, LeftOutStatus, LossStatus, ManagementStatus, Status, Verdict};
use crate::store::Applied;
use crate::system;
use crate::vpn::{Announcement, Situation};

impl Agent {
    /// Keeps for our successor what is in force. What the kernel was not given is not.
    pub(super) fn keep(&mut self, wanted: Situation) {
        let (situation, refused) = match self.found {
            Enforcement::Enforced => (wanted.clone(), None),
            Enforcement::Closed | Enforcement::NotEnforced | Enforcement::Unknown(_) => {
                (self.kept.situation.clone(), Some(wanted.state))
            }
        };
        self.situation = wanted;
        let (since, reports) = (self.machine.since(), self.machine.reports());
        let (last, pause_ends) = (self.machine.last().cloned(), self.pause_ends);
        let loss = self.last_loss();
        let silent = self.machine.silent_tunnels();
        let heard = self.heard.clone();
        let kept = Applied { situation, refused, since, reports, heard, silent, last, pause_ends, loss };
        if kept != self.kept {
            if let Err(error) = self.store.keep_applied(&kept) {
                tracing::warn!("{}", describe(&error));
            }
            self.kept = kept;
        }
    }

    /// The last loss, and whether the rules have held ever since.
    fn last_loss(&mut self) -> Option<LossStatus> {
        let damaged = std::mem::take(&mut self.damaged);
        let held = !damaged && Verdict::of(self.found, self.situation.state).is_closed();
        let loss = self.news.iter().rev().find_map(loss).or_else(|| self.kept.loss.clone())?;
        Some(LossStatus { held: loss.held && held, ..loss })
    }

    /// Says what was applied: to the log, to systemd, to the bus.
    pub(super) async fn tell(&mut self) {
        publish(&self.clients, self.machine.clients());
        let docker = self.machine.docker();
        let present = docker.is_some() || system::has_docker();
        let status = Status::new(&self.situation, self.kept.since, self.found, present);
        let mut status = status.with_layers(self.firewall.layers()).with_docker(docker);
        status.pending.clone_from(&self.pending);
        status.repairs = self.repairs;
        status.watch = Some(self.watch());
        status.fights = self.fights();
        status.reconnect = Some(self.machine.config().vpn.reconnect);
        status.management = self.machine.hearings().map(ManagementStatus::from).collect();
        status.loss.clone_from(&self.kept.loss);
        status.configuration = Some(self.configuration.status());
        status.left_out = self.machine.left_out().into_iter().map(LeftOutStatus::from).collect();
        let news = std::mem::take(&mut self.news);
        let by = self.asked_by.take();
        if news.is_empty() && *self.status.borrow() == status {
            return;
        }
        for item in &news {
            log(item, &status);
        }
        let lacks = |status: &Status| status.layers.iter().filter_map(|layer| layer.lacks.clone()).collect();
        let (before, now): (Vec<String>, Vec<String>) = (lacks(&self.status.borrow()), lacks(&status));
        for lack in now.iter().filter(|lack| !before.contains(lack)) {
            tracing::warn!("one layer holds the rules, or a part of it: {lack}");
        }
        let known = self.status.borrow().docker.faults();
        for fault in status.docker.faults().iter().filter(|fault| !known.contains(fault)) {
            tracing::warn!("a Docker network is not held as it should be: {fault}");
        }
        let line = status.line();
        notify(&[NotifyState::Status(&line)]);
        tracing::debug!("told");
        self.status.send_replace(status.clone());
        self.notices.push(Notice { status, news, by });
    }
}

fn loss(news: &News) -> Option<LossStatus> {
    let News::Vpn(Announcement::Lost { name, interface, reason }) = news else { return None };
    let interface = interface.as_ref().map_or_else(String::new, ToString::to_string);
    Some(LossStatus {
        name: name.clone(),
        interface,
        reason: reason.to_string(),
        code: Some(*reason),
        seen_by: reason.seen_by().to_owned(),
        at: system::now(),
        held: true,
    })
}

/// Fields are for programs that read the journal: `journalctl TUNWARDEN_EVENT=lost`.
fn log(news: &News, status: &Status) {
    match news {
        News::Vpn(Announcement::State { old, new }) => {
            tracing::info!(event = "state", %old, %new, "{old} -> {new}; {}", status.line());
        }
        News::Vpn(Announcement::Lost { name, interface, reason }) => {
            let interface =
                interface.as_ref().map_or_else(String::new, |interface| format!(" ({interface})"));
            tracing::warn!(event = "lost", vpn = %name, %reason, "the VPN {name}{interface} is lost: {reason}; {}", status.leaves());
        }
        News::Repaired { what, by: None } => tracing::warn!(event = "repaired", "repaired: {what}"),
        News::Repaired { what, by: Some(by) } => {
            tracing::warn!(event = "repaired", by = %by.name, "repaired: {what}; it was {} (process {})", by.name, by.pid);
        }
        News::Failed(_) => {}
    }
}
