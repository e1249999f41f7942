#![allow(clippy::disallowed_methods, reason = "a test touches files and starts programs")]

mod kernel;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use netlink_bindings::wireguard::{KernelTimespec, OpGetDeviceDump};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::super::trusted::Refused;
use super::program::ProgramError;
use super::*;
use crate::vpn::Handshake;

fn key(byte: u8) -> PeerKey {
    PeerKey::try_from(&[byte; 32][..]).unwrap()
}

#[test]
fn the_peers_of_several_messages_of_the_kernel_are_put_together() {
    let mut reading = Reading::default();
    let peers =
        [(1, "198.51.100.9:51820"), (2, "[2001:db8::9]:51820"), (3, "127.0.0.1:1"), (4, "10.0.0.255:1")];
    for (place, (byte, at)) in peers.into_iter().enumerate() {
        let mut payload = Vec::new();
        let mut device = OpGetDeviceDump::encode_request(&mut payload);
        if place == 0 {
            device = device.push_fwmark(0x7766).push_private_key(&[9; 32]);
        }
        let mut time = KernelTimespec::new();
        time.sec = 1_700_000_000;
        let at: SocketAddr = at.parse().unwrap();
        let peer = device.array_peers().entry_nested().push_public_key(&[byte; 32]);
        let peer = peer.push_endpoint(at).push_last_handshake_time(time).push_rx_bytes(9).push_tx_bytes(8);
        peer.end_nested().end_array();
        netlink::take(&mut reading, &payload);
    }
    // The rest of the first peer's networks, as the kernel sends it.
    let mut payload = Vec::new();
    let device = OpGetDeviceDump::encode_request(&mut payload);
    let peer = device.array_peers().entry_nested().push_public_key(&[1; 32]);
    let network = peer.array_allowedips().entry_nested().push_family(2);
    let network = network.push_ipaddr("0.0.0.0".parse().unwrap()).push_cidr_mask(0);
    network.end_nested().end_array().end_nested().end_array();
    netlink::take(&mut reading, &payload);

    assert_eq!((reading.mark, reading.peers.len()), (NonZeroU32::new(0x7766), 4));
    assert_eq!(reading.own, OwnKey::try_from(&[9; 32][..]).ok());
    let first = reading.peers[&key(1)];
    assert_eq!(
        (first.reach, first.traffic.handshake),
        (Reach::Everything, Handshake::At(1_700_000_000_000_000_000))
    );
    assert_eq!((first.traffic.sent, first.traffic.received), (8, 9));
    let endpoints: Vec<String> =
        reading.peers.values().filter_map(|peer| Some(peer.endpoint?.to_string())).collect();
    assert_eq!(endpoints, ["198.51.100.9:51820/udp", "[2001:db8::9]:51820/udp", "10.0.0.255:1/udp"]);
    // A message that ends early or is malformed changes nothing and does no harm.
    let before = reading.clone();
    for end in 0..payload.len() {
        netlink::take(&mut reading, &payload[..end]);
    }
    for broken in [&[][..], &[1, 1, 0, 0, 8], &[0xff; 64]] {
        netlink::take(&mut reading, broken);
    }
    assert_eq!(reading, before);
}

#[test]
fn five_thousand_peers_are_read_and_more_than_can_be_kept_are_left_out() {
    let peers = |count: usize| -> String {
        let peer =
            |n: usize| format!("public_key={n:064x}\nendpoint=198.51.{}.{}:1\n", n / 256 % 256, n % 256);
        (0..count).map(peer).chain(["errno=0\n\n".to_owned()]).collect()
    };
    assert_eq!(text::read(&peers(5_000)).unwrap().peers.len(), 5_000);
    assert_eq!(text::read(&peers(MAX_SERVERS + 5)).unwrap().peers.len(), MAX_SERVERS);
}

/// A program that answers each question with this text, or not at all.
fn program(trusted: &TrustedRoot, name: &str, answer: Option<&'static str>) {
    program_in("wireguard", trusted, name, answer);
}

fn program_in(folder: &str, trusted: &TrustedRoot, name: &str, answer: Option<&'static str>) {
    let folder = trusted.root.join("var/run").join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    let listener = UnixListener::bind(folder.join(format!("{name}.sock"))).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut question = [0; 7];
                stream.read_exact(&mut question).await.unwrap();
                assert_eq!(&question, b"get=1\n\n");
                let Some(answer) = answer else { return std::future::pending().await };
                stream.write_all(answer.as_bytes()).await.unwrap();
                // A program keeps the connection open.
                std::future::pending::<()>().await;
            });
        }
    });
}

#[tokio::test]
async fn a_program_is_asked_only_at_a_socket_in_a_folder_of_its_owner_s() {
    let here = tempfile::tempdir().unwrap();
    let trusted = TrustedRoot { root: here.path().to_owned(), owner: nix::unistd::geteuid().as_raw() };
    let absent = program::ask(&trusted, "office").await;
    assert!(matches!(&absent, Err(ProgramError::Refused(refused)) if refused.is_absence()), "{absent:?}");
    program(&trusted, "office", Some("fwmark=7\nerrno=0\n\n"));
    assert_eq!(program::ask(&trusted, "office").await.unwrap().mark, NonZeroU32::new(7));
    program_in("amneziawg", &trusted, "home", Some("fwmark=8\nerrno=0\n\n"));
    assert_eq!(program::ask(&trusted, "home").await.unwrap().mark, NonZeroU32::new(8));
    let folder = here.path().join("var/run/wireguard");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let open = program::ask(&trusted, "office").await;
    assert!(matches!(open, Err(ProgramError::Refused(Refused::Foreign(_)))), "{open:?}");
    let other = TrustedRoot { owner: trusted.owner + 1, ..trusted };
    assert!(matches!(program::ask(&other, "office").await, Err(ProgramError::Refused(Refused::Foreign(_)))));
}

#[tokio::test]
async fn a_program_that_hangs_delays_no_other_device_for_long_and_its_last_answer_stays() {
    let here = tempfile::tempdir().unwrap();
    let trusted = TrustedRoot { root: here.path().to_owned(), owner: nix::unistd::geteuid().as_raw() };
    program(&trusted, "hangs", None);
    program(&trusted, "office", Some("fwmark=7\nerrno=0\n\n"));
    let link = |index, name: &str| Link::plain(index, name, LinkKind::Tunnel);
    let (wanted, receiver) = watch::channel(vec![link(2, "hangs"), link(3, "office")]);
    let (sender, mut events) = mpsc::channel(8);
    let watched = trusted.clone();
    tokio::spawn(async move { watch_in(&watched, receiver, sender).await });
    let mut next = async || match timeout(Duration::from_secs(60), events.recv()).await {
        Ok(Some(Event::WireGuardDevices { devices, .. })) => {
            devices.iter().map(|device| (device.index, device.mark.map(NonZeroU32::get))).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    // On a busy machine the first answers can come without this device.
    while next().await != [(3, Some(7))] {}
    // The socket disappears and the link stays: the device keeps its last values.
    std::fs::remove_file(trusted.root.join("var/run/wireguard/office.sock")).unwrap();
    program(&trusted, "other", Some("fwmark=8\nerrno=0\n\n"));
    wanted.send(vec![link(3, "office"), link(4, "other")]).unwrap();
    assert_eq!(next().await, [(3, Some(7)), (4, Some(8))]);
    wanted.send(vec![link(4, "other")]).unwrap();
    assert_eq!(next().await, [(4, Some(8))]);
}
