//! Cgroups belong to no namespace. After the kill of a test, the empty cgroups of its laboratory stay. The
//! next laboratory removes them.

use std::fs;
use std::path::{Path, PathBuf};

/// The prefix of the names of a laboratory's cgroups. The rest of the name is the id of process 1 of one of its
/// machines.
pub(crate) const PREFIX: &str = "tunwarden-lab-";

/// The path of a process's cgroup2 mount, as seen from outside.
pub(crate) fn mount_of(process: u32) -> PathBuf {
    Path::new("/proc").join(process.to_string()).join("root/sys/fs/cgroup")
}

/// Removes the cgroups of ended laboratories below a mount of cgroup2. A cgroup is removed only if its name
/// has our prefix and its owner does not run. The kernel refuses to remove a cgroup with processes.
pub(crate) fn remove_stale(mount: &Path) {
    for entry in fs::read_dir(mount).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(owner);
        if owner.is_some_and(is_gone) && is_unpopulated(&entry.path()) {
            remove(&entry.path());
        }
    }
}

/// `tunwarden-lab-123` and `tunwarden-lab-123-desk-1` belong to process 123.
fn owner(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?;
    let (id, boot) = rest.split_once("-desk-").unwrap_or((rest, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(id) && digits(boot)).then(|| id.parse().ok()).flatten().filter(|&id| id > 0)
}

/// A process that has ended has no namespaces, also before its parent has waited for it.
fn is_gone(owner: u32) -> bool {
    fs::read_link(format!("/proc/{owner}/ns/net")).is_err()
}

fn is_unpopulated(group: &Path) -> bool {
    let events = fs::read_to_string(group.join("cgroup.events"));
    events.is_ok_and(|events| events.lines().any(|line| line == "populated 0"))
}

/// Removes the innermost cgroups first, because a cgroup with children cannot be removed.
fn remove(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    // A process may have joined the cgroup since the check: then it is in use, and stays.
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
