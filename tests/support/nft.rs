//! Tools between the agent and its rules: fake firewall programs, sockets that own its tables, and a stopped thread.

#![allow(clippy::disallowed_methods, reason = "a test finds the agent's threads and sockets in /proc")]

use std::fmt::Write;
use std::fs;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use tunwarden::netfilter::encode::Transaction;
use tunwarden::netfilter::own::OwnSocket;
use tunwarden::policy::nftables::{Found, NftFamily, NftTable, Owner};
use tunwarden_lab::{Lab, Process};

/// `NETLINK_NETFILTER`
const NETFILTER: &str = "12";

/// Copies of the sockets that make this agent the owner of its tables. The tables keep their owner while the copies are
/// open: after the agent is killed, the kernel refuses every change by any other program. Sockets that only ask the
/// kernel questions are among them.
pub fn owner_of(agent: &Process) -> Result<Vec<OwnSocket>> {
    let numbers = own_sockets(agent.id())?;
    anyhow::ensure!(!numbers.is_empty(), "the agent has no socket for its tables");
    let id = i32::try_from(agent.id()).ok().and_then(Pid::from_raw).context("no process id")?;
    let process = pidfd_open(id, PidfdFlags::empty())?;
    let copies = numbers.into_iter().map(|number| {
        let copy: OwnedFd = pidfd_getfd(&process, number, PidfdGetfdFlags::empty())?;
        Ok(OwnSocket::from_fd(copy))
    });
    copies.collect()
}

/// The file descriptors of a process's netfilter sockets, except those that have subscribed to changes or that receive
/// lines about refused packets.
fn own_sockets(id: u32) -> Result<Vec<i32>> {
    let rows = |name: &str| -> Result<Vec<Vec<String>>> {
        let table = fs::read_to_string(format!("/proc/{id}/net/{name}"))?;
        Ok(table.lines().map(|line| line.split_whitespace().map(ToOwned::to_owned).collect()).collect())
    };
    // This list comes first: a listener that opens between the two reads is then only in the second list.
    let sockets = rows("netlink")?;
    // The second number of a listener is its port. A kernel without NFLOG has no such file.
    let listeners = rows("netfilter/nfnetlink_log").unwrap_or_default();
    let heard: Vec<String> = listeners.into_iter().filter_map(|row| row.get(1).cloned()).collect();
    let has = |row: &[String], at: usize, value: &str| row.get(at).is_some_and(|cell| cell == value);
    let ours = sockets.iter().filter(|row| has(row, 1, NETFILTER) && has(row, 3, "00000000"));
    let ours = ours.filter(|row| row.get(2).is_none_or(|port| !heard.contains(port)));
    let names: Vec<String> =
        ours.filter_map(|row| row.last().map(|inode| format!("socket:[{inode}]"))).collect();
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{id}/fd"))? {
        let path = entry?.path();
        let Ok(target) = fs::read_link(&path) else { continue };
        if names.iter().any(|name| target.to_string_lossy() == *name) {
            let number = path.file_name().and_then(|name| name.to_str()).context("no number")?;
            found.push(number.parse()?);
        }
    }
    Ok(found)
}

/// Another socket that owns tables with our names, without a rule in them. The kernel refuses every change of them
/// until the socket is closed, and the tables stay after that.
pub fn another_owner(lab: &Lab) -> Result<OwnSocket> {
    lab.host().enter(|| {
        let socket = OwnSocket::open()?;
        let mut transaction = Transaction::default();
        for family in [NftFamily::Inet, NftFamily::Netdev] {
            let table = NftTable { family, owner: Owner::Maker, sets: Vec::new(), chains: Vec::new() };
            transaction.replace(&table, Found::Absent);
        }
        ensure!(socket.send(transaction)?, "nothing was committed");
        Ok(socket)
    })
}

/// Adds as many hooks of other tables to a device as the kernel allows.
pub fn fill(lab: &Lab, device: &str) -> Result<()> {
    fill_all_but(lab, device, 0)
}

/// The same, but leaves room for `free` hooks. The kernel allows 1024 (`MAX_HOOK_COUNT`).
pub fn fill_all_but(lab: &Lab, device: &str, free: usize) -> Result<()> {
    for table in 0..16 {
        let mut text = format!("table netdev {device}_{table} {{\n");
        for chain in 0..64 {
            let priority = table * 64 + chain;
            if priority < free {
                continue;
            }
            let hook = format!("type filter hook egress device \"{device}\" priority {priority}");
            writeln!(text, "chain c{chain} {{ {hook}; policy accept; }}")?;
        }
        text.push_str("}\n");
        lab.host().command(["nft", "-f", "-"]).stdin(&text).succeed()?;
    }
    Ok(())
}

/// The agent's thread that talks to nf_tables, stopped as if its system call did not return. The thread continues when
/// this value is dropped.
pub struct Stopped {
    end: Option<Sender<()>>,
    tracer: Option<JoinHandle<()>>,
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.end.take();
        self.tracer.take().map(JoinHandle::join);
    }
}

/// Stops only the agent's thread that talks to nf_tables.
pub fn stop_thread(agent: &Process) -> Result<Stopped> {
    let thread = own_thread(agent.id())?;
    let (end, ends) = channel::<()>();
    let (stopped, is_stopped) = channel();
    // Only the thread that stopped the other one by ptrace can let it continue.
    let tracer = std::thread::spawn(move || {
        let stop = ptrace::seize(thread, ptrace::Options::empty())
            .and_then(|()| ptrace::interrupt(thread))
            .and_then(|()| waitpid(thread, Some(WaitPidFlag::__WALL)));
        let _ = stopped.send(stop);
        let _ = ends.recv();
        let _ = ptrace::detach(thread, None);
    });
    is_stopped.recv()?.context("stopping the thread")?;
    Ok(Stopped { end: Some(end), tracer: Some(tracer) })
}

/// The thread that has the program's name and is not the main thread.
fn own_thread(id: u32) -> Result<nix::unistd::Pid> {
    for entry in fs::read_dir(format!("/proc/{id}/task"))? {
        let path = entry?.path();
        let number: i32 = path.file_name().and_then(|name| name.to_str()).context("no number")?.parse()?;
        if u32::try_from(number) != Ok(id) && fs::read_to_string(path.join("comm"))?.trim() == "tunwarden" {
            return Ok(nix::unistd::Pid::from_raw(number));
        }
    }
    bail!("the agent has no such thread")
}

/// Replaces one of the host's tools by a shell script, until `/usr/sbin` is unmounted. The script finds the
/// real one at `$real`.
pub fn fake_tool(lab: &Lab, tool: &str, script: &str) -> Result<()> {
    let place = "
        mkdir -p /run/lab/real
        fake=$(mktemp -d -p /run/lab)
        mkdir $fake/upper $fake/work
        cp /usr/sbin/$1 /run/lab/real/$1
        mount -t overlay -o lowerdir=/usr/sbin,upperdir=$fake/upper,workdir=$fake/work overlay /usr/sbin
        rm /usr/sbin/$1
        printf '#!/bin/sh\\nreal=/run/lab/real/%s\\n%s\\n' \"$1\" \"$2\" >/usr/sbin/$1
        chmod 755 /usr/sbin/$1";
    lab.host().succeed(["sh", "-euc", place, "sh", tool, script]).map(drop)
}
