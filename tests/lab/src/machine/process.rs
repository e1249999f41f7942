//! A process in a machine, and its output.

use std::fs::File;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::command::text_of;
use crate::wait::{TIMEOUT, wait_for};

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    inside: i32,
    log: Log,
}

/// The output of a process. It outlives the process, and is printed when a test fails.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    name: Arc<str>,
    file: Arc<File>,
}

impl Log {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> String {
        text_of(&self.file).unwrap_or_else(|error| format!("(unreadable: {error})"))
    }
}

impl Process {
    pub(super) fn new(name: String, child: Child, file: File) -> Result<Self> {
        let inside = id_inside(child.id())?;
        let log = Log { name: name.into(), file: Arc::new(file) };
        Ok(Self { child, inside, log })
    }

    /// Its id on the real machine.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its id inside the machine, for example for `daemon_pid`.
    #[must_use]
    pub fn id_inside(&self) -> i32 {
        self.inside
    }

    /// Standard output and standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    pub(crate) fn log_handle(&self) -> Log {
        self.log.clone()
    }

    /// Waits for a line that contains `pattern`, from the start of the log, and returns it.
    ///
    /// # Errors
    /// When the line does not come within `bound`, or the process ends before. The error holds the log.
    pub fn wait_for_line(&mut self, pattern: &str, bound: Duration) -> Result<String> {
        self.wait_for_lines(pattern, 1, bound)
    }

    /// Waits for the `count`th line that contains `pattern`: a second connect, for example.
    ///
    /// # Errors
    /// As [`Process::wait_for_line`].
    pub fn wait_for_lines(&mut self, pattern: &str, count: usize, bound: Duration) -> Result<String> {
        let log = self.log.clone();
        let what = format!("{pattern:?} from {}", log.name);
        wait_for(&what, bound, || {
            let ended = self.child.try_wait()?;
            let text = log.text();
            let mut lines = text.lines().filter(|line| line.contains(pattern));
            match (lines.nth(count.saturating_sub(1)), ended) {
                (Some(line), _) => Ok(Some(line.to_owned())),
                (None, Some(status)) => bail!("{} ended before: {status}", log.name),
                (None, None) => Ok(None),
            }
        })
        .with_context(|| format!("the log of {}:\n{}", log.name, log.text()))
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended: {status}", self.log.name);
        }
        Ok(kill(Pid::from_raw(i32::try_from(self.id())?), signal)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end within `bound`.
    pub fn wait(&mut self, bound: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.log.name);
        wait_for(&what, bound, || Ok(self.child.try_wait()?))
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    /// When it does not end within 30 seconds.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if self.is_running() {
            self.signal(Signal::SIGTERM)?;
        }
        self.wait(TIMEOUT)
    }

    /// Kills it (SIGKILL) and waits.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The last id in the kernel's list is the one in the innermost namespace. It stays readable until the parent
/// has waited for the process, also for a process that ends quickly.
fn id_inside(outside: u32) -> Result<i32> {
    let status = std::fs::read_to_string(format!("/proc/{outside}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).context("no NSpid")?;
    Ok(line.split_whitespace().next_back().context("an empty NSpid")?.parse()?)
}
