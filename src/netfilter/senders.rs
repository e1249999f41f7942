//! The edge of the table of senders: it makes it, and asks which control group opened a connection.

use std::io;
use std::os::fd::OwnedFd;

use netlink_bindings::nftables::SetelemListAttrs;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, NetlinkAddr, recvfrom, send};

use super::dump::Progress;
use super::encode::senders::question;
use super::encode::{NEW_ELEMENTS, Transaction};
use super::own::OwnSocket;
use super::socket::{is_whole, open, raw};
use super::{Malformed, NFGENMSG};
use crate::netlink::{ANSWER, messages};

pub use super::encode::senders::Opening;

/// Size of an answer: one element.
const LARGEST: usize = 4096;

/// The table in the kernel. It ends with this value, and with its process.
#[derive(Debug)]
pub struct Senders {
    /// It owns the table.
    _owner: OwnSocket,
    socket: OwnedFd,
    /// The number of the last question.
    asked: u32,
}

impl Senders {
    /// Makes the table.
    ///
    /// # Errors
    /// The kernel refuses it: it has no tables with owners (before 5.12), cannot tell the group of a socket (before 5.13),
    /// or holds a table of this name.
    pub fn make() -> io::Result<Self> {
        let owner = OwnSocket::open()?;
        owner.send(Transaction::senders())?;
        Ok(Self { _owner: owner, socket: open(0)?, asked: 0 })
    }

    /// The number of the control group that opened a connection; `None` if it was not noted.
    ///
    /// # Errors
    /// The socket to the kernel fails.
    pub fn group(&mut self, opening: &Opening) -> io::Result<Option<u64>> {
        self.asked = self.asked.wrapping_add(1);
        send(raw(&self.socket), &question(self.asked, opening), MsgFlags::empty())?;
        let (number, mut group) = (self.asked, None);
        let take = |datagram: &[u8]| {
            Ok(match answer(number, datagram)? {
                Answer::Group(found) => {
                    group = Some(found);
                    Progress::Done
                }
                Answer::Nothing => Progress::Done,
                Answer::Other => Progress::More,
            })
        };
        // The kernel has answered when `send` returns.
        let receive = |buffer: &mut [u8]| recvfrom::<NetlinkAddr>(raw(&self.socket), buffer);
        if is_whole(&mut [0; LARGEST], receive, take)? { Ok(group) } else { Err(Errno::ENOBUFS.into()) }
    }
}

/// What the kernel answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The number of a control group.
    Group(u64),
    /// The connection was not noted.
    Nothing,
    /// This is the answer to another question.
    Other,
}

/// The answer to the question of this number.
pub(crate) fn answer(number: u32, datagram: &[u8]) -> Result<Answer, Malformed> {
    for message in messages(datagram) {
        let message = message?;
        match message.message_type() {
            _ if message.sequence_number() != number => {}
            NEW_ELEMENTS => return group(message.payload()).map(Answer::Group),
            ANSWER => return Ok(Answer::Nothing),
            _ => {}
        }
    }
    Ok(Answer::Other)
}

/// The value of the first element. The kernel writes it as the machine keeps numbers.
fn group(payload: &[u8]) -> Result<u64, Malformed> {
    let list = SetelemListAttrs::new(payload.get(NFGENMSG..).ok_or(Malformed)?);
    let element = list.get_elements()?.get_elem().next().ok_or(Malformed)?;
    let value = element.get_data()?.get_value()?;
    value.try_into().map(u64::from_ne_bytes).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::{attribute, message};

    fn element(value: &[u8]) -> Vec<u8> {
        let data = attribute(2, &attribute(1, value));
        let key = attribute(1, &attribute(1, &[7; 20]));
        let list = attribute(3, &attribute(1, &[key, data].concat()));
        [&[1, 0, 0, 0][..], &list].concat()
    }

    #[test]
    fn the_answer_has_the_group_and_another_answer_is_none() {
        let found = message(NEW_ELEMENTS, 0, 5, &element(&77_u64.to_ne_bytes()));
        assert_eq!(answer(5, &found), Ok(Answer::Group(77)));
        assert_eq!(answer(6, &found), Ok(Answer::Other), "the answer to an earlier question");
        let absent = message(ANSWER, 0, 6, &(-2_i32).to_ne_bytes());
        assert_eq!(answer(6, &absent), Ok(Answer::Nothing));
        assert_eq!(answer(6, &[found.clone(), absent].concat()), Ok(Answer::Nothing));
        assert_eq!(answer(5, &message(NEW_ELEMENTS, 0, 5, &element(&[7; 4]))), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (answer(1, &bytes), answer(1, &message(NEW_ELEMENTS, 0, 1, &bytes)));
        }
    }
}
