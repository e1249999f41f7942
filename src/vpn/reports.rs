//! The order in which root's hooks reported. A report comes over the bus, or in a file while the agent cannot
//! be reached.

use serde::{Deserialize, Serialize};

use super::known::Known;
use super::{Report, ReportKind};
use crate::net::{Endpoint, Transport};

/// Maximum number of reports that are remembered. Each tunnel needs two, and a restart of it two more.
const MAX_REMEMBERED: usize = 64;

/// A report of root, and when its hook was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatedReport {
    /// By `CLOCK_BOOTTIME`, in nanoseconds.
    pub at: u64,
    /// What it reported.
    pub report: Report,
}

impl DatedReport {
    /// Whether this report makes an older one meaningless.
    pub fn replaces(&self, older: &Self) -> bool {
        let (new, old) = (&self.report, &older.report);
        old.interface == new.interface
            && older.at <= self.at
            && match new.kind {
                ReportKind::Up => true,
                ReportKind::DownAsked => new.may_be_of_the_process_of(old),
                // A lost tunnel can come back, and that needs the report that it was there.
                ReportKind::DownLost => old.kind != ReportKind::Up && new.may_be_of_the_process_of(old),
            }
    }

    fn is(&self, other: &Self) -> bool {
        (self.at, &self.report.interface, self.report.kind)
            == (other.at, &other.report.interface, other.report.kind)
    }
}

impl Known<'_> {
    /// The report with the transport that root's files name for its server. OpenVPN 2.7 reports the transport of its own
    /// end: UDP, where only the `remote` line says TCP.
    pub(super) fn with_transport_of_files(&self, report: &Report) -> Report {
        let is_named = |endpoint| self.files_of(endpoint).next().is_some();
        let corrected = report.endpoint.filter(|&endpoint| !is_named(endpoint)).and_then(|endpoint| {
            let other = match endpoint.transport() {
                Transport::Udp => Transport::Tcp,
                Transport::Tcp => Transport::Udp,
            };
            Endpoint::new(endpoint.address(), other, endpoint.port()).ok().filter(|&other| is_named(other))
        });
        Report { endpoint: corrected.or(report.endpoint), ..report.clone() }
    }
}

impl Report {
    fn may_be_of_the_process_of(&self, other: &Self) -> bool {
        self.pid.zip(other.pid).is_none_or(|(one, other)| one == other)
    }
}

/// The reports of root that were taken last, in the order in which their hooks were called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReportLog(Vec<DatedReport>);

impl ReportLog {
    /// The reports that the machine has to take in, so that its state is as if all reports had come in order.
    /// None when a later report makes this one meaningless, or when it was taken in before.
    pub fn take(&mut self, new: DatedReport) -> Vec<Report> {
        if self.0.iter().any(|known| known.is(&new)) {
            return Vec::new();
        }
        let place = self.0.partition_point(|known| known.at <= new.at);
        let later: Vec<DatedReport> = self.0[place..].to_vec();
        self.0.insert(place, new.clone());
        let excess = self.0.len().saturating_sub(MAX_REMEMBERED);
        self.0.drain(..excess);
        if later.iter().any(|later| later.replaces(&new)) {
            return Vec::new();
        }
        // A later report says that the same client lost its server: take that in again, after this one.
        let again = |later: &&DatedReport| {
            later.report.interface == new.report.interface
                && later.report.kind != ReportKind::Up
                && later.report.may_be_of_the_process_of(&new.report)
        };
        let again: Vec<Report> = later.iter().filter(again).map(|later| later.report.clone()).collect();
        std::iter::once(new.report).chain(again).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUN0: &str = "tun0";

    fn dated(at: u64, kind: ReportKind, interface: &str, pid: Option<u32>) -> DatedReport {
        let interface = interface.parse().unwrap();
        DatedReport {
            at,
            report: Report { kind, interface, pid, started: None, endpoint: None, either: None },
        }
    }

    fn up(at: u64, pid: u32) -> DatedReport {
        dated(at, ReportKind::Up, TUN0, Some(pid))
    }

    fn asked(at: u64, pid: u32) -> DatedReport {
        dated(at, ReportKind::DownAsked, TUN0, Some(pid))
    }

    fn lost(at: u64, pid: u32) -> DatedReport {
        dated(at, ReportKind::DownLost, TUN0, Some(pid))
    }

    fn taken(before: &[DatedReport], new: &DatedReport) -> Vec<Report> {
        let mut log = ReportLog::default();
        for report in before {
            log.take(report.clone());
        }
        log.take(new.clone())
    }

    #[test]
    fn the_newest_report_is_accepted_unchanged() {
        for new in [up(3, 7), asked(3, 7), lost(3, 7)] {
            assert_eq!(taken(&[up(1, 7), lost(2, 7)], &new), [new.report]);
        }
    }

    #[test]
    fn an_older_up_does_not_win_over_a_later_down_or_up() {
        assert_eq!(taken(&[asked(2, 7)], &up(1, 7)), []);
        assert_eq!(taken(&[dated(2, ReportKind::DownAsked, TUN0, None)], &up(1, 7)), []);
        assert_eq!(taken(&[up(2, 8)], &up(1, 7)), []);
        assert_eq!(taken(&[lost(2, 7)], &up(1, 7)), [up(1, 7).report, lost(2, 7).report]);
    }

    #[test]
    fn an_older_down_does_not_win_over_a_later_up() {
        assert_eq!(taken(&[up(2, 7)], &lost(1, 7)), []);
        assert_eq!(taken(&[up(2, 8)], &asked(1, 7)), []);
    }

    #[test]
    fn the_late_down_of_an_older_client_hides_no_up_of_the_next() {
        assert_eq!(taken(&[asked(2, 7)], &up(1, 8)), [up(1, 8).report]);
    }

    #[test]
    fn reports_of_different_tunnels_are_independent() {
        let other = dated(2, ReportKind::DownAsked, "tun1", Some(7));
        assert_eq!(taken(&[other], &up(1, 7)), [up(1, 7).report]);
    }

    #[test]
    fn a_report_that_came_by_bus_and_by_file_counts_once() {
        assert_eq!(taken(&[up(1, 7)], &up(1, 7)), []);
        let of_a_dead_process = DatedReport { report: Report { started: Some(4), ..up(1, 7).report }, at: 1 };
        assert_eq!(taken(&[up(1, 7), asked(2, 7)], &of_a_dead_process), []);
    }

    #[test]
    fn the_log_stays_small_and_forgets_the_oldest() {
        let mut log = ReportLog::default();
        for at in 0..1000 {
            log.take(up(at, 7));
        }
        assert_eq!((log.0.len(), log.0[0].at), (MAX_REMEMBERED, 1000 - 64));
    }
}
