//! Programs find devices on the LAN: a question goes to a group, and the answer comes from one machine to the
//! port that asked.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

use anyhow::{Context, Result, ensure};
use tunwarden_lab::address::HOST;
use tunwarden_lab::{Frame, Lab, Transport, with_lab};

use super::{KNOWN, TIMEOUT};
use crate::support::kernel::Backend;
use crate::support::nft::fake_tool;
use crate::support::tunwarden;

/// A program on the host that asks, at this address.
fn searcher(lab: &Lab, address: &str) -> Result<UdpSocket> {
    lab.host().enter(|| {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_broadcast(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        if socket.local_addr()?.is_ipv4() {
            socket.set_multicast_ttl_v4(1)?;
        }
        Ok(socket)
    })
}

/// Sends one packet from the LAN's or the internet's side to `socket`.
fn answer(lab: &Lab, socket: &UdpSocket, from: &str) -> Result<()> {
    let sent = lab.isp().udp(&socket.local_addr()?.to_string())?.bind(from)?.send()?;
    ensure!(sent.accepted == 1, "{from} cannot send");
    Ok(())
}

/// Sends one packet from the LAN's side to an address.
fn answer_to(lab: &Lab, to: &str, from: &str) -> Result<()> {
    let sent = lab.isp().udp(to)?.bind(from)?.send()?;
    ensure!(sent.accepted == 1, "{from} cannot send to {to}");
    Ok(())
}

/// Number of questions that the kernel remembers.
fn remembered(lab: &Lab) -> Result<usize> {
    // The capture ends when every packet that the LAN has sent has arrived.
    lab.capture()?.stop()?;
    let set = lab.host().succeed(["nft", "list", "set", "inet", "tunwarden", "VPN_ASKED_V4"])?;
    Ok(set.matches("expires").count())
}

/// The senders of the packets in the queue of `socket`. First waits until no packet is on the link. Then sends one over
/// the loopback, which comes after all of them.
fn received(lab: &Lab, socket: &UdpSocket) -> Result<Vec<String>> {
    lab.capture()?.stop()?;
    let own = socket.local_addr()?;
    let fence = lab.host().enter(|| {
        let fence = UdpSocket::bind((own.ip(), 0))?;
        fence.send_to(b"fence", own)?;
        Ok(fence.local_addr()?)
    })?;
    let mut from = Vec::new();
    loop {
        let (_, sender) = socket.recv_from(&mut [0; 256]).context("the fence did not arrive")?;
        if sender == fence {
            return Ok(from);
        }
        from.push(sender.to_string());
    }
}

fn asked(frames: &[Frame], port: u16) -> usize {
    frames
        .iter()
        .filter(|frame| matches!(frame.transport(), Some(Transport::Udp { to, .. }) if to == port))
        .count()
}

/// A group, and who answers: the device, another port of it, and a machine of the internet.
const SEARCHES: [(&str, [&str; 3]); 3] = [
    ("239.255.255.250:1900", ["10.0.0.5:1900", "10.0.0.5:4000", "203.0.113.9:1900"]),
    ("224.0.0.251:5353", ["10.0.0.5:5353", "10.0.0.5:4000", "203.0.113.9:5353"]),
    ("239.255.255.250:3702", ["10.0.0.5:3702", "10.0.0.5:4000", "203.0.113.9:3702"]),
];

fn answers_come_from_the_lan(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        for (_, senders) in SEARCHES {
            let socket = searcher(lab, &HOST.to_string())?;
            for from in senders {
                answer(lab, &socket, from)?;
            }
            ensure!(received(lab, &socket)? == senders, "the control failed");
        }
        backend.lock(lab, &format!("{KNOWN}[lan]\nservices = [\"ws-discovery\"]\n"))?;
        // A service answers the group from its own port, and any machine can make it do so.
        let service = lab.host().enter(|| Ok(UdpSocket::bind((HOST, 5353))?))?;
        service.set_multicast_ttl_v4(1)?;
        service.send_to(b"I am here", "224.0.0.251:5353").context("a service's answer to the group")?;
        let early = searcher(lab, &HOST.to_string())?;
        for from in ["10.0.0.5:1900", "10.0.0.5:5353"] {
            answer(lab, &early, from)?;
        }
        ensure!(received(lab, &early)?.is_empty(), "{backend:?}: an answer came in, and nobody had asked");

        // The kernel remembers no question of a machine on the LAN either, from any port.
        answer_to(lab, "239.255.255.250:1900", "10.0.0.5:40000")?;
        ensure!(remembered(lab)? == 0, "{backend:?}: a question of others is remembered");

        let capture = lab.capture()?;
        for (group, senders) in SEARCHES {
            let (socket, other) = (searcher(lab, &HOST.to_string())?, searcher(lab, &HOST.to_string())?);
            socket.send_to(b"who is there", group).with_context(|| format!("{backend:?}: asking {group}"))?;
            for from in senders.into_iter().rev() {
                answer(lab, &socket, from)?;
                answer(lab, &other, from)?;
            }
            let came = received(lab, &socket)?;
            ensure!(came == [senders[0]], "{backend:?}: {group} was answered by {came:?}");
            let came = received(lab, &other)?;
            ensure!(came.is_empty(), "{backend:?}: {came:?} came in to a port that did not ask");
        }
        let frames = capture.stop()?;
        ensure!([1900, 5353, 3702].map(|port| asked(&frames, port)) == [1; 3], "a question did not leave");
        Ok(())
    })
}

#[test]
fn an_answer_comes_from_the_lan_after_a_question_and_not_before_with_nft() {
    answers_come_from_the_lan(Backend::Nft).unwrap();
}

#[test]
fn an_answer_comes_from_the_lan_after_a_question_and_not_before_with_legacy() {
    answers_come_from_the_lan(Backend::Legacy).unwrap();
}

#[test]
fn an_answer_comes_from_the_lan_after_a_question_and_not_before_with_nftables_alone() {
    answers_come_from_the_lan(Backend::NftablesAlone).unwrap();
}

#[test]
fn one_question_by_mdns_over_ipv6_is_answered() {
    with_lab(|lab| {
        Backend::NftablesAlone.lock(lab, KNOWN)?;
        let socket = searcher(lab, "fd00:0:0:1::2")?;
        answer(lab, &socket, "[fd00:0:0:1::1]:5353")?;
        ensure!(received(lab, &socket)?.is_empty(), "an answer came in, and nobody had asked");
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
        let link = lab.host().read("/sys/class/net/eth0/ifindex")?.trim().parse()?;
        socket.send_to(b"who is there", SocketAddr::V6(SocketAddrV6::new(group, 5353, 0, link)))?;
        answer(lab, &socket, "[fd00:0:0:1::1]:4000")?;
        answer(lab, &socket, "[fd00:0:0:1::1]:5353")?;
        let came = received(lab, &socket)?;
        ensure!(came == ["[fd00:0:0:1::1]:5353"], "answered by {came:?}");
        Ok(())
    })
    .unwrap();
}

/// A kernel without `xt_recent`.
const WITHOUT_RECENT: &str = r#"
    text=$(cat)
    case $text in *"-m recent"*)
        echo "$(basename $0): line 9: RULE_APPEND failed (No such file or directory): rule in chain X" >&2
        exit 4 ;;
    esac
    printf '%s\n' "$text" | exec $real "$@""#;

#[test]
fn without_xt_recent_the_lock_holds_and_no_answer_comes_in() {
    with_lab(|lab| {
        for tool in ["iptables-restore", "ip6tables-restore"] {
            fake_tool(lab, tool, WITHOUT_RECENT)?;
        }
        lab.host().file("/etc/tunwarden/config.toml", KNOWN)?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.success(), "{lock:?}");
        ensure!((lock.stdout + &lock.stderr).contains("answers to discovery on the LAN do not come in"));
        let verify = tunwarden(lab, ["verify"])?;
        ensure!(verify.status.success(), "{verify:?}");
        let socket = searcher(lab, &HOST.to_string())?;
        let capture = lab.capture()?;
        socket.send_to(b"who is there", "239.255.255.250:1900")?;
        answer(lab, &socket, "10.0.0.5:1900")?;
        ensure!(received(lab, &socket)?.is_empty(), "an answer came in");
        ensure!(asked(&capture.stop()?, 1900) == 1, "the question did not leave");
        Ok(())
    })
    .unwrap();
}

/// Sends the questions of the services that `lan.services` names. Returns how many packets of each leave.
fn questions(lab: &Lab) -> Result<Vec<usize>> {
    let groups = [
        "239.255.255.250:3702",
        "224.0.0.167:53317",
        "255.255.255.255:1716",
        "255.255.255.255:9",
        "255.255.255.255:4000",
    ];
    let capture = lab.capture()?;
    let socket = searcher(lab, &HOST.to_string())?;
    for group in groups {
        // A refusal is an error here, and the capture shows what left.
        let _refused = socket.send_to(b"hello", group);
    }
    let frames = capture.stop()?;
    Ok([3702, 53317, 1716, 9, 4000].map(|port| asked(&frames, port)).to_vec())
}

/// Which ports of the services the LAN and the internet reach.
fn reached(lab: &Lab) -> Result<[bool; 2]> {
    let socket = lab.host().enter(|| {
        let socket = UdpSocket::bind("10.0.0.2:1716")?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        Ok(socket)
    })?;
    for from in ["10.0.0.5:4000", "203.0.113.9:4000"] {
        answer(lab, &socket, from)?;
    }
    let came = received(lab, &socket)?;
    Ok(["10.0.0.5:4000", "203.0.113.9:4000"].map(|from| came.iter().any(|sender| sender == from)))
}

#[test]
fn a_service_of_the_lan_is_open_by_its_name_alone() {
    with_lab(|lab| {
        ensure!(questions(lab)? == [1; 5] && reached(lab)? == [true; 2], "the control failed");
        for backend in [Backend::Nft, Backend::Legacy] {
            backend.lock(lab, KNOWN)?;
            let (left, came) = (questions(lab)?, reached(lab)?);
            ensure!(
                left == [0; 5] && came == [false; 2],
                "{backend:?}: {left:?} {came:?} without their names"
            );
            let named =
                "[lan]\nservices = [\"ws-discovery\", \"localsend\", \"kde-connect\", \"wake-on-lan\"]\n";
            backend.lock(lab, &format!("{KNOWN}{named}"))?;
            let (left, came) = (questions(lab)?, reached(lab)?);
            ensure!(
                left == [1, 1, 1, 1, 0] && came == [true, false],
                "{backend:?}: {left:?} {came:?} by name"
            );
        }
        Ok(())
    })
    .unwrap();
}
