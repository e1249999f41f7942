//! Looks at the kernel that callers ask for: one serves all who wait, and only root has them at once.
//! Each starts two programs; nobody else may make this process start them in a storm.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bus::Verified;

/// The least time between two looks that root did not ask for.
const PACE: Duration = Duration::from_secs(1);

/// Who waits, and until when.
#[derive(Debug, Default)]
pub(super) struct Looks {
    waiting: Vec<oneshot::Sender<Verified>>,
    at: Option<Instant>,
    last: Option<Instant>,
}

impl Looks {
    /// Somebody wants a look that begins from now on.
    pub(super) fn want(&mut self, uid: u32, answer: oneshot::Sender<Verified>) {
        let now = Instant::now();
        let paced = self.last.map_or(now, |last| last + PACE);
        let at = if uid == 0 { now } else { paced };
        self.at = Some(self.at.map_or(at, |before| before.min(at)));
        self.waiting.push(answer);
    }

    /// Waits for the moment of the next look.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + use<> {
        let at = self.at;
        async move {
            match at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Hands over everybody whom the look that begins now serves.
    pub(super) fn take(&mut self) -> Vec<oneshot::Sender<Verified>> {
        self.at = None;
        self.last = Some(Instant::now());
        std::mem::take(&mut self.waiting)
    }
}
