//! Flows that were opened through the tunnel, and routes that change during the flows. The ISP never sees a
//! packet of these flows.

#![allow(clippy::unwrap_used, reason = "a test")]

use crate::support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use support::openvpn::{
    BACKGROUND_TAG, ECHO, background_traffic, becomes, connect, contract, flows, hooked, lost_because,
    protected_by, seen,
};
use support::{SOON, agent, bus};
use tunwarden_lab::openvpn::{ClientOptions, ServerOptions};
use tunwarden_lab::{Frame, Lab, Process, Transport, bind_when_free, wait_until, with_lab};

/// A TCP connection that sends a line every few milliseconds and ignores all errors.
struct TcpFlow {
    over: Arc<AtomicBool>,
    heard: Arc<AtomicU64>,
    said: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl TcpFlow {
    /// Connects to a host of the internet over the current routes.
    fn begin(lab: &Lab) -> Result<Self> {
        let listener = lab.isp().enter(|| bind_when_free(|| TcpListener::bind("203.0.113.9:5000")))?;
        let mut near = lab.host().enter(|| Ok(TcpStream::connect("203.0.113.9:5000")?))?;
        let (mut far, _) = listener.accept()?;
        near.set_nonblocking(true)?;
        far.set_read_timeout(Some(Duration::from_millis(50)))?;
        let over = Arc::<AtomicBool>::default();
        let (said, heard) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let talker = thread::spawn({
            let (over, said) = (Arc::clone(&over), Arc::clone(&said));
            move || {
                while !over.load(Ordering::Acquire) {
                    let _ = near.write(b"tunwarden-lab:talk\n");
                    said.fetch_add(1, Ordering::AcqRel);
                    thread::sleep(Duration::from_millis(5));
                }
            }
        });
        let listener = thread::spawn({
            let (over, heard) = (Arc::clone(&over), Arc::clone(&heard));
            move || {
                let mut buffer = [0; 4096];
                while !over.load(Ordering::Acquire) {
                    let length = far.read(&mut buffer).unwrap_or_default();
                    heard.fetch_add(u64::try_from(length).unwrap_or_default(), Ordering::AcqRel);
                }
            }
        });
        Ok(Self { over, heard, said, threads: vec![talker, listener] })
    }

    /// Waits until the other end has received more lines.
    fn gets_through(&self) -> Result<()> {
        let goal = self.heard.load(Ordering::Acquire) + 1000;
        wait_until("the connection gets through", SOON * 3, || self.heard.load(Ordering::Acquire) >= goal)
    }

    /// Waits until the connection has tried to send `more` lines.
    fn tries(&self, more: u64) -> Result<()> {
        let goal = self.said.load(Ordering::Acquire) + more;
        wait_until("the connection tries", SOON, || self.said.load(Ordering::Acquire) >= goal)
    }
}

impl Drop for TcpFlow {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn ip(lab: &Lab, command: &str) -> Result<()> {
    lab.host().succeed(std::iter::once("ip").chain(command.split(' '))).map(drop)
}

/// The routes of a hostile DHCP server's option 121: for one network, and for the whole internet.
const HOSTILE: [&[&str]; 2] =
    [&["203.0.113.0/24"], &["0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/2"]];

/// Commands that send traffic past the tunnel although its routes exist, commands that undo this, and the reason that
/// the agent reports.
const PAST: [(&[&str], &[&str], &str); 4] = [
    (
        &["route add default via 10.0.0.1 table 100", "rule add from all lookup 100 pref 100"],
        &["rule del pref 100"],
        "traffic is no longer routed into it",
    ),
    (
        &["rule add to 192.0.0.0/4 lookup 100 pref 100"],
        &["rule del pref 100"],
        "some traffic is routed past it",
    ),
    (
        // One default route with a worse metric replaces the two halves of openvpn(8).
        &[
            "route add default dev tun0 metric 1000",
            "route del 0.0.0.0/1 dev tun0",
            "route del 128.0.0.0/1 dev tun0",
        ],
        &[
            "route add 0.0.0.0/1 dev tun0",
            "route add 128.0.0.0/1 dev tun0",
            "route del default dev tun0 metric 1000",
        ],
        "traffic is no longer routed into it",
    ),
    (
        &["route add 192.0.0.0/4 via 10.0.0.1"],
        &["route del 192.0.0.0/4 via 10.0.0.1"],
        "some traffic is routed past it",
    ),
];

/// A command that removes a part of the tunnel, commands that undo this, and the reason that the agent reports.
const BREAKS: [(&str, &[&str], &str); 3] = [
    (
        "route del 0.0.0.0/1 dev tun0",
        &["route add 0.0.0.0/1 dev tun0"],
        "traffic is no longer routed into it",
    ),
    (
        "addr del 10.8.0.2/24 dev tun0",
        &[
            "addr add 10.8.0.2/24 dev tun0",
            "route replace 0.0.0.0/1 dev tun0",
            "route replace 128.0.0.0/1 dev tun0",
        ],
        "its interface has lost its address",
    ),
    (
        "link set tun0 down",
        &["link set tun0 up", "route replace 0.0.0.0/1 dev tun0", "route replace 128.0.0.0/1 dev tun0"],
        "its interface is down",
    ),
];

fn move_routes(lab: &Lab, verb: &str, networks: &[&str]) -> Result<()> {
    networks.iter().try_for_each(|net| ip(lab, &format!("route {verb} {net} via 10.0.0.1 dev eth0")))
}

fn to_the_echo(frames: &[Frame]) -> (usize, usize) {
    let count = |wanted: fn(Transport) -> bool| {
        let to = frames.iter().filter(|frame| frame.destination() == Some("203.0.113.9".parse().unwrap()));
        to.filter_map(Frame::transport).filter(|&transport| wanted(transport)).count()
    };
    (
        count(|transport| matches!(transport, Transport::Udp { to: 4000, .. })),
        count(|transport| matches!(transport, Transport::Tcp { to: 5000, .. })),
    )
}

#[test]
fn without_the_agent_a_route_that_moves_takes_both_flows_with_it() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let _client = connect(lab, &ClientOptions::of(&server))?;
        let _echo = lab.isp().udp_echo(ECHO)?;
        let flood = lab.host().udp(ECHO)?.flood(200)?;
        let talk = TcpFlow::begin(lab)?;
        talk.gets_through()?;
        contract(&[&server])?.check(&capture.so_far()?)?;
        move_routes(lab, "add", HOSTILE[0])?;
        flood.await_more(50)?;
        talk.tries(50)?;
        let (udp, tcp) = to_the_echo(&capture.stop()?);
        assert!(udp > 10, "the flood was not seen");
        assert!(tcp > 0, "the connection was not seen");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_lease_inside_the_company_s_network_is_no_protection_and_a_tunnel_by_wireguards_rules_is_one() {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let _agent = agent(lab, "[tunnel]\nroutes = [\"10.20.0.0/16\"]\n")?;
        let _client =
            connect(lab, &hooked(lab, ClientOptions::of(&server).line("route 10.20.0.0 255.255.0.0"))?)?;
        protected_by(lab, &server)?;
        let capture = lab.capture()?;
        ip(lab, "addr add 10.20.0.5/17 dev eth0")?;
        let flood = lab.host().udp("10.20.1.1:4000")?.from_user("nobody").tag("company").flood(200)?;
        becomes(lab, "lost")?;
        flood.await_more(100)?;
        ensure!(seen(&capture.stop()?, "company") == 0, "the company's traffic left on the LAN");
        ip(lab, "addr del 10.20.0.5/17 dev eth0")?;
        protected_by(lab, &server)?;

        // Rules and routes as wg-quick(8) makes them: no route of the main table leads into the tunnel.
        for net in ["10.20.0.0/16", "0.0.0.0/1", "128.0.0.0/1"] {
            ip(lab, &format!("route del {net} dev tun0"))?;
        }
        becomes(lab, "lost")?;
        for command in [
            "route add default dev tun0 table 51820",
            "rule add not fwmark 51820 table 51820",
            "rule add table main suppress_prefixlength 0",
        ] {
            ip(lab, command)?;
        }
        protected_by(lab, &server).map(drop)
    })
    .unwrap();
}

/// Waits for the loss after these commands, and checks what the agent says about it.
fn is_lost_by(lab: &Lab, agent: &Process, past: &[&str], reason: &str) -> Result<()> {
    becomes(lab, "lost").with_context(|| format!("{past:?}"))?;
    // Between two of several commands only a part of the traffic is routed past it.
    let because = lost_because(agent)?;
    let is_between = past.len() > 2 && because == "some traffic is routed past it";
    ensure!(because == reason || is_between, "{past:?}: {because}");
    let text = support::tunwarden(lab, ["status"])?.stdout;
    ensure!(!text.contains("through the VPN"), "{past:?}: {text}");
    Ok(())
}

#[test]
fn flows_through_the_tunnel_never_go_on_in_clear_when_their_route_moves() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        // This flow starts before the lock: the kernel tracks it as established.
        let early = lab.host().udp(ECHO)?.tag("early").flood(200)?;
        let echo = lab.isp().udp_echo(ECHO)?;
        wait_until("the early flow", SOON, || echo.received() > 5)?;
        let agent = agent(lab, "")?;
        let before = capture.so_far()?.len();
        early.await_more(50)?;

        let _client = connect(lab, &hooked(lab, ClientOptions::of(&server))?)?;
        protected_by(lab, &server)?;
        let _pressure = background_traffic(lab)?;
        let talk = TcpFlow::begin(lab)?;
        talk.gets_through()?;
        let flood = lab.host().udp(ECHO)?.from_user("nobody").tag("late").flood(200)?;

        // The tunnel still carries the rest of the internet: no loss, and nothing leaves on the new route.
        for (networks, state) in HOSTILE.into_iter().zip(["protected", "lost"]) {
            move_routes(lab, "add", networks)?;
            becomes(lab, state).with_context(|| format!("{networks:?}"))?;
            flood.await_more(50)?;
            early.await_more(50)?;
            talk.tries(100)?;
            move_routes(lab, "del", networks)?;
            protected_by(lab, &server)?;
            talk.gets_through()?;
        }
        for (past, back, reason) in PAST {
            past.iter().try_for_each(|command| ip(lab, command))?;
            is_lost_by(lab, &agent, past, reason)?;
            flood.await_more(50)?;
            talk.tries(50)?;
            back.iter().try_for_each(|command| ip(lab, command))?;
            protected_by(lab, &server)?;
        }
        for (break_it, mend_it, reason) in BREAKS {
            ip(lab, break_it)?;
            becomes(lab, "lost")?;
            ensure!(lost_because(&agent)? == reason, "{break_it}: {}", lost_because(&agent)?);
            flood.await_more(50)?;
            talk.tries(50)?;
            mend_it.iter().try_for_each(|command| ip(lab, command))?;
            protected_by(lab, &server)?;
            flows(lab)?;
        }

        let frames = capture.stop()?;
        let since = &frames[before..];
        contract(&[&server])?.check(since)?;
        assert_eq!(seen(since, "early"), 0, "a flow from before the lock went on");
        assert_eq!(seen(since, "late") + seen(since, BACKGROUND_TAG), 0);
        assert_eq!(to_the_echo(since), (0, 0));
        assert!(seen(&frames[..before], "early") > 5, "the early flow was not seen before the lock either");
        Ok(())
    })
    .unwrap();
}
