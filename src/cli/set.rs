//! `tunwarden set`: changes single keys of the configuration, and has the agent read it again.
//!
//! This is a command of root's and no call to the agent, because the agent's unit can write nothing in `/etc`: an
//! agent that somebody has taken over cannot widen the configuration.

#![expect(clippy::disallowed_methods, reason = "an edge file: it replaces the configuration")]

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args as ClapArgs;
use nix::fcntl::{Flock, FlockArg};

use super::{BAD_CONFIG, Outcome, client, control, load, needs_root, no_file_by_pkexec, say, warn};
use crate::config::{Assignment, EditError, Faults, Written, edit, plain, values};
use crate::effects::replace::replace;
use crate::store::Store;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// A key of the configuration and its new value in TOML. A word needs no quotes. Without any, every key is shown
    /// with its value.
    #[arg(value_name = "SECTION.KEY=VALUE")]
    assignments: Vec<Assignment>,
    /// Show the lines that would change, and change nothing. Needs no root.
    #[arg(long, requires = "assignments")]
    dry_run: bool,
    /// Show every key with its value as JSON.
    #[arg(long, conflicts_with_all = ["assignments", "dry_run"])]
    json: bool,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Outcome {
    no_file_by_pkexec("set", path)?;
    let done = match args.assignments.is_empty() {
        true => show(args, path),
        false if args.dry_run => dry_run(args, path),
        false => needs_root("set").and_then(|()| change(args, path)),
    };
    match done {
        Err(error) if error.is::<EditError>() || error.is::<Faults>() => {
            warn(&format!("{error}\ntunwarden: nothing was changed"));
            Ok(ExitCode::from(BAD_CONFIG))
        }
        Err(error) => Err(error),
        Ok(None) => Ok(ExitCode::SUCCESS),
        Ok(Some(_)) if path.is_some() => {
            say("The file is changed. The agent was not asked to read it: sudo tunwarden reload");
            Ok(ExitCode::SUCCESS)
        }
        Ok(Some(before)) => reload(before).await,
    }
}

/// The file before the change.
struct Before {
    file: PathBuf,
    /// `None` if there was no file.
    text: Option<String>,
    meta: Metadata,
    /// Two of these commands at once would lose what one of them has changed.
    _lock: Flock<File>,
}

impl Before {
    fn put_back(&self) -> io::Result<()> {
        match &self.text {
            Some(text) => replace(&self.file, &self.meta, text.as_bytes()),
            None => fs::remove_file(&self.file),
        }
    }
}

fn show(args: &Args, path: Option<&Path>) -> anyhow::Result<Option<Before>> {
    let file = load::path_of(path);
    let values = values(&load::load(path)?.text, &file.to_string_lossy())?;
    if args.json {
        let object: serde_json::Map<String, serde_json::Value> = values
            .into_iter()
            .map(|(key, value)| Ok((key, serde_json::to_value(value)?)))
            .collect::<Result<_, serde_json::Error>>()?;
        say(&serde_json::to_string(&object)?);
    } else {
        values.iter().for_each(|(key, value)| say(&plain(&format!("{key} = {value}"))));
    }
    Ok(None)
}

fn dry_run(args: &Args, path: Option<&Path>) -> anyhow::Result<Option<Before>> {
    let file = load::path_of(path);
    let edited = edit(&load::load(path)?.text, &file.to_string_lossy(), &args.assignments)?;
    if edited.changes.is_empty() {
        say(&unchanged(&file));
    }
    edited.changes.iter().for_each(|change| say(change.diff.trim_end()));
    Ok(None)
}

fn unchanged(file: &Path) -> String {
    format!("Nothing to change: {} has these values already.", plain(&file.to_string_lossy()))
}

/// Changes the file, or leaves it as it is. `None` if there is nothing to change.
fn change(args: &Args, path: Option<&Path>) -> anyhow::Result<Option<Before>> {
    let file = target(&load::path_of(path));
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = || format!("cannot write {}", file.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    let folder = File::open(folder).with_context(cannot)?;
    let lock = only_one().context("another program changes the configuration now; try again")?;
    let written = match Written::read(&file) {
        Err(Faults::NotFound(_)) if path.is_none() => None,
        result => Some(result?),
    };
    let text = written.map(|written| written.text);
    let edited = edit(text.as_deref().unwrap_or_default(), &file.to_string_lossy(), &args.assignments)?;
    if edited.changes.is_empty() {
        say(&unchanged(&file));
        return Ok(None);
    }
    let meta = existing(&file).with_context(cannot)?.metadata().with_context(cannot)?;
    replace(&file, &meta, edited.text.as_bytes()).with_context(cannot)?;
    folder.sync_all().with_context(cannot)?;
    for change in &edited.changes {
        let before = change.before.as_deref().unwrap_or("not set");
        say(&plain(&format!("{}: {before} -> {}", change.key, change.after)));
    }
    Ok(Some(Before { file, text, meta, _lock: lock }))
}

/// Takes the lock of this command. Only root can open its file: every user can lock a folder.
fn only_one() -> anyhow::Result<Flock<File>> {
    let store = Store::default();
    store.prepare()?;
    let path = store.run().join("set.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error.into())
}

/// The file that a link leads to. A link stays a link.
fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The file. If there is none, an empty one that everybody may read, as the package's.
fn existing(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)
        }
        result => result,
    }
}

/// Has the agent read the file again. If the agent refuses, the file gets its old text back.
async fn reload(before: Before) -> Outcome {
    if client::connect().await.is_err() && Store::default().running_agent().is_none() {
        say("The agent is not running. The change is in force when it starts.");
        return Ok(ExitCode::SUCCESS);
    }
    if control::reloaded().await.context("the file is changed")? {
        return Ok(ExitCode::SUCCESS);
    }
    let file = plain(&before.file.to_string_lossy());
    before.put_back().with_context(|| format!("{file} cannot be put back"))?;
    warn("tunwarden: the file has its old text");
    Ok(ExitCode::from(BAD_CONFIG))
}
