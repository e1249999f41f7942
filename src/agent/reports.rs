//! The reports of hooks: they come over the bus, or in files if the agent could not be reached.

use super::{Agent, describe};
use crate::system;
use crate::system::process;
use crate::vpn::{DatedReport, Event, Report, ReportKind, Reporter};

impl Agent {
    /// Takes a report that came over the bus and was accepted.
    pub(super) fn take_report(&mut self, dated: DatedReport, reporter: Reporter) {
        match reporter {
            Reporter::Root => self.take_root_report(dated),
            Reporter::Client(_) => {
                tracing::info!("{reporter} reports {}", dated.report);
                self.take(Event::Report(dated.report, reporter));
            }
        }
    }

    /// Takes the reports that came while a firewall program ran.
    pub(super) fn take_waiting_reports(&mut self) -> Taken {
        let mut taken = Taken::Nothing;
        while let Some((dated, reporter)) = self.receiver.next_report() {
            self.take_report(dated, reporter);
            taken = Taken::Reports;
        }
        taken
    }

    /// Takes a report of root. Reports count in the order in which their hooks were called, not in that of
    /// their arrival.
    pub(super) fn take_root_report(&mut self, dated: DatedReport) {
        for report in self.memory.reported.take(dated) {
            tracing::info!("root reports {report}");
            self.take(Event::Report(report, Reporter::Root));
        }
    }

    /// Takes the reports in files, and enforces what follows from them.
    pub(super) async fn take_stored_reports(&mut self) {
        if self.take_stored() {
            self.enforce().await;
        }
    }

    /// Takes the reports in files. Returns whether there were any.
    pub(super) fn take_stored(&mut self) -> bool {
        let left = self.memory.store.stored_reports(system::boottime()).unwrap_or_else(|error| {
            tracing::warn!("{}: the reports of hooks are not read", describe(&error));
            Vec::new()
        });
        for one in &left {
            if is_current(&one.dated.report) {
                self.take_root_report(one.dated.clone());
            }
            if let Err(error) = self.memory.store.remove_stored(one) {
                tracing::warn!("{}", describe(&error));
            }
        }
        !left.is_empty()
    }
}

/// Whether there were reports to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Nothing,
    Reports,
}

/// Whether a report can still be true: the client that brought the tunnel up still runs, and no other process
/// has got its process id.
pub(super) fn is_current(report: &Report) -> bool {
    match (report.kind, report.pid, report.started) {
        (ReportKind::Up, Some(pid), Some(started)) => process::started(pid) == Some(started),
        (ReportKind::Up, Some(pid), None) => process::started(pid).is_some(),
        (ReportKind::Up, None, _) | (ReportKind::DownAsked | ReportKind::DownLost, ..) => true,
    }
}
