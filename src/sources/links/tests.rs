//! The source against the kernel, in a network namespace of the test.
#![allow(clippy::disallowed_methods, reason = "a test starts programs, reads the clock and touches files")]

mod tun;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use tokio::time::timeout;

use super::*;
use crate::vpn::{Link, LinkKind};

/// Runs `test` on a thread in a new network namespace. Only root can make one.
fn in_a_network_of_its_own(test: impl AsyncFnOnce() + Send) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can make a network namespace");
        return;
    }
    let namespace = |of: &str| std::fs::metadata(format!("/proc/{of}/ns/net")).unwrap().ino();
    thread::scope(|scope| {
        let body = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            assert_ne!(namespace("thread-self"), namespace("self"), "still in the machine's network");
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
        };
        scope.spawn(body).join().unwrap();
    });
}

fn ip(arguments: &str) {
    ip_with(arguments.split_ascii_whitespace().map(OsStr::new));
}

fn ip_with<'a>(arguments: impl Iterator<Item = &'a OsStr>) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn link(name: &str) -> Option<Link> {
    snapshot().await.unwrap().links.into_iter().find(|link| link.name == name)
}

fn texts(nets: &[ipnet::IpNet]) -> Vec<String> {
    nets.iter().map(ToString::to_string).collect()
}

fn watched() -> mpsc::Receiver<Event> {
    let (events, received) = mpsc::channel(4);
    tokio::spawn(watch(watch::channel(false).1, events));
    received
}

/// The next table for which `holds` is true, and the number of tables before it.
async fn table_where(
    received: &mut mpsc::Receiver<Event>,
    holds: impl Fn(&LinkTable) -> bool,
) -> (LinkTable, usize) {
    for before in 0.. {
        let event = timeout(Duration::from_secs(20), received.recv()).await.unwrap().unwrap();
        let Event::Links(table) = event else { panic!("{event:?}") };
        if holds(&table) {
            return (table, before);
        }
    }
    unreachable!()
}

#[test]
fn a_snapshot_shows_kinds_flags_addresses_and_routes() {
    in_a_network_of_its_own(async || {
        let lo = link("lo").await.unwrap();
        assert_eq!((lo.kind, lo.up, lo.index), (LinkKind::Loopback, false, 1));

        ip("link add eth0 type veth peer name far");
        ip("link add br0 type bridge");
        ip("link set far master br0");
        ip("link set eth0 up");
        assert!(!link("eth0").await.unwrap().carrier, "the other end is down");
        ip("link set far up");
        ip("addr add 10.0.0.2/24 dev eth0");
        ip("-6 addr add fd00::2/64 dev eth0");
        ip("route add default via 10.0.0.1");
        ip("route add default via 10.0.0.3 metric 600");
        ip("-6 route add default via fd00::1");
        ip("route add 192.0.2.0/24 dev eth0 table 51820");
        ip("route add unreachable 192.0.2.0/24");

        let eth0 = link("eth0").await.unwrap();
        assert_eq!((eth0.kind, eth0.up, eth0.carrier, eth0.master), (LinkKind::Veth, true, true, None));
        assert_eq!(texts(&eth0.routes), ["0.0.0.0/0", "10.0.0.0/24", "::/0", "fd00::/64"]);
        let addresses = texts(&eth0.addresses);
        assert_eq!(addresses[..2], ["10.0.0.2/24", "fd00::2/64"]);
        assert!(addresses[2].starts_with("fe80::"), "{addresses:?}");
        let bridge = link("br0").await.unwrap();
        assert_eq!(bridge.kind, LinkKind::Bridge);
        assert_eq!(link("far").await.unwrap().master, Some(bridge.index));
    });
}

#[test]
fn a_tunnel_has_its_own_address_and_not_its_peers() {
    in_a_network_of_its_own(async || {
        ip("tuntap add tun0 mode tun");
        ip("tuntap add tap0 mode tap");
        ip("addr add 10.8.0.6 peer 10.8.0.5/32 dev tun0");
        ip("link set tun0 up");
        ip("route add 0.0.0.0/1 via 10.8.0.5");
        ip("route add 128.0.0.0/1 via 10.8.0.5");
        ip("-6 route add 2000::/3 dev tun0");
        let tun = link("tun0").await.unwrap();
        assert_eq!((tun.kind, tun.up), (LinkKind::Tunnel, true));
        assert!(!tun.carrier, "nobody holds it open");
        assert_eq!(texts(&tun.addresses)[0], "10.8.0.6/32");
        assert_eq!(texts(&tun.routes), ["0.0.0.0/1", "10.8.0.5/32", "128.0.0.0/1", "2000::/3"]);
        assert_eq!(link("tap0").await.unwrap().kind, LinkKind::Tunnel);

        ip("addr add 192.168.9.9 peer 10.9.0.1/24 dev tap0");
        assert_eq!(texts(&link("tap0").await.unwrap().addresses), ["192.168.9.9/32"]);
    });
}

#[test]
fn a_route_over_several_links_belongs_to_each() {
    in_a_network_of_its_own(async || {
        for (name, net) in [("first", "10.1.0"), ("second", "10.2.0")] {
            ip(&format!("link add {name} type veth peer name {name}-far"));
            ip(&format!("link set {name} up"));
            ip(&format!("link set {name}-far up"));
            ip(&format!("addr add {net}.2/24 dev {name}"));
        }
        ip("route add default nexthop via 10.1.0.1 nexthop via 10.2.0.1");
        for name in ["first", "second"] {
            assert_eq!(texts(&link(name).await.unwrap().routes)[0], "0.0.0.0/0");
        }
    });
}

#[test]
fn no_name_hides_a_link() {
    in_a_network_of_its_own(async || {
        for name in [&b"tun\"x"[..], b"fifteen-bytes-x", b"tun';id", b"tun\xff\xfe", b"+", b"\x1b[31m"] {
            let before = snapshot().await.unwrap().links.len();
            let name = OsStr::from_bytes(name);
            let arguments = ["tuntap", "add", "mode", "tun", "name"].map(OsStr::new);
            ip_with(arguments.into_iter().chain([name]));
            let links = snapshot().await.unwrap().links;
            assert_eq!(links.len(), before + 1, "{name:?}");
            assert!(links.iter().any(|link| link.name == name.to_string_lossy()), "{name:?}");
        }
    });
}

#[test]
fn only_changes_are_reported() {
    in_a_network_of_its_own(async || {
        let mut received = watched();
        table_where(&mut received, |table| table.links.len() == 1).await;
        ip("link add eth0 type veth peer name far");
        ip("link set eth0 up");
        ip("link set far up");
        ip("addr add 10.0.0.2/24 dev eth0");
        ip("route add default via 10.0.0.1");
        let whole = |table: &LinkTable| {
            let eth0 = table.links.iter().find(|link| link.name == "eth0");
            eth0.is_some_and(|eth0| texts(&eth0.routes).contains(&"0.0.0.0/0".to_owned()))
        };
        table_where(&mut received, whole).await;
        // IPv6 is still checking its link-local address for duplicates; no change comes after that.
        while timeout(Duration::from_secs(3), received.recv()).await.is_ok() {}

        // The kernel reports this change, but the table stays the same.
        ip("link set eth0 mtu 9000");
        ip("route add 192.0.2.0/24 dev eth0 table 7");
        assert!(timeout(Duration::from_millis(300), received.recv()).await.is_err());

        ip("link set eth0 name uplink");
        table_where(&mut received, |table| table.links.iter().any(|link| link.name == "uplink")).await;
        ip("link del uplink");
        table_where(&mut received, |table| table.links.len() == 1).await;
    });
}

#[test]
fn a_burst_of_changes_makes_few_tables_and_the_last_is_right() {
    in_a_network_of_its_own(async || {
        let mut received = watched();
        let batch = tempfile::NamedTempFile::new().unwrap();
        let lines = |verb: &str| -> String { (0..500).map(|n| format!("{verb} tun{n}\n")).collect() };
        for (verb, expected) in [("tuntap add mode tun name", 501), ("link del", 1)] {
            std::fs::write(&batch, lines(verb)).unwrap();
            let start = std::time::Instant::now();
            let mut command = tokio::process::Command::new("ip");
            let mut running = command.arg("-batch").arg(batch.path()).spawn().unwrap();
            let (_, before) = table_where(&mut received, |table| table.links.len() == expected).await;
            assert!(running.wait().await.unwrap().success());
            let most = start.elapsed().as_millis() / PAUSE.as_millis() + 2;
            eprintln!("{verb}: {before} tables in {:?}", start.elapsed());
            assert!(before as u128 <= most, "{before} tables");
        }
    });
}

#[test]
fn ten_thousand_routes_are_read_whole_though_their_notifications_are_lost() {
    in_a_network_of_its_own(async || {
        ip("link set lo up");
        let mut received = watched();
        table_where(&mut received, |_| true).await;
        let batch = tempfile::NamedTempFile::new().unwrap();
        let routes: String =
            (0..10_000).map(|n| format!("route add 172.{}.{}.0/24 dev lo\n", n / 256, n % 256)).collect();
        std::fs::write(&batch, routes).unwrap();
        // The watch does not read during this: the changes run on its own thread, and overrun its socket.
        ip(&format!("-batch {}", batch.path().display()));
        let start = std::time::Instant::now();
        assert_eq!(link("lo").await.unwrap().routes.len(), 10_000);
        eprintln!("read in {:?}", start.elapsed());
        table_where(&mut received, |table| table.links[0].routes.len() == 10_000).await;
        ip("route add 192.0.2.0/24 dev lo");
        table_where(&mut received, |table| table.links[0].routes.len() == 10_001).await;
    });
}

#[tokio::test]
async fn a_watch_ends_with_its_receiver() {
    let (events, mut received) = mpsc::channel(1);
    let watch = tokio::spawn(watch(watch::channel(false).1, events));
    assert!(received.recv().await.is_some());
    drop(received);
    timeout(Duration::from_secs(5), watch).await.unwrap().unwrap();
}

/// The names of the links by which packets to an address leave, as the kernel answers.
async fn ways(address: &str) -> Vec<String> {
    let (table, address) = (snapshot().await.unwrap(), address.parse().unwrap());
    let family = crate::net::Family::of(address);
    let own = table.routing.ranges.iter().filter(|range| crate::net::Family::of(range.first) == family);
    let range = own.clone().find(|range| range.first <= address && address <= range.last);
    let links = range.unwrap_or_else(|| panic!("{address} is in none of {own:?}")).links.clone();
    let name = |index: &u32| table.links.iter().find(|link| link.index == *index).unwrap().name.clone();
    links.iter().map(name).collect()
}

/// An uplink with a default route for each family, and a tunnel that no process has open.
fn an_uplink_and_a_tunnel() {
    ip("link set lo up");
    ip("link add eth0 type veth peer name far");
    ip("link set far up");
    ip("link set eth0 up");
    ip("addr add 10.0.0.2/24 dev eth0");
    ip("-6 addr add fd00::2/64 dev eth0 nodad");
    ip("route add default via 10.0.0.1 metric 100");
    ip("-6 route add default via fd00::1 metric 100");
    ip("tuntap add tun0 mode tun");
    ip("link set tun0 up");
    ip("addr add 10.8.0.2/24 dev tun0");
}

#[test]
fn routing_is_the_kernels_answer_and_not_one_table() {
    in_a_network_of_its_own(async || {
        an_uplink_and_a_tunnel();
        assert_eq!(ways("203.0.113.9").await, ["eth0"]);
        ip("route add 0.0.0.0/1 dev tun0");
        ip("route add 128.0.0.0/1 dev tun0");
        for address in ["1.0.0.0", "127.255.255.255", "203.0.113.9", "223.255.255.255"] {
            let expected = if address.starts_with("127") { continue } else { ["tun0"] };
            assert_eq!(ways(address).await, expected, "{address}");
        }
        assert_eq!(ways("10.0.0.9").await, ["eth0"]);
        assert_eq!(ways("2001:db8::9").await, ["eth0"]);
        // A hostile DHCP server can do this with option 121.
        ip("route add 203.0.113.0/24 via 10.0.0.1");
        assert_eq!(ways("203.0.113.0").await, ["eth0"]);
        assert_eq!(ways("203.0.113.255").await, ["eth0"]);
        assert_eq!(ways("203.0.114.0").await, ["tun0"]);
        ip("route del 203.0.113.0/24");
        // A rule for every packet, for a network and for a user, and a rule that prohibits every packet.
        ip("route add default via 10.0.0.1 table 100");
        ip("rule add from all lookup 100 pref 100");
        assert_eq!(ways("203.0.113.9").await, ["eth0"]);
        ip("rule del pref 100");
        ip("rule add to 203.0.113.0/25 lookup 100 pref 100");
        assert_eq!(ways("203.0.113.9").await, ["eth0"]);
        assert_eq!(ways("203.0.113.129").await, ["tun0"]);
        ip("rule del pref 100");
        ip("rule add uidrange 1000-1000 lookup 100 pref 100");
        assert_eq!(ways("203.0.113.9").await, ["eth0"], "of the first user");
        ip("rule del pref 100");
        ip("rule add prohibit pref 100");
        assert_eq!(ways("203.0.113.9").await, [""; 0]);
        ip("rule del pref 100");
        for family in ["", "-6 "] {
            ip(&format!("{family}route add default dev tun0 metric 50"));
        }
        assert_eq!(ways("2001:db8::9").await, ["tun0"], "by its metric");
    });
}

#[test]
fn wireguard_s_rules_lead_into_the_tunnel_and_next_hops_are_all_seen() {
    in_a_network_of_its_own(async || {
        an_uplink_and_a_tunnel();
        // As wg-quick(8) makes them.
        for family in ["-4", "-6"] {
            ip(&format!("{family} route add default dev tun0 table 51820"));
            ip(&format!("{family} rule add not fwmark 51820 table 51820"));
            ip(&format!("{family} rule add table main suppress_prefixlength 0"));
        }
        for address in ["203.0.113.9", "2001:db8::9"] {
            assert_eq!(ways(address).await, ["tun0"], "{address}");
        }
        assert_eq!(ways("10.0.0.9").await, ["eth0"]);
        assert_eq!(texts(&link("tun0").await.unwrap().routes)[..1], ["0.0.0.0/0"], "of another table");
        ip("route add 203.0.113.0/24 nexthop via 10.0.0.1 nexthop dev tun0");
        let mut both = ways("203.0.113.9").await;
        both.sort();
        assert_eq!(both, ["eth0", "tun0"]);
    });
}

#[test]
fn routes_are_looked_up_only_with_a_tunnel_and_a_new_rule_is_a_change() {
    in_a_network_of_its_own(async || {
        ip("link set lo up");
        assert!(snapshot().await.unwrap().routing.ranges.is_empty());
        an_uplink_and_a_tunnel();
        ip("route add default via 10.0.0.1 table 100");
        ip("route add default dev tun0 metric 50");
        let mut received = watched();
        let (before, _) = table_where(&mut received, |table| !table.routing.ranges.is_empty()).await;
        ip("rule add from all lookup 100 pref 100");
        table_where(&mut received, |table| table.routing != before.routing).await;
        ip("rule del pref 100");
        table_where(&mut received, |table| table.routing == before.routing).await;
    });
}

#[test]
fn ten_thousand_routes_of_a_server_hide_no_route_past_the_tunnel() {
    in_a_network_of_its_own(async || {
        an_uplink_and_a_tunnel();
        ip("route add default dev tun0 metric 50");
        let batch = tempfile::NamedTempFile::new().unwrap();
        let route = |n: u32| format!("route replace {}.{}.3.0/24 dev tun0\n", 11 + n / 250, n % 250);
        for count in [1_000, 10_000] {
            std::fs::write(&batch, (0..count).map(route).collect::<String>()).unwrap();
            ip(&format!("-batch {}", batch.path().display()));
            let start = std::time::Instant::now();
            let table = snapshot().await.unwrap();
            eprintln!("{count} routes: {} ranges in {:?}", table.routing.ranges.len(), start.elapsed());
            assert_eq!(ways("203.0.113.9").await, ["tun0"]);
            ip("route add 0.0.0.0/3 via 10.0.0.1");
            assert_eq!(ways("5.0.0.1").await, ["eth0"]);
            ip("route del 0.0.0.0/3");
        }
    });
}
