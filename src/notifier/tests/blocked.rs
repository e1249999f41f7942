//! What was blocked, in the tray and in the notice about a loss.

use super::*;

#[test]
fn containers_that_wait_are_one_line_in_the_notice_about_the_loss() {
    let mut test = TestNotifier::begin(lost_at(START));
    assert!(!test.text().contains("waiting"));
    test.send(Event::Waiting(3));
    assert!(test.text().contains("3 containers are waiting for it."), "{}", test.text());
    test.back();
    test.send(Event::Closed(Topic::News, Closing::TimedOut));
    test.lose();
    assert!(!test.text().contains("waiting"), "another loss");
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
    let mut test = TestNotifier::begin(status(State::Protected));
    test.send(Event::Pressed(Button::Blocked));
    test.lose();
    test.send(list());
    assert_eq!(test.topic(), Some(Topic::Lost), "the answer came after the loss");
    let read = test.text();
    assert!(read.starts_with("VPN lost: home\n") && read.contains("203.0.113.9:443/udp, 31 times"), "{read}");
    test.send(Event::Closed(Topic::Lost, Closing::Dismissed));
    assert_eq!(test.topic(), None, "the list was read with the loss");
    test.send(list());
    assert_eq!(test.topic(), Some(Topic::Blocked), "the loss was read");

    test.send(Event::Agent(None));
    assert_eq!(test.topic(), None, "no list without an agent");
    test.send(list());
    test.advance(10);
    assert_eq!(test.topic(), Some(Topic::Gone));
    test.agent(lost_at(START));
    assert!(!test.text().contains("203.0.113.9"), "{}", test.text());
}

#[test]
fn what_was_blocked_is_listed_until_news_of_the_protection_come() {
    let mut test = TestNotifier::begin(status(State::Locked));
    test.send(Event::Pressed(Button::Blocked));
    assert!(test.actions.contains(&Action::Ask(Button::Blocked)));
    let line = |who: Option<&str>, reason| BlockedLine {
        who: who.map(ToOwned::to_owned),
        destination: "203.0.113.9:443/udp".to_owned(),
        reason: Some(reason),
        count: 31,
    };
    let lines =
        vec![line(None, crate::vpn::Refusal::NoVpn), line(Some("fire\nfox"), crate::vpn::Refusal::LanOff)];
    test.send(Event::Blocked(Ok(lines.clone())));
    let read = test.text();
    assert!(read.contains("203.0.113.9:443/udp, 31 times: no VPN"), "{read}");
    assert!(read.contains("fire fox to 203.0.113.9:443/udp, 31 times: the local network is off"), "{read}");
    assert_eq!(test.notifier.notice().unwrap().buttons, [], "no button opens anything");
    test.send(Event::Closed(Topic::Blocked, Closing::Dismissed));
    assert_eq!(test.topic(), None);
    test.send(Event::Blocked(Ok(Vec::new())));
    assert!(test.text().contains("None of your programs was blocked"));
    test.send(Event::Blocked(Ok(lines)));
    test.agent(Status { enforcement: Enforcement::NotEnforced, ..status(State::Locked) });
    assert_eq!(test.topic(), Some(Topic::NotEnforced), "no list stands before a danger");
}
