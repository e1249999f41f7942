//! A real Docker in a machine: Debian's dockerd with its own containerd, its data in memory, and an
//! image called `lab` of busybox and bash.
//!
//! Containers live in the machine's pid namespace, so that they end with the laboratory, however
//! that ends.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::machine::{Cmd, Machine, Output, Process};
use crate::wait::wait_for;

const MOUNTS: &str = include_str!("mounts.sh");
const IMAGE: &str = include_str!("image.sh");

/// Ends all containers and takes their groups away, which are no namespace's and would stay.
const TAKE_DOWN: &str = r#"
    group=/sys/fs/cgroup/$1
    test -d "$group" || exit 0
    echo 1 > "$group/cgroup.kill"
    for try in $(seq 100); do
        find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
        test -d "$group" || exit 0
        sleep 0.02
    done"#;

/// How long Docker may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Docker engine; dropped, it and its containers are ended.
#[derive(Debug)]
pub struct Docker {
    machine: Machine,
    options: Vec<String>,
    mounts: Process,
    process: Option<Process>,
}

impl Machine {
    /// Starts Docker for the first time, with these options besides the laboratory's own, and waits
    /// until it answers.
    ///
    /// # Errors
    /// When docker.io or busybox-static is missing or dockerd does not start; with its log.
    pub fn docker<'a>(&self, options: impl IntoIterator<Item = &'a str>) -> Result<Docker> {
        let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTS];
        let mut mounts = self.spawn(unshare)?;
        mounts.wait_for_line("ready", PATIENCE)?;
        let options = options.into_iter().map(Into::into).collect();
        let mut docker = Docker { machine: self.clone(), options, mounts, process: None };
        docker.start()?;
        self.succeed(["sh", "-c", IMAGE])?;
        Ok(docker)
    }
}

impl Docker {
    /// Runs docker's client, which has to succeed.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn cli<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let answer = self.machine.succeed(["docker"].into_iter().chain(args))?;
        Ok(answer.trim().to_owned())
    }

    /// Starts a container in the background: `docker.run(["--name", "box", "lab", "sleep", "1000"])`.
    ///
    /// # Errors
    /// As [`Docker::cli`].
    pub fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        // The first process of a container does not heed SIGTERM unless it wants to.
        self.cli(["run", "--detach", "--stop-signal", "KILL"].into_iter().chain(args))
    }

    /// Runs a line of bash in a container, whatever its answer.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn exec(&self, container: &str, script: &str) -> Result<Output> {
        self.machine.run(["docker", "exec", container, "bash", "-c", script])
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
        let mut process = self.with_mounts(own.into_iter().chain(files).chain(options)).spawn()?;
        wait_for("Docker", PATIENCE, || {
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

    /// A further option from the next start on: `--live-restore`.
    pub fn option(&mut self, option: &str) {
        self.options.push(option.into());
    }

    /// A command among dockerd's file systems.
    fn with_mounts<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        let mounts = format!("--mount=/proc/{}/ns/mnt", self.mounts.id_inside());
        let args = args.into_iter().map(ToOwned::to_owned);
        self.machine.command(["nsenter".to_owned(), mounts].into_iter().chain(args))
    }

    /// Unlike that of any other laboratory that runs.
    fn group(&self) -> String {
        format!("tunwarden-lab-{}", self.machine.pid())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = self.kill();
        let _ = self.with_mounts(["sh", "-c", TAKE_DOWN, "sh", &self.group()]).run();
    }
}
