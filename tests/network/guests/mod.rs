//! Containers and virtual machines of other engines than Docker, and of engines without root. The engines and their
//! networks are real: libvirt, Incus, podman, Docker. A virtual machine is a network namespace on the engine's bridge.

mod docker_nftables;
mod incus;
mod libvirt;
mod rootless;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::openvpn::{ClientOptions, Server, ServerOptions};
use tunwarden_lab::{Capture, Cmd, Engine, Lab, MOUNTS, Output, Process, SystemBus, wait_for};

use crate::blocked::blocked;
use crate::support::docker::{CONTAINERS_V4, Watch, counted};
use crate::support::groups::Groups;
use crate::support::openvpn::{connect, hooked};
use crate::support::story::contract;
use crate::support::{SOON, agent, bus, wait_for_state};

/// Runs a command in the laboratory's own control group: an engine makes the groups of containers beside its own.
const JOIN: &str = r#"echo $$ >/sys/fs/cgroup/lab/cgroup.procs; exec "$@""#;

/// A question for a name, again and again, to the address `$1`.
const ASK: &str = r#"
    exec 9<> <(:)
    while :; do
        printf '\x07\x07\x01\0\0\x01\0\0\0\0\0\0\x06secret\x07example\0\0\x01\0\x01' >"/dev/udp/$0/53"
        read -t 0.05 -u 9
    done 2>/dev/null"#;

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

fn is_question(frame: &tunwarden_lab::Frame) -> bool {
    matches!(frame.transport(), Some(tunwarden_lab::Transport::Udp { to: 53, .. }))
}

/// The engine's resolver for its guests asks on their behalf: without tunwarden, its questions leave.
fn questions_leave(capture: &Capture) -> Result<()> {
    let before = capture.so_far()?.iter().filter(|frame| is_question(frame)).count();
    capture.wait_for(before + 3, SOON, is_question).context("the control: the engine's resolver asks nobody")
}

/// A guest on an engine's bridge, which floods in both families, and asks the engine's resolver.
trait Guest {
    /// The bridge.
    const BRIDGE: &'static str;

    /// Has the engine make its rules again.
    fn again(&self) -> Result<()>;

    /// Sends one ping to the internet from the guest.
    fn ping(&self) -> Result<Output>;
}

/// Waits until a ping of the guest is answered. The capture would show a ping in clear.
fn is_answered(guest: &impl Guest) -> Result<()> {
    wait_for("an answer through the tunnel", SOON, || Ok(guest.ping()?.status.success().then_some(())))
}

fn is_contained<G: Guest>(lab: &Lab, guest: &G) -> Result<()> {
    let desktop = Desktop::new(lab)?;
    let mut watch = Watch::begin(lab, contract(&[&desktop.server])?)?;
    watch.is_seen("the control, without tunwarden")?;
    questions_leave(&lab.capture()?)?;

    let mut agent = desktop.agent()?;
    watch.close()?;
    watch.check("locked")?;
    is_listed(lab, |who| {
        who["kind"] == "forwarded" && who["name"].as_str().is_some_and(|name| name.contains(G::BRIDGE))
    })?;
    guest.again()?;
    watch.check("the engine has made its rules again while locked")?;

    let mut client = desktop.connect()?;
    desktop.flood_arrives().context("allowed, and protected")?;
    is_answered(guest)?;
    guest.again()?;
    is_answered(guest).context("the engine has made its rules again while protected")?;
    watch.check("protected")?;

    client.kill()?;
    wait_for_state(lab, "lost")?;
    watch.check("lost")?;
    agent.kill()?;
    guest.again()?;
    watch.check("the agent is killed, and the engine has made its rules again")?;
    let released = crate::support::tunwarden(lab, ["release", "--yes"])?;
    ensure!(released.status.success(), "release: {}", released.stderr);
    watch.is_seen("the control: released")
}
