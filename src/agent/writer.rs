//! The thread that writes files for the agent.
//!
//! A disk can hold a write for minutes, for example while another program copies to it. The agent's loop waits for
//! a write for at most [`WAIT`]. After that it answers calls and changes the rules while the thread still writes.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::describe::describe;
use crate::store::StoreError;

/// How long the loop may wait for one write.
const WAIT: Duration = Duration::from_secs(1);
/// How long the end of the agent may wait for the writes that are left.
const LAST_WAIT: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce() -> Result<(), StoreError> + Send>;

/// Writes files one after the other. Dropping it waits for the writes that are left, for [`LAST_WAIT`] at most.
#[derive(Default)]
pub(super) struct Writer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// At most one write of each file: the newest.
    waiting: Vec<Waiting>,
    is_writing: bool,
    has_thread: bool,
    ends: bool,
}

struct Waiting {
    file: &'static str,
    job: Job,
    answer: Sender<Result<(), StoreError>>,
}

impl Writer {
    /// Runs `job`, which writes `file`, after all earlier writes. A write of the same file that has not begun is
    /// left out. `None` if the write is not finished yet; its error is then logged.
    pub(super) fn write(
        &self,
        file: &'static str,
        job: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
    ) -> Option<Result<(), StoreError>> {
        let (answer, answered) = channel();
        let mut queue = self.0.lock();
        if !queue.has_thread {
            let shared = Arc::clone(&self.0);
            let thread = thread::Builder::new().name("tunwarden-store".into()).spawn(move || shared.work());
            if thread.is_err() {
                drop(queue);
                return Some(job());
            }
            queue.has_thread = true;
        }
        let is_late = queue.is_busy();
        queue.waiting.retain(|waiting| waiting.file != file);
        queue.waiting.push(Waiting { file, job: Box::new(job), answer });
        drop(queue);
        self.0.changed.notify_all();
        // While the disk holds an earlier write, the loop does not wait again at each event.
        if is_late {
            return None;
        }
        let result = answered.recv_timeout(WAIT).ok();
        if result.is_none() {
            tracing::warn!("the disk has not taken {file} within {} s; the agent continues", WAIT.as_secs());
        }
        result
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.ends = true;
        self.0.changed.notify_all();
        let left = self.0.changed.wait_timeout_while(queue, LAST_WAIT, |queue| queue.is_busy());
        drop(left);
    }
}

impl Queue {
    fn is_busy(&self) -> bool {
        self.is_writing || !self.waiting.is_empty()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(Waiting { job, answer, .. }) = self.next() {
            let result = job();
            self.lock().is_writing = false;
            self.changed.notify_all();
            if let Err(late) = answer.send(result)
                && let Err(error) = late.0
            {
                tracing::warn!("{}", describe(&error));
            }
        }
    }

    /// Waits for the next write. `None` when the writer has ended.
    fn next(&self) -> Option<Waiting> {
        let queue = self.lock();
        let idle = |queue: &mut Queue| queue.waiting.is_empty() && !queue.ends;
        let mut queue = self.changed.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner);
        let has_more = !queue.waiting.is_empty();
        queue.is_writing = has_more;
        has_more.then(|| queue.waiting.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_writer() -> (Writer, Sender<()>, Arc<Mutex<Vec<&'static str>>>) {
        let (writer, (release, held)) = (Writer::default(), channel());
        let done = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&done);
        let first = writer.write("endpoints", move || {
            held.recv().unwrap();
            log.lock().unwrap().push("first");
            Ok(())
        });
        assert!(first.is_none(), "the write is held");
        (writer, release, done)
    }

    fn job(
        log: &Arc<Mutex<Vec<&'static str>>>,
        name: &'static str,
    ) -> impl FnOnce() -> Result<(), StoreError> + use<> {
        let log = Arc::clone(log);
        move || {
            log.lock().unwrap().push(name);
            Ok(())
        }
    }

    #[test]
    fn a_write_that_the_disk_takes_is_finished_when_the_call_returns() {
        let (writer, log) = (Writer::default(), Arc::default());
        assert!(writer.write("names", job(&log, "names")).unwrap().is_ok());
        assert_eq!(*log.lock().unwrap(), ["names"]);
    }

    #[test]
    fn while_the_disk_holds_a_write_calls_return_and_the_newest_of_each_file_follows() {
        let (writer, release, log) = held_writer();
        assert!(writer.write("endpoints", job(&log, "second")).is_none());
        assert!(writer.write("names", job(&log, "names")).is_none());
        assert!(writer.write("endpoints", job(&log, "third")).is_none());
        let (finished, end) = channel();
        let last = move || {
            finished.send(()).unwrap();
            Ok(())
        };
        assert!(writer.write("networks", last).is_none());
        release.send(()).unwrap();
        end.recv().unwrap();
        assert_eq!(*log.lock().unwrap(), ["first", "names", "third"]);
    }

    #[test]
    fn the_error_of_a_write_is_given_to_the_caller() {
        let writer = Writer::default();
        let error = std::io::Error::other("no space");
        let result = writer.write("names", || Err(StoreError::Io { path: "/names".into(), source: error }));
        assert!(matches!(result, Some(Err(StoreError::Io { .. }))), "{result:?}");
    }
}
