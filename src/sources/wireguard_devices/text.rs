//! The answer of a userspace WireGuard device to `get=1` (wireguard.com/xplatform). Pure.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::Reading;
use crate::net::{Endpoint, OwnKey, PeerKey, Port, Transport};
use crate::vpn::Handshake;

/// The program answers with an error, or its answer is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("its program answers with error {0}")]
    Refused(i64),
    #[error("its program's answer has no end")]
    Endless,
}

/// Reads an answer. An unknown or malformed line is skipped. If the key of a peer is malformed, the whole peer is
/// skipped.
pub(crate) fn read(answer: &str) -> Result<Reading, AnswerError> {
    let (mut reading, mut key, mut seconds) = (Reading::default(), None, 0);
    for (name, value) in answer.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "errno" => {
                return match value.parse() {
                    Ok(0) => Ok(reading),
                    Ok(error) => Err(AnswerError::Refused(error)),
                    Err(_) => Err(AnswerError::Refused(-1)),
                };
            }
            "fwmark" => reading.mark = value.parse().ok().and_then(NonZeroU32::new),
            "private_key" => reading.own = OwnKey::from_hex(value).ok(),
            "public_key" => {
                (key, seconds) = (PeerKey::from_hex(value).ok(), 0);
                key.and_then(|key| reading.peer(key));
            }
            _ => {
                let Some(peer) = key.and_then(|key| reading.peer(key)) else { continue };
                let number = || value.parse::<u64>().unwrap_or_default();
                match name {
                    "endpoint" => peer.endpoint = value.parse().ok().and_then(endpoint),
                    "last_handshake_time_sec" => {
                        seconds = number();
                        peer.traffic.handshake = Handshake::given(seconds, 0);
                    }
                    "last_handshake_time_nsec" => {
                        peer.traffic.handshake = Handshake::given(seconds, number())
                    }
                    "tx_bytes" => peer.traffic.sent = number(),
                    "rx_bytes" => peer.traffic.received = number(),
                    "allowed_ip" => {
                        let length = value.rsplit_once('/').and_then(|(_, length)| length.parse().ok());
                        length.into_iter().for_each(|length| peer.route(length));
                    }
                    _ => {}
                }
            }
        }
    }
    Err(AnswerError::Endless)
}

/// A peer's address as an endpoint; `None` if no server can have it.
pub(super) fn endpoint(address: SocketAddr) -> Option<Endpoint> {
    let port = Port::try_from(i64::from(address.port())).ok()?;
    Endpoint::new(address.ip(), Transport::Udp, port).ok()
}

#[cfg(test)]
mod tests {
    use super::super::{Reach, Traffic};
    use super::*;

    #[test]
    fn an_answer_gives_the_mark_and_the_peers_by_their_keys() {
        let (one, two) = ("1".repeat(64), "2".repeat(64));
        let answer = format!(
            "private_key={0}\nlisten_port=51820\nfwmark=30566\npublic_key={one}\nendpoint=198.51.100.9:51820\n\
             last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=7\ntx_bytes=8\nrx_bytes=9\nallowed_ip=0.0.0.0/0\n\
             public_key={two}\nendpoint=[2001:db8::9]:51820\nallowed_ip=10.0.0.0/8\npublic_key=no\n\
             endpoint=198.51.100.1:1\nrx_bytes=4\nerrno=0\n\n",
            "9".repeat(64)
        );
        let reading = read(&answer).unwrap();
        assert_eq!(reading.mark, NonZeroU32::new(0x7766));
        assert_eq!(reading.own, OwnKey::from_hex(&"9".repeat(64)).ok());
        let endpoints: Vec<String> =
            reading.peers.values().filter_map(|peer| Some(peer.endpoint?.to_string())).collect();
        assert_eq!(endpoints, ["198.51.100.9:51820/udp", "[2001:db8::9]:51820/udp"]);
        let first = reading.peers[&PeerKey::from_hex(&one).unwrap()];
        assert_eq!(
            (first.traffic.handshake, first.reach),
            (Handshake::At(1_700_000_000_000_000_007), Reach::Everything)
        );
        assert_eq!((first.traffic.sent, first.traffic.received), (8, 9));
        // The traffic of a device is that of its peer with the default route.
        assert_eq!(reading.finish(3).traffic, first.traffic);
    }

    #[test]
    fn boringtun_s_answer_has_no_private_key_and_the_age_of_the_handshake() {
        let answer = format!(
            "own_public_key={0}\nlisten_port=51820\nfwmark=7\npublic_key={0}\npreshared_key={0}\n\
             persistent_keepalive_interval=25\nendpoint=198.51.100.9:51820\nallowed_ip=0.0.0.0/0\n\
             last_handshake_time_sec=65\nlast_handshake_time_nsec=7\nrx_bytes=9\ntx_bytes=8\nerrno=0\n\n",
            "1".repeat(64)
        );
        let device = read(&answer).unwrap().finish(3);
        assert_eq!((device.mark, device.own, device.peers.len()), (NonZeroU32::new(7), None, 1));
        let traffic = Traffic { handshake: Handshake::Ago(65_000_000_007), sent: 8, received: 9 };
        assert_eq!(device.traffic, traffic);
    }

    #[test]
    fn a_peer_where_no_server_can_be_has_no_endpoint() {
        for bad in ["127.0.0.1:1", "255.255.255.255:51820", "224.0.0.1:1", "[::]:1", "198.51.100.9:0", "x"] {
            let answer = format!("public_key={}\nendpoint={bad}\nerrno=0\n\n", "1".repeat(64));
            let reading = read(&answer).unwrap();
            assert_eq!(reading.peers.values().filter_map(|peer| peer.endpoint).count(), 0, "{bad}");
        }
    }

    #[test]
    fn an_answer_without_an_end_or_with_an_error_is_none() {
        assert_eq!(read("fwmark=0\nerrno=0\n\n"), Ok(Reading::default()));
        assert_eq!(read("fwmark=1\nerrno=22\n\n"), Err(AnswerError::Refused(22)));
        for endless in ["", "=\n", "fwmark=-1\n\n", "public_key=1\n"] {
            assert_eq!(read(endless), Err(AnswerError::Endless), "{endless:?}");
        }
    }
}
