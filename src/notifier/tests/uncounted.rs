//! A tunnel that has all traffic and does not count: the notice, the loss and the indicator say so, with the line that
//! changes that.

use super::*;
use crate::vpn::LeftOut;

const LINE: &str = "tunnel.interfaces = [\"tun+\", \"office\"]";

fn with(what: LeftOut, status: Status) -> Status {
    Status { left_out: vec![("office".to_owned(), what).into()], ..status }
}

fn office(status: Status) -> Status {
    with(LeftOut::NoTunnel(LINE.to_owned()), status)
}

fn all_languages() -> [Words; LANGUAGES.len()] {
    LANGUAGES.map(|(language, _)| Words::new(language, TimeZone::UTC))
}

/// Whether the indicator names the tunnel, in every language.
fn indicator_names_it(test: &TestNotifier) -> bool {
    let lines = test.notifier.indicator().lines;
    all_languages().iter().all(|words| words.lines(&lines).contains("office"))
}

#[test]
fn a_tunnel_that_does_not_count_is_named_with_the_line_that_changes_that() {
    let mut test = TestNotifier::begin(office(status(State::Locked)));
    assert!(indicator_names_it(&test), "at once");
    assert_eq!(test.topic(), None, "its report may come");
    test.advance(4);
    assert_eq!(test.topic(), None);
    test.advance(1);
    assert_eq!(test.topic(), Some(Topic::Uncounted));
    let notice = test.notifier.notice().unwrap();
    assert_eq!((notice.urgency, notice.lifetime), (Urgency::Normal, Lifetime::UntilResolved));
    for words in all_languages() {
        let (title, body) = (words.label(&notice.title), words.lines(&notice.body));
        assert!(
            title.contains("office") && body.contains("office") && body.contains(LINE),
            "{title}\n{body}"
        );
        assert_eq!(texts::too_wide(&words, &notice), None);
    }
    // The details add the reason, and repeat no line.
    test.send(Event::Pressed(Button::Details));
    let text = test.text();
    assert!(text.contains("all traffic is routed into it") && text.matches(LINE).count() == 1, "{text}");
    // Once it counts, or is gone, nothing is left of it.
    test.agent(status(State::Protected));
    assert!(test.topic() != Some(Topic::Uncounted) && !indicator_names_it(&test));
}

#[test]
fn while_a_vpn_is_lost_its_notice_names_the_tunnel_that_does_not_count() {
    let mut test = TestNotifier::begin(lost_at(START));
    test.agent(office(lost_at(START)));
    assert!(!test.text().contains("office"), "{}", test.text());
    test.advance(5);
    assert_eq!(test.topic(), Some(Topic::Lost));
    assert!(test.text().contains("office, which") && test.text().contains(LINE), "{}", test.text());
    test.send(Event::Closed(Topic::Lost, Closing::Dismissed));
    assert_eq!(test.topic(), Some(Topic::Uncounted), "it is not solved");
    test.send(Event::Closed(Topic::Uncounted, Closing::Dismissed));
    assert_eq!(test.topic(), None);
    test.advance(100);
    assert_eq!(test.topic(), None, "the user has read it");
    // Another time is another notice.
    test.agent(lost_at(START));
    test.agent(office(lost_at(START)));
    test.advance(5);
    assert_eq!(test.topic(), Some(Topic::Uncounted));
}

#[test]
fn what_carries_no_traffic_or_passes_is_not_called_so() {
    let mark = LeftOut::Unmarked("office".to_owned());
    for status in [
        with(mark, status(State::Locked)),
        office(status(State::Locked)).found(Enforcement::NotEnforced),
        office(status(State::Paused)),
    ] {
        let mut test = TestNotifier::begin(status);
        test.advance(60);
        assert!(test.topic() != Some(Topic::Uncounted) && !indicator_names_it(&test), "{:?}", test.topic());
    }
    // Beside a VPN that protects only the indicator names it.
    let mut test = TestNotifier::begin(office(status(State::Protected)));
    test.advance(60);
    assert!(test.topic().is_none() && indicator_names_it(&test), "{:?}", test.topic());
}
