//! What is installed: the package, `make install`, and how far the units are shut in.

#![allow(clippy::disallowed_methods, reason = "a test starts programs and touches files")]

mod support;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use support::package::{Packages, ROOT, files, succeed};
use tempfile::TempDir;

/// What only a package has.
const DEBIANS_OWN: [&str; 2] =
    ["usr/share/doc/tunwarden/changelog.Debian.gz 644", "usr/share/doc/tunwarden/copyright 644"];

#[test]
fn the_package_and_make_install_give_the_same_files() -> Result<()> {
    let (packages, unpacked, installed) = (Packages::new()?, TempDir::new()?, TempDir::new()?);
    let package = packages.make("0.1.0-1")?;
    succeed(Command::new("dpkg-deb").arg("--extract").arg(package).arg(unpacked.path()))?;
    let variable = |name: &str, path: &Path| format!("{name}={}", path.display());
    let mut make = Command::new("make");
    make.current_dir(ROOT).arg("install").arg(variable("DESTDIR", installed.path()));
    succeed(make.arg(variable("BINARY", &packages.binary())))?;

    let mut packed = files(unpacked.path())?;
    packed.retain(|file| !DEBIANS_OWN.contains(&file.as_str()));
    ensure!(
        packed == files(installed.path())?,
        "package: {packed:#?}\nmake: {:#?}",
        files(installed.path())?
    );
    ensure!(packed.iter().any(|file| file == "usr/bin/tunwarden 755"), "no binary in {packed:?}");

    succeed(make_uninstall(installed.path()).current_dir(ROOT))?;
    let left = files(installed.path())?;
    ensure!(left == ["etc/tunwarden/config.toml 644"], "make uninstall leaves {left:?}");
    Ok(())
}

fn make_uninstall(folder: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("uninstall").arg(format!("DESTDIR={}", folder.display()));
    make
}

#[test]
fn lintian_finds_no_error_in_the_package() -> Result<()> {
    let packages = Packages::new()?;
    let package = packages.make("0.1.0-1")?;
    // Root runs the tests; lintian exits 2 for an error.
    succeed(Command::new("lintian").args(["--allow-root", "--fail-on", "error"]).arg(package)).map(drop)
}

#[test]
fn the_agents_unit_is_shut_in() -> Result<()> {
    let unit = format!("{ROOT}/systemd/tunwarden.service");
    // 20: an exposure of 2.0.
    let judged = ["security", "--offline=yes", "--threshold=20"];
    succeed(Command::new("systemd-analyze").args(judged).arg(unit)).map(drop)
}
