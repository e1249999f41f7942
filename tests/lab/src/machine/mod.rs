//! A machine of the laboratory with its own network, file system view and processes.
//!
//! There are two ways to act in it. A *thread* of the test enters only the network, opens its sockets there
//! and leaves. A *command* starts in all of the machine's namespaces.

mod command;
mod find;
mod holder;
mod process;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{User, setfsgid, setfsuid};

pub use self::command::{Cmd, Output};
pub use self::process::Process;

use self::holder::Holder;
use self::process::Log;
use crate::guard;

/// A handle to a machine. Clones refer to the same machine.
#[derive(Debug, Clone)]
pub struct Machine {
    name: &'static str,
    holder: Arc<Holder>,
    logs: Arc<Mutex<Vec<Log>>>,
}

impl Machine {
    /// Makes a machine with only a loopback.
    pub(crate) fn new(name: &'static str) -> Result<Self> {
        let holder = Arc::new(Holder::new().with_context(|| format!("machine {name}"))?);
        Ok(Self { name, holder, logs: Arc::default() })
    }

    /// Its name in logs: `host` or `isp`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// The outside id of the machine's process 1. Some tools name a namespace by it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.holder.pid
    }

    /// The outside path of a path in the machine.
    #[must_use]
    pub fn outside(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        let inside = path.strip_prefix("/").unwrap_or(path);
        Path::new("/proc").join(self.pid().to_string()).join("root").join(inside)
    }

    /// Writes a file that only this machine sees, below `/etc`, `/var`, `/usr/share` or `/run`.
    ///
    /// # Errors
    /// When the path is elsewhere (that would be the real machine's), or on a failed write.
    pub fn file(&self, path: &str, content: &str) -> Result<()> {
        self.file_with_mode(path, content, 0o644)
    }

    /// Like [`Machine::file`], with permissions: `0o755` for a hook, `0o600` for a key.
    ///
    /// # Errors
    /// As [`Machine::file`].
    pub fn file_with_mode(&self, path: &str, content: &str, mode: u32) -> Result<()> {
        let private = ["/etc/", "/var/", "/usr/share/", "/run/"];
        if !private.iter().any(|tree| path.starts_with(tree)) || path.contains("..") {
            return Err(anyhow!("{path} is not private to the machine; use one of {private:?}"));
        }
        let outside = self.outside(path);
        if let Some(folder) = outside.parent() {
            fs::create_dir_all(folder).with_context(|| format!("folder for {path}"))?;
        }
        write(&outside, content.as_bytes(), mode).with_context(|| format!("writing {path}"))
    }

    /// Reads a file of the machine.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.outside(path)).with_context(|| format!("{} {path}", self.name))
    }

    /// Sets a network sysctl of the machine, for example `net.ipv4.ip_forward`.
    ///
    /// # Errors
    /// When the kernel refuses it, or when it is not a network sysctl.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let Some(key) = key.strip_prefix("net.") else {
            return Err(anyhow!("{key} would change the real machine"));
        };
        let path = format!("/proc/sys/net/{}", key.replace('.', "/"));
        self.enter(|| fs::write(&path, value).with_context(|| format!("{path} = {value}")))
    }

    /// Runs `act` in a thread in the machine's network. Its sockets stay in that network.
    ///
    /// # Errors
    /// When the namespace cannot be entered or is refused by the guard, or when `act` fails.
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_thread(|| {
            self.enter_network()?;
            act()
        })
    }

    /// Like [`Machine::enter`], as another user: the sockets belong to that user.
    pub(crate) fn enter_as<T: Send>(&self, user: &str, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let user = user_named(user)?;
        self.enter(move || {
            // The kernel takes a socket's owner from these ids. The thread keeps root's capabilities.
            // The ids end with the thread.
            setfsgid(user.gid);
            setfsuid(user.uid);
            act()
        })
    }

    /// Runs `act` in a thread in all namespaces of the machine, to start processes.
    fn in_all_namespaces<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_thread(|| {
            // The guard reads /proc, which changes with the mount namespace.
            self.enter_network()?;
            unshare(CloneFlags::CLONE_FS)?;
            setns(&self.holder.names, CloneFlags::CLONE_NEWUTS)?;
            setns(&self.holder.pids, CloneFlags::CLONE_NEWPID)?;
            setns(&self.holder.mounts, CloneFlags::CLONE_NEWNS)?;
            act()
        })
    }

    fn enter_network(&self) -> Result<()> {
        guard::refuse_own_namespace(&self.holder.network)?;
        setns(&self.holder.network, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("entering the network of {}", self.name))?;
        guard::refuse_own_namespace_of_thread()
    }

    /// A file descriptor of the network namespace, for netlink libraries.
    ///
    /// # Errors
    /// When it cannot be duplicated.
    pub fn network_namespace(&self) -> Result<File> {
        Ok(self.holder.network.try_clone()?)
    }

    fn keep_log(&self, log: Log) {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).push(log);
    }

    /// The output so far of every process that was spawned here.
    #[must_use]
    pub fn logs(&self) -> String {
        let logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.iter().map(|log| format!("--- {} {}\n{}\n", self.name, log.name(), log.text())).collect()
    }

    /// Ends every process of the machine, and the machine.
    pub(crate) fn end(&self) {
        self.holder.end();
    }
}

/// Writes a file with its permissions. A separate process writes an executable. Otherwise a command that
/// another test starts at the same moment could inherit the open file, and the kernel would refuse to run
/// the executable ("text file busy").
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    if mode & 0o111 == 0 {
        fs::write(path, content)?;
    } else {
        let mut writer = Command::new("sh");
        writer.args(["-c", "cat >\"$0\""]).arg(path).stdin(Stdio::piped());
        let mut writer = writer.spawn()?;
        writer.stdin.take().context("no standard input")?.write_all(content)?;
        let status = writer.wait()?;
        anyhow::ensure!(status.success(), "{status}");
    }
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

/// Looks up a user of the system by name.
pub(crate) fn user_named(name: &str) -> Result<User> {
    User::from_name(name)?.with_context(|| format!("no user {name} on this system"))
}

fn in_thread<T: Send>(act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        scope.spawn(act).join().unwrap_or_else(|_| Err(anyhow!("a thread in a machine panicked")))
    })
}
