//! Decides which bytes from the bus are passed on. Pure.
//!
//! The stream begins with one line of text, which ends the authentication. Messages follow, one after the other (D-Bus
//! specification, "Message Format").
//!
//! zbus reads a whole message, of up to 128 MiB, before it checks who sent it, and has no setting for this. So this
//! file reads the lengths before zbus gets the bytes.

/// The number of bytes that every message has: its fixed part, and the length of its header fields.
const FIXED: usize = 16;

/// Maximum length of a call in bytes. A hook's report has 500, and every other call has fewer.
const MAX_CALL: u64 = 16 << 10;

/// Maximum length of any other message in bytes. Answers and signals of NetworkManager with thousands of profiles are
/// shorter.
const MAX_OTHER: u64 = 4 << 20;

/// The type of a message that is a call.
const CALL: u8 = 1;

/// The next step of the reader of the bus.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Give the bytes that are ready to the caller.
    Give,
    /// Read at most this many bytes directly into the caller's buffer.
    Pass(usize),
    /// Read at most this many bytes and hand them to [`MessageFilter::take`].
    Take(usize),
}

#[derive(Debug)]
enum State {
    /// The line that ends the authentication.
    Line,
    /// The first bytes of a message.
    Start,
    /// The header of a message whose body is left out. `length` and `body` are in bytes.
    Header { length: usize, body: u64 },
    /// The rest of a message that is passed on, in bytes.
    Passing(u64),
    /// The rest of a message that is left out, in bytes.
    LeavingOut(u64),
}

#[derive(Debug)]
pub(super) struct MessageFilter {
    state: State,
    /// The bytes of the current message that are not passed on yet.
    taken: Vec<u8>,
    /// The bytes that are ready for the caller.
    ready: Vec<u8>,
}

impl Default for MessageFilter {
    fn default() -> Self {
        Self { state: State::Line, taken: Vec::new(), ready: Vec::new() }
    }
}

impl MessageFilter {
    pub(super) fn next(&self) -> Next {
        if !self.ready.is_empty() {
            return Next::Give;
        }
        match self.state {
            State::Line => Next::Take(1),
            State::Start => Next::Take(FIXED - self.taken.len()),
            State::Header { length, .. } => Next::Take(length - self.taken.len()),
            State::Passing(rest) => Next::Pass(usize::try_from(rest).unwrap_or(usize::MAX)),
            State::LeavingOut(rest) => Next::Take(usize::try_from(rest).unwrap_or(usize::MAX)),
        }
    }

    /// Moves ready bytes into the buffer. Returns how many.
    pub(super) fn give(&mut self, buffer: &mut [u8]) -> usize {
        let length = self.ready.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.ready.drain(..length)) {
            *to = from;
        }
        length
    }

    /// Notes that this many bytes were passed on.
    pub(super) fn passed(&mut self, length: usize) {
        if let State::Passing(rest) = self.state {
            self.state = State::passing(rest.saturating_sub(length as u64));
        }
    }

    /// Takes bytes of the stream: at most as many as [`MessageFilter::next`] asked for.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        match self.state {
            State::Line => {
                self.ready.extend(bytes);
                if bytes.ends_with(b"\n") {
                    self.state = State::Start;
                }
            }
            State::Start => {
                self.taken.extend(bytes);
                if let Ok(start) = <[u8; FIXED]>::try_from(&*self.taken) {
                    self.begin(&start);
                }
            }
            State::Header { length, body } => {
                self.taken.extend(bytes);
                if self.taken.len() == length {
                    // The header now says that the length of the body is 0.
                    self.taken[4..8].fill(0);
                    self.ready = std::mem::take(&mut self.taken);
                    self.state = State::leaving_out(body);
                }
            }
            State::LeavingOut(rest) => {
                self.state = State::leaving_out(rest.saturating_sub(bytes.len() as u64));
            }
            State::Passing(_) => {}
        }
    }

    fn begin(&mut self, start: &[u8; FIXED]) {
        let number = |at: usize| {
            let bytes = [start[at], start[at + 1], start[at + 2], start[at + 3]];
            u64::from(if start[0] == b'B' { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
        };
        let (body, header) = (number(4), (FIXED as u64 + number(12)).next_multiple_of(8));
        let most = if start[1] == CALL { MAX_CALL } else { MAX_OTHER };
        let rest = header + body - FIXED as u64;
        if header + body <= most {
            self.ready = std::mem::take(&mut self.taken);
            self.state = State::passing(rest);
        } else if header <= MAX_CALL {
            tracing::debug!("left out the body of a message of {} bytes", header + body);
            let length = usize::try_from(header).unwrap_or(FIXED);
            self.state = State::Header { length, body };
            // A header without fields is complete.
            self.take(&[]);
        } else {
            tracing::debug!("left out a message of {} bytes", header + body);
            self.taken.clear();
            self.state = State::leaving_out(rest);
        }
    }
}

impl State {
    fn passing(rest: u64) -> Self {
        if rest == 0 { Self::Start } else { Self::Passing(rest) }
    }

    fn leaving_out(rest: u64) -> Self {
        if rest == 0 { Self::Start } else { Self::LeavingOut(rest) }
    }
}

/// The bytes that are passed on if they are read in steps of at most `step`, and the largest number of bytes that were
/// stored at once.
#[cfg(any(test, fuzzing))]
pub(crate) fn passed_on(bytes: &[u8], step: usize) -> (Vec<u8>, usize) {
    let (mut filter, mut rest, mut out, mut most) = (MessageFilter::default(), bytes, Vec::new(), 0);
    loop {
        let mut buffer = vec![0; step];
        match filter.next() {
            Next::Give => {
                let length = filter.give(&mut buffer);
                out.extend(&buffer[..length]);
            }
            Next::Pass(_) | Next::Take(_) if rest.is_empty() => return (out, most),
            Next::Pass(length) => {
                let (now, later) = rest.split_at(length.min(step).min(rest.len()));
                out.extend(now);
                filter.passed(now.len());
                rest = later;
            }
            Next::Take(length) => {
                assert!(length > 0, "a reader would take it for the end of the stream");
                let (now, later) = rest.split_at(length.min(step).min(rest.len()));
                filter.take(now);
                rest = later;
            }
        }
        most = most.max(filter.ready.capacity() + filter.taken.capacity());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message of this type, with header fields and a body of these lengths.
    fn message(kind: u8, fields: usize, body: usize) -> Vec<u8> {
        let length = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
        let mut bytes = vec![b'l', kind, 0, 1];
        bytes.extend(length(body));
        bytes.extend(7_u32.to_le_bytes());
        bytes.extend(length(fields));
        bytes.extend(vec![b'f'; fields]);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend(vec![b'b'; body]);
        bytes
    }

    #[test]
    fn a_message_that_is_too_large_loses_its_body_and_the_next_is_whole() {
        let (huge, next) = (message(CALL, 100, 1 << 20), message(CALL, 90, 200));
        let stream = [b"OK 1234\r\n", &huge[..], &next].concat();
        for step in [1, 7, 4096] {
            let (out, kept) = passed_on(&stream, step);
            assert!(
                out == [b"OK 1234\r\n", &message(CALL, 100, 0)[..], &next].concat(),
                "in steps of {step}"
            );
            assert!(kept < 4096, "{kept} bytes were kept");
        }
    }

    #[test]
    fn a_message_whose_header_is_too_large_is_left_out() {
        let stream = [b"OK\r\n", &message(4, 1 << 23, 5)[..], &message(CALL, 90, 200)].concat();
        let (out, kept) = passed_on(&stream, 4096);
        assert!(out == [b"OK\r\n", &message(CALL, 90, 200)[..]].concat());
        assert!(kept < 4096, "{kept} bytes were kept");
    }

    #[test]
    fn answers_may_be_larger_than_calls() {
        for (kind, body, whole) in [(CALL, 1 << 20, false), (2, 1 << 20, true), (4, 5 << 20, false)] {
            let (out, _) = passed_on(&[b"\n", &message(kind, 40, body)[..]].concat(), 4096);
            assert_eq!(out.len() > body, whole, "type {kind}");
        }
    }

    #[test]
    fn a_large_message_without_header_fields_loses_its_body() {
        let stream = [b"OK\r\n", &message(CALL, 0, 1 << 20)[..], &message(CALL, 90, 200)].concat();
        let (out, _) = passed_on(&stream, 4096);
        assert!(out == [b"OK\r\n", &message(CALL, 0, 0)[..], &message(CALL, 90, 200)].concat());
    }

    #[test]
    fn impossible_lengths_do_not_overflow() {
        for first in [b'l', b'B', b'x'] {
            let mut bytes = vec![b'\n', first, 1, 0, 1];
            bytes.extend([0xff; 12]);
            bytes.extend([0; 64]);
            assert_eq!(passed_on(&bytes, 16).0, b"\n");
        }
    }

    proptest! {
        #[test]
        fn small_messages_pass_unchanged(
            messages in prop::collection::vec((1_u8..=4, 0_usize..300, 0_usize..300), 0..6),
            step in 1_usize..500,
        ) {
            let messages = messages.into_iter().map(|(kind, fields, body)| message(kind, fields, body));
            let stream = [&b"OK 1\r\n"[..]].map(<[u8]>::to_vec).into_iter().chain(messages).collect::<Vec<_>>();
            let stream = stream.concat();
            prop_assert_eq!(passed_on(&stream, step).0, stream);
        }
    }
}
