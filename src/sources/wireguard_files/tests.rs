#![allow(clippy::disallowed_methods, reason = "a test touches files")]

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

const GOOD: &str = "[Interface]\n[Peer]\nEndpoint = 198.51.100.9:51820\nAllowedIPs = 0.0.0.0/0\n";

#[test]
fn only_a_plain_file_that_only_root_can_write_counts_and_each_other_is_named() {
    let here = tempfile::tempdir().unwrap();
    let folder = here.path().join(FOLDER);
    let write = |name: &str, text: &str, mode: u32| {
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let trusted = TrustedRoot { root: here.path().to_owned(), owner: nix::unistd::geteuid().as_raw() };
    assert!(read_all(&trusted).faults.all().is_empty(), "without WireGuard nothing is wrong");
    std::fs::create_dir_all(&folder).unwrap();
    write("office.conf", GOOD, 0o600);
    write("server.conf", "[Interface]\nListenPort = 51820\n[Peer]\nAllowedIPs = 10.0.0.2/32\n", 0o600);
    write("notes.txt", GOOD, 0o600);
    write("open.conf", GOOD, 0o666);
    write("far-too-long-a-name.conf", GOOD, 0o600);
    write("lo+.conf", GOOD, 0o600);
    write("part.conf", &GOOD.replace("[Peer]", "[Peer]\nEndpoint = 127.0.0.1:1\n[Peer]"), 0o600);
    symlink(folder.join("office.conf"), folder.join("link.conf")).unwrap();
    let findings = read_all(&trusted);
    let names: Vec<&str> = findings.files.iter().map(|file| file.interface.as_str()).collect();
    assert_eq!(names, ["office", "part"]);
    assert_eq!(findings.files[0].mark.map(std::num::NonZeroU32::get), Some(51_820));
    let faults: Vec<&str> = findings.faults.all().keys().filter_map(|path| path.rsplit('/').next()).collect();
    assert_eq!(faults, ["far-too-long-a-name.conf", "link.conf", "lo+.conf", "open.conf", "part.conf"]);

    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let open = read_all(&trusted);
    assert_eq!((open.files.len(), open.faults.all().len()), (0, 1), "others can put files there");
}
