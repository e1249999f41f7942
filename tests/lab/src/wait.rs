//! Waiting until something holds, with a bound. There is no other way to wait here.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Bound of a wait for something that the laboratory itself needs, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(5);

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
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("not within {bound:?}: {what}");
        }
        thread::sleep(INTERVAL);
    }
}
