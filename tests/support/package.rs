//! The Debian package of the binary under test, made as `make deb` makes it.
#![allow(clippy::disallowed_methods, reason = "it starts programs and touches files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::TUNWARDEN;

/// The repository.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The time of every file in the package, in seconds since the epoch.
pub const EPOCH: u64 = 1_764_460_800;

/// A folder with the stripped binary where cargo-deb expects it, and the packages made of it.
pub struct Packages {
    folder: TempDir,
}

impl Packages {
    /// Packs the binary under test, so that the tests never install an older one.
    ///
    /// # Errors
    /// When it cannot be stripped.
    pub fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        fs::create_dir(folder.path().join("release"))?;
        let packages = Self { folder };
        let binary = packages.binary();
        succeed(Command::new("strip").args(["-o"]).arg(&binary).arg(TUNWARDEN))?;
        Ok(packages)
    }

    /// The stripped binary that goes into the package.
    pub fn binary(&self) -> PathBuf {
        self.folder.path().join("release/tunwarden")
    }

    /// Makes the package with this version number.
    ///
    /// # Errors
    /// When cargo-deb is missing or refuses.
    pub fn make(&self, version: &str) -> Result<PathBuf> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["deb", "--no-build", "--fast", "--offline", "--deb-version", version, "--output"]);
        cargo.arg(self.folder.path()).current_dir(ROOT).env("CARGO_TARGET_DIR", self.folder.path());
        cargo.env("SOURCE_DATE_EPOCH", EPOCH.to_string());
        let made =
            succeed(&mut cargo).context("cargo-deb; install it with: cargo install --locked cargo-deb")?;
        Ok(made.trim().into())
    }
}

/// Runs a program that must succeed. Returns what it printed.
///
/// # Errors
/// When the program fails. The error holds what it printed.
pub fn succeed(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

/// Every file below a folder, as its path from there and its permissions.
///
/// # Errors
/// When it cannot be walked.
pub fn files(folder: &Path) -> Result<Vec<String>> {
    let listing =
        succeed(Command::new("find").arg(folder).args(["(", "!", "-type", "d", ")", "-printf", "%P %m\n"]))?;
    let mut files: Vec<String> = listing.lines().map(ToOwned::to_owned).collect();
    files.sort_unstable();
    Ok(files)
}
