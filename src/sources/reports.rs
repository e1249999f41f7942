//! Watches the folder in which root's hooks leave their reports while they cannot reach the agent.
//!
//! It reports only that the folder must be read.

use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::inotify::WatchFlags;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::changes::Changes;

/// How often the folder is read when the kernel refuses a watch on it.
const UNWATCHED: Duration = Duration::from_secs(2);

/// Sends a message when the watch begins and whenever a report may have come, until the receiver is dropped.
/// `run` is the folder in which the folder of the reports is made.
pub async fn watch(run: PathBuf, reports: PathBuf, changed: mpsc::Sender<()>) {
    let mut warned = false;
    loop {
        // The folder of the reports may have been replaced. The watch begins before the folder is read.
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO;
        let changes = Changes::of([(run.clone(), WatchFlags::CREATE), (reports.clone(), flags)]);
        if changed.send(()).await.is_err() {
            return;
        }
        let next = async {
            match &changes {
                Ok(changes) => changes.next().await,
                Err(error) => {
                    if !std::mem::replace(&mut warned, true) {
                        tracing::warn!(
                            "{} cannot be watched, and is read every 2 s: {error}",
                            reports.display()
                        );
                    }
                    sleep(UNWATCHED).await;
                }
            }
        };
        tokio::select! {
            () = next => {}
            () = changed.closed() => return,
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test touches files")]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// Waits for a message, and takes the messages that are queued behind it.
    async fn word(messages: &mut mpsc::Receiver<()>) {
        assert_eq!(timeout(SOON, messages.recv()).await, Ok(Some(())));
        while timeout(Duration::from_millis(200), messages.recv()).await.is_ok() {}
    }

    #[tokio::test]
    async fn each_report_is_noticed_in_a_folder_that_appears_later_and_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (run, reports) = (folder.path().to_owned(), folder.path().join("reports"));
        let (changed, mut messages) = mpsc::channel(1);
        let watch = tokio::spawn(watch(run, reports.clone(), changed));
        word(&mut messages).await;
        for _ in 0..2 {
            std::fs::create_dir(&reports).unwrap();
            word(&mut messages).await;
            std::fs::write(reports.join(".1"), "").unwrap();
            word(&mut messages).await;
            std::fs::rename(reports.join(".1"), reports.join("1")).unwrap();
            word(&mut messages).await;
            std::fs::remove_dir_all(&reports).unwrap();
        }
        drop(messages);
        std::fs::write(folder.path().join("applied.new"), "").unwrap();
        timeout(SOON, watch).await.unwrap().unwrap();
    }
}
