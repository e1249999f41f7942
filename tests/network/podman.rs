//! The same rules apply to podman's containers. tunwarden knows only the names of podman's bridges.

use crate::support;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::groups::Groups;
use support::{SOON, bus, tunwarden, wait_for_state};
use tunwarden_lab::{Capture, Cmd, Contract, Frame, Lab, Process, wait_for, with_lab};

use crate::blocked::blocked;

/// Makes an image of busybox, and of bash, because this busybox cannot open UDP sockets.
const IMAGE: &str = r#"
    mkdir -p /run/lab/podman
    mount -t tmpfs -o mode=755 tmpfs /run/lab/podman
    cd /run/lab/podman
    mkdir -p image/bin networks
    cp "$(command -v busybox)" image/bin/busybox
    for applet in sh ping sleep; do ln -s busybox image/bin/$applet; done
    ldd /bin/bash | grep -o '/[^ ]*' | while read -r library; do
        install -D "$(readlink -f "$library")" "image$library"
    done
    cp /bin/bash image/bin/bash
    tar -C image -cf image.tar ."#;

/// Podman keeps all files in the laboratory's folder. The agent finds that folder in this file, as if an administrator
/// had named it there.
const STORAGE: &str = r#"[storage]
driver = "vfs"
graphroot = "/run/lab/podman/root"
runroot = "/run/lab/podman/run"
"#;

const PODMAN: [&str; 10] = [
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
];

/// A container that pings. It has no cgroup.
const PING: [&str; 7] = ["run", "--cgroups=disabled", "--cap-add=NET_RAW", "--rm", "lab", "ping", "-i"];

/// A container on the host's network. It has a cgroup: crun makes one only with CAP_SYS_RESOURCE. With these limits runc
/// does not need it, and needs no controllers either, which a machine with the old hierarchies has elsewhere.
const HOST: [&str; 8] = [
    "--runtime=runc",
    "run",
    "--detach",
    "--name=web",
    "--network=host",
    "--pids-limit=0",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
];

/// What that container sends.
const SENDER: &str =
    "exec 3<>/dev/udp/203.0.113.9/4000; while :; do echo refused >&3; sleep 0.1; done 2>/dev/null";

/// The targets of the containers' pings. The first container starts before the lock, the second after it.
const FIRST: &str = "203.0.113.77";
const SECOND: &str = "203.0.113.78";

struct Podman<'a> {
    groups: Groups<'a>,
}

impl<'a> Podman<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        lab.host().file("/etc/containers/storage.conf", STORAGE)?;
        let podman = Self { groups: Groups::new(lab)? };
        podman.groups.command(["sh", "-euc", IMAGE]).succeed()?;
        podman.command(["import", "/run/lab/podman/image.tar", "lab"]).succeed()?;
        Ok(podman)
    }

    fn command<'b>(&self, args: impl IntoIterator<Item = &'b str>) -> Cmd {
        self.groups.command(PODMAN.into_iter().chain(args))
    }

    /// Starts a container on podman's own network that pings without end.
    fn flood(&self, to: &str) -> Result<Process> {
        self.command(PING.into_iter().chain(["0.005", to])).spawn()
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

#[test]
fn a_container_of_root_s_podman_on_the_hosts_network_is_named() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let podman = Podman::new(lab)?;
        podman.command(HOST.into_iter().chain(["lab", "bash", "-c", SENDER])).succeed()?;
        let _agent = podman.groups.agent("[bootstrap]\nservers = [\"198.51.100.7\"]\n")?;
        wait_for_state(lab, "locked")?;
        let mut listed = Vec::new();
        let wanted = json!(["container", "web (localhost/lab:latest)", "root", "203.0.113.9", 4000]);
        wait_for(&format!("{wanted} is listed"), SOON, || {
            let short = |group: &Value| {
                let (who, to) = (&group["who"], &group["destination"]);
                json!([who["kind"], who["name"], who["user"], to["address"], to["port"]])
            };
            listed = blocked(lab, "root")?.iter().map(short).collect();
            Ok(listed.contains(&wanted).then_some(()))
        })
        .with_context(|| format!("{listed:#?}"))?;
        podman.command(["rm", "--force", "--time=0", "web"]).succeed().map(drop)
    })
}
