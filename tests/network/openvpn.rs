//! Plain OpenVPN with tunwarden's hooks, without NetworkManager. The capture at the ISP begins before the
//! first connect and ends after the death of the last client.

#![allow(clippy::unwrap_used, reason = "a test")]

use crate::support;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use support::openvpn::{
    BACKGROUND_TAG, CONNECT, background_traffic, becomes, connect, contract, flows, hooked, protected_by,
    seen,
};
use support::{agent, bus, status};
use tunwarden_lab::address::{OTHER_VPN, VPN_V6};
use tunwarden_lab::openvpn::{ClientOptions, Protocol, READY, ServerOptions};
use tunwarden_lab::{Lab, Transport, with_lab};

#[test]
fn without_the_agent_the_same_traffic_is_seen() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let floods = background_traffic(lab)?;
        let client = connect(lab, &ClientOptions::of(&server))?;
        for flood in &floods {
            flood.await_more(20)?;
        }
        drop(client);
        let frames = capture.stop()?;
        assert!(contract(&[&server])?.check(&frames).is_err());
        assert!(seen(&frames, BACKGROUND_TAG) > 20, "the probes of these tests see nothing");
        Ok(())
    })
    .unwrap();
}

/// Whether a client changes its user after the start.
#[derive(Clone, Copy)]
enum DropsTo {
    Nobody,
    Stays,
}

/// Connects a client, stops it, connects another one, and kills it.
fn connect_stop_and_kill(server: ServerOptions, config: &str, user: DropsTo) -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(server)?;
        let agent = agent(lab, config)?;
        let floods = background_traffic(lab)?;
        let locked = becomes(lab, "locked")?;
        println!("locked allows {}", locked["bootstrap"]);
        let options = match user {
            DropsTo::Nobody => ClientOptions::of(&server).user("nobody").persist().up_restart(),
            DropsTo::Stays => ClientOptions::of(&server),
        };
        let options = hooked(lab, options)?;

        let mut client = connect(lab, &options)?;
        protected_by(lab, &server)?;
        flows(lab)?;
        client.stop()?;
        match user {
            DropsTo::Stays => becomes(lab, "locked")?,
            // The hook runs as `nobody` then. The agent accepts only a loss from this user.
            DropsTo::Nobody => becomes(lab, "lost")?,
        };

        let mut client = connect(lab, &options)?;
        protected_by(lab, &server)?;
        flows(lab)?;
        client.kill()?;
        let seen_by = becomes(lab, "lost")?["loss"]["seen_by"].clone();
        ensure!(seen_by == "process" || seen_by == "links", "seen by {seen_by}");
        println!("{}", support::openvpn::lost_because(&agent)?);
        for flood in &floods {
            flood.await_more(20)?;
        }
        contract(&[&server])?.check(&capture.stop()?)
    })
}

#[test]
fn over_udp_the_allowance_is_the_endpoint_in_use_and_nothing_leaves_in_clear() {
    connect_stop_and_kill(ServerOptions::default(), "", DropsTo::Stays).unwrap();
    let config = "[bootstrap]\nservers = [\"198.51.100.7\", \"198.51.100.8\"]\n";
    connect_stop_and_kill(ServerOptions::default(), config, DropsTo::Nobody).unwrap();
}

#[test]
fn over_ipv6_the_allowance_stands_in_ip6tables_and_nothing_leaves_in_clear() {
    let server = || ServerOptions { address: VPN_V6, ..ServerOptions::default() };
    connect_stop_and_kill(server(), "[bootstrap]\nservers = [\"2001:db8:7::7\"]\n", DropsTo::Stays).unwrap();
    connect_stop_and_kill(server(), "", DropsTo::Nobody).unwrap();
}

#[test]
fn over_tcp_the_allowance_is_tcp_and_nothing_leaves_in_clear() {
    let server = || ServerOptions { port: 443, protocol: Protocol::Tcp, ..ServerOptions::default() };
    let config = "[bootstrap]\nservers = [\"198.51.100.7:443/tcp\"]\n";
    connect_stop_and_kill(server(), config, DropsTo::Stays).unwrap();
    connect_stop_and_kill(server(), config, DropsTo::Nobody).unwrap();
}

#[test]
fn a_client_that_became_nobody_reconnects_and_other_programs_of_that_user_get_no_further() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let mut server = lab.openvpn_server(ServerOptions::default())?;
        let _agent = agent(lab, "")?;
        let _floods = background_traffic(lab)?;
        let options = hooked(lab, ClientOptions::of(&server).user("nobody").persist())?;
        let mut client = connect(lab, &options)?;
        protected_by(lab, &server)?;
        server.restart()?;
        client.wait_for_lines(READY, 2, CONNECT)?;
        flows(lab)?;
        // OpenVPN calls no hook for this reconnect, because the link stayed up.
        protected_by(lab, &server)?;

        let frames = capture.so_far()?;
        let ports: BTreeSet<u16> = frames
            .iter()
            .filter(|frame| frame.destination() == Some(server.options().address))
            .filter_map(|frame| {
                let Some(Transport::Udp { from, to: 1194 }) = frame.transport() else { return None };
                Some(from)
            })
            .collect();
        assert!(ports.len() > 1, "it came back from the same port: {ports:?}");

        for target in ["198.51.100.9:1194", "198.51.100.8:1194", "198.51.100.7:1195"] {
            lab.host().udp(target)?.on("eth0").from_user("nobody").tag("elsewhere").count(20).send()?;
            lab.host().udp(target)?.on("eth0").tag("elsewhere").count(20).send()?;
        }
        lab.host()
            .udp("198.51.100.7:1194")?
            .on("eth0")
            .from_user("nobody")
            .tag("nobodys")
            .count(20)
            .send()?;
        lab.host().udp("198.51.100.7:1194")?.on("eth0").from_user("daemon").tag("others").count(20).send()?;
        let frames = capture.stop()?;
        contract(&[&server])?.check(&frames)?;
        assert_eq!(seen(&frames, "elsewhere"), 0);
        assert_eq!(seen(&frames, "others"), 0, "an ordinary user reaches the server outside the tunnel");
        // The rules match the owner of a socket, and not its process: every process of `nobody` can reach
        // this one endpoint.
        assert_eq!(seen(&frames, "nobodys"), 20);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_restart_that_the_hooks_report_is_a_loss_until_the_tunnel_is_back() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let mut server = lab.openvpn_server(ServerOptions::default())?;
        let agent = agent(lab, "")?;
        let _floods = background_traffic(lab)?;
        let options = ClientOptions::of(&server).user("nobody").persist().up_restart();
        let mut client = connect(lab, &hooked(lab, options)?)?;
        protected_by(lab, &server)?;
        server.silence()?;
        client.wait_for_line("ping-restart", CONNECT)?;
        assert_eq!(becomes(lab, "lost")?["loss"]["seen_by"], "hook");
        assert_eq!(support::openvpn::lost_because(&agent)?, "the VPN client lost its server");
        server.restart()?;
        client.wait_for_lines(READY, 2, CONNECT)?;
        protected_by(lab, &server)?;
        flows(lab)?;
        contract(&[&server])?.check(&capture.stop()?)
    })
    .unwrap();
}

#[test]
fn a_client_that_falls_over_to_a_known_server_moves_the_allowance_there() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let mut first = lab.openvpn_server(ServerOptions::default())?;
        let pool = "10.9.0.0/24".parse()?;
        let second =
            lab.openvpn_server(ServerOptions { address: OTHER_VPN, pool, ..ServerOptions::default() })?;
        let _agent = agent(lab, "[bootstrap]\nservers = [\"198.51.100.7\", \"198.51.100.8\"]\n")?;
        let _floods = background_traffic(lab)?;
        // The user is one of the owners: sockets of `nobody` reach only the first server. There is no
        // `persist-tun`, because the dead tunnel would keep the route to the second server.
        let options = ClientOptions::of(&first).or(&second).user("nm-openvpn").line("persist-key");
        let mut client = connect(lab, &hooked(lab, options)?)?;
        protected_by(lab, &first)?;
        first.silence()?;
        client.wait_for_lines(READY, 2, CONNECT)?;
        protected_by(lab, &second)?;
        flows(lab)?;
        contract(&[&first, &second])?.check(&capture.stop()?)
    })
    .unwrap();
}

/// The same server over UDP and over TCP, on the same port. A hook's environment does not show which of them
/// the client uses.
#[test]
fn a_server_with_an_unknown_transport_is_allowed_by_both_and_no_other_is() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let mut server = lab.openvpn_server(ServerOptions::default())?;
        let mut first = agent(lab, "[bootstrap]\nservers = [\"198.51.100.8\"]\n")?;
        let _floods = background_traffic(lab)?;
        let elsewhere = |tag: &str| -> Result<usize> {
            lab.host().udp("198.51.100.8:1194")?.on("eth0").tag(tag).count(20).send()?;
            Ok(seen(&capture.so_far()?, tag))
        };
        assert_eq!(elsewhere("locked")?, 20, "the control: locked, every known server is reached");
        let options = ClientOptions::of(&server).line("remote 198.51.100.7 1194 tcp4-client");
        let options = options.user("nobody").persist().up_restart();
        let mut client = connect(lab, &hooked(lab, options)?)?;
        let both = |lab: &_| -> Result<()> {
            let status = becomes(lab, "protected")?;
            let of =
                |protocol: &str| json!({ "address": "198.51.100.7", "port": 1194, "protocol": protocol });
            let allowed = status["bootstrap"].as_array().cloned().unwrap_or_default();
            let exact = allowed.len() == 2 && ["udp", "tcp"].iter().all(|one| allowed.contains(&of(one)));
            ensure!(exact, "{status}");
            Ok(())
        };
        both(lab)?;
        flows(lab)?;
        assert_eq!(elsewhere("protected")?, 0);
        // The next agent knows the same, and the lost tunnel reconnects by itself.
        first.kill()?;
        let _second = agent(lab, "[bootstrap]\nservers = [\"198.51.100.8\"]\n")?;
        both(lab)?;
        server.silence()?;
        client.wait_for_line("ping-restart", CONNECT)?;
        becomes(lab, "lost")?;
        assert_eq!(elsewhere("lost")?, 20, "lost, every known server is reached");
        server.restart()?;
        client.wait_for_lines(READY, 2, CONNECT)?;
        both(lab)?;
        flows(lab)?;
        assert_eq!(elsewhere("again")?, 0);
        // On a busy machine the client also tries its second remote, the same server over TCP.
        let contract = contract(&[&server])?.endpoint("198.51.100.7:1194/tcp")?;
        contract.endpoint("198.51.100.8:1194/udp")?.check(&capture.stop()?)
    })
    .unwrap();
}

#[test]
fn a_restarted_agent_continues_with_the_existing_tunnel() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let config = "[bootstrap]\nservers = [\"198.51.100.7\", \"198.51.100.8\"]\n";
        let mut dead = agent(lab, config)?;
        let _floods = background_traffic(lab)?;
        let options = hooked(lab, ClientOptions::of(&server).user("nobody").persist())?;
        let mut client = connect(lab, &options)?;
        protected_by(lab, &server)?;

        dead.kill()?;
        let mut dead = agent(lab, config)?;
        protected_by(lab, &server)?;
        flows(lab)?;

        dead.kill()?;
        client.kill()?;
        let mut dead = agent(lab, config)?;
        becomes(lab, "lost")?;
        println!("{}", support::openvpn::lost_because(&dead)?);

        dead.kill()?;
        let _client = connect(lab, &options)?;
        let waiting = left(lab)?;
        ensure!(waiting.contains("198.51.100.7:1194/udp"), "the hook left {waiting}");
        let _agent = agent(lab, config)?;
        protected_by(lab, &server)?;
        flows(lab)?;
        assert_eq!(left(lab)?, "", "a report is taken up twice");
        contract(&[&server])?.check(&capture.stop()?)
    })
    .unwrap();
}

/// The reports that hooks have stored for the agent.
fn left(lab: &Lab) -> Result<String> {
    lab.host().succeed(["sh", "-c", "cat /run/tunwarden/reports/* 2>/dev/null || true"])
}

#[test]
fn reports_of_hooks_while_the_agent_hangs_count_afterwards() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        // With this configuration only a tunnel that root reports counts.
        let mut agent = agent(lab, "[vpn]\nconnections = [\"another\"]\n")?;
        let _floods = background_traffic(lab)?;
        agent.signal(Signal::SIGSTOP)?;
        let mut client = connect(lab, &hooked(lab, ClientOptions::of(&server))?)?;
        ensure!(left(lab)?.contains("198.51.100.7:1194/udp"), "the hook left {}", left(lab)?);
        agent.signal(Signal::SIGCONT)?;
        protected_by(lab, &server)?;
        flows(lab)?;
        assert_eq!(left(lab)?, "");

        agent.signal(Signal::SIGSTOP)?;
        client.stop()?;
        ensure!(left(lab)?.contains("down-asked"), "the hook left {}", left(lab)?);
        agent.signal(Signal::SIGCONT)?;
        becomes(lab, "locked")?;
        // The client starts and ends while the agent is stopped.
        agent.signal(Signal::SIGSTOP)?;
        let mut client = connect(lab, &hooked(lab, ClientOptions::of(&server))?)?;
        client.stop()?;
        agent.signal(Signal::SIGCONT)?;
        tunwarden_lab::wait_for("the reports are taken", support::SOON, || {
            Ok(left(lab)?.is_empty().then_some(()))
        })?;
        becomes(lab, "locked")?;
        contract(&[&server])?.check(&capture.stop()?)
    })
    .unwrap();
}

#[test]
fn a_hook_that_can_neither_send_nor_store_its_report_logs_it_and_succeeds() {
    with_lab(|lab| {
        lab.host().succeed(["mkdir", "-p", "/run/tunwarden"])?;
        for options in ["ro", "size=4k,nr_inodes=2"] {
            let words = format!(
                "mount -t tmpfs -o {options} none /run/tunwarden && exec {} hook openvpn",
                support::TUNWARDEN
            );
            let hook = lab.host().command(["unshare", "-m", "sh", "-c", &words]);
            let hook = hook.env("script_type", "up").env("dev", "tun0").env("daemon_pid", "1").run()?;
            ensure!(hook.status.success(), "{options}: {}", hook.stderr);
            ensure!(hook.stderr.contains("this report is lost"), "{options}: {}", hook.stderr);
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn without_a_bus_the_client_connects_and_nothing_leaves_in_clear() {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        lab.host().file("/etc/tunwarden/config.toml", "")?;
        let mut agent = lab.host().spawn([support::TUNWARDEN, "agent", "--verbose"])?;
        tunwarden_lab::wait_for("the lock", support::SOON, || {
            Ok((status(lab)?["enforced"] == true).then_some(()))
        })?;
        let _floods = background_traffic(lab)?;
        let mut client = connect(lab, &hooked(lab, ClientOptions::of(&server))?)?;
        flows(lab)?;
        // Without a bus only the agent's log shows its state.
        agent.wait_for_line("-> protected", CONNECT)?;
        assert_eq!(left(lab)?, "", "the agent reads what hooks leave");
        let log = client.log();
        ensure!(log.contains("the agent did not receive the report"), "the hook did not say so: {log}");
        client.signal(Signal::SIGTERM)?;
        client.wait(CONNECT)?;
        agent.wait_for_line("-> locked; ", CONNECT)?;
        assert!(agent.is_running());
        contract(&[&server])?.check(&capture.stop()?)
    })
    .unwrap();
}
