//! A new file of the user who runs the command with sudo or pkexec.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::super::caller;
use nix::libc::O_NOFOLLOW;
use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist, setfsgid, setfsuid, setgroups};

/// Creates a new file that only its owner can read. Fails if the name exists, also as a link. Root creates it as the
/// user who called it, so that it can be no file that this user may not make.
///
/// # Errors
/// The user may not create it, or the name exists.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let caller = caller();
    let path = path.to_owned();
    match caller.filter(|_| geteuid().is_root()) {
        None => open(&path),
        Some(caller) => {
            let User { uid, gid, name, .. } = user(&caller)?;
            // Root's own groups could make files where this user may not. These are groups of the process, which needs
            // none of root's afterwards.
            setgroups(&getgrouplist(&CString::new(name)?, gid)?)?;
            // The file system's ids belong to a thread, and end with it.
            let thread = std::thread::spawn(move || as_user(uid, gid, &path));
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that creates it has failed")))
        }
    }
}

fn user(uid: &OsStr) -> io::Result<User> {
    let number = uid.to_str().and_then(|text| text.parse().ok()).map(Uid::from_raw);
    let unknown = || io::Error::other(format!("the user {} who runs this is not known", uid.display()));
    number.and_then(|uid| User::from_uid(uid).ok().flatten()).ok_or_else(unknown)
}

/// With another user id for files the kernel takes away root's capabilities for files too.
fn as_user(uid: Uid, gid: Gid, path: &Path) -> io::Result<File> {
    setfsgid(gid);
    setfsuid(uid);
    // The calls return the id before and no error.
    if (setfsuid(uid), setfsgid(gid)) != (uid, gid) {
        return Err(io::Error::other("the kernel does not let this thread make files as the user"));
    }
    open(path)
}

#[expect(clippy::disallowed_methods, reason = "an edge file: it makes the page of the report")]
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(O_NOFOLLOW).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_exists_or_is_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [there, link, new] = ["there", "link", "new"].map(|name| folder.path().join(name));
        open(&there).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
        assert!(open(&there).is_err());
        assert!(open(&link).is_err());
        assert!(open(&new).is_ok());
        assert!(!folder.path().join("elsewhere").exists());
    }
}
