//! What ten thousand servers cost, compared with ten, as ratios within one run: `make bench`.
#![allow(clippy::disallowed_methods, reason = "this starts programs, reads the clock and touches files")]

mod figures;

use std::net::UdpSocket;
use std::time::Instant;

use anyhow::{Result, ensure};
use figures::{milliseconds, ratios, spread, spread_of};
use tunwarden_lab::{Lab, with_lab};

const TUNWARDEN: &str = env!("CARGO_BIN_EXE_tunwarden");

/// Number of runs of each side of a comparison.
const RUNS: usize = 21;

/// Number of packets in one run. The rules judge each packet by itself.
const PACKETS: u32 = 100_000;

/// The same when each packet passes ten thousand rules.
const PACKETS_BY_RULES: u32 = 1_000;

const FEW: usize = 10;
const MANY: usize = 10_000;

/// The server that the packets go to. It is the last one of the list, so with a rule for each server its packet passes
/// all of them.
const LAST: &str = "198.51.100.7:1194";

fn main() -> Result<()> {
    println!("{RUNS} runs each, median (min to max)");
    with_lab(packets)?;
    with_lab(locks)
}

/// A configuration with `count` servers, [`LAST`] after all others.
fn config(count: usize) -> String {
    let others = (0..count - 1).map(|n| format!("\"198.18.{}.{}\",\n", n / 250, n % 250 + 1));
    format!("[bootstrap]\nservers = [{}\"198.51.100.7\"]\n", others.collect::<String>())
}

/// What a packet of root to a known server costs.
fn packets(lab: &Lab) -> Result<()> {
    let (mut few, mut many, mut rules) = (Vec::new(), Vec::new(), Vec::new());
    let plain = without_sets(lab)?;
    for _ in 0..RUNS {
        few.push(with(lab, FEW)?);
        many.push(with(lab, MANY)?);
        lab.host().command(["iptables-restore", "--noflush"]).stdin(&plain).succeed()?;
        rules.push(a_packet(lab, PACKETS_BY_RULES)?);
    }
    println!("a packet to a server, of {FEW}:                {}", spread_of(&few, "µs"));
    println!("a packet to a server, of {MANY}:             {}", spread_of(&many, "µs"));
    println!("the same, with a rule for each of {MANY}:    {}", spread_of(&rules, "µs"));
    println!("a packet, of {MANY} / of {FEW}:                {}", ratios(&many, &few));
    println!("a packet, {MANY} rules / a set of them:     {}", ratios(&rules, &many));
    Ok(())
}

fn with(lab: &Lab, count: usize) -> Result<f64> {
    lock(lab, count)?;
    a_packet(lab, PACKETS)
}

/// The chain with a rule for each server instead of a set.
fn without_sets(lab: &Lab) -> Result<String> {
    let rule = |n: usize| {
        let (high, low) = (n / 250, n % 250 + 1);
        format!("-A VPN_BOOTSTRAP -d 198.18.{high}.{low}/32 -p udp -m udp --dport 1194 -j VPN_OWNER\n")
    };
    let others: String = (0..MANY - 1).map(rule).collect();
    let last = "-A VPN_BOOTSTRAP -d 198.51.100.7/32 -p udp -m udp --dport 1194 -j VPN_OWNER\n";
    ensure!(
        lab.host().succeed([TUNWARDEN, "rules"])?.contains(":VPN_BOOTSTRAP"),
        "the chain's name has changed"
    );
    Ok(format!("*filter\n:VPN_BOOTSTRAP - [0:0]\n{others}{last}COMMIT\n"))
}

/// The time for one packet in microseconds.
fn a_packet(lab: &Lab, packets: u32) -> Result<f64> {
    let took = lab.host().enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(LAST)?;
        let (began, mut sent) = (Instant::now(), 0);
        for _ in 0..packets {
            // No program listens there. Errors that say so do not matter.
            sent += u32::from(socket.send(&[0; 64]).is_ok());
        }
        ensure!(sent > packets / 2, "only {sent} of {packets} were let out");
        Ok(began.elapsed())
    })?;
    Ok(milliseconds(took) * 1000.0 / f64::from(packets))
}

fn lock(lab: &Lab, count: usize) -> Result<()> {
    lab.host().file("/etc/tunwarden/config.toml", &config(count))?;
    lab.host().succeed([TUNWARDEN, "lock"]).map(drop)
}

/// Loads the sets of both layers at the same time, as a lock does.
const LOAD: &str = "ipset -exist restore < /run/set & nft -f /run/sets.nft & wait";

/// The same, and reads them back as a lock does.
const LOAD_AND_READ: &str = "\
    { ipset -exist restore < /run/set; ipset save; } > /dev/null &\
    { nft -f /run/sets.nft; nft -y -p list table inet tunwarden & nft -y -p list table netdev tunwarden; \
      wait; } > /dev/null & wait";

/// Measures a lock on a machine without rules, and the loading of the sets alone.
fn locks(lab: &Lab) -> Result<()> {
    let (mut few, mut many, mut loads, mut reads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    lab.host().file("/etc/tunwarden/config.toml", &config(MANY))?;
    let rules = |format| lab.host().succeed([TUNWARDEN, "rules", "--format", format]);
    lab.host().file("/run/set", &rules("ipset")?)?;
    lab.host().file("/run/sets.nft", &sets_alone(&rules("nft")?))?;
    for _ in 0..RUNS {
        for (count, took) in [(FEW, &mut few), (MANY, &mut many)] {
            lab.host().file("/etc/tunwarden/config.toml", &config(count))?;
            took.push(from_clean(lab, &[TUNWARDEN, "lock"])?);
        }
        loads.push(from_clean(lab, &["sh", "-c", LOAD])?);
        reads.push(from_clean(lab, &["sh", "-c", LOAD_AND_READ])?);
    }
    let less = |sets: &[f64]| -> Vec<f64> { many.iter().zip(sets).map(|(many, set)| many - set).collect() };
    println!("lock with {FEW} servers:                          {}", spread(&few));
    println!("lock with {MANY} servers:                       {}", spread(&many));
    println!("loading the sets of {MANY} alone:               {}", spread(&loads));
    println!("loading them and reading them back:            {}", spread(&reads));
    println!("lock of {MANY} less the loading / lock of {FEW}:  {}", ratios(&less(&loads), &few));
    println!("the same less loading and reading back:        {}", ratios(&less(&reads), &few));
    Ok(())
}

/// Only the tables and their sets, from the text for nftables.
fn sets_alone(text: &str) -> String {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        inside |= line.starts_with("\tset ");
        let keep = inside || !line.starts_with('\t');
        inside &= *line != "\t}";
        keep
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// Runs a command on a machine without rules or sets. Returns how long it took, in milliseconds.
fn from_clean(lab: &Lab, command: &[&str]) -> Result<f64> {
    lab.host().succeed(["sh", "-c", "nft flush ruleset; ipset destroy"])?;
    let began = Instant::now();
    lab.host().succeed(command.iter().copied())?;
    Ok(milliseconds(began.elapsed()))
}
