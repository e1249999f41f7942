//! The notice of the first minute.

use super::menu::{managed, vpn, with_vpns};
use super::*;
use crate::status::VpnStatus;

fn first_start(status: Status) -> TestNotifier {
    TestNotifier::begin_with(Memory::default(), status)
}

#[test]
fn the_first_lock_says_why_and_what_to_do_once() {
    let home = || vec![vpn("home", "networkmanager")];
    let mut test = first_start(with_vpns(home(), status(State::Locked)));
    let notice = test.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.urgency), (Topic::Welcome, Urgency::Normal));
    let buttons = [Button::Connect(managed("home", 0)), Button::Pause(5), Button::Details];
    assert_eq!(notice.buttons, buttons);
    for told in ["nothing leaves", "Connect your VPN", "pause", "tunwarden init", "apt remove"] {
        assert!(test.text().contains(told), "{told}: {}", test.text());
    }
    test.mark_shown();
    let memory = Memory { welcomed: true, ..Memory::default() };
    assert!(test.actions.contains(&Action::Remember(memory)), "{:?}", test.actions);
    test.agent(with_vpns(home(), status(State::Locked)));
    assert_eq!(test.topic(), Some(Topic::Welcome), "it stays until it is closed");
    test.send(Event::Closed(Topic::Welcome, Closing::Dismissed));
    assert_eq!(test.topic(), None);
    test.agent(status(State::Locked));
    assert_eq!(test.topic(), None);
    assert_eq!(TestNotifier::begin_with(memory, status(State::Locked)).topic(), None, "the next login");
}

#[test]
fn without_a_vpn_that_counts_the_first_notice_says_so() {
    let mut test = first_start(status(State::Locked));
    assert!(test.text().contains("No VPN is known here yet"), "{}", test.text());
    assert_eq!(test.notifier.notice().unwrap().buttons, [Button::Pause(5), Button::Details]);
    let other = VpnStatus { counts: false, ..vpn("home", "networkmanager") };
    test.agent(with_vpns(vec![other], status(State::Locked)));
    assert!(test.text().contains("None of the VPNs here counts"), "{}", test.text());
    // NetworkManager was read only now.
    test.agent(with_vpns(vec![vpn("home", "networkmanager")], status(State::Locked)));
    assert!(test.text().contains("Connect your VPN"), "{}", test.text());
}

#[test]
fn the_first_notice_ends_with_the_lock_and_comes_after_every_danger() {
    let mut test = first_start(status(State::Locked));
    test.mark_shown();
    test.agent(status(State::Connecting));
    assert_eq!(test.topic(), None);
    test.agent(status(State::Locked));
    assert_eq!(test.topic(), None, "it was read");
    let mut test = first_start(status(State::Protected));
    assert_eq!(test.topic(), None, "nothing is locked yet");
    test.lose();
    assert_eq!(test.topic(), Some(Topic::Lost));
    test.agent(Status { enforcement: Enforcement::NotEnforced, ..status(State::Locked) });
    assert_eq!(test.topic(), Some(Topic::NotEnforced));
    test.agent(status(State::Locked));
    test.send(Event::Closed(Topic::News, Closing::TimedOut));
    assert_eq!(test.topic(), Some(Topic::Welcome));
}

#[test]
fn a_captive_portal_is_offered_and_never_opened_by_itself() {
    let mut test = TestNotifier::begin(status(State::Locked));
    test.send(Event::Portal(Portal::Found));
    let notice = test.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.buttons), (Topic::Portal, vec![Button::PausePortal, Button::Details]));
    assert!(test.text().starts_with("This network asks you to sign in\n"), "{}", test.text());
    test.mark_shown();
    assert!(!test.actions.iter().any(|action| matches!(action, Action::Ask(_))), "{:?}", test.actions);
    test.send(Event::Pressed(Button::PausePortal));
    assert!(test.actions.contains(&Action::Ask(Button::PausePortal)));
    test.agent(status(State::Paused));
    assert_eq!(test.topic(), Some(Topic::Paused(START + 300)));
    test.agent(status(State::Protected));
    test.send(Event::Closed(Topic::News, Closing::TimedOut));
    assert_eq!(test.topic(), None, "the VPN is connected");
    // While a VPN is lost, the notice about the loss has this offer.
    test.lose();
    let notice = test.notifier.notice().unwrap();
    assert_eq!(notice.buttons, [Button::Reconnect, Button::PausePortal, Button::Details]);
    test.send(Event::Portal(Portal::None));
    assert!(!test.text().contains("sign in"), "{}", test.text());
}
