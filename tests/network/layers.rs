//! Two layers: one blocks what the other cannot block, and each alone changes no table of the other.

mod tables;

use crate::support;

use anyhow::{Context, Result, ensure};
use support::{SOON, agent, bus, status, tunwarden, wait_for_state};
use tunwarden_lab::{Capture, Contract, Frame, Lab, Process, Uplink, wait_for, with_lab};

const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\", \"[2001:db8:7::7]\"]\n";
const IPTABLES: &str = "[firewall]\nlayers = [\"iptables\"]\n";

/// Commands for a container that shares the host's card. It has addresses of the LAN and its own routes.
const MACVLAN: &str = "
    mkdir -p /run/netns
    ip netns add box
    ip link add mv0 link eth0 type macvlan mode bridge
    ip link set mv0 netns box
    ip -n box addr add 10.0.0.77/24 dev mv0
    ip -n box addr add fd00:0:0:1::77/64 dev mv0 nodad
    ip -n box link set mv0 up
    ip -n box route add default via 10.0.0.1
    ip -n box route add default via fd00:0:0:1::1";

/// Sends at least 2,000 packets per second in both families, without end. It runs as root, so that a rule for
/// an owner could match.
const FLOOD: &str = "
    exec 9<>/run/pipe 2>/dev/null || { mkfifo /run/pipe; exec 9<>/run/pipe; }
    while :; do
        for n in 1 2 3 4 5 6 7 8 9 10; do
            echo flood >/dev/udp/203.0.113.77/4000
            echo flood >/dev/udp/2001:db8:9::77/4000
        done 2>/dev/null
        read -t 0.008 -u 9
    done";

const MACVLAN_V4: &str = "203.0.113.77";

fn macvlan(lab: &Lab) -> Result<()> {
    lab.host().succeed(["sh", "-ec", MACVLAN]).map(drop)
}

fn macvlan_flood(lab: &Lab) -> Result<Process> {
    lab.host().spawn(["ip", "netns", "exec", "box", "bash", "-c", FLOOD])
}

/// How many packets the container has tried to send, as counted in its network namespace.
fn tried(lab: &Lab) -> Result<u64> {
    let count = ["ip", "netns", "exec", "box", "nstat", "-asz", "IpOutRequests"];
    let text = lab.host().succeed(count)?;
    let line = text.lines().find(|line| line.starts_with("IpOutRequests")).context(text.clone())?;
    Ok(line.split_whitespace().nth(1).context("no count")?.parse()?)
}

fn lock(lab: &Lab, config: &str) -> Result<()> {
    lab.host().file("/etc/tunwarden/config.toml", config)?;
    let output = tunwarden(lab, ["lock"])?;
    ensure!(output.status.success(), "lock: {}", output.stderr);
    Ok(())
}

fn contract() -> Result<Contract> {
    let lan = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.lan("fe80::/10")?;
    Ok(lan.discovery())
}

fn tagged(frames: &[Frame], tag: &str) -> usize {
    frames.iter().filter(|frame| frame.is_tagged(tag)).count()
}

/// How many of three frames of a raw packet socket leave for each target.
fn raw(lab: &Lab, device: &str, user: &str, targets: &[&str]) -> Result<Vec<usize>> {
    let capture = lab.capture()?;
    for (n, target) in targets.iter().enumerate() {
        let probe = lab.host().raw(device, target)?.from_user(user).count(3);
        probe.tag(&format!("raw-{n}")).send()?;
    }
    let seen = capture.stop()?;
    Ok((0..targets.len()).map(|n| tagged(&seen, &format!("raw-{n}"))).collect())
}

/// Targets that a raw sender must not reach: the internet, a name server on the LAN, and a routed private
/// address.
const BEYOND: [&str; 5] =
    ["203.0.113.9:4000", "[2001:db8:9::9]:4000", "10.0.0.1:53", "[fd00:0:0:1::1]:853", "10.77.0.1:4000"];

#[test]
fn a_raw_sender_stops_at_the_wire() -> Result<()> {
    with_lab(|lab| {
        lock(lab, &format!("{KNOWN}{IPTABLES}"))?;
        ensure!(raw(lab, "eth0", "root", &BEYOND)? == [3; 5], "the control: it passes beneath iptables");
        lock(lab, KNOWN)?;
        ensure!(raw(lab, "eth0", "root", &BEYOND)? == [0; 5], "it left");
        // Only root may reach the server. Every user may reach the LAN.
        let near = ["198.51.100.7:1194", "10.0.0.5:4000"];
        ensure!(raw(lab, "eth0", "root", &near)? == [3, 3], "root does not reach the server");
        ensure!(raw(lab, "eth0", "nobody", &near)? == [0, 3], "nobody reaches the server");
        Ok(())
    })
}

#[test]
fn a_container_on_the_hosts_card_stops_at_the_wire() -> Result<()> {
    with_lab(|lab| {
        macvlan(lab)?;
        let send = |target: &str| {
            let script = format!("echo flood >/dev/udp/{target}");
            lab.host().run(["ip", "netns", "exec", "box", "bash", "-c", &script])
        };
        let reached = |targets: &[&str]| -> Result<Vec<bool>> {
            let capture = lab.capture()?;
            for target in targets {
                send(target)?;
            }
            let seen = capture.stop()?;
            let to = |target: &&str| {
                let address = target.split('/').next().and_then(|address| address.parse().ok());
                seen.iter().any(|frame| address.is_some() && frame.destination() == address)
            };
            Ok(targets.iter().map(to).collect())
        };
        let beyond = ["203.0.113.9/4000", "2001:db8:9::9/4000", "198.51.100.7/1194", "10.0.0.1/53"];
        lock(lab, &format!("{KNOWN}{IPTABLES}"))?;
        ensure!(reached(&beyond)? == [true; 4], "the control: it passes beneath iptables");
        lock(lab, KNOWN)?;
        ensure!(reached(&beyond)? == [false; 4], "it left");
        // The allowance for the server holds for root of the host, and not for root of the container.
        ensure!(reached(&["10.0.0.5/4000"])? == [true], "it does not reach the LAN");
        Ok(())
    })
}

/// A tunnel, and rules of another program that move packets out of it. The kernel routes these packets a
/// second time after the rules of the OUTPUT hook have begun. That hook sees the tunnel as their output link.
const ROUTED_AGAIN: &str = "
    ip tuntap add tun0 mode tun
    ip addr add 10.8.0.2/24 dev tun0
    ip link set tun0 up
    ip route add 203.0.113.0/24 dev tun0
    ip rule add fwmark 7 table 77
    ip route add default via 10.0.0.1 dev eth0 table 77
    iptables -t mangle -A OUTPUT -p udp --dport 4000 -j MARK --set-mark 7
    iptables -t nat -A OUTPUT -d 203.0.113.8 -p udp --dport 4001 -j DNAT --to-destination 198.51.100.9";

#[test]
fn packets_that_others_move_out_of_the_tunnel_stop_at_the_wire() -> Result<()> {
    with_lab(|lab| {
        lab.host().succeed(["sh", "-ec", ROUTED_AGAIN])?;
        let left = |config: &str| -> Result<[usize; 2]> {
            lock(lab, config)?;
            let capture = lab.capture()?;
            for (target, tag) in [("203.0.113.9:4000", "marked"), ("203.0.113.8:4001", "redirected")] {
                lab.host().udp(target)?.from_user("nobody").count(3).tag(tag).send()?;
            }
            let seen = capture.stop()?;
            Ok([tagged(&seen, "marked"), tagged(&seen, "redirected")])
        };
        ensure!(left(&format!("{KNOWN}{IPTABLES}"))? == [3; 2], "the control: iptables sees the tunnel");
        ensure!(left(KNOWN)? == [0; 2], "it left");
        ensure!(left("[firewall]\nlayers = [\"nftables\"]\n")? == [0; 2], "it left beneath iptables");
        Ok(())
    })
}

/// What other programs do to iptables during the floods.
const FLUSHES: [&str; 6] = [
    "iptables -F; ip6tables -F",
    "iptables -F; iptables -X; ip6tables -F; ip6tables -X",
    "iptables -P OUTPUT ACCEPT; ip6tables -P OUTPUT ACCEPT; iptables -P FORWARD ACCEPT",
    "iptables -t mangle -F; ip6tables -t mangle -F",
    "printf '*filter\\nCOMMIT\\n' | tee /run/empty | iptables-restore; ip6tables-restore </run/empty",
    "nft delete table ip filter; nft delete table ip6 filter",
];

#[test]
fn no_flush_of_iptables_opens_anything() -> Result<()> {
    with_lab(|lab| {
        macvlan(lab)?;
        let capture = lab.capture()?;
        let floods = [
            lab.host().udp("203.0.113.9:5000")?.from_user("nobody").tag("host").flood(2000)?,
            lab.host().raw("eth0", "203.0.113.9:5001")?.tag("raw").flood(500)?,
        ];
        let _container = macvlan_flood(lab)?;
        is_seen(&capture, "without tunwarden")?;
        lock(lab, KNOWN)?;
        let from = capture.so_far()?.len();
        for flush in FLUSHES {
            lock(lab, KNOWN)?;
            let before = tried(lab)?;
            lab.host().succeed(["sh", "-ec", flush])?;
            floods.iter().try_for_each(|flood| flood.await_more(200))?;
            wait_for("the container tries", SOON, || Ok((tried(lab)? > before + 400).then_some(())))?;
            contract()?.check(&capture.so_far()?[from..]).with_context(|| flush.to_owned())?;
        }
        let verify = tunwarden(lab, ["verify"])?;
        ensure!(verify.stdout.contains("iptables filter:"), "verify does not report it: {verify:?}");
        ensure!(!verify.stdout.contains("nft "), "{}", verify.stdout);
        let layers = status(lab)?["layers"].clone();
        ensure!(layers[0]["enforced"] == false && layers[1]["enforced"] == true, "{layers}");
        lab.host().succeed(["nft", "flush", "ruleset"])?;
        is_seen(&capture, "the control: all of nftables flushed")
    })
}

/// Waits until new packets of each flood leave.
fn is_seen(capture: &Capture, why: &str) -> Result<()> {
    let so_far = capture.so_far()?;
    let container = |frame: &Frame| frame.destination().is_some_and(|to| to.to_string() == MACVLAN_V4);
    for tag in ["host", "raw"] {
        let seen = capture.wait_for(tagged(&so_far, tag) + 20, SOON, |frame| frame.is_tagged(tag));
        seen.with_context(|| format!("{why}: {tag}"))?;
    }
    let before = so_far.iter().filter(|frame| container(frame)).count();
    capture.wait_for(before + 20, SOON, container).with_context(|| format!("{why}: the container"))
}

#[test]
fn a_link_that_appears_and_one_that_comes_back_are_held() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _agent = agent(lab, KNOWN)?;
        lab.add_uplink(Uplink::numbered("usb0", 1))?;
        ensure!(hooked(lab, "usb0").is_ok(), "{}", wires(lab)?);
        ensure!(raw(lab, "usb0", "root", &["203.0.113.9:4000"])? == [0], "a raw sender left by usb0");
        // After unplugging and plugging in again it is a new link with the same name.
        lab.host().succeed(["ip", "link", "del", "usb0"])?;
        wait_for("usb0 is gone from the table", SOON, || Ok((!wires(lab)?.contains("usb0")).then_some(())))?;
        lab.add_uplink(Uplink::numbered("usb0", 1))?;
        hooked(lab, "usb0")?;
        ensure!(raw(lab, "usb0", "root", &["203.0.113.9:4000"])? == [0], "a raw sender left by it again");
        ensure!(status(lab)?["repairs"] == 0, "a cable is no repair: {}", status(lab)?);
        Ok(())
    })
}

#[test]
fn an_uplink_without_its_address_is_held_by_the_agent_and_by_the_next_one() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        macvlan(lab)?;
        let capture = lab.capture()?;
        let floods = lab.host().raw("eth0", "203.0.113.9:5001")?.tag("raw").flood(500)?;
        let _container = macvlan_flood(lab)?;
        let container = |frame: &Frame| frame.destination().is_some_and(|to| to.to_string() == MACVLAN_V4);
        capture.wait_for(20, SOON, container).context("the control: without tunwarden")?;
        let first = agent(lab, KNOWN)?;
        let from = capture.so_far()?.len();
        let held = |what: &str| -> Result<()> {
            let before = tried(lab)?;
            floods.await_more(200)?;
            wait_for("the container tries", SOON, || Ok((tried(lab)? > before + 200).then_some(())))?;
            contract()?.check(&capture.so_far()?[from..]).with_context(|| what.to_owned())?;
            hooked(lab, "eth0").with_context(|| what.to_owned())
        };
        held("with its address")?;
        // `nmcli connection up` also does this.
        lab.host().succeed(["ip", "addr", "flush", "dev", "eth0"])?;
        wait_for("the LAN is gone from the rules", SOON, || {
            Ok((!lab.host().succeed(["iptables", "-S", "VPN_LAN"])?.contains("-o eth0")).then_some(()))
        })?;
        held("without its address")?;
        drop(first);
        let second = support::start_agent(lab)?;
        held("the next agent")?;
        drop(second);
        lock(lab, KNOWN)?;
        held("a lock without an agent")?;
        let _third = support::start_agent(lab)?;
        held("the agent after it")?;
        lab.host().succeed(["ip", "addr", "add", "10.0.0.2/24", "dev", "eth0"])?;
        held("with its address again")?;
        ensure!(status(lab)?["repairs"] == 0, "no repair: {}", status(lab)?);
        Ok(())
    })
}

#[test]
fn a_bridge_that_gets_its_first_container_is_no_repair() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let agent = agent(lab, KNOWN)?;
        for n in 0..5 {
            let bridge = format!("mybr{n}");
            lab.host().succeed(["ip", "link", "add", &bridge, "type", "bridge"])?;
            let (port, far) = (format!("port{n}"), format!("far{n}"));
            lab.host().succeed(["ip", "link", "add", &port, "type", "veth", "peer", "name", &far])?;
            hooked(lab, &bridge)?;
            // A bridge that appears and disappears makes the agent check everything.
            let batch =
                format!("link add other type bridge\nlink set {port} master {bridge}\nlink del other\n");
            lab.host().command(["ip", "-batch", "-"]).stdin(&batch).succeed()?;
            let gone = || Ok((!wires(lab)?.contains(&bridge)).then_some(()));
            wait_for(&format!("{bridge} is no wire any more"), SOON, gone)?;
        }
        hooked(lab, "eth0")?;
        ensure!(status(lab)?["repairs"] == 0, "counted as a repair: {}\n{}", status(lab)?, agent.log());
        // The control: a change by another program in the same chain is a repair.
        lab.host().succeed(["nft", "flush", "ruleset"])?;
        wait_for("a repair", SOON, || Ok((status(lab)?["repairs"] != 0).then_some(())))
    })
}

fn wires(lab: &Lab) -> Result<String> {
    lab.host().succeed(["nft", "list", "chain", "netdev", "tunwarden", "egress"])
}

fn hooked(lab: &Lab, device: &str) -> Result<()> {
    wait_for(&format!("the wire of {device} is held"), SOON, || {
        Ok((wires(lab)?.contains(device) && status(lab)?["enforced"] == true).then_some(()))
    })
}

#[test]
fn a_pause_opens_the_wire_and_the_kernel_closes_it() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let mut agent = agent(lab, KNOWN)?;
        ensure!(raw(lab, "eth0", "root", &BEYOND)? == [0; 5]);
        let output = tunwarden(lab, ["pause", "20s"])?;
        ensure!(output.status.success(), "{output:?}");
        ensure!(raw(lab, "eth0", "root", &BEYOND)? == [3; 5], "a pause leaves the wire shut");
        agent.kill()?;
        wait_for("the kernel closes the wire", SOON, || {
            Ok((raw(lab, "eth0", "root", &BEYOND)? == [0; 5]).then_some(()))
        })?;
        ensure!(lab.host().udp(BEYOND[0])?.send()?.forbidden() == 1, "nobody closed");
        Ok(())
    })
}

#[test]
fn without_nft_both_layers_hold() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let hide = "mkdir -p /run/sbin/upper /run/sbin/work; \
             mount -t overlay -o lowerdir=/usr/sbin,upperdir=/run/sbin/upper,workdir=/run/sbin/work overlay /usr/sbin; \
             rm /usr/sbin/nft";
        lab.host().succeed(["sh", "-ec", hide])?;
        lock(lab, KNOWN)?;
        ensure!(raw(lab, "eth0", "root", &BEYOND)? == [0; 5], "the wire is open");
        ensure!(tunwarden(lab, ["verify"])?.status.success());
        let mut agent = support::start_agent(lab)?;
        wait_for_state(lab, "locked")?;
        let layer = status(lab)?["layers"][1].clone();
        ensure!(layer["enforced"] == true && layer["lacks"].is_null() && layer["owned"] == true, "{layer}");
        ensure!(tunwarden(lab, ["pause", "60s"])?.status.success());
        ensure!(raw(lab, "eth0", "root", &BEYOND)? == [3; 5], "the control: a pause opens the wire");
        ensure!(tunwarden(lab, ["resume"])?.status.success());
        ensure!(raw(lab, "eth0", "root", &BEYOND)? == [0; 5], "the wire is open after the pause");
        agent.kill()?;
        let release = tunwarden(lab, ["release", "--yes"])?;
        ensure!(release.status.success(), "{release:?}");
        ensure!(raw(lab, "eth0", "root", &BEYOND)? == [3; 5], "the release left the wire shut");
        Ok(())
    })
}
