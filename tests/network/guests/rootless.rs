//! podman without root: what a container sends leaves from a socket of its user, through pasta or slirp4netns.

use anyhow::{Context, Result};
use tunwarden_lab::{Capture, Cmd, Contract, Engine, Frame, IMAGE, Lab, Process, wait_for, with_lab};

use super::{Desktop, System, is_listed};
use crate::support::docker::{CONTAINERS_V4, counted};
use crate::support::leak_test::contract;
use crate::support::{SOON, wait_for_state};

/// The user of the containers, with subordinate ids, in this Debian and on the host, where the agent looks for names.
const USER: &str = r#"
    id anna >/dev/null 2>&1 || useradd --uid 4711 --user-group --no-create-home --home-dir /run/home/anna anna
    for file in /etc/subuid /etc/subgid; do
        grep -q '^anna:' "$file" 2>/dev/null || echo anna:200000:65536 >>"$file"
    done
    mkdir -p /run/home/anna/tmp /run/user/4711
    chown -R anna:anna /run/home/anna /run/user/4711"#;

const AS_ANNA: [&str; 8] = [
    "setpriv",
    "--reuid=4711",
    "--regid=4711",
    "--clear-groups",
    "env",
    "HOME=/run/home/anna",
    "TMPDIR=/run/home/anna/tmp",
    "XDG_RUNTIME_DIR=/run/user/4711",
];

const PODMAN: [&str; 5] = [
    "podman",
    "--storage-driver=vfs",
    "--cgroup-manager=cgroupfs",
    "--events-backend=file",
    "--runtime=crun",
];

/// UDP from a new port with every packet.
const FLOOD: &str =
    "exec 9<> <(:); while :; do echo flood >/dev/udp/203.0.113.77/4000; read -t 0.01 -u 9; done 2>/dev/null";

fn user(system: &System<'_>) -> Result<()> {
    for command in [system.command(["sh", "-euc", USER]), system.lab.host().command(["sh", "-euc", USER])] {
        command.succeed()?;
    }
    system.shell(IMAGE, &[]).map(drop)
}

fn anna<'b>(system: &System<'_>, args: impl IntoIterator<Item = &'b str>) -> Cmd {
    system.command(AS_ANNA.into_iter().chain(args))
}

fn is_flood(frame: &Frame) -> bool {
    frame.destination().is_some_and(|address| address.to_string() == CONTAINERS_V4)
}

struct Watch<'a> {
    lab: &'a Lab,
    capture: Capture,
    contract: Contract,
    from: usize,
}

impl Watch<'_> {
    fn is_seen(&self, why: &str) -> Result<()> {
        let before = self.capture.so_far()?.iter().filter(|frame| is_flood(frame)).count();
        self.capture.wait_for(before + 20, SOON, is_flood).with_context(|| why.to_owned())
    }

    /// Waits until the user has tried to send more packets, and checks that none left in clear.
    fn check(&self, promise: &str) -> Result<()> {
        let tried = || counted(self.lab.host(), "raw", &format!("OUTPUT -d {CONTAINERS_V4}/32 -p udp"));
        let before = tried()?;
        wait_for("the container tries", SOON, || Ok((tried()? >= before + 50).then_some(())))
            .with_context(|| promise.to_owned())?;
        self.contract.check(&self.capture.so_far()?[self.from..]).with_context(|| promise.to_owned())
    }
}

/// Checks a container that floods.
fn is_contained(lab: &Lab) -> Result<()> {
    let desktop = Desktop::new(lab)?;
    let (capture, contract) = (lab.capture()?, contract(&[&desktop.server])?);
    let mut watch = Watch { lab, capture, contract, from: 0 };
    watch.is_seen("the control, without tunwarden")?;
    let mut agent = desktop.agent()?;
    watch.from = watch.capture.so_far()?.len();
    watch.check("locked")?;
    is_listed(lab, |who| who["kind"] == "program" && who["user"] == "anna")?;
    let mut client = desktop.connect()?;
    desktop.flood_arrives().context("protected")?;
    watch.check("protected")?;
    client.kill()?;
    wait_for_state(lab, "lost")?;
    watch.check("lost")?;
    agent.kill()?;
    watch.check("the agent is killed")
}

fn podman_is_contained(network: &str) -> Result<()> {
    with_lab(|lab| {
        let system = System::new(lab, Engine::Trixie)?;
        user(&system)?;
        anna(&system, PODMAN.into_iter().chain(["import", "/run/lab/docker/image.tar", "lab"])).succeed()?;
        let run = ["run", "--cgroups=disabled", "--rm", network, "lab", "bash", "-c", FLOOD];
        let _container: Process = anna(&system, PODMAN.into_iter().chain(run)).spawn()?;
        is_contained(lab)
    })
}

#[test]
fn a_container_of_podman_without_root_by_pasta_is_contained_as_its_user() -> Result<()> {
    podman_is_contained("--network=pasta")
}

#[test]
fn a_container_of_podman_without_root_by_slirp4netns_is_contained_as_its_user() -> Result<()> {
    podman_is_contained("--network=slirp4netns")
}
