//! "Check this machine" in the menu.

use super::*;

fn pressed() -> TestNotifier {
    let mut test = TestNotifier::begin(status(State::Protected));
    assert!(test.notifier.indicator().buttons.contains(&Button::Check));
    test.send(Event::Pressed(Button::Check));
    assert!(test.actions.contains(&Action::Ask(Button::Check)));
    test
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
        let mut test = pressed();
        test.send(checked(result));
        let read = test.text();
        assert!(read.contains(says) && read.contains("/home/ann/tunwarden-check.html"), "{read}");
        let urgency = test.notifier.notice().unwrap().urgency;
        assert_eq!(urgency == Urgency::Critical, result == Checked::Open, "{result:?}");
        test.advance(60);
        assert_eq!(test.topic(), Some(Topic::Checked), "the place of the report stays to be read");
        test.send(Event::Closed(Topic::Checked, Closing::Dismissed));
        assert_eq!(test.topic(), None);
    }
}

#[test]
fn a_check_runs_once_at_a_time_and_one_that_was_not_made_says_why() {
    let mut test = pressed();
    test.actions.clear();
    test.send(Event::Pressed(Button::Check));
    assert_eq!(test.actions, [], "it runs already");
    test.send(Event::Checked(Err(Refusal::NotAllowed)));
    let read = test.text();
    assert!(read.contains("The check was not made.") && read.contains("password"), "{read}");
    test.send(Event::Pressed(Button::Check));
    assert!(test.actions.contains(&Action::Ask(Button::Check)), "it may run again");
}

#[test]
fn an_outdated_good_check_never_hides_a_danger_or_a_loss() {
    let mut test = pressed();
    test.send(checked(Checked::Proven));
    test.lose();
    assert_eq!(test.topic(), Some(Topic::Lost));
    test.back();
    test.send(Event::Closed(Topic::News, Closing::TimedOut));
    assert_eq!(test.topic(), None, "it was made for another state");
    // A late answer was also made for another state.
    let mut test = pressed();
    test.lose();
    test.send(Event::Closed(Topic::Lost, Closing::Dismissed));
    test.send(checked(Checked::Proven));
    assert!(test.text().contains("changed during the check"), "{}", test.text());
    assert!(test.notifier.indicator().buttons.contains(&Button::Check));
}
