//! A mesh VPN inside an OpenVPN tunnel. wireguard-go stands in for tailscaled: it sends with tailscaled's mark, and
//! the rules and routes are those that tailscaled sets.

use crate::support;

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use support::leak_test::LeakTest;
use support::openvpn::{CONNECT, connect, contract, hooked, protected_by};
use support::wireguard::Server;
use support::{SOON, agent, bus, wait_for_state};
use tunwarden_lab::openvpn::{ClientOptions, ServerOptions};
use tunwarden_lab::{Frame, Lab, Transport, with_lab};

/// The peer's address in the mesh.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 7, 0, 1));

/// Starts the mesh. Its file is not in `/etc/wireguard`, so the agent knows nothing of it.
fn join(lab: &Lab, server: &Server) -> Result<()> {
    let host = lab.host();
    server.write(lab, "tailscale0", "Table = off\nFwMark = 0x80000")?;
    host.succeed(["mkdir", "-p", "/run/mesh"])?;
    host.succeed(["mv", "/etc/wireguard/tailscale0.conf", "/run/mesh/"])?;
    host.succeed(["wg-quick", "up", "/run/mesh/tailscale0.conf"])?;
    for line in [
        "rule add priority 5210 fwmark 0x80000/0xff0000 lookup main",
        "rule add priority 5270 lookup 52",
        "route add 10.7.0.0/24 dev tailscale0 table 52",
    ] {
        host.succeed(["ip"].into_iter().chain(line.split(' ')))?;
    }
    Ok(())
}

/// How many of these frames are the mesh's own packets outside the tunnel.
fn past(frames: &[Frame]) -> usize {
    let is_past = |frame: &&Frame| matches!(frame.transport(), Some(Transport::Udp { to: 51_820, .. }));
    frames.iter().filter(is_past).count()
}

#[test]
fn a_mesh_works_inside_the_vpn_and_never_past_it() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let (mesh, vpn) = (Server::start(lab)?, lab.openvpn_server(ServerOptions::default())?);
        join(lab, &mesh)?;
        let reaches = |bound| lab.host().ping(PEER).count(3).await_answers(bound).send();
        // The control: without a VPN and without the agent, the mesh's packets are seen.
        let capture = lab.capture()?;
        ensure!(reaches(CONNECT)?.answered == 3, "the mesh carries nothing");
        ensure!(past(&capture.stop()?) > 0, "the control: the mesh was not seen");

        let mut leak_test = LeakTest::begin(lab)?;
        let config = format!(
            "[tunnel]\ninterfaces = [\"tun+\", \"tailscale0\"]\n[bootstrap]\nscope = \"known\"\nservers = [\"{}\"]\n",
            vpn.endpoint()
        );
        let agent = agent(lab, &config)?;
        wait_for_state(lab, "locked")?;
        leak_test.await_silence()?;
        leak_test.close()?;
        let sent = lab.host().ping(PEER).count(3).send()?;
        ensure!(sent.answered == 0, "locked, and the mesh reaches its peer: {sent:?}");

        let client = connect(lab, &hooked(lab, ClientOptions::of(&vpn))?)?;
        protected_by(lab, &vpn)?;
        ensure!(reaches(SOON)?.answered == 3, "the mesh carries nothing through the VPN: {}", agent.log());
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        drop(client);
        wait_for_state(lab, "lost")?;
        let sent = lab.host().ping(PEER).count(3).send()?;
        ensure!(sent.answered == 0, "the VPN is lost, and the mesh reaches its peer: {sent:?}");
        leak_test.check("a mesh in the VPN", &contract(&[&vpn])?)?;
        assert_eq!(past(&leak_test.since_closed()?), 0, "the mesh sends past the VPN");
        Ok(())
    })
}
