//! A signed repository, made by `scripts/repo` and served over HTTP on the machine's own loopback.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tunwarden_lab::{WholeMachine, wait_for};

use crate::desktop::DesktopMachine;
use crate::support::SOON;
use crate::support::package::{EPOCH, ROOT, succeed};

/// The repository in the machine.
const FOLDER: &str = "/srv/apt";
const UNIT: &str = "[Service]\nExecStart=/bin/busybox httpd -f -p 127.0.0.1:8080 -h /srv/apt\n\
    [Install]\nWantedBy=multi-user.target\n";

/// The maintainers, with their key.
pub(crate) struct Maintainers {
    folder: TempDir,
}

impl Maintainers {
    pub(crate) fn new() -> Result<Self> {
        let all = Self { folder: TempDir::new()? };
        // No signature is older than its key.
        let make = format!(
            "umask 077; export GNUPGHOME='{0}/keys'; mkdir \"$GNUPGHOME\"; \
             gpg --quiet --batch --passphrase '' --faked-system-time {EPOCH} \
             --quick-generate-key maintainers ed25519 sign never; \
             gpg --quiet --batch --export-secret-keys >'{0}/key'; gpgconf --kill gpg-agent",
            all.folder.path().display()
        );
        succeed(Command::new("sh").args(["-euc", &make]))?;
        Ok(all)
    }

    /// Makes a repository of these packages, a number of seconds after [`EPOCH`].
    pub(crate) fn publish(&self, packages: &[&Path], seconds: u64) -> Result<PathBuf> {
        let folder = self.folder.path().join(seconds.to_string());
        let mut repo = Command::new(format!("{ROOT}/scripts/repo"));
        repo.arg("--key").arg(self.folder.path().join("key")).arg("--to").arg(&folder).args(packages);
        succeed(repo.env("SOURCE_DATE_EPOCH", (EPOCH + seconds).to_string()))?;
        Ok(folder)
    }
}

/// Adds the repository to the machine, as the README says, with the address of the loopback.
pub(crate) fn add(machine: &WholeMachine, repository: &Path) -> Result<()> {
    serve(machine, repository)?;
    let sources = std::fs::read_to_string(repository.join("tunwarden.sources"))?;
    let ours = sources.replace("https://tunwarden.org/apt", "http://127.0.0.1:8080");
    ensure!(ours != sources, "no address of the project: {sources}");
    machine.file("/etc/apt/sources.list.d/tunwarden.sources", ours, 0o644)?;
    machine.file(
        "/etc/apt/keyrings/tunwarden.asc",
        std::fs::read(repository.join("tunwarden.asc"))?,
        0o644,
    )?;
    // The laboratory has no Debian archive.
    machine.file("/etc/apt/sources.list", "", 0o644)?;
    machine.file("/etc/systemd/system/mirror.service", UNIT, 0o644)?;
    machine.succeed(["systemctl", "enable", "--now", "--quiet", "mirror"])?;
    wait_for("the web server", SOON, || {
        let get = ["busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/dists/stable/Release"];
        Ok(machine.command(get)?.run()?.status.success().then_some(()))
    })
}

/// Replaces what the machine's web server serves. The folder itself stays: the server works in it.
pub(crate) fn serve(machine: &WholeMachine, repository: &Path) -> Result<()> {
    let outside = machine.outside(FOLDER);
    std::fs::create_dir_all(&outside)?;
    succeed(Command::new("find").arg(&outside).args(["-mindepth", "1", "-delete"]))?;
    succeed(Command::new("cp").arg("-a").arg(repository.join(".")).arg(&outside)).map(drop)
}

/// Checks that apt refuses a repository that somebody else has changed.
pub(crate) fn refuses_a_change(desktop: &DesktopMachine) -> Result<()> {
    let release = desktop.machine.outside(&format!("{FOLDER}/dists/stable/InRelease"));
    let signed = std::fs::read_to_string(&release)?;
    std::fs::write(&release, signed.replace("Label: tunwarden", "Label: elsewhere"))?;
    let said = desktop.apt("update").err().context("apt takes a changed list")?;
    ensure!(format!("{said:#}").contains("InRelease"), "{said:#}");
    ensure!(desktop.apt("install tunwarden").is_err(), "apt installs from a changed list");
    std::fs::write(&release, signed)?;
    Ok(())
}
