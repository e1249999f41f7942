//! The edge to the disk: the files that outlive the agent.
//!
//! In `/var/lib/tunwarden`, which outlives a reboot:
//! - `endpoints.json`: the learned endpoints, for the lock at the next boot.
//! - `networks.json`: the bridges of the Docker networks that the configuration names.
//! - `names.json`: the addresses of server names.
//! - `configuration.json`: the configuration that was in force last.
//! - `policies.json`: the built-in chains that another program has ever closed.
//! - `networking-off.json`: a note that the agent has switched all networks off to bring a VPN back, and must
//!   switch them on again.
//!
//! In `/run/tunwarden`, which does not outlive a reboot:
//! - `applied.json`: what was put in force last, for the next process.
//! - `policies.json`: what the built-in chains were before our rules came.
//! - `reports`: the reports of hooks that could not reach the agent.
//!
//! Each file is written as a whole or not at all. A file that cannot be read opens nothing. A damaged `endpoints.json`
//! does not count as empty: with the scope `auto` every address is open only if no server was ever known.

#![expect(clippy::disallowed_methods, reason = "an edge file: it keeps the files of the agent")]

mod policies;
mod remembered;
mod reports;

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::config::Kept;
use crate::vpn::{
    LastLoss, LastVpn, Learned, Names, NetworkBridge, Report, ReportLog, Situation, State, TunnelId,
};

pub use policies::{ChainBefore, EverClosed, FamilyBefore, PoliciesBefore};
pub use reports::StoredReport;

/// The folder for state that outlives a reboot.
pub const STATE_DIR: &str = "/var/lib/tunwarden";
/// The folder for state that does not outlive a reboot.
pub const RUN_DIR: &str = "/run/tunwarden";

const ENDPOINTS: &str = "endpoints.json";
const CONFIGURATION: &str = "configuration.json";
const NETWORKS: &str = "networks.json";
const NAMES: &str = "names.json";
const APPLIED: &str = "applied.json";
const NETWORKING: &str = "networking-off.json";
const LOCK: &str = "agent.lock";
const RULES_LOCK: &str = "rules.lock";

/// How long [`Store::lock_rules`] may wait for the lock before it gives up.
const RULES_LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two attempts of [`Store::lock_rules`] to take the lock.
const RULES_LOCK_RETRY: Duration = Duration::from_millis(10);

/// Maximum size of a file, in bytes. The servers of sixteen thousand files with long paths need less.
const MAX_BYTES: u64 = 16 << 20;

/// What was put in force last, and what the agent knew then.
///
/// A field of another version is ignored, here and in every value inside. That opens nothing: the agent compares
/// the rules of [`Applied::situation`] with those in the kernel, and locks if they differ. The files from which
/// rules are made, of servers and of bridges, are read strictly: a field that is unknown may narrow what the
/// others say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied {
    /// The situation whose rules the kernel was last found to hold.
    pub situation: Situation,
    /// The state whose rules the last commit could not put in force; `None` if the commit succeeded.
    #[serde(default)]
    pub refused: Option<State>,
    /// Since when the machine is in this state, in seconds since the epoch.
    pub since: u64,
    /// Reports of root's hooks that are still valid.
    pub reports: Vec<Report>,
    /// The reports of root's hooks that the agent accepted last.
    #[serde(default)]
    pub heard: ReportLog,
    /// Tunnels whose servers are silent.
    #[serde(default)]
    pub silent: BTreeSet<TunnelId>,
    /// The VPN that was up last.
    #[serde(default)]
    pub last: Option<LastVpn>,
    /// When a pause ends by CLOCK_BOOTTIME, in seconds since the machine was started.
    #[serde(default)]
    pub pause_ends: Option<u64>,
    /// The last loss of a VPN.
    #[serde(default)]
    pub loss: Option<LastLoss>,
}

impl Applied {
    /// The state that the agent announced last, whether its rules are in force or not.
    pub fn announced_state(&self) -> State {
        self.refused.unwrap_or(self.situation.state)
    }
}

/// The configuration that was in force last. A field that a later version adds is ignored.
#[derive(Debug, Serialize, Deserialize)]
struct KeptConfiguration<'a> {
    /// The file's text.
    text: std::borrow::Cow<'a, str>,
}

/// Why the store could not read or write something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused to read or write.
    #[error("cannot use {path}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file does not have the content that tunwarden writes.
    #[error("{path} is damaged and was ignored; the agent writes it again")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// The first fault that the parser found.
        source: serde_json::Error,
    },
    /// Another agent holds the lock.
    #[error("another agent is running (process {0}); stop it first: sudo systemctl stop tunwarden")]
    Busy(String),
    /// Another process held the rules lock for too long.
    #[error("timed out after {seconds} seconds: another tunwarden process is still changing the rules", seconds = RULES_LOCK_TIMEOUT.as_secs())]
    RulesLock,
}

/// Reads and writes the files in the two folders.
#[derive(Debug, Clone)]
pub struct Store {
    state: PathBuf,
    run: PathBuf,
}

impl Default for Store {
    fn default() -> Self {
        Self::at(STATE_DIR, RUN_DIR)
    }
}

impl Store {
    /// A store in other folders than the system's.
    pub fn at(state: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self { state: state.into(), run: run.into() }
    }

    /// The folder for state that does not outlive a reboot.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Makes the folders that are missing. Only root can read the state folder and the reports; everybody can
    /// read the folder around the reports.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn prepare(&self) -> Result<(), StoreError> {
        let make = |path: &Path, mode| {
            DirBuilder::new().recursive(true).mode(mode).create(path).map_err(io_error(path))
        };
        // If one folder cannot be made, the others are made all the same.
        let reports = self.reports();
        let run = make(&self.run, 0o755).and(make(&reports, 0o700));
        make(&self.state, 0o700).and(run)
    }

    /// The learned endpoints; empty when there is no such file.
    ///
    /// # Errors
    /// [`StoreError`]: then no endpoint counts as learned.
    pub fn endpoints(&self) -> Result<Learned, StoreError> {
        read(&self.state.join(ENDPOINTS)).map(Option::unwrap_or_default)
    }

    /// Writes the learned endpoints.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then the old file is unchanged.
    pub fn keep_endpoints(&self, learned: &Learned) -> Result<(), StoreError> {
        write(&self.state.join(ENDPOINTS), learned)
    }

    /// The configuration that was in force last.
    pub fn configuration(&self) -> Kept {
        match read::<KeptConfiguration<'_>>(&self.state.join(CONFIGURATION)) {
            Ok(Some(kept)) => Kept::Text(kept.text.into_owned()),
            Ok(None) => Kept::Nothing,
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
                Kept::Denied
            }
            Err(error) => Kept::Damaged(crate::describe::describe(&error)),
        }
    }

    /// Writes the text of the configuration in force, unless the file already has this text.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then the old file is unchanged.
    pub fn keep_configuration(&self, text: &str) -> Result<(), StoreError> {
        if self.configuration() == Kept::Text(text.to_owned()) {
            return Ok(());
        }
        write(&self.state.join(CONFIGURATION), &KeptConfiguration { text: text.into() })
    }

    /// The addresses of the server names that were looked up.
    ///
    /// # Errors
    /// [`StoreError`]: then the agent has to look the names up again.
    pub fn names(&self) -> Result<Names, StoreError> {
        read(&self.state.join(NAMES)).map(Option::unwrap_or_default)
    }

    /// Writes the addresses of server names.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then the old file is unchanged.
    pub fn keep_names(&self, names: &Names) -> Result<(), StoreError> {
        write(&self.state.join(NAMES), names)
    }

    /// The last known bridges of the Docker networks that the configuration names.
    ///
    /// # Errors
    /// [`StoreError`]: then no bridge is known.
    pub fn networks(&self) -> Result<Vec<NetworkBridge>, StoreError> {
        read(&self.state.join(NETWORKS)).map(Option::unwrap_or_default)
    }

    /// Writes those bridges. A container that Docker starts at boot runs before Docker answers.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then the old file is unchanged.
    pub fn keep_networks(&self, networks: &[NetworkBridge]) -> Result<(), StoreError> {
        write(&self.state.join(NETWORKS), &networks)
    }

    /// Notes that the agent is about to switch all networks off for a moment. `now` is in seconds since the
    /// epoch. NetworkManager keeps networks off over a reboot.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then no later agent would switch them on again.
    pub fn note_networking_off(&self, now: u64) -> Result<(), StoreError> {
        write(&self.state.join(NETWORKING), &now)
    }

    /// When the agent switched all networks off without switching them on again, in seconds since the epoch.
    pub fn networking_off(&self) -> Option<u64> {
        read(&self.state.join(NETWORKING)).ok().flatten()
    }

    /// Removes that note: the networks are on again.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn forget_networking_off(&self) -> Result<(), StoreError> {
        remove(&self.state.join(NETWORKING))
    }

    /// What was put in force last since this machine was started; `None` when there is no such file.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing is known about it.
    pub fn applied(&self) -> Result<Option<Applied>, StoreError> {
        read(&self.run.join(APPLIED))
    }

    /// Writes what was put in force.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn keep_applied(&self, applied: &Applied) -> Result<(), StoreError> {
        write(&self.run.join(APPLIED), applied)
    }

    /// Removes the file about what was put in force: nothing is in force any more.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn forget_applied(&self) -> Result<(), StoreError> {
        remove(&self.run.join(APPLIED))
    }

    /// Takes the lock of the one agent of this machine. The caller holds it until it drops it.
    ///
    /// # Errors
    /// [`StoreError::Busy`] with the process id of the other agent, [`StoreError::Io`].
    pub fn lock(&self) -> Result<Flock<File>, StoreError> {
        let path = self.run.join(LOCK);
        let file = lockable(&path)?;
        let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, _)| {
            let mut pid = String::new();
            let _ = (&mut file).take(20).read_to_string(&mut pid);
            StoreError::Busy(pid.trim().to_owned())
        })?;
        lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(io_error(&path))?;
        Ok(lock)
    }

    /// Waits for the rules lock. The caller holds it until it drops it. Two processes that write the rules at
    /// the same moment would undo each other's changes. The agent does not take this lock, so it never waits
    /// for it.
    ///
    /// # Errors
    /// [`StoreError::RulesLock`], [`StoreError::Io`]
    pub async fn lock_rules(&self) -> Result<Flock<File>, StoreError> {
        let mut file = lockable(&self.run.join(RULES_LOCK))?;
        let deadline = tokio::time::Instant::now() + RULES_LOCK_TIMEOUT;
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err(_) if tokio::time::Instant::now() >= deadline => return Err(StoreError::RulesLock),
                Err((file, _)) => file,
            };
            tokio::time::sleep(RULES_LOCK_RETRY).await;
        }
    }

    /// The process id of the running agent; `None` if none runs, or if the caller is not root.
    pub fn running_agent(&self) -> Option<i32> {
        let path = self.run.join(LOCK);
        let mut file = OpenOptions::new().read(true).open(path).ok()?;
        let mut pid = String::new();
        (&mut file).take(20).read_to_string(&mut pid).ok()?;
        // A shared lock is granted only while no agent holds the exclusive one.
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_) => None,
            Err(_) => pid.trim().parse().ok(),
        }
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |source| StoreError::Io { path: path.to_owned(), source }
}

/// Opens a lock file that only root can read. A user who can read the file can lock it and so keep the agent
/// from starting.
fn lockable(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(io_error(path))?;
    file.set_permissions(PermissionsExt::from_mode(0o600)).map_err(io_error(path))?;
    Ok(file)
}

/// Removes a file. A missing file is not an error.
fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path)(error)),
    };
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(io_error(path))?;
    let damaged = |source| StoreError::Damaged { path: path.to_owned(), source };
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}

/// Writes a new file and renames it over the old one. A reader finds the old text or the new one, never a
/// part.
fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let damaged = |source| StoreError::Damaged { path: path.to_owned(), source };
    let text = serde_json::to_vec(value).map_err(damaged)?;
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
    let mut file = file.map_err(io_error(&new))?;
    // The text is on the disk before the rename: after a power failure there is the old file or the new one.
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(io_error(&new))?;
    std::fs::rename(&new, path).map_err(io_error(path))?;
    let folder = path.parent().map(|folder| OpenOptions::new().read(true).open(folder));
    match folder {
        Some(folder) => folder.and_then(|folder| folder.sync_all()).map_err(io_error(path)),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test touches files")]
mod tests;
