//! Devices of the kernel's own, in a network namespace of the test, on kernels that have them: `scripts/kernels`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};

use super::super::*;
use crate::net::OwnKey;
use crate::sources::links::snapshot;

const OWN: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const PEER: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

/// Runs `test` on a thread in a new network namespace.
fn in_a_network_of_its_own(test: impl AsyncFnOnce() + Send) {
    thread::scope(|scope| {
        let body = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
        };
        scope.spawn(body).join().unwrap();
    });
}

/// Runs a command with this text as its input.
fn run(command: &str, input: &str) {
    let mut words = command.split_ascii_whitespace();
    let mut child =
        Command::new(words.next().unwrap()).args(words).stdin(Stdio::piped()).spawn().expect(command);
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{command}");
}

async fn link(name: &str) -> Link {
    let table = snapshot().await.unwrap();
    table.links.into_iter().find(|link| link.name == name).unwrap()
}

#[test]
#[ignore = "needs root and the kernel's WireGuard: make kernels"]
fn the_kernel_s_wireguard_shows_its_mark_its_peers_and_its_key() {
    in_a_network_of_its_own(async || {
        run("ip link add office type wireguard", "");
        let peer = format!("peer {PEER} endpoint 198.51.100.9:51820 allowed-ips 0.0.0.0/0,::/0");
        run(&format!("wg set office private-key /dev/stdin fwmark 0x7766 {peer}"), OWN);
        let office = link("office").await;
        assert_eq!(office.kind, LinkKind::WireGuard);
        let trusted = TrustedRoot { root: PathBuf::from("/"), owner: 0 };
        let device = read(&trusted, &office).await.unwrap();
        assert_eq!((device.index, device.mark), (office.index, NonZeroU32::new(0x7766)));
        assert_eq!(device.own, Some(OWN.parse::<OwnKey>().unwrap()));
        let endpoint = "198.51.100.9:51820/udp".parse().unwrap();
        assert_eq!(device.peers, [(PEER.parse().unwrap(), Some(endpoint))].into());
        assert_eq!(device.traffic, Traffic::default());

        // More peers than one message of the kernel's has room for.
        run("ip link add many type wireguard", "");
        let peer = |n: u32| {
            let [.., c, d] = n.to_be_bytes();
            let key = format!("AA{}{}{}=", letter(n / 64), letter(n % 64), "A".repeat(39));
            format!(
                "[Peer]\nPublicKey = {key}\nEndpoint = 198.18.{c}.{d}:51820\nAllowedIPs = 10.0.{c}.{d}/32\n"
            )
        };
        let many: String = (1..=600).map(peer).collect();
        run("wg setconf many /dev/stdin", &many);
        let device = read(&trusted, &link("many").await).await.unwrap();
        assert_eq!((device.peers.len(), device.own), (600, None));
        assert!(device.peers.values().all(Option::is_some));
    });
}

/// A digit of base64.
fn letter(digit: u32) -> char {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char::from(digits[usize::try_from(digit).unwrap()])
}

#[test]
#[ignore = "needs root and a kernel with OpenVPN's data channel (6.16): make kernels"]
fn the_kernel_s_device_for_openvpn_is_a_tunnel_of_openvpn_s() {
    in_a_network_of_its_own(async || {
        run("ip link add office type ovpn", "");
        assert_eq!(link("office").await.kind, LinkKind::OpenVpn);
    });
}
