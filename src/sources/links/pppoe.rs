//! Reads the kernel's PPPoE sessions from `/proc/self/net/pppoe`. Netlink does not show them.
//!
//! Every user can open a session, and so can add lines to this file. The server's address and the session's number are
//! what that user says. `vpn` decides which packets a session may send.

use std::io::{self, Read};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::net::IfName;
use crate::vpn::{LinkTable, PppoeSession};

/// The file with the sessions. It does not exist while the kernel's module is not loaded.
const FILE: &str = "/proc/self/net/pppoe";

/// Maximum number of bytes that are read: more than 300,000 sessions, so that a user needs as many to hide the line's own.
const MAX_BYTES: u64 = 16 << 20;

/// Maximum number of sessions that are used. A machine has one for each line to its provider. A user who opens as many
/// before the line is dialled keeps it closed.
const MAX_SESSIONS: usize = 256;

/// How often the file is read while there is a PPP link that is no tunnel. The kernel does not report changes of the
/// file, and a link that dials only when packets wait keeps its name and index when a session begins. PPP repeats its
/// first frame for half a minute, so a second is soon enough.
const AGAIN: Duration = Duration::from_secs(1);

/// The sessions as they are now; those of `before` first, if there are too many. There are none if the file cannot be
/// read: then no session may send.
pub(super) fn sessions(before: &[PppoeSession]) -> Vec<PppoeSession> {
    match read() {
        Ok(text) => bounded(parse(&text), before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot read {FILE}: PPPoE is closed");
            Vec::new()
        }
    }
}

/// Waits until the sessions differ from those in this table. Without a PPP link that is no tunnel it does not read the
/// file, because then no session counts.
pub(super) async fn changed(table: Option<&LinkTable>, counts: &mut watch::Receiver<bool>) {
    let Some(table) = table else { return std::future::pending().await };
    loop {
        // The agent ends.
        if counts.wait_for(|counts| *counts).await.is_err() {
            return std::future::pending().await;
        }
        if sessions(&table.sessions) != table.sessions {
            return;
        }
        sleep(AGAIN).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "an edge file: it reads the kernel's list of sessions")]
fn read() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(FILE)?.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

/// The sessions in the text of the file, sorted. A line that is not a session is left out.
pub(crate) fn parse(text: &[u8]) -> Vec<PppoeSession> {
    let lines = text.split_inclusive(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
    let mut sessions: Vec<PppoeSession> = lines.filter_map(session).collect();
    sessions.sort();
    sessions.dedup();
    sessions
}

/// As many of these sorted sessions as are used. One of `before` that is still there stays: every user can open many,
/// and must not end the session of the line.
pub(crate) fn bounded(sessions: Vec<PppoeSession>, before: &[PppoeSession]) -> Vec<PppoeSession> {
    if sessions.len() <= MAX_SESSIONS {
        return sessions;
    }
    let (kept, new): (Vec<_>, Vec<_>) = sessions.into_iter().partition(|session| before.contains(session));
    let mut sessions: Vec<PppoeSession> = kept.into_iter().chain(new).take(MAX_SESSIONS).collect();
    sessions.sort();
    sessions
}

/// `00000100 02:00:00:00:00:17     eth0`
fn session(line: &[u8]) -> Option<PppoeSession> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let [number, peer, interface] = [words.next()?, words.next()?, words.next()?];
    let is_number = number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_hexdigit());
    if words.next().is_some() || !is_number {
        return None;
    }
    // The kernel prints the two bytes of the frame as if they were a number in this machine's byte order.
    let id = u16::from_be(u16::try_from(u32::from_str_radix(number, 16).ok()?).ok()?);
    let interface: IfName = interface.parse().ok()?;
    // The address of a server is not a multicast address, and the number of a session is not 0.
    let peer = address(peer).filter(|peer| peer[0] & 1 == 0 && id != 0)?;
    Some(PppoeSession { interface, id, peer })
}

fn address(text: &str) -> Option<[u8; 6]> {
    let mut address = [0; 6];
    let mut bytes = text.split(':');
    for byte in &mut address {
        let text = bytes.next().filter(|text| text.len() == 2 && !text.starts_with('+'))?;
        *byte = u8::from_str_radix(text, 16).ok()?;
    }
    bytes.next().is_none().then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Id       Address              Device\n";

    fn parsed(lines: &str) -> Vec<PppoeSession> {
        parse(format!("{HEAD}{lines}").as_bytes())
    }

    /// As the kernel prints it: `%08X` of the two bytes of the frame.
    fn number(id: u16) -> String {
        format!("{:08X}", id.to_be())
    }

    #[test]
    fn a_line_of_the_kernel_is_a_session() {
        let line = format!("{} 02:00:5e:a0:00:17     eth0\n", number(0x0102));
        let session = PppoeSession {
            interface: "eth0".parse().unwrap(),
            id: 0x0102,
            peer: [0x02, 0, 0x5e, 0xa0, 0, 0x17],
        };
        assert_eq!(parsed(&line), std::slice::from_ref(&session));
        assert_eq!(parsed(&format!("{line}{line}")), [session], "once");
        let long = format!("{} 02:00:5e:a0:00:17 fifteen-bytes-x\n", number(7));
        assert_eq!(parsed(&long)[0].interface.as_str(), "fifteen-bytes-x");
        assert_eq!(parsed(""), []);
    }

    #[test]
    fn what_is_no_whole_line_of_the_kernel_is_left_out() {
        for line in [
            "00000100 02:00:00:00:00:17     eth0",
            "00000100 02:00:00:00:00:17\n",
            "00000100 02:00:00:00:00:17 eth0 eth1\n",
            "00010000 02:00:00:00:00:17 eth0\n",
            "0000010G 02:00:00:00:00:17 eth0\n",
            "+0000100 02:00:00:00:00:17 eth0\n",
            "100 02:00:00:00:00:17 eth0\n",
            "00000100 02:00:00:00:00 eth0\n",
            "00000100 02:00:00:00:00:17:18 eth0\n",
            "00000100 02:00:00:00:00:+7 eth0\n",
            "00000100 02:00:00:00:00:7 eth0\n",
            "00000100 ff:ff:ff:ff:ff:ff eth0\n",
            "00000100 01:80:c2:00:00:02 eth0\n",
            "00000000 02:00:00:00:00:17 eth0\n",
            "00000100 02:00:00:00:00:17 quo\"ted\n",
            "00000100 02:00:00:00:00:17 sixteen-bytes-xx\n",
        ] {
            assert_eq!(parsed(line), [], "{line}");
        }
    }

    /// A line as `pppoe_seq_show` of Linux prints it (drivers/net/ppp/pppoe.c): `"%08X %pM %8s\n"` of
    /// `sid`, `remote` and `dev`. `sid` is `__be16` and printed without a conversion, so that the session 0x0102 is 0201
    /// on a processor that has the low byte first. Not made by this program.
    #[cfg(target_endian = "little")]
    #[test]
    fn a_literal_line_by_the_kernel_s_source_has_the_number_of_the_frame() {
        let sessions = parsed("00000201 02:00:5e:a0:00:17     eth0\n00000100 02:00:5e:a0:00:18 enp0s31f6\n");
        let found: Vec<_> =
            sessions.iter().map(|one| (one.interface.as_str(), one.id, one.peer[5])).collect();
        assert_eq!(found, [("enp0s31f6", 1, 0x18), ("eth0", 0x0102, 0x17)]);
    }

    #[test]
    fn sessions_of_a_user_do_not_push_out_the_line_s_own() {
        let lines: String = (1..1000).map(|id| format!("{} 02:00:00:00:00:17 eth0\n", number(id))).collect();
        let crowd = parsed(&lines);
        assert_eq!(crowd.len(), 999, "all are read");
        let mut all = crowd.clone();
        let own = parsed(&format!("{} 02:00:5e:a0:00:17 eth0\n", number(0xffff)));
        all.extend(own.clone());
        let before = bounded(own.clone(), &[]);
        let found = bounded(all.clone(), &before);
        assert_eq!(found.len(), MAX_SESSIONS);
        assert!(found.contains(&own[0]) && found.is_sorted());
        assert_eq!(bounded(all, &found), found, "no change, no commit");
        assert_eq!(bounded(crowd, &found).len(), MAX_SESSIONS, "it has ended, and its place is free");
    }
}
