//! Receives from the kernel which packets the rules refuse, and keeps them in the memory of `blocked`.
//!
//! No packet waits for this. While no process listens, packets are refused as before, and the lines are lost.

pub(crate) mod diag;
mod groups;
mod links;
mod podman;
mod sockets;

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use diag::Ends;
use links::Links;
use podman::Podman;
use sockets::Units;

use crate::blocked::{Containers, Facts, Memory, NamedContainer, Packet, Refused, RefusedAt, Unit};
use crate::netfilter::nflog::Line;
use crate::netfilter::nflog_socket::{Lines, Received};
use crate::netfilter::senders::{Opening, Senders};
use crate::policy::{LOG_GROUP, LOG_PREFIX};
use crate::system;
use crate::vpn::Refusal;

/// How long the source waits before it tries again to listen.
const PAUSE: Duration = Duration::from_secs(60);

/// How long refusals are counted before the journal gets the counts.
const MINUTE: Duration = Duration::from_secs(60);

/// Maximum number of destinations in the journal in a minute.
const MAX_DESTINATIONS: usize = 100;

/// The memory, which the source fills and the bus reads.
#[derive(Debug, Clone, Default)]
pub struct Blocked(Arc<Mutex<Memory>>);

impl Blocked {
    /// Locks the memory. Hold the lock for a short time only.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        system::lock(&self.0)
    }

    /// The number of containers that are refused again and again because the VPN is lost. It is counted at most once a
    /// second in each state, because every user can ask.
    pub fn waiting(&self, now: u64) -> u32 {
        self.memory().waiting_in_second(now)
    }
}

/// What the source receives: facts of the configuration, and the list of containers.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The facts of the configuration that a reason depends on.
    pub facts: watch::Receiver<Facts>,
    /// The containers that Docker lists now.
    pub containers: watch::Receiver<Containers>,
}

/// Receives every line, and writes their counts to the journal, until the agent ends.
pub async fn watch(blocked: Blocked, inputs: Inputs) {
    tokio::select! {
        never = receive(&blocked, &inputs) => match never {},
        never = say_counts_each(MINUTE, &blocked, &inputs.facts) => match never {},
    }
}

async fn receive(blocked: &Blocked, inputs: &Inputs) -> Infallible {
    let mut said = String::new();
    loop {
        let Err(error) = listen(blocked, inputs).await;
        let why = match error.raw_os_error() {
            // EBUSY and EPERM
            Some(16 | 1) => format!("another program receives group {LOG_GROUP} of NFLOG"),
            _ => error.to_string(),
        };
        if why != said {
            tracing::warn!("it is not known who is refused: {why}; the rules refuse as before");
            said.clone_from(&why);
        }
        blocked.memory().set_fault(Some(why));
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(blocked: &Blocked, inputs: &Inputs) -> io::Result<Infallible> {
    let mut lines = Lines::listen(LOG_GROUP)?;
    blocked.memory().set_fault(None);
    let mut names = Names { senders: senders(), ..Names::default() };
    loop {
        match lines.next().await? {
            Received::Lines(lines) => take(blocked, inputs, &lines, &mut names).await,
            Received::Overrun => blocked.memory().overrun(),
        }
    }
}

/// The table in which the kernel notes who opens a TCP connection.
fn senders() -> Option<Senders> {
    match Senders::make() {
        Ok(senders) => Some(senders),
        Err(error) => {
            tracing::info!("new TCP connections have no unit in `tunwarden blocked`: nf_tables: {error}");
            None
        }
    }
}

/// What finds the names of units, links and podman's containers.
#[derive(Debug, Default)]
struct Names {
    /// `None` if the kernel does not take the table.
    senders: Option<Senders>,
    units: Units,
    links: Links,
    podman: Podman,
}

async fn take(blocked: &Blocked, inputs: &Inputs, lines: &[Line], names: &mut Names) {
    let now = system::now();
    for line in lines {
        if let Some(mut refusal) = refusal(line, &mut names.links) {
            refusal.unit = unit_of(&refusal, line, names).await;
            refusal.container = container_of(&refusal, inputs, &mut names.podman).await;
            let (facts, containers) = (inputs.facts.borrow(), inputs.containers.borrow());
            blocked.memory().take(&refusal, &facts, &containers, now);
        }
    }
}

/// The unit of the socket that sent a packet. A new TCP connection has no socket by now, because the answer to its first
/// packet has closed it, but the kernel has noted its control group before. A TCP connection that existed before the
/// refusal got no answer, so it still has its socket.
async fn unit_of(refusal: &Refused, line: &Line, names: &mut Names) -> Option<Unit> {
    let packet = refusal.packet;
    let is_asked = refusal.at == RefusedAt::Output && packet.has_socket();
    let (uid, own, other) = (refusal.uid.filter(|_| is_asked)?, packet.source_port?, packet.port?);
    let (own, other) = ((packet.source, own), (packet.destination, other));
    if let (Some(number), Some(senders)) = (packet.opening, &mut names.senders) {
        // Another program may have a socket with the same ports by now, so no socket is asked for.
        let group = senders.group(&Opening { own, other, number }).ok()??;
        return names.units.of_group(group).await;
    }
    let ends = Ends { protocol: packet.protocol, own, other, link: line.output.unwrap_or_default() };
    names.units.of(&ends, uid).await
}

/// The container of podman that a unit is for. Docker's containers are in its list.
async fn container_of(refusal: &Refused, inputs: &Inputs, podman: &mut Podman) -> Option<NamedContainer> {
    let id = refusal.unit.as_ref()?.container.as_ref()?;
    if inputs.containers.borrow().ids.contains_key(id) {
        return None;
    }
    podman.name(id).await
}

/// What a line means; `None` for one of another program, and for a packet that cannot be read.
fn refusal(line: &Line, links: &mut Links) -> Option<Refused> {
    let reason: Refusal = line.prefix.strip_prefix(LOG_PREFIX)?.parse().ok()?;
    let at = match line.hook {
        _ if line.of_link => RefusedAt::Wire,
        1 => RefusedAt::Input,
        2 => RefusedAt::Forward,
        _ => RefusedAt::Output,
    };
    let packet = match at {
        RefusedAt::Wire => Packet::of_frame(&line.packet)?,
        RefusedAt::Input | RefusedAt::Forward | RefusedAt::Output => Packet::parse(&line.packet)?,
    };
    let mut link = |index: Option<u32>| links.name(index?);
    let (input, output) = (link(line.input), link(line.output));
    Some(Refused { reason, at, input, output, uid: line.uid, unit: None, container: None, packet })
}

async fn say_counts_each(period: Duration, blocked: &Blocked, facts: &watch::Receiver<Facts>) -> Infallible {
    let mut ticks = tokio::time::interval(period);
    loop {
        ticks.tick().await;
        say_counts(blocked, facts.borrow().journal);
    }
}

/// Forgets old refusals, and writes to the journal about those since the last call, which was at most a minute ago.
pub fn say_counts(blocked: &Blocked, with_destinations: bool) {
    let now = system::now();
    let overruns = {
        let mut memory = blocked.memory();
        memory.forget(now);
        memory.take_overruns()
    };
    if let Some(words) = of_overruns(overruns) {
        tracing::warn!("{words}");
    }
    of_minute(blocked, with_destinations, now).iter().for_each(|words| tracing::info!("{words}"));
}

/// What the journal gets about the refusals of the last minute: their number by reason, and the destinations if the
/// configuration says so.
fn of_minute(blocked: &Blocked, with_destinations: bool, now: u64) -> Vec<String> {
    let mut memory = blocked.memory();
    let counts = memory.take_counts();
    if counts.is_empty() {
        return Vec::new();
    }
    let words: Vec<String> = counts.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let mut said = vec![format!("refused in the last minute: {}", words.join(", "))];
    if with_destinations {
        let groups = memory.since(now.saturating_sub(MINUTE.as_secs()), None, now);
        said.extend(groups.iter().rev().take(MAX_DESTINATIONS).map(|group| format!("refused: {group}")));
    }
    said
}

/// What the journal gets about lines that were lost in a minute.
fn of_overruns(count: u64) -> Option<String> {
    let times = match count {
        0 => return None,
        1 => "once".to_owned(),
        more => format!("{more} times"),
    };
    Some(format!("{times} in the last minute the kernel had more lines than the agent could read"))
}

#[cfg(test)]
mod tests;
