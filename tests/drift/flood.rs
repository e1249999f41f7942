//! A host and a container behind a bridge that never stop sending, the ISP's eye on them, and an agent.

use std::fs::File;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};
use tunwarden_lab::{Capture, Flood, Frame, Lab, Process, SystemBus, guard, wait_for, wait_until};

use crate::support::signals::Signals;
use crate::support::{SOON, agent, bus, tunwarden};

/// Packets a second, of the host and of the container each.
const RATE: u32 = 2000;

/// Where the host sends, and where the container does.
const HOSTS: &str = "203.0.113.9:5000";
const CONTAINERS: &str = "203.0.113.77:5000";

/// A process behind a bridge that sends to [`CONTAINERS`]; dropped, it stops.
struct Container {
    over: Arc<AtomicBool>,
    tried: Arc<AtomicU64>,
    sender: Option<JoinHandle<Result<()>>>,
}

/// As Docker would make it, without Docker.
const BRIDGE: &str = "
    echo 1 >/proc/sys/net/ipv4/ip_forward
    ip netns add container
    ip link add br-drift type bridge
    ip address add 172.17.0.1/16 dev br-drift
    ip link add veth0 type veth peer name eth0 netns container
    ip link set veth0 master br-drift
    ip link set veth0 up
    ip link set br-drift up
    ip -n container address add 172.17.0.2/16 dev eth0
    ip -n container link set eth0 up
    ip -n container route add default via 172.17.0.1";

impl Container {
    #[expect(clippy::disallowed_methods, reason = "a flood keeps to its rate by the clock")]
    fn flood(lab: &Lab) -> Result<Self> {
        lab.host().succeed(["sh", "-ec", BRIDGE])?;
        let network = File::open(lab.host().outside("/run/netns/container"))?;
        let (over, tried) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stop, count, host) = (Arc::clone(&over), Arc::clone(&tried), lab.host().clone());
        let pour = move || {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            guard::refuse_if_thread_is_home()?;
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            let (began, mut sent) = (Instant::now(), 0);
            while !stop.load(Ordering::Acquire) {
                // Refused, or let out: both are tries.
                let _ = socket.send_to(b"container", CONTAINERS);
                sent += 1;
                count.store(sent, Ordering::Release);
                let due = began + Duration::from_secs(sent) / RATE;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Ok(())
        };
        let sender = std::thread::spawn(move || host.enter(pour));
        Ok(Self { over, tried, sender: Some(sender) })
    }

    fn await_more(&self, more: u64) -> Result<()> {
        let goal = self.tried.load(Ordering::Acquire) + more;
        wait_until("the container's packets", SOON, || self.tried.load(Ordering::Acquire) >= goal)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(sender) = self.sender.take() {
            let _ = sender.join();
        }
    }
}

/// All of it.
pub(crate) struct Siege<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) agent: Process,
    pub(crate) signals: Signals,
    pub(crate) bus: SystemBus,
    capture: Capture,
    host: Flood,
    container: Container,
}

/// What left while somebody did something.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) of_host: usize,
    pub(crate) of_container: usize,
}

impl<'a> Siege<'a> {
    /// Sees both leave without an agent, then starts one and sees neither.
    ///
    /// # Errors
    /// When the control fails, or the rules do not hold.
    pub(crate) fn begin(lab: &'a Lab, config: &str) -> Result<Self> {
        let capture = lab.capture()?;
        let host = lab.host().udp(HOSTS)?.from_user("nobody").tag("host").flood(RATE)?;
        let container = Container::flood(lab)?;
        for (who, to) in [("host", HOSTS), ("container", CONTAINERS)] {
            let seen = capture.wait_for(20, SOON, |frame| is_to(frame, to));
            seen.with_context(|| format!("the control failed: the {who} should be seen"))?;
        }
        let bus = bus(lab)?;
        let signals = Signals::listen(&bus)?;
        let agent = agent(lab, config)?;
        let siege = Self { lab, agent, signals, bus, capture, host, container };
        wait_for("what was under way has left", SOON, || {
            Ok((siege.left_from(siege.so_far()?)?.of_container == 0).then_some(()))
        })?;
        siege.is_silent("the agent has begun")?;
        Ok(siege)
    }

    /// How many frames have been captured.
    pub(crate) fn so_far(&self) -> Result<usize> {
        Ok(self.capture.so_far()?.len())
    }

    /// Nothing leaves while both try on.
    pub(crate) fn is_silent(&self, when: &str) -> Result<()> {
        let left = self.left_from(self.so_far()?)?;
        ensure!(left.of_host + left.of_container == 0, "{when}: {left:?} left");
        Ok(())
    }

    /// What has left since so many frames had been captured.
    pub(crate) fn left_since(&self, from: usize) -> Result<Left> {
        Ok(count(&self.capture.so_far()?[from..]))
    }

    fn left_from(&self, from: usize) -> Result<Left> {
        self.host.await_more(400)?;
        self.container.await_more(400)?;
        Ok(count(&self.capture.so_far()?[from..]))
    }

    /// Has somebody do something that takes rules away: it is repaired, `program` is named for it,
    /// nothing leaves any more, and the kernel holds the rules. Says what left meanwhile.
    pub(crate) fn repaired(&self, what: &str, command: &[&str], program: &str) -> Result<Left> {
        let (from, before) = (self.so_far()?, self.signals.repairs().len());
        let began = now();
        self.lab.host().succeed(command.iter().copied())?;
        wait_for(&format!("{what} is repaired"), SOON, || {
            Ok((self.signals.repairs().len() > before).then_some(()))
        })
        .with_context(|| self.agent.log())?;
        let returned = self.so_far()?;
        let frames = self.capture.so_far()?;
        let left = count(&frames[from..]);
        let last = frames[from..].iter().filter(|frame| is_to(frame, HOSTS) || is_to(frame, CONTAINERS));
        let last = last
            .map(|frame| frame.at)
            .max()
            .map_or(Duration::ZERO, |at| at.duration_since(began).unwrap_or_default());
        println!(
            "{what}: {} packets of the host's and {} of the container's left, the last {} ms after it began",
            left.of_host,
            left.of_container,
            last.as_millis()
        );
        let after = self.left_from(returned)?;
        ensure!(after.of_host + after.of_container == 0, "{what}: {after:?} left after the repair");
        let repairs = self.signals.repairs().split_off(before);
        let named = repairs.iter().any(|(_, by)| by.as_deref() == Some(program));
        ensure!(named, "{what}: {program} is not named: {repairs:?}");
        let verify = tunwarden(self.lab, ["verify"])?;
        ensure!(verify.status.success(), "{what}: {}", verify.stdout);
        Ok(left)
    }
}

fn count(frames: &[Frame]) -> Left {
    let to = |to| frames.iter().filter(|frame| is_to(frame, to)).count();
    Left { of_host: to(HOSTS), of_container: to(CONTAINERS) }
}

fn is_to(frame: &Frame, socket: &str) -> bool {
    let address = socket.split(':').next().and_then(|address| address.parse::<IpAddr>().ok());
    frame.destination() == address
}

#[expect(clippy::disallowed_methods, reason = "captured frames carry the clock's time")]
fn now() -> SystemTime {
    SystemTime::now()
}
