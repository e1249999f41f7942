//! The evidence: every frame that arrives at the ISP's end of a link.
//!
//! One packet socket receives the frames of all interfaces of the ISP. The host sent every frame that comes
//! *in* on an Ethernet link, also if the frame has another source address. Frames that the kernel had to drop
//! are an error, because "no frame was seen" would prove nothing then.

use std::io::{self, IoSliceMut};
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimeout, ReceiveTimestampns};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg,
    setsockopt, socket,
};
use nix::sys::time::{TimeSpec, TimeVal};

use crate::frame::Frame;
use crate::machine::Machine;
use crate::marker::Marker;
use crate::wait::{TIMEOUT, wait_until};

/// Size of the receive buffer: enough for half a minute of a fast flood.
const BUFFER: usize = 256 << 20;
/// Maximum size of a frame. veth delivers large frames that segmentation offload would split later.
const LARGEST: usize = 1 << 17;

/// Number of markers, one after the other. A frame behind a marker can wait in a queue, and so can its answer:
/// a request for the neighbour, its answer, the packet, and the answer to the packet.
const HOPS: usize = 4;

/// A running capture. Dropping it ends it.
#[derive(Debug)]
pub struct Capture {
    isp: Machine,
    socket: Arc<OwnedFd>,
    heard: Arc<Mutex<Heard>>,
    reader: Option<JoinHandle<Result<()>>>,
}

#[derive(Debug, Default)]
struct Heard {
    frames: Vec<Frame>,
    markers: Vec<String>,
    over: bool,
}

impl Capture {
    pub(crate) fn start(isp: &Machine) -> Result<Self> {
        let socket = Arc::new(isp.enter(packet_socket).context("a packet socket in the ISP")?);
        let heard = Arc::<Mutex<Heard>>::default();
        let reader = thread::spawn({
            let (socket, heard) = (Arc::clone(&socket), Arc::clone(&heard));
            move || listen(&socket, &heard)
        });
        Ok(Self { isp: isp.clone(), socket, heard, reader: Some(reader) })
    }

    /// Every frame that left the host before this call, and every answer of the kernels to a frame before it,
    /// in order.
    ///
    /// # Errors
    /// When the capture lost frames or has ended by itself.
    pub fn so_far(&self) -> Result<Vec<Frame>> {
        for _ in 0..HOPS {
            let marker = Marker::new();
            let expected = self.isp.enter(|| marker.send())?;
            wait_until("the capture's own marker", TIMEOUT, || {
                self.heard().markers.iter().filter(|tag| marker.is(tag)).count() >= expected
            })?;
        }
        let lost = dropped(&self.socket)?;
        ensure!(lost == 0, "the capture lost {lost} frames: it proves nothing");
        Ok(self.heard().frames.clone())
    }

    /// Waits until the capture has `count` frames for which `wanted` is true.
    ///
    /// # Errors
    /// When the frames do not arrive within `bound`.
    pub fn wait_for(
        &self,
        count: usize,
        bound: Duration,
        mut wanted: impl FnMut(&Frame) -> bool,
    ) -> Result<()> {
        wait_until(&format!("{count} frames of a kind in the capture"), bound, || {
            self.heard().frames.iter().filter(|frame| wanted(frame)).count() >= count
        })
    }

    /// Ends the capture. Returns every frame that left the host before this call.
    ///
    /// # Errors
    /// As [`Capture::so_far`].
    pub fn stop(mut self) -> Result<Vec<Frame>> {
        let frames = self.so_far()?;
        self.end()?;
        Ok(frames)
    }

    fn end(&mut self) -> Result<()> {
        self.heard().over = true;
        let Some(reader) = self.reader.take() else { return Ok(()) };
        reader.join().unwrap_or_else(|_| Err(anyhow!("the capture's reader panicked")))
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        lock(&self.heard)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn packet_socket() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
    setsockopt(&socket, RcvBufForce, &BUFFER)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    // The timeout lets the reader notice the end.
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(0, 50_000))?;
    Ok(socket)
}

fn listen(socket: &OwnedFd, heard: &Mutex<Heard>) -> Result<()> {
    let mut buffer = vec![0; LARGEST];
    while !lock(heard).over {
        let (length, from, at) = match receive(socket, &mut buffer) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENETDOWN) => continue,
            Err(error) => return Err(error).context("reading the capture"),
        };
        if from.pkttype() == libc::PACKET_OUTGOING {
            continue;
        }
        let frame = Frame::read(&buffer[..length], from.ifindex(), at);
        match from.hatype() {
            // The VPN server's tun is not Ethernet: its packets did not arrive in clear.
            libc::ARPHRD_ETHER => lock(heard).frames.push(frame),
            libc::ARPHRD_LOOPBACK => lock(heard).markers.extend(frame.tag),
            _ => {}
        }
    }
    Ok(())
}

/// One frame: its length, its interface, and the kernel's time of arrival.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> nix::Result<(usize, LinkAddr, SystemTime)> {
    let mut control = nix::cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let mut at = SystemTime::now();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmTimestampns(time) = control {
            at = SystemTime::UNIX_EPOCH + Duration::from(time);
        }
    }
    Ok((message.bytes, message.address.ok_or(Errno::EAGAIN)?, at))
}

/// Number of frames that the kernel has dropped since the last call.
#[expect(unsafe_code, reason = "no safe wrapper of PACKET_STATISTICS exists")]
fn dropped(socket: &OwnedFd) -> Result<u32> {
    let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length = libc::socklen_t::try_from(mem::size_of_val(&statistics))?;
    // SAFETY: both pointers are to live values, and `length` is the size of the first.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    ensure!(answer == 0, "PACKET_STATISTICS: {}", io::Error::last_os_error());
    Ok(statistics.tp_drops)
}
