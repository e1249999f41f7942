//! The same rules apply to podman's containers. tunwarden knows only the names of podman's bridges.

use crate::support;

use anyhow::{Context, Result, ensure};
use support::{SOON, tunwarden};
use tunwarden_lab::{Capture, Cmd, Contract, Frame, Lab, Process, with_lab};

/// Makes private mounts, as for Docker, and an image of busybox. The process stays and keeps the mounts.
const MOUNTS: &str = r#"
    set -eu
    umount -l /sys
    mount -t sysfs sysfs /sys
    mount -t cgroup2 none /sys/fs/cgroup
    mkdir -p /run/lab/podman
    mount -t tmpfs tmpfs /run/lab/podman
    cd /run/lab/podman
    mkdir -p image/bin networks
    cp "$(command -v busybox)" image/bin/busybox
    for applet in sh ping; do ln -s busybox image/bin/$applet; done
    tar -C image -cf image.tar .
    echo ready
    exec sleep infinity"#;

/// Podman keeps all files in the laboratory's folder. Its containers have no cgroups, so none stay behind.
const PODMAN: [&str; 17] = [
    "podman",
    "--root=/run/lab/podman/root",
    "--runroot=/run/lab/podman/run",
    "--tmpdir=/run/lab/podman/tmp",
    "--storage-driver=vfs",
    "--cgroup-manager=cgroupfs",
    "--events-backend=file",
    "--network-backend=netavark",
    "--network-config-dir=/run/lab/podman/networks",
    "--runtime=crun",
    "run",
    "--cgroups=disabled",
    "--cap-add=NET_RAW",
    "--rm",
    "lab",
    "ping",
    "-i",
];

/// The targets of the containers' pings. The first container starts before the lock, the second after it.
const FIRST: &str = "203.0.113.77";
const SECOND: &str = "203.0.113.78";

struct Podman<'a> {
    lab: &'a Lab,
    mounts: Process,
}

impl<'a> Podman<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTS];
        let mut mounts = lab.host().spawn(unshare)?;
        mounts.wait_for_line("ready", SOON)?;
        let podman = Self { lab, mounts };
        let import = PODMAN[..10].iter().copied().chain(["import", "/run/lab/podman/image.tar", "lab"]);
        podman.command(import).succeed()?;
        Ok(podman)
    }

    fn command<'b>(&self, args: impl IntoIterator<Item = &'b str>) -> Cmd {
        let mounts = format!("--mount=/proc/{}/ns/mnt", self.mounts.id_inside());
        let args = args.into_iter().map(ToOwned::to_owned);
        self.lab.host().command(["nsenter".to_owned(), mounts].into_iter().chain(args))
    }

    /// Starts a container on podman's own network that pings without end.
    fn flood(&self, to: &str) -> Result<Process> {
        self.command(PODMAN.into_iter().chain(["0.005", to])).spawn()
    }
}

fn is_to(frame: &Frame, to: &str) -> bool {
    frame.destination().is_some_and(|address| address.to_string() == to)
}

fn is_seen(capture: &Capture, to: &str) -> Result<()> {
    let before = capture.so_far()?.iter().filter(|frame| is_to(frame, to)).count();
    capture.wait_for(before + 20, SOON, |frame| is_to(frame, to)).map(drop)
}

/// Waits until containers have sent more pings, as counted before any firewall.
fn tried(lab: &Lab, to: &str) -> Result<()> {
    let rule = format!("PREROUTING -d {to}/32 -p icmp");
    let before = support::docker::counted(lab.host(), "raw", &rule)?;
    tunwarden_lab::wait_for("a container tries", SOON, || {
        Ok((support::docker::counted(lab.host(), "raw", &rule)? > before + 50).then_some(()))
    })
}

/// Locks with these layers. Checks that nothing leaves while podman starts containers and other programs
/// flush chains.
fn nothing_leaves(layers: &str, flushes: &[&[&str]]) -> Result<()> {
    with_lab(|lab| {
        let podman = Podman::new(lab)?;
        let capture = lab.capture()?;
        let _first = podman.flood(FIRST)?;
        is_seen(&capture, FIRST).context("the control, without tunwarden")?;

        let config = format!("[bootstrap]\nservers = [\"198.51.100.7\"]\n[firewall]\nlayers = [{layers}]\n");
        lab.host().file("/etc/tunwarden/config.toml", &config)?;
        let output = tunwarden(lab, ["lock"])?;
        ensure!(output.status.success(), "lock: {}", output.stderr);
        let from = capture.so_far()?.len();
        let locked = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.discovery();
        let check = |promise: &str| -> Result<()> {
            locked.check(&capture.so_far()?[from..]).with_context(|| promise.to_owned())
        };
        tried(lab, FIRST)?;
        check("locked")?;
        // Netavark adds its accepts before tunwarden's rules in filter.
        let _second = podman.flood(SECOND)?;
        tried(lab, SECOND)?;
        check("a container that starts while locked")?;
        for words in flushes {
            lab.host().succeed(["iptables", "-w"].iter().chain(*words).copied())?;
            tried(lab, FIRST)?;
            check(&format!("iptables {}", words.join(" ")))?;
        }

        let output = tunwarden(lab, ["release", "--yes"])?;
        ensure!(output.status.success(), "release: {}", output.stderr);
        is_seen(&capture, FIRST).context("the control: released")
    })
}

#[test]
fn podmans_containers_leave_nothing_by_mangle_alone_when_filter_is_flushed() -> Result<()> {
    nothing_leaves("\"iptables\"", &[&["-F", "FORWARD"], &["-P", "FORWARD", "ACCEPT"]])
}

#[test]
fn podmans_containers_leave_nothing_by_the_second_layer_when_iptables_is_flushed() -> Result<()> {
    let all: [&[&str]; 4] =
        [&["-F", "FORWARD"], &["-P", "FORWARD", "ACCEPT"], &["-t", "mangle", "-F"], &["-F"]];
    nothing_leaves("\"iptables\", \"nftables\"", &all)
}
