//! After every commit the agent reports what is in force: in the log, to systemd and on the bus.

use std::collections::BTreeSet;

use sd_notify::NotifyState;
use tokio::sync::watch;

use super::Agent;
use super::sources::publish;
use crate::bus::{Backlog, BusSignal, Requester, Update};
use crate::effects::systemd::notify;
use crate::status::{LeftOutStatus, ManagementStatus, Status, VpnStatus};
use crate::system;
use crate::vpn::Announcement;

/// The last report, and what the next one adds.
pub(super) struct Announcer {
    pub(super) status: watch::Sender<Status>,
    /// The processes of VPN clients. Their descendants may report on their tunnels.
    pub(super) clients: watch::Sender<BTreeSet<u32>>,
    notices: Backlog,
    /// Signals for the next report.
    pub(super) news: Vec<BusSignal>,
    /// The user who asked for the change that the next report is about.
    pub(super) asked_by: Option<Requester>,
}

impl Announcer {
    pub(super) fn new(status: watch::Sender<Status>, notices: Backlog) -> Self {
        Self { status, clients: watch::Sender::default(), notices, news: Vec::new(), asked_by: None }
    }
}

impl Agent {
    /// Reports what is in force.
    pub(super) async fn announce(&mut self) {
        publish(&self.announcer.clients, self.machine.clients());
        let status = self.status();
        self.sources.blocked.memory().begin(status.state, status.since);
        let news = std::mem::take(&mut self.announcer.news);
        let by = self.announcer.asked_by.take();
        if news.is_empty() && *self.announcer.status.borrow() == status {
            return;
        }
        for item in &news {
            log(item, &status);
        }
        log_new_faults(&self.announcer.status.borrow(), &status);
        let line = status.line();
        notify(&[NotifyState::Status(&line)]);
        tracing::debug!("told");
        self.announcer.status.send_replace(status.clone());
        self.announcer.notices.push(Update { status, news, by });
    }

    fn status(&mut self) -> Status {
        let docker = self.machine.docker();
        let present = docker.is_some() || system::has_docker();
        let status = Status::new(&self.rules.wanted, self.memory.kept.since, self.rules.found, present);
        let mut status = status.with_layers(self.rules.firewall.layers()).with_docker(docker);
        status.pending.clone_from(&self.rules.pending);
        status.repairs = self.rules.repairs;
        status.watch = Some(self.watch());
        status.fights = self.fights();
        status.reconnect = Some(self.machine.config().vpn.reconnect);
        status.management = self.machine.socket_states().map(ManagementStatus::from).collect();
        status.loss.clone_from(&self.memory.kept.loss);
        status.configuration = Some(self.configuration.status());
        status.left_out = self.machine.left_out().into_iter().map(LeftOutStatus::from).collect();
        (status.vpns, status.vpns_left_out) = VpnStatus::listed(self.machine.listed_vpns());
        status
    }
}

/// Logs what a layer or a Docker network newly lacks.
fn log_new_faults(before: &Status, now: &Status) {
    let lacks = |status: &Status| -> Vec<String> {
        status.layers.iter().filter_map(|layer| layer.lacks.clone()).collect()
    };
    let known = lacks(before);
    for lack in lacks(now).iter().filter(|lack| !known.contains(lack)) {
        tracing::warn!("a layer does not hold all its rules: {lack}");
    }
    let known = before.docker.faults();
    for fault in now.docker.faults().iter().filter(|fault| !known.contains(fault)) {
        tracing::warn!("the rules do not hold a Docker network as they should: {fault}");
    }
}

/// Fields are for programs that read the journal: `journalctl TUNWARDEN_EVENT=lost`.
fn log(news: &BusSignal, status: &Status) {
    match news {
        BusSignal::Vpn(Announcement::State { old, new }) => {
            tracing::info!(event = "state", %old, %new, "{old} -> {new}; {}", status.line());
        }
        BusSignal::Vpn(Announcement::Lost { name, interface, reason }) => {
            let interface =
                interface.as_ref().map_or_else(String::new, |interface| format!(" ({interface})"));
            tracing::warn!(event = "lost", vpn = %name, %reason, "the VPN {name}{interface} is lost: {reason}; {}", status.leaves());
        }
        BusSignal::Repaired { what, by: None } => tracing::warn!(event = "repaired", "repaired: {what}"),
        BusSignal::Repaired { what, by: Some(by) } => {
            tracing::warn!(event = "repaired", by = %by.name, "repaired: {what}; it was {} (process {})", by.name, by.pid);
        }
        BusSignal::Failed(_) => {}
    }
}
