//! Docker restarts while a container on its bridge, a container on the host's own card and the host itself
//! flood with 2,000 packets per second each.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Capture, Docker, Engine, Flood, Lab, wait_for, with_lab};

use super::{KNOWN, locked};
use crate::support::{SOON, agent, bus, tunwarden, wait_for_state};

/// The flood of a container. bash itself sleeps.
const FLOOD: &str = "
    mkfifo /tmp/pipe
    exec 9<>/tmp/pipe
    while :; do
        for n in 1 2 3 4 5 6 7 8 9 10; do echo flood >/dev/udp/$0/4000; done
        read -t 0.004 -u 9
    done 2>/dev/null";

const BRIDGE: &str = "203.0.113.77";
const MACVLAN: &str = "203.0.113.78";
const HOST: &str = "203.0.113.79";

/// The three floods. Containers continue without dockerd.
struct Floods {
    docker: Docker,
    capture: Capture,
    host: Flood,
    /// The containers' processes.
    pids: [String; 2],
}

impl Floods {
    fn begin(lab: &Lab, engine: Engine) -> Result<Self> {
        let docker = lab.host().docker(engine, ["--live-restore"])?;
        let subnet = ["--subnet=10.0.0.0/24", "--gateway=10.0.0.1", "-o", "parent=eth0"];
        docker.cli(["network", "create", "-d", "macvlan"].into_iter().chain(subnet).chain(["card"]))?;
        let flood = |name, network: &[&str], to| {
            let image = ["lab", "bash", "-c", FLOOD, to];
            docker.run(["--name", name].into_iter().chain(network.iter().copied()).chain(image))?;
            docker.cli(["inspect", "--format", "{{.State.Pid}}", name])
        };
        let pids = [
            flood("bridge", &[], BRIDGE)?,
            flood("macvlan", &["--network=card", "--ip=10.0.0.77"], MACVLAN)?,
        ];
        let host = lab.host().udp(&format!("{HOST}:4000"))?.from_user("nobody").flood(2000)?;
        Ok(Self { docker, capture: lab.capture()?, host, pids })
    }

    /// How many packets of each of the three floods the capture has after its first `from` frames.
    fn left(&self, from: usize) -> Result<[usize; 3]> {
        let frames = self.capture.so_far()?;
        let to = |to: &str| {
            let frames = frames[from..].iter().filter_map(|frame| frame.destination());
            frames.filter(|destination| destination.to_string() == to).count()
        };
        Ok([BRIDGE, MACVLAN, HOST].map(to))
    }

    fn so_far(&self) -> Result<usize> {
        Ok(self.capture.so_far()?.len())
    }

    /// Waits until exactly these of the three floods leave.
    fn are_seen(&self, why: &str, seen: [bool; 3]) -> Result<()> {
        wait_for(&format!("{why}: {seen:?} leave"), SOON, || {
            let from = self.so_far()?;
            std::thread::sleep(Duration::from_millis(200));
            Ok((self.left(from)?.map(|count| count > 20) == seen).then_some(()))
        })
    }

    /// How many packets each container has tried to send, as counted in its network namespace.
    fn tried(&self, lab: &Lab) -> Result<[u64; 2]> {
        let count = |pid: &String| -> Result<u64> {
            let text = lab.host().succeed(["cat", &format!("/proc/{pid}/net/snmp")])?;
            let mut lines = text.lines().filter(|line| line.starts_with("Ip: "));
            let (names, counts) = (lines.next().context("no names")?, lines.next().context("no counts")?);
            let place = names.split(' ').position(|name| name == "OutRequests").context("no such count")?;
            Ok(counts.split(' ').nth(place).context("too few counts")?.parse()?)
        };
        Ok([count(&self.pids[0])?, count(&self.pids[1])?])
    }

    /// Waits until all three have tried to send more packets.
    fn await_tries(&self, lab: &Lab) -> Result<()> {
        let before = self.tried(lab)?;
        self.host.await_more(400)?;
        wait_for("containers try", SOON, || {
            let now = self.tried(lab)?;
            Ok(now.iter().zip(before).all(|(now, before)| *now > before + 400).then_some(()))
        })
    }
}

with_each_engine!(nothing_leaves_of_three_floods_while_docker_restarts);

#[expect(clippy::disallowed_methods, reason = "a measurement that is printed, and nothing depends on")]
fn nothing_leaves_of_three_floods_while_docker_restarts(engine: Engine) -> Result<()> {
    with_lab(|lab| {
        let mut floods = Floods::begin(lab, engine)?;
        floods.are_seen("the control, without tunwarden", [true; 3])?;
        let from = floods.so_far()?;
        floods.docker.restart()?;
        let left = floods.left(from)?;
        ensure!(left.iter().all(|&left| left > 200), "the control, a restart without tunwarden: {left:?}");

        let _bus = bus(lab)?;
        let _agent = agent(lab, &format!("{KNOWN}[firewall]\nlayers = [\"iptables\"]\n"))?;
        wait_for_state(lab, "locked")?;
        floods.are_seen("the control, without the second layer", [false, true, false])?;

        lab.host().file("/etc/tunwarden/config.toml", KNOWN)?;
        let reload = tunwarden(lab, ["reload"])?;
        ensure!(reload.status.success(), "{reload:?}");
        let (from, before, began) = (floods.so_far()?, floods.tried(lab)?, Instant::now());
        let check = |floods: &Floods, what: &str| -> Result<()> {
            floods.await_tries(lab).with_context(|| what.to_owned())?;
            let left = floods.left(from)?;
            ensure!(left == [0; 3], "{what}: of the bridge, the macvlan and the host {left:?} left");
            locked()?.check(&floods.capture.so_far()?[from..]).with_context(|| what.to_owned())
        };
        check(&floods, "both layers")?;
        for _ in 0..2 {
            floods.docker.restart()?;
            check(&floods, "Docker was restarted")?;
        }
        floods.docker.kill()?;
        check(&floods, "Docker was killed")?;
        floods.docker.start()?;
        check(&floods, "Docker was started after a kill")?;
        lab.host().succeed(["iptables", "-w", "-F"])?;
        floods.docker.restart()?;
        check(&floods, "iptables was flushed, and Docker restarted")?;
        let (after, seconds) = (floods.tried(lab)?, began.elapsed().as_secs_f64());
        let [bridge, macvlan] = [0, 1].map(|n| (after[n] - before[n]) as f64 / seconds);
        let version = floods.docker.version()?;
        println!("Docker {version}: tried {bridge:.0} a second by the bridge, {macvlan:.0} by the macvlan");
        wait_for("the kernel holds the rules", SOON, || {
            Ok(tunwarden(lab, ["verify"])?.status.success().then_some(()))
        })
    })
}
