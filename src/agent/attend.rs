//! What the loop does while a firewall program runs: it answers requests and pings systemd's watchdog. A
//! program may wait for a lock, or hang until it is killed.

use std::collections::VecDeque;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Interval};

use super::wait::tick;
use crate::bus::{Answer, Backlog, Request, Update};
use crate::effects::systemd::{notify, watchdog_interval};
use crate::status::{Enforcement, Status, Unread};
use crate::vpn::{DatedReport, Machine, Reporter};

/// How long a firewall program may run before the status says so.
pub(super) const SLOW_AFTER: Duration = Duration::from_secs(2);

/// Maximum number of requests, and of reports, that wait here. More of them wait in their channel.
const WAITING: usize = 64;

/// Why a report of a process other than root's was refused.
const NOT_YOURS: &str = "the VPN client of this tunnel may report the loss of the tunnel, and its return; \
                         this call comes from another process, or reports something else";

/// Receives the requests of callers on the bus, also while the loop waits for a program.
pub(super) struct Attendant {
    requests: mpsc::Receiver<Request>,
    /// Requests that came while a program ran, and have to wait for its end.
    waiting: VecDeque<Request>,
    /// Reports that came while a program ran. Their hooks have been answered.
    reports: VecDeque<(DatedReport, Reporter)>,
    watchdog: Option<Interval>,
    status: watch::Sender<Status>,
    notices: Backlog,
}

impl Attendant {
    pub(super) fn new(
        requests: mpsc::Receiver<Request>,
        status: watch::Sender<Status>,
        notices: Backlog,
    ) -> Self {
        let watchdog = watchdog_interval().map(tokio::time::interval);
        Self { requests, waiting: VecDeque::new(), reports: VecDeque::new(), watchdog, status, notices }
    }

    /// The notices for the bus.
    pub(super) fn notices(&self) -> Backlog {
        self.notices.clone()
    }

    /// The next report that came while a program ran.
    pub(super) fn next_report(&mut self) -> Option<(DatedReport, Reporter)> {
        self.reports.pop_front()
    }

    /// Waits for the next request.
    pub(super) async fn next(&mut self) -> Option<Request> {
        if let Some(request) = self.waiting.pop_front() {
            return Some(request);
        }
        loop {
            tokio::select! {
                request = self.requests.recv() => return request,
                () = tick(&mut self.watchdog) => notify(&[NotifyState::Watchdog]),
            }
        }
    }

    /// Waits until some work with the rules has ended. Until then nothing else reads or changes the rules.
    pub(super) async fn attend<T>(&mut self, machine: &Machine, work: impl Future<Output = T>) -> T {
        let slow = Instant::now() + SLOW_AFTER;
        let mut pace = Pace::Usual;
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                () = tick(&mut self.watchdog) => notify(&[NotifyState::Watchdog]),
                () = tokio::time::sleep_until(slow), if pace == Pace::Usual => {
                    pace = Pace::Slow;
                    self.tell_that_it_is_slow(machine);
                }
                Some(request) = self.requests.recv(), if self.has_room() => self.take(machine, request, pace),
            }
        }
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < WAITING && self.reports.len() < WAITING
    }

    /// Until the work has ended, it is not known which rules are in force.
    fn tell_that_it_is_slow(&mut self, machine: &Machine) {
        let pending = pending();
        tracing::warn!("{pending}");
        let status = self.status.borrow().clone().found(Enforcement::Unknown(Unread::Failed));
        let status = Status { pending: Some(pending), ..status };
        self.status.send_replace(status.clone());
        self.notices.push(Update { status, news: Vec::new(), by: None });
        for request in std::mem::take(&mut self.waiting) {
            self.take(machine, request, Pace::Slow);
        }
    }

    /// Answers a request if that is possible before the work has ended; otherwise the request waits.
    fn take(&mut self, machine: &Machine, request: Request, pace: Pace) {
        match request {
            // OpenVPN waits for its hook, and its hook must not wait for a firewall program.
            Request::Report(dated, reporter, answer) => {
                if is_accepted(machine, &dated, &reporter, answer) {
                    self.reports.push_back((dated, reporter));
                }
            }
            Request::Verify(_, answer) if pace == Pace::Slow => {
                let _ = answer.send(Err(pending()));
            }
            Request::Verify(..)
            | Request::Pause(..)
            | Request::Resume(..)
            | Request::Reload(_)
            | Request::Reconnect(_) => self.waiting.push_back(request),
        }
    }
}

/// Whether the work has taken longer than [`SLOW_AFTER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Usual,
    Slow,
}

/// Answers a report, and returns whether the machine may take it.
pub(super) fn is_accepted(
    machine: &Machine,
    dated: &DatedReport,
    reporter: &Reporter,
    answer: oneshot::Sender<Answer>,
) -> bool {
    let is_accepted = machine.may_report(&dated.report, reporter);
    let _ = answer.send(if is_accepted { Ok(()) } else { Err(NOT_YOURS.to_owned()) });
    is_accepted
}

fn pending() -> String {
    format!(
        "a firewall program has been reading or changing the rules for more than {} s; until it ends, it is \
         not known what is in force",
        SLOW_AFTER.as_secs()
    )
}
