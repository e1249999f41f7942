//! The datagrams of a dump, message by message. Pure.

use super::Malformed;
use crate::netlink::{ANSWER, DONE, INTERRUPTED, error_number, messages};

/// How far the reading of a dump is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More follows.
    More,
    /// That was all.
    Done,
    /// The tables changed during the dump, so it must be read again.
    Again,
    /// The kernel refused it, with this error number.
    Refused(i32),
}

/// Gives each message of a datagram to `take`, by its type and with its payload, until the dump ends.
///
/// # Errors
/// [`Malformed`], and the errors of `take`.
pub(super) fn read(
    datagram: &[u8],
    mut take: impl FnMut(u16, &[u8]) -> Result<(), Malformed>,
) -> Result<Progress, Malformed> {
    for message in messages(datagram) {
        let message = message?;
        if message.flags() & INTERRUPTED != 0 {
            return Ok(Progress::Again);
        }
        let payload = message.payload();
        let number = || error_number(payload).ok_or(Malformed);
        match message.message_type() {
            DONE => {
                return Ok(match number()? {
                    error @ ..0 => Progress::Refused(error.saturating_neg()),
                    _ => Progress::Done,
                });
            }
            ANSWER => return Ok(Progress::Refused(number()?.saturating_neg())),
            kind => take(kind, payload)?,
        }
    }
    Ok(Progress::More)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::message;

    /// `ENOMEM`
    const ERROR: i32 = 12;

    #[test]
    fn a_dump_that_ends_with_an_error_is_refused() {
        let take = |datagram: &[u8]| read(datagram, |_, _| Ok(()));
        for (number, wanted) in [(0, Progress::Done), (-ERROR, Progress::Refused(ERROR))] {
            assert_eq!(take(&message(DONE, 2, 1, &i32::to_ne_bytes(number))), Ok(wanted));
        }
        assert_eq!(take(&message(DONE, 2, 1, &[])), Err(Malformed), "no number");
        let refusal = message(ANSWER, 0, 1, &i32::to_ne_bytes(-ERROR));
        assert_eq!(take(&refusal), Ok(Progress::Refused(ERROR)));
    }

    #[test]
    fn each_message_is_given_until_the_end() {
        let mut kinds = Vec::new();
        let end = message(DONE, 2, 1, &[0; 4]);
        let dump = [message(7, 2, 1, &[]), message(8, 2, 1, &[]), end, message(9, 2, 1, &[])].concat();
        let progress = read(&dump, |kind, _| {
            kinds.push(kind);
            Ok(())
        });
        assert_eq!((progress, kinds), (Ok(Progress::Done), vec![7, 8]));
        let changed = message(7, INTERRUPTED, 1, &[]);
        assert_eq!(read(&changed, |_, _| Err(Malformed)), Ok(Progress::Again));
    }
}
