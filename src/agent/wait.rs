//! What the loop waits for by the clock; for ever, where there is nothing to wait for.

use std::time::Duration;

use crate::system;

pub(super) async fn until(moment: Option<jiff::Timestamp>) {
    let Some(moment) = moment else { return std::future::pending().await };
    let seconds = u64::try_from(moment.as_second()).unwrap_or_default().saturating_sub(system::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

pub(super) async fn until_instant(moment: Option<tokio::time::Instant>) {
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
