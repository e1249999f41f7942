//! Waiting until something holds, with a bound. There is no other way to wait here.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Bound of a wait for something that the laboratory itself needs, on a machine that is busy.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Shortest pause between two looks at a condition.
const SHORTEST: Duration = Duration::from_millis(5);

/// Longest pause between two looks at a condition.
const LONGEST: Duration = Duration::from_millis(100);

/// The pause after a look, in times of how long the look took: a wait leaves the processors to what it
/// waits for, also where each look starts a program.
const PAUSE: u32 = 4;

/// Waits until `holds` answers true; `what` names it in the error.
///
/// # Errors
/// When it does not hold within `bound`.
pub fn wait_until(what: &str, bound: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    wait_for(what, bound, || Ok(holds().then_some(())))
}

/// Waits until `look` finds something and hands it back; an error of `look` ends the wait.
///
/// # Errors
/// When `look` fails, or finds nothing within `bound`.
pub fn wait_for<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + bound;
    loop {
        let begun = Instant::now();
        if let Some(found) = look()? {
            return Ok(found);
        }
        let now = Instant::now();
        if now >= deadline {
            bail!("not within {bound:?}: {what}");
        }
        thread::sleep((now.duration_since(begun) * PAUSE).clamp(SHORTEST, LONGEST));
    }
}
