//! The source package (`packaging/debian`) and the package that `make deb` makes (`Cargo.toml`) contain the same
//! statements.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

const CONTROL: &str = include_str!("../../packaging/debian/control");
const MANIFEST: &str = include_str!("../../Cargo.toml");

/// The value of a field of a paragraph, with its continued lines.
fn field<'a>(paragraph: &'a str, name: &str) -> Result<&'a str> {
    let start = paragraph.find(&format!("\n{name}:")).with_context(|| format!("no {name} in control"))?;
    let value = &paragraph[start + name.len() + 2..];
    let end = value.match_indices('\n').find(|(at, _)| !value[at + 1..].starts_with(' '));
    Ok(value[..end.map_or(value.len(), |(at, _)| at)].trim())
}

/// The packages of a list, without the variables that a tool replaces.
fn packages(list: &str) -> BTreeSet<&str> {
    list.split(',').map(str::trim).filter(|name| !name.starts_with('$') && !name.is_empty()).collect()
}

/// A text as one line: the two files break their lines at different places.
fn words(text: &str) -> String {
    text.split_whitespace().filter(|word| *word != ".").collect::<Vec<_>>().join(" ")
}

#[test]
fn both_packages_have_the_same_description_and_dependencies() -> Result<()> {
    let manifest: toml::Table = MANIFEST.parse()?;
    let (package, workspace) = (&manifest["package"], &manifest["workspace"]["package"]);
    let deb = &package["metadata"]["deb"];
    let text = |key: &str| deb[key].as_str().with_context(|| format!("no {key}"));
    let (source, binary) = CONTROL.split_once("\n\n").context("no second paragraph")?;
    let (source, binary) = (format!("\n{source}\n"), format!("\n{binary}"));

    for (list, key) in [("Depends", "depends"), ("Recommends", "recommends"), ("Suggests", "suggests")] {
        assert_eq!(packages(field(&binary, list)?), packages(text(key)?), "{list}");
    }
    for (name, key) in [("Section", "section"), ("Priority", "priority"), ("Maintainer", "maintainer")] {
        assert_eq!(field(&source, name)?, text(key)?, "{name}");
    }
    assert_eq!(Some(field(&source, "Homepage")?), package["homepage"].as_str());
    let (short, long) = field(&binary, "Description")?.split_once('\n').context("no long description")?;
    assert_eq!(Some(short), package["description"].as_str());
    assert_eq!(words(long), words(text("extended-description")?));

    let rust = workspace["rust-version"].as_str().context("no rust-version")?;
    let needed = field(&source, "Build-Depends")?.matches(&format!("(>= {rust})")).count();
    ensure!(needed == 4, "the source package needs another Rust than {rust}: {needed}");
    Ok(())
}
