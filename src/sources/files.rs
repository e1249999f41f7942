//! Watches `/etc/hosts`, from which another program may remove the pins, and `/etc/passwd`, in which the user
//! of a VPN client may appear.
//!
//! It reports only that the file has changed. The agent checks whether a pin is missing.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::WatchFlags;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::changes::Changes;
use crate::effects::hosts::HOSTS;

/// passwd(5)
const USERS: &str = "/etc/passwd";

/// How long after a change the file is read. A program writes it in several steps.
const SETTLED: Duration = Duration::from_millis(50);

/// The shortest time between two reports.
const INTERVAL: Duration = Duration::from_secs(1);

/// Sends a message whenever `/etc/hosts` has changed, until the receiver is dropped.
pub async fn watch(changed: mpsc::Sender<()>) {
    watch_at(Path::new(HOSTS), changed).await;
}

/// Sends a message whenever `/etc/passwd` has changed, until the receiver is dropped.
pub async fn watch_users(changed: mpsc::Sender<()>) {
    watch_at(Path::new(USERS), changed).await;
}

async fn watch_at(file: &Path, changed: mpsc::Sender<()>) {
    let Some(folder) = file.parent() else { return };
    let flags = WatchFlags::CREATE | WatchFlags::MOVE | WatchFlags::CLOSE_WRITE | WatchFlags::DELETE;
    let changes = match Changes::of([(folder.to_owned(), flags)]) {
        Ok(changes) => changes,
        Err(error) => {
            tracing::warn!("changes of {} will not be seen: {error}", file.display());
            return;
        }
    };
    let mut known = identity(file);
    loop {
        tokio::select! {
            () = changes.next() => sleep(SETTLED).await,
            () = changed.closed() => return,
        }
        let now = identity(file);
        if now != known {
            known = now;
            if changed.send(()).await.is_err() {
                return;
            }
            sleep(INTERVAL).await;
        }
    }
}

/// Values that differ between two versions of the file. They are known without reading the file.
fn identity(file: &Path) -> Option<(u64, u64, i64, i64)> {
    let data = file.symlink_metadata().ok()?;
    Some((data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test touches files")]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn each_change_of_the_file_is_reported_and_changes_of_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hosts");
        std::fs::write(&file, "127.0.0.1 localhost\n").unwrap();
        let (changed, mut told) = mpsc::channel(8);
        let watched = file.clone();
        let watch = tokio::spawn(async move { watch_at(&watched, changed).await });
        sleep(Duration::from_millis(200)).await;
        std::fs::write(folder.path().join("other"), "").unwrap();
        let next = async |told: &mut mpsc::Receiver<()>, wait| timeout(wait, told.recv()).await;
        assert!(next(&mut told, Duration::from_secs(1)).await.is_err(), "of another file");
        let soon = Duration::from_secs(20);
        std::fs::write(&file, "127.0.0.1 localhost\n10.0.0.5 printer\n").unwrap();
        assert_eq!(next(&mut told, soon).await, Ok(Some(())), "written");
        std::fs::rename(folder.path().join("other"), &file).unwrap();
        assert_eq!(next(&mut told, soon).await, Ok(Some(())), "replaced");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(next(&mut told, soon).await, Ok(Some(())), "taken away");
        drop(told);
        timeout(soon, watch).await.unwrap().unwrap();
    }
}
