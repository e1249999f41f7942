//! How fast `lock`, a change of state and an idle agent are, as ratios within one run: `make bench`.
//!
//! Everything runs in the laboratory. The two sides of a ratio take turns, so that a machine whose speed changes gives
//! the same result. Nothing passes or fails here: the benchmark prints medians and spreads.
#![allow(clippy::disallowed_methods, reason = "this starts programs, reads the clock and touches files")]

mod figures;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use figures::{milliseconds, ratios, spread};
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{Lab, wait_for, with_lab};

const TUNWARDEN: &str = env!("CARGO_BIN_EXE_tunwarden");
const ARTICLE: &str = include_str!("../tests/data/article-host.sh");

/// Number of runs of each side of a comparison.
const RUNS: usize = 21;

/// Number of times that the VPN goes up and down.
const CYCLES: usize = 15;

fn main() -> Result<()> {
    println!("{} runs each, median (min to max)", RUNS);
    with_lab(lock_against_restore)?;
    with_lab(gap)?;
    with_lab(own_share)?;
    with_lab(idle)?;
    println!("release binary: {:.1} MB", megabytes(std::fs::metadata(TUNWARDEN)?.len()));
    Ok(())
}

/// `lock`, compared with the same rules by plain restores, and with the article's script.
fn lock_against_restore(lab: &Lab) -> Result<()> {
    let host = lab.host();
    host.file("/run/v4", &host.succeed([TUNWARDEN, "rules"])?)?;
    host.file("/run/v6", &host.succeed([TUNWARDEN, "rules", "--format", "ip6tables"])?)?;
    host.file_with_mode("/run/article.sh", ARTICLE, 0o755)?;
    let plain = "iptables-restore --noflush < /run/v4 && ip6tables-restore --noflush < /run/v6";
    let (mut ours, mut restores, mut article) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(from_clean(lab, &[TUNWARDEN, "lock"])?);
        restores.push(from_clean(lab, &["sh", "-c", plain])?);
        article.push(from_clean(lab, &["/run/article.sh"])?);
    }
    println!("lock:                    {}", spread(&ours));
    println!("two plain restores:      {}", spread(&restores));
    println!("the article's script:    {}", spread(&article));
    println!("lock / plain restores:   {}", ratios(&ours, &restores));
    println!("article's script / lock: {}", ratios(&article, &ours));
    Ok(())
}

/// Runs a command on a machine without rules. Returns how long it took, in milliseconds.
fn from_clean(lab: &Lab, command: &[&str]) -> Result<f64> {
    lab.host().succeed(["nft", "flush", "ruleset"])?;
    let began = Instant::now();
    lab.host().succeed(command.iter().copied())?;
    Ok(milliseconds(began.elapsed()))
}

/// How long packets still leave after `lock` starts on an open machine under a flood, compared with the article's
/// script.
fn gap(lab: &Lab) -> Result<()> {
    lab.host().file_with_mode("/run/article.sh", ARTICLE, 0o755)?;
    let (mut ours, mut article) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(last_in_clear(lab, &[TUNWARDEN, "lock"])?);
        article.push(last_in_clear(lab, &["/run/article.sh"])?);
    }
    println!("from the start of lock to the last packet in clear: {}", spread(&ours));
    println!("from the start of the article's script:             {}", spread(&article));
    println!("the article's script / lock:                        {}", ratios(&article, &ours));
    Ok(())
}

/// The time from the start of a command to the last packet of a flood that left, in milliseconds.
fn last_in_clear(lab: &Lab, command: &[&str]) -> Result<f64> {
    lab.host().succeed(["nft", "flush", "ruleset"])?;
    let capture = lab.capture()?;
    let flood = lab.host().udp("203.0.113.9:4000")?.tag("gap").flood(2000)?;
    flood.await_more(200)?;
    let began = SystemTime::now();
    lab.host().succeed(command.iter().copied())?;
    let locked = SystemTime::now();
    flood.await_more(400)?;
    flood.stop()?;
    let seen = capture.stop()?;
    let during = seen.iter().filter(|frame| frame.is_tagged("gap") && frame.at > began);
    let last = during.map(|frame| frame.at).max();
    ensure!(last.is_none_or(|last| last < locked), "a packet left after {command:?}");
    Ok(last.map_or(0.0, |last| milliseconds(last.duration_since(began).unwrap_or_default())))
}

/// The time from NetworkManager's signal to the rules in the kernel, without the restore itself.
fn own_share(lab: &Lab) -> Result<()> {
    let mut bus = lab.host().system_bus()?;
    bus.add_policy("org.tunwarden.Agent1.conf", include_str!("../dbus/org.tunwarden.Agent1.conf"))?;
    let server = lab.openvpn_server(ServerOptions::default())?;
    // A second profile, so that each change of state changes the rules.
    lab.host().file("/etc/tunwarden/config.toml", "[bootstrap]\nservers = [\"198.51.100.8\"]\n")?;
    let nm = lab.host().network_manager(&bus)?;
    nm.add_ethernet(&lab.uplinks()[0])?;
    nm.add_vpn("lab", &server)?;
    let mut agent = lab.host().spawn([TUNWARDEN, "agent", "--verbose"])?;
    agent.wait_for_line("on the system bus", Duration::from_secs(10))?;
    for _ in 0..CYCLES {
        nm.up("lab")?;
        reach(lab, "protected")?;
        nm.down("lab")?;
        reach(lab, "locked")?;
    }
    let log = agent.log();
    let (shares, restores) = shares(&log)?;
    println!("restore on a change of state:                    {}", spread(&restores));
    println!("from the event to the kernel without the restore: {}", spread(&shares));
    Ok(())
}

fn reach(lab: &Lab, state: &str) -> Result<()> {
    wait_for(state, Duration::from_secs(10), || {
        let status = lab.host().run([TUNWARDEN, "status", "--json"])?.stdout;
        Ok(status.contains(&format!("\"state\":\"{state}\"")).then_some(()))
    })
}

/// Reads each restore from the agent's log, and the event that caused it.
fn shares(log: &str) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut event = None;
    let (mut shares, mut restores) = (Vec::new(), Vec::new());
    for line in log.lines() {
        let Some(at) = line.split(' ').next().and_then(|at| at.parse::<jiff::Timestamp>().ok()) else {
            continue;
        };
        if line.contains(" event: ") {
            event = event.or(Some(at));
        } else if let Some((_, took)) = line.split_once(" restored ") {
            let micros = took.split(' ').rev().nth(1).context("no number of microseconds")?;
            let restore = micros.parse::<f64>()? / 1000.0;
            if let Some(began) = event.take() {
                shares.push(at.duration_since(began).as_secs_f64() * 1000.0 - restore);
                restores.push(restore);
            }
        } else if line.contains(" told") {
            event = None;
        }
    }
    Ok((shares, restores))
}

/// Memory and wake-ups of an idle agent.
fn idle(lab: &Lab) -> Result<()> {
    let mut bus = lab.host().system_bus()?;
    bus.add_policy("org.tunwarden.Agent1.conf", include_str!("../dbus/org.tunwarden.Agent1.conf"))?;
    let nm = lab.host().network_manager(&bus)?;
    nm.add_ethernet(&lab.uplinks()[0])?;
    let mut agent = lab.host().spawn([TUNWARDEN, "agent"])?;
    agent.wait_for_line("on the system bus", Duration::from_secs(10))?;
    // NetworkManager sends signals for a while after its start.
    std::thread::sleep(Duration::from_secs(12));
    let before = wakeups(agent.id())?;
    std::thread::sleep(Duration::from_secs(20));
    println!("idle for 20 s: {} wake-ups, {}", wakeups(agent.id())? - before, memory(agent.id())?);
    Ok(())
}

/// Number of voluntary context switches of the process: one for each wake-up.
fn wakeups(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    Ok(line.context("no such line in /proc")?.trim().parse()?)
}

fn memory(pid: u32) -> Result<String> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_owned();
    Ok(format!("{} resident ({} of it anonymous)", field("VmRSS:"), field("RssAnon:")))
}

fn megabytes(bytes: u64) -> f64 {
    // Exact below 2^53 bytes.
    bytes as f64 / 1e6
}
