//! Who is being served: one caller's flood must not fill this process, nor the log.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zbus::fdo;
use zbus::message::Header;

/// How many of its calls one connection may have waiting. Programs that wait for an answer have one;
/// a bus carries at most 128 that want one (`max_replies_per_connection`, dbus-daemon(1)).
const MOST: usize = 32;

/// How often the log hears of refused calls of one user.
const OFTEN: Duration = Duration::from_secs(60);

/// Counts calls by the connection that they come from, and complaints by user.
#[derive(Debug, Default)]
pub(super) struct Gate {
    inside: Mutex<HashMap<String, usize>>,
    complaints: Mutex<HashMap<u32, (Instant, u64)>>,
}

/// One call that is being served, until it is dropped.
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    caller: String,
}

impl Gate {
    /// Lets a call in.
    ///
    /// # Errors
    /// `LimitsExceeded` when too many of this caller's are inside already.
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

    /// Says it in the log, unless the same user was complained of a moment ago; then it is counted. Each
    /// of root's is said: those are hooks that somebody has to mend.
    pub(super) fn complain(&self, uid: u32, what: &str) {
        if uid == 0 {
            tracing::warn!("{what}");
            return;
        }
        let now = Instant::now();
        let mut complaints = lock(&self.complaints);
        complaints.retain(|_, (last, unsaid)| *unsaid > 0 || now.duration_since(*last) < OFTEN);
        match complaints.get_mut(&uid) {
            Some((last, unsaid)) if now.duration_since(*last) < OFTEN => *unsaid += 1,
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
