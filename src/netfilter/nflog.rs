//! The kernel's lines about refused packets: NFLOG (`linux/netfilter/nfnetlink_log.h`). Pure.

use netlink_bindings::utils::IterableChunks;

use super::message::of_group;
use super::{Malformed, NFGENMSG};
use crate::netlink::{ACKNOWLEDGE, REQUEST, attribute, messages};

/// `NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET`, and the same with `NFULNL_MSG_CONFIG`.
const PACKET: u16 = 4 << 8;
const CONFIG: u16 = 4 << 8 | 1;

/// Attributes of a configuration: a command, and what of a packet is copied.
const COMMAND: u16 = 1;
const MODE: u16 = 2;
/// The attribute for the number of lines that the kernel keeps before it sends them. [`bind`] sets it to 1, because the
/// sender's socket may be gone soon.
const THRESHOLD: u16 = 5;
/// `NFULNL_CFG_CMD_BIND` and `NFULNL_COPY_PACKET`.
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;

/// Number of bytes that the kernel copies of each packet: a header of Ethernet and the headers of IPv6.
const COPIED: u32 = 128;

/// `NFPROTO_NETDEV`
const LINK: u8 = 5;

/// A line of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// Whether the hook is one of a link. Those have numbers of their own.
    pub of_link: bool,
    /// The text that the rule gives it.
    pub prefix: String,
    /// The number of the kernel's hook.
    pub hook: u8,
    /// The link that the packet came in on, by its index.
    pub input: Option<u32>,
    /// The link that it was to go out on.
    pub output: Option<u32>,
    /// The user id of its socket.
    pub uid: Option<u32>,
    /// The beginning of the packet.
    pub packet: Vec<u8>,
}

/// The request for the lines of a group. The kernel gives them to one socket alone.
pub(super) fn bind(group: u16) -> Vec<u8> {
    let mode = [&COPIED.to_be_bytes()[..], &[COPY_PACKET, 0]].concat();
    let attributes =
        [attribute(COMMAND, &[BIND]), attribute(MODE, &mode), attribute(THRESHOLD, &1_u32.to_be_bytes())]
            .concat();
    of_group(CONFIG, REQUEST | ACKNOWLEDGE, group, &attributes)
}

/// The lines in a datagram.
///
/// # Errors
/// [`Malformed`]
pub fn parse(datagram: &[u8]) -> Result<Vec<Line>, Malformed> {
    let mut lines = Vec::new();
    for message in messages(datagram) {
        let message = message?;
        if message.message_type() == PACKET {
            lines.push(line(message.payload())?);
        }
    }
    Ok(lines)
}

/// `NFULA_…`
fn line(payload: &[u8]) -> Result<Line, Malformed> {
    let mut line = Line { of_link: payload.first() == Some(&LINK), ..Line::default() };
    for (header, value) in IterableChunks::new(payload.get(NFGENMSG..).ok_or(Malformed)?) {
        let number = || value.try_into().ok().map(u32::from_be_bytes);
        match header.r#type {
            1 => line.hook = *value.get(2).ok_or(Malformed)?,
            4 => line.input = number(),
            5 => line.output = number(),
            9 => line.packet = value.to_vec(),
            10 => {
                let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
                line.prefix = String::from_utf8_lossy(text).into_owned();
            }
            11 => line.uid = number(),
            _ => {}
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_read() {
        let number = |kind, value: u32| attribute(kind, &value.to_be_bytes());
        let attributes = [
            attribute(1, &[8, 0, 3, 0]),
            number(5, 2),
            attribute(9, &[0x45, 1, 2]),
            attribute(10, b"tunwarden-no-vpn\0"),
            number(11, 1000),
        ];
        let datagram = of_group(PACKET, 0, 1, &attributes.concat());
        let line = Line {
            of_link: false,
            prefix: "tunwarden-no-vpn".to_owned(),
            hook: 3,
            input: None,
            output: Some(2),
            uid: Some(1000),
            packet: vec![0x45, 1, 2],
        };
        assert_eq!(parse(&datagram), Ok(vec![line]));
        assert_eq!(parse(b"nonsense"), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse(&bytes), line(&bytes));
        }
    }
}
