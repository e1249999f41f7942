//! Random sequences: agent, VPN, NetworkManager, links, containers and other tools are driven through steps
//! that a seed chooses, while everybody floods. After each step the ISP may have seen nothing in clear;
//! after each quiet moment `status` is held to what the kernel and the tunnel show.
//!
//! `TUNWARDEN_CHAOS_SEED` repeats a run's choices, `TUNWARDEN_CHAOS_SECONDS` says how long it goes on: a
//! minute where nothing else is said. `make chaos` runs an hour, with real containers.

mod dice;
mod links;
mod others;
mod services;
#[path = "../support/mod.rs"]
mod support;
mod truth;
mod world;

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use dice::Dice;
use tunwarden_lab::with_lab;
use world::{Parts, World};

/// How many steps lie between two quiet moments.
const STRIDE: usize = 6;

/// From this length on, real containers take part.
const LONG: Duration = Duration::from_secs(600);

/// A step: how often it is chosen among all, what it is called, and what it does. It answers with what
/// exactly was done, or with nothing where it makes no sense now.
type Step = (u32, &'static str, fn(&mut World<'_>, &mut Dice) -> Result<Option<String>>);

fn steps() -> Vec<Step> {
    [services::STEPS, links::STEPS, others::STEPS].concat()
}

/// A number from the environment.
fn setting(name: &str) -> Result<Option<u64>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    Ok(Some(text.parse().with_context(|| format!("{name}={text} is no number"))?))
}

/// Past libtest, which keeps what a test that passes prints.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a run is as long as it is told, and a seed is taken of the clock"
)]
fn nothing_leaves_and_status_is_true_in_whatever_order_things_happen() -> Result<()> {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let seed = setting("TUNWARDEN_CHAOS_SEED")?.unwrap_or_else(clock);
    let length = Duration::from_secs(setting("TUNWARDEN_CHAOS_SECONDS")?.unwrap_or(60));
    say(&format!("chaos: TUNWARDEN_CHAOS_SEED={seed} TUNWARDEN_CHAOS_SECONDS={}", length.as_secs()));
    with_lab(|lab| {
        let parts = Parts { docker: length >= LONG, later_nft: seed % 2 == 1 };
        let mut world = World::new(lab, &parts)?;
        let (began, mut taken) = (Instant::now(), Vec::new());
        let run = run(&mut world, &mut Dice::new(seed), &mut taken, || began.elapsed() < length);
        let history = || {
            let mut text = format!("chaos: TUNWARDEN_CHAOS_SEED={seed}, after {} steps:\n", taken.len());
            for (number, step) in taken.iter().enumerate() {
                let _ = writeln!(text, "{:>5}. {step}", number + 1);
            }
            text
        };
        let run = run.and_then(|()| world.ends_well());
        if run.is_err() {
            println!("{}", world.picture());
        }
        run.with_context(history)?;
        say(&format!("chaos: {} steps, {} frames judged", taken.len(), world.judged()));
        Ok(())
    })
}

/// Steps until it is time to stop; each is written down before it is judged.
fn run(
    world: &mut World<'_>,
    dice: &mut Dice,
    taken: &mut Vec<String>,
    goes_on: impl Fn() -> bool,
) -> Result<()> {
    let steps = steps();
    while goes_on() {
        let (_, name, act) = dice.weighted(&steps, |(weight, ..)| *weight);
        let Some(done) = act(world, dice).with_context(|| format!("the step itself failed: {name}"))? else {
            continue;
        };
        taken.push(format!("{:>7.1} s  {name} {done}", world.age().as_secs_f64()));
        world.judge().with_context(|| format!("after: {name} {done}"))?;
        if taken.len().is_multiple_of(STRIDE) {
            truth::settles(world)?;
            world.judge()?;
            taken.push(format!("{:>7.1} s  (quiet: {})", world.age().as_secs_f64(), world.last_state));
        }
    }
    world.close_pause()?;
    world.judge()?;
    truth::settles(world)
}
