//! The installed files of the package and of `make install`, and the sandboxes of the units.

#![allow(clippy::disallowed_methods, reason = "a test starts programs and touches files")]

use crate::support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use support::package::{Packages, ROOT, files, succeed};
use tempfile::TempDir;

/// Files that only the package has.
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
    // Root runs the tests. lintian exits with 2 for an error.
    succeed(Command::new("lintian").args(["--allow-root", "--fail-on", "error"]).arg(package)).map(drop)
}

#[test]
fn the_units_are_sandboxed() -> Result<()> {
    // Maximum exposure of 2.0 and of 2.5.
    for (unit, threshold) in [("tunwarden", "--threshold=20"), ("tunwarden-lock", "--threshold=25")] {
        let unit = format!("{ROOT}/systemd/{unit}.service");
        let judged = ["security", "--offline=yes", threshold];
        succeed(Command::new("systemd-analyze").args(judged).arg(unit))?;
    }
    Ok(())
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
