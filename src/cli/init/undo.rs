//! Undoes `tunwarden init`: it saves the earlier state and starts a guard process that restores it. The guard belongs
//! to no terminal, so a user who has lost the connection to the machine only has to wait.

#![expect(
    clippy::disallowed_methods,
    reason = "an edge file: it keeps the earlier configuration, replaces files, and starts this program again"
)]

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::super::{Outcome, client, lock, log, release, say};
use crate::effects::systemd;
use crate::firewall::Dump;
use crate::store::{RUN_DIR, Store};

/// How long the user has to confirm.
const CONFIRM: Duration = Duration::from_secs(60);
/// How long the guard may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(100);

/// The earlier state.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    path: PathBuf,
    /// The configuration, if there was one.
    config: Option<String>,
    /// Whether an agent was running and enforced the rules.
    agent: bool,
    /// The rules in the kernel.
    dump: Dump,
}

/// The process that restores the earlier state unless the user confirms.
pub(super) struct Guard {
    folder: PathBuf,
}

impl Before {
    pub(super) fn of(path: &Path, dump: Dump) -> anyhow::Result<Self> {
        let config = match fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
        };
        if let Some(text) = &config {
            write(&path.with_extension("toml.before-init"), text)?;
        }
        Ok(Self { path: path.to_owned(), config, agent: Store::default().running_agent().is_some(), dump })
    }

    pub(super) fn had_agent(&self) -> bool {
        self.agent
    }

    /// Restores the earlier state. If it was closed, it stays closed during the change.
    pub(super) async fn restore(&self) -> anyhow::Result<()> {
        match &self.config {
            Some(text) => write(&self.path, text)?,
            // The file does not exist if the first run failed before it was written.
            None if self.path.exists() => fs::remove_file(&self.path)?,
            None => {}
        }
        if self.agent {
            return client::connect().await?.reload().await.map_err(client::answer);
        }
        let path = self.config.is_some().then_some(self.path.as_path());
        if self.dump.is_ours() {
            return lock::run(path).await.map(drop);
        }
        release::restore_earlier(path, &self.dump).await
    }
}

impl Guard {
    /// Starts the guard, outside of the terminal, and waits until it is ready.
    pub(super) async fn set(before: &Before) -> anyhow::Result<Self> {
        let folder = Path::new(RUN_DIR).join("init");
        let _ = fs::remove_dir_all(&folder);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .context("cannot save the earlier state")?;
        write(&folder.join("before.json"), &serde_json::to_string(before)?)?;
        let program = std::env::current_exe()?;
        let words = [program.to_string_lossy(), "init".into(), "--undo".into(), folder.to_string_lossy()];
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        let as_service = systemd::is_running() && systemd::run_as_service(&words).await.is_ok();
        if !as_service {
            // This program again, without the caller's terminal. `system/program.rs` cannot start it, because it waits
            // until a program ends.
            let mut guard = std::process::Command::new(&program);
            let quiet =
                guard.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            quiet.spawn().context("cannot start the process that undoes the change")?;
        }
        let started = async {
            while !folder.join("started").exists() {
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::time::timeout(START_TIMEOUT, started)
            .await
            .context("the process that could undo the change did not start, so nothing was changed")?;
        Ok(Self { folder })
    }

    /// Asks the user, and returns whether the guard got the answer in time.
    pub(super) async fn confirmed(&self) -> anyhow::Result<bool> {
        say(&format!(
            "The rules are in force. Does everything work that you need? Type yes within {} s; otherwise the \
             earlier state is restored.",
            CONFIRM.as_secs()
        ));
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        });
        match tokio::time::timeout(CONFIRM, line).await {
            Ok(Ok(Ok(line))) if line.trim() == "yes" => write(&self.folder.join("confirmed"), "")?,
            Ok(Ok(Ok(line))) if !line.is_empty() => write(&self.folder.join("refused"), "")?,
            // The terminal has ended, or there was no answer in time. The guard waits until its timeout.
            Ok(_) | Err(_) => {}
        }
        // The guard decides, because it may already have started to restore the earlier state.
        let done = async {
            loop {
                for (word, confirmed) in [("kept", true), ("undone", false)] {
                    if self.folder.join(word).exists() {
                        return confirmed;
                    }
                }
                tokio::time::sleep(TICK).await;
            }
        };
        let confirmed = tokio::time::timeout(CONFIRM * 2, done)
            .await
            .context("the process that undoes the change does not answer")?;
        if !confirmed {
            // A thread still waits for input. A normal exit would wait for this thread.
            super::super::warn("tunwarden: not confirmed: the earlier state is restored");
            std::process::exit(1);
        }
        Ok(true)
    }
}

/// Runs the guard.
pub(super) async fn wait(folder: &Path) -> Outcome {
    log::start(tracing::Level::INFO);
    // Leave the terminal's session, because every process of the session gets a signal when the terminal ends.
    let _ = nix::unistd::setsid();
    let _hangup = signal(SignalKind::hangup())?;
    let before: Before = serde_json::from_str(&fs::read_to_string(folder.join("before.json"))?)?;
    write(&folder.join("started"), "")?;
    let answer = async {
        loop {
            for (word, confirmed) in [("confirmed", true), ("refused", false)] {
                if folder.join(word).exists() {
                    return confirmed;
                }
            }
            tokio::time::sleep(TICK).await;
        }
    };
    if matches!(tokio::time::timeout(CONFIRM, answer).await, Ok(true)) {
        write(&folder.join("kept"), "")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut left = 3;
    while let Err(error) = before.restore().await {
        left -= 1;
        if left == 0 {
            bail!("the earlier state could not be restored: {error:#}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    write(&folder.join("undone"), "")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a new file beside the old one and renames it.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new);
    let mut file = file.with_context(|| format!("cannot write {}", new.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}
