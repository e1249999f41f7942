//! A client sets the routes of its tunnel one after the other, and the kernel shows each step.

use super::super::*;
use super::kernel::{begun, file, link, links, lost};

const ETH: u32 = 2;
const OFFICE: u32 = 3;

/// The networks that the tunnel's routes cover, and where the kernel sends each range.
type Step<'a> = (&'a [&'a str], &'a [(&'a str, &'a str, u32)]);

/// A card with a default route of both families, and the tunnel.
fn at(&(routes, ranges): &Step<'_>) -> Event {
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let card = Link { routes: nets(&["0.0.0.0/0", "::/0"]), ..link(ETH, "eth0", LinkKind::Other) };
    let office = Link { routes: nets(routes), ..link(OFFICE, "office", LinkKind::WireGuard) };
    let range = |&(first, last, link): &(&str, &str, u32)| RouteRange {
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
        links: [link].into(),
    };
    let routing = Routing { ranges: ranges.iter().map(range).collect(), on_link: Vec::new() };
    Event::Links(LinkTable { links: vec![card, office], routing, ..LinkTable::default() })
}

const fn v4(link: u32) -> (&'static str, &'static str, u32) {
    ("0.0.0.0", "255.255.255.255", link)
}

const fn v6(link: u32) -> (&'static str, &'static str, u32) {
    ("2000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", link)
}

/// wg-quick sets IPv6 first: for each family the route in a table of its own, and then the rule that has packets use it.
const WG_QUICK: [Step<'_>; 5] = [
    (&[], &[v4(ETH), v6(ETH)]),
    (&["::/0"], &[v4(ETH), v6(ETH)]),
    (&["::/0"], &[v4(ETH), v6(OFFICE)]),
    (&["0.0.0.0/0", "::/0"], &[v4(ETH), v6(OFFICE)]),
    (&["0.0.0.0/0", "::/0"], &[v4(OFFICE), v6(OFFICE)]),
];

/// The first piece of IPv6 that `redirect-gateway ipv6` of OpenVPN routes, and then the second, after both halves of
/// IPv4.
const OPENVPN: [Step<'_>; 3] = [
    (&["0.0.0.0/1", "128.0.0.0/1"], &[v4(OFFICE), v6(ETH)]),
    (
        &["0.0.0.0/1", "128.0.0.0/1", "2000::/4"],
        &[
            v4(OFFICE),
            ("2000::", "2fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", OFFICE),
            ("3000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ETH),
        ],
    ),
    (&["0.0.0.0/1", "128.0.0.0/1", "2000::/4", "3000::/4"], &[v4(OFFICE), v6(OFFICE)]),
];

/// What a machine announces while these steps happen within one second.
fn announced(machine: &mut Machine, steps: &[Step<'_>]) -> Vec<Announcement> {
    let actions = steps.iter().flat_map(|step| machine.step(at(step), 100));
    let told = actions.filter_map(|action| match action {
        Action::Announce(announcement) => Some(announcement),
        Action::Watch(_)
        | Action::Remember(_)
        | Action::LeftOut(..)
        | Action::LookUp { .. }
        | Action::CheckRules
        | Action::Reconnect(_)
        | Action::WakeAt(_) => None,
    });
    told.collect()
}

fn state(machine: &Machine) -> State {
    machine.situation().state
}

#[test]
fn a_tunnel_whose_routes_are_set_one_after_the_other_is_not_lost_in_between() {
    for steps in [&WG_QUICK[..], &OPENVPN] {
        let mut machine = begun("", &[file("office", 7)]);
        let told = announced(&mut machine, steps);
        assert_eq!(told, [Announcement::State { old: State::Locked, new: State::Protected }]);
        // All of it stays, however late it is.
        assert!(!lost(&machine.step(Event::Clock, 1_000)) && state(&machine) == State::Protected);
    }
}

#[test]
fn what_the_tunnel_has_carried_is_lost_at_once() {
    let whole = WG_QUICK[4];
    let past: [Step<'_>; 4] = [
        (whole.0, &[v4(ETH), v6(OFFICE)]),
        (whole.0, &[v4(OFFICE), v6(ETH)]),
        (whole.0, &[v4(ETH), v6(ETH)]),
        (&["0.0.0.0/0"], &[v4(ETH), v6(ETH)]),
    ];
    for step in past {
        let mut machine = begun("", &[file("office", 7)]);
        announced(&mut machine, &WG_QUICK);
        let actions = machine.step(at(&step), 101);
        assert!(lost(&actions) && state(&machine) == State::Lost, "{step:?}: {actions:?}");
        machine.step(at(&whole), 102);
        assert_eq!(state(&machine), State::Protected);
    }
    // While it gets the routes of IPv4, IPv6 goes elsewhere, the link goes down, or there is no network under it.
    let Event::Links(mut down) = at(&WG_QUICK[3]) else { unreachable!() };
    down.links[1].carrier = false;
    let Event::Links(mut cut) = at(&WG_QUICK[3]) else { unreachable!() };
    cut.links[0].up = false;
    let past = at(&(WG_QUICK[3].0, &[v4(ETH), v6(ETH)]));
    for event in [Event::Links(down), Event::Links(cut), past, links(&[])] {
        let mut machine = begun("", &[file("office", 7)]);
        announced(&mut machine, &WG_QUICK[..4]);
        assert_eq!(state(&machine), State::Protected);
        assert!(lost(&machine.step(event.clone(), 101)) && state(&machine) == State::Lost, "{event:?}");
    }
}

#[test]
fn routes_that_do_not_come_are_a_loss_after_ten_seconds() {
    let mut machine = begun("", &[file("office", 7)]);
    announced(&mut machine, &WG_QUICK[..3]);
    let actions = machine.step(at(&WG_QUICK[3]), 100);
    let wakes = |action: &Action| matches!(action, Action::WakeAt(moment) if moment.as_second() == 110);
    assert!(actions.iter().any(wakes), "{actions:?}");
    assert!(!lost(&machine.step(Event::Clock, 109)) && state(&machine) == State::Protected);
    let actions = machine.step(Event::Clock, 110);
    let routed_past = |action: &Action| {
        let Action::Announce(Announcement::Lost { reason, .. }) = action else { return false };
        *reason == Reason::RoutedPast
    };
    assert!(actions.iter().any(routed_past) && state(&machine) == State::Lost, "{actions:?}");
    assert!(!actions.iter().any(wakes), "{actions:?}");
    machine.step(at(&WG_QUICK[4]), 111);
    assert_eq!(state(&machine), State::Protected);
    // Another event in between does not begin the time again.
    let mut machine = begun("", &[file("office", 7)]);
    announced(&mut machine, &WG_QUICK[..4]);
    let Event::Links(mut other) = at(&WG_QUICK[3]) else { unreachable!() };
    other.links.push(link(4, "eth1", LinkKind::Other));
    assert!(!lost(&machine.step(Event::Links(other), 109)));
    assert!(lost(&machine.step(Event::Clock, 110)));
}
