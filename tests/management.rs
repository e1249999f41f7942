//! Plain OpenVPN with a management socket and without any hook: where its client stands is heard there,
//! and a loss at once.

mod support;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use support::openvpn::{
    CONNECT, PRESSURE, becomes, connect, contract, endpoint, flows, lost_because, pressure, seen,
};
use support::{SOON, agent, bus, start_agent, status};
use tunwarden_lab::openvpn::{ClientOptions, READY, Server, ServerOptions};
use tunwarden_lab::{Lab, wait_for, with_lab};

/// Nothing but what is known; and a silence is noticed long after the client has noticed it.
const CONFIG: &str = "[bootstrap]\nscope = \"known\"\n[vpn]\nsilence = \"5m\"\n";

const SOCKET: &str = "/run/openvpn/lab.sock";

const LOST: &str = "the VPN client says on its management socket that it lost its server";

/// A client that drops to nobody, keeps its tunnel over a restart, and is heard at its socket.
fn heard(lab: &Lab, server: &Server) -> Result<ClientOptions> {
    lab.host().succeed(["sh", "-c", "mkdir -p -m 755 /run/openvpn; chmod 755 /run"])?;
    let options = ClientOptions::of(server).user("nobody").persist();
    Ok(options.line(&format!("management {SOCKET} unix")))
}

fn protected_by(lab: &Lab, server: &Server) -> Result<()> {
    let status = becomes(lab, "protected")?;
    let tunnel = &status["tunnels"][0];
    ensure!(tunnel["source"] == "management", "who told of it: {status}");
    ensure!(tunnel["endpoint"] == endpoint(server), "another endpoint in use: {status}");
    ensure!(status["bootstrap"] == serde_json::json!([endpoint(server)]), "more is allowed: {status}");
    Ok(())
}

#[test]
fn a_loss_is_heard_at_the_socket_at_once_and_nothing_leaves_in_clear() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let mut server = lab.openvpn_server(ServerOptions::default())?;
        // The control: without an agent the same probes are seen.
        let floods = pressure(lab)?;
        wait_for("the control: without an agent they leave", SOON, || {
            Ok((seen(&capture.so_far()?, PRESSURE) > 20).then_some(()))
        })?;
        let mut agent = agent(lab, CONFIG)?;
        let before = capture.so_far()?.len();
        let mut client = connect(lab, &heard(lab, &server)?)?;
        protected_by(lab, &server).with_context(|| agent.log())?;
        flows(lab)?;

        // The server dies; the client's own ping-restart notices. Its tunnel stands, with its routes.
        server.silence()?;
        client.wait_for_line("ping-restart", CONNECT)?;
        let lost = becomes(lab, "lost")?;
        ensure!(lost["loss"]["seen_by"] == "management", "{lost}");
        ensure!(lost["loss"]["reason"] == LOST && lost_because(&agent)? == LOST, "{lost}");
        ensure!(lost["loss"]["name"] != "" && lost["loss"]["interface"] == "tun0", "{lost}");
        let routes = lab.host().succeed("ip route show 0.0.0.0/1".split(' '))?;
        ensure!(routes.contains("tun0"), "the link would have said it too: {routes}");
        server.restart()?;
        client.wait_for_lines(READY, 2, CONNECT)?;
        protected_by(lab, &server)?;
        flows(lab)?;

        // The agent that comes next hears it where it stands.
        agent.kill()?;
        let states = start_agent(lab)?;
        protected_by(lab, &server)?;
        ensure!(!states.log().contains(" is lost: "), "a loss that was none: {}", states.log());

        // It starts over on a signal, and is told to end.
        client.signal(Signal::SIGUSR1)?;
        wait_for("the loss is told", SOON, || {
            Ok(states.log().contains(&format!(" is lost: {LOST}")).then_some(()))
        })?;
        client.wait_for_lines(READY, 3, CONNECT)?;
        protected_by(lab, &server)?;
        client.stop()?;
        becomes(lab, "locked").with_context(|| states.log())?;
        for flood in &floods {
            flood.await_more(20)?;
        }
        let frames = capture.stop()?.split_off(before);
        println!("{} frames, {} of the pressure", frames.len(), seen(&frames, PRESSURE));
        contract(&[&server])?.check(&frames)
    })
}

#[test]
fn a_socket_that_others_could_have_made_is_not_listened_at_and_that_is_said() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let agent = agent(lab, CONFIG)?;
        lab.host().succeed(["mkdir", "-p", "-m", "1777", "/run/open"])?;
        let options = ClientOptions::of(&server).line("management /run/open/lab.sock unix");
        let mut client = connect(lab, &options)?;
        wait_for("it is said", SOON, || {
            Ok(agent.log().contains("others than root can write /run/open").then_some(()))
        })?;
        flows(lab)?;
        ensure!(status(lab)?["state"] == "locked", "{}", status(lab)?);
        ensure!(!client.log().contains("MANAGEMENT: Client connected"), "{}", client.log());
        client.stop().map(drop)
    })
}

#[test]
fn whoever_speaks_to_the_client_already_is_left_there() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let options = heard(lab, &server)?;
        let mut client = connect(lab, &options)?;
        let talk = format!(
            "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect('{SOCKET}')\n\
             for line in s.makefile():\n    print(line, end='', flush=True)\n"
        );
        let mut other = lab.host().spawn(["python3", "-c", &talk])?;
        other.wait_for_line("OpenVPN Management Interface", SOON)?;
        let agent = agent(lab, CONFIG)?;
        wait_for("it is said", SOON, || {
            Ok(agent.log().contains("another program speaks to the client").then_some(()))
        })?;
        ensure!(other.is_running() && status(lab)?["state"] == "locked", "{}", agent.log());
        // It is heard when the other goes, some time later.
        other.kill()?;
        wait_for("it is heard", SOON * 3, || Ok((status(lab)?["state"] == "protected").then_some(())))?;
        client.stop().map(drop)
    })
}
