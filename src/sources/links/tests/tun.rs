//! Tun devices that an ordinary user may have opened.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::*;

/// Opens or creates the tun device `tun0`, then makes root its owner and makes it end together with this program.
const HIDE: &str = "
import fcntl, os, struct, sys
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH', b'tun0', 0x1001))
fcntl.ioctl(tun, 0x400454cc, 0)
fcntl.ioctl(tun, 0x400454cb, 0)
print('open', flush=True)
sys.stdin.read()
";

#[test]
fn a_tun_device_that_users_could_open_counts_as_theirs_after_any_change() {
    in_a_network_of_its_own(async || {
        for (before, is_users) in [(None, false), (Some("tuntap add tun0 mode tun"), true)] {
            if let Some(before) = before {
                ip(before);
            }
            let (stdin, stdout) = (Stdio::piped(), Stdio::piped());
            let mut user =
                Command::new("python3").args(["-c", HIDE]).stdin(stdin).stdout(stdout).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(user.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "open\n");
            ip("link set tun0 up");
            ip("link set tun0 down");
            let table = snapshot().await.unwrap();
            let tun0 = table.links.iter().find(|link| link.name == "tun0").unwrap().index;
            assert_eq!(table.of_users.contains(&tun0), is_users, "{before:?}");
            user.kill().unwrap();
            user.wait().unwrap();
            assert_eq!(link("tun0").await, None, "it was not persistent any more");
        }
        // The kernel's description of a persistent device shows that it is persistent, also if root owns it.
        ip("tuntap add tun1 mode tun user root");
        assert_eq!(snapshot().await.unwrap().of_users, [link("tun1").await.unwrap().index].into());
    });
}
