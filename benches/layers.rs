//! What both layers cost a packet of the host, as ratios within one run: `make bench`.
//!
//! The packet goes over the uplink to a VPN server that root may reach, so it passes the tables of iptables, those of
//! nftables and the one on the wire. The benchmark measures the same packet with the article's own rules, and with no
//! rules.
#![allow(clippy::disallowed_methods, reason = "this starts programs and reads the clock")]

mod figures;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use figures::{ratios, spread_of};
use tunwarden_lab::{Lab, with_lab};

const TUNWARDEN: &str = env!("CARGO_BIN_EXE_tunwarden");
const ARTICLE: &str = include_str!("../tests/data/article-host.sh");

/// Number of runs of each side of a comparison.
const RUNS: usize = 7;

/// Number of small packets in one run.
const PACKETS: u64 = 50_000;

/// Number of questions and answers in one run.
const ROUNDS: u32 = 2_000;

const SERVER: &str = "198.51.100.7:1194";

/// The rules that the packet passes, in the order of the turns. Before kernel 6.9 the agent owns a copy of the tables.
const RULE_SETS: [&str; 5] =
    ["no rules", "the article's rules", "iptables alone", "both layers", "both layers and a copy"];

fn main() -> Result<()> {
    println!("{RUNS} runs each, median (min to max)");
    with_lab(|lab| {
        lab.host().file_with_mode("/run/article.sh", ARTICLE, 0o755)?;
        let _echo = lab.isp().udp_echo(SERVER)?;
        let mut throughput: [Vec<f64>; 5] = Default::default();
        let mut latency: [Vec<f64>; 5] = Default::default();
        for _ in 0..RUNS {
            for (side, name) in RULE_SETS.into_iter().enumerate() {
                put_in_force(lab, name)?;
                latency[side].push(microseconds(lab)?);
                throughput[side].push(packets_a_second(lab)?);
            }
        }
        for (side, name) in RULE_SETS.into_iter().enumerate() {
            println!("sent, 64 bytes each, {name}: {}", spread_of(&throughput[side], "packets/s"));
            println!("question and answer, {name}: {}", spread_of(&latency[side], "µs"));
        }
        for (side, than) in [(3, 0), (3, 1), (3, 2), (4, 3)] {
            let names = format!("{} / {}", RULE_SETS[side], RULE_SETS[than]);
            println!("packets/s, {names}: {}", ratios(&throughput[side], &throughput[than]));
            println!("answer, {names}:    {}", ratios(&latency[side], &latency[than]));
        }
        Ok(())
    })
}

/// Removes all rules and puts these in force.
fn put_in_force(lab: &Lab, name: &str) -> Result<()> {
    let host = lab.host();
    host.succeed(["nft", "flush", "ruleset"])?;
    let config = |layers: &str| {
        format!("[bootstrap]\nservers = [\"{SERVER}/udp\"]\n[firewall]\nlayers = [{layers}]\n")
    };
    let lock = |layers| {
        host.file("/etc/tunwarden/config.toml", &config(layers))?;
        host.succeed([TUNWARDEN, "lock"]).map(drop)
    };
    match name {
        "the article's rules" => host.succeed(["/run/article.sh"]).map(drop),
        "iptables alone" => lock("\"iptables\""),
        "both layers" => lock("\"iptables\", \"nftables\""),
        "both layers and a copy" => {
            lock("\"iptables\", \"nftables\"")?;
            for family in ["inet", "netdev"] {
                let table = host.succeed(["nft", "list", "table", family, "tunwarden"])?;
                let copy = table.replacen("tunwarden", "tunwarden_copy", 1);
                host.command(["nft", "-f", "-"]).stdin(&copy).succeed()?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn client(lab: &Lab) -> Result<UdpSocket> {
    lab.host().enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(SERVER)?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        Ok(socket)
    })
}

/// The median time from a question to its answer, in microseconds.
fn microseconds(lab: &Lab) -> Result<f64> {
    let socket = client(lab)?;
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        socket.send(&[0; 64])?;
        socket.recv(&mut [0; 128]).context("the server does not answer")?;
        took.push(began.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    Ok(took[took.len() / 2])
}

/// Number of packets that the ISP's end of the link has received so far.
fn received(lab: &Lab) -> Result<u64> {
    let link = lab.uplinks()[0].isp_end.clone();
    let text = lab.isp().succeed(["ip", "-statistics", "-json", "link", "show", &link])?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    links[0]["stats64"]["rx"]["packets"].as_u64().with_context(|| format!("no count: {text}"))
}

fn packets_a_second(lab: &Lab) -> Result<f64> {
    let socket = client(lab)?;
    let before = received(lab)?;
    let began = Instant::now();
    for _ in 0..PACKETS {
        socket.send(&[0; 64])?;
    }
    let took = began.elapsed();
    let through = received(lab)? - before;
    ensure!(through > PACKETS / 2, "only {through} of {PACKETS} came through");
    Ok(through as f64 / took.as_secs_f64())
}
