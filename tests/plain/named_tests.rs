//! Pages that name tests as their proof name tests that exist.

#![allow(clippy::disallowed_methods, reason = "a test reads the repository")]

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Pages with such tables, and the title above each table.
const TABLES: [(&str, &str); 1] = [("docs/containers.md", "## What was tried")];

/// The rows of the first table below a title, without its head.
fn rows<'a>(page: &'a str, title: &str) -> Result<Vec<Vec<&'a str>>> {
    let (_, below) = page.split_once(title).with_context(|| format!("no title {title}"))?;
    let table =
        below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &'a str| line.trim_matches('|').split('|').map(str::trim).collect();
    Ok(table.skip(2).map(cells).collect())
}

/// Whether the tests of the laboratory have tests in this module, none of them ignored: `guests::rootless::`.
fn has_tests(root: &Path, module: &str) -> Result<bool> {
    let path = module.trim_end_matches("::").replace("::", "/");
    let folder = root.join("tests/network").join(&path);
    let mut files = vec![folder.with_extension("rs")];
    if folder.is_dir() {
        files.extend(std::fs::read_dir(&folder)?.filter_map(|entry| Some(entry.ok()?.path())));
    }
    let texts = files.iter().filter_map(|file| std::fs::read_to_string(file).ok());
    Ok(texts.into_iter().any(|text| text.contains("#[test]") && !text.contains("#[ignore")))
}

#[test]
fn every_row_of_a_table_of_tests_names_one_that_exists() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (page, title) in TABLES {
        let text = std::fs::read_to_string(root.join(page))?;
        let rows = rows(&text, title)?;
        ensure!(rows.len() > 3, "{page}: the table was not read: {rows:?}");
        for row in rows {
            let name = row.last().and_then(|cell| cell.strip_prefix('`')?.strip_suffix("::`"));
            let name = name.with_context(|| format!("{page}: no test in {row:?}"))?;
            ensure!(has_tests(root, name)?, "{page}: no test of the laboratory is in {name}");
        }
    }
    Ok(())
}

#[test]
fn a_module_that_does_not_exist_has_no_tests() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ensure!(has_tests(root, "podman")? && has_tests(root, "docker")?);
    ensure!(!has_tests(root, "guests::virtualbox")?);
    Ok(())
}
