//! A real Docker in a machine: Debian's dockerd with its own containerd, its data in memory, and an image
//! `lab` with busybox and bash.
//!
//! Containers run in the machine's pid namespace. So they end with the laboratory, also after SIGKILL.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::groups;
use crate::machine::{Cmd, Machine, Output, Process};
use crate::wait::wait_for;

/// Makes the file systems that an engine wants, in a mount namespace of its own, and in the tree `$1` if that is not
/// empty. Says `ready`, and stays.
pub const MOUNTS: &str = include_str!("mounts.sh");

/// Makes the folder `/run/lab/docker/image` with busybox and bash, and an archive of it.
pub const IMAGE: &str = include_str!("image.sh");

/// Ends every process in the cgroup `$1` and below, and removes these cgroups. They belong to no namespace, so they
/// would stay.
pub const TAKE_DOWN: &str = r#"
    group=/sys/fs/cgroup/$1
    test -d "$group" || exit 0
    echo 1 > "$group/cgroup.kill"
    for try in $(seq 100); do
        find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
        test -d "$group" || exit 0
        sleep 0.02
    done"#;

/// How long Docker may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Maximum number of attempts to begin a script in a container.
const TRIES: usize = 20;

/// The origin of a Docker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// The Docker of this system: 20.10 on Debian 12.
    #[default]
    System,
    /// The Docker of Debian 13: 26.1.
    Trixie,
    /// The Docker of the Debian after it: 28.5.
    Forky,
}

impl Engine {
    /// The file tree that it runs in. `scripts/tree` makes it.
    #[must_use]
    pub fn tree(self) -> Option<String> {
        let release = match self {
            Self::System => return None,
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        };
        let cache = std::env::var("TUNWARDEN_LAB_CACHE");
        Some(format!("{}/{release}", cache.as_deref().unwrap_or("/var/cache/tunwarden-lab")))
    }

    /// Whether it makes rules for IPv6 by default.
    #[must_use]
    pub fn filters_ipv6(self) -> bool {
        self == Self::Forky
    }
}

/// A Docker engine. Dropping it ends it and its containers.
#[derive(Debug)]
pub struct Docker {
    machine: Machine,
    engine: Engine,
    options: Vec<String>,
    mounts: Process,
    process: Option<Process>,
}

impl Machine {
    /// Starts a Docker for the first time, with these options besides the laboratory's own, and waits
    /// until it answers.
    ///
    /// # Errors
    /// When docker.io or busybox-static is missing or dockerd does not start; with its log.
    pub fn docker<'a>(&self, engine: Engine, options: impl IntoIterator<Item = &'a str>) -> Result<Docker> {
        let tree = engine.tree().unwrap_or_default();
        anyhow::ensure!(
            tree.is_empty() || std::path::Path::new(&tree).join("usr/sbin/dockerd").exists(),
            "there is no Docker in {tree}; scripts/tree makes it"
        );
        let unshare =
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTS, "mounts", tree.as_str()];
        let mut mounts = self.spawn(unshare)?;
        mounts.wait_for_line("ready", TIMEOUT)?;
        groups::remove_stale(&groups::mount_of(mounts.id()));
        let options = options.into_iter().map(Into::into).collect();
        let mut docker = Docker { machine: self.clone(), engine, options, mounts, process: None };
        docker.start()?;
        self.succeed(["sh", "-c", IMAGE])?;
        docker.cli(["import", "/run/lab/docker/image.tar", "lab"])?;
        Ok(docker)
    }
}

impl Docker {
    /// Runs docker's client, which must succeed.
    ///
    /// # Errors
    /// When it fails. The error holds what it printed.
    pub fn cli<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let answer = self.with_mounts(["docker"].into_iter().chain(args)).succeed()?;
        Ok(answer.trim().to_owned())
    }

    /// Starts a container in the background: `docker.run(["--name", "box", "lab", "sleep", "1000"])`.
    ///
    /// # Errors
    /// As [`Docker::cli`].
    pub fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        // The first process of a container ignores SIGTERM unless it has a handler.
        self.cli(["run", "--detach", "--stop-signal", "KILL"].into_iter().chain(args))
    }

    /// Runs a bash script in a container. It may fail.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn exec(&self, container: &str, script: &str) -> Result<Output> {
        // A process that another test is starting holds a copy of runc's file for a moment. runc then does
        // not begin the script at all.
        for _ in 0..TRIES {
            let output = self.with_mounts(["docker", "exec", container, "bash", "-c", script]).run()?;
            let both = [&output.stdout, &output.stderr];
            if both.iter().all(|text| !text.contains("could not seal fd")) {
                return Ok(output);
            }
        }
        bail!("{container}: runc cannot seal its own file")
    }

    /// The origin of this Docker.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The engine's version: `20.10.24+dfsg1`.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn version(&self) -> Result<String> {
        self.cli(["version", "--format", "{{.Server.Version}}"])
    }

    /// Starts dockerd, with its data from before, and waits until it answers.
    ///
    /// # Errors
    /// When it does not; with its log.
    pub fn start(&mut self) -> Result<()> {
        let group = format!("--cgroup-parent=/{}", self.group());
        let own = ["dockerd", "--data-root=/run/lab/docker/data", "--exec-root=/run/docker"];
        let files = ["--pidfile=/run/docker.pid", "--host=unix:///run/docker.sock"];
        let options = self.options.iter().map(String::as_str).chain([group.as_str()]);
        let command = own.into_iter().chain(files).chain(options);
        let mut process = self.with_mounts(command).spawn()?;
        wait_for("Docker", TIMEOUT, || {
            anyhow::ensure!(process.is_running(), "dockerd has ended");
            Ok(self.version().is_ok().then_some(()))
        })
        .with_context(|| process.log())?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends dockerd, as `systemctl stop` does; with `--live-restore` its containers go on.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.stop().map(drop))
    }

    /// Kills dockerd. Its containers go on until it is started again.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.kill().map(drop))
    }

    /// Stops and starts it.
    ///
    /// # Errors
    /// As [`Docker::stop`] and [`Docker::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start()
    }

    /// Adds an option for the next start, such as `--live-restore`.
    pub fn option(&mut self, option: &str) {
        self.options.push(option.into());
    }

    /// A command in the mount namespace of dockerd.
    fn with_mounts<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        let mounts = format!("--mount=/proc/{}/ns/mnt", self.mounts.id_inside());
        let args = args.into_iter().map(ToOwned::to_owned);
        self.machine.command(["nsenter".to_owned(), mounts].into_iter().chain(args))
    }

    /// A name that no other running laboratory uses.
    fn group(&self) -> String {
        format!("{}{}", groups::PREFIX, self.machine.pid())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = self.kill();
        let _ = self.with_mounts(["sh", "-c", TAKE_DOWN, "sh", &self.group()]).run();
    }
}
