//! No file of code has more than 400 lines. Clippy checks the length of functions and the number of their
//! parameters (`clippy.toml`).

use std::path::Path;

use crate::pure::{files, read};

/// Folders with code.
const FOLDERS: [&str; 5] = ["benches", "examples", "fuzz/src", "src", "tests"];

/// Maximum number of lines of a file.
const MAX_LINES: usize = 400;

fn is_too_long(text: &str) -> bool {
    text.lines().count() > MAX_LINES
}

#[test]
fn no_file_has_more_than_400_lines() {
    assert!(!is_too_long(&"a line\n".repeat(400)));
    assert!(is_too_long(&"a line\n".repeat(401)), "the control");

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all: Vec<_> = FOLDERS.iter().flat_map(|folder| files(&root.join(folder))).collect();
    assert!(all.len() > 200, "only {} files were found", all.len());
    let long = all.iter().filter(|file| is_too_long(&read(file)));
    let names: Vec<_> = long.map(|file| file.strip_prefix(root).unwrap().display().to_string()).collect();
    assert_eq!(names, [""; 0], "split these files");
}
