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
const MOST: usize = 32;

/// The shortest time between two log lines about refused calls of one user.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Maximum number of calls of one user that wait for an answer, over all connections. Root has no such limit.
const MOST_OF_USER: usize = 32;

/// Maximum number of calls of one user that wait for the list of refusals, which is large. Root has no such limit.
const MOST_OF_READER: usize = 4;

/// The caller to whom a call is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Connection(String),
    User(u32),
    Reader(u32),
}

/// Counts the calls of each connection and of each user, and the log lines for each user.
#[derive(Debug, Default)]
pub(super) struct Gate {
    inside: Mutex<HashMap<Who, usize>>,
    complaints: Mutex<HashMap<u32, (Instant, u64)>>,
}

/// One call that the agent serves. When this value is dropped, the call has ended.
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    who: Who,
}

impl Gate {
    /// Admits a call.
    ///
    /// # Errors
    /// `LimitsExceeded` if the agent already serves too many calls of this connection.
    pub(super) fn enter(&self, header: &Header<'_>) -> fdo::Result<Pass<'_>> {
        let caller = header.sender().map(ToString::to_string).unwrap_or_default();
        self.count(Who::Connection(caller), MOST)
    }

    /// Admits a call of a user, who may have any number of connections.
    ///
    /// # Errors
    /// `LimitsExceeded` if the agent already serves too many calls of this user.
    pub(super) fn enter_user(&self, uid: u32) -> fdo::Result<Pass<'_>> {
        self.count(Who::User(uid), if uid == 0 { usize::MAX } else { MOST_OF_USER })
    }

    /// Admits a call of a user for the list of refusals.
    ///
    /// # Errors
    /// `LimitsExceeded` if the agent already serves too many such calls of this user.
    pub(super) fn enter_reader(&self, uid: u32) -> fdo::Result<Pass<'_>> {
        self.count(Who::Reader(uid), if uid == 0 { usize::MAX } else { MOST_OF_READER })
    }

    fn count(&self, who: Who, most: usize) -> fdo::Result<Pass<'_>> {
        let mut inside = lock(&self.inside);
        let count = inside.entry(who.clone()).or_default();
        if *count >= most {
            let whose = if matches!(who, Who::Connection(_)) { "connection" } else { "user" };
            return Err(fdo::Error::LimitsExceeded(format!(
                "{most} calls of this {whose} are waiting; ask again when they are answered"
            )));
        }
        *count += 1;
        Ok(Pass { gate: self, who })
    }

    /// Logs a refused call. Within the interval, further calls of the same user are only counted. Every refused call of
    /// root is logged, because it comes from a hook that an administrator must repair.
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
        if let Some(count) = inside.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_bound_over_all_connections_and_takes_no_place_of_another_or_of_root() {
        let gate = Gate::default();
        let passes: Vec<_> = (0..MOST_OF_USER).map(|_| gate.enter_user(1000).unwrap()).collect();
        assert!(matches!(gate.enter_user(1000), Err(fdo::Error::LimitsExceeded(_))));
        assert!(gate.enter_user(1001).is_ok());
        let root: Vec<_> = (0..10 * MOST_OF_USER).map(|_| gate.enter_user(0).unwrap()).collect();
        drop((passes, root));
        assert!(gate.enter_user(1000).is_ok());
        assert!(lock(&gate.inside).is_empty());
    }
}
