//! The thread of this process that sends requests to nf_tables.
//!
//! The kernel works on a transaction inside the system call, and other transactions of this network wait for it.
//! So no system call of this layer runs in the agent's loop. One thread runs them all in the order in which they
//! were asked for: rules that open and were given up are never committed after the rules that close.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use super::kernel::KernelError;
use crate::system;

/// How long the kernel may take for one request.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The name of the thread. The kernel reports it with each change of the tables.
const THREAD_NAME: &str = "tunwarden";

type Job = Box<dyn FnOnce() + Send>;

static WORKER: Mutex<Option<Sender<Job>>> = Mutex::new(None);

/// Sets its flag when the request is given up.
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs `work` after all earlier work. If the caller gives up before it begins, it never runs.
///
/// # Errors
/// The error of `work`, and [`KernelError::TimedOut`]: then `work` may still be running.
pub(in crate::firewall) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, KernelError> {
    run_within(TIMEOUT, work).await
}

/// The same with another timeout.
pub(super) async fn run_within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, KernelError> {
    let (answer, answered) = oneshot::channel();
    let given_up = GivenUp(Arc::default());
    let flag = Arc::clone(&given_up.0);
    push(Box::new(move || {
        if !flag.load(Ordering::Acquire) {
            // The caller may have given up during the work. Then the answer is not needed.
            let _ = answer.send(work());
        }
    }))?;
    match tokio::time::timeout(limit, answered).await {
        Ok(Ok(result)) => Ok(result?),
        Ok(Err(_)) => Err(KernelError::Local(io::Error::other("the thread for nf_tables gave no answer"))),
        Err(_) => Err(KernelError::TimedOut(limit)),
    }
}

/// Appends a job, and starts the thread if it does not run.
fn push(mut job: Job) -> io::Result<()> {
    let mut worker = system::lock(&WORKER);
    if let Some(sender) = &*worker {
        match sender.send(job) {
            Ok(()) => return Ok(()),
            Err(unsent) => job = unsent.0,
        }
    }
    let (sender, jobs) = channel::<Job>();
    let work = move || {
        for job in jobs {
            // A panic ends its own job alone: the caller sees that no answer came.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    };
    std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(work)?;
    sender.send(job).map_err(|_| io::Error::other("the thread for nf_tables has ended"))?;
    *worker = Some(sender);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn block_on<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn work_that_is_given_up_before_it_begins_never_runs_and_later_work_comes_after_what_runs() {
        block_on(async {
            let (begun, has_begun) = mpsc::channel();
            let (end, ends) = mpsc::channel::<()>();
            let (wrote, written) = mpsc::channel();
            let log = |word: &'static str| {
                let wrote = wrote.clone();
                move || {
                    wrote.send(word).unwrap();
                    Ok(())
                }
            };
            let write = log("it runs");
            let stuck = tokio::spawn(run(move || {
                begun.send(()).unwrap();
                ends.recv().unwrap();
                write()
            }));
            tokio::task::yield_now().await;
            has_begun.recv().unwrap();
            stuck.abort();
            let given_up = run_within(Duration::ZERO, log("it was given up"));
            assert!(matches!(given_up.await, Err(KernelError::TimedOut(_))));
            let last = tokio::spawn(run(log("later")));
            tokio::task::yield_now().await;
            assert!(written.try_recv().is_err(), "later work runs beside it");
            end.send(()).unwrap();
            last.await.unwrap().unwrap();
            assert_eq!(written.try_iter().collect::<Vec<_>>(), ["it runs", "later"]);
        });
    }

    #[test]
    fn a_panic_ends_its_own_work_alone() {
        block_on(async {
            let panics = run::<()>(|| panic!("a test's panic")).await;
            assert!(matches!(panics, Err(KernelError::Local(_))), "{panics:?}");
            let refused = run::<()>(|| Err(io::Error::from_raw_os_error(1))).await;
            assert!(matches!(refused, Err(KernelError::Refused(_))), "{refused:?}");
            assert_eq!(run(|| Ok(7)).await.unwrap(), 7);
        });
    }
}
