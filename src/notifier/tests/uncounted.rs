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
fn indicator_names_it(day: &Day) -> bool {
    let lines = day.notifier.indicator().lines;
    all_languages().iter().all(|words| words.lines(&lines).contains("office"))
}

#[test]
fn a_tunnel_that_does_not_count_is_named_with_the_line_that_changes_that() {
    let mut day = Day::begin(office(status(State::Locked)));
    assert!(indicator_names_it(&day), "at once");
    assert_eq!(day.topic(), None, "its report may come");
    day.pass(4);
    assert_eq!(day.topic(), None);
    day.pass(1);
    assert_eq!(day.topic(), Some(Topic::Uncounted));
    let notice = day.notifier.notice().unwrap();
    assert_eq!((notice.urgency, notice.stay), (Urgency::Normal, Stay::Resolved));
    for words in all_languages() {
        let (title, body) = (words.label(&notice.title), words.lines(&notice.body));
        assert!(
            title.contains("office") && body.contains("office") && body.contains(LINE),
            "{title}\n{body}"
        );
        assert_eq!(texts::too_wide(&words, &notice), None);
    }
    // The details add the reason, and repeat no line.
    day.hear(Event::Pressed(Button::Details));
    let reads = day.reads();
    assert!(reads.contains("all traffic is routed into it") && reads.matches(LINE).count() == 1, "{reads}");
    // Once it counts, or is gone, nothing is left of it.
    day.agent(status(State::Protected));
    assert!(day.topic() != Some(Topic::Uncounted) && !indicator_names_it(&day));
}

#[test]
fn while_a_vpn_is_lost_its_notice_names_the_tunnel_that_does_not_count() {
    let mut day = Day::begin(lost_at(START));
    day.agent(office(lost_at(START)));
    assert!(!day.reads().contains("office"), "{}", day.reads());
    day.pass(5);
    assert_eq!(day.topic(), Some(Topic::Lost));
    assert!(day.reads().contains("office, which") && day.reads().contains(LINE), "{}", day.reads());
    day.hear(Event::Closed(Topic::Lost, Closing::Dismissed));
    assert_eq!(day.topic(), Some(Topic::Uncounted), "it is not solved");
    day.hear(Event::Closed(Topic::Uncounted, Closing::Dismissed));
    assert_eq!(day.topic(), None);
    day.pass(100);
    assert_eq!(day.topic(), None, "the user has read it");
    // Another time is another notice.
    day.agent(lost_at(START));
    day.agent(office(lost_at(START)));
    day.pass(5);
    assert_eq!(day.topic(), Some(Topic::Uncounted));
}

#[test]
fn what_carries_no_traffic_or_passes_is_not_called_so() {
    let mark = LeftOut::Unmarked("office".to_owned());
    for status in [
        with(mark, status(State::Locked)),
        office(status(State::Locked)).found(Enforcement::NotEnforced),
        office(status(State::Paused)),
    ] {
        let mut day = Day::begin(status);
        day.pass(60);
        assert!(day.topic() != Some(Topic::Uncounted) && !indicator_names_it(&day), "{:?}", day.topic());
    }
    // Beside a VPN that protects only the indicator names it.
    let mut day = Day::begin(office(status(State::Protected)));
    day.pass(60);
    assert!(day.topic().is_none() && indicator_names_it(&day), "{:?}", day.topic());
}
