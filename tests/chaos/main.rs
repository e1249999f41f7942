//! Random sequences: a seed chooses steps for the agent, the VPN, NetworkManager, links, containers and other
//! tools, while the host and the containers flood. After each step the test checks that the ISP saw no packet
//! in clear. After each quiet moment it compares `status` with what the kernel and the tunnel show.
//!
//! `TUNWARDEN_CHAOS_SEED` repeats a run's choices. `TUNWARDEN_CHAOS_SECONDS` sets how long the run takes: one
//! minute by default. `make chaos` runs for an hour, with real containers. `TUNWARDEN_CHAOS_DOCKER=1` adds real
//! containers to a shorter run.

mod links;
mod others;
mod random;
mod services;
mod status_check;
#[path = "../support/mod.rs"]
mod support;
mod test_machine;

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use random::Random;
use test_machine::{Parts, TestMachine};
use tunwarden_lab::with_lab;

/// Number of steps between two quiet moments.
const STEPS_BETWEEN_CHECKS: usize = 6;

/// Minimum length of a run that has real containers without a request.
const LONG: Duration = Duration::from_secs(600);

/// A step: its weight among all steps, its name, and its function. The function returns what exactly it did,
/// or nothing if the step makes no sense in the current state.
type Step = (u32, &'static str, fn(&mut TestMachine<'_>, &mut Random) -> Result<Option<String>>);

fn steps() -> Vec<Step> {
    [services::STEPS, links::STEPS, others::STEPS].concat()
}

/// A number from the environment.
fn setting(name: &str) -> Result<Option<u64>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    Ok(Some(text.parse().with_context(|| format!("{name}={text} is no number"))?))
}

/// Prints directly to the terminal, because libtest hides the output of a test that passes.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the environment sets the length of a run, and the clock gives the seed"
)]
fn nothing_leaves_and_status_is_true_after_random_steps() -> Result<()> {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let seed = setting("TUNWARDEN_CHAOS_SEED")?.unwrap_or_else(clock);
    let length = Duration::from_secs(setting("TUNWARDEN_CHAOS_SECONDS")?.unwrap_or(60));
    say(&format!("chaos: TUNWARDEN_CHAOS_SEED={seed} TUNWARDEN_CHAOS_SECONDS={}", length.as_secs()));
    with_lab(|lab| {
        let parts = Parts { docker: length >= LONG || setting("TUNWARDEN_CHAOS_DOCKER")? == Some(1) };
        let mut machine = TestMachine::new(lab, &parts)?;
        let (began, mut taken) = (Instant::now(), Vec::new());
        let run = run(&mut machine, &mut Random::new(seed), &mut taken, || began.elapsed() < length);
        let history = || {
            let mut text = format!("chaos: TUNWARDEN_CHAOS_SEED={seed}, after {} steps:\n", taken.len());
            for (number, step) in taken.iter().enumerate() {
                let _ = writeln!(text, "{:>5}. {step}", number + 1);
            }
            text
        };
        let run = run.and_then(|()| machine.check_end());
        if run.is_err() {
            println!("{}", machine.host_state());
        }
        run.with_context(history)?;
        say(&format!("chaos: {} steps, {} frames judged", taken.len(), machine.judged()));
        Ok(())
    })
}

/// Runs steps until the time is over. It records each step before it checks the result.
fn run(
    machine: &mut TestMachine<'_>,
    random: &mut Random,
    taken: &mut Vec<String>,
    goes_on: impl Fn() -> bool,
) -> Result<()> {
    let steps = steps();
    while goes_on() {
        let (_, name, act) = random.weighted(&steps, |(weight, ..)| *weight);
        let Some(done) = act(machine, random).with_context(|| format!("the step itself failed: {name}"))?
        else {
            continue;
        };
        taken.push(format!("{:>7.1} s  {name} {done}", machine.elapsed().as_secs_f64()));
        machine.judge().with_context(|| format!("after: {name} {done}"))?;
        if taken.len().is_multiple_of(STEPS_BETWEEN_CHECKS) {
            status_check::await_true_status(machine)?;
            machine.judge()?;
            taken.push(format!(
                "{:>7.1} s  (quiet: {})",
                machine.elapsed().as_secs_f64(),
                machine.last_state
            ));
        }
    }
    machine.close_pause()?;
    machine.judge()?;
    status_check::await_true_status(machine)
}
