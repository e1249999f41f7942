//! The LAN on the link works. Unexpected incoming packets are dropped.

use std::net::{IpAddr, TcpListener, TcpStream};

use anyhow::{Result, ensure};
use tunwarden_lab::address::{HOST, HOST_V6, PRINTER, ROUTER, ROUTER_V6};
use tunwarden_lab::{Contract, Frame, Lab, Transport, bind_when_free, with_lab};

use super::{KNOWN, TIMEOUT};
use crate::support::kernel::Backend;

const LINK_LOCAL: &str = "fe80::1";

fn the_lan_works(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        backend.lock(lab, KNOWN)?;
        let capture = lab.capture()?;
        for target in [ROUTER, PRINTER, ROUTER_V6, LINK_LOCAL.parse()?] {
            let ping = lab.host().ping(target).on("eth0").await_answers(TIMEOUT).send()?;
            ensure!(ping.answered == 1, "no answer to a ping from {target}: {ping:?}");
        }
        let addresses = ["10.0.0.5:7000", "10.0.0.1:7000", "[fd00:0:0:1::1]:7000", "[::]:7001"];
        let _echoes = addresses.map(|address| lab.isp().udp_echo(address));
        for target in ["10.0.0.5:7000", "10.0.0.1:7000", "[fd00:0:0:1::1]:7000", "[fe80::1]:7001"] {
            let probe = lab.host().udp(target)?.from_user("nobody").on("eth0");
            let sent = probe.count(3).await_answers(TIMEOUT).send()?;
            ensure!(sent.answered == 3, "no answer by UDP from {target}: {sent:?}");
        }
        let _listener = lab.isp().enter(|| bind_when_free(|| TcpListener::bind("[::]:8080")))?;
        for target in ["10.0.0.5:8080", "[fd00:0:0:1::1]:8080"] {
            lab.host().enter(|| Ok(TcpStream::connect_timeout(&target.parse()?, TIMEOUT)?))?;
        }

        // Both sides resolve their neighbours again.
        for machine in [lab.host(), lab.isp()] {
            machine.succeed(["ip", "neigh", "flush", "all"])?;
        }
        let ping = lab.host().ping(ROUTER_V6).await_answers(TIMEOUT).send()?;
        ensure!(ping.answered == 1, "no IPv6 neighbour was found after the cache was emptied");
        lab.isp().succeed(["ip", "neigh", "flush", "all"])?;
        lab.isp().udp(&format!("[{HOST_V6}]:9"))?.send()?;
        let advertised = |frame: &Frame| matches!(frame.transport(), Some(Transport::Icmpv6(136)));
        capture.wait_for(1, TIMEOUT, advertised)?;
        let seen = capture.stop()?;
        let solicited = seen.iter().any(|frame| matches!(frame.transport(), Some(Transport::Icmpv6(135))));
        ensure!(solicited, "no neighbour was asked for");
        let lan = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.lan("fe80::/10")?;
        lan.discovery().check(&seen)
    })
}

#[test]
fn the_lan_on_the_link_works_while_locked_with_nft() {
    the_lan_works(Backend::Nft).unwrap();
}

#[test]
fn the_lan_on_the_link_works_while_locked_with_legacy() {
    the_lan_works(Backend::Legacy).unwrap();
}

#[test]
fn the_lan_on_the_link_works_while_locked_with_iptables_alone() {
    the_lan_works(Backend::IptablesAlone).unwrap();
}

#[test]
fn the_lan_on_the_link_works_while_locked_with_nftables_alone() {
    the_lan_works(Backend::NftablesAlone).unwrap();
}

/// The configuration for a VPN whose networks overlap with the lease on the link.
const COMPANY: &str = "[tunnel]\nroutes = [\"10.20.0.0/16\", \"fd00:20::/32\"]\n";

/// How many packets leave the host for the company's network and for the LAN, from root and nobody together.
fn leave_for_the_company(lab: &Lab) -> Result<Vec<usize>> {
    let targets = ["10.20.1.1:4000", "10.20.0.9:443", "[fd00:20::9]:4000", "10.0.0.1:4000"];
    let capture = lab.capture()?;
    for target in targets {
        for user in ["root", "nobody"] {
            lab.host().udp(target)?.on("eth0").from_user(user).tag(target).send()?;
        }
    }
    let seen = capture.stop()?;
    Ok(targets.iter().map(|target| seen.iter().filter(|frame| frame.is_tagged(target)).count()).collect())
}

/// Whether a container's published port answers a machine on the link with an address of the company.
fn published_port_answers(lab: &Lab) -> Result<bool> {
    let answered = |frame: &Frame| {
        let to = frame.destination() == "10.20.1.1".parse().ok();
        to && matches!(frame.transport(), Some(Transport::Tcp { from: 8080, .. }))
    };
    let capture = lab.capture()?;
    lab.isp().tcp("10.20.0.5:8080")?.bind("10.20.1.1:0")?.send()?;
    // This packet is behind the earlier ones in every queue.
    let fence = lab.host().ping(ROUTER).on("eth0").await_answers(TIMEOUT).send()?;
    ensure!(fence.answered == 1, "no answer from the router");
    Ok(capture.stop()?.iter().any(answered))
}

/// Adds a lease inside the company's network, and a container with a published port. No program listens on
/// the port: the refusal is the answer.
fn in_the_company_s_network(lab: &Lab, backend: Backend) -> Result<()> {
    let container = "addr add 10.20.0.5/17 dev eth0\naddr add fd00:20::5/64 dev eth0 nodad\n\
         link add docker0 type bridge\naddr add 172.17.0.1/16 dev docker0\nlink set docker0 up\n\
         netns add box\nlink add veth0 type veth peer name eth0 netns box\nlink set veth0 master docker0 up\n\
         netns exec box ip addr add 172.17.0.2/16 dev eth0\nnetns exec box ip link set eth0 up\n\
         netns exec box ip route add default via 172.17.0.1\n";
    lab.host().succeed(["mkdir", "-p", "/run/netns"])?;
    lab.host().command(["ip", "-batch", "-"]).stdin(container).succeed()?;
    lab.host().sysctl("net.ipv4.ip_forward", "1")?;
    for docker in [
        "-t nat -A PREROUTING -i eth0 -p tcp --dport 8080 -j DNAT --to 172.17.0.2",
        "-A FORWARD -o docker0 -j ACCEPT",
        "-A FORWARD -i docker0 -j ACCEPT",
    ] {
        backend.change(lab, "iptables", docker)?;
    }
    for address in ["10.20.1.1/17", "10.20.0.9/17"] {
        lab.isp().succeed(["ip", "addr", "add", address, "dev", "isp0"])?;
    }
    // Without duplicate address detection it answers at once.
    lab.isp().succeed(["ip", "addr", "add", "fd00:20::9/64", "dev", "isp0", "nodad"])?;
    for neighbour in ["10.20.1.1", "10.20.0.9", "fd00:20::9", "10.0.0.1"] {
        let sent = lab.host().ping(neighbour.parse::<IpAddr>()?).on("eth0");
        ensure!(sent.await_answers(TIMEOUT).send()?.answered == 1, "{neighbour} is not there");
    }
    Ok(())
}

#[test]
fn a_lease_inside_the_network_of_the_vpn_moves_no_packet_out_of_the_tunnel() {
    let listed = format!("{COMPANY}[lan]\nnetworks = [\"10.0.0.0/8\", \"fd00::/8\"]\n");
    for backend in [Backend::Nft, Backend::Legacy, Backend::IptablesAlone, Backend::NftablesAlone] {
        with_lab(|lab| {
            in_the_company_s_network(lab, backend)?;
            backend.lock(lab, KNOWN)?;
            ensure!(leave_for_the_company(lab)? == [2; 4], "the control: without a VPN it is the LAN");
            ensure!(published_port_answers(lab)?, "the control: the published port is not reached");
            for config in [COMPANY, &listed] {
                backend.lock(lab, &format!("{KNOWN}{config}"))?;
                let left = leave_for_the_company(lab)?;
                ensure!(left == [0, 0, 0, 2], "{backend:?}: {left:?} left with {config}");
                ensure!(!published_port_answers(lab)?, "{backend:?}: a container answered with {config}");
                let lease = lab.host().udp("10.20.0.9:67")?.bind("10.20.0.5:68")?.on("eth0").send()?;
                ensure!(lease.accepted == 1, "{backend:?}: a lease cannot be renewed there");
            }
            Ok(())
        })
        .unwrap();
    }
}

/// Whether unexpected UDP, TCP and ping packets to this address come in.
fn let_in(lab: &Lab, address: IpAddr) -> Result<[bool; 3]> {
    let host_echo = lab.host().udp_echo("[::]:5000")?;
    let _listener = lab.host().enter(|| bind_when_free(|| TcpListener::bind("[::]:5001")))?;
    let target = |port| std::net::SocketAddr::new(address, port).to_string();
    lab.isp().udp(&target(5000))?.send()?;
    let capture = lab.capture()?;
    lab.isp().tcp(&target(5001))?.send()?;
    lab.isp().ping(address).send()?;
    let seen = capture.stop()?;
    // This packet over the loopback is behind the earlier ones in the queue of the same socket.
    let fence = lab.host().udp("127.0.0.1:5000")?.await_answers(TIMEOUT).send()?;
    ensure!(fence.answered == 1, "the host does not receive its own packet");
    let accepted = |frame: &Frame| matches!(frame.transport(), Some(Transport::Tcp { from: 5001, .. }));
    let replied =
        |frame: &Frame| matches!(frame.transport(), Some(Transport::Icmp(0) | Transport::Icmpv6(129)));
    Ok([host_echo.received() > 1, seen.iter().any(accepted), seen.iter().any(replied)])
}

#[test]
fn unexpected_incoming_packets_are_dropped_and_configured_ones_are_answered() {
    with_lab(|lab| {
        for address in [HOST, HOST_V6] {
            ensure!(let_in(lab, address)? == [true; 3], "the control failed at {address}");
        }
        Backend::Nft.lock(lab, KNOWN)?;
        for address in [HOST, HOST_V6] {
            ensure!(let_in(lab, address)? == [false; 3], "something came in at {address}");
        }
        let named = "[input]\nallow = [{ protocol = \"udp\", ports = [5000], from = \"10.0.0.0/24\" }]";
        Backend::Nft.lock(lab, named)?;
        ensure!(let_in(lab, HOST)? == [true, false, false], "what input.allow names did not come in");
        let _echo = lab.host().udp_echo("0.0.0.0:5000")?;
        let sent = lab.isp().udp("10.0.0.2:5000")?.await_answers(TIMEOUT).send()?;
        ensure!(sent.answered == 1, "what input.allow names was not answered");
        Ok(())
    })
    .unwrap();
}

#[test]
fn every_kind_of_traffic_that_may_come_in_is_answered_in_either_layer_and_family() {
    let by_port = "[input]\nallow = [{ protocol = \"udp\", ports = [5000] }, \
         { protocol = \"tcp\", ports = [5001] }, { protocol = \"icmp\" }]";
    // Rules that name a prefix of IPv4 or of IPv6 and match the same packets.
    let by_source = "[input]\nallow = [{ protocol = \"udp\", from = \"0.0.0.0/0\" }, \
         { protocol = \"udp\", from = \"::/0\" }, { protocol = \"tcp\" }, \
         { protocol = \"icmp\", from = \"10.0.0.0/8\" }, { protocol = \"icmp\", from = \"2001:db8::/32\" }]";
    for backend in [Backend::Nft, Backend::Legacy, Backend::IptablesAlone, Backend::NftablesAlone] {
        with_lab(|lab| {
            for config in [by_port, by_source] {
                backend.lock(lab, config)?;
                for address in [HOST, HOST_V6] {
                    let came = let_in(lab, address)?;
                    ensure!(came == [true; 3], "{backend:?}, {address}, {config}: {came:?}");
                }
            }
            Ok(())
        })
        .unwrap();
    }
}
