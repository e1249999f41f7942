//! The edge for our own tables: the socket that commits them and may own them, and what the kernel holds of them.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, SndBuf, SndBufForce};
use nix::sys::socket::{MsgFlags, recv, setsockopt};

use super::encode::Transaction;
use super::readback::{self, Held};
use super::socket::{answered_if_there, open, raw, request, settled};
use crate::policy::nftables::TableId;

/// Minimum room for a transaction and for its answers, in bytes.
const ROOM: usize = 8192;

/// A socket for transactions. It owns the tables that it makes with an [`Owner`], until its last copy is closed. No
/// child process gets a copy.
///
/// [`Owner`]: crate::policy::nftables::Owner
#[derive(Debug)]
pub struct OwnSocket(OwnedFd);

impl OwnSocket {
    /// Opens it.
    ///
    /// # Errors
    /// The kernel has no netfilter, or no room.
    pub fn open() -> io::Result<Self> {
        open(0).map(Self)
    }

    /// Uses a socket that is open already.
    pub fn from_fd(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Commits a transaction, all of it or nothing; or asks a question, which changes nothing. Returns whether the
    /// kernel has committed something.
    ///
    /// # Errors
    /// The kernel's first refusal. After `ENOBUFS` its answers were more than the socket could keep, and it is not
    /// known whether it took the transaction.
    pub fn send(&self, transaction: Transaction) -> io::Result<bool> {
        if transaction.is_empty() {
            return Ok(false);
        }
        let commits = transaction.is_commit();
        let bytes = transaction.into_bytes();
        // The kernel counts its own structures too, and takes a message only as a whole. It answers each refused
        // message with a copy of it.
        let room = bytes.len().saturating_mul(2).max(ROOM);
        self.make_room(room)?;
        self.forget_answers();
        request(&self.0, &bytes)?;
        Ok(commits)
    }

    /// Makes room for a transaction of `room` bytes with its answers. In another user namespace than the first one the
    /// kernel gives no more than its usual maximum. A longer transaction is EMSGSIZE there, and never EPERM, which
    /// would mean that another socket owns the tables.
    fn make_room(&self, room: usize) -> io::Result<()> {
        let answers = room.saturating_mul(2);
        match setsockopt(&self.0, SndBufForce, &room) {
            Err(Errno::EPERM) => setsockopt(&self.0, SndBuf, &room)?,
            result => result?,
        }
        match setsockopt(&self.0, RcvBufForce, &answers) {
            Err(Errno::EPERM) => setsockopt(&self.0, RcvBuf, &answers)?,
            result => result?,
        }
        Ok(())
    }

    /// Discards the answers to an earlier transaction of which some were lost.
    fn forget_answers(&self) {
        let mut buffer = [0; ROOM];
        loop {
            match recv(raw(&self.0), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(_) | Err(Errno::EINTR | Errno::ENOBUFS) => {}
                Err(_) => return,
            }
        }
    }
}

/// What the kernel holds under the name of this table.
///
/// # Errors
/// The kernel has no nf_tables, this process may not read them, or they change during every dump.
pub fn read_back(table: TableId) -> io::Result<Held> {
    settled(|| dump_ours(table))
}

/// `None` when the tables changed during the dump.
fn dump_ours(table: TableId) -> io::Result<Option<Held>> {
    let mut held = Held::default();
    for question in readback::questions(table) {
        if !answered_if_there(&question, |datagram| held.take(table, datagram))? {
            return Ok(None);
        }
        if !held.is_there() {
            return Ok(Some(held));
        }
    }
    let sets = held.set_names();
    let elements = sets.iter().map(|set| readback::elements_question(table, set));
    for question in elements.chain([readback::rules_question(table)]) {
        if !answered_if_there(&question, |datagram| held.take(table, datagram))? {
            return Ok(None);
        }
    }
    Ok(Some(held))
}
