//! The lines of OpenVPN's management interface that report the client's state. Pure.
//!
//! The format is in OpenVPN's management-notes.txt, "state". The fields are separated by commas: the time,
//! the state, its details, the tunnel's IPv4 address, the server's address and port, our address and port,
//! and the tunnel's IPv6 address. A line that OpenVPN sends by itself begins with `>STATE:`. An answer to a
//! request begins with the time.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::net::Port;
use crate::vpn::ClientState;

/// The agent's request to a client: report the present state now, and every later state.
pub(super) const QUESTION: &[u8] = b"state on 1\n";

/// Why a line cannot be read: the interface has no such line, or a part of it is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedLine {
    #[error("a line that OpenVPN does not say")]
    Line,
    #[error("no time")]
    Time,
    #[error("no state that OpenVPN has")]
    State,
    #[error("no address that a tunnel or a server can have")]
    Address,
    #[error("no port")]
    Port,
}

/// Reads a line without its end; `None` when it does not report the client's state.
pub(crate) fn read(line: &str) -> Result<Option<ClientState>, MalformedLine> {
    if let Some(state) = line.strip_prefix(">STATE:") {
        return state_of(state);
    }
    if line.starts_with(|c: char| c.is_ascii_digit()) {
        return state_of(line);
    }
    // A client with a password asks for it before its first line. This question has no line end.
    let line = line.strip_prefix("ENTER PASSWORD:").unwrap_or(line);
    let known = ["", "END", ">"].contains(&line)
        || ["SUCCESS:", "ERROR:", ">"].iter().any(|start| line.starts_with(start));
    if known { Ok(None) } else { Err(MalformedLine::Line) }
}

fn state_of(text: &str) -> Result<Option<ClientState>, MalformedLine> {
    let fields: Vec<&str> = text.split(',').collect();
    let field = |place: usize| fields.get(place).copied().unwrap_or_default();
    let time = field(0);
    if time.is_empty() || !time.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(MalformedLine::Time);
    }
    Ok(Some(match field(1) {
        "CONNECTING" | "RESOLVE" | "TCP_CONNECT" | "WAIT" | "AUTH" | "AUTH_PENDING" => ClientState::Seeking,
        // The client has found its server. Its tunnel may already be the one that a hook reports.
        "GET_CONFIG" | "ASSIGN_IP" | "ADD_ROUTES" => return Ok(None),
        "CONNECTED" => {
            let addresses = [3, 8].into_iter().map(|place| address(field(place)));
            let addresses: BTreeSet<IpAddr> =
                addresses.filter_map(Result::transpose).collect::<Result<_, _>>()?;
            let server = match (address(field(4))?, field(5)) {
                (Some(server), port) if !port.is_empty() => {
                    Some((server.to_canonical(), port.parse::<Port>().map_err(|_| MalformedLine::Port)?))
                }
                (_, _) => None,
            };
            ClientState::Connected { server, addresses }
        }
        "RECONNECTING" => ClientState::Reconnecting,
        // A user or program asked the client to end. No server and no fault caused it.
        "EXITING" if ["SIGTERM", "SIGINT", "exit-with-notification"].contains(&field(2)) => {
            ClientState::ExitingAsked
        }
        "EXITING" => ClientState::Exiting,
        _ => return Err(MalformedLine::State),
    }))
}

/// An address; `None` for an empty field.
fn address(text: &str) -> Result<Option<IpAddr>, MalformedLine> {
    if text.is_empty() {
        return Ok(None);
    }
    let address: IpAddr = text.parse().map_err(|_| MalformedLine::Address)?;
    let fit = !(address.is_unspecified() || address.is_multicast() || address.is_loopback());
    if fit { Ok(Some(address)) } else { Err(MalformedLine::Address) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_that_openvpn_never_sends_are_malformed() {
        for (line, why) in [
            ("hello", MalformedLine::Line),
            ("STATE:1,CONNECTED,SUCCESS", MalformedLine::Line),
            (">STATE:", MalformedLine::Time),
            (">STATE:-1,CONNECTED,SUCCESS", MalformedLine::Time),
            (">STATE:now,RECONNECTING", MalformedLine::Time),
            (">STATE:1", MalformedLine::State),
            (">STATE:1,connected,SUCCESS", MalformedLine::State),
            (">STATE:1,CONNECTED;reboot,SUCCESS", MalformedLine::State),
            (">STATE:1,CONNECTED,SUCCESS,$(id),198.51.100.7,1194", MalformedLine::Address),
            (">STATE:1,CONNECTED,SUCCESS,10.8.0.2,vpn.example.net,1194", MalformedLine::Address),
            (">STATE:1,CONNECTED,SUCCESS,127.0.0.1,198.51.100.7,1194", MalformedLine::Address),
            (">STATE:1,CONNECTED,SUCCESS,10.8.0.2,0.0.0.0,1194", MalformedLine::Address),
            (">STATE:1,CONNECTED,SUCCESS,10.8.0.2,198.51.100.7,0", MalformedLine::Port),
            (">STATE:1,CONNECTED,SUCCESS,10.8.0.2,198.51.100.7,70000", MalformedLine::Port),
            (">STATE:1,CONNECTED,SUCCESS,10.8.0.2,198.51.100.7,1194,,,::", MalformedLine::Address),
        ] {
            assert_eq!(read(line), Err(why), "{line:?}");
        }
    }

    #[test]
    fn lines_without_a_state_are_ignored() {
        for line in [
            "",
            "END",
            "SUCCESS: real-time state notification set to ON",
            "ENTER PASSWORD:SUCCESS: password is correct",
            ">INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info",
            ">BYTECOUNT:1,2",
            ">STATE:1,GET_CONFIG,,,,,,",
            ">STATE:1,ASSIGN_IP,,10.8.0.2,,,,",
            ">STATE:1,ADD_ROUTES,,,,,,",
        ] {
            assert_eq!(read(line), Ok(None), "{line:?}");
        }
    }

    fn connected(server: Option<(&str, i64)>, addresses: &[&str]) -> ClientState {
        ClientState::Connected {
            server: server.map(|(address, port)| (address.parse().unwrap(), Port::try_from(port).unwrap())),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn every_state_of_openvpn_is_read() {
        let seven = Some(("198.51.100.7", 1194));
        for (line, said) in [
            (
                ">STATE:1764038400,CONNECTED,SUCCESS,10.8.0.2,198.51.100.7,1194,,",
                connected(seven, &["10.8.0.2"]),
            ),
            ("1764038400,CONNECTED,SUCCESS,10.8.0.2,198.51.100.7,1194,,", connected(seven, &["10.8.0.2"])),
            (
                ">STATE:1,CONNECTED,ERROR,10.8.0.2,2001:db8:7::7,443,10.0.0.2,5000,fd00::2",
                connected(Some(("2001:db8:7::7", 443)), &["10.8.0.2", "fd00::2"]),
            ),
            (">STATE:1,CONNECTED,SUCCESS", connected(None, &[])),
            (">STATE:1,CONNECTED,SUCCESS,10.8.0.2,::ffff:198.51.100.7,1194", connected(seven, &["10.8.0.2"])),
            (">STATE:1,WAIT,,,,,,", ClientState::Seeking),
            (">STATE:1,CONNECTING,,,,,,", ClientState::Seeking),
            (">STATE:1,RECONNECTING,ping-restart,,,,,", ClientState::Reconnecting),
            (">STATE:1,EXITING,SIGTERM,,,,,", ClientState::ExitingAsked),
            (">STATE:1,EXITING,exit-with-notification,,,,,", ClientState::ExitingAsked),
            // The server causes these ends.
            (">STATE:1,EXITING,auth-failure,,,,,", ClientState::Exiting),
            (">STATE:1,EXITING,remote-exit,,,,,", ClientState::Exiting),
        ] {
            assert_eq!(read(line), Ok(Some(said)), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_an_impossible_address(
            line in "(>STATE:)?([0-9]{1,3},)?(CONNECTED|WAIT|EXITING|X)?(,([0-9.:a-f]{0,12}|SIGTERM|.{0,5})){0,10}"
        ) {
            if let Ok(Some(ClientState::Connected { server, addresses })) = read(&line) {
                let server = server.map(|(address, _)| address);
                for address in server.into_iter().chain(addresses) {
                    prop_assert!(!(address.is_unspecified() || address.is_multicast() || address.is_loopback()));
                }
            }
        }

        #[test]
        fn any_line_is_read(line in ".*") {
            let _ = read(&line);
        }
    }
}
