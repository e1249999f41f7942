//! What must not leave a locked machine, and the one destination that is allowed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Contract, Frame, Lab, Machine, Probe, Transport, bind_when_free, wait_for, with_lab};

use super::{KNOWN, TIMEOUT};
use crate::support::kernel::{Backend, FAMILIES};

const COUNT: u64 = 5;
const BOTH: &[&str] = &["root", "nobody"];
const NOBODY: &[&str] = &["nobody"];

/// Each gap of the article, and the packets that show it: the protocol, the target, and the users.
const LEAK_ATTEMPTS: [(&str, &str, &str, &[&str]); 30] = [
    ("UDP to the internet", "udp", "203.0.113.9:4000", BOTH),
    ("UDP to the internet", "udp", "[2001:db8:9::9]:4000", BOTH),
    ("TCP to the internet", "tcp", "203.0.113.9:443", BOTH),
    ("TCP to the internet", "tcp", "[2001:db8:9::9]:443", BOTH),
    ("ping to the internet", "ping", "203.0.113.9:0", BOTH),
    ("ping to the internet", "ping", "[2001:db8:9::9]:0", BOTH),
    ("the VPN's port at no VPN server", "udp", "203.0.113.9:1194", BOTH),
    ("the VPN's port at no VPN server", "udp", "[2001:db8:9::9]:1194", BOTH),
    ("the VPN's port at a neighbour of the server", "udp", "198.51.100.8:1194", BOTH),
    ("the known server, for anybody", "udp", "198.51.100.7:1194", NOBODY),
    ("the known server, for anybody", "udp", "[2001:db8:7::7]:1194", NOBODY),
    ("the known server on another port", "udp", "198.51.100.7:1195", BOTH),
    ("the known server on another protocol", "tcp", "198.51.100.7:1194", BOTH),
    ("the known server by ping", "ping", "198.51.100.7:0", BOTH),
    ("the known server on another port", "udp", "[2001:db8:7::7]:53", BOTH),
    ("DNS to the router", "udp", "10.0.0.1:53", BOTH),
    ("DNS to the router", "tcp", "10.0.0.1:53", BOTH),
    ("DNS over TLS to the router", "tcp", "10.0.0.1:853", BOTH),
    ("DNS over QUIC to the router", "udp", "10.0.0.1:853", BOTH),
    ("DNS to the router", "udp", "[fd00:0:0:1::1]:53", BOTH),
    ("DNS to the router", "tcp", "[fd00:0:0:1::1]:53", BOTH),
    ("DNS over TLS to the router", "tcp", "[fd00:0:0:1::1]:853", BOTH),
    ("DNS over QUIC to the router", "udp", "[fd00:0:0:1::1]:853", BOTH),
    ("DNS to the internet", "udp", "203.0.113.9:53", BOTH),
    ("DNS to the internet", "udp", "[2001:db8:9::9]:53", BOTH),
    ("a private address that is routed", "udp", "10.77.0.1:4000", BOTH),
    ("a private address that is routed", "tcp", "10.77.0.1:443", BOTH),
    ("a private address that is routed", "ping", "10.77.0.1:0", BOTH),
    ("a global address on the link", "udp", "[2001:db8:1::1]:4000", BOTH),
    ("a lease's port at a public address", "udp", "203.0.113.9:67", BOTH),
];

fn probe(host: &Machine, kind: &str, target: &str) -> Result<Probe> {
    let address: SocketAddr = target.parse()?;
    Ok(match kind {
        "udp" => host.udp(target)?,
        "tcp" => host.tcp(target)?,
        _ => host.ping(address.ip()),
    })
}

fn attempt_leaks(lab: &Lab) -> Result<()> {
    for (_, kind, target, users) in LEAK_ATTEMPTS {
        for user in users {
            probe(lab.host(), kind, target)?.from_user(user).tag("attempt").count(COUNT).send()?;
        }
    }
    Ok(())
}

/// Number of frames of each attempt. A SYN has no room for a tag.
fn leaked_frames(frames: &[Frame]) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for (promise, kind, target, _) in LEAK_ATTEMPTS {
        let to: SocketAddr = target.parse()?;
        let is = |frame: &&Frame| {
            let fits = match frame.transport() {
                Some(Transport::Udp { to: port, .. }) => kind == "udp" && port == to.port(),
                Some(Transport::Tcp { to: port, .. }) => kind == "tcp" && port == to.port(),
                Some(Transport::Icmp(8) | Transport::Icmpv6(128)) => kind == "ping",
                _ => false,
            };
            frame.destination() == Some(to.ip()) && fits && (kind == "tcp" || frame.is_tagged("attempt"))
        };
        counts.insert(format!("{promise}: {kind} {target}"), frames.iter().filter(is).count());
    }
    Ok(counts)
}

/// The contract of a locked machine on the first link with the server known.
fn contract() -> Result<Contract> {
    let lan = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.lan("fe80::/10")?;
    lan.discovery().endpoint("198.51.100.7:1194/udp")?.endpoint("[2001:db8:7::7]:1194/udp")
}

fn nothing_of_the_articles_gaps_leaves(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        // A packet that comes before the link knows its neighbour can be lost.
        let mut open = BTreeMap::new();
        wait_for("the control: every kind of packet leaves", TIMEOUT, || {
            attempt_leaks(lab)?;
            open = leaked_frames(&capture.so_far()?)?;
            Ok(open.values().all(|&count| count > 0).then_some(()))
        })
        .with_context(|| format!("packets seen of each kind: {open:?}"))?;
        let floods = [
            lab.host().udp("203.0.113.9:5000")?.from_user("nobody").tag("flood").flood(1000)?,
            lab.host().udp("[2001:db8:9::9]:5000")?.tag("flood").flood(1000)?,
        ];
        floods[1].await_more(50)?;
        backend.lock(lab, KNOWN)?;
        let before = capture.so_far()?.len();
        floods.iter().try_for_each(|flood| flood.await_more(400))?;
        for flood in floods {
            flood.stop()?;
        }
        attempt_leaks(lab)?;
        let all = capture.so_far()?;
        let locked = &all[before..];
        for (what, count) in leaked_frames(locked)? {
            ensure!(count == 0, "{count} packets left: {what}");
        }
        contract()?.check(locked).context("after the lock")?;

        let _server = [lab.isp().udp_echo("198.51.100.7:1194")?, lab.isp().udp_echo("[2001:db8:7::7]:1194")?];
        for server in ["198.51.100.7:1194", "[2001:db8:7::7]:1194"] {
            let sent = lab.host().udp(server)?.count(COUNT).await_answers(TIMEOUT).send()?;
            ensure!(sent.answered == COUNT, "root does not reach the known server {server}: {sent:?}");
            let refused = lab.host().udp(server)?.from_user("nobody").send()?;
            ensure!(refused.forbidden() == 1, "nobody reaches the known server: {refused:?}");
        }
        contract()?.check(&capture.stop()?[before..]).context("at the end")
    })
}

#[test]
fn nothing_of_the_articles_gaps_leaves_with_nft() {
    nothing_of_the_articles_gaps_leaves(Backend::Nft).unwrap();
}

#[test]
fn nothing_of_the_articles_gaps_leaves_with_legacy() {
    nothing_of_the_articles_gaps_leaves(Backend::Legacy).unwrap();
}

#[test]
fn nothing_of_the_articles_gaps_leaves_with_iptables_alone() {
    nothing_of_the_articles_gaps_leaves(Backend::IptablesAlone).unwrap();
}

#[test]
fn nothing_of_the_articles_gaps_leaves_with_nftables_alone() {
    nothing_of_the_articles_gaps_leaves(Backend::NftablesAlone).unwrap();
}

fn flows_opened_before_send_nothing_after(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        // Many firewalls do this: they track flows and allow established ones.
        for family in FAMILIES {
            for chain in ["INPUT", "OUTPUT"] {
                let established = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
                backend.change(lab, family, &format!("-A {chain} {established}"))?;
            }
        }
        let echo = lab.isp().udp_echo("203.0.113.9:5000")?;
        let (mut client, mut server) = connection(lab, "203.0.113.9:443")?;
        let (mut client6, mut server6) = connection(lab, "[2001:db8:7::7]:443")?;
        let flow = lab.host().udp("203.0.113.9:5000")?.from_user("nobody").tag("flow").flood(500)?;
        tunwarden_lab::wait_until("the UDP flow", TIMEOUT, || echo.received() > 20)?;
        backend.lock(lab, KNOWN)?;
        let capture = lab.capture()?;
        // Packets of the server may come in. Packets and acknowledgements of the client must not leave.
        for (client, server) in [(&mut client, &mut server), (&mut client6, &mut server6)] {
            server.write_all(b"in")?;
            let mut heard = [0; 2];
            client.read_exact(&mut heard)?;
            client.write_all(b"out")?;
        }
        flow.await_more(200)?;
        drop((client, client6));
        contract()?.check(&capture.stop()?).context("flows from before the lock")?;
        let late = server.read(&mut [0; 16]);
        ensure!(late.is_err(), "the server received data of the client after the lock: {late:?}");
        Ok(())
    })
}

#[test]
fn flows_opened_before_the_lock_send_nothing_after_it_with_nft() {
    flows_opened_before_send_nothing_after(Backend::Nft).unwrap();
}

#[test]
fn flows_opened_before_the_lock_send_nothing_after_it_with_legacy() {
    flows_opened_before_send_nothing_after(Backend::Legacy).unwrap();
}

#[test]
fn flows_opened_before_the_lock_send_nothing_after_it_with_iptables_alone() {
    flows_opened_before_send_nothing_after(Backend::IptablesAlone).unwrap();
}

#[test]
fn flows_opened_before_the_lock_send_nothing_after_it_with_nftables_alone() {
    flows_opened_before_send_nothing_after(Backend::NftablesAlone).unwrap();
}

/// An established connection: the end of the host, and the end of the ISP, which has received data.
fn connection(lab: &Lab, address: &str) -> Result<(TcpStream, TcpStream)> {
    let listener = lab.isp().enter(|| bind_when_free(|| TcpListener::bind(address)))?;
    let mut client = lab.host().enter(|| Ok(TcpStream::connect(address)?))?;
    let (mut server, _) = listener.accept()?;
    client.write_all(b"hello")?;
    server.read_exact(&mut [0; 5])?;
    client.set_read_timeout(Some(TIMEOUT))?;
    server.set_nonblocking(true)?;
    Ok((client, server))
}
