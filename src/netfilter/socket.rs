//! The edge: sockets to the kernel's netfilter.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, NetlinkAddr, SockProtocol, recvfrom, send};
use socket2::{SockFilter, SockRef};
use tokio::io::unix::AsyncFd;

use super::dump::Progress;
use super::encode::NEW_CHAIN;
use super::held::{HeldTable, clear_dormant, questions, take};
use super::removal::{answers, removal, rule_removal};
use super::{
    Change, ForwardPolicy, Generation, Given, Malformed, NEW_GENERATION, forward_policies, listing, native,
    parse, question,
};
use crate::model::Message;
use crate::net::Family;
use crate::netlink;

/// `NFNLGRP_NFTABLES`, the seventh group, as a bit.
const NFTABLES_GROUP: u32 = 1 << 6;

/// Maximum size of a datagram. One about a generation is below 100 bytes; the kernel puts other messages together up to
/// a page.
const LARGEST: usize = 16384;

/// Maximum size of a datagram of a dump: an attribute, and so a rule, has at most 64 KiB.
const LARGEST_DUMP: usize = 1 << 17;

/// Maximum number of dumps, when the tables change during each of them.
const DUMPS: usize = 10;

/// What the kernel has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// These changes, and the policies of `FORWARD` that they set.
    Changes(Vec<Change>, Vec<ForwardPolicy>),
    /// More than the socket could keep, or a message that cannot be read.
    Unknown,
}

/// The generation as it is now; `None` where the kernel has no nf_tables.
pub fn generation() -> Option<Generation> {
    ask().ok().flatten()
}

pub(super) fn ask() -> io::Result<Option<Generation>> {
    let socket = open(0)?;
    send(raw(&socket), &question(), MsgFlags::empty())?;
    // The kernel has answered when `send` returns.
    Ok(match receive(&socket, &mut Vec::new())? {
        Received::Changes(changes, _) => changes.first().map(|change| change.generation),
        Received::Unknown => None,
    })
}

/// Removes a table that has only these chains, in one transaction. Nothing happens if there is anything else in it
/// by now, or if one of them has a rule. A chain that is not there is left out, because the listing of iptables
/// names such chains too.
///
/// # Errors
/// The kernel's refusal.
pub fn remove_empty(family: Family, table: &str, chains: &[&str]) -> io::Result<()> {
    let socket = open(0)?;
    let mut there = chains.to_vec();
    loop {
        let refused = transact(&socket, &removal(family, table, &there))?;
        let absent = |number| {
            let of_chain = |&(about, error): &(u32, i32)| about == number && error == -(Errno::ENOENT as i32);
            refused.iter().any(of_chain)
        };
        let rest: Vec<&str> =
            (1..).zip(&there).filter(|(number, _)| !absent(*number)).map(|(_, chain)| *chain).collect();
        match refused.first() {
            None => return Ok(()),
            Some(_) if rest.len() < there.len() => there = rest,
            Some((_, error)) => return Err(io::Error::from_raw_os_error(-error)),
        }
    }
}

/// Removes the rules of the chain `from` that lead into the chain `to`.
///
/// # Errors
/// The tables cannot be read, or the kernel's refusal.
pub fn remove_rules(family: Family, table: &str, (from, to): (&str, &str)) -> io::Result<()> {
    let tables = tables(family)?;
    let Some(chain) = tables.get(table).and_then(|table| table.chains.get(from)) else { return Ok(()) };
    let rules = chain.rules.iter().zip(&chain.handles).filter(|(rule, _)| rule.leads_to(to));
    let handles: Vec<u64> = rules.map(|(_, handle)| *handle).collect();
    if handles.is_empty() {
        return Ok(());
    }
    request(&open(0)?, &rule_removal(family, table, from, &handles))
}

/// The tables of iptables-nft of one family, as nf_tables holds them.
///
/// # Errors
/// The kernel has no nf_tables, this process may not read them, or they change during every dump.
pub fn tables(family: Family) -> io::Result<BTreeMap<String, HeldTable>> {
    settled(|| dump(family))
}

/// Repeats a dump until no table has changed during it. `dump` returns `None` when it must be read again.
pub(super) fn settled<T>(dump: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
    repeated(ask, dump)
}

pub(super) fn repeated<T>(
    mut generation: impl FnMut() -> io::Result<Option<Generation>>,
    mut dump: impl FnMut() -> io::Result<Option<T>>,
) -> io::Result<T> {
    for _ in 0..DUMPS {
        let before = generation()?;
        if let Some(held) = dump()?
            && generation()? == before
        {
            return Ok(held);
        }
    }
    Err(io::Error::other("the tables change faster than they can be read"))
}

/// The tables that no program of iptables lists, each with its family: `inet filter`.
///
/// # Errors
/// As [`tables`].
pub fn native_tables() -> io::Result<BTreeSet<String>> {
    settled(|| {
        let mut tables = BTreeSet::new();
        let is_whole = answered(&native::question(), |datagram| native::take(&mut tables, datagram))?;
        Ok(is_whole.then_some(tables))
    })
}

/// `None` when the tables changed during the dump.
fn dump(family: Family) -> io::Result<Option<BTreeMap<String, HeldTable>>> {
    let mut tables = BTreeMap::new();
    for question in questions(family) {
        if !answered(&question, |datagram| take(&mut tables, datagram))? {
            return Ok(None);
        }
    }
    Ok(Some(tables))
}

/// Every table of every program, as the kernel describes it.
///
/// # Errors
/// As [`tables`].
pub fn everything() -> io::Result<Vec<Message>> {
    if ask()?.is_none() {
        return Err(io::Error::other("this kernel does not answer about nf_tables"));
    }
    settled(dump_everything)
}

/// `None` when the tables changed during the dump.
fn dump_everything() -> io::Result<Option<Vec<Message>>> {
    let mut found = Vec::new();
    for question in listing::questions() {
        if !answered(&question, |datagram| listing::take(&mut found, datagram))? {
            return Ok(None);
        }
    }
    for question in listing::element_questions(&found).map_err(io::Error::other)? {
        if !answered_if_there(&question, |datagram| listing::take(&mut found, datagram))? {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// Gives every datagram of the answer to `take`; `false` when the answer does not hold any more, or was cut.
pub(super) fn answered(
    question: &[u8],
    take: impl FnMut(&[u8]) -> Result<Progress, Malformed>,
) -> io::Result<bool> {
    // A new socket each time: it holds nothing of an earlier dump that was not read to its end.
    let socket = open(0)?;
    send(raw(&socket), question, MsgFlags::empty())?;
    let mut buffer = vec![0; LARGEST_DUMP];
    is_whole(&mut buffer, |buffer| recvfrom::<NetlinkAddr>(raw(&socket), buffer), take)
}

/// The length of a datagram, and who has sent it.
type Datagram = (usize, Option<NetlinkAddr>);

/// The same for the datagrams that `receive` puts into this buffer.
pub(super) fn is_whole(
    buffer: &mut [u8],
    mut receive: impl FnMut(&mut [u8]) -> nix::Result<Datagram>,
    mut take: impl FnMut(&[u8]) -> Result<Progress, Malformed>,
) -> io::Result<bool> {
    loop {
        let (length, from) = match receive(buffer) {
            Ok(received) => received,
            Err(Errno::EINTR) => continue,
            Err(Errno::ENOBUFS) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if from.is_none_or(|from| from.pid() != 0) {
            continue;
        }
        match take(&buffer[..length]).map_err(io::Error::other)? {
            Progress::More => {}
            Progress::Done => return Ok(true),
            Progress::Again => return Ok(false),
            Progress::Refused(errno) => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// The same, and `false` also if another program has deleted the table or the set that the question is about.
pub(super) fn answered_if_there(
    question: &[u8],
    take: impl FnMut(&[u8]) -> Result<Progress, Malformed>,
) -> io::Result<bool> {
    match answered(question, take) {
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(false),
        result => result,
    }
}

/// Switches a table on, if it is dormant.
///
/// # Errors
/// The kernel's refusal.
pub fn switch_on(family: Family, name: &str) -> io::Result<()> {
    let tables = tables(family)?;
    let Some(table) = tables.get(name).filter(|table| table.is_dormant()) else { return Ok(()) };
    request(&open(0)?, &clear_dormant(family, name, table))
}

/// Sends requests, as a transaction or one alone. The first refusal is the error.
pub(super) fn request(socket: &OwnedFd, requests: &[u8]) -> io::Result<()> {
    match transact(socket, requests)?.first() {
        None => Ok(()),
        Some((_, error)) => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// The refusals of a transaction: the number of each refused message, and its error.
fn transact(socket: &OwnedFd, batch: &[u8]) -> io::Result<Vec<(u32, i32)>> {
    send(raw(socket), batch, MsgFlags::empty())?;
    let mut answered = Vec::new();
    // An answer may have a copy of the refused message.
    let mut buffer = vec![0; LARGEST_DUMP];
    loop {
        match recvfrom::<NetlinkAddr>(raw(socket), &mut buffer) {
            Ok((length, Some(from))) if from.pid() == 0 => {
                answered.extend(answers(&buffer[..length]).map_err(io::Error::other)?);
            }
            Ok(_) => {}
            // The kernel had answered when `send` returned.
            Err(Errno::EAGAIN) if !answered.is_empty() => break,
            Err(error) => return Err(error.into()),
        }
    }
    answered.retain(|&(_, error)| error != 0);
    Ok(answered)
}

/// Every change of the tables from now on.
#[derive(Debug)]
pub struct Changes {
    socket: AsyncFd<OwnedFd>,
    /// Policies of `FORWARD` whose generation is not read yet.
    policies: Vec<Given>,
}

impl Changes {
    /// Subscribes to them.
    ///
    /// # Errors
    /// The kernel has no nf_tables, or this process may not subscribe.
    #[expect(
        deprecated,
        reason = "the successor is unsafe, for types that may close early; an OwnedFd cannot"
    )]
    pub fn listen() -> io::Result<Self> {
        let socket = open(NFTABLES_GROUP)?;
        SockRef::from(&socket).attach_filter(&only_generations_and_chains())?;
        Ok(Self { socket: AsyncFd::new(socket)?, policies: Vec::new() })
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// The socket cannot be read any more.
    pub async fn next(&mut self) -> io::Result<Received> {
        loop {
            let mut ready = self.socket.readable().await?;
            if let Ok(received) = ready.try_io(|socket| receive(socket.get_ref(), &mut self.policies)) {
                return received;
            }
        }
    }
}

/// A filter that lets only generations through, and datagrams that begin with a chain. Each rule of a change is a
/// message too, and there may be thousands.
fn only_generations_and_chains() -> [SockFilter; 5] {
    // Instructions of classic BPF (`linux/bpf_common.h`).
    const LOAD_HALF: u16 = 0x28;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// The place of the type in a message.
    const TYPE: u32 = 4;
    // The filter loads it as if it were in network order.
    let wanted = |kind: u16| u32::from(u16::from_be_bytes(kind.to_ne_bytes()));
    [
        SockFilter::new(LOAD_HALF, 0, 0, TYPE),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, wanted(NEW_GENERATION)),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, wanted(NEW_CHAIN)),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

pub(super) fn open(groups: u32) -> io::Result<OwnedFd> {
    netlink::socket::open(SockProtocol::NetlinkNetFilter, groups)
}

pub(super) fn raw(socket: &OwnedFd) -> std::os::fd::RawFd {
    std::os::fd::AsRawFd::as_raw_fd(socket)
}

/// Reads one datagram. `policies` holds policies of `FORWARD` until the generation that they belong to.
fn receive(socket: &OwnedFd, policies: &mut Vec<Given>) -> io::Result<Received> {
    let mut buffer = [0; LARGEST];
    let received = recvfrom::<NetlinkAddr>(raw(socket), &mut buffer);
    understood(received, &buffer, policies)
}

/// The same for a datagram that was received into this buffer.
pub(super) fn understood(
    datagram: nix::Result<Datagram>,
    buffer: &[u8],
    policies: &mut Vec<Given>,
) -> io::Result<Received> {
    match datagram {
        // Port 0 is the kernel. Other processes may send to a netlink socket too.
        Ok((length, Some(from))) if from.pid() == 0 => Ok(received(&buffer[..length], policies)
            .unwrap_or_else(|Malformed| {
                policies.clear();
                Received::Unknown
            })),
        Ok(_) => Ok(Received::Changes(Vec::new(), Vec::new())),
        Err(Errno::ENOBUFS) => {
            policies.clear();
            Ok(Received::Unknown)
        }
        Err(error) => Err(error.into()),
    }
}

fn received(datagram: &[u8], policies: &mut Vec<Given>) -> Result<Received, Malformed> {
    policies.extend(forward_policies(datagram)?);
    let changes = parse(datagram)?;
    let Some(first) = changes.first() else { return Ok(Received::Changes(changes, Vec::new())) };
    let set = policies.drain(..).map(|(family, policy, request)| ForwardPolicy {
        family,
        policy,
        request,
        by: first.by.clone(),
    });
    let set = set.collect();
    Ok(Received::Changes(changes, set))
}
