//! The edge to the disk: what outlives the agent.
//!
//! `/var/lib/tunwarden/endpoints.json` holds the endpoints learned, for the lock at the next boot, and
//! `networks.json` beside it the bridges of the Docker networks that the configuration names,
//! `names.json` what server names stand for, `configuration.json` the configuration that was in force last,
//! `networking-off.json` that all networks were switched off to
//! bring a VPN back, and are to be switched on again;
//! `/run/tunwarden/applied.json` what was put in force last, for the process that comes next, and
//! `/run/tunwarden/reports` what hooks could not tell the agent.
//! Each is written whole or not at all. What cannot be read counts as not there: the strictest
//! reading of it.

mod left;
mod policies;
mod remembered;

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::config::Kept;
use crate::status::LossStatus;
use crate::vpn::{LastVpn, Learned, Names, NetworkBridge, Report, ReportLog, Situation, State, TunnelId};

pub use left::LeftReport;
pub use policies::{ChainBefore, EverClosed, FamilyBefore, PoliciesBefore};

/// State that outlives a reboot.
pub const STATE_DIR: &str = "/var/lib/tunwarden";
/// State that does not.
pub const RUN_DIR: &str = "/run/tunwarden";

const ENDPOINTS: &str = "endpoints.json";
const CONFIGURATION: &str = "configuration.json";
const NETWORKS: &str = "networks.json";
const NAMES: &str = "names.json";
const APPLIED: &str = "applied.json";
const NETWORKING: &str = "networking-off.json";
const LOCK: &str = "agent.lock";
const TURN: &str = "rules.lock";

/// How long a turn is waited for, and how often that is tried.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_millis(10));

/// More than ten thousand endpoints need less.
const MAX_BYTES: u64 = 8 << 20;

/// What was put in force last, and by whose word.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// The situation whose rules the kernel was last found to hold.
    pub situation: Situation,
    /// The state that the kernel could not be given the rules of, when the last commit failed.
    #[serde(default)]
    pub refused: Option<State>,
    /// Since when the state is what it is, in seconds since the epoch.
    pub since: u64,
    /// Reports of root's hooks that still stand.
    pub reports: Vec<Report>,
    /// The reports of root's hooks that were taken last.
    #[serde(default)]
    pub heard: ReportLog,
    /// Tunnels whose servers are silent.
    #[serde(default)]
    pub silent: BTreeSet<TunnelId>,
    /// The VPN that was there last.
    #[serde(default)]
    pub last: Option<LastVpn>,
    /// When a pause ends by CLOCK_BOOTTIME, in seconds since the machine was started.
    #[serde(default)]
    pub pause_ends: Option<u64>,
    /// The last loss.
    #[serde(default)]
    pub loss: Option<LossStatus>,
}

impl Applied {
    /// The state that was told last, whether its rules could be put in force or not.
    pub fn told_state(&self) -> State {
        self.refused.unwrap_or(self.situation.state)
    }
}

/// The configuration that was in force last. Fields that a later version adds are passed over.
#[derive(Debug, Serialize, Deserialize)]
struct KeptConfiguration<'a> {
    /// The file's text.
    text: std::borrow::Cow<'a, str>,
}

/// Why something could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk said no.
    #[error("cannot use {path}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what we wrote.
    #[error("{path} is damaged and was ignored; it will be written anew")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Another agent holds the lock.
    #[error("another agent is running (process {0}); stop it first: sudo systemctl stop tunwarden")]
    Busy(String),
    /// Somebody else has his turn with the rules, and does not end.
    #[error("another tunwarden has been at the rules for {seconds} seconds, and is waited for no longer", seconds = PATIENCE.0.as_secs())]
    Turn,
}

/// The two folders.
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
    /// A store in other folders.
    pub fn at(state: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self { state: state.into(), run: run.into() }
    }

    /// The folder for what does not outlive a reboot.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Makes both folders if they are not there: root's alone for the state, readable for the other.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn prepare(&self) -> Result<(), StoreError> {
        let make = |path: &Path, mode| {
            DirBuilder::new().recursive(true).mode(mode).create(path).map_err(io_error(path))
        };
        // One that cannot be had does not keep the others from being there.
        let reports = self.reports();
        let run = make(&self.run, 0o755).and(make(&reports, 0o700));
        make(&self.state, 0o700).and(run)
    }

    /// The endpoints learned so far; nothing when there is no such file.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing counts as learned.
    pub fn endpoints(&self) -> Result<Learned, StoreError> {
        read(&self.state.join(ENDPOINTS)).map(Option::unwrap_or_default)
    }

    /// Keeps the endpoints learned.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then what was kept before still is.
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

    /// Keeps the text of the configuration that is in force, if it is not the one that is kept.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then what was kept before still is.
    pub fn keep_configuration(&self, text: &str) -> Result<(), StoreError> {
        if self.configuration() == Kept::Text(text.to_owned()) {
            return Ok(());
        }
        write(&self.state.join(CONFIGURATION), &KeptConfiguration { text: text.into() })
    }

    /// What server names stand for, as far as that was looked up.
    ///
    /// # Errors
    /// [`StoreError`]: then they have to be looked up again.
    pub fn names(&self) -> Result<Names, StoreError> {
        read(&self.state.join(NAMES)).map(Option::unwrap_or_default)
    }

    /// Keeps what server names stand for.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then what was kept before still is.
    pub fn keep_names(&self, names: &Names) -> Result<(), StoreError> {
        write(&self.state.join(NAMES), names)
    }

    /// The bridges of the networks that the configuration names, as they were known last.
    ///
    /// # Errors
    /// [`StoreError`]: then none is known.
    pub fn networks(&self) -> Result<Vec<NetworkBridge>, StoreError> {
        read(&self.state.join(NETWORKS)).map(Option::unwrap_or_default)
    }

    /// Keeps those bridges: a container that Docker starts at boot runs before Docker answers.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then what was kept before still is.
    pub fn keep_networks(&self, networks: &[NetworkBridge]) -> Result<(), StoreError> {
        write(&self.state.join(NETWORKS), &networks)
    }

    /// Notes that all networks are about to be switched off for a moment, now in seconds since the epoch:
    /// NetworkManager keeps them off over a reboot.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then nobody would switch them on again.
    pub fn note_networking_off(&self, now: u64) -> Result<(), StoreError> {
        write(&self.state.join(NETWORKING), &now)
    }

    /// When all networks were switched off and not on again, in seconds since the epoch.
    pub fn networking_off(&self) -> Option<u64> {
        read(&self.state.join(NETWORKING)).ok().flatten()
    }

    /// They are on again.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn forget_networking_off(&self) -> Result<(), StoreError> {
        remove(&self.state.join(NETWORKING))
    }

    /// What was put in force last since this machine was started.
    ///
    /// # Errors
    /// [`StoreError`]: then nothing is known of it.
    pub fn applied(&self) -> Result<Option<Applied>, StoreError> {
        read(&self.run.join(APPLIED))
    }

    /// Keeps what was put in force.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn keep_applied(&self, applied: &Applied) -> Result<(), StoreError> {
        write(&self.run.join(APPLIED), applied)
    }

    /// Forgets what was put in force: nothing is any more.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn forget_applied(&self) -> Result<(), StoreError> {
        remove(&self.run.join(APPLIED))
    }

    /// Becomes the one agent of this machine, until the lock is dropped.
    ///
    /// # Errors
    /// [`StoreError::Busy`] with the other's process id.
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

    /// Waits for a turn with the rules, until the lock is dropped: two who write them at the same moment
    /// undo one another's work. The agent does not ask for one, and is never kept waiting.
    ///
    /// # Errors
    /// [`StoreError::Turn`], [`StoreError::Io`]
    pub async fn turn(&self) -> Result<Flock<File>, StoreError> {
        let mut file = lockable(&self.run.join(TURN))?;
        let deadline = tokio::time::Instant::now() + PATIENCE.0;
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err(_) if tokio::time::Instant::now() >= deadline => return Err(StoreError::Turn),
                Err((file, _)) => file,
            };
            tokio::time::sleep(PATIENCE.1).await;
        }
    }

    /// The process id of the running agent, if one runs; only root can tell.
    pub fn running_agent(&self) -> Option<i32> {
        let path = self.run.join(LOCK);
        let mut file = OpenOptions::new().read(true).open(path).ok()?;
        let mut pid = String::new();
        (&mut file).take(20).read_to_string(&mut pid).ok()?;
        // A shared lock can be had only when no agent holds the exclusive one.
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_) => None,
            Err(_) => pid.trim().parse().ok(),
        }
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |source| StoreError::Io { path: path.to_owned(), source }
}

/// A file to lock, root's alone: whoever can read it can lock it, and keep the agent from starting.
fn lockable(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(io_error(path))?;
    file.set_permissions(PermissionsExt::from_mode(0o600)).map_err(io_error(path))?;
    Ok(file)
}

/// A file that is not there is gone.
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

/// Writes beside the file and moves it into place: a reader finds the old or the new, never half.
fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let damaged = |source| StoreError::Damaged { path: path.to_owned(), source };
    let text = serde_json::to_vec(value).map_err(damaged)?;
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
    let mut file = file.map_err(io_error(&new))?;
    // On the disk before it has the name: after a power failure there is the old file or the new one.
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(io_error(&new))?;
    std::fs::rename(&new, path).map_err(io_error(path))?;
    let folder = path.parent().map(|folder| OpenOptions::new().read(true).open(folder));
    match folder {
        Some(folder) => folder.and_then(|folder| folder.sync_all()).map_err(io_error(path)),
        None => Ok(()),
    }
}
