//! Waits with a timeout until a condition holds. The laboratory has no other way to wait.

use std::io::{self, ErrorKind};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long something that the laboratory itself needs may take on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(90);

/// Minimum pause between two checks of a condition.
const SHORTEST: Duration = Duration::from_millis(5);

/// Maximum pause between two checks of a condition.
const LONGEST: Duration = Duration::from_millis(300);

/// The pause after a check, as a multiple of the duration of the check. So a wait uses little processor time,
/// also if each check starts a program.
const PAUSE: u32 = 4;

/// How many times slower this machine is than a usual one: `TUNWARDEN_LAB_SLOWNESS`. Timeouts are multiplied by it, and
/// the rates of floods divided.
pub(crate) static SLOWNESS: LazyLock<u32> = LazyLock::new(|| {
    let text = std::env::var("TUNWARDEN_LAB_SLOWNESS").ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(1)
});

/// Waits until `holds` returns true. The error contains `what`.
///
/// # Errors
/// When it does not hold within `bound`.
pub fn wait_until(what: &str, bound: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    wait_for(what, bound, || Ok(holds().then_some(())))
}

/// Waits until `look` returns a value, and returns it. An error of `look` ends the wait.
///
/// # Errors
/// When `look` fails, or finds nothing within `bound`.
pub fn wait_for<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let bound = bound * *SLOWNESS;
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

/// Binds a socket to an address that a socket has just left. A program that another thread starts at the same
/// moment holds a copy of every socket until it begins to run.
///
/// # Errors
/// When the address is still in use after the timeout, or cannot be bound for another reason.
pub fn bind_when_free<T>(mut bind: impl FnMut() -> io::Result<T>) -> Result<T> {
    wait_for("the address is free", TIMEOUT, || match bind() {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error.into()),
    })
}
