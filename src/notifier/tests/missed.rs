//! A loss during which no user was logged in.

use super::*;

#[test]
fn losses_and_repairs_without_a_session_are_shown_once_at_login() {
    let loss = lost_at(START - 600).loss;
    let away = Status { loss: loss.clone(), repairs: 2, ..status(State::Protected) };
    let mut test = TestNotifier::begin(away.clone());
    assert!(test.text().starts_with("The VPN was lost while you were away\nhome was lost at "));
    test.mark_shown();
    test.send(Event::Closed(Topic::Missed, Closing::Dismissed));
    assert!(test.text().contains("removed part of the protection 2 times"), "{}", test.text());
    test.mark_shown();
    let memory = test.actions.iter().rev().find_map(|action| match action {
        Action::Remember(memory) => Some(*memory),
        Action::Ask(_) => None,
    });
    let memory = memory.unwrap();
    assert_eq!(memory, Memory { loss: START - 600, repairs: 2, welcomed: true });
    let test = TestNotifier::begin_with(memory, away);
    assert_eq!(test.topic(), None, "the next login");
    let test = TestNotifier::begin(lost_at(START - 600));
    assert_eq!(test.topic(), Some(Topic::Lost), "and one that still stands, as any other");
}

#[test]
fn a_missed_loss_claims_that_nothing_left_only_where_the_rules_held_ever_since() {
    let loss = lost_at(START - 600).loss.unwrap();
    let told = |held: bool, found: Enforcement| {
        let loss = Some(LastLoss { held, ..loss.clone() });
        TestNotifier::begin(Status { loss, ..status(State::Protected) }.found(found)).text()
    };
    let held = told(true, Enforcement::Enforced);
    assert!(held.contains("Nothing left this computer unprotected"), "{held}");
    let paused = told(false, Enforcement::Enforced);
    assert!(paused.starts_with("The VPN was lost while you were away"), "{paused}");
    assert!(paused.contains("something may have left") && !paused.contains("Nothing left"), "{paused}");
    assert!(!told(true, Enforcement::NotEnforced).contains("Nothing left"));
    // The loss was held, but the state is not known any more.
    let mut test = TestNotifier::begin(Status { loss: Some(loss), ..status(State::Protected) });
    test.send(Event::Agent(None));
    assert!(!test.text().contains("Nothing left"), "{}", test.text());
}

#[test]
fn a_loss_that_was_shown_is_not_shown_again_at_login() {
    let mut test = TestNotifier::begin(status(State::Protected));
    test.lose();
    test.mark_shown();
    test.back();
    let told = Action::Remember(Memory { loss: START, repairs: 0, welcomed: true });
    assert!(test.actions.contains(&told), "{:?}", test.actions);
}

#[test]
fn a_loss_names_what_this_system_cannot_stop() {
    let limit = "Not stopped on this system: containers on macvlan or ipvlan";
    let text = |state: State, layers: Vec<LayerStatus>| {
        let told =
            TestNotifier::begin(Status { layers, loss: lost_at(START - 600).loss, ..status(state) }).text();
        assert!(told.contains("Nothing l"), "{told}");
        told
    };
    for state in [State::Lost, State::Protected] {
        assert!(!text(state, status(state).layers).contains(limit));
        assert!(text(state, Vec::new()).contains(limit), "{state}");
    }
}
