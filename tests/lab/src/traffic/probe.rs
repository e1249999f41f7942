//! A probe: a few packets from one user to one address, and the sender's view of the result.
//!
//! A refusal by the firewall is a result here and never an error. Only a capture shows whether a packet left:
//! a sender without an error proves nothing.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{icmp, raw};
use crate::frame::TAG_MARK;
use crate::machine::Machine;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Udp,
    Tcp,
    Echo,
    Raw,
}

/// A probe from a machine.
#[derive(Debug, Clone)]
#[must_use = "a probe does nothing until it is sent"]
pub struct Probe {
    machine: Machine,
    kind: Kind,
    target: SocketAddr,
    user: String,
    count: u64,
    tag: String,
    from: Option<SocketAddr>,
    device: Option<String>,
    timeout: Option<Duration>,
}

/// The sender's view of the result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets (for TCP, connects) that the kernel accepted without an error.
    pub accepted: u64,
    /// Refused packets by errno: 1 (EPERM) is a firewall's drop in OUTPUT.
    pub refused: BTreeMap<i32, u64>,
    /// Received answers. Counted only with [`Probe::await_answers`].
    pub answered: u64,
}

impl Machine {
    /// UDP datagrams to an address and port.
    ///
    /// # Errors
    /// When `target` is not ADDRESS:PORT.
    pub fn udp(&self, target: &str) -> Result<Probe> {
        Ok(Probe::new(self, Kind::Udp, parse(target)?))
    }

    /// TCP connects to an address and port: a SYN each.
    ///
    /// # Errors
    /// When `target` is not ADDRESS:PORT.
    pub fn tcp(&self, target: &str) -> Result<Probe> {
        Ok(Probe::new(self, Kind::Tcp, parse(target)?))
    }

    /// UDP datagrams in frames of a raw packet socket on a link.
    ///
    /// # Errors
    /// When `target` is not ADDRESS:PORT.
    pub fn raw(&self, device: &str, target: &str) -> Result<Probe> {
        Ok(Probe::new(self, Kind::Raw, parse(target)?).on(device))
    }

    /// Echo requests to an address, by ICMP or ICMPv6.
    pub fn ping(&self, target: impl Into<IpAddr>) -> Probe {
        Probe::new(self, Kind::Echo, SocketAddr::new(target.into(), 0))
    }
}

impl Probe {
    fn new(machine: &Machine, kind: Kind, target: SocketAddr) -> Self {
        Self {
            machine: machine.clone(),
            kind,
            target,
            user: "root".into(),
            count: 1,
            tag: "probe".into(),
            from: None,
            device: None,
            timeout: None,
        }
    }

    /// Sends as this user: the sockets belong to that user, so `-m owner` matches them.
    pub fn from_user(mut self, name: &str) -> Self {
        self.user = name.into();
        self
    }

    /// Sends this many packets, or connects.
    pub fn count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// Adds a tag to the payload, so that a capture can distinguish this probe's packets from others.
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = tag.into();
        self
    }

    /// Sends from this address and port, such as `10.0.0.2:68`.
    ///
    /// # Errors
    /// When it is not ADDRESS:PORT.
    pub fn bind(mut self, source: &str) -> Result<Self> {
        self.from = Some(parse(source)?);
        Ok(self)
    }

    /// Sends on this interface and ignores the routes (SO_BINDTODEVICE).
    pub fn on(mut self, device: &str) -> Self {
        self.device = Some(device.into());
        self
    }

    /// After sending, waits for as many answers as were accepted, at most this long.
    pub fn await_answers(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// When no socket can be opened; a refusal of the packets is in [`Sent`].
    pub fn send(&self) -> Result<Sent> {
        self.machine.enter_as(&self.user, || {
            let id = next_id();
            let mut sent = Sent::default();
            let mut sockets = Vec::new();
            for n in 0..self.count {
                if self.needs_new_socket() || sockets.is_empty() {
                    sockets.push(self.socket()?);
                }
                if let Some(socket) = sockets.last() {
                    sent.note(self.emit(socket, id, n));
                }
            }
            if let (Some(timeout), Some(socket)) = (self.timeout, sockets.first()) {
                sent.answered = self.count_answers(socket, id, sent.accepted, timeout)?;
            }
            Ok(sent)
        })
    }

    /// Sends its datagrams as fast as it can, and counts refused ones too. Returns the processor time that this took.
    ///
    /// # Errors
    /// When no socket can be opened, and for a probe that sends no datagrams.
    pub fn burst(&self) -> Result<Duration> {
        self.machine.enter_as(&self.user, || {
            let (socket, target) = (self.socket()?, SockAddr::from(self.target));
            let payload = format!("{TAG_MARK}{}", self.tag).into_bytes();
            let (bytes, target) = match self.kind {
                Kind::Raw => (raw::frame(self.target, &payload)?, None),
                Kind::Udp => (payload, Some(&target)),
                Kind::Tcp | Kind::Echo => bail!("a burst of no datagrams"),
            };
            let before = processor_time()?;
            for _ in 0..self.count {
                // A refusal is a result here.
                let _ = match target {
                    Some(target) => socket.send_to(&bytes, target),
                    None => socket.send(&bytes),
                };
            }
            Ok(processor_time()?.saturating_sub(before))
        })
    }

    /// A socket with the options of this probe. Its owner is the thread's user.
    pub(super) fn socket(&self) -> Result<Socket> {
        if let (Kind::Raw, Some(device)) = (self.kind, &self.device) {
            return raw::packet_socket(device);
        }
        let (kind, protocol) = match (self.kind, self.target) {
            (Kind::Udp | Kind::Raw, _) => (Type::DGRAM, Protocol::UDP),
            (Kind::Tcp, _) => (Type::STREAM, Protocol::TCP),
            (Kind::Echo, SocketAddr::V4(_)) => (Type::RAW, Protocol::ICMPV4),
            (Kind::Echo, SocketAddr::V6(_)) => (Type::RAW, Protocol::ICMPV6),
        };
        let socket = Socket::new(Domain::for_address(self.target), kind, Some(protocol))?;
        if self.kind == Kind::Udp && self.target.is_ipv4() {
            socket.set_broadcast(true)?;
        }
        if let Some(from) = self.from {
            socket.set_reuse_address(true)?;
            socket.bind(&from.into()).with_context(|| format!("binding to {from}"))?;
        }
        if let Some(device) = &self.device {
            socket.bind_device(Some(device.as_bytes())).with_context(|| device.clone())?;
        }
        socket.set_nonblocking(self.kind == Kind::Tcp)?;
        Ok(socket)
    }

    /// One packet, or one connect.
    pub(super) fn emit(&self, socket: &Socket, id: u16, n: u64) -> io::Result<()> {
        let payload = format!("{TAG_MARK}{}", self.tag);
        let target = SockAddr::from(self.target);
        match self.kind {
            Kind::Raw => socket.send(&raw::frame(self.target, payload.as_bytes())?).map(drop),
            Kind::Udp => socket.send_to(payload.as_bytes(), &target).map(drop),
            Kind::Tcp => match socket.connect(&target) {
                Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => Ok(()),
                other => other,
            },
            Kind::Echo => {
                let seq = u16::try_from(n % 65_536).unwrap_or_default();
                let request = icmp::request(self.target.ip(), id, seq, payload.as_bytes());
                socket.send_to(&request, &target).map(drop)
            }
        }
    }

    /// A TCP socket connects once.
    pub(super) fn needs_new_socket(&self) -> bool {
        self.kind == Kind::Tcp
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.machine
    }

    fn count_answers(&self, socket: &Socket, id: u16, wanted: u64, timeout: Duration) -> Result<u64> {
        let deadline = Instant::now() + timeout;
        let mut answered = 0;
        let mut buffer = [0; 2048];
        let mut socket = socket.try_clone()?;
        socket.set_nonblocking(false)?;
        while answered < wanted {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            // The socket reports an ICMP error here. It is not an answer.
            let Ok(length) = socket.read(&mut buffer) else { continue };
            let received = &buffer[..length];
            let counts = self.kind != Kind::Echo || icmp::is_answer(self.target.ip(), id, received);
            answered += u64::from(counts);
        }
        Ok(answered)
    }
}

impl Sent {
    /// Counts the result of one packet.
    pub(super) fn note(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.accepted += 1,
            Err(error) => {
                *self.refused.entry(error.raw_os_error().unwrap_or_default()).or_default() += 1;
            }
        }
    }

    /// How many were refused with EPERM: dropped by a rule in OUTPUT.
    #[must_use]
    pub fn forbidden(&self) -> u64 {
        self.refused.get(&(Errno::EPERM as i32)).copied().unwrap_or_default()
    }
}

/// The processor time of this thread so far (`proc_pid_schedstat(5)`). On a busy machine it is steadier than a clock.
fn processor_time() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().unwrap_or_default().parse();
    Ok(Duration::from_nanos(nanoseconds.with_context(|| format!("no time in {text:?}"))?))
}

fn parse(address: &str) -> Result<SocketAddr> {
    address.parse().with_context(|| format!("{address:?} is not ADDRESS:PORT"))
}

/// Makes ids that distinguish the echoes of parallel probes.
pub(super) fn next_id() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
