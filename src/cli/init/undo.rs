//! The way back from `tunwarden init`: what was before, and a process that puts it back by itself. It
//! belongs to no terminal: whoever is locked out over the network only has to wait.

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

/// How long a person has to say that all is well.
const CONFIRM: Duration = Duration::from_secs(60);
/// How long the guard is given to be on its post.
const PATIENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(100);

/// What was before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    path: PathBuf,
    /// The configuration, if there was one.
    config: Option<String>,
    /// Whether an agent held the rules.
    agent: bool,
    /// What the kernel held.
    dump: Dump,
}

/// The process that waits.
pub(super) struct Guard {
    folder: PathBuf,
}

impl Before {
    pub(super) fn of(path: &Path, dump: Dump) -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "this file keeps the configuration that was before")]
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

    /// Puts it back. What was closed before is closed all the while.
    pub(super) async fn bring_back(&self) -> anyhow::Result<()> {
        match &self.config {
            Some(text) => write(&self.path, text)?,
            // Written by nobody, if it was not even put in force.
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
        release::give_way(path, &self.dump).await
    }
}

impl Guard {
    /// Sets a process on guard that belongs to no terminal, and waits until it is on its post.
    pub(super) async fn set(before: &Before) -> anyhow::Result<Self> {
        let folder = Path::new(RUN_DIR).join("init");
        let _ = fs::remove_dir_all(&folder);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).context("cannot keep the way back")?;
        write(&folder.join("before.json"), &serde_json::to_string(before)?)?;
        let program = std::env::current_exe()?;
        let words = [program.to_string_lossy(), "init".into(), "--undo".into(), folder.to_string_lossy()];
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        let as_service = systemd::is_running() && systemd::run_as_service(&words).await.is_ok();
        if !as_service {
            #[expect(clippy::disallowed_methods, reason = "this program again, which needs no other")]
            let mut guard = std::process::Command::new(&program);
            let quiet =
                guard.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            quiet.spawn().context("cannot set a guard")?;
        }
        let on_post = async {
            while !folder.join("on-post").exists() {
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::time::timeout(PATIENCE, on_post)
            .await
            .context("the guard did not come; nothing was changed")?;
        Ok(Self { folder })
    }

    /// Asks, and hears of the guard whether the answer came in time.
    pub(super) async fn confirmed(&self) -> anyhow::Result<bool> {
        say(&format!(
            "In force. Is all as you need it? Write yes within {} s, or everything will be as before.",
            CONFIRM.as_secs()
        ));
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        });
        match tokio::time::timeout(CONFIRM, line).await {
            Ok(Ok(Ok(line))) if line.trim() == "yes" => write(&self.folder.join("confirmed"), "")?,
            Ok(Ok(Ok(line))) if !line.is_empty() => write(&self.folder.join("refused"), "")?,
            // A terminal that is gone says neither, nor does silence: the guard waits its time.
            Ok(_) | Err(_) => {}
        }
        // The guard has the last word: it may have gone to work already.
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
        let confirmed = tokio::time::timeout(CONFIRM * 2, done).await.context("the guard says nothing")?;
        if !confirmed {
            // A thread still waits for a line that nobody writes.
            super::super::complain("tunwarden: not confirmed: everything is as before");
            std::process::exit(1);
        }
        Ok(true)
    }
}

/// What the guard does.
pub(super) async fn wait(folder: &Path) -> Outcome {
    log::start(tracing::Level::INFO);
    // Away from the terminal, whose end is a signal.
    let _ = nix::unistd::setsid();
    let _hangup = signal(SignalKind::hangup())?;
    #[expect(clippy::disallowed_methods, reason = "this file keeps what was before")]
    let before: Before = serde_json::from_str(&fs::read_to_string(folder.join("before.json"))?)?;
    write(&folder.join("on-post"), "")?;
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
    while let Err(error) = before.bring_back().await {
        left -= 1;
        if left == 0 {
            bail!("what was before could not be put back: {error:#}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    write(&folder.join("undone"), "")?;
    Ok(ExitCode::SUCCESS)
}

/// Writes beside the file and moves it into place.
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
