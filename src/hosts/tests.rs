#![allow(clippy::disallowed_methods, reason = "a test touches files")]

use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;

fn pins(of: &[(&str, &[&str])]) -> Pins {
    let pin = |(name, addresses): &(&str, &[&str])| {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        (HostName::try_from((*name).to_owned()).unwrap(), addresses)
    };
    of.iter().map(pin).collect()
}

fn file(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hosts");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

const PLAIN: &str = "127.0.0.1 localhost\n::1 localhost\n";

#[test]
fn the_block_comes_moves_and_goes_and_every_other_byte_stays() {
    for text in [PLAIN.as_bytes(), b"127.0.0.1 localhost", b"", b"\n\n", b"\xff\xfe\r\n# odd\r\n"] {
        let (_folder, path) = file(text);
        pin(&path, &pins(&[("vpn.example.net", &["198.51.100.7", "2001:db8::7"])])).unwrap();
        let with = std::fs::read(&path).unwrap();
        assert!(with.starts_with(text));
        let block = String::from_utf8_lossy(&with[text.len()..]).into_owned();
        assert_eq!(
            block,
            format!("\n{BEGIN}198.51.100.7 vpn.example.net\n2001:db8::7 vpn.example.net\n{END}")
        );
        // What its owner adds behind it is kept, and stays behind it.
        let added = [&with[..], b"10.0.0.5 printer"].concat();
        std::fs::write(&path, &added).unwrap();
        pin(&path, &pins(&[("vpn.example.net", &["198.51.100.8"])])).unwrap();
        let moved = std::fs::read(&path).unwrap();
        assert!(moved.ends_with(b"198.51.100.8 vpn.example.net\n# END tunwarden\n10.0.0.5 printer"));
        pin(&path, &Pins::new()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [text, b"10.0.0.5 printer"].concat());
    }
}

#[test]
fn who_owns_the_file_and_who_may_read_it_stays() {
    let (_folder, path) = file(PLAIN.as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    pin(&path, &pins(&[("vpn.example.net", &["198.51.100.7"])])).unwrap();
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o640);
    assert!(!path.with_extension("tunwarden-new").exists());
}

#[test]
fn a_link_is_not_followed_and_a_folder_is_no_file() {
    let (folder, path) = file(PLAIN.as_bytes());
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    let wanted = pins(&[("vpn.example.net", &["198.51.100.7"])]);
    assert!(matches!(pin(&link, &wanted), Err(HostsError::Odd { what: "a symbolic link", .. })));
    assert!(matches!(pin(folder.path(), &wanted), Err(HostsError::Odd { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), PLAIN);
}

#[test]
fn nothing_is_written_where_nothing_changes() {
    let (_folder, path) = file(PLAIN.as_bytes());
    let wanted = pins(&[("vpn.example.net", &["198.51.100.7"])]);
    pin(&path, &wanted).unwrap();
    let inode = std::fs::metadata(&path).unwrap().ino();
    pin(&path, &wanted).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    pin(&path.with_extension("absent"), &Pins::new()).unwrap();
}

#[test]
fn a_block_without_its_end_takes_nothing_along() {
    let (_folder, path) = file(format!("{PLAIN}\n{BEGIN}10.0.0.5 printer\n").as_bytes());
    pin(&path, &Pins::new()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{PLAIN}10.0.0.5 printer\n"));
}

proptest! {
    #[test]
    fn whatever_the_file_holds_it_comes_back(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let wanted = pins(&[("vpn.example.net", &["198.51.100.7"])]);
        let with = with_block(&text, &wanted);
        prop_assert_eq!(&with_block(&with, &wanted), &with);
        prop_assert_eq!(with_block(&with, &Pins::new()), text);
    }
}
