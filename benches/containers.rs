//! What our rules cost a container, as ratios within one run: `make bench`.
//!
//! A real Docker makes the container, the bridge and its own rules. The benchmark measures packets through a real
//! OpenVPN, as a user has it, and packets over a link with a tunnel's name that costs nothing. OpenVPN's own work would
//! hide the work of the firewall.
#![allow(clippy::disallowed_methods, reason = "this starts programs, reads the clock and touches files")]

mod figures;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use figures::{milliseconds, ratios, spread, spread_of};
use nix::sched::{CloneFlags, setns};
use tunwarden_lab::openvpn::{ClientOptions, READY, ServerOptions};
use tunwarden_lab::{Docker, Engine, Lab, Uplink, guard, wait_for, with_lab};

const TUNWARDEN: &str = env!("CARGO_BIN_EXE_tunwarden");

/// Number of runs of each side of a comparison.
const RUNS: usize = 11;

/// The same for packets. Each turn is short, so that other work of the machine slows both sides equally.
const TURNS: usize = 61;

/// Number of small packets in one run over UDP. The rules judge each packet by itself.
const PACKETS: u64 = 50_000;

/// Number of bytes in one run over TCP, in packets as large as the links allow.
const BYTES: usize = 1 << 28;

/// The same through a tunnel. Both of its ends encrypt on this machine.
const BYTES_THROUGH_OPENVPN: usize = 1 << 24;

/// The address that containers send to. The ISP answers for it.
const TARGET: &str = "203.0.113.9";

/// Number of bridges besides Docker's own.
const MANY: u32 = 200;

fn main() -> Result<()> {
    println!("both sides in turn, median (min to max)");
    with_lab(through_openvpn)?;
    with_lab(forwarding)?;
    with_lab(bridges)
}

/// What arrives at the other end with our rules and Docker's, compared with Docker's alone.
fn forwarding(lab: &Lab) -> Result<()> {
    // Makes the rules before the link exists: if it existed, the rules would refuse it, because it is a veth with a
    // tunnel's name.
    rules(lab, "tun9")?;
    lab.add_uplink(Uplink::numbered("tun9", 1))?;
    let target = format!("{TARGET}/32");
    lab.host().succeed(["ip", "route", "replace", &target, "via", "10.0.1.1", "dev", "tun9"])?;
    let docker = sender(lab)?;
    let (mut packets, mut bytes) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    each_in_turn(lab, |side| {
        packets[side].push(packets_a_second(lab, &docker)?);
        bytes[side].push(bytes_a_second(lab, &docker, BYTES)?);
        Ok(())
    })?;
    let [docker, ours] = packets;
    println!("forwarded, 64 bytes each, Docker's rules: {}", spread_of(&docker, "packets/s"));
    println!("forwarded, 64 bytes each, with ours too:  {}", spread_of(&ours, "packets/s"));
    println!("small packets, ours / Docker's alone:     {}", ratios(&ours, &docker));
    print("over TCP", &bytes);
    Ok(())
}

/// The same through a real tunnel.
fn through_openvpn(lab: &Lab) -> Result<()> {
    rules(lab, "tun0")?;
    let server = lab.openvpn_server(ServerOptions::default())?;
    let mut client = lab.host().openvpn_client(&ClientOptions::of(&server))?;
    client.wait_for_line(READY, Duration::from_secs(30))?;
    let docker = sender(lab)?;
    let mut bytes = [Vec::new(), Vec::new()];
    each_in_turn(lab, |side| {
        bytes[side].push(bytes_a_second(lab, &docker, BYTES_THROUGH_OPENVPN)?);
        Ok(())
    })?;
    print("through OpenVPN", &bytes);
    Ok(())
}

/// Writes our rules to a file, in the order that they have after a machine has started: Docker's jumps come before ours
/// in filter `FORWARD`.
fn rules(lab: &Lab, tunnel: &str) -> Result<()> {
    let rules = lab.host().succeed([TUNWARDEN, "rules", "--state", "protected", "--tunnel", tunnel])?;
    let (first, filters_end) = ("-I FORWARD 1 -j DOCKER_VPN_KILL_SWITCH", "COMMIT\n*mangle");
    let started = rules.replacen(
        &format!("{first}\n{filters_end}"),
        &format!("-A FORWARD -j DOCKER_VPN_KILL_SWITCH\n{filters_end}"),
        1,
    );
    ensure!(started != rules, "the order of the rules has changed");
    lab.host().file("/run/rules", &started).map(drop)
}

/// A container that does nothing. The measurements run in its network.
fn sender(lab: &Lab) -> Result<Docker> {
    let docker = lab.host().docker(Engine::System, [])?;
    docker.run(["--name", "sender", "lab", "sleep", "10000"])?;
    Ok(docker)
}

/// Measures with Docker's rules alone (0) and with ours in addition (1), [`TURNS`] times each.
fn each_in_turn(lab: &Lab, mut measure: impl FnMut(usize) -> Result<()>) -> Result<()> {
    for turn in 0..TURNS {
        // The sides take turns at being second, because the second one runs with warm caches.
        for side in [turn % 2, (turn + 1) % 2] {
            if side == 0 {
                lab.host().succeed([TUNWARDEN, "release", "--yes"])?;
            } else {
                lab.host().succeed(["sh", "-c", "iptables-restore --noflush < /run/rules"])?;
            }
            measure(side)?;
        }
    }
    Ok(())
}

fn print(how: &str, [docker, ours]: &[Vec<f64>; 2]) {
    println!("forwarded {how}, Docker's rules: {}", spread_of(docker, "MB/s"));
    println!("forwarded {how}, with ours too:  {}", spread_of(ours, "MB/s"));
    println!("{how}, ours / Docker's alone:    {}", ratios(ours, docker));
}

/// Runs `act` in the container's network.
fn inside<T: Send>(lab: &Lab, docker: &Docker, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pid = docker.cli(["inspect", "--format", "{{.State.Pid}}", "sender"])?;
    let network = File::open(lab.host().outside(format!("/proc/{pid}/ns/net")))?;
    lab.host().enter(|| {
        setns(network, CloneFlags::CLONE_NEWNET)?;
        guard::refuse_own_namespace_of_thread()?;
        act()
    })
}

/// Number of packets that the ISP's end of the link has received so far.
fn received(lab: &Lab) -> Result<u64> {
    let link = lab.uplinks()[1].isp_end.clone();
    let text = lab.isp().succeed(["ip", "-statistics", "-json", "link", "show", &link])?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    links[0]["stats64"]["rx"]["packets"].as_u64().with_context(|| format!("no count: {text}"))
}

fn packets_a_second(lab: &Lab, docker: &Docker) -> Result<f64> {
    let before = received(lab)?;
    let took = inside(lab, docker, || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((TARGET, 4000))?;
        let began = Instant::now();
        for _ in 0..PACKETS {
            // No program listens there. Errors that say so do not matter.
            let _ = socket.send(&[0; 64]);
        }
        Ok(began.elapsed())
    })?;
    let through = received(lab)? - before;
    ensure!(through > PACKETS / 2, "only {through} of {PACKETS} came through");
    Ok(through as f64 / took.as_secs_f64())
}

fn bytes_a_second(lab: &Lab, docker: &Docker, bytes: usize) -> Result<f64> {
    let listener = lab.isp().enter(|| Ok(TcpListener::bind((TARGET, 5000))?))?;
    let sink = std::thread::spawn(move || -> Result<usize> {
        let (mut stream, _) = listener.accept()?;
        let (mut buffer, mut total) = (vec![0; 1 << 18], 0);
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(total),
                length => total += length,
            }
        }
    });
    let began = Instant::now();
    inside(lab, docker, || {
        let mut stream = TcpStream::connect((TARGET, 5000))?;
        let chunk = vec![0; 1 << 18];
        for _ in 0..bytes / chunk.len() {
            stream.write_all(&chunk)?;
        }
        Ok(())
    })?;
    let total = sink.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))??;
    Ok(total as f64 / 1e6 / began.elapsed().as_secs_f64())
}

/// What a network costs, with few networks and with many: the number of rules, and the time until the agent has
/// repaired what another program changed.
fn bridges(lab: &Lab) -> Result<()> {
    let mut bus = lab.host().system_bus()?;
    bus.add_policy("org.tunwarden.Agent1.conf", include_str!("../dbus/org.tunwarden.Agent1.conf"))?;
    lab.host().file("/etc/tunwarden/config.toml", "")?;
    let mut agent = lab.host().spawn([TUNWARDEN, "agent", "--verbose"])?;
    agent.wait_for_line("on the system bus", Duration::from_secs(10))?;
    let few = (count(lab)?, repair_times(lab)?);
    for number in 0..MANY {
        lab.host().succeed(["ip", "link", "add", &format!("br-{number}"), "type", "bridge"])?;
    }
    wait_for("the agent has seen them", Duration::from_secs(20), || {
        Ok(agent.log().contains(&format!("br-{}", MANY - 1)).then_some(()))
    })?;
    let many = (count(lab)?, repair_times(lab)?);
    println!("rules with no further bridge: {}, with {MANY}: {}", few.0, many.0);
    println!("from a new bridge to the repair of a flushed DOCKER-USER: {}", spread(&few.1));
    println!("the same with {MANY} bridges:                             {}", spread(&many.1));
    println!("with {MANY} / without:                                    {}", ratios(&many.1, &few.1));
    Ok(())
}

fn count(lab: &Lab) -> Result<usize> {
    Ok(lab.host().succeed(["iptables-save"])?.lines().filter(|line| line.starts_with("-A")).count())
}

/// The times from an event to the repair, in milliseconds.
fn repair_times(lab: &Lab) -> Result<Vec<f64>> {
    let host = lab.host();
    let mut took = Vec::new();
    for _ in 0..RUNS {
        host.succeed(["iptables", "-w", "-F", "DOCKER-USER"])?;
        let began = Instant::now();
        host.succeed(["ip", "link", "add", "br-event", "type", "bridge"])?;
        wait_for("the repair", Duration::from_secs(10), || {
            Ok(host.succeed(["iptables", "-w", "-S", "DOCKER-USER"])?.contains("-j DOCKER_VPN").then_some(()))
        })?;
        took.push(milliseconds(began.elapsed()));
        host.succeed(["ip", "link", "del", "br-event"])?;
    }
    Ok(took)
}
