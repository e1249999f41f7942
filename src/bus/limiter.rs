//! Limits for each caller, so that many calls of one caller can fill neither this process nor the log.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use zbus::fdo;
use zbus::message::Header;

use crate::system::lock;

/// Maximum number of calls of one connection that wait for an answer. A program that waits for each answer
/// has one; the bus allows 128 (`max_replies_per_connection`, dbus-daemon(1)).
const MAX_CALLS: usize = 32;

/// The shortest time between two log lines about refused calls of one user.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Maximum number of calls of one user that wait for an answer, over all connections. Root has no such limit.
const MAX_CALLS_OF_USER: usize = 32;

/// Maximum number of calls of one user that wait for the list of refusals, which is large. Root has no such limit.
const MAX_CALLS_OF_READER: usize = 4;

/// The caller to whom a call is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Connection(String),
    User(u32),
    Reader(u32),
}

/// Counts the calls of each connection and of each user, and the log lines for each user.
#[derive(Debug, Default)]
pub(super) struct CallLimiter {
    active: Mutex<HashMap<Who, usize>>,
    refused: Mutex<HashMap<u32, (Instant, u64)>>,
}

/// One call that the agent serves. When this value is dropped, the call has ended.
pub(super) struct CallPermit<'a> {
    limiter: &'a CallLimiter,
    who: Who,
}

impl CallLimiter {
    /// Admits a call.
    ///
    /// # Errors
    /// `LimitsExceeded` if the agent already serves too many calls of this connection.
    pub(super) fn admit(&self, header: &Header<'_>) -> fdo::Result<CallPermit<'_>> {
        let caller = header.sender().map(ToString::to_string).unwrap_or_default();
        self.count(Who::Connection(caller), MAX_CALLS)
    }

    /// Admits a call of a user, who may have any number of connections.
    ///
    /// # Errors
    /// `LimitsExceeded` if the agent already serves too many calls of this user.
    pub(super) fn admit_user(&self, uid: u32) -> fdo::Result<CallPermit<'_>> {
        self.count(Who::User(uid), if uid == 0 { usize::MAX } else { MAX_CALLS_OF_USER })
    }

    /// Admits a call of a user for the list of refusals.
    ///
    /// # Errors
    /// `LimitsExceeded` if the agent already serves too many such calls of this user.
    pub(super) fn admit_reader(&self, uid: u32) -> fdo::Result<CallPermit<'_>> {
        self.count(Who::Reader(uid), if uid == 0 { usize::MAX } else { MAX_CALLS_OF_READER })
    }

    fn count(&self, who: Who, most: usize) -> fdo::Result<CallPermit<'_>> {
        let mut active = lock(&self.active);
        let count = active.entry(who.clone()).or_default();
        if *count >= most {
            let whose = if matches!(who, Who::Connection(_)) { "connection" } else { "user" };
            return Err(fdo::Error::LimitsExceeded(format!(
                "{most} calls of this {whose} are waiting; ask again when they are answered"
            )));
        }
        *count += 1;
        Ok(CallPermit { limiter: self, who })
    }

    /// Logs a refused call. Within the interval, further calls of the same user are only counted. Every refused call of
    /// root is logged, because it comes from a hook that an administrator must repair.
    pub(super) fn log_refused(&self, uid: u32, what: &str) {
        if uid == 0 {
            tracing::warn!("{what}");
            return;
        }
        let now = Instant::now();
        let mut refused = lock(&self.refused);
        refused.retain(|_, (last, unsaid)| *unsaid > 0 || now.duration_since(*last) < LOG_INTERVAL);
        match refused.get_mut(&uid) {
            Some((last, unsaid)) if now.duration_since(*last) < LOG_INTERVAL => *unsaid += 1,
            Some((last, unsaid)) => {
                tracing::warn!("{what} ({unsaid} more of user {uid} were refused before)");
                (*last, *unsaid) = (now, 0);
            }
            None => {
                tracing::warn!("{what}");
                refused.insert(uid, (now, 0));
            }
        }
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        let mut active = lock(&self.limiter.active);
        if let Some(count) = active.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                active.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_bound_over_all_connections_and_takes_no_place_of_another_or_of_root() {
        let limiter = CallLimiter::default();
        let passes: Vec<_> = (0..MAX_CALLS_OF_USER).map(|_| limiter.admit_user(1000).unwrap()).collect();
        assert!(matches!(limiter.admit_user(1000), Err(fdo::Error::LimitsExceeded(_))));
        assert!(limiter.admit_user(1001).is_ok());
        let root: Vec<_> = (0..10 * MAX_CALLS_OF_USER).map(|_| limiter.admit_user(0).unwrap()).collect();
        drop((passes, root));
        assert!(limiter.admit_user(1000).is_ok());
        assert!(lock(&limiter.active).is_empty());
    }
}
