//! Watches the file in which VPN servers are pinned: another program that writes it may take the pins out.
//! And the one that names this system's users: a VPN client's may come.
//!
//! It says no more than that the file is another one now; whether a pin is missing, its writer sees.

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

/// A file is written in several steps: it is looked at when that is over.
const SETTLED: Duration = Duration::from_millis(50);

/// Whoever writes it again and again is not answered more often.
const SELDOM: Duration = Duration::from_secs(1);

/// Sends a word whenever the file is another one, until nobody listens.
pub async fn watch(changed: mpsc::Sender<()>) {
    watch_at(Path::new(HOSTS), changed).await;
}

/// The same of the file that names this system's users.
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
            sleep(SELDOM).await;
        }
    }
}

/// What tells one text of the file from another, without reading it.
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
    async fn each_new_text_is_told_and_what_else_happens_beside_it_is_not() {
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
