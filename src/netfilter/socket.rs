//! The edge: sockets to the kernel's netfilter.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, send, socket,
};
use socket2::{SockFilter, SockRef};
use tokio::io::unix::AsyncFd;

use super::held::{HeldTable, Progress, awaken, questions, take};
use super::removal::{answers, removal};
use super::{Change, Generation, Malformed, NEW_GENERATION, parse, question};
use crate::net::Family;

/// `NFNLGRP_NFTABLES`, the seventh group, as a bit.
const NFTABLES_GROUP: u32 = 1 << 6;

/// The largest datagram that is read; one that tells of a generation is below 100 bytes.
const LARGEST: usize = 8192;

/// The largest datagram of a dump: an attribute, and so a rule, has at most 64 KiB.
const LARGEST_DUMP: usize = 1 << 17;

/// Maximum number of dumps that are begun because the tables changed under the one before.
const DUMPS: usize = 10;

/// What came of listening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// These changes.
    Changes(Vec<Change>),
    /// More than could be kept, or something that cannot be read.
    Unknown,
}

/// The generation as it is now; `None` where the kernel has no nf_tables.
pub fn generation() -> Option<Generation> {
    ask().ok().flatten()
}

fn ask() -> io::Result<Option<Generation>> {
    let socket = open(0)?;
    send(raw(&socket), &question(), MsgFlags::empty())?;
    // The kernel answers before the question has been sent.
    Ok(match receive(&socket)? {
        Heard::Changes(changes) => changes.first().map(|change| change.generation),
        Heard::Unknown => None,
    })
}

/// Takes a table away that has no chains but these, in one transaction; nothing happens if anything else
/// is in it by now, or one of them has a rule. iptables' own listing names chains that are not there: they
/// are passed over.
///
/// # Errors
/// What the kernel did not like.
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

/// The tables of iptables-nft of one family, as nf_tables holds them.
///
/// # Errors
/// When the kernel has no nf_tables, does not let this process read them, or they change all the time.
pub fn tables(family: Family) -> io::Result<BTreeMap<String, HeldTable>> {
    for _ in 0..DUMPS {
        let generation = ask()?;
        if let Some(tables) = dump(family)?
            && ask()? == generation
        {
            return Ok(tables);
        }
    }
    Err(io::Error::other("the tables change faster than they can be read"))
}

/// `None` when the tables changed meanwhile.
fn dump(family: Family) -> io::Result<Option<BTreeMap<String, HeldTable>>> {
    let mut tables = BTreeMap::new();
    let mut buffer = vec![0; LARGEST_DUMP];
    for question in questions(family) {
        // A socket of its own: nothing is left in it of a dump that is given up.
        let socket = open(0)?;
        send(raw(&socket), &question, MsgFlags::empty())?;
        loop {
            let (length, from) = recvfrom::<NetlinkAddr>(raw(&socket), &mut buffer)?;
            if from.is_none_or(|from| from.pid() != 0) {
                continue;
            }
            match take(&mut tables, &buffer[..length]).map_err(io::Error::other)? {
                Progress::More => {}
                Progress::Done => break,
                Progress::Again => return Ok(None),
                Progress::Refused(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }
    Ok(Some(tables))
}

/// Switches a table on, if it is dormant.
///
/// # Errors
/// What the kernel did not like.
pub fn switch_on(family: Family, name: &str) -> io::Result<()> {
    let tables = tables(family)?;
    let Some(table) = tables.get(name).filter(|table| table.is_dormant()) else { return Ok(()) };
    let refused = transact(&open(0)?, &awaken(family, name, table))?;
    match refused.first() {
        None => Ok(()),
        Some((_, error)) => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// What of a transaction was refused: the messages' numbers and the errors.
fn transact(socket: &OwnedFd, batch: &[u8]) -> io::Result<Vec<(u32, i32)>> {
    send(raw(socket), batch, MsgFlags::empty())?;
    let mut heard = Vec::new();
    let mut buffer = [0; LARGEST];
    loop {
        match recvfrom::<NetlinkAddr>(raw(socket), &mut buffer) {
            Ok((length, Some(from))) if from.pid() == 0 => {
                heard.extend(answers(&buffer[..length]).map_err(io::Error::other)?);
            }
            Ok(_) => {}
            // The kernel has answered before the batch was sent.
            Err(Errno::EAGAIN) if !heard.is_empty() => break,
            Err(error) => return Err(error.into()),
        }
    }
    heard.retain(|&(_, error)| error != 0);
    Ok(heard)
}

/// Every change of the tables from now on.
#[derive(Debug)]
pub struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the kernel has no nf_tables, or does not let this process listen.
    #[expect(
        deprecated,
        reason = "the successor is unsafe, for types that may close early; an OwnedFd cannot"
    )]
    pub fn listen() -> io::Result<Self> {
        let socket = open(NFTABLES_GROUP)?;
        SockRef::from(&socket).attach_filter(&only_generations())?;
        Ok(Self(AsyncFd::new(socket)?))
    }

    /// Waits for the next.
    ///
    /// # Errors
    /// When the socket cannot be read any more.
    pub async fn next(&self) -> io::Result<Heard> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(heard) = ready.try_io(|socket| receive(socket.get_ref())) {
                return heard;
            }
        }
    }
}

/// A rule is a message too, and a change may have thousands: the kernel itself keeps those back.
fn only_generations() -> [SockFilter; 4] {
    // Instructions of classic BPF (`linux/bpf_common.h`).
    const LOAD_HALF: u16 = 0x28;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// Where a message has its type.
    const TYPE: u32 = 4;
    // It is loaded as if it were in network order.
    let wanted = u16::from_be_bytes(NEW_GENERATION.to_ne_bytes());
    [
        SockFilter::new(LOAD_HALF, 0, 0, TYPE),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, u32::from(wanted)),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

fn open(groups: u32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
    bind(raw(&socket), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

fn raw(socket: &OwnedFd) -> std::os::fd::RawFd {
    std::os::fd::AsRawFd::as_raw_fd(socket)
}

fn receive(socket: &OwnedFd) -> io::Result<Heard> {
    let mut buffer = [0; LARGEST];
    match recvfrom::<NetlinkAddr>(raw(socket), &mut buffer) {
        // Only the kernel speaks here: its own port is 0.
        Ok((length, Some(from))) if from.pid() == 0 => {
            Ok(parse(&buffer[..length]).map_or_else(|Malformed| Heard::Unknown, Heard::Changes))
        }
        Ok(_) => Ok(Heard::Changes(Vec::new())),
        Err(Errno::ENOBUFS) => Ok(Heard::Unknown),
        Err(error) => Err(error.into()),
    }
}
