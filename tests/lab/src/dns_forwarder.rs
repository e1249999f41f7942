//! The machine's own resolver on loopback. It has no table and forwards every query to another resolver.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::machine::Machine;
use crate::wait::bind_when_free;

/// The timeout after which the thread checks whether it must end.
const TURN: Duration = Duration::from_millis(50);

/// How long the other resolver may take to answer.
const TIMEOUT: Duration = Duration::from_millis(500);

/// A running forwarder. Dropping it ends it.
#[derive(Debug)]
pub struct DnsForwarder {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Machine {
    /// Answers over UDP on port 53 of a loopback address with the answers of `resolver`. It runs as root.
    ///
    /// # Errors
    /// When the address is not available.
    pub fn dns_forwarder(&self, address: IpAddr, resolver: IpAddr) -> Result<DnsForwarder> {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let (own, onward) = self
            .enter(|| Ok((bind_when_free(|| UdpSocket::bind((address, 53)))?, UdpSocket::bind(any)?)))
            .with_context(|| format!("{} on {address}", self.name()))?;
        own.set_read_timeout(Some(TURN))?;
        onward.set_read_timeout(Some(TIMEOUT))?;
        let over = Arc::<AtomicBool>::default();
        let thread = thread::spawn({
            let over = Arc::clone(&over);
            move || {
                while !over.load(Ordering::Acquire) {
                    // The firewall may refuse the query. That is a result of the test, and not an error.
                    let _ = forward(&own, &onward, (resolver, 53).into());
                }
            }
        });
        Ok(DnsForwarder { over, thread: Some(thread) })
    }
}

fn forward(own: &UdpSocket, onward: &UdpSocket, resolver: SocketAddr) -> std::io::Result<()> {
    let mut buffer = [0; 2048];
    let (length, from) = own.recv_from(&mut buffer)?;
    onward.send_to(&buffer[..length], resolver)?;
    let id = [buffer[0], buffer[1]];
    loop {
        let length = onward.recv(&mut buffer)?;
        // A late answer to an earlier query does not match this one.
        if length >= 2 && buffer[..2] == id {
            return own.send_to(&buffer[..length], from).map(drop);
        }
    }
}

impl Drop for DnsForwarder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
