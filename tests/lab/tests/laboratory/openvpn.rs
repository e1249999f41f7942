//! The behaviour of a plain OpenVPN client and server on which other tests rely.

use std::time::Duration;

use anyhow::Result;
use tunwarden_lab::address::{INTERNET, VPN_V6};
use tunwarden_lab::openvpn::{ClientOptions, Protocol, READY, ServerOptions};
use tunwarden_lab::{Contract, with_lab};

const BOUND: Duration = Duration::from_secs(30);

#[test]
fn a_ping_through_the_tunnel_is_answered_and_only_the_endpoint_is_seen() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let options = ClientOptions::of(&server).user("nobody").persist();
        let mut client = lab.host().openvpn_client(&options)?;
        client.wait_for_line(READY, BOUND)?;
        for target in [server.tunnel_address(), INTERNET] {
            let sent = lab.host().ping(target).count(3).await_answers(BOUND).send()?;
            assert_eq!(sent.answered, 3, "{target}");
        }
        let seen = capture.stop()?;
        assert!(Contract::locked().check(&seen).is_err(), "the tunnel's own packets were not seen");
        Contract::locked().endpoint(&server.endpoint())?.check(&seen)
    })
}

#[test]
fn tcp_over_ipv6_carries_a_tunnel_too() -> Result<()> {
    with_lab(|lab| {
        let options =
            ServerOptions { address: VPN_V6, port: 443, protocol: Protocol::Tcp, ..ServerOptions::default() };
        let server = lab.openvpn_server(options)?;
        let mut client = lab.host().openvpn_client(&ClientOptions::of(&server))?;
        client.wait_for_line(READY, BOUND)?;
        let sent = lab.host().ping(server.tunnel_address()).await_answers(BOUND).send()?;
        assert_eq!(sent.answered, 1);
        Ok(())
    })
}

#[test]
fn a_server_that_falls_silent_makes_the_client_start_over() -> Result<()> {
    with_lab(|lab| {
        let mut server = lab.openvpn_server(ServerOptions::default())?;
        let mut client = lab.host().openvpn_client(&ClientOptions::of(&server).persist())?;
        client.wait_for_line(READY, BOUND)?;
        server.silence()?;
        client.wait_for_line("ping-restart", BOUND)?;
        server.resume()?;
        server.restart_with_pool("10.9.0.0/24".parse()?)?;
        client.wait_for_lines(READY, 2, BOUND)?;
        let sent = lab.host().ping(server.tunnel_address()).await_answers(BOUND).send()?;
        assert_eq!(sent.answered, 1);
        Ok(())
    })
}
