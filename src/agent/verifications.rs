//! Comparisons of the kernel with the rules, which callers ask for. One comparison serves all callers who
//! wait. It starts programs, so only root gets it at once: no other user can make the agent start
//! programs without a limit.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bus::Verified;

/// Minimum time between two comparisons that root did not ask for.
const INTERVAL: Duration = Duration::from_secs(1);

/// The callers who wait, and when they are served.
#[derive(Debug, Default)]
pub(super) struct Verifications {
    callers: Callers,
    at: Option<Instant>,
    last: Option<Instant>,
}

/// The callers whom one comparison serves.
#[derive(Debug, Default)]
pub(super) struct Callers {
    pub(super) waiting: Vec<oneshot::Sender<Verified>>,
    /// Whether root is among them.
    pub(super) root: bool,
}

impl Verifications {
    /// Adds a caller, who wants a comparison that starts from now on.
    pub(super) fn request(&mut self, uid: u32, answer: oneshot::Sender<Verified>) {
        let now = Instant::now();
        let paced = self.last.map_or(now, |last| last + INTERVAL);
        let at = if uid == 0 { now } else { paced };
        self.at = Some(self.at.map_or(at, |before| before.min(at)));
        self.callers.root |= uid == 0;
        self.callers.waiting.push(answer);
    }

    /// Waits until the next comparison is due.
    pub(super) fn due(&self) -> impl Future<Output = ()> + use<> {
        let at = self.at;
        async move {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Returns the callers whom the comparison that starts now serves.
    pub(super) fn take_callers(&mut self) -> Callers {
        self.at = None;
        self.last = Some(Instant::now());
        std::mem::take(&mut self.callers)
    }
}
