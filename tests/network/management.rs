//! Plain OpenVPN with a management socket and without any hook: the agent reads the client's state at the
//! socket, and learns of a loss at once.

use crate::support;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use support::openvpn::{
    BACKGROUND_TAG, CONNECT, background_traffic, becomes, connect, contract, endpoint, flows, lost_because,
    seen,
};
use support::{SOON, agent, bus, start_agent, status, tunwarden};
use tunwarden_lab::openvpn::{ClientOptions, READY, Server, ServerOptions};
use tunwarden_lab::{Lab, Process, wait_for, with_lab};

/// Allows only known servers. The timeout for a silent server is much longer than the client's own.
const CONFIG: &str = "[bootstrap]\nscope = \"known\"\n[vpn]\nsilence = \"5m\"\n";

const SOCKET: &str = "/run/openvpn/lab.sock";

const LOST: &str = "the VPN client says on its management socket that it lost its server";

/// A client that changes its user to nobody, keeps its tunnel over a restart, and has a management socket.
fn heard(lab: &Lab, server: &Server) -> Result<ClientOptions> {
    lab.host().succeed(["sh", "-c", "mkdir -p -m 755 /run/openvpn; chmod 755 /run"])?;
    let options = ClientOptions::of(server).user("nobody").persist();
    Ok(options.line(&format!("management {SOCKET} unix")))
}

fn protected_by(lab: &Lab, server: &Server) -> Result<()> {
    // The kernel may show the tunnel before its client reports it.
    wait_for("the source is the management socket", SOON, || {
        Ok((status(lab)?["tunnels"][0]["source"] == "management").then_some(()))
    })?;
    let status = becomes(lab, "protected")?;
    let tunnel = &status["tunnels"][0];
    ensure!(tunnel["endpoint"] == endpoint(server), "another endpoint in use: {status}");
    ensure!(status["bootstrap"] == serde_json::json!([endpoint(server)]), "more is allowed: {status}");
    Ok(())
}

#[test]
fn a_loss_is_reported_by_the_socket_at_once_and_nothing_leaves_in_clear() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let mut server = lab.openvpn_server(ServerOptions::default())?;
        // The control: without an agent the ISP sees the same probes.
        let floods = background_traffic(lab)?;
        wait_for("the control: without an agent they leave", SOON, || {
            Ok((seen(&capture.so_far()?, BACKGROUND_TAG) > 20).then_some(()))
        })?;
        let mut agent = agent(lab, CONFIG)?;
        let before = capture.so_far()?.len();
        let mut client = connect(lab, &heard(lab, &server)?)?;
        protected_by(lab, &server).with_context(|| agent.log())?;
        flows(lab)?;

        // The server dies, and the client's own `ping-restart` notices it. The tunnel and its routes stay.
        server.silence()?;
        client.wait_for_line("ping-restart", CONNECT)?;
        let lost = becomes(lab, "lost")?;
        ensure!(lost["loss"]["seen_by"] == "management", "{lost}");
        ensure!(lost["loss"]["reason"] == LOST && lost_because(&agent)? == LOST, "{lost}");
        ensure!(lost["loss"]["name"] != "" && lost["loss"]["interface"] == "tun0", "{lost}");
        let routes = lab.host().succeed("ip route show 0.0.0.0/1".split(' '))?;
        ensure!(routes.contains("tun0"), "the link shows the loss too: {routes}");
        server.restart()?;
        client.wait_for_lines(READY, 2, CONNECT)?;
        protected_by(lab, &server)?;
        flows(lab)?;

        // The next agent reads the client's current state.
        agent.kill()?;
        let states = start_agent(lab)?;
        protected_by(lab, &server)?;
        ensure!(!states.log().contains(" is lost: "), "a false loss: {}", states.log());

        // The client reconnects on SIGUSR1, and ends on SIGTERM.
        client.signal(Signal::SIGUSR1)?;
        wait_for("the agent reports the loss", SOON, || {
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
        println!("{} frames, {} of the pressure", frames.len(), seen(&frames, BACKGROUND_TAG));
        contract(&[&server])?.check(&frames)
    })
}

#[test]
fn a_socket_in_a_folder_that_others_can_write_is_not_used_and_is_reported() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let agent = agent(lab, CONFIG)?;
        lab.host().succeed(["mkdir", "-p", "-m", "1777", "/run/open"])?;
        let options = ClientOptions::of(&server).line("management /run/open/lab.sock unix");
        let mut client = connect(lab, &options)?;
        wait_for("the agent logs it", SOON, || {
            Ok(agent.log().contains("others than root can write /run/open").then_some(()))
        })?;
        flows(lab)?;
        let told = becomes(lab, "protected")?;
        ensure!(told["tunnels"][0]["source"] == "kernel", "the socket was used: {told}");
        ensure!(!client.log().contains("MANAGEMENT: Client connected"), "{}", client.log());
        client.stop().map(drop)
    })
}

#[test]
fn another_program_on_the_management_socket_is_left_connected() -> Result<()> {
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
        wait_for("the agent logs it", SOON, || {
            Ok(agent.log().contains("another program uses this socket").then_some(()))
        })?;
        let told = becomes(lab, "protected").with_context(|| agent.log())?;
        ensure!(other.is_running() && told["tunnels"][0]["source"] == "kernel", "{told}: {}", agent.log());
        is_reported(lab, Some("another program uses this socket"))?;
        // The agent connects some time after the other program has disconnected.
        other.kill()?;
        wait_for("the agent connects", SOON * 3, || {
            Ok((status(lab)?["tunnels"][0]["source"] == "management").then_some(()))
        })?;
        ensure!(status(lab)?["management"][0]["heard"] == true, "{}", status(lab)?);
        is_reported(lab, None)?;
        client.stop()?;
        wait_for("the client has ended, which is no fault", SOON, || {
            Ok((status(lab)?["management"][0]["heard"] == false).then_some(()))
        })?;
        is_reported(lab, None)
    })
}

/// Checks that `status --json`, `status` and the doctor report that the agent cannot read the client's
/// socket, and the reason.
fn is_reported(lab: &Lab, fault: Option<&str>) -> Result<()> {
    let socket = &status(lab)?["management"][0];
    ensure!(socket["socket"] == SOCKET, "{socket}");
    ensure!(
        socket["file"].as_str().is_some_and(|file| file.starts_with("/etc/openvpn/client/lab")),
        "{socket}"
    );
    let told = socket["fault"].as_str();
    let people = tunwarden(lab, ["status"])?.stdout;
    let doctor = tunwarden(lab, ["doctor", "--json"])?.stdout;
    let found = doctor.contains("\"management-not-heard\"");
    match fault {
        Some(fault) => {
            ensure!(told.is_some_and(|told| told.contains(fault)), "{socket}");
            ensure!(
                people.contains(&format!("not connected: {SOCKET}")) && people.contains(fault),
                "{people}"
            );
            ensure!(found && doctor.contains(SOCKET), "{doctor}");
        }
        None => {
            ensure!(told.is_none() && !people.contains("not heard") && !found, "{socket}\n{people}\n{doctor}")
        }
    }
    Ok(())
}

/// A process that imitates OpenVPN's management interface and listens as `user`. Root has made the socket in
/// a folder where only root can write. The process claims to be connected with the address of a real tunnel.
fn speaker(lab: &Lab, user: &str, address: &str) -> Result<Process> {
    let talk = format!(
        "import os, pwd, socket, time\n\
         if os.path.exists('{SOCKET}'): os.unlink('{SOCKET}')\n\
         s = socket.socket(socket.AF_UNIX)\ns.bind('{SOCKET}')\n\
         user = pwd.getpwnam('{user}')\nos.setgid(user.pw_gid)\nos.setuid(user.pw_uid)\n\
         s.listen(5)\nprint('listening as', os.getuid(), flush=True)\nc, _ = s.accept()\n\
         try:\n\
         \x20   c.sendall(b\">INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info\\r\\n\")\n\
         \x20   asked = c.recv(100)\n\
         \x20   c.sendall(b'1,CONNECTED,SUCCESS,{address},198.51.100.7,1194,,\\r\\nEND\\r\\n')\n\
         except OSError: asked = b''\n\
         print('asked', asked, flush=True)\ntime.sleep(1000)\n"
    );
    let mut speaker = lab.host().spawn(["python3", "-c", &talk])?;
    speaker.wait_for_line("listening as", SOON)?;
    Ok(speaker)
}

#[test]
fn a_socket_of_another_user_gets_no_question_and_is_not_trusted() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        lab.host().succeed(["sh", "-c", "mkdir -p -m 755 /run/openvpn; chmod 755 /run"])?;
        let file = format!("client\nremote 198.51.100.7\nuser nobody\nmanagement {SOCKET} unix\n");
        lab.host().file("/etc/openvpn/client/work.conf", &file)?;
        let agent = agent(lab, CONFIG)?;
        let before = capture.so_far()?.len();
        // No trusted program has reported this tunnel. The impostor claims its address, so every claim is plausible.
        let _client = connect(lab, &ClientOptions::of(&server))?;
        let shown = lab.host().succeed("ip -o -4 addr show dev tun0".split(' '))?;
        let address = shown.split_whitespace().nth(3).and_then(|prefix| prefix.split('/').next());
        let address = address.with_context(|| format!("no address: {shown}"))?;

        let mut impostor = speaker(lab, "daemon", address)?;
        wait_for("the agent logs it", SOON, || {
            Ok(agent.log().contains("is at its other end, who is neither root nor").then_some(()))
        })?;
        impostor.wait_for_line("asked b''", SOON).context("the agent sent a command to the impostor")?;
        // The kernel alone shows the tunnel.
        let told = becomes(lab, "protected")?;
        ensure!(told["tunnels"][0]["source"] == "kernel", "{told}");
        ensure!(told["management"][0]["fault"].as_str().is_some_and(|why| why.contains("user 1 ")), "{told}");
        impostor.kill()?;
        // The controls: the same claims from root's process, and from the user that the configuration names.
        for user in ["root", "nobody"] {
            let mut speaker = speaker(lab, user, address)?;
            wait_for("the tunnel is the client's", SOON, || {
                Ok((status(lab)?["tunnels"][0]["source"] == "management").then_some(()))
            })
            .with_context(|| format!("{user}: {}", agent.log()))?;
            ensure!(speaker.log().contains("asked b'state on 1\\n'"), "{}", speaker.log());
            speaker.kill()?;
            wait_for("the speaker is gone", SOON, || {
                Ok((status(lab)?["state"] != "protected").then_some(()))
            })?;
        }
        contract(&[&server])?.check(&capture.stop()?.split_off(before))
    })
}
