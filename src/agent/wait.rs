//! What the loop waits for: points in time, and the signals that end it. A wait without a point in time never
//! ends.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::system;

/// Points in time at which the loop has something to do.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// When the machine wants its next [`crate::vpn::Event::Clock`].
    pub(super) wake_at: Option<jiff::Timestamp>,
    /// When the pause ends by CLOCK_BOOTTIME, in seconds since boot.
    pub(super) pause_ends: Option<u64>,
}

/// How long the agent waits before it repeats what has failed: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// When something that has failed is repeated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) at: Instant,
    pub(super) after: Duration,
}

impl Retry {
    /// The first one, or the one after `last`, which waits twice as long.
    pub(super) fn next(last: Option<Self>) -> Self {
        let after = last.map_or(RETRY.0, |last| (last.after * 2).min(RETRY.1));
        Self { at: Instant::now() + after, after }
    }
}

/// The signals that end the agent.
pub(super) struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

pub(super) async fn until(moment: Option<jiff::Timestamp>) {
    let Some(moment) = moment else { return std::future::pending().await };
    let seconds = u64::try_from(moment.as_second()).unwrap_or_default().saturating_sub(system::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

pub(super) async fn until_instant(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

pub(super) async fn tick(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
