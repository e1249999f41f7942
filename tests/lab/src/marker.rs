//! A marker at the end of everything sent so far, so that a capture knows it has seen all.
//!
//! A frame on a veth waits in the queue of the processor that sent it until the other side
//! takes it. The loopback uses the same queues, so one datagram over the ISP's loopback from
//! every processor comes after all that was sent before, and no firewall of the host is in
//! its way.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::frame::TAG_MARK;

/// One marker.
#[derive(Debug)]
pub(crate) struct Marker {
    name: String,
}

impl Marker {
    /// A marker unlike any before it.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self { name: format!("marker-{}", COUNT.fetch_add(1, Ordering::Relaxed)) }
    }

    /// Whether a captured tag is this marker's.
    pub(crate) fn is(&self, tag: &str) -> bool {
        tag == self.name
    }

    /// Sends it from every processor; the thread has to be in the ISP, and ends there.
    pub(crate) fn send(&self) -> Result<usize> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let payload = format!("{TAG_MARK}{}", self.name);
        let mut sent = 0;
        for processor in 0..CpuSet::count() {
            if !allowed.is_set(processor)? {
                continue;
            }
            let mut one = CpuSet::new();
            one.set(processor)?;
            match sched_setaffinity(Pid::from_raw(0), &one) {
                Ok(()) => {}
                Err(Errno::EINVAL) => continue, // gone offline meanwhile
                Err(error) => bail!("processor {processor}: {error}"),
            }
            socket.send_to(payload.as_bytes(), "127.0.0.1:9")?;
            sent += 1;
        }
        Ok(sent)
    }
}
