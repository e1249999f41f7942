//! Listens for VPN servers: whether anything comes from them while something is sent to them.
//!
//! Packet sockets with a filter of the kernel's own, which nobody reads while packets come: they hold
//! the first few and drop the rest, so that a look is a few system calls and a busy tunnel wakes
//! nobody. Nothing of it is a rule: the firewall does not change for it. What is sent is counted only
//! while nothing comes, since that costs every packet of the machine a copy.

pub(crate) mod filter;

use std::collections::HashMap;
use std::io::{self, Read};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use self::filter::{Direction, filter, sender};
use crate::net::Endpoint;
use crate::vpn::{Event, LOOKS, Listening, Look, Silence, TunnelId, Wait};

/// A few packets; the kernel makes at least its own minimum of it.
const QUEUE: usize = 4096;

/// Every packet, of whatever protocol and direction (`ETH_P_ALL`); and what comes in alone.
const ALL: u16 = 0x0003;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Listens for whom `wanted` says, until nobody says it any more.
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
    let outcome = match listening.wait {
        Wait::Silence(seconds) => silence(&listening, seconds).await,
        Wait::Voice => voice(&listening).await,
    };
    match outcome {
        Ok(event) => drop(events.send(event).await),
        Err(error) => {
            tracing::warn!("a VPN server's silence cannot be noticed: no packet socket: {error}");
        }
    }
}

/// Looks now and then, until there is a silence.
async fn silence(listening: &Listening, seconds: u64) -> io::Result<Event> {
    let between = Duration::from_millis(seconds.saturating_mul(1000) / u64::from(LOOKS));
    let mut ears = Ears::open(listening)?;
    let mut sent: Option<Socket> = None;
    let mut silence = Silence::default();
    loop {
        tokio::time::sleep(between).await;
        let look = match (ears.take(), &sent) {
            (true, _) => Look::Heard,
            (false, None) => Look::Quiet,
            (false, Some(sent)) if drain(sent) => Look::Unanswered,
            (false, Some(_)) => Look::Idle,
        };
        match look {
            Look::Heard => sent = None,
            Look::Quiet => sent = Some(open(ALL, listening, Direction::Out)?),
            Look::Unanswered | Look::Idle => {}
        }
        if silence.take(look) {
            return Ok(Event::Silent { tunnel: listening.tunnel.clone() });
        }
    }
}

/// Waits for the first packet.
async fn voice(listening: &Listening) -> io::Result<Event> {
    let ears = Ears::open(listening)?;
    let mut ears = ears.0.into_iter().map(register).collect::<io::Result<Vec<_>>>()?;
    let server = match ears.as_mut_slice() {
        [one] => first(one, listening).await?,
        [one, other] => tokio::select! {
            server = first(one, listening) => server?,
            server = first(other, listening) => server?,
        },
        _ => std::future::pending().await,
    };
    Ok(Event::Heard { tunnel: listening.tunnel.clone(), server })
}

#[expect(deprecated, reason = "the successor is unsafe, for types that may close early; a Socket cannot")]
fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    AsyncFd::new(socket)
}

async fn first(ear: &mut AsyncFd<Socket>, listening: &Listening) -> io::Result<Endpoint> {
    let mut packet = [0; filter::HEADERS];
    loop {
        let mut ready = ear.readable().await?;
        match ready.try_io(|socket| socket.get_ref().read(&mut packet)) {
            Ok(Ok(length)) => {
                let from = packet.get(..length).and_then(sender);
                if let Some(server) = from.filter(|server| listening.servers.contains(server)) {
                    return Ok(server);
                }
            }
            // The link under it went down: no reason to stop listening.
            Ok(Err(error)) if error.kind() == io::ErrorKind::NetworkDown => {}
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
}

/// What comes in, a socket for each family that there is.
struct Ears(Vec<Socket>);

impl Ears {
    fn open(listening: &Listening) -> io::Result<Self> {
        let has = |v4: bool| listening.servers.iter().any(|server| server.address().is_ipv4() == v4);
        let families = [(true, IPV4), (false, IPV6)].into_iter().filter(|&(v4, _)| has(v4));
        let ears = families.map(|(_, protocol)| open(protocol, listening, Direction::In));
        ears.collect::<io::Result<_>>().map(Self)
    }

    /// Whether anything came since the last call.
    fn take(&mut self) -> bool {
        // Each of them is emptied.
        self.0.iter().fold(false, |heard, ear| drain(ear) | heard)
    }
}

fn open(protocol: u16, listening: &Listening, direction: Direction) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(protocol.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(QUEUE)?;
    socket.attach_filter(&filter(&listening.servers, listening.link, direction))?;
    // What came before there was a filter.
    drain(&socket);
    Ok(socket)
}

/// Empties a socket; whether anything was in it.
fn drain(mut socket: &Socket) -> bool {
    let mut scrap = [0; 1];
    let mut any = false;
    // The queue is a few packets long; a bound all the same, since they go on coming.
    for _ in 0..64 {
        match socket.read(&mut scrap) {
            Ok(_) => any = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => {}
        }
    }
    any
}
