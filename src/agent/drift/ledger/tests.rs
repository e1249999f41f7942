//! The agent reads the tables often enough and not more often, and names the right program.

use super::*;

fn change(generation: u32, name: &str) -> Change {
    Change { generation: generation.into(), by: Program { name: name.to_owned(), pid: generation } }
}

/// A look during which this many generations were made, all by us.
fn look(began: u32, made: u32) -> Reading {
    let ended = Some((began + made).into());
    Reading { read: Read::Everything, began: Some(began.into()), ended, made }
}

/// A look during which other programs made some too.
fn disturbed(began: u32, ended: u32, made: u32) -> Reading {
    Reading { ended: Some(ended.into()), ..look(began, made) }
}

fn is_due(ledger: &Ledger) -> bool {
    ledger.due(Instant::now()).is_some()
}

#[test]
fn changes_that_a_check_has_read_and_our_own_need_no_other_check() {
    let mut ledger = Ledger::default();
    ledger.note(change(5, "iptables"));
    assert!(is_due(&ledger));
    assert_eq!(ledger.account_for(look(5, 4), Instant::now()).map(|by| by.pid), Some(5));
    // The kernel reports our own changes only now.
    for generation in 6..=9 {
        ledger.note(change(generation, "iptables-restor"));
    }
    assert!(!is_due(&ledger));
    // A change after ours, by a program with our program's name: it may be another program.
    ledger.note(change(10, "iptables-restor"));
    assert!(is_due(&ledger));
}

#[test]
fn a_commit_that_has_not_read_everything_accounts_only_for_its_own_changes() {
    let mut ledger = Ledger::default();
    ledger.account_for(look(1, 0), Instant::now());
    ledger.note(change(2, "iptables"));
    let step = Reading { read: Read::Changes, ..look(2, 2) };
    ledger.account_for(step, Instant::now());
    for generation in [3, 4] {
        ledger.note(change(generation, "iptables-restor"));
    }
    assert!(is_due(&ledger), "2 has not been looked at");
    assert_eq!(ledger.account_for(look(4, 0), Instant::now()).map(|by| by.pid), Some(2));
    assert!(!is_due(&ledger));
}

#[test]
fn a_change_during_a_check_causes_another_even_with_our_own_name() {
    let mut ledger = Ledger::default();
    for (generation, name) in [(1, "docker"), (2, "iptables-restor"), (3, "iptables-restor")] {
        ledger.note(change(generation, name));
    }
    // One of the two is ours.
    let by = ledger.account_for(disturbed(1, 3, 1), Instant::now());
    assert_eq!(by.map(|by| by.name).as_deref(), Some("docker"));
    assert!(is_due(&ledger));
    ledger.account_for(look(3, 0), Instant::now());
    assert!(!is_due(&ledger));
}

#[test]
fn our_own_changes_name_no_program_and_those_of_others_with_our_names_do() {
    let mut ledger = Ledger::default();
    ledger.note(change(6, "iptables-restor"));
    assert_eq!(ledger.account_for(look(5, 1), Instant::now()), None);
    ledger.note(change(7, "iptables-restor"));
    assert_eq!(ledger.account_for(look(7, 1), Instant::now()).map(|by| by.pid), Some(7));
    for (generation, name) in [(9, "ufw"), (10, "tunwarden")] {
        ledger.note(change(generation, name));
    }
    assert_eq!(
        ledger.account_for(disturbed(8, 10, 1), Instant::now()).map(|by| by.name).as_deref(),
        Some("ufw")
    );
}

#[test]
fn the_first_check_is_immediate_and_a_burst_causes_at_most_twenty_a_second() {
    let mut ledger = Ledger::default();
    let start = Instant::now();
    let mut looks = 0;
    // A change every millisecond for a second.
    for generation in 0..1000 {
        ledger.note(change(generation, "ufw"));
        let now = start + Duration::from_millis(generation.into());
        if ledger.due(now).is_some_and(|due| due <= now) {
            ledger.account_for(look(generation, 0), now);
            looks += 1;
            assert!(looks > 1 || now == start);
        }
    }
    assert_eq!(looks, 20);
    assert!(ledger.changes.len() <= REMEMBERED);
    let later = start + Duration::from_secs(1) + WINDOW;
    ledger.note(change(2000, "ufw"));
    assert!(ledger.due(later).is_some_and(|due| due <= later), "after a quiet while at once again");
}

#[test]
fn lost_notifications_cause_a_check() {
    let mut ledger = Ledger::default();
    ledger.note_unknown();
    assert!(ledger.due(Instant::now()).is_some());
    assert_eq!(ledger.account_for(Reading { began: None, ended: None, ..look(0, 0) }, Instant::now()), None);
    assert_eq!(ledger.due(Instant::now()), None);
}

#[test]
fn a_program_that_causes_twenty_repairs_a_minute_is_named_once() {
    let mut ledger = Ledger::default();
    let by = |name: &str| Program { name: name.to_owned(), pid: 1 };
    let (start, mut named) = (Instant::now(), Vec::new());
    let mut now = start;
    for n in 0..60 {
        now = start + Duration::from_millis(500) * n;
        named.extend(ledger.repaired(&by("ufw"), now));
        if n % 4 == 0 {
            named.extend(ledger.repaired(&by("docker"), now));
        }
    }
    assert_eq!(named, [FightStatus { program: "ufw".to_owned(), count: 20 }]);
    assert_eq!(ledger.fights(now), [FightStatus { program: "ufw".to_owned(), count: 60 }]);
    // Without another repair the fight is over. A program that begins again is named again.
    let end = ledger.fight_ends().unwrap();
    assert!(end > now);
    assert_eq!((ledger.fights(end), ledger.fight_ends()), (Vec::new(), None));
    let again = (0..40).find_map(|_| ledger.repaired(&by("ufw"), end));
    assert_eq!(again.map(|fight| fight.count), Some(20));
}

#[test]
fn the_number_of_remembered_programs_is_bounded() {
    let mut ledger = Ledger::default();
    for n in 0..1000 {
        ledger.repaired(&Program { name: format!("p{n}"), pid: n }, Instant::now());
        ledger.note(change(n, "p"));
    }
    assert_eq!((ledger.repairs.len(), ledger.changes.len()), (COUNTED, REMEMBERED));
}

#[test]
fn after_a_failed_commit_changes_of_other_programs_are_distinguished_from_our_own() {
    let mut ledger = Ledger::default();
    ledger.note(change(4, "iptables"));
    ledger.note(change(6, "iptables-restor"));
    assert!(ledger.is_foreign_since(Some(3.into())) && ledger.is_foreign_since(None));
    assert!(!ledger.is_foreign_since(Some(4.into())), "the kernel has counted this change before");
}
