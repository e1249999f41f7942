//! One question to the kernel about a WireGuard device, over generic netlink.

use std::ffi::CStr;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_bindings::nlctrl::OpGetfamilyDo;
use netlink_bindings::wireguard::OpGetDeviceDump;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::Reading;
use super::text::endpoint;
use crate::net::{OwnKey, PeerKey};
use crate::netlink::{ANSWER, DONE, DUMP, REQUEST, error_number, message, messages};
use crate::vpn::Handshake;

/// `GENL_ID_CTRL`, the family that knows the others.
const CONTROL: u16 = 0x10;

/// The families of the kernel's own WireGuard and of AmneziaWG, whose first attributes are the same.
const FAMILIES: [&CStr; 2] = [c"wireguard", c"amneziawg"];

/// Maximum size of a datagram of a dump.
const LARGEST: usize = 1 << 17;

/// How long the kernel may take to answer, in seconds.
const ANSWER_TIMEOUT: i64 = 2;

/// What the kernel says of the device with this index. It needs CAP_NET_ADMIN.
pub(super) fn ask(index: u32) -> io::Result<Reading> {
    let socket = open()?;
    let [first, second] = FAMILIES;
    // The device may belong to the other family.
    ask_family(&socket, first, index).or_else(|_| ask_family(&socket, second, index))
}

fn ask_family(socket: &OwnedFd, name: &CStr, index: u32) -> io::Result<Reading> {
    let mut question = Vec::new();
    OpGetfamilyDo::encode_request(&mut question).push_family_name(name);
    let mut family = None;
    exchange(socket, &message(CONTROL, REQUEST, 1, &question), &mut |payload| {
        family = OpGetfamilyDo::decode_request(payload).get_family_id().ok();
        Progress::Done
    })?;
    let family = family.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let mut question = Vec::new();
    OpGetDeviceDump::encode_request(&mut question).push_ifindex(index);
    let mut reading = Reading::default();
    exchange(socket, &message(family, REQUEST | DUMP, 2, &question), &mut |payload| {
        take(&mut reading, payload);
        Progress::More
    })?;
    Ok(reading)
}

/// Takes one message of a dump. A large device has its peers in several messages, and one peer may have its networks in
/// several.
pub(crate) fn take(reading: &mut Reading, payload: &[u8]) {
    let device = OpGetDeviceDump::decode_request(payload);
    if let Ok(mark) = device.get_fwmark() {
        reading.mark = NonZeroU32::new(mark);
    }
    if let Ok(own) = device.get_private_key() {
        reading.own = OwnKey::try_from(own).ok();
    }
    for one in device.get_peers().into_iter().flatten() {
        let key = one.get_public_key().ok().and_then(|key| PeerKey::try_from(key).ok());
        let Some(peer) = key.and_then(|key| reading.peer(key)) else { continue };
        if let Ok(address) = one.get_endpoint() {
            peer.endpoint = endpoint(address);
        }
        if let Ok(time) = one.get_last_handshake_time() {
            let (seconds, rest) = (time.sec, time.nsec);
            peer.traffic.handshake = Handshake::given(seconds, rest);
        }
        peer.traffic.sent = one.get_tx_bytes().unwrap_or(peer.traffic.sent);
        peer.traffic.received = one.get_rx_bytes().unwrap_or(peer.traffic.received);
        for network in one.get_allowedips().into_iter().flatten() {
            network.get_cidr_mask().into_iter().for_each(|length| peer.route(length));
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    let socket =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkGeneric)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_TIMEOUT))?;
    Ok(socket)
}

/// Whether more messages of an answer follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

/// Sends a request, and hands over the payload of each message of the answer.
fn exchange(socket: &OwnedFd, request: &[u8], take: &mut dyn FnMut(&[u8]) -> Progress) -> io::Result<()> {
    let sequence = messages(request).flatten().next().map(|message| message.sequence_number());
    send(socket.as_raw_fd(), request, MsgFlags::empty())?;
    let mut buffer = vec![0; LARGEST];
    loop {
        let (length, from) = recvfrom::<NetlinkAddr>(socket.as_raw_fd(), &mut buffer)?;
        // Port 0 is the kernel. Other processes may send to a netlink socket too.
        if from.is_none_or(|from| from.pid() != 0) {
            continue;
        }
        for message in messages(buffer.get(..length).unwrap_or_default()) {
            let message = message.map_err(io::Error::other)?;
            if Some(message.sequence_number()) != sequence {
                continue;
            }
            match message.message_type() {
                ANSWER | DONE => return refusal(message.payload()),
                _ if take(message.payload()) == Progress::Done => return Ok(()),
                _ => {}
            }
        }
    }
}

/// Both the end of a dump and an error begin with a negated `errno`, or 0.
fn refusal(payload: &[u8]) -> io::Result<()> {
    match error_number(payload) {
        None | Some(0..) => Ok(()),
        Some(code) => Err(Errno::from_raw(code.saturating_neg()).into()),
    }
}
