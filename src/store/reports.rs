//! Reports that root's hooks leave for the agent while they cannot reach it.
//!
//! Each report is a file of its own in `/run/tunwarden/reports`, a folder that only root can write to. So two
//! hooks that run at the same time write two files.

#![expect(clippy::disallowed_methods, reason = "an edge file: it keeps reports of hooks in files")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Store, StoreError, io_error, remove};
use crate::vpn::DatedReport;

const REPORTS: &str = "reports";

/// Maximum number of reports that are left for the agent.
const MAX_LEFT: usize = 64;

/// Maximum number of files that the agent reads at a time.
const MAX_READ: usize = 256;

/// Maximum size of a report in bytes. A real report has about 300.
const MAX_BYTES: u64 = 4096;

/// How long a hook may take to write its file, in nanoseconds. The agent removes an older unfinished file.
const UNFINISHED: u64 = 60_000_000_000;

/// A report that a hook left, and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReport {
    /// The report, with its time.
    pub dated: DatedReport,
    path: PathBuf,
}

impl Store {
    /// The folder in which hooks leave their reports.
    pub fn reports(&self) -> PathBuf {
        self.run.join(REPORTS)
    }

    /// Leaves a hook's report for an agent that cannot be reached. Only root can do this.
    ///
    /// # Errors
    /// [`StoreError::Io`]: then the report is lost.
    pub fn store_report(&self, dated: &DatedReport) -> Result<(), StoreError> {
        let folder = self.reports();
        make(&folder)?;
        make_room(&folder, dated);
        let name = format!("{:020}-{}", dated.at, std::process::id());
        let (new, path) = (folder.join(format!(".{name}")), folder.join(name));
        let text =
            serde_json::to_vec(dated).map_err(|source| StoreError::Damaged { path: path.clone(), source })?;
        let written = write(&new, &text).and_then(|()| std::fs::rename(&new, &path));
        written.map_err(|error| {
            let _ = remove(&new);
            io_error(&path)(error)
        })
    }

    /// The reports that hooks left, the oldest first. The files stay until [`Store::remove_stored`].
    ///
    /// # Errors
    /// [`StoreError::Io`]: the folder cannot be read, or another user than root may write to it.
    pub fn stored_reports(&self, now: u64) -> Result<Vec<StoredReport>, StoreError> {
        let folder = self.reports();
        match check(&folder) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            checked => checked?,
        }
        remove_unfinished(&folder, now);
        let mut left: Vec<StoredReport> = names(&folder, MAX_READ)
            .into_iter()
            .filter_map(|name| {
                let path = folder.join(name);
                match read(&path) {
                    Ok(mut dated) => {
                        dated.at = dated.at.min(now);
                        Some(StoredReport { dated, path })
                    }
                    Err(error) => {
                        tracing::warn!(
                            "{} is not a report of a hook, and was removed: {error}",
                            path.display()
                        );
                        if let Err(error) = remove(&path) {
                            tracing::warn!("{}", crate::describe::describe(&error));
                        }
                        None
                    }
                }
            })
            .collect();
        left.sort_by_key(|left| left.dated.at);
        Ok(left)
    }

    /// Removes the file of a report that the agent has taken over.
    ///
    /// # Errors
    /// [`StoreError::Io`]
    pub fn remove_stored(&self, left: &StoredReport) -> Result<(), StoreError> {
        remove(&left.path)
    }
}

/// Makes the folder, and checks that only root can write to it.
fn make(folder: &Path) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io_error(folder)(error)),
        Ok(()) | Err(_) => check(folder),
    }
}

fn check(folder: &Path) -> Result<(), StoreError> {
    let meta = folder.symlink_metadata().map_err(io_error(folder))?;
    if meta.is_dir() && is_ours(&meta) {
        return Ok(());
    }
    Err(io_error(folder)(io::Error::other("it must be a folder that only root can write to")))
}

fn is_ours(meta: &std::fs::Metadata) -> bool {
    meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o022 == 0
}

/// Removes the reports that the new one replaces, and the oldest ones beyond [`MAX_LEFT`].
fn make_room(folder: &Path, new: &DatedReport) {
    let mut names = names(folder, usize::MAX);
    names.retain(|name| {
        let path = folder.join(name);
        let replaced = read(&path).is_ok_and(|old| new.replaces(&old));
        !(replaced && remove(&path).is_ok())
    });
    let excess = (names.len() + 1).saturating_sub(MAX_LEFT);
    for name in names.iter().take(excess) {
        let _ = remove(&folder.join(name));
    }
}

/// The names of finished files, the oldest first.
fn names(folder: &Path, most: usize) -> Vec<String> {
    let mut names: Vec<String> = entries(folder).filter(|name| !name.starts_with('.')).take(most).collect();
    names.sort();
    names
}

fn entries(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// Removes the unfinished files of hooks that were killed.
fn remove_unfinished(folder: &Path, now: u64) {
    let at = |name: &str| name.strip_prefix('.')?.split('-').next()?.parse::<u64>().ok();
    for name in entries(folder).filter(|name| at(name).is_some_and(|at| at + UNFINISHED < now)) {
        let _ = remove(&folder.join(name));
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn read(path: &Path) -> io::Result<DatedReport> {
    // Opening a pipe must not wait for a writer.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !(meta.is_file() && is_ours(&meta)) {
        return Err(io::Error::other("it is no plain file that only root can write to"));
    }
    if meta.len() > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test touches files")]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::vpn::{Report, ReportKind};

    const SECOND: u64 = 1_000_000_000;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("state"), folder.path());
        (folder, store)
    }

    fn up(at: u64, interface: &str) -> DatedReport {
        let (kind, interface) = (ReportKind::Up, interface.parse().unwrap());
        let report = Report { kind, interface, pid: Some(7), started: Some(9), endpoint: None, either: None };
        DatedReport { at, report }
    }

    fn left(store: &Store, now: u64) -> Vec<DatedReport> {
        store.stored_reports(now).unwrap().into_iter().map(|left| left.dated).collect()
    }

    #[test]
    fn reports_are_read_in_order_and_stay_until_they_are_forgotten() {
        let (_folder, store) = store();
        assert_eq!(left(&store, 9), [], "no folder, no reports");
        for one in [up(2, "tun1"), up(1, "tun0"), up(30, "tun2")] {
            store.store_report(&one).unwrap();
        }
        assert_eq!(left(&store, 9), [up(1, "tun0"), up(2, "tun1"), up(9, "tun2")], "none from the future");
        for one in store.stored_reports(9).unwrap() {
            store.remove_stored(&one).unwrap();
        }
        assert_eq!(left(&store, 9), []);
    }

    #[test]
    fn a_newer_report_replaces_an_older_one_and_the_number_is_bounded() {
        let (_folder, store) = store();
        for at in 0..100 {
            store.store_report(&up(at, "tun0")).unwrap();
        }
        assert_eq!(left(&store, SECOND), [up(99, "tun0")]);
        for at in 100..300 {
            store.store_report(&up(at, &format!("tun{at}"))).unwrap();
        }
        let all = left(&store, SECOND);
        assert_eq!((all.len(), all[0].at, all[63].at), (MAX_LEFT, 236, 299));
    }

    #[test]
    fn only_plain_small_files_that_nobody_else_can_write_are_reports() {
        let (folder, store) = store();
        store.store_report(&up(1, "tun0")).unwrap();
        let reports = store.reports();
        let name = std::fs::read_dir(&reports).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read(&name).unwrap();
        let outside = folder.path().join("outside");
        std::fs::write(&outside, &text).unwrap();
        symlink(&outside, reports.join("link")).unwrap();
        std::fs::write(reports.join("open"), &text).unwrap();
        std::fs::set_permissions(reports.join("open"), Permissions::from_mode(0o622)).unwrap();
        std::fs::write(reports.join("large"), [&text[..], &[b' '; 5000]].concat()).unwrap();
        std::fs::write(reports.join("nonsense"), "{}").unwrap();
        nix::unistd::mkfifo(&reports.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(reports.join(".00000000000000000001-7"), "{").unwrap();
        assert_eq!(left(&store, 2), [up(1, "tun0")]);
        assert!(reports.join(".00000000000000000001-7").exists(), "a hook may still be writing it");
        assert_eq!(left(&store, 2 + UNFINISHED), [up(1, "tun0")]);
        assert_eq!(std::fs::read_dir(&reports).unwrap().count(), 1, "the rest was removed");
        assert!(outside.exists());
    }

    #[test]
    fn a_folder_that_others_can_write_to_holds_no_reports() {
        let (folder, store) = store();
        store.store_report(&up(1, "tun0")).unwrap();
        std::fs::set_permissions(store.reports(), Permissions::from_mode(0o777)).unwrap();
        assert!(store.stored_reports(2).is_err() && store.store_report(&up(2, "tun0")).is_err());
        std::fs::rename(store.reports(), folder.path().join("moved")).unwrap();
        symlink(folder.path().join("moved"), store.reports()).unwrap();
        assert!(store.stored_reports(2).is_err() && store.store_report(&up(2, "tun0")).is_err());
    }
}
