#![allow(clippy::disallowed_methods, reason = "a test touches files")]

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

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
fn a_file_that_ends_after_the_first_line_of_the_block_has_no_block() {
    let wanted = pins(&[("vpn.example.net", &["198.51.100.7"])]);
    for text in ["", PLAIN, "127.0.0.1 localhost"] {
        let cut = format!("{text}\n{}", BEGIN.trim_end());
        let pinned = with_block(cut.as_bytes(), &wanted);
        assert_eq!(pinned, with_block(text.as_bytes(), &wanted));
        assert_eq!(with_block(&pinned, &wanted), pinned);
        assert_eq!(with_block(&pinned, &Pins::new()), text.as_bytes());
    }
}

#[test]
fn the_block_is_added_replaced_and_removed_and_every_other_byte_stays() {
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
        // Text that the administrator adds after the block is kept, and stays after the block.
        let added = [&with[..], b"10.0.0.5 printer"].concat();
        std::fs::write(&path, &added).unwrap();
        pin(&path, &pins(&[("vpn.example.net", &["198.51.100.8"])])).unwrap();
        let moved = std::fs::read(&path).unwrap();
        assert!(moved.ends_with(b"198.51.100.8 vpn.example.net\n# END tunwarden\n10.0.0.5 printer"));
        pin(&path, &Pins::new()).unwrap();
        // Two lines never become one.
        let newline: &[u8] = if text.is_empty() || text.ends_with(b"\n") { b"" } else { b"\n" };
        assert_eq!(std::fs::read(&path).unwrap(), [text, newline, b"10.0.0.5 printer"].concat());
    }
}

#[test]
fn owner_and_mode_of_the_file_stay() {
    let (_folder, path) = file(PLAIN.as_bytes());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    pin(&path, &pins(&[("vpn.example.net", &["198.51.100.7"])])).unwrap();
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o640);
    assert!(!path.with_extension("tunwarden-new").exists());
}

#[test]
fn a_link_is_not_followed_and_a_folder_is_an_error() {
    let (folder, path) = file(PLAIN.as_bytes());
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    let wanted = pins(&[("vpn.example.net", &["198.51.100.7"])]);
    assert!(matches!(pin(&link, &wanted), Err(HostsError::Unexpected { what: "a symbolic link", .. })));
    assert!(matches!(pin(folder.path(), &wanted), Err(HostsError::Unexpected { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), PLAIN);
}

#[test]
fn an_unchanged_file_is_not_written() {
    let (_folder, path) = file(PLAIN.as_bytes());
    let wanted = pins(&[("vpn.example.net", &["198.51.100.7"])]);
    pin(&path, &wanted).unwrap();
    let inode = std::fs::metadata(&path).unwrap().ino();
    pin(&path, &wanted).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
    pin(&path.with_extension("absent"), &Pins::new()).unwrap();
}

#[test]
fn a_block_without_its_end_line_removes_no_other_line() {
    let (_folder, path) = file(format!("{PLAIN}\n{BEGIN}10.0.0.5 printer\n").as_bytes());
    pin(&path, &Pins::new()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{PLAIN}10.0.0.5 printer\n"));
}

#[test]
fn removed_blank_lines_and_a_second_block_lose_no_other_line() {
    let block = format!("{BEGIN}198.51.100.7 vpn.example.net\n{END}");
    for (text, without) in [
        (
            format!("127.0.0.1 localhost\n{block}10.0.0.5 printer\n"),
            "127.0.0.1 localhost\n10.0.0.5 printer\n",
        ),
        (format!("{block}127.0.0.1 localhost"), "127.0.0.1 localhost"),
        (format!("# a\n\n{block}# b\n\n{block}# c"), "# a\n# b\n# c"),
        (format!("# a\n\n{BEGIN}# b\n\n{block}# c\n"), "# a\n# b\n# c\n"),
        (format!("# a {block}"), &format!("# a {block}")),
    ] {
        let (_folder, path) = file(text.as_bytes());
        pin(&path, &pins(&[("new.example.net", &["198.51.100.8"])])).unwrap();
        let with = std::fs::read_to_string(&path).unwrap();
        assert_eq!(with.matches("\n198.51.100.8 new.example.net\n").count(), 1, "{with}");
        pin(&path, &Pins::new()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), without, "{text}");
    }
}

#[test]
fn a_pipe_in_place_of_the_file_does_not_block() {
    let (folder, _) = file(b"");
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (said, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || said.send(pin(&pipe, &Pins::new())));
    let found = heard.recv_timeout(std::time::Duration::from_secs(20)).expect("it waits without end");
    assert!(matches!(found, Err(HostsError::Unexpected { what: "no plain file", .. })), "{found:?}");
}

#[test]
fn a_reader_finds_the_old_text_or_the_new_one_and_never_a_part() {
    let text = format!("{}\n", "10.0.0.5 printer\n".repeat(20_000));
    let (_folder, path) = file(text.as_bytes());
    let wanted = pins(&[("vpn.example.net", &["198.51.100.7"])]);
    let with = with_block(text.as_bytes(), &wanted);
    let (reading, end) = (path.clone(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let reader = std::thread::spawn({
        let end = end.clone();
        move || {
            let (mut old, mut new) = (0, 0);
            while !end.load(std::sync::atomic::Ordering::Acquire) {
                let found = std::fs::read(&reading).unwrap();
                old += u32::from(found == text.as_bytes());
                new += u32::from(found == with);
                assert!(found == text.as_bytes() || found == with, "{} bytes", found.len());
            }
            (old, new)
        }
    });
    for _ in 0..100 {
        pin(&path, &wanted).unwrap();
        pin(&path, &Pins::new()).unwrap();
    }
    end.store(true, std::sync::atomic::Ordering::Release);
    let (old, new) = reader.join().unwrap();
    assert!(old > 0 && new > 0, "the control: it read both: {old}, {new}");
}

#[test]
fn two_writers_at_once_write_one_after_the_other() {
    let (_folder, path) = file(PLAIN.as_bytes());
    let writers = ["a.example.net", "b.example.net"].map(|name| {
        let (path, wanted) = (path.clone(), pins(&[(name, &["198.51.100.7"])]));
        let write = move |_| pin(&path, &wanted).and_then(|()| pin(&path, &Pins::new()));
        std::thread::spawn(move || (0..50).try_for_each(write))
    });
    for writer in writers {
        writer.join().unwrap().unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), PLAIN);
}

/// Texts that a hosts file may contain, among them our own lines, whole and in parts.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let parts = [BEGIN, END, "\n", "# BEGIN tunwarden", "127.0.0.1 localhost", "127.0.0.1 localhost\n", " "];
    let parts = prop::sample::select(parts.map(|part| part.as_bytes().to_vec()).to_vec());
    let part = prop_oneof![4 => parts, 1 => prop::collection::vec(any::<u8>(), 0..8)];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_text_with_our_marks_gets_one_block_which_can_be_removed(text in anything()) {
        let wanted = pins(&[("vpn.example.net", &["198.51.100.7"])]);
        let (with, without) = (with_block(&text, &wanted), with_block(&text, &Pins::new()));
        prop_assert_eq!(&with_block(&with, &wanted), &with);
        prop_assert_eq!(&with_block(&with, &Pins::new()), &without);
        prop_assert_eq!(&with_block(&without, &Pins::new()), &without);
        let begins = |text: &[u8]| {
            let lines = text.split_inclusive(|&byte| byte == b'\n');
            lines.filter(|line| *line == BEGIN.as_bytes()).count()
        };
        prop_assert_eq!((begins(&with), begins(&without)), (1, 0));
        if begins(&text) == 0 {
            prop_assert_eq!(&without, &text);
        }
    }

    #[test]
    fn any_file_is_restored_byte_for_byte(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let wanted = pins(&[("vpn.example.net", &["198.51.100.7"])]);
        let with = with_block(&text, &wanted);
        prop_assert_eq!(&with_block(&with, &wanted), &with);
        prop_assert_eq!(with_block(&with, &Pins::new()), text);
    }
}

#[test]
fn a_name_with_an_address_in_the_file_is_not_pinned() {
    let text = "127.0.0.1 localhost\n127.0.1.1\tmint.Example.net mint # vpn.example.net\n10.0.0.9 office.example.net\n";
    let (_folder, path) = file(text.as_bytes());
    let wanted = pins(&[
        ("localhost", &["198.51.100.7"]),
        ("mint.example.net", &["198.51.100.7"]),
        ("office.example.net", &["198.51.100.8"]),
        ("vpn.example.net", &["198.51.100.9"]),
    ]);
    pin(&path, &wanted).unwrap();
    let with = std::fs::read_to_string(&path).unwrap();
    assert_eq!(with, format!("{text}\n{BEGIN}198.51.100.9 vpn.example.net\n{END}"));
    let named = |name: &str| named(&path, &HostName::try_from(name.to_owned()).unwrap());
    assert_eq!(named("OFFICE.example.net"), Some(vec!["10.0.0.9".parse().unwrap()]));
    assert_eq!(named("vpn.example.net"), None, "our own pin does not count as the administrator's entry");
    // The administrator adds the name outside our block.
    std::fs::write(&path, format!("{with}198.51.100.10 vpn.example.net\n")).unwrap();
    pin(&path, &wanted).unwrap();
    assert!(!std::fs::read_to_string(&path).unwrap().contains(BEGIN));
}
