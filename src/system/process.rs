//! What the kernel reports about a process in `/proc`: its user, its unit, its start time, and its ancestors.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;

use crate::vpn::{Lineage, Process};

/// Maximum number of processes in a lineage. A hook is a child or grandchild of its client.
const MAX_PROCESSES: usize = 16;

/// When a process was started, in clock ticks since boot; `None` when there is no such process.
pub fn started(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.started)
}

/// The process and its ancestors, as far up as they run as this user. A `pidfd` of the process, where the bus
/// daemon gives one, shows that its id has not passed to another process.
///
/// The lineage is empty when anything changed during the reading, because a process id can be used again.
pub fn lineage(pid: u32, uid: u32, pidfd: Option<impl AsFd>) -> Lineage {
    let processes = climb(pid, uid);
    let same = climb(pid, uid) == processes && pidfd.is_none_or(|pidfd| is_alive(&pidfd));
    Lineage { uid, processes: if same { processes } else { Vec::new() } }
}

/// A pidfd, which is readable when the process has ended and all of its files are closed. `None` when there is no such
/// process.
///
/// # Errors
/// When the kernel gives none, as before 5.3.
#[expect(deprecated, reason = "the successor is unsafe, for types that may close early; an OwnedFd cannot")]
pub(crate) fn open(pid: u32) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => AsyncFd::new(pidfd).map(Some),
        // INVAL: it is the id of a thread. No client reports such an id as its own.
        Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn climb(pid: u32, uid: u32) -> Vec<Process> {
    let mut processes: Vec<Process> = Vec::new();
    let mut next = pid;
    while processes.len() < MAX_PROCESSES
        && let Some(Stat { parent, started }) = stat(next)
        && effective_uid(next) == Some(uid)
        // A parent is older than its child. A younger one took the id of a parent that has ended.
        && processes.last().is_none_or(|child| started <= child.started)
    {
        processes.push(Process { pid: next, started });
        next = parent;
    }
    processes
}

/// The fields of proc_pid_stat(5) that are used.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    started: u64,
}

#[expect(clippy::disallowed_methods, reason = "an edge file: it reads /proc")]
fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Parses proc_pid_stat(5). The program's name is in parentheses and may hold any byte, even parentheses.
fn parse_stat(stat: &[u8]) -> Option<Stat> {
    let name_ends = stat.iter().rposition(|&byte| byte == b')')?;
    // The first field after the name is the third.
    let fields: Vec<&str> =
        std::str::from_utf8(stat.get(name_ends + 1..)?).ok()?.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3);
    Some(Stat { parent: field(4)?.parse().ok()?, started: field(22)?.parse().ok()? })
}

/// A pidfd is readable when its process has ended.
fn is_alive(pidfd: &impl AsFd) -> bool {
    let mut pidfd = [PollFd::new(pidfd, PollFlags::IN)];
    poll(&mut pidfd, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(0)
}

/// The effective user of a process; `None` when the process is gone, or hidden from us.
#[expect(clippy::disallowed_methods, reason = "an edge file: it reads /proc")]
pub(crate) fn effective_uid(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    parse_effective_uid(&status)
}

/// proc_pid_status(5): real, effective, saved and file system user.
pub(crate) fn parse_effective_uid(status: &str) -> Option<u32> {
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    uids.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The systemd unit that the process runs in; `None` when it is in none, or hidden from us.
#[expect(clippy::disallowed_methods, reason = "an edge file: it reads /proc")]
pub(crate) fn unit(pid: u32) -> Option<String> {
    parse_unit(&std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

/// The innermost service of the unified hierarchy (cgroups(7)), if its name has only characters of a unit's
/// name.
pub(crate) fn parse_unit(cgroup: &str) -> Option<String> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let unit = path.rsplit('/').find(|part| part.ends_with(".service"))?;
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    (unit.len() <= 255 && unit.bytes().all(fit)).then(|| unit.to_owned())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test starts programs")]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    use super::*;

    const NO_PIDFD: Option<OwnedFd> = None;

    fn own() -> (u32, u32) {
        (std::process::id(), nix::unistd::geteuid().as_raw())
    }

    #[test]
    fn a_grandchild_descends_from_this_process_and_a_stranger_does_not() {
        let (pid, uid) = own();
        let mut child = Command::new("sh")
            .args(["-c", "sleep 60 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = Vec::new();
        let mut output = child.stdout.take().unwrap();
        while said.last() != Some(&b'\n') {
            let mut byte = [0];
            output.read_exact(&mut byte).unwrap();
            said.extend(byte);
        }
        let grandchild: u32 = String::from_utf8(said).unwrap().trim().parse().unwrap();
        let found = lineage(grandchild, uid, NO_PIDFD);
        assert!(found.has(grandchild, None) && found.has(child.id(), None));
        assert!(found.has(pid, started(pid)), "{found:?}");
        assert!(!found.has(pid, Some(1)), "another process that had this id");
        assert!(!lineage(pid, uid, NO_PIDFD).has(grandchild, None), "a parent descends from no child");
        assert_eq!(lineage(grandchild, uid + 1, NO_PIDFD).processes, [], "as another user");
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(grandchild.cast_signed()),
            nix::sys::signal::SIGKILL,
        )
        .unwrap();
        child.wait().unwrap();
        assert_eq!(lineage(grandchild, uid, NO_PIDFD).processes, []);
    }

    #[test]
    fn a_process_whose_pidfd_says_that_it_has_ended_has_no_lineage() {
        let (pid, uid) = own();
        let pidfd = |pid: u32| {
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
            rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap()
        };
        assert!(lineage(pid, uid, Some(pidfd(pid))).has(pid, None));
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let ended = pidfd(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(lineage(pid, uid, Some(ended)).processes, [], "its id is another process's");
    }

    #[test]
    fn a_lineage_ends_where_the_user_changes() {
        let (pid, uid) = own();
        if uid != 0 {
            eprintln!("skipped: only root can change its user");
            return;
        }
        let mut child = Command::new("setpriv");
        let mut child = child.args(["--reuid", "65534", "--clear-groups", "sleep", "60"]).spawn().unwrap();
        let dropped = (0..500).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            (effective_uid(child.id()) == Some(65534)).then(|| lineage(child.id(), 65534, NO_PIDFD))
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let dropped = dropped.unwrap();
        assert!(dropped.has(child.id(), None) && !dropped.has(pid, None), "{dropped:?}");
    }

    #[test]
    fn a_name_cannot_forge_a_field() {
        let rest = "S 7 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        for name in ["sh", ") S 1 (", "a b) 9 9", "\u{fe}"] {
            let line = [b"12 (", name.as_bytes(), b") ", rest.as_bytes()].concat();
            assert_eq!(parse_stat(&line), Some(Stat { parent: 7, started: 4242 }), "{name}");
        }
        assert_eq!(parse_stat(b"12 (\xff\xfe) S 7 x"), None);
        for bad in ["", "12", "12 (sh", "12 (sh) S", "12 (sh) S x"] {
            assert_eq!(parse_stat(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn the_effective_user_is_the_second() {
        assert_eq!(parse_effective_uid("Name:\tx\nUid:\t0\t65534\t0\t0\nGid:\t0\n"), Some(65534));
        for bad in ["", "Uid:", "Uid:\t0", "Uid:\t0\tx", "Gid:\t0\t0"] {
            assert_eq!(parse_effective_uid(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_unit_is_the_innermost_service_and_a_name_that_systemd_could_give() {
        let unit = "openvpn-client@work.service";
        let cgroup = format!("0::/system.slice/system-openvpn\\x2dclient.slice/{unit}\n");
        assert_eq!(parse_unit(&cgroup).as_deref(), Some(unit));
        let nested = "1:name=systemd:/x.service\n0::/a.service/b.service/inner\n";
        assert_eq!(parse_unit(nested).as_deref(), Some("b.service"));
        let bad = ["", "0::/", "0::/user.slice/user-1000.slice", "0::/a;reboot.service", "1:x:/a.service"];
        for bad in bad {
            assert_eq!(parse_unit(bad), None, "{bad:?}");
        }
    }
}
