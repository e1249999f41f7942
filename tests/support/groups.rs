//! Control groups that a laboratory sees as the whole hierarchy. So a test can start a program in the group of a
//! desktop application, and an engine makes the groups of containers in the same places as on a real machine.

use anyhow::Result;
use tunwarden_lab::{Cmd, Lab, Process, TAKE_DOWN};

use super::{SOON, TUNWARDEN, start_agent_as};

/// Makes a root group, and a namespace that shows this group as the root of the hierarchy. The process stays and keeps
/// the mounts. If a kill leaves the groups, the next laboratory with a Docker finds them by their name and removes
/// them.
const MOUNTS: &str = r#"
    set -eu
    umount -l /sys
    mount -t sysfs sysfs /sys
    mount -t cgroup2 none /sys/fs/cgroup
    mkdir "/sys/fs/cgroup/$1"
    echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
    exec unshare --cgroup sh -euc '
        umount /sys/fs/cgroup
        mount -t cgroup2 none /sys/fs/cgroup
        mkdir /sys/fs/cgroup/lab
        echo $$ >/sys/fs/cgroup/lab/cgroup.procs
        echo ready
        exec sleep infinity'"#;

/// Shows the whole hierarchy again, so that the groups can be ended and removed.
const WHOLE: &str = "umount -l /sys; mount -t sysfs sysfs /sys; mount -t cgroup2 none /sys/fs/cgroup";

/// The groups of a laboratory's host. Dropping them ends the processes in them.
pub struct Groups<'a> {
    lab: &'a Lab,
    mounts: Process,
    name: String,
}

impl<'a> Groups<'a> {
    pub fn new(lab: &'a Lab) -> Result<Self> {
        let name = format!("tunwarden-lab-{}", lab.host().pid());
        let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTS, "sh", &name];
        let mut mounts = lab.host().spawn(unshare)?;
        mounts.wait_for_line("ready", SOON)?;
        Ok(Self { lab, mounts, name })
    }

    /// A command that sees these groups.
    pub fn command<'b>(&self, args: impl IntoIterator<Item = &'b str>) -> Cmd {
        let [mounts, groups] = [("mount", "mnt"), ("cgroup", "cgroup")]
            .map(|(option, file)| format!("--{option}=/proc/{}/ns/{file}", self.mounts.id_inside()));
        let args = args.into_iter().map(ToOwned::to_owned);
        self.lab.host().command(["nsenter".to_owned(), mounts, groups].into_iter().chain(args))
    }

    /// Runs a bash script as a user in a control group.
    pub fn spawn_in(&self, group: &str, user: &str, script: &str) -> Result<Process> {
        let enter = r#"
            group=/sys/fs/cgroup/$1
            mkdir -p "$group"
            echo $$ >"$group/cgroup.procs"
            exec setpriv --reuid="$2" --clear-groups bash -c "$3""#;
        self.command(["sh", "-euc", enter, "sh", group, user, script]).spawn()
    }

    /// Starts the agent, which looks for groups in this hierarchy.
    pub fn agent(&self, config: &str) -> Result<Process> {
        self.lab.host().file("/etc/tunwarden/config.toml", config)?;
        start_agent_as(self.lab, self.command([TUNWARDEN, "agent", "--verbose"]))
    }
}

impl Drop for Groups<'_> {
    fn drop(&mut self) {
        let take_down = format!("{WHOLE}\n{TAKE_DOWN}");
        let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", &take_down, "sh"];
        let _ = self.lab.host().run(unshare.into_iter().chain([self.name.as_str()]));
    }
}
