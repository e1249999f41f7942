//! A marker behind all packets sent so far. After the marker a capture knows that it is complete.
//!
//! A frame on a veth waits in the queue of the processor that sent it until the other side receives it. The
//! loopback uses the same queues. So one datagram over the ISP's loopback from every processor arrives after
//! all earlier frames. No firewall of the host can block it.

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
    /// A new marker, different from all earlier ones.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self { name: format!("marker-{}", COUNT.fetch_add(1, Ordering::Relaxed)) }
    }

    /// Whether a captured tag belongs to this marker.
    pub(crate) fn is(&self, tag: &str) -> bool {
        tag == self.name
    }

    /// Sends it from every processor. The thread must be in the ISP's network, and must end afterwards.
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
                Err(Errno::EINVAL) => continue, // the processor is offline now
                Err(error) => bail!("processor {processor}: {error}"),
            }
            socket.send_to(payload.as_bytes(), "127.0.0.1:9")?;
            sent += 1;
        }
        Ok(sent)
    }
}
