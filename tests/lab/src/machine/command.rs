//! Commands in a machine: they run to their end, or keep running as a [`Process`].

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::process::Process;
use super::{Machine, user_named};
use crate::wait::wait_for;

/// How long a command may take before the test treats it as hanging.
const HANG_TIMEOUT: Duration = Duration::from_secs(120);

/// A command for a machine.
#[derive(Debug, Clone)]
pub struct Cmd {
    machine: Machine,
    args: Vec<String>,
    env: Vec<(String, String)>,
    stdin: String,
    user: Option<String>,
}

/// The result of a finished command.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Machine {
    /// A command with more than arguments: a user, an environment, an input.
    pub fn command<A: Into<String>>(&self, args: impl IntoIterator<Item = A>) -> Cmd {
        let args = args.into_iter().map(Into::into).collect();
        Cmd { machine: self.clone(), args, env: Vec::new(), stdin: String::new(), user: None }
    }

    /// Runs a command to its end. It may fail.
    ///
    /// # Errors
    /// When it cannot be started or does not end within two minutes.
    pub fn run<A: Into<String>>(&self, args: impl IntoIterator<Item = A>) -> Result<Output> {
        self.command(args).run()
    }

    /// Runs a command that must succeed, and returns its standard output.
    ///
    /// # Errors
    /// As [`Machine::run`], and when it fails.
    pub fn succeed<A: Into<String>>(&self, args: impl IntoIterator<Item = A>) -> Result<String> {
        self.command(args).succeed()
    }

    /// Starts a command and leaves it running.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn<A: Into<String>>(&self, args: impl IntoIterator<Item = A>) -> Result<Process> {
        self.command(args).spawn()
    }
}

impl Cmd {
    /// Adds a variable to the environment.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Gives it a standard input; without one it is empty.
    #[must_use]
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.into();
        self
    }

    /// Runs it as another user, without root's capabilities.
    #[must_use]
    pub fn user(mut self, name: &str) -> Self {
        self.user = Some(name.into());
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// As [`Machine::run`].
    pub fn run(&self) -> Result<Output> {
        let (stdout, stderr) = (memory("stdout")?, memory("stderr")?);
        let mut child = self.start(&stdout, &stderr)?;
        let ended = wait_for("the end of a command", HANG_TIMEOUT, || Ok(child.try_wait()?));
        if ended.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let (stdout, stderr) = (text_of(&stdout)?, text_of(&stderr)?);
        let status = ended.with_context(|| format!("{}\n{stdout}{stderr}", self.shown()))?;
        Ok(Output { status, stdout, stderr })
    }

    /// Runs it. It must succeed.
    ///
    /// # Errors
    /// As [`Machine::succeed`].
    pub fn succeed(&self) -> Result<String> {
        let Output { status, stdout, stderr } = self.run()?;
        ensure!(status.success(), "{}: {status}\n{stdout}{stderr}", self.shown());
        Ok(stdout)
    }

    /// Starts it. Its output goes to the process's log.
    ///
    /// # Errors
    /// As [`Machine::spawn`].
    pub fn spawn(&self) -> Result<Process> {
        let log = memory("log")?;
        let child = self.start(&log, &log)?;
        let process = Process::new(self.args.join(" "), child, log)?;
        self.machine.keep_log(process.log_handle());
        Ok(process)
    }

    fn start(&self, stdout: &File, stderr: &File) -> Result<std::process::Child> {
        let mut stdin = memory("stdin")?;
        stdin.write_all(self.stdin.as_bytes())?;
        stdin.seek(SeekFrom::Start(0))?;
        let (program, args) = self.args.split_first().context("a command needs a program")?;
        let mut command = Command::new(program);
        command.args(args).envs(self.env.iter().map(|(k, v)| (k, v)));
        command.stdin(stdin).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        if let Some(name) = &self.user {
            let user = user_named(name)?;
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        self.machine.in_all_namespaces(|| command.spawn().with_context(|| self.shown()))
    }

    fn shown(&self) -> String {
        format!("{}: {}", self.machine.name(), self.args.join(" "))
    }
}

/// A file without a name: it leaves nothing on the disk, and never blocks the writer.
pub(super) fn memory(name: &str) -> Result<File> {
    Ok(File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?))
}

/// Reads the whole file without a change of the position that its writer shares.
pub(super) fn text_of(file: &File) -> Result<String> {
    let length = usize::try_from(file.metadata()?.len())?;
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
