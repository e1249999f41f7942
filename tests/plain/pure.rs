//! The middle of the program stays pure. These tests check what its source files use.

#![expect(clippy::unwrap_used, reason = "a source file that cannot be read is a failed test")]
#![allow(clippy::disallowed_methods, reason = "this reads source files")]

use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the middle. They use only one another in this crate. ARCHITECTURE.md names the same.
const MIDDLE: [&str; 7] = ["blocked", "config", "guide", "model", "net", "policy", "vpn"];

/// Files of the middle that may use `std::io`: they read the configuration and report read errors.
const READERS: [&str; 2] = ["src/config/read.rs", "src/config/fault.rs"];

/// Names that read a clock, a file, a process or the network, or that wait.
const IMPURE: [&str; 19] = [
    "std::fs",
    "std::io",
    "std::env",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::os::unix::net",
    "std::process",
    "thread::sleep",
    "thread::spawn",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "tokio",
    "nix",
    "rustix",
    "socket2",
    "async",
    ".await",
];

/// Every Rust file under a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The text of a file.
pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

/// Lines of code in these folders of `src` in which `is_wrong` finds something.
fn lines(folders: &[&str], is_wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = folders.iter().flat_map(|folder| files(&root.join("src").join(folder)));
    let mut wrong = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap().display().to_string();
        if READERS.contains(&name.as_str()) {
            continue;
        }
        let text = read(&file);
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        wrong.extend(code.filter(|line| is_wrong(line)).map(|line| format!("{name}: {}", line.trim())));
    }
    wrong
}

fn is_impure(line: &str) -> bool {
    // This test does not look at the names in such a group of imports.
    line.contains("use std::{")
        || IMPURE.iter().any(|word| {
            line.match_indices(word)
                .any(|(at, word)| is_end(&line[at + word.len()..]) && is_start(&line[..at], word))
        })
}

/// Whether a word ends before `rest`, the remaining text of its line.
fn is_end(rest: &str) -> bool {
    !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_')
}

/// Whether a word begins after `start`, the earlier text of its line.
fn is_start(start: &str, word: &str) -> bool {
    word.starts_with('.') || !start.ends_with(|last: char| last.is_alphanumeric() || last == '_')
}

/// Whether a line uses a part of this crate that is not in the middle.
fn leaves_the_middle(line: &str) -> bool {
    line.match_indices("crate::").any(|(at, path)| {
        let rest = &line[at + path.len()..];
        !MIDDLE.iter().any(|folder| rest.strip_prefix(folder).is_some_and(is_end))
    })
}

#[test]
fn the_middle_reads_no_clock_file_or_process_and_never_waits() {
    assert_eq!(lines(&MIDDLE, is_impure), [""; 0]);
    assert!(!lines(&["agent", "store"], is_impure).is_empty(), "the control");
}

/// The folders of a sentence of ARCHITECTURE.md: the words `src/NAME/` in its lines, up to the end of the sentence.
fn folders_of_sentence(page: &str, end: &str) -> Vec<String> {
    let (before, _) = page.split_once(end).unwrap();
    let sentence = before.rsplit("\n\n").next().unwrap();
    let names = sentence.split("`src/").skip(1).filter_map(|rest| rest.split_once("/`"));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_map_names_the_same_folders() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (page, library) = (read(&root.join("ARCHITECTURE.md")), read(&root.join("src/lib.rs")));
    assert_eq!(folders_of_sentence(&page, "use one another and nothing else"), MIDDLE);
    assert!(READERS.iter().all(|file| page.contains(&format!("`{file}`"))), "{READERS:?}");
    let modules = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    // The fuzz targets are no part of the program.
    for module in modules.filter(|&module| module != "fuzzing") {
        assert!(library.contains(&format!("[`{module}`]")), "lib.rs: {module}");
        let names = [format!("`src/{module}/`"), format!("`src/{module}.rs`")];
        assert!(names.iter().any(|name| page.contains(name)), "ARCHITECTURE.md: {module}");
    }
}

#[test]
fn the_middle_uses_nothing_of_the_edges() {
    assert_eq!(lines(&MIDDLE, leaves_the_middle), [""; 0]);
    assert!(!lines(&["agent"], leaves_the_middle).is_empty(), "the control");
}
