//! How soon the agent restores the rules after another program has removed them, and what leaves until then: `make
//! bench`.
//!
//! The host floods, and the ISP's side captures. The kernel's own notifications show when the rules were removed and
//! when they were restored. This program receives these notifications as the agent does. The agent's log shows when it
//! had read the rules back, with the same clock. The capture gives the number of packets, and the time from the first
//! to the last.
#![allow(clippy::disallowed_methods, reason = "this starts programs and reads the clock")]

mod figures;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use figures::{milliseconds, spread, spread_of};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tunwarden::netfilter::socket::{Changes, Received};
use tunwarden_lab::{Capture, Flood, Frame, Lab, Process, wait_for, wait_until, with_lab};

const TUNWARDEN: &str = env!("CARGO_BIN_EXE_tunwarden");

/// Number of runs of each flush.
const RUNS: usize = 21;

/// Packets per second.
const RATE: u32 = 2000;

/// The address of the flood. Nothing else is sent there.
const TARGET: &str = "203.0.113.9";

/// How long a step may take before the benchmark fails.
const SOON: Duration = Duration::from_secs(10);

const LAYERS: [(&str, &str); 2] =
    [("one layer", "layers = [\"iptables\"]"), ("both layers", "layers = [\"iptables\", \"nftables\"]")];

const FLUSHES: [&[&str]; 3] =
    [&["iptables", "-w", "-F"], &["nft", "delete", "table", "ip", "filter"], &["nft", "flush", "ruleset"]];

fn main() -> Result<()> {
    println!("{RUNS} flushes each under a flood of {RATE} packets/s, median (min to max)");
    for (name, layers) in LAYERS {
        for flush in FLUSHES {
            with_lab(|lab| repairs(lab, layers, flush)?.print(&format!("{name}, {}", flush.join(" "))))?;
        }
    }
    Ok(())
}

/// The results of all runs of one flush.
#[derive(Debug, Default)]
struct Repairs {
    in_force: Vec<f64>,
    read_back: Vec<f64>,
    packets: Vec<f64>,
    /// Only of the runs in which more than one packet left.
    open: Vec<f64>,
}

impl Repairs {
    #[expect(clippy::unnecessary_wraps, reason = "the last step of a laboratory")]
    fn print(&self, what: &str) -> Result<()> {
        println!("{what}");
        println!("  from the change to the last rule in force: {}", spread(&self.in_force));
        println!("  from the change until it was read back:    {}", spread(&self.read_back));
        println!("  packets that left:                         {}", spread_of(&self.packets, "packets"));
        println!("  from the first of them to the last:        {}", spread(&self.open));
        Ok(())
    }
}

fn repairs(lab: &Lab, layers: &str, flush: &[&str]) -> Result<Repairs> {
    let mut bus = lab.host().system_bus()?;
    bus.add_policy("org.tunwarden.Agent1.conf", include_str!("../dbus/org.tunwarden.Agent1.conf"))?;
    let capture = lab.capture()?;
    let flood = lab.host().udp(&format!("{TARGET}:5000"))?.from_user("nobody").flood(RATE)?;
    capture
        .wait_for(20, SOON, is_clear)
        .context("the control failed: without an agent the packets should leave")?;
    lab.host().file("/etc/tunwarden/config.toml", &format!("[firewall]\nbackend = \"nft\"\n{layers}\n"))?;
    let mut agent = lab.host().spawn([TUNWARDEN, "agent"])?;
    agent.wait_for_line("on the system bus", SOON)?;
    let notices = Notices::subscribe(lab)?;
    let mut repairs = Repairs::default();
    for run in 0..RUNS {
        let from = silent(&capture, &flood)?;
        notices.forget();
        lab.host().succeed(flush.iter().copied())?;
        let read_back = repaired(&agent, run)?;
        let (changed, in_force) = notices.first_and_last(read_back)?;
        let frames = capture.so_far()?;
        let left: Vec<SystemTime> = frames[from..].iter().filter(|f| is_clear(f)).map(|f| f.at).collect();
        repairs.in_force.push(between(changed, in_force));
        repairs.read_back.push(between(changed, read_back));
        repairs.packets.push(left.len() as f64);
        if let [first, .., last] = left[..] {
            repairs.open.push(between(first, last));
        }
    }
    Ok(repairs)
}

fn is_clear(frame: &Frame) -> bool {
    frame.destination().is_some_and(|to| to.to_string() == TARGET)
}

fn between(from: SystemTime, to: SystemTime) -> f64 {
    milliseconds(to.duration_since(from).unwrap_or_default())
}

/// Waits until nothing leaves while the flood goes on. Returns the number of captured frames at that time.
fn silent(capture: &Capture, flood: &Flood) -> Result<usize> {
    wait_for("nothing leaves", SOON, || {
        let from = capture.so_far()?.len();
        flood.await_more(u64::from(RATE) / 5)?;
        let frames = capture.so_far()?;
        Ok((!frames[from..].iter().any(is_clear)).then_some(frames.len()))
    })
}

/// Waits for the repair after `before` others. Returns when the agent wrote it to its log.
fn repaired(agent: &Process, before: usize) -> Result<SystemTime> {
    let line = wait_for("the repair", SOON, || {
        Ok(agent.log().lines().filter(|line| line.contains("repaired: ")).nth(before).map(ToOwned::to_owned))
    })
    .with_context(|| agent.log())?;
    let moment = line.split_whitespace().next().context("an empty line")?;
    let moment: jiff::Timestamp = moment.parse().with_context(|| line.clone())?;
    Ok(SystemTime::UNIX_EPOCH + Duration::try_from(moment.duration_since(jiff::Timestamp::UNIX_EPOCH))?)
}

/// The kernel's notifications of changes, with the times at which they were received.
struct Notices {
    heard: Arc<Mutex<Vec<SystemTime>>>,
    over: Option<oneshot::Sender<()>>,
    listener: Option<JoinHandle<()>>,
}

impl Notices {
    fn subscribe(lab: &Lab) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut changes = lab.host().enter(|| {
            let _inside = runtime.enter();
            Ok(Changes::listen()?)
        })?;
        let heard = Arc::<Mutex<Vec<SystemTime>>>::default();
        let (over, end) = oneshot::channel();
        let notes = Arc::clone(&heard);
        let listener = std::thread::spawn(move || listen(&runtime, &mut changes, &notes, end));
        Ok(Self { heard, over: Some(over), listener: Some(listener) })
    }

    fn forget(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The first change, which is the flush, and the last one before a moment, which is the repair.
    fn first_and_last(&self, before: SystemTime) -> Result<(SystemTime, SystemTime)> {
        let heard = || self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wait_until("the kernel's notifications", SOON, || heard().len() > 1)?;
        let heard: Vec<SystemTime> = heard().into_iter().filter(|&at| at <= before).collect();
        ensure!(heard.len() > 1, "a repair without a change");
        Ok((heard[0], heard[heard.len() - 1]))
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        drop(self.over.take());
        let _ = self.listener.take().map(JoinHandle::join);
    }
}

fn listen(
    runtime: &Runtime,
    changes: &mut Changes,
    notes: &Mutex<Vec<SystemTime>>,
    mut end: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        loop {
            let heard = tokio::select! {
                heard = changes.next() => heard,
                _ = &mut end => return,
            };
            let count = match heard {
                Ok(Received::Changes(changes, _)) => changes.len(),
                Ok(Received::Unknown) | Err(_) => 0,
            };
            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
            notes.extend(std::iter::repeat_n(SystemTime::now(), count));
        }
    });
}
