//! Watches the wall clock, which the kernel's rules use. It reports when a program sets the clock. The kernel also sets
//! the clock when the machine wakes from sleep.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Sender;

use crate::vpn::Event;

/// A moment that the timer never reaches, in seconds since the epoch: the year 2242.
const NEVER: i64 = 1 << 33;

/// Sends [`Event::Clock`] each time the clock jumps, until the receiver is dropped. Where the kernel has no
/// such timer, only the kernel's rules end a pause.
pub async fn watch(events: Sender<Event>) {
    if let Err(error) = follow(&events).await {
        tracing::warn!("jumps of the clock will not be noticed: {error}");
    }
}

#[expect(deprecated, reason = "the successor is unsafe, for types that may close early; an OwnedFd cannot")]
async fn follow(events: &Sender<Event>) -> std::io::Result<()> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
    let never = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: NEVER, tv_nsec: 0 },
    };
    loop {
        timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &never)?;
        let mut ready = timer.readable().await?;
        // ECANCELED: the clock was set. After any other result, reading the clock does no harm.
        let said = rustix::io::read(ready.get_inner(), &mut [0; 8]);
        ready.clear_ready();
        match said {
            Err(rustix::io::Errno::AGAIN) => {}
            Ok(_) | Err(_) => {
                tracing::info!("the clock was set");
                if events.send(Event::Clock).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}
