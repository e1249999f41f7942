//! The limits of the memory.

use super::super::{Packet, RefusedAt};
use super::*;

fn take(memory: &mut Memory, (uid, n): (u32, u32), containers: &Containers, now: u64) {
    let packet = Packet {
        source: "172.17.0.2".parse().unwrap(),
        destination: std::net::Ipv4Addr::from(0xcb00_0000 + n).into(),
        protocol: 17,
        source_port: Some(40000),
        port: Some(443),
        opening: None,
    };
    let (at, input) =
        (if uid == 0 { RefusedAt::Forward } else { RefusedAt::Output }, Some("docker0".to_owned()));
    let reason = Refusal::NoVpn;
    let refused =
        Refused { reason, at, input, output: None, uid: Some(uid), unit: None, container: None, packet };
    memory.take(&refused, &Facts::default(), containers, now);
}

fn groups_of(memory: &Memory, uid: u32) -> usize {
    memory.groups.get(&Sender::User(Some(uid))).map_or(0, BTreeMap::len)
}

#[test]
fn a_user_with_many_destinations_evicts_groups_of_the_same_user_first() {
    let (mut memory, none) = (Memory::default(), Containers::default());
    take(&mut memory, (1000, 0), &none, 50);
    for n in 0..100_000 {
        take(&mut memory, (1001, n), &none, 100 + u64::from(n / 1000));
    }
    assert_eq!(groups_of(&memory, 1000), 1);
    assert!((MAX_GROUPS_OF_SENDER / 2..=MAX_GROUPS_OF_SENDER).contains(&groups_of(&memory, 1001)));
    for uid in 1001..1010 {
        for n in 0..3000 {
            take(&mut memory, (uid, n), &none, 200);
        }
    }
    assert!((MAX_GROUPS / 2..=MAX_GROUPS).contains(&memory.len()), "{}", memory.len());
    assert_eq!(groups_of(&memory, 1000), 1, "the largest go first");
}

#[test]
fn the_subordinate_ids_of_a_user_evict_nobody_else() {
    let (mut memory, none) = (Memory::default(), Containers::default());
    for n in 0..20 {
        take(&mut memory, (1000, n), &none, 50);
    }
    for n in 0..20_000 {
        take(&mut memory, (100_000 + n, n % 3), &none, 100 + u64::from(n / 1000));
    }
    assert_eq!(groups_of(&memory, 1000), 20);
    assert!(memory.len() <= MAX_GROUPS_OF_SENDER + 20, "{}", memory.len());
    let own = memory.since(0, Some(119_999), 200);
    assert_eq!(own.len(), 1, "each id sees its own: {own:?}");
    assert_eq!(memory.since(0, Some(100_000), 200), [], "it was evicted");
}

#[test]
fn a_group_is_forgotten_an_hour_after_its_last_refusal() {
    let (mut memory, none) = (Memory::default(), Containers::default());
    take(&mut memory, (1000, 0), &none, 100);
    take(&mut memory, (1000, 1), &none, 101);
    memory.forget(99 + HOUR);
    assert_eq!(memory.len(), 2);
    memory.forget(100 + HOUR);
    assert_eq!(memory.len(), 1);
    memory.forget(101 + HOUR);
    assert!(memory.groups.is_empty(), "the sender is forgotten too");
}

#[test]
fn an_answer_has_the_newest_groups_alone() {
    let (mut memory, none) = (Memory::default(), Containers::default());
    for n in 0..2000 {
        take(&mut memory, (1000, n), &none, 100 + u64::from(n));
    }
    let found = memory.since(0, Some(1000), 2100);
    let ends = (found.first().map(|group| group.last), found.last().map(|group| group.last));
    assert_eq!((found.len(), ends), (MAX_ANSWERED, (Some(1600), Some(2099))));
}

#[test]
fn a_later_container_with_the_same_address_is_another_group() {
    let mut memory = Memory::default();
    let listed = |name: &str, link: &str| {
        let name = NamedContainer { name: name.to_owned(), ..NamedContainer::default() };
        let place = (link.to_owned(), "172.17.0.2".parse().unwrap());
        Containers { addresses: [(place, name)].into(), ..Containers::default() }
    };
    take(&mut memory, (0, 1), &listed("first", "docker0"), 100);
    take(&mut memory, (0, 1), &listed("later", "docker0"), 101);
    take(&mut memory, (0, 1), &listed("behind another bridge", "br-1"), 102);
    let all = memory.since(0, None, 102);
    let name = |group: &Group| group.key.container.clone().map(|container| container.name);
    let names: Vec<Option<String>> = all.iter().map(name).collect();
    assert_eq!(names, [Some("first".to_owned()), Some("later".to_owned()), None]);
}
