//! Groups of processes (cgroup2) are no namespace's: those of a laboratory whose test was killed stay,
//! with nobody in them. The next laboratory takes them away.

use std::fs;
use std::path::{Path, PathBuf};

/// What the name of every group of a laboratory's begins with; the id of one of its machines' process 1
/// follows.
pub(crate) const PREFIX: &str = "tunwarden-lab-";

/// Where a process with a mount of cgroup2 in its place has it, seen from outside.
pub(crate) fn mount_of(process: u32) -> PathBuf {
    Path::new("/proc").join(process.to_string()).join("root/sys/fs/cgroup")
}

/// Takes away the groups of laboratories that are gone, below a mount of cgroup2. Only those of our own
/// naming, whose owner does not run and in which nothing does: the kernel itself refuses any other.
pub(crate) fn remove_stale(mount: &Path) {
    for entry in fs::read_dir(mount).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(owner);
        if owner.is_some_and(is_gone) && is_deserted(&entry.path()) {
            remove(&entry.path());
        }
    }
}

/// `tunwarden-lab-123` and `tunwarden-lab-123-desk-1` are 123's.
fn owner(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?;
    let (id, boot) = rest.split_once("-desk-").unwrap_or((rest, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(id) && digits(boot)).then(|| id.parse().ok()).flatten().filter(|&id| id > 0)
}

/// One that has ended has no namespaces, also while nobody has waited for it.
fn is_gone(owner: u32) -> bool {
    fs::read_link(format!("/proc/{owner}/ns/net")).is_err()
}

fn is_deserted(group: &Path) -> bool {
    let events = fs::read_to_string(group.join("cgroup.events"));
    events.is_ok_and(|events| events.lines().any(|line| line == "populated 0"))
}

/// From the innermost: a group that has others in it stays until they are gone.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    // Somebody may have come meanwhile: then it is in use, and stays.
    let _ = fs::remove_dir(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_have_an_owner() {
        for (name, id) in [("tunwarden-lab-123", Some(123)), ("tunwarden-lab-7-desk-12", Some(7))] {
            assert_eq!(owner(name), id, "{name}");
        }
        for other in ["", "-1", "0", "12x", "12-desk-", "12-desk-x", "12-other", "99999999999"] {
            assert_eq!(owner(&format!("{PREFIX}{other}")), None, "{other}");
        }
        assert_eq!(owner("system.slice"), None);
    }
}
