//! Containers whose engine has no rules in iptables, and containers of an ordinary user. podman is real; a Docker with
//! rules in nf_tables is a stand-in, because Debian has none.

mod docker_nftables;
mod rootless;

use anyhow::{Context, Result};
use serde_json::Value;
use tunwarden_lab::openvpn::{ClientOptions, Server, ServerOptions};
use tunwarden_lab::{Cmd, Engine, Lab, MOUNTS, Process, SystemBus, wait_for};

use crate::blocked::blocked;
use crate::support::docker::{CONTAINERS_V4, counted};
use crate::support::groups::Groups;
use crate::support::openvpn::{connect, hooked};
use crate::support::{SOON, agent, bus, wait_for_state};

/// Runs a command in the laboratory's own control group: an engine makes the groups of containers beside its own.
const JOIN: &str = r#"echo $$ >/sys/fs/cgroup/lab/cgroup.procs; exec "$@""#;

/// The programs of a Debian, with writable control groups.
struct System<'a> {
    lab: &'a Lab,
    mounts: Process,
    _groups: Groups<'a>,
}

impl<'a> System<'a> {
    fn new(lab: &'a Lab, debian: Engine) -> Result<Self> {
        let tree = debian.tree().unwrap_or_default();
        let groups = Groups::new(lab)?;
        let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTS, "mounts"];
        let mut mounts = groups.command(unshare.into_iter().chain([tree.as_str()])).spawn()?;
        mounts.wait_for_line("ready", SOON)?;
        Ok(Self { lab, mounts, _groups: groups })
    }

    fn command<'b>(&self, args: impl IntoIterator<Item = &'b str>) -> Cmd {
        let [mounts, groups] = [("mount", "mnt"), ("cgroup", "cgroup")]
            .map(|(option, file)| format!("--{option}=/proc/{}/ns/{file}", self.mounts.id_inside()));
        let own = ["nsenter", &mounts, &groups, "sh", "-euc", JOIN, "sh"].map(ToOwned::to_owned);
        self.lab.host().command(own.into_iter().chain(args.into_iter().map(ToOwned::to_owned)))
    }

    fn shell(&self, script: &str, words: &[&str]) -> Result<String> {
        self.command(["sh", "-euc", script, "sh"].into_iter().chain(words.iter().copied())).succeed()
    }
}

/// The desktop of such a test: a VPN server, the bus and, while protected, a client.
struct Desktop<'a> {
    lab: &'a Lab,
    server: Server,
    _bus: SystemBus,
}

impl<'a> Desktop<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let server = lab.openvpn_server(ServerOptions::default())?;
        Ok(Self { lab, server, _bus: bus(lab)? })
    }

    fn agent(&self) -> Result<Process> {
        let agent = agent(self.lab, "")?;
        wait_for_state(self.lab, "locked")?;
        Ok(agent)
    }

    fn connect(&self) -> Result<Process> {
        let client = connect(self.lab, &hooked(self.lab, ClientOptions::of(&self.server))?)?;
        wait_for_state(self.lab, "protected")?;
        Ok(client)
    }

    /// Waits until the server has received more packets of the flood, out of the tunnel.
    fn flood_arrives(&self) -> Result<()> {
        let rule = format!("PREROUTING -d {CONTAINERS_V4}/32 -i srv+ -p udp");
        let before = counted(self.lab.isp(), "raw", &rule)?;
        wait_for("the flood comes out of the tunnel", SOON, || {
            Ok((counted(self.lab.isp(), "raw", &rule)? >= before + 50).then_some(()))
        })
    }
}

/// Waits until `blocked` lists who sends the flood.
fn is_listed(lab: &Lab, wanted: impl Fn(&Value) -> bool) -> Result<()> {
    let mut last = Vec::new();
    wait_for("the sender is listed", SOON, || {
        last = blocked(lab, "root")?;
        let to = |group: &Value| group["destination"]["address"] == CONTAINERS_V4;
        Ok(last.iter().any(|group| to(group) && wanted(&group["who"])).then_some(()))
    })
    .with_context(|| format!("the last list: {last:#?}"))
}
