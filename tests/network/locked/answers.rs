//! The sender of a refused packet learns about it at once, and the answer leaves on no wire.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tunwarden_lab::address::{ROUTER, ROUTER_V6};
use tunwarden_lab::forged::{datagram, opening};
use tunwarden_lab::{Capture, Container, Frame, Lab, Transport, with_lab};

use super::{KNOWN, TIMEOUT};
use crate::support::BRIDGED_UPLINK;
use crate::support::kernel::{Backend, FAMILIES};

/// Refused targets, and the errors that a program gets: by TCP, and by UDP.
const REFUSED: [(&str, Errno, Errno); 2] = [
    ("203.0.113.9:443", Errno::ECONNREFUSED, Errno::EHOSTUNREACH),
    ("[2001:db8:9::9]:443", Errno::ECONNREFUSED, Errno::EACCES),
];

/// The addresses of the router, which the ISP's side of the laboratory plays. Forged packets come from there.
const ROUTERS: [IpAddr; 2] = [ROUTER, ROUTER_V6];

/// With this protocol, the sender of a raw packet writes its IP header.
const IPPROTO_RAW: i32 = 255;

/// The error of a TCP connection; none if no answer comes within the timeout.
fn connect(target: &str) -> Result<Option<Errno>> {
    Ok(error_of(TcpStream::connect_timeout(&target.parse::<SocketAddr>()?, TIMEOUT)))
}

/// The error of a socket after a datagram to this target. The kernel refuses the datagram itself, too.
fn send(target: &str) -> Result<Option<Errno>> {
    let target: SocketAddr = target.parse()?;
    let socket = UdpSocket::bind(if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.connect(target)?;
    let _ = socket.send(b"refused");
    Ok(error_of(socket.recv(&mut [0; 16])))
}

fn error_of<T>(result: io::Result<T>) -> Option<Errno> {
    let errno = result.err()?.raw_os_error().map(Errno::from_raw)?;
    (errno != Errno::EAGAIN).then_some(errno)
}

/// Sends a datagram, and a packet that opens a TCP connection, with each of these addresses as their source. Returns
/// the number of packets.
fn forge(sources: &[IpAddr]) -> Result<usize> {
    for source in sources {
        let target: SocketAddr = REFUSED[usize::from(source.is_ipv6())].0.parse()?;
        let from = SocketAddr::new(*source, 7000);
        let socket = Socket::new(Domain::for_address(target), Type::RAW, Some(Protocol::from(IPPROTO_RAW)))?;
        for packet in [datagram(from, target, b"forged")?, opening(from, target)?] {
            let _ = socket.send_to(&packet, &SocketAddr::new(target.ip(), 0).into());
        }
    }
    Ok(2 * sources.len())
}

/// Whether a frame is an answer in the name of the target: a reset, or an ICMP error.
fn is_answer(frame: &Frame) -> bool {
    let tcp = matches!(frame.transport(), Some(Transport::Tcp { .. }));
    tcp || matches!(frame.transport(), Some(Transport::Icmp(3) | Transport::Icmpv6(1)))
}

/// Number of answers that the ISP has seen, and of packets to the refused targets.
fn seen(lab: &Lab, capture: &Capture, marker: &str) -> Result<usize> {
    // Packets of one family leave in the order in which they were sent.
    for router in ROUTERS {
        lab.host().udp(&SocketAddr::new(router, 4000).to_string())?.tag(marker).send()?;
    }
    capture.wait_for(2, TIMEOUT, |frame| frame.is_tagged(marker)).context("the markers")?;
    let refused: Vec<IpAddr> =
        REFUSED.iter().map(|(to, ..)| Ok(to.parse::<SocketAddr>()?.ip())).collect::<Result<_>>()?;
    let is_refused = |frame: &Frame| frame.destination().is_some_and(|to| refused.contains(&to));
    Ok(capture.so_far()?.iter().filter(|frame| is_answer(frame) || is_refused(frame)).count())
}

fn gets_errors(who: &str, act: &(impl Fn(&str, bool) -> Result<Option<Errno>> + Sync)) -> Result<()> {
    for (target, tcp, udp) in REFUSED {
        let errors = [act(target, true)?, act(target, false)?];
        ensure!(errors == [Some(tcp), Some(udp)], "{who} to {target}: {errors:?}");
    }
    Ok(())
}

fn ask(target: &str, tcp: bool) -> Result<Option<Errno>> {
    if tcp { connect(target) } else { send(target) }
}

/// Makes our chain answer every sender, as it answers its own: the control for packets that otherwise get no answer.
fn answer_everybody(lab: &Lab, backend: Backend, chain: &str) -> Result<()> {
    let in_nftables = backend == Backend::NftablesAlone || chain == "DOCKER_VPN_REFUSED";
    for (family, suffix, prohibited) in
        [(FAMILIES[0], "V4", "icmp-admin-prohibited"), (FAMILIES[1], "V6", "icmp6-adm-prohibited")]
    {
        if in_nftables {
            let chain = format!("{chain}_{suffix}");
            for rule in ["reject with icmpx admin-prohibited", "meta l4proto tcp reject with tcp reset"] {
                let insert = ["nft", "insert", "rule", "inet", "tunwarden", &chain];
                lab.host().succeed(insert.into_iter().chain(rule.split(' ')))?;
            }
        } else {
            for rule in [format!("-j REJECT --reject-with {prohibited}"), RESET.to_owned()] {
                backend.change(lab, family, &format!("-I {chain} 1 {rule}"))?;
            }
        }
    }
    Ok(())
}

const RESET: &str = "-p tcp -j REJECT --reject-with tcp-reset";

fn programs_get_answers(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        backend.lock(lab, KNOWN)?;
        let capture = lab.capture()?;
        lab.host().enter(|| gets_errors("a program", &ask))?;
        let name_server = lab.host().enter(|| connect("10.0.0.1:53"))?;
        ensure!(name_server == Some(Errno::ECONNREFUSED), "DNS by TCP: {name_server:?}");
        lab.host().enter(|| forge(&ROUTERS))?;
        let left = seen(lab, &capture, "first")?;
        ensure!(left == 0, "{backend:?}: {left} packets left");
        answer_everybody(lab, backend, "VPN_REFUSED")?;
        let forged = lab.host().enter(|| forge(&ROUTERS))?;
        let answers = seen(lab, &capture, "control")?;
        ensure!(answers == forged, "{backend:?}: the control: {answers} answers to forged sources");
        Ok(())
    })
}

#[test]
fn a_refused_program_gets_an_answer_at_once_and_a_forged_source_does_not() {
    for backend in [Backend::Nft, Backend::Legacy, Backend::NftablesAlone] {
        programs_get_answers(backend).unwrap();
    }
}

/// With `br_netfilter`, which Docker loads, the kernel sends a reset for a packet from a bridge back to the port of the
/// bridge. Without it, the kernel routes the reset to the source of the packet.
const ROUTE_RESETS: &str = "
    for file in /proc/sys/net/bridge/bridge-nf-call-iptables /proc/sys/net/bridge/bridge-nf-call-ip6tables; do
        if [ -e $file ]; then echo 0 >$file; fi
    done";

/// Gives a container and its bridge IPv6 addresses, and routes between them. Switches off the kernel's filter for
/// forged IPv4 sources.
const IPV6: &str = "
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    for conf in all docker0; do echo 0 >/proc/sys/net/ipv4/conf/$conf/rp_filter; done
    ip address add fd00:d0c::1/64 dev docker0 nodad
    ip -n box address add fd00:d0c::2/64 dev eth0 nodad
    ip -n box route add default via fd00:d0c::1";

fn containers_get_answers(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        let container: Container = lab.host().bridged_container("box", "docker0")?;
        lab.host().succeed(["sh", "-ec", IPV6])?;
        lab.host().succeed(["sh", "-ec", ROUTE_RESETS])?;
        backend.lock(lab, KNOWN)?;
        let capture = lab.capture()?;
        let forge_and_wait = || -> Result<usize> {
            let forged = forge(&ROUTERS)?;
            // These packets come after the forged ones.
            ensure!(send("203.0.113.9:444")? == Some(Errno::EHOSTUNREACH), "a container gets no answer");
            ensure!(send("[2001:db8:9::9]:444")? == Some(Errno::EACCES), "a container gets no answer");
            Ok(forged)
        };
        container.enter(|| gets_errors("a container", &ask))?;
        container.enter(forge_and_wait)?;
        let left = seen(lab, &capture, "first")?;
        ensure!(left == 0, "{backend:?}: {left} packets left");
        answer_everybody(lab, backend, "DOCKER_VPN_REFUSED")?;
        let forged = container.enter(forge_and_wait)?;
        let answers = seen(lab, &capture, "control")?;
        ensure!(answers == forged, "{backend:?}: the control: {answers} answers to forged sources");
        Ok(())
    })
}

#[test]
fn a_refused_container_gets_an_answer_at_once_and_a_forged_source_does_not() {
    for backend in [Backend::Nft, Backend::NftablesAlone] {
        containers_get_answers(backend).unwrap();
    }
}

#[test]
fn no_answer_goes_to_a_bridge_that_is_an_uplink() {
    with_lab(|lab| {
        lab.host().succeed(["sh", "-ec", BRIDGED_UPLINK])?;
        lab.host().succeed(["sh", "-ec", ROUTE_RESETS])?;
        // Both bridges have names of the same pattern.
        let container = lab.host().bridged_container("box", "br-box")?;
        lab.host().sysctl("net.ipv4.conf.all.rp_filter", "0")?;
        lab.host().sysctl("net.ipv4.conf.br-box.rp_filter", "0")?;
        Backend::Nft.lock(lab, KNOWN)?;
        let capture = lab.capture()?;
        let name_server = lab.host().enter(|| connect("10.0.0.1:53"))?;
        ensure!(name_server == Some(Errno::ECONNREFUSED), "DNS by TCP over the bridge: {name_server:?}");
        let forge_and_wait = || -> Result<usize> {
            let forged = forge(&[ROUTER])?;
            ensure!(send("203.0.113.9:444")? == Some(Errno::EHOSTUNREACH), "a container gets no answer");
            Ok(forged)
        };
        container.enter(forge_and_wait)?;
        let left = seen(lab, &capture, "first")?;
        ensure!(left == 0, "{left} answers left");
        answer_everybody(lab, Backend::Nft, "DOCKER_VPN_REFUSED")?;
        let forged = container.enter(forge_and_wait)?;
        let answers = seen(lab, &capture, "control")?;
        ensure!(answers == forged, "the control: {answers} answers to forged sources");
        Ok(())
    })
    .unwrap();
}

/// Another network of containers.
const SECOND_NETWORK: &str = "
    for conf in all br-one br-two; do echo 0 >/proc/sys/net/ipv4/conf/$conf/rp_filter; done
    ip address flush dev br-two
    ip address add 172.18.0.1/16 dev br-two
    ip -n two address flush dev eth0
    ip -n two address add 172.18.0.2/16 dev eth0
    ip -n two route add default via 172.18.0.1";

/// A container forges the address of a container in another network. An answer would tell that container what the
/// forged packet contains.
#[test]
fn no_answer_goes_to_a_container_of_another_network() {
    with_lab(|lab| {
        let (one, two) =
            (lab.host().bridged_container("one", "br-one")?, lab.host().bridged_container("two", "br-two")?);
        lab.host().succeed(["sh", "-ec", SECOND_NETWORK])?;
        Backend::Nft.lock(lab, KNOWN)?;
        let heard = two.enter(|| {
            let icmp = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
            icmp.set_read_timeout(Some(TIMEOUT))?;
            Ok(icmp)
        })?;
        let forge_and_wait = || -> Result<()> {
            forge(&[Ipv4Addr::new(172, 18, 0, 2).into()])?;
            ensure!(send("203.0.113.9:444")? == Some(Errno::EHOSTUNREACH), "a container gets no answer");
            Ok(())
        };
        one.enter(forge_and_wait)?;
        heard.set_nonblocking(true)?;
        let error = heard.recv(&mut [std::mem::MaybeUninit::uninit(); 128]).err();
        ensure!(error.is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock), "an answer came");
        answer_everybody(lab, Backend::Nft, "DOCKER_VPN_REFUSED")?;
        one.enter(forge_and_wait)?;
        heard.set_nonblocking(false)?;
        heard
            .recv(&mut [std::mem::MaybeUninit::uninit(); 128])
            .context("the control: an answer to a forged source")?;
        Ok(())
    })
    .unwrap();
}
