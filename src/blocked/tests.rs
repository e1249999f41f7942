//! From refusals to groups.

use proptest::prelude::*;

use super::*;
use crate::config::LanService;
use crate::vpn::{RefusalFacts, State};

fn outside() -> RefusalFacts {
    RefusalFacts {
        lan: true,
        discovery: true,
        services: vec![LanService::LocalSend],
        published: true,
        takes_servers: true,
        tunnel_networks: vec!["10.8.0.0/24".parse().unwrap()],
        tunnel_addresses: [("10.8.0.2".parse().unwrap(), "tun0".to_owned())].into(),
        networks: vec!["192.168.1.0/24".parse().unwrap(), "fd00:1::/64".parse().unwrap()],
        owners: [0, 900].into(),
        servers: [("198.51.100.7:1194/udp".parse().unwrap(), [700].into())].into(),
        kernel_servers: ["198.51.100.8:51820/udp".parse().unwrap()].into(),
    }
}

fn facts() -> Facts {
    Facts { outside: outside(), journal: false, tunnels: ["tun0".to_owned()].into() }
}

fn refusal(reason: Refusal, at: RefusedAt, destination: &str, port: u16) -> Refused {
    let packet = Packet {
        source: "172.17.0.2".parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: 17,
        source_port: Some(40000),
        port: Some(port),
        opening: None,
    };
    let (input, output) = (Some("docker0".to_owned()), Some("eth0".to_owned()));
    Refused { reason, at, input, output, uid: Some(1000), unit: None, container: None, packet }
}

#[test]
fn the_reason_is_that_of_the_rule_that_might_have_let_the_packet_through() {
    let of = |change: &dyn Fn(&mut Refused), destination: &str, port| {
        let mut refusal = refusal(Refusal::VpnLost, RefusedAt::Output, destination, port);
        change(&mut refusal);
        refine(&refusal, &facts()).refusal
    };
    let as_it_is = &|_: &mut Refused| {};
    assert_eq!(of(as_it_is, "203.0.113.9", 443), Refusal::VpnLost);
    assert_eq!(of(as_it_is, "198.51.100.7", 1194), Refusal::NotVpnClient);
    assert_eq!(of(as_it_is, "198.51.100.7", 443), Refusal::VpnLost, "another port of the server");
    assert_eq!(
        of(as_it_is, "203.0.113.9", 1194),
        Refusal::VpnLost,
        "the port of a server, and another address"
    );
    assert_eq!(of(&|refusal| refusal.uid = Some(900), "203.0.113.9", 1194), Refusal::UnknownServer);
    assert_eq!(of(&|refusal| refusal.uid = Some(0), "203.0.113.9", 1194), Refusal::VpnLost);
    assert_eq!(of(&|refusal| refusal.uid = None, "198.51.100.7", 1194), Refusal::VpnLost);
    assert_eq!(of(as_it_is, "192.168.7.9", 631), Refusal::NotOnLink);
    assert_eq!(of(as_it_is, "fd00:9::9", 631), Refusal::NotOnLink);
    assert_eq!(of(as_it_is, "224.0.0.251", 5353), Refusal::Multicast);
    assert_eq!(of(as_it_is, "ff02::fb", 5353), Refusal::Multicast);
    assert_eq!(
        of(&|refusal| refusal.output = Some("tun0".to_owned()), "203.0.113.9", 25),
        Refusal::NotThroughTunnel
    );
    let forwarded = |reason, to_tunnel: bool| {
        move |refusal: &mut Refused| {
            (refusal.at, refusal.reason) = (RefusedAt::Forward, reason);
            refusal.output = Some(if to_tunnel { "tun0" } else { "eth0" }.to_owned());
        }
    };
    let lost = forwarded(Refusal::VpnLost, false);
    assert_eq!(of(&lost, "203.0.113.9", 443), Refusal::VpnLost);
    assert_eq!(of(&lost, "198.51.100.7", 1194), Refusal::VpnLost);
    assert_eq!(of(&lost, "192.168.7.9", 631), Refusal::ContainerPolicy);
    assert_eq!(of(&lost, "224.0.0.251", 5353), Refusal::Multicast);
    for to_tunnel in [false, true] {
        let protected = forwarded(Refusal::NotThroughTunnel, to_tunnel);
        assert_eq!(of(&protected, "203.0.113.9", 25), Refusal::ContainerNotThroughTunnel);
    }
    assert_eq!(of(&lost, "10.8.0.9", 80), Refusal::VpnLost, "a network of the tunnel");
    // A more exact reason does not change.
    assert_eq!(
        of(&|refusal| refusal.reason = Refusal::DnsOutsideTunnel, "192.168.7.9", 53),
        Refusal::DnsOutsideTunnel
    );
}

/// The reason and the key for a packet of a program, with the protocol and the user id that are given.
fn of_program(
    facts: RefusalFacts,
    to: (&str, u16),
    protocol: u8,
    uid: u32,
) -> (&'static str, Option<&'static str>) {
    let mut refused = refusal(Refusal::NotThroughTunnel, RefusedAt::Output, to.0, to.1);
    (refused.packet.protocol, refused.uid) = (protocol, Some(uid));
    let reason = refine(&refused, &Facts { outside: facts, ..Facts::default() });
    (reason.refusal.as_str(), reason.key)
}

#[test]
fn a_key_is_named_only_if_it_would_let_the_packet_pass() {
    const UDP: u8 = 17;
    let server = ("198.51.100.7", 1194);
    let not_client = ("not-vpn-client", Some("bootstrap.owners"));
    // It is outside the tunnel, so `tunnel.allow` changes nothing.
    let of_state = ("not-through-tunnel", None);
    let of = |to, protocol, uid| of_program(outside(), to, protocol, uid);
    assert_eq!(of(server, UDP, 1000), not_client);
    assert_eq!(of(server, 6, 1000), of_state, "TCP to a server that listens on UDP");
    assert_eq!(of(server, 1, 1000), of_state);
    assert_eq!(of(server, UDP, 0), of_state, "root is there already");
    assert_eq!(of(server, UDP, 900), of_state, "so is another client, and the server is known");
    assert_eq!(of(server, UDP, 700), of_state, "so is a user who may reach this server alone");
    assert_eq!(of(("198.51.100.9", 1194), UDP, 700), of_state);
    assert_eq!(of(("198.51.100.9", 1194), UDP, 900), of_state, "only the server in use");
    // Only the kernel sends to a server of WireGuard's, so no key lets a program reach it.
    for uid in [0, 900, 1000] {
        assert_eq!(of(("198.51.100.8", 51820), UDP, uid), ("not-vpn-client", None));
    }
    assert_eq!(of(("198.51.100.8", 51820), 6, 1000), of_state);
    let also_named = RefusalFacts {
        servers: [("198.51.100.8:51820/udp".parse().unwrap(), [].into())].into(),
        ..outside()
    };
    assert_eq!(of_program(also_named, ("198.51.100.8", 51820), UDP, 1000), not_client);
}

#[test]
fn a_private_address_is_refused_as_not_in_the_lan_only_if_it_is_not() {
    let of = |facts, to| of_program(facts, (to, 631), 6, 1000);
    for to in ["192.168.1.9", "fd00:1::9", "10.8.0.9"] {
        assert_eq!(of(outside(), to), ("not-through-tunnel", None));
    }
    for to in ["192.168.7.9", "fd00:9::9"] {
        assert_eq!(of(outside(), to), ("not-on-link", Some("lan.networks")));
    }
    let closed = RefusalFacts { lan: false, ..outside() };
    for (to, key) in
        [("192.168.1.9", Some("lan.allow")), ("192.168.7.9", None), ("fd00:1::9", Some("lan.allow"))]
    {
        assert_eq!(of(closed.clone(), to), ("lan-off", key));
    }
}

#[test]
fn the_key_of_a_group_is_the_one_that_lets_it_pass() {
    let (open, no_discovery) = (outside(), RefusalFacts { discovery: false, ..outside() });
    let closed = RefusalFacts { lan: false, ..outside() };
    let closed_both = RefusalFacts { lan: false, ..no_discovery.clone() };
    let (multicast, services, allow) = (Some("lan.multicast"), Some("lan.services"), Some("lan.allow"));
    for (facts, to, port, key) in [
        (&open, "224.0.0.251", 5353, None),
        (&no_discovery, "224.0.0.251", 5353, multicast),
        (&no_discovery, "ff02::fb", 5353, multicast),
        (&no_discovery, "239.255.255.250", 5353, None),
        (&no_discovery, "239.255.255.250", 1900, multicast),
        (&no_discovery, "ff05::c", 1900, multicast),
        (&no_discovery, "239.255.255.250", 3702, services),
        (&open, "ff02::c", 3702, services),
        (&open, "224.0.0.167", 53317, None),
        (&open, "255.255.255.255", 1716, services),
        (&open, "255.255.255.255", 9, services),
        (&open, "239.255.255.250", 9, None),
        (&closed, "224.0.0.251", 5353, allow),
        (&closed, "224.0.0.167", 53317, allow),
        (&closed, "239.1.2.3", 5000, None),
        (&closed_both, "224.0.0.251", 5353, None),
    ] {
        assert_eq!(of_program(facts.clone(), (to, port), 17, 1000), ("multicast", key), "{to} {port}");
    }
    assert_eq!(of_program(no_discovery, ("224.0.0.251", 5353), 6, 1000), ("multicast", None), "by TCP");
    let forwarded = refusal(Refusal::NoVpn, RefusedAt::Forward, "224.0.0.251", 5353);
    assert_eq!(refine(&forwarded, &facts()).key, None, "a container's");
}

#[test]
fn the_key_of_what_comes_in_is_named_only_if_it_lets_it_in() {
    let of = |reason, input: &str, [source, to]: [&str; 2], facts: &Facts| {
        let mut refused = refusal(reason, RefusedAt::Input, to, 22);
        refused.packet.source = source.parse().unwrap();
        refused.input = Some(input.to_owned());
        refine(&refused, facts).key
    };
    let inbound = |input, ends| of(Refusal::Inbound, input, ends, &facts());
    assert_eq!(inbound("eth0", ["192.168.1.9", "192.168.1.2"]), Some("input.allow"));
    assert_eq!(inbound("eth0", ["192.168.1.9", "10.8.0.2"]), None, "the address of the tunnel");
    assert_eq!(inbound("tun0", ["10.8.0.1", "10.8.0.2"]), Some("input.allow"));
    assert_eq!(inbound("tun0", ["192.168.1.9", "10.8.0.2"]), None, "the LAN's address, out of the tunnel");
    let published = |published| {
        let facts = Facts { outside: RefusalFacts { published, ..outside() }, ..facts() };
        of(Refusal::PublishedPorts, "eth0", ["192.168.1.9", "172.17.0.2"], &facts)
    };
    assert_eq!([published(true), published(false)], [None, Some("docker.published_ports")]);
}

#[test]
fn a_user_sees_own_refusals_and_a_container_is_named_by_its_address() {
    let mut memory = Memory::default();
    let name = NamedContainer { name: "web".to_owned(), ..NamedContainer::default() };
    let addresses = [(("docker0".to_owned(), "172.17.0.2".parse().unwrap()), name)].into();
    let containers = Containers { addresses, ..Containers::default() };
    let mut take = |refusal: &Refused, now| memory.take(refusal, &facts(), &containers, now);
    take(&refusal(Refusal::VpnLost, RefusedAt::Output, "203.0.113.9", 443), 100);
    take(&refusal(Refusal::VpnLost, RefusedAt::Output, "203.0.113.9", 443), 101);
    take(&refusal(Refusal::VpnLost, RefusedAt::Forward, "203.0.113.9", 443), 102);
    // A broadcast from the LAN makes no line.
    take(&refusal(Refusal::Inbound, RefusedAt::Input, "255.255.255.255", 67), 103);
    let all = memory.since(0, None, 103);
    let counts: Vec<u64> = all.iter().map(|group| group.count).collect();
    assert_eq!(counts, [2, 1], "newest last: {all:?}");
    assert_eq!(all[1].key.container.as_ref().map(|name| name.name.as_str()), Some("web"));
    assert_eq!(memory.since(0, Some(1000), 103).len(), 1);
    assert_eq!(memory.since(0, Some(1001), 103).len(), 0);
    assert_eq!(memory.since(102, None, 103).len(), 1);
    assert_eq!(memory.since(0, None, 101 + HOUR).len(), 1, "an hour has passed for one of them");
    assert_eq!(memory.take_counts().values().sum::<u64>(), 3);
    assert!(memory.take_counts().is_empty());
    assert_eq!(memory.count(), 3);
    memory.begin(State::Locked, 200);
    assert_eq!(memory.count(), 0, "another state began");
}

#[test]
fn a_container_waits_that_is_refused_again_and_again_while_the_vpn_is_lost() {
    let mut memory = Memory::default();
    memory.begin(State::Lost, 50);
    let mut take = |reason, port, now| {
        let refused = refusal(reason, RefusedAt::Forward, "203.0.113.9", port);
        memory.take(&refused, &facts(), &Containers::default(), now);
        memory.waiting(now)
    };
    assert_eq!(
        [take(Refusal::NoVpn, 1, 51), take(Refusal::NoVpn, 1, 51), take(Refusal::NoVpn, 1, 51)],
        [0; 3]
    );
    let waiting = [443, 443, 80].map(|port| take(Refusal::VpnLost, port, 100));
    assert_eq!(waiting, [0, 0, 1], "to any destination");
    assert_eq!(memory.waiting(159), 1);
    assert_eq!(memory.waiting(160), 0, "it has given up");
    memory.begin(State::Lost, 170);
    assert_eq!(memory.waiting(159), 0, "another state began");
}

#[test]
fn a_container_that_prove_makes_does_not_wait() {
    for (name, expected) in [("tunwarden-prove-0123456789abcdef-1", 0), ("web", 1)] {
        let mut memory = Memory::default();
        memory.begin(State::Lost, 50);
        let name = NamedContainer { name: name.to_owned(), ..NamedContainer::default() };
        let addresses = [(("docker0".to_owned(), "172.17.0.2".parse().unwrap()), name)].into();
        let containers = Containers { addresses, ..Containers::default() };
        for port in [53, 443, 80] {
            let refused = refusal(Refusal::VpnLost, RefusedAt::Forward, "203.0.113.9", port);
            memory.take(&refused, &facts(), &containers, 100);
        }
        assert_eq!(memory.waiting(100), expected);
    }
}

#[test]
fn a_container_that_asks_for_names_alone_waits_while_the_vpn_is_lost() {
    let mut memory = Memory::default();
    let mut take = |state: (State, u64), now| {
        memory.begin(state.0, state.1);
        let refused = refusal(Refusal::DnsOutsideTunnel, RefusedAt::Forward, "203.0.113.9", 53);
        memory.take(&refused, &facts(), &Containers::default(), now);
        memory.waiting(now)
    };
    let protected = (State::Protected, 50);
    assert_eq!([51, 52, 53, 54].map(|now| take(protected, now)), [0; 4], "not because the VPN is lost");
    let lost = (State::Lost, 60);
    assert_eq!([61, 62, 63].map(|now| take(lost, now)), [0, 0, 1], "those from before the loss do not count");
    let again = (State::Lost, 70);
    assert_eq!([71, 72, 73].map(|now| take(again, now)), [0, 0, 1], "nor those of an earlier loss");
    assert_eq!(take((State::Locked, 80), 81), 0, "nobody waits for a VPN that was ended");
}

#[test]
fn a_hundred_thousand_destinations_leave_the_newest() {
    let mut memory = Memory::default();
    for n in 0..100_000_u32 {
        let mut refusal = refusal(Refusal::NoVpn, RefusedAt::Output, "203.0.113.9", 443);
        refusal.packet.destination = std::net::Ipv4Addr::from(0xcb00_0000 + n).into();
        memory.take(&refusal, &facts(), &Containers::default(), 1000 + u64::from(n / 1000));
    }
    let all = memory.since(0, None, 1100);
    assert_eq!(all.len(), MAX_ANSWERED);
    let newest: IpAddr = std::net::Ipv4Addr::from(0xcb00_0000 + 99_999).into();
    assert_eq!(all.last().map(|group| group.last), Some(1099));
    assert!(all.iter().any(|group| group.key.destination == newest));
}

#[test]
fn a_packet_is_read_with_and_without_a_frame_around_it() {
    let mut ipv4 = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 2, 203, 0, 113, 9];
    ipv4.extend([0x13, 0x88, 0x01, 0xbb, 0, 0]);
    let packet = Packet::parse(&ipv4).unwrap();
    assert_eq!((packet.protocol, packet.source_port, packet.port), (6, Some(0x1388), Some(443)));
    assert_eq!(packet.destination, "203.0.113.9".parse::<IpAddr>().unwrap());
    let frame = [&[0; 12][..], &[0x08, 0x00], &ipv4].concat();
    assert_eq!(Packet::of_frame(&frame), Some(packet));
    assert_eq!(Packet::of_frame(&ipv4), Some(packet));
    ipv4[7] = 1;
    assert_eq!(Packet::parse(&ipv4).unwrap().port, None, "a later fragment has no port");
    ipv4[7] = 0;
    ipv4.extend([3, 4, 0, 0, 0, 0, 0x50, 0x02]);
    ipv4[24..26].copy_from_slice(&[1, 2]);
    let opening = |ipv4: &[u8]| Packet::parse(ipv4).unwrap().opening;
    assert_eq!(opening(&ipv4), Some(0x0102_0304));
    let with = |at: usize, value: u8| {
        let mut other = ipv4.clone();
        other[at] = value;
        opening(&other)
    };
    assert_eq!(with(33, 0xc2), Some(0x0102_0304), "flags of congestion");
    assert_eq!(
        (with(33, 0x12), with(33, 0x10), with(9, 17)),
        (None, None, None),
        "an answer, a later one, UDP"
    );
    assert_eq!(opening(&ipv4[..33]), None);

    // Hop-by-hop options, then UDP.
    let mut ipv6 = vec![0x60, 0, 0, 0, 0, 16, 0, 64];
    ipv6.extend([0x20; 16].into_iter().chain([0xfd; 16]));
    ipv6.extend([17, 0, 0, 0, 0, 0, 0, 0, 0x13, 0x88, 0, 53, 0, 8, 0, 0]);
    let packet = Packet::parse(&ipv6).unwrap();
    assert_eq!((packet.protocol, packet.port), (17, Some(53)));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = (Packet::parse(&bytes), Packet::of_frame(&bytes));
    }
}
