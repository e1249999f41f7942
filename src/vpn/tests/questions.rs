//! A link that NetworkManager may have made for a user counts only after its answer.

use super::super::*;
use std::collections::BTreeMap;

use super::kernel::{file, left_out, link, links};
use crate::config::Config;
use crate::net::{OwnKey, PeerKey};

fn answer(answered: u64, made: &[&str]) -> Event {
    let made = made.iter().map(|name| name.parse().unwrap()).collect();
    Event::NetworkManager(Some(NmView { answered, made, ..NmView::default() }))
}

fn machine(before: Remembered) -> Machine {
    let mut machine = Machine::new(Config::default(), before, 0);
    machine.step(Event::WireGuardFiles(vec![file("office", 7)]), 0);
    machine
}

fn office(index: u32) -> Event {
    links(&[link(index, "office", LinkKind::WireGuard)])
}

/// The state, and the tunnels that may carry packets by their exact names.
fn seen(machine: &Machine) -> (State, Vec<String>) {
    let situation = machine.situation();
    (situation.state, situation.further_tunnels.iter().map(ToString::to_string).collect())
}

fn locked() -> (State, Vec<String>) {
    (State::Locked, vec![])
}

#[test]
fn a_link_counts_once_networkmanager_was_asked_while_the_link_carried_packets() {
    let mut machine = machine(Remembered::default());
    machine.step(answer(0, &[]), 1);
    machine.step(Event::Begun, 1);
    // A link that is not addressed yet is asked about twice: its connection may not exist yet.
    let bare = Link { addresses: Vec::new(), routes: Vec::new(), ..link(2, "office", LinkKind::WireGuard) };
    machine.step(links(&[bare]), 2);
    assert_eq!((seen(&machine), machine.question()), (locked(), 1));
    machine.step(answer(1, &[]), 2);
    assert_eq!(seen(&machine), (State::Locked, vec!["office".to_owned()]));
    machine.step(office(2), 3);
    assert_eq!((seen(&machine), machine.question()), (locked(), 2));
    machine.step(answer(1, &[]), 4);
    assert_eq!(seen(&machine), locked(), "an answer to an earlier question");
    machine.step(answer(2, &[]), 5);
    assert_eq!(seen(&machine), (State::Protected, vec!["office".to_owned()]));
    assert_eq!(machine.question(), 2, "it is not asked again and again");
    machine.step(office(3), 6);
    assert_eq!(
        seen(&machine),
        (State::Lost, vec![]),
        "it carries nothing in the very step in which it comes"
    );
    machine.step(Event::Clock, 6);
    assert_eq!((seen(&machine), machine.question()), ((State::Lost, vec![]), 3), "another device");
    machine.step(answer(3, &["office"]), 7);
    assert_eq!(seen(&machine), (State::Lost, vec![]), "it is a user's");
    machine.step(Event::NetworkManager(None), 8);
    assert_eq!(seen(&machine), (State::Lost, vec![]), "also after NetworkManager");
}

#[test]
fn without_networkmanager_a_link_counts_at_once_and_one_that_does_not_answer_is_named() {
    let mut alone = machine(Remembered::default());
    alone.step(Event::NetworkManager(None), 1);
    alone.step(Event::Begun, 1);
    alone.step(office(2), 2);
    assert_eq!(alone.situation().state, State::Protected);

    let mut hung = machine(Remembered::default());
    hung.step(answer(0, &[]), 1);
    hung.step(Event::Begun, 1);
    let wakes_at = |actions: &[Action], second| {
        let at = jiff::Timestamp::from_second(second).unwrap();
        assert!(actions.contains(&Action::WakeAt(at)), "{actions:?}");
    };
    wakes_at(&hung.step(office(2), 100), 102);
    wakes_at(&hung.step(Event::Clock, 102), 110);
    assert_eq!(left_out(&hung), []);
    hung.step(Event::Clock, 110);
    let [(name, remedy)] = &left_out(&hung)[..] else { panic!("{:?}", left_out(&hung)) };
    assert!(name == "office" && remedy.contains("restart NetworkManager"), "{remedy}");
    hung.step(answer(1, &[]), 200);
    assert_eq!((left_out(&hung), hung.situation().state), (vec![], State::Protected));
}

#[test]
fn an_agent_that_is_restarted_asks_before_it_counts_and_remembers_what_is_a_user_s() {
    let mut first = machine(Remembered::default());
    first.step(office(2), 0);
    // The question is there before the sources begin to read.
    assert_eq!(first.question(), 1);
    first.step(answer(1, &["office"]), 1);
    first.step(Event::Begun, 1);
    assert_eq!(seen(&first), locked());
    let connection_links = first.situation().connection_links;
    assert_eq!(connection_links.len(), 1);

    // NetworkManager has stopped, and the device has stayed.
    let mut next = machine(Remembered { connection_links, ..Remembered::default() });
    next.step(office(2), 2);
    next.step(Event::NetworkManager(None), 2);
    next.step(Event::Begun, 2);
    assert_eq!(seen(&next), locked());
    next.step(office(3), 3);
    assert_eq!(next.situation().state, State::Protected, "the control: another device");
}

#[test]
fn a_link_waits_for_a_networkmanager_that_was_not_read_yet() {
    // NetworkManager starts again.
    let mut again = machine(Remembered::default());
    again.step(Event::NetworkManager(None), 1);
    again.step(Event::Begun, 1);
    again.step(Event::ManagerUnread, 2);
    again.step(office(2), 3);
    assert_eq!(seen(&again), locked());
    again.step(answer(1, &["office"]), 4);
    assert_eq!(seen(&again), locked(), "it is a user's");

    // The agent starts, and NetworkManager does not answer.
    let mut hung = machine(Remembered::default());
    hung.step(Event::ManagerUnread, 1);
    hung.step(office(2), 1);
    hung.step(Event::Begun, 2);
    assert_eq!(seen(&hung), locked());
    hung.step(answer(1, &[]), 3);
    assert_eq!(hung.situation().state, State::Protected, "the control");
}

fn own(byte: u8) -> OwnKey {
    OwnKey::try_from(&[byte; 32][..]).unwrap()
}

fn peer(byte: u8) -> PeerKey {
    PeerKey::try_from(&[byte; 32][..]).unwrap()
}

/// The device of this link has this private key, and the peer of root's file.
fn keyed(index: u32, byte: u8) -> Event {
    with_peer(index, byte, 7)
}

fn with_peer(index: u32, byte: u8, of: u8) -> Event {
    let (peers, traffic) = (BTreeMap::from([(peer(of), None)]), Traffic::default());
    let devices = vec![WireGuardDevice { index, mark: None, own: Some(own(byte)), peers, traffic }];
    Event::WireGuardDevices { devices, awake: 1 }
}

#[test]
fn without_a_networkmanager_that_has_left_a_device_counts_by_the_private_key_of_root_s_file() {
    let with_key = WireGuardFile { own: Some(own(1)), keys: [peer(7)].into(), ..file("office", 7) };
    let begin = |events: &[Event]| {
        let mut machine = Machine::new(Config::default(), Remembered::default(), 0);
        machine.step(Event::WireGuardFiles(vec![with_key.clone()]), 0);
        for event in events {
            machine.step(event.clone(), 1);
        }
        machine.step(Event::Begun, 1);
        machine
    };
    let left = [answer(0, &[]), Event::NetworkManager(None)];
    // The bus is gone for longer, and the source says so again.
    let away = [Event::ManagerUnread, Event::NetworkManager(None), Event::NetworkManager(None)];
    for gone in [&left[..], &away] {
        let mut machine = begin(gone);
        machine.step(office(2), 2);
        assert_eq!(seen(&machine), locked(), "nobody says who made it");
        machine.step(keyed(2, 9), 3);
        assert_eq!(seen(&machine), locked(), "a user's key");
        machine.step(keyed(3, 1), 3);
        assert_eq!(seen(&machine), locked(), "the key of another device");
        machine.step(with_peer(2, 1, 8), 3);
        assert_eq!(seen(&machine), locked(), "it has a peer that is not in the file");
        machine.step(Event::Clock, 20);
        let [(name, remedy)] = &left_out(&machine)[..] else { panic!("{:?}", left_out(&machine)) };
        assert!(name == "office" && remedy.starts_with("start NetworkManager"), "{remedy}");
        machine.step(keyed(2, 1), 21);
        assert_eq!(seen(&machine), (State::Protected, vec!["office".to_owned()]));
        assert_eq!(left_out(&machine), []);
        // NetworkManager comes back and claims the device for a user.
        machine.step(answer(machine.question(), &["office"]), 22);
        assert_eq!(seen(&machine), locked());
    }
    // What NetworkManager said before it left stays true.
    let mut before = begin(&[answer(0, &[])]);
    before.step(office(2), 2);
    before.step(answer(1, &[]), 3);
    before.step(Event::NetworkManager(None), 4);
    assert_eq!(seen(&before), (State::Protected, vec!["office".to_owned()]));
}

#[test]
fn a_networkmanager_that_does_not_answer_delays_no_device_with_the_private_key_of_root_s_file() {
    let with_key = WireGuardFile { own: Some(own(1)), keys: [peer(7)].into(), ..file("office", 7) };
    let counts = (State::Protected, vec!["office".to_owned()]);
    let begin = |device: Event| {
        let mut machine = Machine::new(Config::default(), Remembered::default(), 0);
        machine.step(Event::WireGuardFiles(vec![with_key.clone()]), 0);
        machine.step(answer(0, &[]), 1);
        machine.step(Event::Begun, 1);
        machine.step(office(2), 2);
        machine.step(device, 2);
        assert_eq!(seen(&machine), locked(), "it is asked first");
        machine.step(Event::Clock, 3);
        assert_eq!(seen(&machine), locked(), "it may have been asked at the end of a second");
        machine.step(Event::Clock, 4);
        machine
    };
    let mut hung = begin(keyed(2, 1));
    assert_eq!(seen(&hung), counts);
    hung.step(Event::Clock, 100);
    assert_eq!((left_out(&hung), seen(&hung)), (vec![], counts.clone()));
    // It answers late: it made the device for a user who knows the key.
    hung.step(answer(hung.question(), &["office"]), 101);
    assert_eq!(seen(&hung), locked());

    for (device, why) in [
        (keyed(2, 9), "a user's key"),
        (keyed(3, 1), "the key of another device"),
        (with_peer(2, 1, 8), "it has a peer that is not in the file"),
    ] {
        let mut other = begin(device);
        assert_eq!(seen(&other), locked(), "{why}");
        other.step(Event::Clock, 100);
        assert_eq!(seen(&other), locked(), "{why}");
        let [(name, remedy)] = &left_out(&other)[..] else { panic!("{:?}", left_out(&other)) };
        assert!(name == "office" && remedy.contains("restart NetworkManager"), "{remedy}");
        other.step(answer(other.question(), &[]), 101);
        assert_eq!(seen(&other), counts, "the control: {why}");
    }
    // It answers at once that the device is a user's.
    let mut users = begin(keyed(2, 9));
    users.step(answer(users.question(), &["office"]), 4);
    users.step(keyed(2, 1), 100);
    assert_eq!(seen(&users), locked());
}

#[test]
fn without_a_networkmanager_that_has_left_only_a_device_that_a_program_holds_counts_without_a_key() {
    for (kind, state) in [
        (LinkKind::Tunnel, State::Protected),
        (LinkKind::OpenVpn, State::Protected),
        (LinkKind::Ipsec, State::Locked),
        (LinkKind::WireGuard, State::Locked),
    ] {
        let mut machine = Machine::new(Config::default(), Remembered::default(), 0);
        machine.step(answer(0, &[]), 1);
        machine.step(Event::NetworkManager(None), 1);
        machine.step(Event::Begun, 1);
        machine.step(links(&[link(2, "tun0", kind)]), 2);
        assert_eq!(machine.situation().state, state, "{kind:?}");
    }
}

#[test]
fn a_link_that_takes_a_part_of_the_internet_waits_too() {
    let part = Link { routes: vec!["0.0.0.0/1".parse().unwrap()], ..link(2, "office", LinkKind::WireGuard) };
    for (made, expected) in [(&["office"][..], vec![]), (&[], vec!["office".to_owned()])] {
        let mut machine = machine(Remembered::default());
        machine.step(answer(0, &[]), 1);
        machine.step(Event::Begun, 1);
        machine.step(links(std::slice::from_ref(&part)), 2);
        assert_eq!((seen(&machine), machine.question()), (locked(), 1));
        machine.step(answer(1, made), 3);
        assert_eq!(seen(&machine), (State::Locked, expected));
    }
}
