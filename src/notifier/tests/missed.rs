//! A loss during which no user was logged in.

use super::*;

#[test]
fn losses_and_repairs_without_a_session_are_shown_once_at_login() {
    let loss = lost_at(START - 600).loss;
    let away = Status { loss: loss.clone(), repairs: 2, ..status(State::Protected) };
    let mut day = Day::begin(away.clone());
    assert!(day.reads().starts_with("The VPN was lost while you were away\nhome was lost at "));
    day.see();
    day.hear(Event::Closed(Topic::Missed, Closing::Dismissed));
    assert!(day.reads().contains("removed part of the protection 2 times"), "{}", day.reads());
    day.see();
    let memory = day.actions.iter().rev().find_map(|action| match action {
        Action::Remember(memory) => Some(*memory),
        Action::Ask(_) => None,
    });
    let memory = memory.unwrap();
    assert_eq!(memory, Memory { loss: START - 600, repairs: 2, welcomed: true });
    let day = Day::begin_told(memory, away);
    assert_eq!(day.topic(), None, "the next login");
    let day = Day::begin(lost_at(START - 600));
    assert_eq!(day.topic(), Some(Topic::Lost), "and one that still stands, as any other");
}

#[test]
fn a_missed_loss_claims_that_nothing_left_only_where_the_rules_held_ever_since() {
    let loss = lost_at(START - 600).loss.unwrap();
    let told = |held: bool, found: Enforcement| {
        let loss = Some(LastLoss { held, ..loss.clone() });
        Day::begin(Status { loss, ..status(State::Protected) }.found(found)).reads()
    };
    let held = told(true, Enforcement::Enforced);
    assert!(held.contains("Nothing left this computer unprotected"), "{held}");
    let paused = told(false, Enforcement::Enforced);
    assert!(paused.starts_with("The VPN was lost while you were away"), "{paused}");
    assert!(paused.contains("something may have left") && !paused.contains("Nothing left"), "{paused}");
    assert!(!told(true, Enforcement::NotEnforced).contains("Nothing left"));
    // The loss was held, but the state is not known any more.
    let mut day = Day::begin(Status { loss: Some(loss), ..status(State::Protected) });
    day.hear(Event::Agent(None));
    assert!(!day.reads().contains("Nothing left"), "{}", day.reads());
}

#[test]
fn a_loss_that_was_shown_is_not_shown_again_at_login() {
    let mut day = Day::begin(status(State::Protected));
    day.lose();
    day.see();
    day.back();
    let told = Action::Remember(Memory { loss: START, repairs: 0, welcomed: true });
    assert!(day.actions.contains(&told), "{:?}", day.actions);
}

#[test]
fn a_loss_names_what_this_system_cannot_stop() {
    let limit = "Not stopped on this system: containers on macvlan or ipvlan";
    let reads = |state: State, layers: Vec<LayerStatus>| {
        let told = Day::begin(Status { layers, loss: lost_at(START - 600).loss, ..status(state) }).reads();
        assert!(told.contains("Nothing l"), "{told}");
        told
    };
    for state in [State::Lost, State::Protected] {
        assert!(!reads(state, status(state).layers).contains(limit));
        assert!(reads(state, Vec::new()).contains(limit), "{state}");
    }
}
