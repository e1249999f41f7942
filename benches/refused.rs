//! What a flood of refused packets costs: the rules that log for the agent, the agent itself, and `status`: `make
//! bench`. It fails if a median does not keep its limit.
//!
//! The sides of a comparison take turns, so that a machine whose speed changes gives the same result.
#![allow(clippy::disallowed_methods, reason = "this starts programs, reads the clock and touches files")]

mod figures;

use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use figures::{Missed, median, median_ratio, milliseconds, ratios, spread, spread_of};
use tunwarden::netfilter::nflog_socket::Lines;
use tunwarden::netfilter::senders::Senders;
use tunwarden::policy::LOG_GROUP;
use tunwarden_lab::{Lab, with_lab};

const TUNWARDEN: &str = env!("CARGO_BIN_EXE_tunwarden");

/// Number of runs of each side of a comparison.
const RUNS: usize = 11;

/// Number of packets in a run in which the sender sends as fast as it can.
const PACKETS: u64 = 100_000;

/// Number of connections in a run in which a program opens them as fast as it can.
const CONNECTIONS: u32 = 20_000;

/// Packets per second of the flood whose log lines the agent receives.
const FLOOD: u32 = 50_000;

/// How often the flood sends, and how many packets at once.
const FLOOD_INTERVAL: Duration = Duration::from_millis(1);
const AT_ONCE: u32 = FLOOD / 1000;

/// How long a run measures the agent's processor time.
const MEASURE_TIME: Duration = Duration::from_secs(3);

/// Number of calls of `status` in one run.
const CALLS: usize = 5;

/// Number of ticks in a second of the times in /proc (`USER_HZ`).
const TICKS: f64 = 100.0;

const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n";

/// Targets that five rules refuse, each for another reason. The flood sends to one after the other, each time to
/// another port.
const REFUSED: [&str; 5] = ["203.0.113.9", "10.77.0.1", "239.1.2.3", "198.51.100.7", "203.0.113.10"];

/// A target that no rule refuses.
const ALLOWED: [&str; 1] = ["127.0.0.1"];

/// Removes the rules that log for the agent. The others stay.
const WITHOUT_LINES: &str = "
    iptables-save > /run/v4
    grep -q NFLOG /run/v4
    grep -v NFLOG /run/v4 | iptables-restore
    for family in inet netdev; do
        nft list table $family tunwarden > /run/table
        grep -q 'log prefix' /run/table
        nft delete table $family tunwarden
        grep -v 'log prefix' /run/table | nft -f -
    done";

/// The least rate with lines, as a share of the rate without them.
const LEAST_RATE: f64 = 0.9;

/// The largest share of one core for the agent under the flood, in percent.
const LARGEST_SHARE: f64 = 5.0;

/// The longest time of `status` under the flood, as a share of its time under a flood that nothing refuses. Both floods
/// keep a processor busy.
const LONGEST_STATUS: f64 = 1.5;

/// The least rate of the flood, in packets per second. A slower one proves nothing.
const LEAST_FLOOD: f64 = FLOOD as f64 * 0.9;

fn main() -> Result<()> {
    println!("{RUNS} runs each, median (min to max)");
    let mut missed = Missed::default();
    with_lab(|lab| refusing(lab, &mut missed))?;
    with_lab(|lab| opening(lab, &mut missed))?;
    with_lab(|lab| agent(lab, &mut missed))?;
    missed.result()
}

/// Refused packets per second of the sender's processor time, with the rules that log for the agent and the table of senders,
/// and without both.
fn refusing(lab: &Lab, missed: &mut Missed) -> Result<()> {
    let host = lab.host();
    host.file("/etc/tunwarden/config.toml", KNOWN)?;
    // The kernel gives the lines to this socket, as it gives them to the agent's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _heard = host.enter(|| {
        let _context = runtime.enter();
        Ok(Lines::listen(LOG_GROUP)?)
    })?;
    let program = host.udp("203.0.113.9:4000")?.from_user("nobody").count(PACKETS).tag("refused");
    let raw = host.raw("eth0", "203.0.113.9:4000")?.count(PACKETS).tag("refused");
    let mut rates: [[Vec<f64>; 2]; 2] = Default::default();
    let before = received(lab)?;
    for _ in 0..RUNS {
        for side in [0, 1] {
            host.succeed(["nft", "flush", "ruleset"])?;
            host.succeed([TUNWARDEN, "lock"])?;
            if side == 1 {
                host.succeed(["sh", "-ec", WITHOUT_LINES])?;
            }
            let _noted = noted(lab, side == 0)?;
            for (sender, rates) in [&program, &raw].into_iter().zip(&mut rates) {
                rates[side].push(PACKETS as f64 / sender.burst()?.as_secs_f64());
            }
        }
    }
    let left = received(lab)? - before;
    ensure!(left < PACKETS / 10, "{left} packets left");
    for (sender, [with, without]) in ["a program", "a raw sender"].into_iter().zip(&rates) {
        println!("refused, {sender}, with lines:    {}", spread_of(with, "packets/s"));
        println!("refused, {sender}, without lines: {}", spread_of(without, "packets/s"));
        println!("refused, {sender}, with / without: {}", ratios(with, without));
        missed.at_least(
            LEAST_RATE,
            &format!("refused, {sender}, with / without"),
            median_ratio(with, without),
        );
    }
    Ok(())
}

/// The table in which the kernel notes who opens a connection.
fn noted(lab: &Lab, is_wanted: bool) -> Result<Option<Senders>> {
    is_wanted.then(|| lab.host().enter(|| Ok(Senders::make()?))).transpose()
}

/// Refused connections of TCP in a second, with the table of senders and without it.
fn opening(lab: &Lab, missed: &mut Missed) -> Result<()> {
    lab.host().file("/etc/tunwarden/config.toml", KNOWN)?;
    lab.host().succeed([TUNWARDEN, "lock"])?;
    let mut rates: [Vec<f64>; 2] = Default::default();
    for _ in 0..RUNS {
        for (side, rates) in rates.iter_mut().enumerate() {
            let _noted = noted(lab, side == 0)?;
            rates.push(lab.host().enter(open)?);
        }
    }
    let [with, without] = &rates;
    println!("refused connections, with the table:    {}", spread_of(with, "connections/s"));
    println!("refused connections, without the table: {}", spread_of(without, "connections/s"));
    println!("refused connections, with / without:    {}", ratios(with, without));
    missed.at_least(LEAST_RATE, "refused connections, with / without", median_ratio(with, without));
    Ok(())
}

/// Opens [`CONNECTIONS`], each of which is refused. Returns how many in a second.
fn open() -> Result<f64> {
    let began = Instant::now();
    for _ in 0..CONNECTIONS {
        ensure!(TcpStream::connect("203.0.113.9:443").is_err(), "it is not refused");
    }
    Ok(f64::from(CONNECTIONS) / began.elapsed().as_secs_f64())
}

/// Number of packets that the ISP's end of the link has received so far.
fn received(lab: &Lab) -> Result<u64> {
    let link = lab.uplinks()[0].isp_end.clone();
    let text = lab.isp().succeed(["ip", "-statistics", "-json", "link", "show", &link])?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    links[0]["stats64"]["rx"]["packets"].as_u64().with_context(|| format!("no count: {text}"))
}

/// Measures the agent's share of one core, and how long `status` takes, during the flood and during a flood that no
/// rule refuses.
fn agent(lab: &Lab, missed: &mut Missed) -> Result<()> {
    let mut bus = lab.host().system_bus()?;
    bus.add_policy("org.tunwarden.Agent1.conf", include_str!("../dbus/org.tunwarden.Agent1.conf"))?;
    lab.host().file("/etc/tunwarden/config.toml", KNOWN)?;
    let mut agent = lab.host().spawn([TUNWARDEN, "agent"])?;
    agent.wait_for_line("on the system bus", Duration::from_secs(60))?;
    let (mut idle, mut shares, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    let (mut quiet, mut allowed, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        idle.push(share(agent.id())?);
        quiet.push(status(lab)?);
        allowed.push(flooded(lab, &ALLOWED, || status(lab))?.0);
        let ((share, took), rate) = flooded(lab, &REFUSED, || Ok((share(agent.id())?, status(lab)?)))?;
        shares.push(share);
        refused.push(took);
        rates.push(rate);
    }
    let groups = lab.host().succeed([TUNWARDEN, "blocked", "--json"])?;
    ensure!(groups.contains("no-vpn") && groups.contains("not-on-link"), "the agent heard nothing: {groups}");
    println!("the flood:                                  {}", spread_of(&rates, "packets/s"));
    println!("the agent's share of one core, idle:        {}", spread_of(&idle, "%"));
    println!("the agent's share under the flood:          {}", spread_of(&shares, "%"));
    println!("status, quiet:                              {}", spread(&quiet));
    println!("status, a flood that nothing refuses:       {}", spread(&allowed));
    println!("status, a flood that is refused:            {}", spread(&refused));
    println!("status, refused flood / quiet:              {}", ratios(&refused, &quiet));
    println!("status, refused flood / flood let through:  {}", ratios(&refused, &allowed));
    missed.at_least(LEAST_FLOOD, "the flood in packets/s", median(&rates));
    missed.at_most(LARGEST_SHARE, "the agent's share of one core in percent", median(&shares));
    missed.at_most(
        LONGEST_STATUS,
        "status, refused flood / flood let through",
        median_ratio(&refused, &allowed),
    );
    Ok(())
}

/// Runs `act` while a thread floods these targets. Also returns the packets per second.
fn flooded<T>(lab: &Lab, targets: &[&str], act: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let (host, over) = (lab.host(), &AtomicBool::new(false));
    thread::scope(|scope| {
        let flood = scope.spawn(move || host.enter(|| flood_targets(targets, over)));
        let done = act();
        over.store(true, Ordering::Release);
        let rate = flood.join().map_err(|_| anyhow!("the flood panicked"))??;
        Ok((done?, rate))
    })
}

/// Sends to the targets in turn until `over` is set, at the rate of [`FLOOD`]. Returns the packets per second.
fn flood_targets(targets: &[&str], over: &AtomicBool) -> Result<f64> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let targets: Vec<std::net::IpAddr> =
        targets.iter().map(|target| target.parse()).collect::<Result<_, _>>()?;
    let began = Instant::now();
    let mut tried: u32 = 0;
    while !over.load(Ordering::Acquire) {
        for _ in 0..AT_ONCE {
            let target = targets[tried as usize % targets.len()];
            let port = 1000 + u16::try_from(tried / 5 % 60_000)?;
            // The firewall should refuse it.
            let _ = socket.send_to(&[0; 64], (target, port));
            tried += 1;
        }
        let due = began + FLOOD_INTERVAL * (tried / AT_ONCE);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(f64::from(tried) / began.elapsed().as_secs_f64())
}

/// The share of one core that the process takes during [`MEASURE_TIME`], in percent.
fn share(pid: u32) -> Result<f64> {
    let (began, before) = (Instant::now(), ticks(pid)?);
    thread::sleep(MEASURE_TIME);
    Ok((ticks(pid)? - before) / TICKS / began.elapsed().as_secs_f64() * 100.0)
}

/// The processor time of all threads of a process, in ticks.
fn ticks(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc")?;
    // utime and stime, after the state and ten other fields.
    let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(times.collect::<Result<Vec<_>, _>>()?.into_iter().sum())
}

/// The median time of a call of `status`, in milliseconds.
fn status(lab: &Lab) -> Result<f64> {
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let began = Instant::now();
        // The exit code says that no VPN is connected.
        let output = lab.host().run([TUNWARDEN, "status", "--json"])?;
        took.push(milliseconds(began.elapsed()));
        ensure!(output.stdout.contains("\"locked\""), "{output:?}");
    }
    took.sort_by(f64::total_cmp);
    Ok(took[CALLS / 2])
}
