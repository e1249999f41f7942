//! The installed files of the package and of `make install`, and the sandboxes of the units.

#![allow(clippy::disallowed_methods, reason = "a test starts programs and touches files")]

use crate::support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use support::package::{EPOCH, Packages, ROOT, files, succeed};
use tempfile::TempDir;

/// Files that only the package has.
const DEBIANS_OWN: [&str; 3] = [
    "usr/share/doc/tunwarden/changelog.Debian.gz 644",
    "usr/share/doc/tunwarden/copyright 644",
    "usr/share/lintian/overrides/tunwarden 644",
];

#[test]
fn the_package_has_the_files_of_make_install_and_the_same_bytes_each_time() -> Result<()> {
    let (packages, unpacked, installed) = (Packages::new()?, TempDir::new()?, TempDir::new()?);
    let package = packages.make("0.1.0-1")?;
    // Root runs the tests. lintian exits with 2 for a warning.
    succeed(Command::new("lintian").args(["--allow-root", "--fail-on", "error,warning"]).arg(&package))?;
    // The files of the second package are newer.
    let again = Packages::new()?;
    let second = std::fs::read(again.make("0.1.0-1")?)?;
    ensure!(std::fs::read(&package)? == second, "a second package has other bytes");

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

#[test]
fn the_package_of_the_window_has_the_files_of_make_install_and_the_same_bytes_each_time() -> Result<()> {
    let (to, unpacked, installed) = (TempDir::new()?, TempDir::new()?, TempDir::new()?);
    let make = |folder: &str| {
        let mut make = Command::new("scripts/settings-deb");
        make.current_dir(ROOT).arg("0.1.0-1").arg(to.path().join(folder));
        succeed(make.env("SOURCE_DATE_EPOCH", EPOCH.to_string())).map(|path| path.trim().to_owned())
    };
    let package = make("first")?;
    succeed(Command::new("lintian").args(["--allow-root", "--fail-on", "error,warning"]).arg(&package))?;
    ensure!(std::fs::read(&package)? == std::fs::read(make("second")?)?, "a second package has other bytes");
    succeed(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(unpacked.path()))?;
    let mut packed = files(unpacked.path())?;
    let is_of_debian =
        |file: &str| file.starts_with("usr/share/doc/") || file.starts_with("usr/share/lintian/");
    packed.retain(|file| !is_of_debian(file));
    let settings = |target: &str| {
        let mut make = Command::new("make");
        make.current_dir(ROOT).arg(target).arg(format!("DESTDIR={}", installed.path().display()));
        succeed(&mut make)
    };
    settings("install-settings")?;
    ensure!(packed == files(installed.path())?, "package: {packed:#?}");
    ensure!(packed.iter().any(|file| file == "usr/bin/tunwarden-settings 755"), "{packed:?}");
    settings("uninstall-settings")?;
    ensure!(files(installed.path())?.is_empty(), "make uninstall-settings leaves files");
    Ok(())
}

fn make_uninstall(folder: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("uninstall").arg(format!("DESTDIR={}", folder.display()));
    make
}

#[test]
fn the_desktop_files_are_valid() -> Result<()> {
    let path = |name: &str| format!("{ROOT}/desktop/{name}");
    let app = |end: &str| path(&format!("org.tunwarden.tunwarden.{end}"));
    let mut desktop = Command::new("desktop-file-validate");
    let said = succeed(desktop.args([
        app("desktop"),
        path("tunwarden-notify.desktop"),
        path("org.tunwarden.settings.desktop"),
    ]))?;
    ensure!(said.is_empty(), "{said}");
    let validate = ["validate", "--no-net", "--pedantic"];
    succeed(Command::new("appstreamcli").args(validate).arg(app("metainfo.xml"))).map(drop)
}

#[test]
fn the_units_are_sandboxed() -> Result<()> {
    // Maximum exposure of 2.0, of 2.5 and of 1.5.
    for (unit, threshold) in [
        ("tunwarden", "--threshold=20"),
        ("tunwarden-lock", "--threshold=25"),
        ("tunwarden-hosts@", "--threshold=15"),
    ] {
        let unit = format!("{ROOT}/systemd/{unit}.service");
        let judged = ["security", "--offline=yes", threshold];
        succeed(Command::new("systemd-analyze").args(judged).arg(unit))?;
    }
    ensure!(settings("tunwarden", "MemoryMax")? == ["512M"], "the agent's memory is not bounded");
    for unit in ["tunwarden", "tunwarden-lock"] {
        ensure!(settings(unit, "ProtectSystem")? == ["strict"], "{unit} may write to the system");
        let writable = settings(unit, "ReadWritePaths")?;
        ensure!(!writable.is_empty() && !writable.iter().any(|path| path.contains("/etc")), "{writable:?}");
    }
    Ok(())
}

/// The values of a setting in a unit's file.
fn settings(unit: &str, key: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("{ROOT}/systemd/{unit}.service"))?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).collect())
}

/// A hosts file before the package is purged, and after.
const PURGED: [(&str, &str); 6] = [
    ("127.0.0.1 localhost\n10.0.0.5 printer\n", "127.0.0.1 localhost\n10.0.0.5 printer\n"),
    (
        "127.0.0.1 localhost\n# BEGIN tunwarden: x\n198.51.100.7 vpn.example.net\n# END tunwarden\n10.0.0.5 nas\n",
        "127.0.0.1 localhost\n10.0.0.5 nas\n",
    ),
    // The last mark is missing: the lines after the first mark may belong to another program.
    (
        "127.0.0.1 localhost\n# BEGIN tunwarden: x\n10.0.0.5 nas\n10.0.0.6 tv\n",
        "127.0.0.1 localhost\n10.0.0.5 nas\n10.0.0.6 tv\n",
    ),
    (
        "# BEGIN tunwarden: x\n10.0.0.5 nas\n# BEGIN tunwarden: x\n198.51.100.7 vpn\n# END tunwarden\n10.0.0.6 tv\n",
        "10.0.0.5 nas\n10.0.0.6 tv\n",
    ),
    ("10.0.0.5 nas\n# END tunwarden\n10.0.0.6 tv\n", "10.0.0.5 nas\n# END tunwarden\n10.0.0.6 tv\n"),
    ("10.0.0.5 nas # BEGIN tunwarden\n10.0.0.6 tv\n", "10.0.0.5 nas # BEGIN tunwarden\n10.0.0.6 tv\n"),
];

#[test]
fn a_purge_removes_only_our_lines_from_the_hosts_file() -> Result<()> {
    // The script runs in private mounts, because it also removes files in these folders.
    let mounts = "mount -t tmpfs none /run; cp -a /etc/alternatives /run; mount -t tmpfs none /var/lib; \
                  mount -t tmpfs none /etc; mv /run/alternatives /etc";
    let script = format!(
        "set -e; {mounts}; cat >/etc/hosts; chmod 640 /etc/hosts; sh '{ROOT}/packaging/debian/postrm' purge; \
         stat -c %a /etc/hosts; ls /etc; echo --; cat /etc/hosts"
    );
    for (before, after) in PURGED {
        let mut purge = Command::new("unshare");
        purge.args(["--mount", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut purge = purge.spawn()?;
        purge.stdin.take().context("no input")?.write_all(before.as_bytes())?;
        let output = purge.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{before:?}: {}", output.status);
        ensure!(said.starts_with("640\n") && !said.contains("hosts.tunwarden"), "{before:?}: {said}");
        let (_, left) = said.split_once("--\n").context("no file")?;
        ensure!(left == after, "{before:?} became {left:?}");
    }
    Ok(())
}
