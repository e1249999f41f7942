//! The indicator's menu, and clicks on a notice itself.

use super::*;
use crate::status::VpnStatus;

pub(super) fn vpn(name: &str, origin: &str) -> VpnStatus {
    VpnStatus {
        name: name.to_owned(),
        uuid: (origin == "networkmanager").then(|| uuid_of(name, 0)),
        origin: origin.to_owned(),
        servers: vec!["198.51.100.7:1194/udp".to_owned()],
        more: 0,
        mark: None,
        counts: true,
        fault: None,
    }
}

/// The UUID of the profile with this name. Profiles with the same name have different numbers.
fn uuid_of(name: &str, number: usize) -> String {
    format!("uuid-{number}-of-{name}")
}

pub(super) fn managed(name: &str, number: usize) -> OfferedVpn {
    OfferedVpn { name: name.to_owned(), uuid: uuid_of(name, number) }
}

pub(super) fn with_vpns(vpns: Vec<VpnStatus>, status: Status) -> Status {
    Status { vpns, ..status }
}

fn connects(test: &TestNotifier) -> Vec<String> {
    let buttons = test.notifier.indicator().buttons;
    let connects = buttons.iter().filter(|button| matches!(button, Button::Connect(_)));
    connects.map(|button| words().button(button)).collect()
}

fn words() -> Words {
    Words::new("en", TimeZone::UTC)
}

#[test]
fn the_menu_offers_three_pauses_and_one_for_a_portal_while_no_vpn_is_connected() {
    let offered = |state| TestNotifier::begin(status(state)).notifier.indicator().buttons;
    for state in [State::Locked, State::Lost, State::Connecting, State::Protected] {
        let buttons = offered(state);
        for minutes in [5, 30, 60] {
            assert!(buttons.contains(&Button::Pause(minutes)), "{state}: {buttons:?}");
        }
        assert_eq!(buttons.contains(&Button::PausePortal), state != State::Protected, "{state}");
        assert!(buttons.contains(&Button::Journal));
    }
    let buttons = offered(State::Paused);
    assert!(buttons.contains(&Button::Resume) && !buttons.contains(&Button::Pause(5)), "{buttons:?}");
}

#[test]
fn a_vpn_that_counts_and_is_not_up_can_be_connected_by_its_name() {
    let unnamed = VpnStatus { counts: false, ..vpn("evil", "networkmanager") };
    let broken = VpnStatus { fault: Some("no server".to_owned()), ..vpn("broken", "networkmanager") };
    let vpns = vec![vpn("home", "networkmanager"), vpn("wg0", "wireguard"), unnamed, broken];
    let mut test = TestNotifier::begin(with_vpns(vpns.clone(), status(State::Locked)));
    assert_eq!(connects(&test), ["Connect home"]);
    let menu = test.notifier.indicator().buttons;
    assert!(menu.contains(&Button::Reconnect), "wg0 has no entry of its own: {menu:?}");
    test.send(Event::Pressed(Button::Connect(managed("home", 0))));
    assert!(test.actions.contains(&Action::Ask(Button::Connect(managed("home", 0)))));
    let why = Refusal::Own(Key::NoAnswer);
    test.send(Event::Answered(Button::Connect(managed("home", 0)), Err(why)));
    assert!(test.text().contains("could not be connected.\nIts server"), "{}", test.text());

    test.agent(with_vpns(vpns.clone(), status(State::Protected)));
    assert_eq!(connects(&test), [""; 0], "a VPN is up");
    let never = Status { reconnect: Some(Reconnect::Never), ..status(State::Locked) };
    test.agent(with_vpns(vpns, never));
    assert_eq!(connects(&test), [""; 0], "the configuration offers nothing");
}

#[test]
fn reconnect_is_not_offered_beside_the_same_vpn_by_its_name() {
    let two = vec![vpn("home", "networkmanager"), vpn("office", "networkmanager")];
    let test = TestNotifier::begin(with_vpns(two.clone(), status(State::Locked)));
    assert_eq!(connects(&test), ["Connect home", "Connect office"]);
    assert!(!test.notifier.indicator().buttons.contains(&Button::Reconnect));
    // `Reconnect` connects the lost VPN.
    let test = TestNotifier::begin(with_vpns(two, lost_at(START)));
    assert_eq!(connects(&test), ["Connect office"]);
    assert!(test.notifier.indicator().buttons.contains(&Button::Reconnect));
    let many = (0..50).map(|count| vpn(&format!("vpn{count}"), "networkmanager")).collect();
    assert_eq!(connects(&TestNotifier::begin(with_vpns(many, status(State::Locked)))).len(), 5);
}

#[test]
fn two_vpns_of_one_name_have_an_entry_each_and_are_connected_by_their_uuids() {
    let second = VpnStatus { uuid: Some(uuid_of("home", 1)), ..vpn("home", "networkmanager") };
    let test = TestNotifier::begin(with_vpns(
        vec![vpn("home", "networkmanager"), second.clone()],
        status(State::Locked),
    ));
    assert_eq!(connects(&test), ["Connect home", "Connect home (2)"]);
    let buttons = test.notifier.indicator().buttons;
    let other = OfferedVpn { name: "home (2)".to_owned(), ..managed("home", 1) };
    assert!(buttons.contains(&Button::Connect(managed("home", 0))), "{buttons:?}");
    assert!(buttons.contains(&Button::Connect(other.clone())), "{buttons:?}");
    assert!(!buttons.contains(&Button::Reconnect), "each has its entry");
    // The first one does not count. The name of the other one in the menu stays the same.
    let first = VpnStatus { counts: false, ..vpn("home", "networkmanager") };
    let test = TestNotifier::begin(with_vpns(vec![first, second], status(State::Locked)));
    assert!(test.notifier.indicator().buttons.contains(&Button::Connect(other)));
}

#[test]
fn the_menu_shows_how_many_minutes_a_pause_still_lasts() {
    let mut test = TestNotifier::begin(status(State::Protected));
    test.agent(status(State::Paused));
    let left = |test: &TestNotifier| words().lines(&test.notifier.indicator().lines);
    assert!(left(&test).ends_with("5 minutes left"), "{}", left(&test));
    let notice = test.notifier.notice();
    test.advance(61);
    assert!(left(&test).ends_with("4 minutes left"), "{}", left(&test));
    test.advance(200);
    assert!(left(&test).ends_with("one minute left"), "{}", left(&test));
    assert_eq!(test.notifier.notice(), notice, "the notification does not appear again each minute");
    test.advance(60);
    assert!(!left(&test).contains("left"), "{}", left(&test));
    test.agent(status(State::Locked));
    assert!(!left(&test).contains("left"));
}

#[test]
fn a_click_on_a_notice_shows_the_details_and_the_next_one_closes_it() {
    let mut test = TestNotifier::begin(lost_at(START));
    test.send(Event::Clicked(Topic::Lost));
    assert_eq!(test.topic(), Some(Topic::Lost));
    assert!(test.text().contains("tunwarden status"), "{}", test.text());
    test.send(Event::Clicked(Topic::Lost));
    assert_eq!(test.topic(), None);

    // The notice about a pause has no button for the details. They are shown as a notice of their own, and then the
    // pause is shown again.
    let mut test = TestNotifier::begin(status(State::Paused));
    test.send(Event::Clicked(Topic::Paused(START + 300)));
    assert_eq!(test.topic(), Some(Topic::Details));
    test.send(Event::Clicked(Topic::Details));
    assert_eq!(test.topic(), Some(Topic::Paused(START + 300)));
}

#[test]
fn the_details_name_a_vpn_that_carries_and_does_not_count_and_the_line_that_changes_that() {
    let line = "tunnel.interfaces = [\"tun+\", \"office\"]".to_owned();
    let office = ("office".to_owned(), crate::vpn::LeftOut::NoTunnel(line.clone()));
    let mut test = TestNotifier::begin(Status { left_out: vec![office.into()], ..status(State::Locked) });
    test.send(Event::Pressed(Button::Details));
    let (text, why) =
        (test.text(), "office: all traffic is routed into it, and tunwarden lets nothing through");
    assert!(text.contains(why) && text.contains(&line), "{text}");
    test.agent(status(State::Locked));
    assert!(!test.text().contains("office"), "{}", test.text());
}

#[test]
fn details_that_are_on_the_screen_do_not_hide_a_loss() {
    let mut test = TestNotifier::begin(status(State::Protected));
    test.send(Event::Pressed(Button::Details));
    test.agent(status(State::Protected));
    assert_eq!(test.topic(), Some(Topic::Details), "nothing has changed");
    test.lose();
    assert_eq!(test.topic(), Some(Topic::Lost));
}

#[test]
fn a_notice_says_its_category() {
    let category = |status| TestNotifier::begin(status).notifier.notice().map(|notice| notice.category());
    assert_eq!(category(lost_at(START)), Some("network.disconnected"));
    let open = Status { enforcement: Enforcement::NotEnforced, ..status(State::Locked) };
    assert_eq!(category(open), Some("network.error"));
    assert_eq!(category(status(State::Paused)), Some("network"));
    let mut test = TestNotifier::begin(lost_at(START));
    test.back();
    assert_eq!(test.notifier.notice().map(|notice| notice.category()), Some("network.connected"));
}

#[test]
fn after_the_loss_of_one_of_two_vpns_of_one_name_the_other_is_offered() {
    let second = VpnStatus { uuid: Some(uuid_of("home", 1)), ..vpn("home", "networkmanager") };
    let two = vec![vpn("home", "networkmanager"), second];
    let after = |uuid: Option<String>| {
        let lost = lost_at(START);
        let loss = lost.loss.clone().map(|loss| LastLoss { uuid, ..loss });
        connects(&TestNotifier::begin(with_vpns(two.clone(), Status { loss, ..lost })))
    };
    assert_eq!(after(Some(uuid_of("home", 0))), ["Connect home (2)"]);
    assert_eq!(after(Some(uuid_of("home", 1))), ["Connect home"]);
    assert_eq!(after(None), [""; 0], "it is not known which one was lost");
}

/// A sentence in the code is in one language. The sentences of `Refusal::Own` are in all of them.
#[test]
fn no_reason_of_the_notifier_s_own_is_only_in_english() {
    let files = [
        include_str!("../ask.rs"),
        include_str!("../check.rs"),
        include_str!("../checking.rs"),
        include_str!("../connect.rs"),
        include_str!("../terminal.rs"),
    ];
    let code = files.iter().filter_map(|text| text.split("#[cfg(test)]").next()).flat_map(str::lines);
    let sentences: Vec<&str> = code.filter(|line| line.to_lowercase().contains("failed(\"")).collect();
    assert_eq!(sentences, [""; 0]);
}
