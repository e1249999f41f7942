//! A container without Docker: a network namespace in a machine, behind a bridge or on a link itself. A
//! thread in it floods.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use crate::frame::TAG_MARK;
use crate::guard;
use crate::machine::Machine;
use crate::wait::{SLOWNESS, TIMEOUT, wait_until};

/// A bridge and addresses as Docker gives them to a container.
const BRIDGED: &str = "
    echo 1 >/proc/sys/net/ipv4/ip_forward
    ip netns add $1
    ip link add $2 type bridge
    ip address add 172.17.0.1/16 dev $2
    ip link add veth-$1 type veth peer name eth0 netns $1
    ip link set veth-$1 master $2
    ip link set veth-$1 up
    ip link set $2 up
    ip -n $1 link set lo up
    ip -n $1 address add 172.17.0.2/16 dev eth0
    ip -n $1 link set eth0 up
    ip -n $1 route add default via 172.17.0.1";

/// A link as of Docker's macvlan driver: on the first link of the laboratory, with an address of its LAN.
const MACVLAN: &str = "
    ip netns add $1
    ip link add link $2 name mv-$1 type macvlan mode bridge
    ip link set mv-$1 netns $1
    ip -n $1 link set mv-$1 name eth0
    ip -n $1 link set lo up
    ip netns exec $1 sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
    ip -n $1 address add 10.0.0.88/24 dev eth0
    ip -n $1 address add fd00:0:0:1::88/64 dev eth0 nodad
    ip -n $1 link set eth0 up
    ip -n $1 route add default via 10.0.0.1
    ip -n $1 route add ::/0 via fe80::1 dev eth0";

/// A network namespace of a machine.
#[derive(Debug, Clone)]
pub struct Container {
    machine: Machine,
    name: String,
}

/// A flood from a container. Dropping it stops it.
#[derive(Debug)]
pub struct ContainerFlood {
    over: Arc<AtomicBool>,
    tried: Arc<AtomicU64>,
    sender: Option<JoinHandle<Result<()>>>,
}

impl Machine {
    /// Makes a container behind its own bridge. This machine routes its packets.
    ///
    /// # Errors
    /// When the kernel refuses a name.
    pub fn bridged_container(&self, name: &str, bridge: &str) -> Result<Container> {
        self.container(name, BRIDGED, bridge)
    }

    /// Makes a container on a link itself. Only the link's egress hook sees its packets. No IP table does.
    ///
    /// # Errors
    /// When the kernel refuses a name, or the link.
    pub fn macvlan_container(&self, name: &str, link: &str) -> Result<Container> {
        self.container(name, MACVLAN, link)
    }

    fn container(&self, name: &str, script: &str, device: &str) -> Result<Container> {
        self.succeed(["sh", "-ec", script, "sh", name, device])?;
        Ok(Container { machine: self.clone(), name: name.to_owned() })
    }
}

impl Container {
    /// Runs `act` in a thread in this namespace.
    ///
    /// # Errors
    /// When the thread cannot enter the namespace, and those of `act`.
    pub fn enter<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let network = File::open(self.machine.outside(format!("/run/netns/{}", self.name)))?;
        self.machine.enter(|| {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            guard::refuse_own_namespace_of_thread()?;
            act()
        })
    }

    /// Sends a tagged datagram this many times per second to an address and port. It ignores refusals.
    ///
    /// # Errors
    /// When the thread cannot enter the namespace, or sends no packet within 30 seconds.
    pub fn flood(&self, target: &str, tag: &str, per_second: u32) -> Result<ContainerFlood> {
        let target: SocketAddr = target.parse().with_context(|| target.to_owned())?;
        let network = File::open(self.machine.outside(format!("/run/netns/{}", self.name)))?;
        let payload = format!("{TAG_MARK}{tag}");
        let (over, tried) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stop, count, machine) = (Arc::clone(&over), Arc::clone(&tried), self.machine.clone());
        let pour = move || {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            guard::refuse_own_namespace_of_thread()?;
            let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any)?;
            let (began, mut sent) = (Instant::now(), 0);
            while !stop.load(Ordering::Acquire) {
                // A refused packet counts as a try too.
                let _ = socket.send_to(payload.as_bytes(), target);
                sent += 1;
                count.store(sent, Ordering::Release);
                let due = began + Duration::from_secs(sent) * *SLOWNESS / per_second;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Ok(())
        };
        let sender = thread::spawn(move || machine.enter(pour));
        let flood = ContainerFlood { over, tried, sender: Some(sender) };
        flood.await_more(1)?;
        Ok(flood)
    }
}

impl ContainerFlood {
    /// Waits until the flood has tried to send `more` packets after this call.
    ///
    /// # Errors
    /// When the flood has stopped by itself, or is too slow.
    pub fn await_more(&self, more: u64) -> Result<()> {
        let goal = self.tried.load(Ordering::Acquire) + more;
        wait_until("the container's packets", TIMEOUT, || self.tried.load(Ordering::Acquire) >= goal)
    }
}

impl Drop for ContainerFlood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(sender) = self.sender.take() {
            let _ = sender.join();
        }
    }
}
