//! The kernel's own word on its tables: which generation they are in, and whose change made it.
//!
//! nf_tables counts a generation for every transaction, in whichever tables, and tells it with the
//! process behind it (`linux/netfilter/nf_tables.h`, `NFT_MSG_NEWGEN`). Tables of iptables-legacy are
//! not among them. The messages are read here, which is pure; [`socket`] is the edge.

mod held;
mod message;
pub(crate) mod removal;
pub mod socket;

pub use held::{HeldChain, HeldRule, HeldTable, Policy};

use netlink_packet_core::{NetlinkBuffer, NlaBuffer, NlasIterator};

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN`.
const NEW_GENERATION: u16 = 10 << 8 | 15;
/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN`.
const GET_GENERATION: u16 = 10 << 8 | 16;

/// `struct nfgenmsg`, before the attributes.
const NFGENMSG: usize = 4;

/// `NFTA_GEN_ID`, `NFTA_GEN_PROC_PID` and `NFTA_GEN_PROC_NAME`, the first two in network order.
const ID: u16 = 1;
const PROC_PID: u16 = 2;
const PROC_NAME: u16 = 3;

/// How often the tables have changed since this network was made; it goes round after 2³².
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u32);

impl Generation {
    /// Whether it came after `other`.
    pub fn is_after(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    /// How many came after `other`, up to this one.
    pub fn since(self, other: Self) -> u32 {
        self.0.wrapping_sub(other.0)
    }
}

impl From<u32> for Generation {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

/// A process as the kernel names it.
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
    /// The generation that it made.
    pub generation: Generation,
    /// Whose it was.
    pub by: Program,
}

/// A message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what netfilter says cannot be understood")]
pub struct Malformed;

/// The changes that a datagram tells of; other messages in it are passed over.
///
/// # Errors
/// [`Malformed`]: then something may have changed that nobody can name.
pub fn parse(mut datagram: &[u8]) -> Result<Vec<Change>, Malformed> {
    let mut changes = Vec::new();
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(datagram).map_err(|_| Malformed)?;
        if message.message_type() == NEW_GENERATION {
            changes.push(change(message.payload())?);
        }
        let length = usize::try_from(message.length()).map_err(|_| Malformed)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(changes)
}

fn change(payload: &[u8]) -> Result<Change, Malformed> {
    let (mut id, mut by) = (None, Program { name: String::new(), pid: 0 });
    for attribute in NlasIterator::new(payload.get(NFGENMSG..).ok_or(Malformed)?) {
        let attribute: NlaBuffer<&[u8]> = attribute.map_err(|_| Malformed)?;
        let value = attribute.value();
        let number = || value.try_into().map(u32::from_be_bytes).map_err(|_| Malformed);
        match attribute.kind() {
            ID => id = Some(Generation(number()?)),
            PROC_PID => by.pid = number()?,
            PROC_NAME => by.name = name(value),
            _ => {}
        }
    }
    Ok(Change { generation: id.ok_or(Malformed)?, by })
}

/// Any process may name itself as it likes.
fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()).min(15);
    let text = String::from_utf8_lossy(&bytes[..end]);
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// The question for the generation as it is now.
fn question() -> [u8; 20] {
    const NLM_F_REQUEST: u16 = 1;
    let mut message = [0; 20];
    let mut header = NetlinkBuffer::new(&mut message);
    header.set_length(20);
    header.set_message_type(GET_GENERATION);
    header.set_flags(NLM_F_REQUEST);
    message
}

#[cfg(test)]
mod tests;
