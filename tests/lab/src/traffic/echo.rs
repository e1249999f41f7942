//! A service that sends every datagram back and counts them. It is the other end of a flow.
//!
//! In the ISP its answers make a flow ESTABLISHED for the host's firewall. In the host it shows whether an
//! inbound packet arrived.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::machine::Machine;
use crate::wait::bind_when_free;

/// A running echo service. Dropping it ends it.
#[derive(Debug)]
pub struct Echo {
    over: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    server: Option<JoinHandle<()>>,
}

impl Machine {
    /// Echoes UDP on one of the machine's addresses: `203.0.113.9:4000`.
    ///
    /// # Errors
    /// When the machine does not have the address.
    pub fn udp_echo(&self, address: &str) -> Result<Echo> {
        let socket = self.enter(|| {
            bind_when_free(|| UdpSocket::bind(address))
                .with_context(|| format!("{} on {address}", self.name()))
        })?;
        // The timeout lets the thread notice the end.
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let over = Arc::<AtomicBool>::default();
        let received = Arc::<AtomicU64>::default();
        let server = thread::spawn({
            let (over, received) = (Arc::clone(&over), Arc::clone(&received));
            move || serve(&socket, &over, &received)
        });
        Ok(Echo { over, received, server: Some(server) })
    }
}

impl Echo {
    /// How many datagrams have arrived so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

fn serve(socket: &UdpSocket, over: &AtomicBool, received: &AtomicU64) {
    let mut buffer = [0; 2048];
    while !over.load(Ordering::Acquire) {
        // A timeout, or the ICMP error for an earlier answer: the service continues after both.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        received.fetch_add(1, Ordering::AcqRel);
        // The machine's firewall may refuse an answer. That is a result of the test, and not an error.
        let _ = socket.send_to(&buffer[..length], from);
    }
}
