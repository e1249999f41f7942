//! The process that keeps a machine's namespaces open. Its end removes them.
//!
//! It is `unshare` with bash as process 1 of a new pid namespace. bash reads a pipe whose other end only
//! the test holds. Every end of the test closes the pipe, also SIGKILL. Then bash ends, and the kernel kills
//! every process of the pid namespace and removes the mounts and the network. No code has to clean up.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::guard;
use crate::wait::{TIMEOUT, wait_for, wait_until};

/// The script of process 1 of a machine before it waits for the end.
const SETUP: &str = include_str!("setup.sh");

/// The namespaces of one machine.
#[derive(Debug)]
pub(crate) struct Holder {
    /// The id of the machine's process 1, as seen from outside.
    pub(crate) pid: u32,
    pub(crate) network: File,
    pub(crate) mounts: File,
    pub(crate) pids: File,
    pub(crate) names: File,
    unshare: Mutex<Option<Child>>,
}

impl Holder {
    /// Makes the namespaces and mounts, and returns when they are ready.
    pub(crate) fn new() -> Result<Self> {
        let mut unshare = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "bash", "-c", SETUP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("unshare (util-linux); the laboratory needs root")?;
        match Self::of(&mut unshare) {
            Ok((pid, [network, mounts, pids, names])) => {
                Ok(Self { pid, network, mounts, pids, names, unshare: Mutex::new(Some(unshare)) })
            }
            Err(error) => {
                end(unshare);
                Err(error)
            }
        }
    }

    fn of(unshare: &mut Child) -> Result<(u32, [File; 4])> {
        await_ready(unshare)?;
        let pid = child_of(unshare.id())?;
        let open = |kind: &str| File::open(format!("/proc/{pid}/ns/{kind}"));
        let namespaces = [open("net")?, open("mnt")?, open("pid")?, open("uts")?];
        guard::refuse_own_namespace(&namespaces[0])?;
        Ok((pid, namespaces))
    }

    /// Ends everything that runs in the machine.
    pub(crate) fn end(&self) {
        let held = self.unshare.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(unshare) = held {
            end(unshare);
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}

/// `unshare` returns only after the kernel has ended all processes of the pid namespace.
fn end(mut unshare: Child) {
    drop(unshare.stdin.take());
    let ended = || matches!(unshare.try_wait(), Ok(Some(_)) | Err(_));
    if wait_until("the end of a machine", TIMEOUT, ended).is_err() {
        let _ = unshare.kill();
        let _ = unshare.wait();
    }
}

fn await_ready(unshare: &mut Child) -> Result<()> {
    let mut line = String::new();
    if let Some(stdout) = unshare.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if line.trim() == "ready" {
        return Ok(());
    }
    let mut why = String::new();
    drop(unshare.stdin.take());
    if let Some(mut stderr) = unshare.stderr.take() {
        stderr.read_to_string(&mut why)?;
    }
    bail!("a machine of the laboratory did not start: {}", why.trim())
}

fn child_of(parent: u32) -> Result<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    wait_for("the child of unshare", TIMEOUT, || {
        let children = std::fs::read_to_string(&path)?;
        Ok(children.split_whitespace().next().map(str::parse).transpose()?)
    })
}
