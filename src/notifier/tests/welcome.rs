//! The notice of the first minute.

use super::menu::{managed, vpn, with_vpns};
use super::*;
use crate::status::VpnStatus;

fn newcomer(status: Status) -> Day {
    Day::begin_told(Memory::default(), status)
}

#[test]
fn the_first_lock_says_why_and_what_to_do_once() {
    let home = || vec![vpn("home", "networkmanager")];
    let mut day = newcomer(with_vpns(home(), status(State::Locked)));
    let notice = day.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.urgency), (Topic::Welcome, Urgency::Normal));
    let buttons = [Button::Connect(managed("home", 0)), Button::Pause(5), Button::Details];
    assert_eq!(notice.buttons, buttons);
    for told in ["nothing leaves", "Connect your VPN", "pause", "tunwarden init", "apt remove"] {
        assert!(day.reads().contains(told), "{told}: {}", day.reads());
    }
    day.see();
    let memory = Memory { welcomed: true, ..Memory::default() };
    assert!(day.actions.contains(&Action::Remember(memory)), "{:?}", day.actions);
    day.agent(with_vpns(home(), status(State::Locked)));
    assert_eq!(day.topic(), Some(Topic::Welcome), "it stays until it is closed");
    day.hear(Event::Closed(Topic::Welcome, Closing::Dismissed));
    assert_eq!(day.topic(), None);
    day.agent(status(State::Locked));
    assert_eq!(day.topic(), None);
    assert_eq!(Day::begin_told(memory, status(State::Locked)).topic(), None, "the next login");
}

#[test]
fn without_a_vpn_that_counts_the_first_notice_says_so() {
    let mut day = newcomer(status(State::Locked));
    assert!(day.reads().contains("No VPN is known here yet"), "{}", day.reads());
    assert_eq!(day.notifier.notice().unwrap().buttons, [Button::Pause(5), Button::Details]);
    let other = VpnStatus { counts: false, ..vpn("home", "networkmanager") };
    day.agent(with_vpns(vec![other], status(State::Locked)));
    assert!(day.reads().contains("None of the VPNs here counts"), "{}", day.reads());
    // NetworkManager was read only now.
    day.agent(with_vpns(vec![vpn("home", "networkmanager")], status(State::Locked)));
    assert!(day.reads().contains("Connect your VPN"), "{}", day.reads());
}

#[test]
fn the_first_notice_ends_with_the_lock_and_comes_after_every_danger() {
    let mut day = newcomer(status(State::Locked));
    day.see();
    day.agent(status(State::Connecting));
    assert_eq!(day.topic(), None);
    day.agent(status(State::Locked));
    assert_eq!(day.topic(), None, "it was read");
    let mut day = newcomer(status(State::Protected));
    assert_eq!(day.topic(), None, "nothing is locked yet");
    day.lose();
    assert_eq!(day.topic(), Some(Topic::Lost));
    day.agent(Status { enforcement: Enforcement::NotEnforced, ..status(State::Locked) });
    assert_eq!(day.topic(), Some(Topic::NotEnforced));
    day.agent(status(State::Locked));
    day.hear(Event::Closed(Topic::News, Closing::Faded));
    assert_eq!(day.topic(), Some(Topic::Welcome));
}

#[test]
fn a_captive_portal_is_offered_and_never_opened_by_itself() {
    let mut day = Day::begin(status(State::Locked));
    day.hear(Event::Portal(Portal::Found));
    let notice = day.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.buttons), (Topic::Portal, vec![Button::PausePortal, Button::Details]));
    assert!(day.reads().starts_with("This network asks you to sign in\n"), "{}", day.reads());
    day.see();
    assert!(!day.actions.iter().any(|action| matches!(action, Action::Ask(_))), "{:?}", day.actions);
    day.hear(Event::Pressed(Button::PausePortal));
    assert!(day.actions.contains(&Action::Ask(Button::PausePortal)));
    day.agent(status(State::Paused));
    assert_eq!(day.topic(), Some(Topic::Paused(START + 300)));
    day.agent(status(State::Protected));
    day.hear(Event::Closed(Topic::News, Closing::Faded));
    assert_eq!(day.topic(), None, "the VPN is connected");
    // While a VPN is lost, the notice about the loss has this offer.
    day.lose();
    let notice = day.notifier.notice().unwrap();
    assert_eq!(notice.buttons, [Button::Reconnect, Button::PausePortal, Button::Details]);
    day.hear(Event::Portal(Portal::None));
    assert!(!day.reads().contains("sign in"), "{}", day.reads());
}
