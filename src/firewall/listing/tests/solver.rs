//! The same questions to z3, a solver that shares no code with the diagrams.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

/// What z3 answers; `None` if it is not installed. `make test` installs it, and `tests/network/prove.rs` fails without it.
#[expect(clippy::disallowed_methods, reason = "the second solver is a program of its own")]
fn solved(question: &str) -> Option<bool> {
    let mut z3 = Command::new("z3").arg("-in").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    z3.stdin.take().unwrap().write_all(question.as_bytes()).unwrap();
    let said = z3.wait_with_output().unwrap().stdout;
    match String::from_utf8(said).unwrap().trim() {
        "sat" => Some(true),
        "unsat" => Some(false),
        other => panic!("z3 says {other:?}"),
    }
}

#[test]
fn a_solver_gives_the_same_answers() {
    let users = users();
    let mut answers = [0, 0];
    for (text, situation) in [("", locked()), (CONFIGURED, protected())] {
        let config = config(text);
        let ruleset = of(&config, &situation);
        let closed = listing(&ruleset, &BOTH);
        let mut open = closed.clone();
        open.nft.clear();
        let saved = &mut open.legacy[0].text;
        let hole = "-A OUTPUT -d 192.0.2.9/32 -p tcp -m tcp --dport 25 -m limit --limit 1/sec -j ACCEPT";
        *saved = saved.replacen("-A OUTPUT -j", &format!("{hole}\n-A OUTPUT -j"), 1);
        for held in [&closed, &open] {
            let rules = held.rules(Family::V4).unwrap();
            let contract = contract(&config, &situation, &users);
            let questions = Prover::default().questions(Family::V4, &rules, &machine(), &contract).unwrap();
            for (question, leaves) in questions {
                let Some(solved) = solved(&question) else { return };
                assert_eq!(solved, leaves, "{question}");
                answers[usize::from(leaves)] += 1;
            }
        }
    }
    assert!(answers.iter().all(|&count| count > 0), "the control: {answers:?}");
}
