//! What a link needs when the LAN is closed too: leases and neighbours.

use anyhow::{Result, ensure};
use tunwarden_lab::{Contract, Lab, wait_for, with_lab};

use super::TIMEOUT;
use crate::support::kernel::Backend;

const NO_LAN: &str = "[lan]\nallow = false\n[bootstrap]\nscope = \"known\"\n";

/// The packets of a DHCP client: source and destination.
const LEASES: [(&str, &str); 5] = [
    ("0.0.0.0:68", "255.255.255.255:67"),
    ("10.0.0.2:68", "10.0.0.1:67"),
    ("10.0.0.2:68", "10.77.0.1:67"),
    ("[::]:546", "[ff02::1:2]:547"),
    ("[fd00:0:0:1::2]:546", "[fd00:0:0:1::1]:547"),
];

/// Packets that only look like those of a DHCP client.
const NO_LEASES: [(&str, &str); 8] = [
    ("10.0.0.2:68", "203.0.113.9:67"),
    ("10.0.0.2:67", "10.0.0.1:67"),
    ("10.0.0.2:68", "10.0.0.1:68"),
    ("10.0.0.2:68", "10.0.0.1:53"),
    ("[2001:db8:1::2]:546", "[2001:db8:9::9]:547"),
    ("[fd00:0:0:1::2]:547", "[fd00:0:0:1::1]:547"),
    ("[fd00:0:0:1::2]:546", "[fd00:0:0:1::1]:53"),
    ("[::]:5353", "[ff02::fb]:5353"),
];

/// Sends each packet once as `user`. Returns how many of each left.
fn leave(lab: &Lab, user: &str, ways: &[(&str, &str)]) -> Result<Vec<usize>> {
    let capture = lab.capture()?;
    for (n, (from, to)) in ways.iter().enumerate() {
        let probe = lab.host().udp(to)?.bind(from)?.on("eth0").from_user(user);
        probe.tag(&format!("{user}-{n}")).send()?;
    }
    let seen = capture.stop()?;
    let tagged = |n| seen.iter().filter(|frame| frame.is_tagged(&format!("{user}-{n}"))).count();
    Ok((0..ways.len()).map(tagged).collect())
}

fn only_leases_and_neighbours(backend: Backend) -> Result<()> {
    with_lab(|lab| {
        for user in ["root", "nobody"] {
            for ways in [&LEASES[..], &NO_LEASES[..]] {
                // A packet that comes before the link knows its neighbour can be lost.
                wait_for(&format!("the control: each packet of {user} leaves"), TIMEOUT, || {
                    Ok(leave(lab, user, ways)?.iter().all(|&left| left == 1).then_some(()))
                })?;
            }
        }
        backend.lock(lab, NO_LAN)?;
        let capture = lab.capture()?;
        ensure!(leave(lab, "root", &LEASES)? == [1; 5], "root cannot renew a lease");
        ensure!(leave(lab, "nobody", &LEASES)? == [0; 5], "nobody renews a lease");
        for user in ["root", "nobody"] {
            ensure!(leave(lab, user, &NO_LEASES)? == [0; 8], "{user} sends what only looks like a lease");
        }
        for target in ["10.0.0.5:4000", "[fd00:0:0:1::1]:4000", "[fe80::1]:4000"] {
            let sent = lab.host().udp(target)?.on("eth0").send()?;
            ensure!(sent.accepted == 0, "the LAN is shut, but not {target}");
        }
        let contract = || Contract::locked();
        contract().check(&capture.so_far()?)?;
        // The host still answers a neighbour that asks for it: the link stays usable.
        lab.isp().succeed(["ip", "neigh", "flush", "all"])?;
        lab.isp().udp("[fd00:0:0:1::2]:9")?.send()?;
        let advertised = |frame: &tunwarden_lab::Frame| {
            matches!(frame.transport(), Some(tunwarden_lab::Transport::Icmpv6(136)))
        };
        capture.wait_for(1, TIMEOUT, advertised)?;
        contract().check(&capture.stop()?)
    })
}

#[test]
fn without_the_lan_only_roots_leases_and_neighbours_pass_with_nft() {
    only_leases_and_neighbours(Backend::Nft).unwrap();
}

#[test]
fn without_the_lan_only_roots_leases_and_neighbours_pass_with_legacy() {
    only_leases_and_neighbours(Backend::Legacy).unwrap();
}

#[test]
fn without_the_lan_only_roots_leases_and_neighbours_pass_with_iptables_alone() {
    only_leases_and_neighbours(Backend::IptablesAlone).unwrap();
}

#[test]
fn without_the_lan_only_roots_leases_and_neighbours_pass_with_nftables_alone() {
    only_leases_and_neighbours(Backend::NftablesAlone).unwrap();
}

/// systemd-networkd has a user of its own. Here this user has the id of `nobody`.
#[test]
fn systemd_networkd_renews_its_lease_and_sends_nothing_else() {
    with_lab(|lab| {
        let users = "root:x:0:0::/:/bin/sh\nsystemd-network:x:65534:65534::/:/bin/sh\n";
        lab.host().file("/etc/passwd", users)?;
        for ways in [&LEASES[..], &NO_LEASES[..]] {
            wait_for("the control: each packet leaves", TIMEOUT, || {
                Ok(leave(lab, "nobody", ways)?.iter().all(|&left| left == 1).then_some(()))
            })?;
        }
        Backend::Nft.lock(lab, NO_LAN)?;
        let capture = lab.capture()?;
        ensure!(leave(lab, "nobody", &LEASES)? == [1; 5], "systemd-networkd cannot renew a lease");
        ensure!(leave(lab, "nobody", &NO_LEASES)? == [0; 8], "it sends what only looks like a lease");
        Contract::locked().check(&capture.stop()?)
    })
    .unwrap();
}
