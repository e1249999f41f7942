//! The edge: the names of root's podman containers, from podman's own files (`containers-storage`). Podman has no
//! service to ask.
//!
//! A file counts only if root alone can write it. Containers of other users are not looked up, because those users can
//! write the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::blocked::{NamedContainer, SHORT_ID};
use crate::net::printable;
use crate::sources::trusted::TrustedRoot;

/// The configuration of the storage (containers-storage.conf(5)), and the folders that apply if it names none.
const CONFIGURATION: &str = "/etc/containers/storage.conf";
const ROOTS: [&str; 2] = ["/var/lib/containers/storage", "/run/containers/storage"];

/// Drivers of the storage. Each has a folder of its own.
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

/// The lists of containers. The second one has the containers that podman removes when they end.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

/// How long the files are not read again: after the container was found (it may get another name), and after it was not
/// found.
const KEPT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(2);

/// Maximum number of containers of one list, and maximum length of a name in characters.
const MAX_CONTAINERS: usize = 4096;
const LONGEST: usize = 300;

/// The names of containers by the beginning of their ids.
type Names = BTreeMap<String, NamedContainer>;

/// Finds the names of containers.
#[derive(Debug, Default)]
pub(super) struct Podman {
    names: Names,
    read: Option<Instant>,
}

impl Podman {
    /// The container whose id begins with this one; `None` if root's podman has none.
    pub(super) async fn name(&mut self, id: &str) -> Option<NamedContainer> {
        let pause = if self.names.contains_key(id) { KEPT } else { PAUSE };
        if self.read.is_none_or(|read| read.elapsed() >= pause) {
            self.names = spawn_blocking(|| read(&root())).await.unwrap_or_default();
            self.read = Some(Instant::now());
        }
        self.names.get(id).cloned()
    }
}

fn root() -> TrustedRoot {
    TrustedRoot { root: PathBuf::from("/"), owner: 0 }
}

#[derive(Deserialize, Default)]
struct Configuration {
    #[serde(default)]
    storage: Storage,
}

#[derive(Deserialize, Default)]
struct Storage {
    graphroot: Option<PathBuf>,
    runroot: Option<PathBuf>,
}

/// The names in all lists. A file that cannot be read, or that is not root's own, adds no names.
fn read(trusted: &TrustedRoot) -> Names {
    let inside = |path: &Path| trusted.root.join(path.strip_prefix("/").unwrap_or(path));
    let configuration = trusted.text(&inside(Path::new(CONFIGURATION))).ok();
    let Configuration { storage } =
        configuration.and_then(|text| toml::from_str(&text).ok()).unwrap_or_default();
    let [graph, run] = ROOTS.map(PathBuf::from);
    let roots = [storage.graphroot.unwrap_or(graph), storage.runroot.unwrap_or(run)];
    let lists = roots.iter().flat_map(|root| {
        let folders = DRIVERS.map(|driver| inside(root).join(format!("{driver}-containers")));
        folders.into_iter().flat_map(|folder| LISTS.map(|list| folder.join(list)))
    });
    lists.filter_map(|list| trusted.text(&list).ok()).flat_map(|text| names(&text)).collect()
}

#[derive(Deserialize)]
struct Stored {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    /// An object of JSON, as text.
    #[serde(default)]
    metadata: Option<String>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(rename = "image-name", default)]
    image: Option<String>,
}

/// The containers of a list.
fn names(text: &str) -> Names {
    let all: Vec<Stored> = serde_json::from_str(text).unwrap_or_default();
    let name = |stored: Stored| {
        let is_hexadecimal = |id: &&str| id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let short = stored.id.get(..SHORT_ID).filter(is_hexadecimal)?.to_owned();
        let own = stored.names.into_iter().flatten().next().unwrap_or_else(|| short.clone());
        let metadata = stored.metadata.and_then(|text| serde_json::from_str::<Metadata>(&text).ok());
        let image = metadata.unwrap_or_default().image.unwrap_or_default();
        Some((short, NamedContainer { name: cut(&own), image: cut(&image), project: None }))
    };
    all.into_iter().take(MAX_CONTAINERS).filter_map(name).collect()
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).map(printable).collect()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test touches files")]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// As podman 4.3 writes it.
    fn list(id: &str, name: &str) -> String {
        let metadata =
            r#"{\"image-name\":\"docker.io/library/nginx:1\",\"image-id\":\"77\",\"name\":\"NAME\"}"#;
        let metadata = metadata.replace("NAME", name);
        format!(r#"[{{"id":"{id}","names":["{name}"],"image":"77","layer":"8","metadata":"{metadata}"}}]"#)
    }

    fn id(first: char) -> String {
        first.to_string().repeat(64)
    }

    #[test]
    fn a_container_is_named_from_each_list_of_the_configured_folders_that_root_alone_can_write() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let owner = nix::unistd::getuid().as_raw();
        let trusted = TrustedRoot { root: folder.path().canonicalize().unwrap(), owner };
        let write = |path: &str, text: &str, mode| {
            let path = folder.path().join(path);
            for folder in path.parent().unwrap().ancestors().take_while(|at| *at != folder.path()) {
                fs::create_dir_all(folder).unwrap();
                fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
            }
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("var/lib/containers/storage/overlay-containers/containers.json", &list(&id('a'), "web"), 0o600);
        write(
            "run/containers/storage/vfs-containers/volatile-containers.json",
            &list(&id('b'), "job"),
            0o600,
        );
        let found = read(&trusted);
        let name = |id: &str| found.get(id).map(|name| (name.name.as_str(), name.image.as_str()));
        assert_eq!(name("aaaaaaaaaaaa"), Some(("web", "docker.io/library/nginx:1")));
        assert_eq!(name("bbbbbbbbbbbb"), Some(("job", "docker.io/library/nginx:1")));

        write(
            "etc/containers/storage.conf",
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"/srv/pods\"\n",
            0o644,
        );
        write("srv/pods/vfs-containers/containers.json", &list(&id('c'), "db"), 0o600);
        let found = read(&trusted);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["bbbbbbbbbbbb", "cccccccccccc"]);

        write("srv/pods/vfs-containers/containers.json", &list(&id('c'), "db"), 0o666);
        assert!(!read(&trusted).contains_key("cccccccccccc"), "everybody could write it");
        let others = TrustedRoot { owner: owner + 1, ..trusted };
        assert_eq!(read(&others), Names::new(), "another user's");
    }

    #[test]
    fn what_is_no_list_has_no_names_and_no_name_has_control_characters_or_is_longer_than_a_line() {
        for text in ["", "{}", "[1]", "[{\"id\":1}]"] {
            assert_eq!(names(text), Names::new(), "{text}");
        }
        for id in [String::new(), "a".repeat(SHORT_ID - 1), "\u{e9}".repeat(SHORT_ID), id('g')] {
            assert_eq!(names(&list(&id, "web")), Names::new(), "{id}");
        }
        let only_id = names(&format!(r#"[{{"id":"{}","names":null,"metadata":"no json"}}]"#, id('d')));
        assert_eq!(only_id["dddddddddddd"].name, "dddddddddddd");
        let found = names(&list(&id('a'), &format!("\\u001b[31m{}", "x".repeat(4096))));
        let name = &found["aaaaaaaaaaaa"].name;
        assert_eq!(name.chars().count(), LONGEST);
        assert!(!name.contains(char::is_control), "{name}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = names(&text);
        }
    }
}
