//! Links whose name or whose lease is misleading.

use anyhow::{Result, ensure};
use tunwarden_lab::{Contract, Lab, Transport, Uplink, with_lab};

use super::{KNOWN, TIMEOUT};
use crate::support::kernel::Backend;

/// How many packets to each target leave on an interface, from root and nobody together.
fn leave(lab: &Lab, device: &str, targets: &[&str]) -> Result<Vec<usize>> {
    let capture = lab.capture()?;
    for target in targets {
        for user in ["root", "nobody"] {
            lab.host().udp(target)?.on(device).from_user(user).tag(target).send()?;
        }
    }
    // Every packet is captured: `meet` has resolved the neighbours before.
    let seen = capture.stop()?;
    Ok(targets.iter().map(|target| seen.iter().filter(|frame| frame.is_tagged(target)).count()).collect())
}

/// Resolves neighbours in advance. A packet that waits for its neighbour would appear late in the capture.
fn meet(lab: &Lab, device: &str, neighbours: &[&str]) -> Result<()> {
    for neighbour in neighbours {
        let sent = lab.host().ping(neighbour.parse::<std::net::IpAddr>()?).on(device);
        ensure!(sent.await_answers(TIMEOUT).send()?.answered == 1, "{neighbour} is not there on {device}");
    }
    Ok(())
}

#[test]
fn a_lease_for_a_public_prefix_opens_nothing() {
    with_lab(|lab| {
        // TunnelCrack's LocalNet: the router claims that the internet is on the link.
        for address in ["203.0.113.66/24", "2001:db8:9::66/48"] {
            lab.host().succeed(["ip", "addr", "add", address, "dev", "eth0", "nodad"])?;
        }
        let targets =
            ["203.0.113.9:4000", "203.0.113.9:1194", "[2001:db8:9::9]:4000", "[2001:db8:1::1]:4000"];
        meet(lab, "eth0", &["2001:db8:1::1", "10.0.0.1"])?;
        let card = lab.isp().read("/sys/class/net/isp0/address")?;
        for neighbour in ["203.0.113.9", "2001:db8:9::9"] {
            lab.host().succeed(["ip", "neigh", "add", neighbour, "lladdr", card.trim(), "dev", "eth0"])?;
        }
        ensure!(leave(lab, "eth0", &targets)? == [2; 4], "the control failed");
        Backend::Nft.lock(lab, KNOWN)?;
        ensure!(leave(lab, "eth0", &targets)? == [0; 4], "a public prefix on the link is the LAN");
        ensure!(leave(lab, "eth0", &["10.0.0.1:4000"])? == [2], "the private one is not, any more");
        Ok(())
    })
    .unwrap();
}

/// Targets that a card must not reach: the internet, the router's DNS, another LAN.
const BEYOND: [&str; 6] = [
    "203.0.113.9:4000",
    "203.0.113.9:443",
    "[2001:db8:9::9]:4000",
    "10.0.1.1:53",
    "[fd00:0:0:2::1]:853",
    "10.77.0.1:4000",
];

#[test]
fn a_network_card_that_is_named_like_a_tunnel_is_shut_out() {
    with_lab(|lab| {
        lab.add_uplink(Uplink::numbered("tunusb0", 1))?;
        meet(lab, "tunusb0", &["10.0.1.1", "fd00:0:0:2::1", "fe80::1"])?;
        ensure!(leave(lab, "tunusb0", &BEYOND)? == [2; 6], "the control failed");
        Backend::Nft.lock(lab, KNOWN)?;
        ensure!(leave(lab, "tunusb0", &BEYOND)? == [0; 6], "a card named tunusb0 counts as a tunnel");
        ensure!(leave(lab, "tunusb0", &["10.0.1.1:4000"])? == [2], "its LAN is shut");
        Ok(())
    })
    .unwrap();
}

/// Locks, then adds a card with this name, without an agent. Returns how many packets leave on the card.
fn leave_by_a_late_card(backend: Backend, name: &str) -> Result<Vec<usize>> {
    let mut left = Vec::new();
    with_lab(|lab| {
        backend.lock(lab, KNOWN)?;
        lab.add_uplink(Uplink::numbered(name, 1))?;
        for neighbour in ["10.0.1.1", "fd00:0:0:2::1", "fe80::1"] {
            let card = lab.isp().read("/sys/class/net/isp1/address")?;
            lab.host().succeed(["ip", "neigh", "replace", neighbour, "lladdr", card.trim(), "dev", name])?;
        }
        left = leave(lab, name, &BEYOND)?;
        Ok(())
    })?;
    Ok(left)
}

#[test]
fn a_card_that_takes_a_tunnel_s_or_a_bridge_s_name_after_the_lock_is_known_by_its_kind() {
    // The controls: iptables matches links by name only.
    let by_tunnel = leave_by_a_late_card(Backend::IptablesAlone, "tunusb0").unwrap();
    assert_eq!(by_tunnel, [2; 6], "the control: by its name it is a tunnel");
    let by_bridge = leave_by_a_late_card(Backend::IptablesAlone, "br-wan").unwrap();
    assert_eq!(by_bridge, [0, 0, 0, 2, 2, 2], "the control: by its name it is a bridge of containers");
    for backend in [Backend::Nft, Backend::Legacy, Backend::NftablesAlone] {
        for name in ["tunusb0", "br-wan"] {
            assert_eq!(leave_by_a_late_card(backend, name).unwrap(), [0; 6], "{name} with {backend:?}");
        }
    }
}

/// Puts the first link into a bridge of this machine, `br-lan`, with all its addresses.
fn bridge_the_uplink(lab: &Lab) -> Result<()> {
    let bridged = "link add br-lan type bridge\nlink set br-lan up\nlink set eth0 master br-lan\n\
         addr flush dev eth0\naddr add 10.0.0.2/24 dev br-lan\n\
         addr add fd00:0:0:1::2/64 dev br-lan nodad\naddr add 2001:db8:1::2/64 dev br-lan nodad\n\
         route add default via 10.0.0.1 dev br-lan\nroute add ::/0 via fe80::1 dev br-lan\n";
    lab.host().command(["ip", "-batch", "-"]).stdin(bridged).succeed().map(drop)
}

#[test]
fn a_container_in_a_bridge_with_the_uplink_stops_at_the_wire() {
    with_lab(|lab| {
        bridge_the_uplink(lab)?;
        // With these settings the tables of iptables do not see bridged packets.
        for family in ["iptables", "ip6tables"] {
            lab.host().sysctl(&format!("net.bridge.bridge-nf-call-{family}"), "0")?;
        }
        let container = "netns add box\nlink add veth0 type veth peer name eth0 netns box\n\
             link set veth0 master br-lan up\n\
             netns exec box ip addr add 10.0.0.77/24 dev eth0\nnetns exec box ip link set eth0 up\n\
             netns exec box ip route add default via 10.0.0.1\n";
        lab.host().succeed(["mkdir", "-p", "/run/netns"])?;
        lab.host().command(["ip", "-batch", "-"]).stdin(container).succeed()?;
        let reached = || -> Result<Vec<bool>> {
            let capture = lab.capture()?;
            let targets = ["203.0.113.9/4000", "10.77.0.1/4000", "10.0.0.1/53", "10.0.0.5/4000"];
            for target in targets {
                let script = format!("echo probe >/dev/udp/{target}");
                lab.host().succeed(["ip", "netns", "exec", "box", "bash", "-c", &script])?;
            }
            let seen = capture.stop()?;
            let left = |target: &str| {
                let (address, port) = target.split_once('/').unwrap_or_default();
                seen.iter().any(|frame| {
                    let to = match frame.transport() {
                        Some(Transport::Udp { to, .. }) => to.to_string(),
                        _ => String::new(),
                    };
                    frame.destination().is_some_and(|to| to.to_string() == address) && to == port
                })
            };
            Ok(targets.into_iter().map(left).collect())
        };
        Backend::IptablesAlone.lock(lab, KNOWN)?;
        ensure!(reached()? == [true; 4], "the control: it passes beneath iptables");
        for backend in [Backend::Nft, Backend::NftablesAlone] {
            backend.lock(lab, KNOWN)?;
            ensure!(reached()? == [false, false, false, true], "with {backend:?} it left, or lacks the LAN");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_bridge_with_the_uplink_in_it_is_the_uplink_and_not_a_container_bridge() {
    with_lab(|lab| {
        bridge_the_uplink(lab)?;
        let beyond = [
            "203.0.113.9:4000",
            "[2001:db8:9::9]:4000",
            "10.0.0.1:53",
            "[fd00:0:0:1::1]:53",
            "10.77.0.1:4000",
        ];
        meet(lab, "br-lan", &["10.0.0.1", "fd00:0:0:1::1", "fe80::1"])?;
        ensure!(leave(lab, "br-lan", &beyond)? == [2; 5], "the control failed");
        Backend::Nft.lock(lab, KNOWN)?;
        let capture = lab.capture()?;
        ensure!(leave(lab, "br-lan", &beyond)? == [0; 5], "br-lan counts as a bridge of containers");
        ensure!(leave(lab, "br-lan", &["10.0.0.1:4000"])? == [2], "its LAN is shut");
        let lan = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.lan("fe80::/10")?;
        lan.discovery().check(&capture.stop()?)
    })
    .unwrap();
}

#[test]
fn the_host_reaches_its_containers_while_locked() {
    with_lab(|lab| {
        let container = "link add docker0 type bridge\naddr add 172.17.0.1/16 dev docker0\nlink set docker0 up\n\
             netns add box\nlink add veth0 type veth peer name eth0 netns box\n\
             link set veth0 master docker0 up\n\
             netns exec box ip addr add 172.17.0.2/16 dev eth0\nnetns exec box ip link set eth0 up\n";
        lab.host().succeed(["mkdir", "-p", "/run/netns"])?;
        lab.host().command(["ip", "-batch", "-"]).stdin(container).succeed()?;
        Backend::Nft.lock(lab, KNOWN)?;
        let sent = lab.host().ping([172, 17, 0, 2]).await_answers(TIMEOUT).send()?;
        ensure!(sent.answered == 1, "the host does not reach its container");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_virtual_machine_that_asks_by_broadcast_gets_its_lease_and_no_uplink_gets_the_answer() {
    // A bridge with a machine on it, without libvirt.
    let bridge = "link add virbr0 type bridge\naddr add 192.168.122.1/24 dev virbr0\nlink add vnet0 type veth peer name vm0\n\
         link set vnet0 master virbr0 up\nlink set vm0 up\nlink set virbr0 up\n";
    for backend in [Backend::Nft, Backend::Legacy] {
        with_lab(|lab| {
            lab.host().command(["ip", "-batch", "-"]).stdin(bridge).succeed()?;
            let send = |device: &str, ports: (u16, u16)| {
                let from = format!("192.168.122.1:{}", ports.0);
                let offer = lab.host().udp(&format!("255.255.255.255:{}", ports.1))?.bind(&from)?.on(device);
                anyhow::Ok(offer.send()?.accepted)
            };
            let all = || {
                anyhow::Ok([send("virbr0", (67, 68))?, send("virbr0", (67, 4000))?, send("eth0", (67, 68))?])
            };
            ensure!(all()? == [1, 1, 1], "the control failed");
            backend.lock(lab, KNOWN)?;
            let sent = all()?;
            ensure!(
                sent == [1, 0, 0],
                "{backend:?}: the answer on the bridge, another packet, an uplink: {sent:?}"
            );
            Ok(())
        })
        .unwrap();
    }
}
