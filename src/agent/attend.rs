//! What the loop does while a program reads or changes the rules: it goes on answering, and tells systemd
//! that it lives. A program may wait for a lock or hang until it is killed.

use std::collections::VecDeque;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval};

use super::wait::tick;
use crate::bus::{Backlog, Notice, Request};
use crate::effects::systemd::{notify, watchdog_interval};
use crate::status::{Enforcement, Status, Unread};

/// How long a program may take before the status says so.
const PATIENCE: Duration = Duration::from_secs(2);

/// Maximum number of requests that wait here; more wait in their channel.
const WAITING: usize = 64;

/// The ear of the loop.
pub(super) struct Attendant {
    requests: mpsc::Receiver<Request>,
    /// What was asked while a program was at work, and has to wait for its end.
    waiting: VecDeque<Request>,
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
        Self { requests, waiting: VecDeque::new(), watchdog, status, notices }
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

    /// Waits for the end of some work with the rules. Nothing else is done with them meanwhile.
    pub(super) async fn attend<T>(&mut self, work: impl Future<Output = T>) -> T {
        let slow = Instant::now() + PATIENCE;
        let mut work = std::pin::pin!(work);
        loop {
            let is_slow = Instant::now() >= slow;
            tokio::select! {
                result = &mut work => return result,
                () = tick(&mut self.watchdog) => notify(&[NotifyState::Watchdog]),
                () = tokio::time::sleep_until(slow), if !is_slow => self.tell_that_it_is_slow(),
                Some(request) = self.requests.recv(), if self.waiting.len() < WAITING => match is_slow {
                    true => self.answer_or_keep(request),
                    false => self.waiting.push_back(request),
                },
            }
        }
    }

    /// Nobody knows what is in force until the work has ended.
    fn tell_that_it_is_slow(&mut self) {
        let pending = pending();
        tracing::warn!("{pending}");
        let status = self.status.borrow().clone().found(Enforcement::Unknown(Unread::Failed));
        let status = Status { pending: Some(pending), ..status };
        self.status.send_replace(status.clone());
        self.notices.push(Notice { status, news: Vec::new(), by: None });
        for request in std::mem::take(&mut self.waiting) {
            self.answer_or_keep(request);
        }
    }

    fn answer_or_keep(&mut self, request: Request) {
        match request {
            Request::Verify(_, answer) => {
                let _ = answer.send(Err(pending()));
            }
            Request::Pause(..)
            | Request::Resume(..)
            | Request::Reload(_)
            | Request::Reconnect(_)
            | Request::Report(..) => self.waiting.push_back(request),
        }
    }
}

fn pending() -> String {
    format!(
        "a firewall program has been reading or changing the rules for more than {} s; until it ends, it is \
         not known what is in force",
        PATIENCE.as_secs()
    )
}
