//! What the loop does while a firewall program runs: it answers requests and pings systemd's watchdog. A
//! program may wait for a lock, or hang until it is killed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, Interval};

use super::wait::tick;
use crate::bus::{Answer, Backlog, Inbox, Request, Update};
use crate::effects::systemd::{notify, watchdog_interval};
use crate::status::{Enforcement, Status, Unread};
use crate::vpn::{DatedReport, Machine, Reporter};

/// How long a firewall program may run before the status says so.
pub(super) const SLOW_AFTER: Duration = Duration::from_secs(2);

/// Maximum number of reports that wait here. More of them wait in their channel.
const REPORTS: usize = 64;

/// Maximum number of them that processes of VPN clients made. The others are root's.
const REPORTS_OF_CLIENTS: usize = 32;

/// Why another report of a VPN client is refused while a program runs.
const TOO_MANY_REPORTS: &str = "too many reports wait for a firewall program to end; report again later";

/// Why a report of a process other than root's was refused.
const NOT_THE_CLIENT: &str = "the VPN client of this tunnel may report the loss of the tunnel, and its return; \
                         this call comes from another process, or reports something else";

/// Receives the requests and the reports of callers on the bus, also while the loop waits for a program.
pub(super) struct RequestReceiver {
    inbox: Inbox,
    /// Requests that came while a program ran, and have to wait for its end. The bus limits their number for
    /// each user.
    waiting: VecDeque<Request>,
    /// Reports that came while a program ran. Their hooks have been answered.
    reports: VecDeque<(DatedReport, Reporter)>,
    watchdog: Option<Interval>,
    status: watch::Sender<Status>,
    notices: Backlog,
}

impl RequestReceiver {
    pub(super) fn new(inbox: Inbox, status: watch::Sender<Status>, notices: Backlog) -> Self {
        let watchdog = watchdog_interval().map(tokio::time::interval);
        Self { inbox, waiting: VecDeque::new(), reports: VecDeque::new(), watchdog, status, notices }
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
        if let Ok(report) = self.inbox.reports.try_recv() {
            return Some(report);
        }
        if let Some(request) = self.waiting.pop_front() {
            return Some(request);
        }
        loop {
            tokio::select! {
                Some(report) = self.inbox.reports.recv() => return Some(report),
                request = self.inbox.requests.recv() => return request,
                () = tick(&mut self.watchdog) => notify(&[NotifyState::Watchdog]),
            }
        }
    }

    /// Waits until some work with the rules has ended. Until then nothing else reads or changes the rules.
    pub(super) async fn run<T>(&mut self, machine: &Machine, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            if let Some(result) = self.run_while(machine, work.as_mut(), |_| true).await {
                return result;
            }
        }
    }

    /// The same for work that opens: if it hangs and somebody asks to close, it is given up. Then the result is
    /// `None`.
    pub(super) async fn run_unless_closed<T>(
        &mut self,
        machine: &Machine,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let work = std::pin::pin!(work);
        self.run_while(machine, work, |waiting| {
            !waiting.iter().any(|request| matches!(request, Request::Resume(..)))
        })
        .await
    }

    /// Waits until the work has ended. Once it is slow, also until `goes_on` is false for the requests that
    /// wait.
    async fn run_while<T>(
        &mut self,
        machine: &Machine,
        mut work: Pin<&mut impl Future<Output = T>>,
        goes_on: impl Fn(&VecDeque<Request>) -> bool,
    ) -> Option<T> {
        let slow = Instant::now() + SLOW_AFTER;
        let mut pace = Pace::Usual;
        while pace == Pace::Usual || goes_on(&self.waiting) {
            let has_room = self.reports.len() < REPORTS;
            tokio::select! {
                result = &mut work => return Some(result),
                () = tick(&mut self.watchdog) => notify(&[NotifyState::Watchdog]),
                () = tokio::time::sleep_until(slow), if pace == Pace::Usual => {
                    pace = Pace::Slow;
                    self.report_slow_work(machine);
                }
                Some(report) = self.inbox.reports.recv(), if has_room => self.take(machine, report, pace),
                Some(request) = self.inbox.requests.recv() => self.take(machine, request, pace),
            }
        }
        None
    }

    fn reports_of_clients(&self) -> usize {
        self.reports.iter().filter(|(_, reporter)| matches!(reporter, Reporter::Client(_))).count()
    }

    /// Reports that a firewall program is slow: until the work has ended, it is not known which rules are in force.
    fn report_slow_work(&mut self, machine: &Machine) {
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
            Request::Report(_, Reporter::Client(_), answer)
                if self.reports_of_clients() >= REPORTS_OF_CLIENTS =>
            {
                let _ = answer.send(Err(TOO_MANY_REPORTS.to_owned()));
            }
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
    let _ = answer.send(if is_accepted { Ok(()) } else { Err(NOT_THE_CLIENT.to_owned()) });
    is_accepted
}

fn pending() -> String {
    format!(
        "a firewall program has been reading or changing the rules for more than {} s; until it ends, it is \
         not known what is in force",
        SLOW_AFTER.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{RequestSender, Requester, request_channel};
    use crate::config::Config;
    use crate::status::Enforcement;
    use crate::vpn::{Remembered, Report, ReportKind, Situation};

    fn receiver() -> (RequestReceiver, RequestSender, Machine) {
        let (requests, inbox) = request_channel();
        let status = Status::new(&Situation::default(), 0, Enforcement::Enforced, false);
        let receiver = RequestReceiver::new(inbox, watch::Sender::new(status), Backlog::default());
        (receiver, requests, Machine::new(Config::default(), Remembered::default(), 0))
    }

    fn resume(answer: oneshot::Sender<Answer>) -> Request {
        Request::Resume(Requester { uid: 1000, name: None }, answer)
    }

    fn report(answer: oneshot::Sender<Answer>) -> Request {
        let report = Report {
            kind: ReportKind::DownLost,
            interface: "tun7".parse().unwrap(),
            pid: None,
            started: None,
            endpoint: None,
            either: None,
        };
        Request::Report(DatedReport { at: 0, report }, Reporter::Root, answer)
    }

    #[tokio::test]
    async fn a_report_is_received_while_any_number_of_requests_wait_for_a_hanging_program() {
        let (mut receiver, requests, machine) = receiver();
        for _ in 0..500 {
            let requests = requests.clone();
            tokio::spawn(async move { requests.ask(resume).await });
        }
        // The program hangs until the hook is answered.
        let hook = tokio::spawn(async move { requests.ask(report).await });
        let hangs = tokio::time::timeout(Duration::from_secs(60), hook);
        let heard = receiver.run(&machine, hangs).await;
        assert!(matches!(heard, Ok(Ok(Some(Ok(()))))), "the hook waits for a firewall program: {heard:?}");
        assert!(receiver.next_report().is_some());
    }

    #[tokio::test]
    async fn hanging_work_that_opens_is_cancelled_by_a_request_that_closes() {
        let (mut receiver, requests, machine) = receiver();
        let closes = tokio::spawn(async move { requests.ask(resume).await });
        let hangs = std::future::pending::<()>();
        assert!(receiver.run_unless_closed(&machine, hangs).await.is_none());
        assert!(matches!(receiver.next().await, Some(Request::Resume(..))), "the request is served next");
        assert!(!closes.is_finished());
    }
}
