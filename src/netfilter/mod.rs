//! What the kernel itself reports about its tables: their generation, which process made it, and what they hold. And
//! the messages that make our own tables.
//!
//! nf_tables counts a generation for every transaction in any table. It reports the generation together with the
//! process that made the change (`linux/netfilter/nf_tables.h`, `NFT_MSG_NEWGEN`). It reports nothing about the
//! tables of iptables-legacy. The modules here read and write messages and are pure; [`socket`] and
//! [`own`] are the edge.

mod dump;
pub mod encode;
pub(crate) mod held;
pub(crate) mod listing;
mod message;
mod native;
pub mod nflog;
pub mod nflog_socket;
pub mod own;
pub mod probe_tables;
pub mod readback;
pub(crate) mod removal;
pub mod senders;
pub mod socket;

pub use held::{HeldChain, HeldRule, HeldTable, Policy};

use std::ffi::CStr;

use netlink_bindings::nftables::GenAttrs;
use netlink_bindings::utils::ErrorContext;

use crate::net::Family;
use crate::netlink::{REQUEST, Truncated, messages};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN`.
const NEW_GENERATION: u16 = 10 << 8 | 15;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN`.
const GET_GENERATION: u16 = 10 << 8 | 16;

/// `struct nfgenmsg`, before the attributes.
const NFGENMSG: usize = 4;

/// Number of changes of the tables since this network namespace was made. It starts again after 2³².
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u32);

impl Generation {
    /// Whether it came after `other`.
    pub fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// Number of generations after `other`, up to this one.
    pub fn since(self, other: Self) -> u32 {
        self.0.wrapping_sub(other.0)
    }
}

impl From<u32> for Generation {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

/// A process, with the name that the kernel has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its name: at most 15 bytes, without control characters.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The generation after it.
    pub generation: Generation,
    /// The process that made it.
    pub by: Program,
}

/// A policy that a program gave to the chain `FORWARD` of iptables' table `filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardPolicy {
    /// IPv4 or IPv6.
    pub family: Family,
    /// The policy, which may be the one that it had.
    pub policy: Policy,
    /// How it was given.
    pub request: Request,
    /// The process that gave it.
    pub by: Program,
}

/// How a program gives a policy to a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// It changes a chain that must be there, as `iptables -P` does. Kernels before 5.15 report this of every request.
    Change,
    /// It makes the chain, or changes it if it is there (`NLM_F_CREATE`), as `iptables -Z`, iptables-restore and nft do.
    Create,
}

/// A policy of `FORWARD` before it is known which program has given it.
type Given = (Family, Policy, Request);

/// A message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read a message of netfilter")]
pub struct Malformed;

impl From<Truncated> for Malformed {
    fn from(_: Truncated) -> Self {
        Self
    }
}

impl From<ErrorContext> for Malformed {
    fn from(_: ErrorContext) -> Self {
        Self
    }
}

/// The changes that a datagram reports. Other messages in it are ignored.
///
/// # Errors
/// [`Malformed`]: then there may have been a change whose program is not known.
pub fn parse(datagram: &[u8]) -> Result<Vec<Change>, Malformed> {
    let mut changes = Vec::new();
    for message in messages(datagram) {
        let message = message?;
        if message.message_type() == NEW_GENERATION {
            changes.push(change(message.payload())?);
        }
    }
    Ok(changes)
}

/// The policies that a datagram gives to `FORWARD` of the table `filter`. The generation that follows names the process.
///
/// # Errors
/// [`Malformed`]
fn forward_policies(datagram: &[u8]) -> Result<Vec<Given>, Malformed> {
    let mut found = Vec::new();
    for message in messages(datagram) {
        let message = message?;
        if message.message_type() == encode::NEW_CHAIN {
            let request =
                if message.flags() & encode::CREATE == 0 { Request::Change } else { Request::Create };
            let policy = held::forward_policy(message.payload())?;
            found.extend(policy.map(|(family, policy)| (family, policy, request)));
        }
    }
    Ok(found)
}

impl ForwardPolicy {
    /// Whether the program wants this policy. iptables-restore is left out: its restores have or remove the mark of our
    /// policy. So is `iptables -Z`, which sends the policy that a chain has.
    pub fn is_wanted(&self) -> bool {
        let is_iptables =
            ["iptables", "ip6tables", "xtables"].iter().any(|name| self.by.name.starts_with(name));
        self.request == Request::Change || !is_iptables
    }
}

fn change(payload: &[u8]) -> Result<Change, Malformed> {
    let attributes = GenAttrs::new(payload.get(NFGENMSG..).ok_or(Malformed)?);
    let name = attributes.get_proc_name().map(name).unwrap_or_default();
    let by = Program { name, pid: attributes.get_proc_pid().unwrap_or_default() };
    Ok(Change { generation: Generation(attributes.get_id()?), by })
}

/// Any process can give itself any name.
fn name(name: &CStr) -> String {
    let bytes = name.to_bytes();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(15)]);
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// The request for the generation as it is now.
fn question() -> Vec<u8> {
    message::message(GET_GENERATION, 0, REQUEST, 0, &[])
}

#[cfg(test)]
mod tests;
