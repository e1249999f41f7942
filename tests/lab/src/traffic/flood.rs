//! A flood: a thread repeats a probe at a fixed rate while the test changes something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use super::probe::{Probe, Sent, next_id};
use crate::wait::{SLOWNESS, TIMEOUT, wait_until};

/// A running flood. Dropping it stops it.
#[derive(Debug)]
pub struct Flood {
    over: Arc<AtomicBool>,
    tried: Arc<AtomicU64>,
    sender: Option<JoinHandle<Result<Sent>>>,
}

impl Probe {
    /// Repeats the probe this many times per second until it is stopped.
    ///
    /// # Errors
    /// When `per_second` is 0, or when the thread sends no packet within 30 seconds.
    pub fn flood(self, per_second: u32) -> Result<Flood> {
        ensure!(per_second > 0, "a flood of nothing");
        let pause = Duration::from_secs(1) * *SLOWNESS / per_second;
        let over = Arc::<AtomicBool>::default();
        let tried = Arc::<AtomicU64>::default();
        let sender = thread::spawn({
            let (over, tried) = (Arc::clone(&over), Arc::clone(&tried));
            move || self.machine().enter_as(self.user(), || pour(&self, pause, &over, &tried))
        });
        let flood = Flood { over, tried, sender: Some(sender) };
        flood.await_more(1)?;
        Ok(flood)
    }
}

impl Flood {
    /// Waits until the flood has tried to send `more` packets after this call.
    ///
    /// # Errors
    /// When the flood has stopped by itself, or is too slow.
    pub fn await_more(&self, more: u64) -> Result<()> {
        let goal = self.tried.load(Ordering::Acquire) + more;
        wait_until("a flood's packets", TIMEOUT + Duration::from_secs(more / 20), || {
            self.tried.load(Ordering::Acquire) >= goal
        })
    }

    /// Stops it.
    ///
    /// # Errors
    /// When its socket could not be opened.
    pub fn stop(mut self) -> Result<Sent> {
        self.end()
    }

    fn end(&mut self) -> Result<Sent> {
        self.over.store(true, Ordering::Release);
        let Some(sender) = self.sender.take() else { return Ok(Sent::default()) };
        sender.join().unwrap_or_else(|_| Err(anyhow!("a flood panicked")))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Keeps the average rate: after a delay the flood sends faster until it has caught up.
fn pour(probe: &Probe, pause: Duration, over: &AtomicBool, tried: &AtomicU64) -> Result<Sent> {
    let mut socket = probe.socket()?;
    let (start, id) = (Instant::now(), next_id());
    let mut sent = Sent::default();
    let mut n: u64 = 0;
    while !over.load(Ordering::Acquire) {
        if n > 0 && probe.needs_new_socket() {
            socket = probe.socket()?;
        }
        sent.note(probe.emit(&socket, id, n));
        n = tried.fetch_add(1, Ordering::AcqRel) + 1;
        let due = start + pause.mul_f64(n as f64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(sent)
}
