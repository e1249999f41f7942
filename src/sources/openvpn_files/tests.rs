#![allow(clippy::disallowed_methods, reason = "a test touches files")]

use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

struct Here {
    folder: TempDir,
}

impl Here {
    fn new() -> Self {
        let here = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(here.path("etc")).unwrap();
        here
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn with_folders() -> Self {
        let here = Self::new();
        std::fs::create_dir_all(here.path("etc/openvpn/client")).unwrap();
        here
    }

    fn trusted(&self) -> TrustedRoot {
        TrustedRoot { root: self.folder.path().to_owned(), owner: nix::unistd::geteuid().as_raw() }
    }

    fn file(&self, below: &str, text: &str) {
        std::fs::write(self.path(below), text).unwrap();
        self.mode(below, 0o644);
    }

    fn mode(&self, below: &str, mode: u32) {
        std::fs::set_permissions(self.path(below), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Names of files that count, without their folder.
    fn names(&self) -> Vec<String> {
        names(&read_all(&self.trusted()).files)
    }
}

fn names(files: &[OpenVpnFile]) -> Vec<String> {
    let name = |file: &OpenVpnFile| file.path.rsplit('/').next().unwrap_or_default().to_owned();
    files.iter().map(name).collect()
}

const GOOD: &str = "remote 198.51.100.7\n";

#[test]
fn only_files_that_only_root_can_write_count_and_the_others_are_reported() {
    let here = Here::with_folders();
    here.file("etc/openvpn/good.conf", GOOD);
    here.file("etc/openvpn/client/good.ovpn", GOOD);
    here.file("etc/openvpn/note.txt", GOOD);
    here.file("etc/openvpn/.hidden.conf", GOOD);
    here.file("etc/openvpn/group.conf", GOOD);
    here.mode("etc/openvpn/group.conf", 0o664);
    here.file("etc/openvpn/world.conf", GOOD);
    here.mode("etc/openvpn/world.conf", 0o646);
    here.file("etc/openvpn/huge.conf", &format!("{GOOD}{}", "#\n".repeat(600_000)));
    std::fs::create_dir(here.path("etc/openvpn/folder.conf")).unwrap();
    symlink(here.path("etc/openvpn/good.conf"), here.path("etc/openvpn/link.conf")).unwrap();
    nix::unistd::mkfifo(&here.path("etc/openvpn/pipe.conf"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let seen = read_all(&here.trusted());
    assert_eq!(names(&seen.files), ["good.conf", "good.ovpn"]);
    for (name, why) in [
        ("group", "others than root can write it"),
        ("world", "others than root can write it"),
        ("huge", "larger than"),
        ("folder", "no plain file"),
        ("link", "a symbolic link"),
        ("pipe", "no plain file"),
    ] {
        let fault = &seen.faults.all()[&here.path(&format!("etc/openvpn/{name}.conf")).display().to_string()];
        assert!(fault.contains(why), "{name}: {fault}");
    }
    assert_eq!(seen.faults.all().len(), 6, "{:?}", seen.faults);

    let foreign = TrustedRoot { owner: 4_000_000, ..here.trusted() };
    assert!(read_all(&foreign).files.is_empty(), "another's files");
}

#[test]
fn files_in_a_folder_that_others_can_write_do_not_count() {
    let here = Here::with_folders();
    here.file("etc/openvpn/a.conf", GOOD);
    here.file("etc/openvpn/client/b.conf", GOOD);
    here.mode("etc/openvpn", 0o775);
    let seen = read_all(&here.trusted());
    assert_eq!((names(&seen.files), seen.faults.all().len()), (Vec::new(), 1), "nor what lies below it");
    here.mode("etc/openvpn", 0o755);
    here.mode("etc/openvpn/client", 0o757);
    assert_eq!(here.names(), ["a.conf"]);
    here.mode("etc/openvpn/client", 0o755);
    assert_eq!(here.names(), ["a.conf", "b.conf"]);
    std::fs::rename(here.path("etc/openvpn"), here.path("etc/elsewhere")).unwrap();
    symlink(here.path("etc/elsewhere"), here.path("etc/openvpn")).unwrap();
    assert_eq!(here.names(), [""; 0], "a link");
}

#[test]
fn a_missing_user_is_reported_and_the_configuration_of_a_server_is_ignored() {
    let here = Here::with_folders();
    here.file("etc/openvpn/a.conf", &format!("{GOOD}user no-such-user\n"));
    here.file("etc/openvpn/b.conf", &format!("{GOOD}user root\n"));
    here.file("etc/openvpn/server.conf", "server 10.8.0.0 255.255.255.0\nuser nobody\n");
    let seen = read_all(&here.trusted());
    assert_eq!(seen.files.iter().map(|file| file.user).collect::<Vec<_>>(), [None, Some(0)]);
    assert!(seen.faults.all().values().any(|fault| fault.contains("no user \"no-such-user\"")));
}

#[test]
fn a_file_without_a_server_that_is_known_counts_for_the_device_that_it_names() {
    let here = Here::with_folders();
    let proxied = "proto tcp4-client\nremote 127.0.0.1 1413\n";
    here.file("etc/openvpn/device.conf", &format!("{proxied}dev nordvpn0\ndev-type tun\n"));
    here.file("etc/openvpn/plain.conf", &format!("{proxied}dev tun\n"));
    here.file("etc/openvpn/peer.conf", "dev tun9\n");
    let seen = read_all(&here.trusted());
    assert_eq!(names(&seen.files), ["device.conf"]);
    assert_eq!((&seen.files[0].device, seen.files[0].endpoints.len()), (&"nordvpn0".parse().ok(), 0));
    assert_eq!(seen.faults.all().len(), 2, "the unknown server is still said: {:?}", seen.faults);
}

#[test]
fn what_an_archive_unpacks_into_folders_is_found() {
    let here = Here::with_folders();
    std::fs::create_dir_all(here.path("etc/openvpn/ovpn/ovpn_udp/deep")).unwrap();
    std::fs::create_dir_all(here.path("etc/openvpn/.git")).unwrap();
    std::fs::create_dir_all(here.path("elsewhere")).unwrap();
    here.file("etc/openvpn/ovpn/ovpn_udp/US1.OVPN", GOOD);
    here.file("etc/openvpn/ovpn/ovpn_udp/deep/us2.Conf", GOOD);
    here.file("etc/openvpn/.git/x.conf", GOOD);
    here.file("elsewhere/y.conf", GOOD);
    symlink(here.path("elsewhere"), here.path("etc/openvpn/linked")).unwrap();
    assert_eq!(here.names(), ["US1.OVPN", "us2.Conf"]);
    here.mode("etc/openvpn/ovpn/ovpn_udp", 0o777);
    let seen = read_all(&here.trusted());
    let reported = "that folder, and the link to another one";
    assert_eq!((names(&seen.files), seen.faults.all().len()), (Vec::new(), 2), "{reported}");
}

#[test]
fn a_text_in_utf_16_is_left_out_as_openvpn_leaves_it_and_a_mark_of_utf_8_is_not() {
    let here = Here::with_folders();
    let utf16: Vec<u8> =
        std::iter::once('\u{feff}').chain(GOOD.chars()).flat_map(|c| (c as u16).to_le_bytes()).collect();
    std::fs::write(here.path("etc/openvpn/wide.conf"), utf16).unwrap();
    here.file("etc/openvpn/marked.conf", &format!("\u{feff}{GOOD}"));
    let seen = read_all(&here.trusted());
    assert_eq!(names(&seen.files), ["marked.conf"]);
    assert!(seen.faults.all().values().all(|fault| fault.contains("UTF-16")), "{:?}", seen.faults);
}

#[test]
fn included_files_are_read_in_their_place_if_only_root_can_write_them() {
    let here = Here::with_folders();
    std::fs::create_dir_all(here.path("etc/openvpn/parts")).unwrap();
    here.file("etc/openvpn/a.conf", "port 700\nconfig parts/common\nremote 198.51.100.8\n");
    here.file("etc/openvpn/parts/common", "proto tcp\nremote 198.51.100.7\nconfig /etc/openvpn/parts/more\n");
    here.file("etc/openvpn/parts/more", "port 701\n");
    here.file("etc/openvpn/loop.conf", "config loop.conf\nremote 198.51.100.9\n");
    here.file("etc/openvpn/open.conf", "config parts/open\nremote 198.51.100.10\n");
    here.file("etc/openvpn/parts/open", "remote 203.0.113.66\n");
    here.mode("etc/openvpn/parts/open", 0o666);
    here.file("etc/openvpn/away.conf", "cd parts\nconfig more\nremote 198.51.100.11\n");
    let seen = read_all(&here.trusted());
    let of = |name: &str| -> Vec<String> {
        let file = seen.files.iter().find(|file| file.path.ends_with(name)).unwrap();
        file.endpoints.iter().map(ToString::to_string).collect()
    };
    assert_eq!(of("/a.conf"), ["198.51.100.7:701/tcp", "198.51.100.8:701/tcp"]);
    assert_eq!(of("/loop.conf"), ["198.51.100.9:1194/udp"]);
    assert_eq!(of("/open.conf"), ["198.51.100.10:1194/udp"]);
    assert_eq!(of("/away.conf"), ["198.51.100.11:701/udp"]);
    let fault = |name: &str| {
        seen.faults.all()[&here.path(&format!("etc/openvpn/{name}")).display().to_string()].clone()
    };
    assert!(fault("loop.conf").contains("too many files include one another"), "{}", fault("loop.conf"));
    assert!(fault("open.conf").contains("others than root can write"), "{}", fault("open.conf"));
}

#[test]
fn thousands_of_files_are_read() {
    let here = Here::with_folders();
    for n in 0..3_000 {
        std::fs::write(
            here.path(&format!("etc/openvpn/us{n}.ovpn")),
            format!("remote 10.0.{}.{}\n", n / 250, n % 250 + 1),
        )
        .unwrap();
    }
    let seen = read_all(&here.trusted());
    assert_eq!((seen.files.len(), seen.faults.all().len()), (3_000, 0));
}

struct Events(mpsc::Receiver<Event>);

impl Events {
    async fn next(&mut self) -> Vec<String> {
        loop {
            match timeout(Duration::from_secs(20), self.0.recv()).await {
                Ok(Some(Event::OpenVpnFiles(files))) => return names(&files),
                Ok(Some(Event::FilesLeftOut(..))) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn new_changed_and_removed_files_and_folders_are_reported() {
    let here = Here::new();
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(watch_in(here.trusted(), sender));
    let mut events = Events(receiver);
    assert_eq!(events.next().await, [""; 0], "there is no folder");
    std::fs::create_dir(here.path("etc/openvpn")).unwrap();
    here.file("etc/openvpn/a.conf", GOOD);
    assert_eq!(events.next().await, ["a.conf"]);
    std::fs::create_dir(here.path("etc/openvpn/client")).unwrap();
    here.file("etc/openvpn/client/b.ovpn", GOOD);
    assert_eq!(events.next().await, ["a.conf", "b.ovpn"]);
    here.mode("etc/openvpn/a.conf", 0o666);
    assert_eq!(events.next().await, ["b.ovpn"]);
    std::fs::create_dir_all(here.path("etc/openvpn/archive/udp")).unwrap();
    here.file("etc/openvpn/archive/udp/c.ovpn", GOOD);
    assert_eq!(events.next().await, ["b.ovpn", "c.ovpn"], "in a folder that is new");
    std::fs::remove_file(here.path("etc/openvpn/archive/udp/c.ovpn")).unwrap();
    assert_eq!(events.next().await, ["b.ovpn"]);
    std::fs::remove_file(here.path("etc/openvpn/client/b.ovpn")).unwrap();
    assert_eq!(events.next().await, [""; 0]);
}
