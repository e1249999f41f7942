//! What was blocked, in the tray and in the notice about a loss.

use super::*;

#[test]
fn containers_that_wait_are_one_line_in_the_notice_about_the_loss() {
    let mut day = Day::begin(lost_at(START));
    assert!(!day.reads().contains("waiting"));
    day.hear(Event::Waiting(3));
    assert!(day.reads().contains("3 containers are waiting for it."), "{}", day.reads());
    day.back();
    day.hear(Event::Closed(Topic::News, Closing::Faded));
    day.lose();
    assert!(!day.reads().contains("waiting"), "another loss");
}

#[test]
fn what_was_blocked_is_listed_until_news_of_the_protection_come() {
    let mut day = Day::begin(status(State::Locked));
    day.hear(Event::Pressed(Button::Blocked));
    assert!(day.actions.contains(&Action::Ask(Button::Blocked)));
    let line = |who: Option<&str>, reason| BlockedLine {
        who: who.map(ToOwned::to_owned),
        destination: "203.0.113.9:443/udp".to_owned(),
        reason: Some(reason),
        count: 31,
    };
    let lines =
        vec![line(None, crate::vpn::Refusal::NoVpn), line(Some("fire\nfox"), crate::vpn::Refusal::LanOff)];
    day.hear(Event::Blocked(Ok(lines.clone())));
    let read = day.reads();
    assert!(read.contains("203.0.113.9:443/udp, 31 times: no VPN"), "{read}");
    assert!(read.contains("fire fox to 203.0.113.9:443/udp, 31 times: the local network is off"), "{read}");
    assert_eq!(day.notifier.notice().unwrap().buttons, [], "no button opens anything");
    day.hear(Event::Closed(Topic::Blocked, Closing::Dismissed));
    assert_eq!(day.topic(), None);
    day.hear(Event::Blocked(Ok(Vec::new())));
    assert!(day.reads().contains("None of your programs was blocked"));
    day.hear(Event::Blocked(Ok(lines)));
    day.agent(Status { enforcement: Enforcement::NotEnforced, ..status(State::Locked) });
    assert_eq!(day.topic(), Some(Topic::NotEnforced), "no list stands before a danger");
}
