//! The edge: the control groups of this machine.

#![expect(clippy::disallowed_methods, reason = "an edge file: it reads the folders of control groups")]

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

/// Where the hierarchy of control groups is. The second path is used on systems that also have the old hierarchies.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// A file that every group of the second version has.
const MARK: &str = "cgroup.procs";

/// Maximum number of groups: in all, directly in one slice, and below the slice of one user. The last value is the
/// maximum number of levels. Users can make any number of groups below their own slice.
const MAX_GROUPS: usize = 4096;
const MAX_GROUPS_OF_SLICE: usize = 1024;
const MAX_GROUPS_OF_USER: usize = 512;
const DEEPEST: usize = 12;

/// The slice of services, which is read first, and the slice that has one slice for each user.
const SYSTEM: &str = "system.slice";
const USERS: &str = "user.slice";

/// Every group by its number, which is the number of its folder.
pub(super) fn paths() -> BTreeMap<u64, String> {
    let root = ROOTS.map(Path::new).into_iter().find(|root| root.join(MARK).exists());
    root.map(below).unwrap_or_default()
}

/// The groups below this root.
fn below(root: &Path) -> BTreeMap<u64, String> {
    let mut found = Found { root, paths: BTreeMap::new() };
    let mut slices = found.read(root, MAX_GROUPS_OF_SLICE);
    slices.sort_by_key(|slice| !slice.ends_with(SYSTEM));
    for slice in slices {
        if slice.ends_with(USERS) {
            let users = found.read(&slice, MAX_GROUPS_OF_SLICE);
            users.into_iter().for_each(|user| found.walk(user, MAX_GROUPS_OF_USER));
        } else {
            found.walk(slice, MAX_GROUPS_OF_SLICE);
        }
    }
    found.paths
}

struct Found<'a> {
    root: &'a Path,
    paths: BTreeMap<u64, String>,
}

impl Found<'_> {
    /// Takes in the groups below this folder, the upper levels first, at most this number.
    fn walk(&mut self, folder: PathBuf, most: usize) {
        let mut left = most;
        let mut rest = VecDeque::from([(0, folder)]);
        while let Some((depth, folder)) = rest.pop_front() {
            let groups = self.read(&folder, left);
            left -= groups.len();
            if left == 0 {
                return;
            }
            if depth < DEEPEST {
                rest.extend(groups.into_iter().map(|group| (depth + 1, group)));
            }
        }
    }

    /// Takes in the groups in this folder, at most this number.
    fn read(&mut self, folder: &Path, most: usize) -> Vec<PathBuf> {
        let most = most.min(MAX_GROUPS.saturating_sub(self.paths.len()));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).take(most);
        let mut found = Vec::new();
        for entry in groups {
            let path = entry.path();
            let below = path.strip_prefix(self.root).unwrap_or(&path);
            self.paths.insert(entry.ino(), below.to_string_lossy().into_owned());
            found.push(path);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_one_user_take_no_place_of_a_service_or_of_another_user() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| fs::create_dir_all(root.path().join(path)).unwrap();
        (0..700).for_each(|n| make(&format!("user.slice/user-1000.slice/own/{n}")));
        make("user.slice/user-1001.slice/session-1.scope");
        make("system.slice/cups.service");
        make("init.scope");
        let found = below(root.path());
        let has = |path: &str| found.values().any(|found| found == path);
        assert!(has("user.slice/user-1001.slice/session-1.scope") && has("user.slice/user-1000.slice/own"));
        assert!(has("system.slice/cups.service") && has("init.scope"));
        // The others: two slices and a scope at the top, two users, a session and a service.
        assert_eq!(found.len(), MAX_GROUPS_OF_USER + 3 + 2 + 2);
    }
}
