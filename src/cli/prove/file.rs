//! Creates a new file for the user who runs the command with sudo or pkexec.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::super::caller;
use nix::libc::O_NOFOLLOW;
use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist, setfsgid, setfsuid, setgroups};

/// Creates a new file that only its owner can read. Fails if the name exists, also if it is a link. Root creates it
/// with the ids of the calling user, so it can only be created where this user may create files.
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
            // With root's groups this process could create files where the user may not. The groups belong to the whole
            // process, which does not need root's groups afterwards.
            setgroups(&getgrouplist(&CString::new(name)?, gid)?)?;
            // The ids for file access belong to one thread, and end with it.
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

/// When a thread takes another user id for file access, the kernel also removes root's capabilities for files.
fn as_user(uid: Uid, gid: Gid, path: &Path) -> io::Result<File> {
    setfsgid(gid);
    setfsuid(uid);
    // The calls return the previous id. They report no error.
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
