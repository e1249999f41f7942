//! A host and a container behind a bridge that send without pause, a capture at the ISP, and an agent.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Capture, ContainerFlood, Flood, Frame, Lab, Process, SystemBus, wait_for};

use crate::support::signals::Signals;
use crate::support::{SOON, agent, bus, tunwarden, verify_alone};

/// Packets per second of the host, and of the container.
const RATE: u32 = 2000;

/// The destination of the host's packets, and of the container's.
const HOSTS: &str = "203.0.113.9:5000";
const CONTAINERS: &str = "203.0.113.77:5000";

/// The two floods, the capture, and the agent.
pub(crate) struct FloodTest<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) agent: Process,
    pub(crate) signals: Signals,
    pub(crate) bus: SystemBus,
    capture: Capture,
    host: Flood,
    container: ContainerFlood,
}

/// Number of packets that left during an action.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) of_host: usize,
    pub(crate) of_container: usize,
}

impl<'a> FloodTest<'a> {
    /// Waits until both floods leave without an agent. Then starts the agent and checks that neither leaves.
    ///
    /// # Errors
    /// When the control fails, or the rules do not hold.
    pub(crate) fn begin(lab: &'a Lab, config: &str) -> Result<Self> {
        let capture = lab.capture()?;
        let host = lab.host().udp(HOSTS)?.from_user("nobody").tag("host").flood(RATE)?;
        let container = lab.host().bridged_container("container", "br-drift")?;
        let container = container.flood(CONTAINERS, "container", RATE)?;
        for (who, to) in [("host", HOSTS), ("container", CONTAINERS)] {
            let seen = capture.wait_for(20, SOON, |frame| is_to(frame, to));
            seen.with_context(|| format!("the control failed: the ISP does not see the {who}"))?;
        }
        let bus = bus(lab)?;
        let signals = Signals::listen(&bus)?;
        let agent = agent(lab, config)?;
        let test = Self { lab, agent, signals, bus, capture, host, container };
        wait_for("earlier packets have left", SOON, || {
            Ok((test.left_from(test.so_far()?)?.of_container == 0).then_some(()))
        })?;
        test.is_silent("the agent has begun")?;
        Ok(test)
    }

    /// Number of captured frames.
    pub(crate) fn so_far(&self) -> Result<usize> {
        Ok(self.capture.so_far()?.len())
    }

    /// Checks that no packet leaves while both floods continue.
    pub(crate) fn is_silent(&self, when: &str) -> Result<()> {
        let left = self.left_from(self.so_far()?)?;
        ensure!(left.of_host + left.of_container == 0, "{when}: {left:?} left");
        Ok(())
    }

    /// Checks that packets leave after a flush of everything, as they do when nobody owns a table any more.
    pub(crate) fn leaks_after_a_flush(&self, control: &str) -> Result<()> {
        let from = self.so_far()?;
        self.lab.host().succeed(["nft", "flush", "ruleset"])?;
        wait_for(control, SOON, || {
            let left = self.left_since(from)?;
            Ok((left.of_host > 20 && left.of_container > 20).then_some(()))
        })
    }

    /// What is in the capture after the first `from` frames.
    pub(crate) fn left_since(&self, from: usize) -> Result<Left> {
        Ok(count(&self.capture.so_far()?[from..]))
    }

    fn left_from(&self, from: usize) -> Result<Left> {
        self.host.await_more(400)?;
        self.container.await_more(400)?;
        Ok(count(&self.capture.so_far()?[from..]))
    }

    /// Runs a command that removes rules. Checks that the agent repairs them and names `program`, that no
    /// packet leaves afterwards, and that the kernel holds the rules. Returns what left before the repair.
    pub(crate) fn repaired(&self, what: &str, command: &[&str], program: &str) -> Result<Left> {
        let (from, before) = (self.so_far()?, self.signals.repairs().len());
        let began = now();
        self.lab.host().succeed(command.iter().copied())?;
        wait_for(&format!("{what} is repaired"), SOON, || {
            Ok((self.signals.repairs().len() > before).then_some(()))
        })
        .with_context(|| self.agent.log())?;
        // The first repair can come before the last step of the command.
        wait_for(&format!("{what}: the kernel holds the rules"), SOON, || {
            Ok(verify_alone(self.lab)?.status.success().then_some(()))
        })?;
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
        wait_for(&format!("{what}: {program} is named"), SOON, || {
            let repairs = self.signals.repairs().split_off(before);
            Ok(repairs.iter().any(|(_, by)| by.as_deref() == Some(program)).then_some(()))
        })
        .with_context(|| format!("{:?}", self.signals.repairs().split_off(before)))?;
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
