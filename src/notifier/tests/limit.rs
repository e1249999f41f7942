//! A system on which no layer judges the frames on the wires: a notice that says that nothing leaves must name this
//! limit.

use std::collections::BTreeSet;

use super::*;

const LIMIT: &str = "Not stopped on this system: containers on macvlan or ipvlan";

const FOUND: [Enforcement; 3] = [Enforcement::Enforced, Enforcement::Closed, Enforcement::NotEnforced];

fn statuses() -> Vec<Status> {
    let each = State::ALL.into_iter().flat_map(|state| FOUND.map(|found| (state, found)));
    let read = |(state, found)| {
        let loss = lost_at(START - 600).loss;
        Status { layers: Vec::new(), loss, ..status(state) }.found(found)
    };
    each.map(read).collect()
}

/// The keys of sentences that say that nothing leaves, in the notice and in each notice that waits behind it.
fn claims(test: &TestNotifier, words: &Words) -> BTreeSet<&'static str> {
    let mut claims = BTreeSet::new();
    for notice in test.notifier.candidates() {
        let texts = std::iter::once(&notice.title).chain(&notice.body);
        let claiming = texts.filter(|text| words.say(text).contains("othing l"));
        let keys: Vec<&'static str> = claiming.map(|text| text.key.as_str()).collect();
        let read = words.lines(&notice.body);
        assert!(keys.is_empty() || read.contains(LIMIT), "{keys:?} without the limit: {read}");
        claims.extend(keys);
    }
    claims
}

#[test]
fn no_notice_says_that_nothing_leaves_without_what_this_system_cannot_stop() {
    let words = Words::new("en", TimeZone::UTC);
    let mut claimed = BTreeSet::new();
    for first in statuses() {
        for next in statuses() {
            let mut test = TestNotifier::begin_with(Memory::default(), first.clone());
            claimed.extend(claims(&test, &words));
            test.agent(next);
            claimed.extend(claims(&test, &words));
            for event in [Event::Lost, Event::Lost, Event::Lost, Event::Pressed(Button::Reconnect)] {
                test.send(event);
                claimed.extend(claims(&test, &words));
            }
        }
    }
    let all = [
        Key::InForceBody,
        Key::LostBody,
        Key::MissedClosed,
        Key::ResumedLocked,
        Key::StillClosed,
        Key::WelcomeBody,
    ];
    assert_eq!(claimed, BTreeSet::from(all.map(Key::as_str)), "the control: which sentences were read");
}
