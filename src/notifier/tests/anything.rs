//! The notifier with any events in any order.

use proptest::prelude::*;

use super::menu::managed;
use super::*;
use crate::status::{Unread, Verdict};
use crate::vpn::LeftOut;

fn any_state() -> impl Strategy<Value = State> {
    prop::sample::select(State::ALL.to_vec())
}

fn any_topic() -> impl Strategy<Value = Topic> {
    use Topic::*;
    prop::sample::select(vec![
        Details,
        Blocked,
        Checked,
        Gone,
        NotEnforced,
        Paused(START + 300),
        Flapping,
        Lost,
        News,
        Missed,
        Uncounted,
        Repaired,
        Portal,
        Welcome,
    ])
}

fn any_event() -> impl Strategy<Value = Event> {
    let closing = prop::sample::select(vec![Closing::Dismissed, Closing::TimedOut]);
    let button = prop::sample::select(vec![
        Button::Reconnect,
        Button::Connect(managed("home", 0)),
        Button::Details,
        Button::Blocked,
        Button::Pause(30),
        Button::PausePortal,
        Button::Resume,
        Button::Journal,
        Button::Check,
    ]);
    let result = prop::sample::select(vec![Checked::Proven, Checked::Open, Checked::NotShown]);
    let found = prop::sample::select(vec![
        Enforcement::Enforced,
        Enforcement::Closed,
        Enforcement::NotEnforced,
        Enforcement::Unknown(Unread::Failed),
    ]);
    let agent = (any_state(), found, 0u32..9, any::<bool>(), any::<bool>());
    let agent = agent.prop_map(|(state, found, repairs, lost, carries)| {
        let loss = (lost || state == State::Lost).then(|| lost_at(START).loss).flatten();
        let uncounted = carries.then(|| ("wg0".to_owned(), LeftOut::NotNamed(None)).into());
        let left_out = uncounted.into_iter().collect();
        Event::Agent(Some(Box::new(Status { repairs, loss, left_out, ..status(state) }.found(found))))
    });
    prop_oneof![
        5 => agent,
        1 => Just(Event::Agent(None)),
        2 => Just(Event::Lost),
        1 => Just(Event::Repaired { by: Some("ufw".to_owned()) }),
        1 => Just(Event::Failed("why".to_owned())),
        2 => any_topic().prop_map(Event::Shown),
        2 => (any_topic(), closing).prop_map(|(topic, closing)| Event::Closed(topic, closing)),
        1 => any_topic().prop_map(Event::Clicked),
        1 => button.clone().prop_map(Event::Pressed),
        1 => button.prop_map(|button| Event::Answered(button, Err(Refusal::NotAllowed))),
        1 => (0u32..4).prop_map(Event::Waiting),
        1 => Just(Event::Blocked(Ok(Vec::new()))),
        1 => result.prop_map(|result| Event::Checked(Ok(Check { result, report: "/home/ann/x".to_owned() }))),
        1 => prop::sample::select(vec![Portal::Found, Portal::None]).prop_map(Event::Portal),
        1 => Just(Event::MayBeVisible),
        2 => Just(Event::Clock),
    ]
}

/// The verdicts for which a sentence is true; `None` for a sentence that claims nothing.
fn claims(key: Key) -> Option<&'static [Verdict]> {
    let protected = [Key::BackBody, Key::ResumedProtected];
    let open = [Key::PausedBody, Key::PortalBody, Key::FailedBody];
    let closed = [
        Key::LostBody,
        Key::StillClosed,
        Key::ClosedBody,
        Key::InForceBody,
        Key::ResumedLocked,
        Key::MissedClosed,
        Key::CheckProven,
        Key::UncountedTitle,
        Key::UncountedBody,
    ];
    let locked = [Key::WelcomeTitle, Key::WelcomeBody];
    let known = [
        (&protected[..], &[Verdict::Protected][..]),
        (&open, &[Verdict::Open]),
        (&locked, &[Verdict::Locked]),
        (&closed, &[Verdict::Protected, Verdict::Locked]),
    ];
    known.into_iter().find(|(keys, _)| keys.contains(&key)).map(|(_, verdicts)| verdicts)
}

proptest! {
    #[test]
    fn every_danger_is_shown_and_no_false_claim(
        events in prop::collection::vec((any_event(), 0u64..40), 1..60)
    ) {
        let words = LANGUAGES.map(|(language, _)| Words::new(language, TimeZone::UTC));
        let mut notifier = Notifier::new(Memory::default());
        let mut now = START;
        for (event, passes) in events {
            now += passes;
            notifier.step(event, now);
            prop_assert!(notifier.next_moment().is_none_or(|moment| moment > now), "it would spin");
            let status = notifier.status();
            let verdict = status.map_or(Verdict::Unknown, Status::verdict);
            let fine = verdict == Verdict::Protected;
            prop_assert_eq!(notifier.indicator().state_icon == StateIcon::Protected, fine);
            let texts = notifier.notice().map(|notice| (notice.title, notice.body));
            for words in &words {
                let wide = notifier.notice().and_then(|notice| texts::too_wide(words, &notice));
                prop_assert_eq!(wide, None);
                for text in texts.iter().flat_map(|(title, body)| std::iter::once(title).chain(body)) {
                    let said = words.say(text);
                    prop_assert!(said != text.key.as_str() && !said.contains(['{', '$']), "{}", said);
                    let so = claims(text.key).is_none_or(|verdicts| verdicts.contains(&verdict));
                    prop_assert!(so, "the verdict is {verdict}, and it says: {said}");
                }
            }
            // At the next such event, nothing is hidden any more.
            let mut next = notifier.clone();
            next.step(Event::MayBeVisible, now);
            let danger = next.status().is_some_and(|status| {
                !status.enforced() || matches!(status.state, State::Lost | State::Paused)
            });
            prop_assert!(!danger || next.notice().is_some(), "a danger that nobody sees");
        }
    }
}
