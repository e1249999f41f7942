//! Messages as the kernel writes them, and what is no message.

use netlink_packet_core::NetlinkBuffer;
use proptest::collection::vec;
use proptest::prelude::*;

use super::encode::NEW_CHAIN;
use super::*;

/// One attribute, padded.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    let payload = attributes.concat();
    let length = u32::try_from(16 + NFGENMSG + payload.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.resize(16 + NFGENMSG, 0);
    bytes.extend(payload);
    bytes
}

/// `NFTA_GEN_ID`, `NFTA_GEN_PROC_PID` and `NFTA_GEN_PROC_NAME`, the first two in network order.
const ID: u16 = 1;
const PROC_PID: u16 = 2;
const PROC_NAME: u16 = 3;

/// A message about a generation. The kernel ends a name with a zero byte.
fn generation(id: u32, pid: u32, name: &[u8]) -> Vec<u8> {
    let attributes = [
        attribute(ID, &id.to_be_bytes()),
        attribute(PROC_PID, &pid.to_be_bytes()),
        attribute(PROC_NAME, &[name, &[0]].concat()),
    ];
    message(NEW_GENERATION, &attributes)
}

fn change(id: u32, pid: u32, name: &str) -> Change {
    Change { generation: Generation(id), by: Program { name: name.to_owned(), pid } }
}

#[test]
fn an_unreadable_message_is_an_error() {
    let short = message(NEW_GENERATION, &[attribute(ID, &[1, 2])]);
    let nameless = message(NEW_GENERATION, &[attribute(PROC_NAME, b"nft\0")]);
    let mut cut = generation(7, 9, b"nft");
    cut.truncate(30);
    for bad in [&b"x"[..], &[0; 16], &short, &nameless, &cut] {
        assert_eq!(parse(bad), Err(Malformed), "{bad:?}");
    }
}

#[test]
fn only_a_policy_of_forward_in_the_table_filter_is_read() {
    let chain = |family: u8, table: &[u8], name: &[u8], policy: Option<u32>| {
        let mut attributes = vec![attribute(1, table), attribute(3, name)];
        attributes.extend(policy.map(|policy| attribute(5, &policy.to_be_bytes())));
        let mut bytes = message(NEW_CHAIN, &attributes);
        bytes[16] = family;
        // NLM_F_CREATE, in the second byte of the flags of `struct nlmsghdr`.
        bytes[6..8].copy_from_slice(&if family == 10 { 0x400_u16 } else { 0 }.to_ne_bytes());
        bytes
    };
    let datagram = [
        chain(2, b"filter\0", b"FORWARD\0", Some(0)),
        chain(10, b"filter\0", b"FORWARD\0", Some(1)),
        chain(2, b"filter\0", b"INPUT\0", Some(0)),
        chain(2, b"mine\0", b"FORWARD\0", Some(0)),
        chain(1, b"filter\0", b"FORWARD\0", Some(0)),
        chain(2, b"filter\0", b"FORWARD\0", None),
    ];
    let found = [(Family::V4, Policy::Drop, Request::Change), (Family::V6, Policy::Accept, Request::Create)];
    assert_eq!(forward_policies(&datagram.concat()), Ok(found.to_vec()));
    assert_eq!(forward_policies(&datagram[0][..40]), Err(Malformed));
}

#[test]
fn counters_that_are_set_to_zero_are_no_policy_that_a_program_wants() {
    let set = |name: &str, request| {
        let by = Program { name: name.to_owned(), pid: 7 };
        ForwardPolicy { family: Family::V4, policy: Policy::Drop, request, by }.is_wanted()
    };
    assert!(set("iptables", Request::Change) && set("iptables-nft", Request::Change), "iptables -P");
    assert!(set("nft", Request::Create) && set("python3", Request::Create));
    assert!(!set("iptables", Request::Create) && !set("ip6tables-nft", Request::Create), "iptables -Z");
}

#[test]
fn other_messages_are_ignored() {
    let rule = message(10 << 8 | 6, &[attribute(1, b"filter\0")]);
    let datagram = [rule.clone(), generation(7, 9, b"nft"), rule, generation(8, 10, b"iptables")].concat();
    assert_eq!(parse(&datagram), Ok(vec![change(7, 9, "nft"), change(8, 10, "iptables")]));
}

#[test]
fn a_name_is_harmless_text() {
    let of = |name: &[u8]| parse(&generation(1, 1, name)).unwrap()[0].by.name.clone();
    assert_eq!(of(b"a\x1b[31m\nb"), "a?[31m?b");
    assert_eq!(of(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    assert_eq!(of(b"12345678901234567890"), "123456789012345");
    assert_eq!(of(b""), "");
}

#[test]
fn generation_numbers_wrap_around() {
    let (last, first) = (Generation(u32::MAX), Generation(3));
    assert!(first.is_after(last) && !last.is_after(first) && !first.is_after(first));
    assert_eq!(first.since(last), 4);
}

#[test]
fn the_question_is_a_valid_message() {
    let question = question();
    let message = NetlinkBuffer::new_checked(&question[..]).unwrap();
    assert_eq!((message.message_type(), message.length()), (GET_GENERATION, 20));
}

proptest! {
    #[test]
    fn no_message_panics(bytes in vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn a_message_that_was_damaged_never_names_another_number_of_changes(
        id: u32, pid: u32, name in vec(1..=u8::MAX, 0..20), place: prop::sample::Index, byte: u8
    ) {
        let mut bytes = generation(id, pid, &name);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        prop_assert!(parse(&bytes).map_or(0, |changes| changes.len()) <= 1);
    }

    #[test]
    fn what_was_written_is_read(all in vec((any::<u32>(), any::<u32>(), "[a-z]{1,15}"), 0..5)) {
        let datagram: Vec<u8> =
            all.iter().flat_map(|(id, pid, name)| generation(*id, *pid, name.as_bytes())).collect();
        let changes: Vec<Change> = all.iter().map(|(id, pid, name)| change(*id, *pid, name)).collect();
        prop_assert_eq!(parse(&datagram), Ok(changes));
    }
}

#[test]
fn a_dump_that_is_cut_or_that_tables_change_during_is_read_again() {
    use std::cell::Cell;

    use super::socket::repeated;
    let generation = Cell::new(7);
    let now = || Ok(Some(Generation(generation.get())));
    // What each dump answers, and the generation after it. `None` is a cut answer: ENOBUFS or NLM_F_DUMP_INTR.
    let read = |dumps: &[(Option<&'static str>, u32)]| {
        let mut dumps = dumps.iter();
        generation.set(7);
        let result = repeated(now, || {
            let (answer, after) = dumps.next().ok_or_else(|| std::io::Error::other("one dump too many"))?;
            generation.set(*after);
            Ok(*answer)
        });
        (result.map_err(|error| error.to_string()), dumps.len())
    };
    assert_eq!(read(&[(Some("whole"), 7), (Some("later"), 7)]), (Ok("whole"), 1));
    assert_eq!(read(&[(None, 7), (Some("changed"), 8), (Some("whole"), 8)]), (Ok("whole"), 0));
    let changing: Vec<_> = (8..30).map(|after| (Some("changed"), after)).collect();
    let (result, left) = read(&changing);
    assert_eq!(result, Err("the tables change faster than they can be read".to_owned()));
    assert!(left > 0, "it never gives up");
    assert_eq!(read(&[]).0, Err("one dump too many".to_owned()), "an error is no cut answer");
}

#[test]
fn a_cut_answer_is_read_again_and_a_signal_ends_no_answer() {
    use nix::errno::Errno;
    use nix::sys::socket::NetlinkAddr;

    use super::dump::Progress;
    use super::socket::is_whole;
    let take = |datagram: &[u8]| match datagram {
        b"more" => Ok(Progress::More),
        b"done" => Ok(Progress::Done),
        b"changed" => Ok(Progress::Again),
        b"refused" => Ok(Progress::Refused(Errno::EPERM as i32)),
        _ => Err(Malformed),
    };
    // What the socket gives, each with the port of its sender; the result, and how much was not read.
    let read = |events: &[Result<(&str, u32), Errno>]| {
        let mut events = events.iter();
        let receive = |buffer: &mut [u8]| {
            let (text, port) = (*events.next().ok_or(Errno::EAGAIN)?)?;
            buffer[..text.len()].copy_from_slice(text.as_bytes());
            Ok((text.len(), Some(NetlinkAddr::new(port, 0))))
        };
        let result = is_whole(&mut [0; 16], receive, take).map_err(|error| error.raw_os_error());
        (result, events.len())
    };
    let of_kernel = |text| Ok((text, 0));
    let (more, done) = (of_kernel("more"), of_kernel("done"));
    assert_eq!(read(&[Err(Errno::EINTR), more, Err(Errno::EINTR), done]), (Ok(true), 0));
    assert_eq!(read(&[more, Err(Errno::ENOBUFS), done]), (Ok(false), 1), "more than the socket could keep");
    assert_eq!(read(&[more, of_kernel("changed"), done]), (Ok(false), 1), "NLM_F_DUMP_INTR");
    assert_eq!(read(&[Ok(("refused", 7)), done]), (Ok(true), 0), "of another process");
    for (last, error) in [
        (of_kernel("refused"), Some(Errno::EPERM as i32)),
        (Err(Errno::ENOMEM), Some(Errno::ENOMEM as i32)),
        (of_kernel("mor"), None),
    ] {
        assert_eq!(read(&[more, last, done]), (Err(error), 1), "{last:?}");
    }
}

#[test]
fn changes_that_the_socket_could_not_keep_are_unknown_and_take_no_policy_with_them() {
    use nix::errno::Errno;
    use nix::sys::socket::NetlinkAddr;

    use super::socket::{Received, understood};
    let datagram = generation(7, 42, b"nft");
    let of = |result| {
        let mut policies = vec![(crate::net::Family::V4, Policy::Drop, Request::Change)];
        let received = understood(result, &datagram, &mut policies).map_err(|error| error.raw_os_error());
        (received, policies.len())
    };
    let by = |port| Ok((datagram.len(), Some(NetlinkAddr::new(port, 0))));
    assert_eq!(of(Err(Errno::ENOBUFS)), (Ok(Received::Unknown), 0));
    let (received, left) = of(by(0));
    assert!(matches!(&received, Ok(Received::Changes(changes, set)) if changes.len() == 1 && set.len() == 1));
    assert_eq!(left, 0, "the control: {received:?}");
    assert_eq!(of(by(9)), (Ok(Received::Changes(Vec::new(), Vec::new())), 1), "of another process");
    assert_eq!(of(Err(Errno::EAGAIN)), (Err(Some(Errno::EAGAIN as i32)), 1));
}
