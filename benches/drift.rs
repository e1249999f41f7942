//! How soon the rules are back after somebody has taken them away, and what leaves meanwhile: `make bench`.
//!
//! A host floods, and the ISP's side captures. When the rules went and when they came back is the kernel's
//! own notice of it, heard here beside the agent; that they were read back and found whole is the agent's
//! word, by the same clock. Packets and the time between the first and the last are the capture's.
#![allow(clippy::disallowed_methods, reason = "this starts programs and reads the clock")]

mod figures;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use figures::{milliseconds, spread, spread_of};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tunwarden::netfilter::socket::{Changes, Heard};
use tunwarden_lab::{Capture, Flood, Frame, Lab, Process, wait_for, wait_until, with_lab};

const TUNWARDEN: &str = env!("CARGO_BIN_EXE_tunwarden");

/// How often each flush is made.
const RUNS: usize = 21;

/// Packets a second.
const RATE: u32 = 2000;

/// Where the host sends, and nothing else does.
const TARGET: &str = "203.0.113.9";

/// How long anything may take that takes a moment.
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

/// What came of one flush after the other.
#[derive(Debug, Default)]
struct Repairs {
    in_force: Vec<f64>,
    read_back: Vec<f64>,
    packets: Vec<f64>,
    /// Of those in which more than one packet left.
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
    capture.wait_for(20, SOON, is_clear).context("the control failed: without an agent they should leave")?;
    lab.host().file("/etc/tunwarden/config.toml", &format!("[firewall]\nbackend = \"nft\"\n{layers}\n"))?;
    let mut agent = lab.host().spawn([TUNWARDEN, "agent"])?;
    agent.wait_for_line("on the system bus", SOON)?;
    let ears = Ears::open(lab)?;
    let mut repairs = Repairs::default();
    for run in 0..RUNS {
        let from = silent(&capture, &flood)?;
        ears.forget();
        lab.host().succeed(flush.iter().copied())?;
        let read_back = told(&agent, run)?;
        let (changed, in_force) = ears.first_and_last(read_back)?;
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

/// Waits until nothing leaves although it is tried; says how many frames had been captured then.
fn silent(capture: &Capture, flood: &Flood) -> Result<usize> {
    wait_for("nothing leaves", SOON, || {
        let from = capture.so_far()?.len();
        flood.await_more(u64::from(RATE) / 5)?;
        let frames = capture.so_far()?;
        Ok((!frames[from..].iter().any(is_clear)).then_some(frames.len()))
    })
}

/// Waits for the repair that follows so many others; says when the agent told of it.
fn told(agent: &Process, before: usize) -> Result<SystemTime> {
    let line = wait_for("the repair", SOON, || {
        Ok(agent.log().lines().filter(|line| line.contains("repaired: ")).nth(before).map(ToOwned::to_owned))
    })
    .with_context(|| agent.log())?;
    let moment = line.split_whitespace().next().context("an empty line")?;
    let moment: jiff::Timestamp = moment.parse().with_context(|| line.clone())?;
    Ok(SystemTime::UNIX_EPOCH + Duration::try_from(moment.duration_since(jiff::Timestamp::UNIX_EPOCH))?)
}

/// The kernel's notices of changes, with the moments at which they were heard.
struct Ears {
    heard: Arc<Mutex<Vec<SystemTime>>>,
    over: Option<oneshot::Sender<()>>,
    listener: Option<JoinHandle<()>>,
}

impl Ears {
    fn open(lab: &Lab) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let changes = lab.host().enter(|| {
            let _inside = runtime.enter();
            Ok(Changes::listen()?)
        })?;
        let heard = Arc::<Mutex<Vec<SystemTime>>>::default();
        let (over, end) = oneshot::channel();
        let notes = Arc::clone(&heard);
        let listener = std::thread::spawn(move || listen(&runtime, &changes, &notes, end));
        Ok(Self { heard, over: Some(over), listener: Some(listener) })
    }

    fn forget(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The first change, which is the flush, and the last before a moment, which is the repair's.
    fn first_and_last(&self, before: SystemTime) -> Result<(SystemTime, SystemTime)> {
        let heard = || self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wait_until("the kernel's notices", SOON, || heard().len() > 1)?;
        let heard: Vec<SystemTime> = heard().into_iter().filter(|&at| at <= before).collect();
        ensure!(heard.len() > 1, "a repair without a change");
        Ok((heard[0], heard[heard.len() - 1]))
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        drop(self.over.take());
        let _ = self.listener.take().map(JoinHandle::join);
    }
}

fn listen(
    runtime: &Runtime,
    changes: &Changes,
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
                Ok(Heard::Changes(changes)) => changes.len(),
                Ok(Heard::Unknown) | Err(_) => 0,
            };
            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
            notes.extend(std::iter::repeat_n(SystemTime::now(), count));
        }
    });
}
