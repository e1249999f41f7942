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
fn the_list_never_hides_a_loss_and_is_gone_with_the_agent() {
    let line = BlockedLine {
        who: None,
        destination: "203.0.113.9:443/udp".to_owned(),
        reason: Some(crate::vpn::Refusal::NoVpn),
        count: 31,
    };
    let list = || Event::Blocked(Ok(vec![line.clone()]));
    let mut day = Day::begin(status(State::Protected));
    day.hear(Event::Pressed(Button::Blocked));
    day.lose();
    day.hear(list());
    assert_eq!(day.topic(), Some(Topic::Lost), "the answer came after the loss");
    let read = day.reads();
    assert!(read.starts_with("VPN lost: home\n") && read.contains("203.0.113.9:443/udp, 31 times"), "{read}");
    day.hear(Event::Closed(Topic::Lost, Closing::Dismissed));
    assert_eq!(day.topic(), None, "the list was read with the loss");
    day.hear(list());
    assert_eq!(day.topic(), Some(Topic::Blocked), "the loss was read");

    day.hear(Event::Agent(None));
    assert_eq!(day.topic(), None, "no list without an agent");
    day.hear(list());
    day.pass(10);
    assert_eq!(day.topic(), Some(Topic::Gone));
    day.agent(lost_at(START));
    assert!(!day.reads().contains("203.0.113.9"), "{}", day.reads());
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
