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

const NETDEV: &str = "[NetDev]\nName=wg0\nKind=wireguard\n[WireGuard]\nFirewallMark=7\n[WireGuardPeer]\n\
                      Endpoint=198.51.100.9:51820\n";

#[test]
fn networkd_s_files_hide_each_other_and_are_read_with_their_drop_ins() {
    let here = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = here.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).unwrap();
    };
    let trusted = TrustedRoot { root: here.path().to_owned(), owner: nix::unistd::geteuid().as_raw() };
    let seen = || {
        let Findings { files, faults } = read_all(&trusted);
        let device = |file: WireGuardFile| {
            let servers: Vec<String> = file.endpoints.iter().map(ToString::to_string).collect();
            let folder = file.path.strip_prefix(&here.path().display().to_string()).unwrap().to_owned();
            (folder, file.interface.to_string(), servers.join(" "), file.mark.map(std::num::NonZeroU32::get))
        };
        (
            files.into_iter().map(device).collect::<Vec<_>>(),
            faults.all().values().cloned().collect::<Vec<String>>(),
        )
    };
    let wg0 = |folder: &str, server: &str, mark| {
        (format!("/{folder}/systemd/network/a.netdev"), "wg0".to_owned(), server.to_owned(), Some(mark))
    };
    let none: Vec<String> = Vec::new();
    write("usr/lib/systemd/network/a.netdev", &NETDEV.replace("100.9", "100.1"));
    write("usr/lib/systemd/network/br.netdev", "[NetDev]\nName=br0\nKind=bridge\n");
    assert_eq!(seen(), (vec![wg0("usr/lib", "198.51.100.1:51820/udp", 7)], none.clone()));
    write("run/systemd/network/a.netdev", &NETDEV.replace("100.9", "100.2"));
    write("etc/systemd/network/a.netdev", NETDEV);
    assert_eq!(seen(), (vec![wg0("etc", "198.51.100.9:51820/udp", 7)], none.clone()));
    // A drop-in in another folder counts too. It is hidden by one of the same name in an earlier folder.
    write("usr/lib/systemd/network/a.netdev.d/50-mark.conf", "[WireGuard]\nFirewallMark=8\n");
    write("usr/lib/systemd/network/a.netdev.d/60-mark.conf", "[WireGuard]\nFirewallMark=9\n");
    write("run/systemd/network/a.netdev.d/60-mark.conf", "[WireGuardPeer]\nEndpoint=198.51.100.8:1\n");
    let both = "198.51.100.8:1/udp 198.51.100.9:51820/udp";
    assert_eq!(seen(), (vec![wg0("etc", both, 8)], none.clone()));
    assert_eq!(networkd::folders_of_drop_ins(here.path()).len(), 2);

    let drop_in = here.path().join("run/systemd/network/a.netdev.d/60-mark.conf");
    std::fs::set_permissions(drop_in, std::fs::Permissions::from_mode(0o666)).unwrap();
    let (files, faults) = seen();
    assert_eq!((files.len(), faults.len()), (0, 1), "others can write a part of it");
    assert!(faults[0].contains("60-mark.conf: others than root"), "{faults:?}");
    // A mask hides the files after it, and so does a file that does not count.
    let path = here.path().join("etc/systemd/network/a.netdev");
    std::fs::remove_file(&path).unwrap();
    symlink("/dev/null", &path).unwrap();
    assert_eq!(seen(), (vec![], none));
    std::fs::remove_file(&path).unwrap();
    symlink(here.path().join("run/systemd/network/a.netdev"), &path).unwrap();
    let (files, faults) = seen();
    assert_eq!((files.len(), faults.len()), (0, 1), "{faults:?}");
    write("etc/systemd/network/b.netdev", &NETDEV.replace("wg0", "../wg0"));
    assert!(seen().1.iter().any(|fault| fault.contains("Name")));
}
