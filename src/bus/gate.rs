//! Limits for each caller: a flood of calls from one caller must fill neither this process nor the log.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zbus::fdo;
use zbus::message::Header;

/// Maximum number of calls of one connection that wait for an answer. A program that waits for each answer
/// has one; the bus allows 128 (`max_replies_per_connection`, dbus-daemon(1)).
const MOST: usize = 32;

/// The shortest time between two log lines about refused calls of one user.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Counts calls for each connection, and log lines for each user.
#[derive(Debug, Default)]
pub(super) struct Gate {
    inside: Mutex<HashMap<String, usize>>,
    complaints: Mutex<HashMap<u32, (Instant, u64)>>,
}

/// One call that is being served. The call has ended when this is dropped.
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    caller: String,
}

impl Gate {
    /// Admits a call.
    ///
    /// # Errors
    /// `LimitsExceeded` when too many calls of this caller are being served.
    pub(super) fn enter(&self, header: &Header<'_>) -> fdo::Result<Pass<'_>> {
        let caller = header.sender().map(ToString::to_string).unwrap_or_default();
        let mut inside = lock(&self.inside);
        let count = inside.entry(caller.clone()).or_default();
        if *count >= MOST {
            return Err(fdo::Error::LimitsExceeded(format!(
                "{MOST} calls of this connection are waiting; ask again when they are answered"
            )));
        }
        *count += 1;
        Ok(Pass { gate: self, caller })
    }

    /// Logs a refused call. A second one of the same user within the interval is only counted. Each one of
    /// root's is logged, because it comes from a hook that somebody has to repair.
    pub(super) fn complain(&self, uid: u32, what: &str) {
        if uid == 0 {
            tracing::warn!("{what}");
            return;
        }
        let now = Instant::now();
        let mut complaints = lock(&self.complaints);
        complaints.retain(|_, (last, unsaid)| *unsaid > 0 || now.duration_since(*last) < LOG_INTERVAL);
        match complaints.get_mut(&uid) {
            Some((last, unsaid)) if now.duration_since(*last) < LOG_INTERVAL => *unsaid += 1,
            Some((last, unsaid)) => {
                tracing::warn!("{what} ({unsaid} more of user {uid} were refused before)");
                (*last, *unsaid) = (now, 0);
            }
            None => {
                tracing::warn!("{what}");
                complaints.insert(uid, (now, 0));
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let mut inside = lock(&self.gate.inside);
        if let Some(count) = inside.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.caller);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
