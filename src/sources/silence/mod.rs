//! Listens for VPN servers: whether any packet comes from a server while packets are sent to it.
//!
//! Two kinds of packets show that a server is alive. The first is a packet out of the tunnel: the VPN client has
//! decrypted and authenticated it. The second is a packet in the client's own flow: from the server's address and port
//! to the address and port from which the client sends. An attacker on the network who knows that port can forge the
//! second kind, and so hide a silence. So only a packet out of the tunnel ends a silence.
//!
//! The kernel filters the packets. The agent does not read the packet sockets while packets come: a socket keeps the
//! first few packets and drops the others. So a sample costs a few system calls, and a busy tunnel does not wake the
//! agent. No firewall rule changes for this. The agent looks at sent packets only while no packet comes, because a
//! socket for sent packets makes the kernel copy every packet of the machine.

pub(crate) mod filter;

use std::collections::HashMap;
use std::io::{self, Read};
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use self::filter::{Flow, flow, received, sent, sent_outside, sent_to_peers};
use crate::net::{Endpoint, Family};
use crate::vpn::{Answered, Event, Listening, SAMPLES, Sample, Silence, TunnelId, Wait};

/// Size of a socket's queue in bytes: room for a few packets.
const QUEUE: usize = 4096;

/// Maximum number of flows of one tunnel that are followed. Kernels before 6.8 have room for a filter of
/// about eight (`net.core.optmem_max`).
const MAX_FLOWS: usize = 4;

/// How long after an error the listener tries again.
const RETRY: Duration = Duration::from_secs(30);

/// Every packet, incoming and outgoing (`ETH_P_ALL`).
const ALL: u16 = 0x0003;

/// Listens for the servers in `wanted`, until its sender is dropped.
pub async fn watch(mut wanted: watch::Receiver<Vec<Listening>>, events: mpsc::Sender<Event>) {
    let mut tasks: HashMap<TunnelId, (Listening, AbortHandle)> = HashMap::new();
    loop {
        let now = wanted.borrow_and_update().clone();
        tasks.retain(|_, (listening, task)| {
            let stays = now.contains(listening);
            if !stays {
                task.abort();
            }
            stays
        });
        for listening in now {
            if !tasks.contains_key(&listening.tunnel) {
                let task = tokio::spawn(listen(listening.clone(), events.clone())).abort_handle();
                tasks.insert(listening.tunnel.clone(), (listening, task));
            }
        }
        if wanted.changed().await.is_err() {
            break;
        }
    }
    for (_, task) in tasks.into_values() {
        task.abort();
    }
}

async fn listen(listening: Listening, events: mpsc::Sender<Event>) {
    loop {
        let outcome = match listening.wait {
            Wait::Silence(seconds) => silence(&listening, seconds).await,
            Wait::Recovery => recovery(&listening).await,
        };
        match outcome {
            Ok(event) => return drop(events.send(event).await),
            Err(error) => {
                tracing::warn!("a VPN server's silence cannot be noticed: no packet socket: {error}");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Takes samples, until there is a silence.
async fn silence(listening: &Listening, seconds: u64) -> io::Result<Event> {
    let interval = Duration::from_millis(seconds.saturating_mul(1000) / u64::from(SAMPLES));
    let mut watch = Watch::new(listening)?;
    let mut silence = Silence::default();
    loop {
        tokio::time::sleep(interval).await;
        if silence.take(watch.sample()?) {
            return Ok(Event::Silent { tunnel: listening.tunnel.clone() });
        }
    }
}

/// Waits until a packet comes out of the tunnel. The server in use is then the one to which the client sends.
async fn recovery(listening: &Listening) -> io::Result<Event> {
    let Receiver { sockets: [v4, v6], .. } = Receiver::open(listening.link)?;
    let (mut v4, mut v6) = (register(v4)?, register(v6)?);
    tokio::select! {
        packet = next(&mut v4) => packet?,
        packet = next(&mut v6) => packet?,
    };
    Ok(Event::Heard { tunnel: listening.tunnel.clone(), server: server_in_use(listening).await? })
}

/// The server, if there is only one; otherwise the server to which the client sends next.
async fn server_in_use(listening: &Listening) -> io::Result<Endpoint> {
    let mut servers = listening.servers.iter();
    if let (Some(only), None) = (servers.next(), servers.next()) {
        return Ok(*only);
    }
    let mut client = register(open(ALL, &sent_outside(listening.link, &listening.servers))?)?;
    loop {
        let flow = flow(&next(&mut client).await?);
        if let Some(flow) = flow.filter(|flow| listening.servers.contains(&flow.server)) {
            return Ok(flow.server);
        }
    }
}

#[expect(deprecated, reason = "the successor is unsafe, for types that may close early; a Socket cannot")]
fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    AsyncFd::new(socket)
}

/// The headers of the next packet.
async fn next(socket: &mut AsyncFd<Socket>) -> io::Result<Vec<u8>> {
    let mut packet = [0; filter::HEADERS];
    loop {
        let mut ready = socket.readable().await?;
        match ready.try_io(|socket| socket.get_ref().read(&mut packet)) {
            Ok(Ok(length)) => return Ok(packet.get(..length).unwrap_or_default().to_vec()),
            // The link below this socket went down. The agent keeps listening.
            Ok(Err(error)) if error.kind() == io::ErrorKind::NetworkDown => {}
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
}

/// The packets between one tunnel's client and its servers.
struct Watch<'a> {
    listening: &'a Listening,
    receiver: Receiver,
    /// Open while no packet comes, or while no flow is known.
    sender: Option<Sender>,
    /// Whether the client has begun another flow since the last packet came.
    has_moved: bool,
}

impl<'a> Watch<'a> {
    fn new(listening: &'a Listening) -> io::Result<Self> {
        let (receiver, sender) = (Receiver::open(listening.link)?, Some(Sender::open(listening)?));
        Ok(Self { listening, receiver, sender, has_moved: false })
    }

    /// What came and what was sent since the last sample.
    fn sample(&mut self) -> io::Result<Sample> {
        let heard = self.receiver.take();
        let Some(sender) = &self.sender else {
            if heard {
                return Ok(Sample::Heard);
            }
            self.sender = Some(Sender::open(self.listening)?);
            return Ok(Sample::Quiet);
        };
        let has_sent = drain(&sender.all);
        let is_new = self.receiver.follow(self.listening.link, sender.flows(self.listening))?;
        if heard {
            self.has_moved = false;
            self.sender = self.sender.take().filter(|_| self.receiver.flows.is_empty());
            return Ok(Sample::Heard);
        }
        // The server may have answered in the new flow before the socket listened for it. This excuse counts once: a
        // client also changes its flow again and again because no server answers.
        let is_excused = is_new && !std::mem::replace(&mut self.has_moved, true);
        Ok(match (is_excused, has_sent) {
            (true, _) => Sample::Quiet,
            (false, true) => Sample::Unanswered,
            (false, false) => Sample::Idle,
        })
    }
}

/// Receives packets out of the tunnel and in the client's flows, with a socket for each family.
struct Receiver {
    sockets: [Socket; 2],
    /// The client's flows, the oldest first.
    flows: Vec<Flow>,
}

impl Receiver {
    fn open(tunnel: u32) -> io::Result<Self> {
        let filter = received(tunnel, &[]);
        // A socket for the packets of one family receives only incoming packets.
        let open = |family: Family| open(family.ethertype(), &filter);
        Ok(Self { sockets: [open(Family::V4)?, open(Family::V6)?], flows: Vec::new() })
    }

    /// Follows these flows too. Returns whether one of them is new.
    fn follow(&mut self, tunnel: u32, flows: Vec<Flow>) -> io::Result<bool> {
        let before = self.flows.len();
        for flow in flows {
            if !self.flows.contains(&flow) {
                self.flows.push(flow);
            }
        }
        if self.flows.len() == before {
            return Ok(false);
        }
        let excess = self.flows.len().saturating_sub(MAX_FLOWS);
        self.flows.drain(..excess);
        let filter = received(tunnel, &self.flows);
        self.sockets.iter().try_for_each(|socket| socket.attach_filter(&filter))?;
        Ok(true)
    }

    /// Whether anything came since the last call.
    fn take(&self) -> bool {
        // Both sockets are emptied.
        self.sockets.iter().fold(false, |heard, socket| drain(socket) | heard)
    }
}

/// Receives copies of sent packets.
struct Sender {
    /// Packets that the server must answer.
    all: Socket,
    /// Packets to the servers outside the tunnel. The traffic in the tunnel would fill the queue of the other
    /// socket.
    outside: Socket,
}

impl Sender {
    fn open(listening: &Listening) -> io::Result<Self> {
        let Listening { link, servers, answered, .. } = listening;
        let all = match answered {
            Answered::All => sent(*link, servers),
            Answered::IntoTunnel => sent_to_peers(*link),
        };
        let (all, outside) = (open(ALL, &all)?, open(ALL, &sent_outside(*link, servers))?);
        Ok(Self { all, outside })
    }

    /// The flows in which something was sent since the last call.
    fn flows(&self, listening: &Listening) -> Vec<Flow> {
        let mut flows = Vec::new();
        read(&self.outside, |packet| {
            flows.extend(flow(packet).filter(|flow| listening.servers.contains(&flow.server)));
        });
        flows
    }
}

fn open(protocol: u16, filter: &[SockFilter]) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(protocol.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(QUEUE)?;
    socket.attach_filter(filter)?;
    // Removes packets that came before the filter was attached.
    drain(&socket);
    Ok(socket)
}

/// Empties a socket. Returns whether a packet was in it.
fn drain(socket: &Socket) -> bool {
    let mut any = false;
    read(socket, |_| any = true);
    any
}

/// Empties a socket and hands over the headers of each packet.
fn read(mut socket: &Socket, mut take: impl FnMut(&[u8])) {
    let mut packet = [0; filter::HEADERS];
    // The queue holds a few packets, but more packets may arrive all the time, so the loop needs a limit.
    for _ in 0..64 {
        match socket.read(&mut packet) {
            Ok(length) => take(packet.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => {}
        }
    }
}
