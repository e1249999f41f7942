//! What a step of the state machine costs when it knows ten servers and when it knows ten thousand, as ratios within
//! one run: `cargo bench --bench step`. It needs no root. It measures a step while a tunnel protects and while the
//! machine is locked. A locked machine may reach every known server, so the situation after a step, from which the
//! rules are made, lists all of them. The benchmark measures the situation separately.
#![allow(clippy::disallowed_methods, reason = "this reads the clock")]

mod figures;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use anyhow::{Result, ensure};
use figures::{milliseconds, ratios, spread_of};
use tunwarden::config::Config;
use tunwarden::net::{Endpoint, Port, Transport};
use tunwarden::vpn::{
    Event, Learned, LearnedVpn, Link, LinkKind, LinkTable, Machine, Origin, Remembered, Report, ReportKind,
    Reporter, RouteRange, Routing, Sender, State,
};

/// How often each side of a comparison runs.
const RUNS: usize = 21;

/// Number of steps in one run.
const STEPS: u64 = 2_000;

/// Number of situations in one run.
const SITUATIONS: u64 = 50;

const FEW: u32 = 10;
const MANY: u32 = 10_000;

/// Number of servers of one VPN.
const OF_ONE_VPN: u32 = 10;

/// Makes the event of the nth step.
type EventMaker = fn(StartState, u64) -> Event;

const EVENTS: [(&str, EventMaker); 4] = [
    ("the clock", |_, _| Event::Clock),
    ("another address of the uplink", |start, n| {
        Event::Links(links(start, &format!("192.168.1.{}/24", n % 200 + 2)))
    }),
    ("the client's user", |_, n| Event::ClientUser { pid: 7, uid: u32::try_from(n % 2).unwrap_or_default() }),
    ("Docker has gone", |_, _| Event::Docker(None)),
];

/// The state in which a step is measured.
#[derive(Debug, Clone, Copy)]
enum StartState {
    Protected,
    Locked,
}

fn main() -> Result<()> {
    println!("{RUNS} runs of {STEPS} steps each, median (min to max)");
    for start in [StartState::Protected, StartState::Locked] {
        for (what, make_event) in EVENTS {
            compare(&format!("{start:?}, {what}"), |servers| a_step(start, servers, make_event))?;
        }
        compare(&format!("{start:?}, the situation"), |servers| a_situation(start, servers))?;
    }
    Ok(())
}

/// Measures with few servers and with many, in turn.
fn compare(what: &str, measure: impl Fn(u32) -> Result<f64>) -> Result<()> {
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        few.push(measure(FEW)?);
        many.push(measure(MANY)?);
    }
    println!("{what}, of {FEW}:       {}", spread_of(&few, "µs"));
    println!("{what}, of {MANY}:    {}", spread_of(&many, "µs"));
    println!("{what}, ratio:       {}", ratios(&many, &few));
    Ok(())
}

/// The microseconds that a step takes.
fn a_step(start: StartState, servers: u32, make_event: EventMaker) -> Result<f64> {
    let mut machine = machine(start, servers)?;
    let began = Instant::now();
    for n in 0..STEPS {
        machine.step(make_event(start, n), 1_000);
    }
    Ok(milliseconds(began.elapsed()) * 1000.0 / STEPS as f64)
}

/// The microseconds that [`Machine::situation`] takes.
fn a_situation(start: StartState, servers: u32) -> Result<f64> {
    let machine = machine(start, servers)?;
    let began = Instant::now();
    for _ in 0..SITUATIONS {
        std::hint::black_box(machine.situation());
    }
    Ok(milliseconds(began.elapsed()) * 1000.0 / SITUATIONS as f64)
}

/// A machine in this state that knows `servers` servers.
fn machine(start: StartState, servers: u32) -> Result<Machine> {
    match start {
        StartState::Protected => protected(servers),
        StartState::Locked => locked(servers),
    }
}

/// A machine that knows `servers` servers and has no tunnel. It may reach each server.
fn locked(servers: u32) -> Result<Machine> {
    let mut machine = knowing(servers)?;
    machine.step(Event::Links(links(StartState::Locked, "192.168.1.5/24")), 0);
    let situation = machine.situation();
    ensure!(situation.state == State::Locked, "{:?}", situation.state);
    let reachable = situation.bootstrap.endpoints.len();
    ensure!(reachable == usize::try_from(servers)?, "{reachable} of {servers} servers");
    Ok(machine)
}

/// A machine that knows `servers` servers, and nothing else yet.
fn knowing(servers: u32) -> Result<Machine> {
    let mut learned = Learned::new();
    for vpn in 0..servers / OF_ONE_VPN {
        let of_vpn = (0..OF_ONE_VPN).map(|n| endpoint(vpn * OF_ONE_VPN + n)).collect::<Result<_>>()?;
        let one = LearnedVpn {
            name: format!("vpn {vpn}"),
            origin: Origin::NetworkManager,
            endpoints: of_vpn,
            names: BTreeSet::new(),
            user: None,
            sender: Sender::Client,
            mark: None,
            interface: None,
            manager_marks: false,
        };
        learned.insert(format!("{vpn}"), one);
    }
    let remembered = Remembered { learned: Some(learned), ..Remembered::default() };
    Ok(Machine::new(Config::default(), remembered, 0))
}

/// A machine that knows `servers` servers and is protected by a tunnel to one of them.
fn protected(servers: u32) -> Result<Machine> {
    let mut machine = knowing(servers)?;
    let (kind, interface) = (ReportKind::Up, "tun0".parse()?);
    let report =
        Report { kind, interface, pid: Some(7), started: None, endpoint: Some(endpoint(0)?), either: None };
    machine.step(Event::Report(report, Reporter::Root), 0);
    machine.step(Event::Links(links(StartState::Protected, "192.168.1.5/24")), 0);
    let situation = machine.situation();
    ensure!(situation.state == State::Protected, "{:?}", situation.state);
    Ok(machine)
}

/// The nth server.
fn endpoint(n: u32) -> Result<Endpoint> {
    let address = IpAddr::from((0xc612_0000 + n).to_be_bytes());
    Ok(Endpoint::new(address, Transport::Udp, Port::try_from(1194)?)?)
}

/// An uplink with this address. If the scene has a tunnel, all routes lead into it, except those to the server and to
/// the LAN.
fn links(start: StartState, address: &str) -> LinkTable {
    let nets = |texts: &[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect();
    let link = |index, name: &str, kind, address, routes| Link {
        index,
        name: name.to_owned(),
        kind,
        up: true,
        carrier: true,
        master: None,
        addresses: nets(&[address]),
        routes: nets(routes),
    };
    let ranges = [
        ("0.0.0.0", "192.168.0.255", 3),
        ("192.168.1.0", "192.168.1.255", 2),
        ("192.168.2.0", "198.17.255.255", 3),
        ("198.18.0.0", "198.18.0.0", 2),
        ("198.18.0.1", "255.255.255.255", 3),
    ];
    let range = |(first, last, link): (&str, &str, u32)| {
        Some(RouteRange {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
            links: BTreeSet::from([link]),
        })
    };
    let mut table = LinkTable {
        links: vec![
            link(2, "eth0", LinkKind::Other, address, &["0.0.0.0/0", "198.18.0.0/32"]),
            link(3, "tun0", LinkKind::Tunnel, "10.8.0.2/24", &["0.0.0.0/1", "128.0.0.0/1"]),
        ],
        routing: Routing { ranges: ranges.into_iter().filter_map(range).collect(), on_link: Vec::new() },
        ..LinkTable::default()
    };
    if matches!(start, StartState::Locked) {
        table.links.truncate(1);
        table.routing.ranges.iter_mut().for_each(|range| range.links = BTreeSet::from([2]));
    }
    table
}
