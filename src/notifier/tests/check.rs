//! "Check this machine" in the menu.

use super::*;

fn pressed() -> Day {
    let mut day = Day::begin(status(State::Protected));
    assert!(day.notifier.indicator().buttons.contains(&Button::Check));
    day.hear(Event::Pressed(Button::Check));
    assert!(day.actions.contains(&Action::Ask(Button::Check)));
    day
}

fn checked(result: Checked) -> Event {
    Event::Checked(Ok(Check { result, report: "/home/ann/tunwarden-check.html".to_owned() }))
}

#[test]
fn the_result_of_a_check_is_shown_with_the_place_of_its_report() {
    for (result, says) in [
        (Checked::Proven, "no packet leaves this computer unprotected"),
        (Checked::Open, "packets can leave this computer unprotected"),
        (Checked::NotShown, "it is not known whether packets leave"),
    ] {
        let mut day = pressed();
        day.hear(checked(result));
        let read = day.reads();
        assert!(read.contains(says) && read.contains("/home/ann/tunwarden-check.html"), "{read}");
        let urgency = day.notifier.notice().unwrap().urgency;
        assert_eq!(urgency == Urgency::Critical, result == Checked::Open, "{result:?}");
        day.pass(60);
        assert_eq!(day.topic(), Some(Topic::Checked), "the place of the report stays to be read");
        day.hear(Event::Closed(Topic::Checked, Closing::Dismissed));
        assert_eq!(day.topic(), None);
    }
}

#[test]
fn a_check_runs_once_at_a_time_and_one_that_was_not_made_says_why() {
    let mut day = pressed();
    day.actions.clear();
    day.hear(Event::Pressed(Button::Check));
    assert_eq!(day.actions, [], "it runs already");
    day.hear(Event::Checked(Err(Refusal::NotAllowed)));
    let read = day.reads();
    assert!(read.contains("The check was not made.") && read.contains("password"), "{read}");
    day.hear(Event::Pressed(Button::Check));
    assert!(day.actions.contains(&Action::Ask(Button::Check)), "it may run again");
}

#[test]
fn a_good_check_of_before_never_stands_before_a_danger_or_a_loss() {
    let mut day = pressed();
    day.hear(checked(Checked::Proven));
    day.lose();
    assert_eq!(day.topic(), Some(Topic::Lost));
    day.back();
    day.hear(Event::Closed(Topic::News, Closing::Faded));
    assert_eq!(day.topic(), None, "it was made for another state");
    // A late answer was also made for another state.
    let mut day = pressed();
    day.lose();
    day.hear(Event::Closed(Topic::Lost, Closing::Dismissed));
    day.hear(checked(Checked::Proven));
    assert!(day.reads().contains("changed during the check"), "{}", day.reads());
    assert!(day.notifier.indicator().buttons.contains(&Button::Check));
}
