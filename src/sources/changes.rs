//! Uses inotify to report that something in some folders has changed. The caller reads the folders to find out what.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::io::unix::AsyncFd;

/// Reports every change after this value is made.
pub(super) struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    /// Watches these folders, each with what counts as a change. A missing folder is skipped: a watch on its
    /// parent reports when it appears.
    #[expect(
        deprecated,
        reason = "the successor is unsafe, for types that may close early; an OwnedFd cannot"
    )]
    pub(super) fn of(folders: impl IntoIterator<Item = (PathBuf, WatchFlags)>) -> io::Result<Self> {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        for (folder, flags) in folders {
            watch_folder(&inotify, &folder, flags)?;
        }
        AsyncFd::new(inotify).map(Self)
    }

    /// Waits for the next change. Changes that are already queued behind it are taken with it and count as one change.
    pub(super) async fn next(&self) {
        let mut scrap = [0; 4096];
        // The only error is that of a runtime that is being shut down.
        let Ok(mut ready) = self.0.readable().await else { return std::future::pending().await };
        while rustix::io::read(&self.0, &mut scrap).is_ok_and(|length| length > 0) {}
        ready.clear_ready();
    }
}

fn watch_folder(inotify: &OwnedFd, folder: &Path, flags: WatchFlags) -> io::Result<()> {
    match add_watch(inotify, folder, flags | WatchFlags::ONLYDIR | WatchFlags::MASK_ADD) {
        Ok(_) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
