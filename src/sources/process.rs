//! Watches the processes of VPN clients: when they end, and which user they change to.
//!
//! A pidfd reports the end of a process. Without the proc connector the kernel reports no change of user, so the agent
//! checks each client a few times while it starts, and never afterwards.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::system::process::{effective_uid, open, unit};
use crate::vpn::Event;

/// When the user of a client is checked, after the last call of [`Watcher::watch`]. OpenVPN drops its
/// privileges directly after its `up` and `route-up` hooks.
const CHECKS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

/// The watched processes. Dropping it ends every watch.
#[derive(Debug)]
pub struct Watcher {
    events: mpsc::Sender<Event>,
    watched: HashMap<u32, Watch>,
}

#[derive(Debug)]
struct Watch {
    task: AbortHandle,
    again: Arc<Notify>,
}

impl Watcher {
    /// Watches nothing yet.
    pub fn new(events: mpsc::Sender<Event>) -> Self {
        Self { events, watched: HashMap::new() }
    }

    /// Watches a process until it ends. Sends [`Event::ClientUser`] when the process is first seen and
    /// whenever its effective user has changed, and [`Event::ClientExited`] once. A process that does not
    /// exist has ended. A process that is watched already is checked again, as at the start.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn watch(&mut self, pid: u32) {
        self.watched.retain(|_, watch| !watch.task.is_finished());
        if let Some(watch) = self.watched.get(&pid) {
            watch.again.notify_one();
            return;
        }
        let again = Arc::new(Notify::new());
        let task = tokio::spawn(watch(pid, Arc::clone(&again), self.events.clone())).abort_handle();
        self.watched.insert(pid, Watch { task, again });
    }

    /// Ends the watch of a process.
    pub fn forget(&mut self, pid: u32) {
        if let Some(watch) = self.watched.remove(&pid) {
            watch.task.abort();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        for watch in self.watched.values() {
            watch.task.abort();
        }
    }
}

async fn watch(pid: u32, again: Arc<Notify>, events: mpsc::Sender<Event>) {
    match follow(pid, &again, &events).await {
        Ok(()) => drop(events.send(Event::ClientExited { pid }).await),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(pid, error, "the VPN client's process cannot be watched");
        }
    }
}

/// Returns when the process has ended.
async fn follow(pid: u32, again: &Notify, events: &mpsc::Sender<Event>) -> io::Result<()> {
    // The pidfd is opened before anything under /proc/PID is read. Another process may get the same pid at any time,
    // but the pidfd always means this process.
    let Some(process) = open(pid)? else { return Ok(()) };
    if let Some(unit) = unit(pid).filter(|_| has_ended(&process).is_ok_and(|ended| !ended)) {
        drop(events.send(Event::ClientUnit { pid, unit }).await);
    }
    let mut known = None;
    let (mut start, mut checks) = (Instant::now(), CHECKS.iter());
    loop {
        let due = checks.next().map(|&check| start + check);
        match wake(&process, again, due).await? {
            WakeReason::Ended => return Ok(()),
            WakeReason::Again => (start, checks) = (Instant::now(), CHECKS.iter()),
            WakeReason::Due => {
                let Some(uid) = effective_uid(pid).filter(|&uid| known != Some(uid)) else { continue };
                // The uid belongs to this process only if it is still running.
                if !has_ended(&process)? {
                    known = Some(uid);
                    // An error means that the receiver was dropped.
                    drop(events.send(Event::ClientUser { pid, uid }).await);
                }
            }
        }
    }
}

enum WakeReason {
    Ended,
    Again,
    Due,
}

/// Waits for the end of the process, a new call of [`Watcher::watch`], or the next check.
async fn wake(process: &AsyncFd<OwnedFd>, again: &Notify, due: Option<Instant>) -> io::Result<WakeReason> {
    let due = async {
        match due {
            Some(moment) => sleep_until(moment).await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        ended = process.readable() => ended.map(|_| WakeReason::Ended),
        () = again.notified() => Ok(WakeReason::Again),
        () = due => Ok(WakeReason::Due),
    }
}

/// Whether the process has ended by now. The state that tokio keeps may be older.
fn has_ended(process: &AsyncFd<OwnedFd>) -> io::Result<bool> {
    let mut pidfd = [PollFd::new(process.get_ref(), PollFlags::IN)];
    Ok(poll(&mut pidfd, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test starts programs and touches files")]
mod tests {
    use std::process::{Child, Command};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    fn watcher() -> (Watcher, mpsc::Receiver<Event>) {
        let (events, received) = mpsc::channel(8);
        (Watcher::new(events), received)
    }

    /// The next event without those about units: these processes are in the unit of the tests.
    async fn next(received: &mut mpsc::Receiver<Event>) -> Option<Event> {
        loop {
            let event = timeout(Duration::from_secs(5), received.recv()).await.unwrap();
            if !matches!(event, Some(Event::ClientUnit { .. })) {
                return event;
            }
        }
    }

    fn own_uid() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[tokio::test]
    async fn a_pid_without_a_process_has_ended() {
        let mut child = sleeper();
        child.kill().unwrap();
        child.wait().unwrap();
        let (mut watcher, mut received) = watcher();
        for pid in [child.id(), 0, u32::MAX] {
            watcher.watch(pid);
            assert_eq!(next(&mut received).await, Some(Event::ClientExited { pid }));
        }
    }

    #[tokio::test]
    async fn a_process_is_reported_once_although_it_is_watched_three_times() {
        let mut child = sleeper();
        let pid = child.id();
        let (mut watcher, mut received) = watcher();
        watcher.watch(pid);
        assert_eq!(next(&mut received).await, Some(Event::ClientUser { pid, uid: own_uid() }));
        watcher.watch(pid);
        watcher.watch(pid);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(received.try_recv().is_err(), "reported twice");
        child.kill().unwrap();
        // The test does not wait for the process: a zombie has ended, too.
        assert_eq!(next(&mut received).await, Some(Event::ClientExited { pid }));
        child.wait().unwrap();
        drop(watcher);
        assert_eq!(next(&mut received).await, None);
    }

    #[tokio::test]
    async fn a_change_of_user_is_seen() {
        if own_uid() != 0 {
            eprintln!("skipped: only root can change its user");
            return;
        }
        let drop_later = "sleep 0.5; exec setpriv --reuid 65534 --clear-groups sleep 60";
        let mut child = Command::new("sh").args(["-c", drop_later]).spawn().unwrap();
        let pid = child.id();
        let (mut watcher, mut received) = watcher();
        watcher.watch(pid);
        assert_eq!(next(&mut received).await, Some(Event::ClientUser { pid, uid: 0 }));
        assert_eq!(next(&mut received).await, Some(Event::ClientUser { pid, uid: 65534 }));
        watcher.forget(pid);
        child.kill().unwrap();
        child.wait().unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(received.try_recv().is_err(), "forgotten, and still reported");
    }
}
