//! Tunnels whose packets the kernel itself sends. Such a packet has the owner of the packet inside it. VXLAN,
//! which every kernel has, stands in for WireGuard. A rule sets the mark that WireGuard sets by itself.

use crate::support;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::openvpn::seen;
use support::{SOON, agent, bus, chain, status};
use tunwarden_lab::{Capture, Lab, wait_for, with_lab};

/// The endpoint of the profile's one peer.
const PEER: &str = "198.51.100.9:51820";

/// A profile in NetworkManager's format. The keys belong to no real tunnel.
fn profile(fwmark: u32, endpoint: &str) -> String {
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    format!(
        "[connection]\nid=wg\nuuid=7e0a3b52-6bd1-4d5e-9a7c-0d8f3d1f7a11\ntype=wireguard\ninterface-name=wg0\n\
         autoconnect=false\n\n[wireguard]\nfwmark={fwmark}\nprivate-key={key}\n\n[wireguard-peer.{key}]\n\
         endpoint={endpoint}\nallowed-ips=10.99.0.0/24;\n\n[ipv4]\nmethod=disabled\n\n[ipv6]\nmethod=disabled\n"
    )
}

/// Saves the profile in the real NetworkManager.
fn save(lab: &Lab, text: &str) -> Result<()> {
    let path = "/etc/NetworkManager/system-connections/wg.nmconnection";
    lab.host().file_with_mode(path, text, 0o600)?;
    lab.host().succeed(["nmcli", "connection", "load", path]).map(drop)
}

/// Makes a tunnel of the kernel to the peer. Every packet to 10.99.0.1 goes into it, from any user.
fn make_vxlan_tunnel(lab: &Lab) -> Result<()> {
    let batch = "link add vx0 type vxlan id 7 remote 198.51.100.9 dstport 51820\n\
                 addr add 10.99.0.2/24 dev vx0\nlink set vx0 up\n\
                 neigh replace 10.99.0.1 lladdr 02:00:00:00:00:01 dev vx0 nud permanent\n";
    lab.host().command(["ip", "-batch", "-"]).stdin(batch).succeed().map(drop)
}

/// The administrator's rule that sets the transport's mark. tunwarden does not change its table.
fn mark(lab: &Lab, verb: &str) -> Result<()> {
    let rule = ["-t", "mangle", verb, "OUTPUT", "-o", "vx0", "-j", "MARK", "--set-mark", "0x7766"];
    lab.host().succeed(["iptables"].into_iter().chain(rule)).map(drop)
}

fn send(lab: &Lab, target: &str, user: &str, tag: &str) -> Result<()> {
    lab.host().udp(target)?.from_user(user).tag(tag).count(10).send().map(drop)
}

fn await_seen(capture: &Capture, tag: &str) -> Result<()> {
    wait_for(&format!("{tag} is seen"), SOON, || Ok((seen(&capture.so_far()?, tag) == 10).then_some(())))
}

/// Checks that the packets in the tunnel reached the peer and no other host.
fn reached_the_peer(capture: &Capture, tag: &str) -> Result<()> {
    await_seen(capture, tag)?;
    let peer: std::net::SocketAddr = PEER.parse()?;
    let frames = capture.so_far()?;
    let stray = frames.iter().find(|frame| frame.is_tagged(tag) && frame.destination() != Some(peer.ip()));
    ensure!(stray.is_none(), "{tag}: {stray:?}");
    Ok(())
}

fn await_bootstrap(lab: &Lab, wanted: &Value) -> Result<()> {
    wait_for(&format!("the bootstrap is {wanted}"), SOON, || {
        Ok(status(lab).is_ok_and(|is| is["bootstrap"] == *wanted && is["enforced"] == true).then_some(()))
    })
}

fn by(by: &str) -> Value {
    json!([{ "address": "198.51.100.9", "port": 51820, "protocol": "udp", "by": by }])
}

#[test]
fn without_the_agent_every_packet_is_seen() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        make_vxlan_tunnel(lab)?;
        send(lab, PEER, "nobody", "own")?;
        send(lab, "10.99.0.1:4000", "nobody", "inner")?;
        await_seen(&capture, "own")?;
        reached_the_peer(&capture, "inner")
    })
}

#[test]
fn by_its_mark_a_user_s_packet_passes_in_the_tunnel_and_a_socket_beside_it_does_not() -> Result<()> {
    with_lab(|lab| {
        let (bus, capture) = (bus(lab)?, lab.capture()?);
        let _nm = lab.host().network_manager(&bus)?;
        save(lab, &profile(0x7766, PEER))?;
        make_vxlan_tunnel(lab)?;
        let _agent = agent(lab, "[tunnel]\ninterfaces = [\"wg+\"]\n")?;
        await_bootstrap(lab, &by("mark 0x7766"))?;
        let rules = chain(lab, "iptables", "VPN_BOOTSTRAP")?;
        let rule =
            "-A VPN_BOOTSTRAP -d 198.51.100.9/32 -p udp -m udp --dport 51820 -m mark --mark 0x7766 -j ACCEPT";
        assert_eq!(rules, [rule]);

        for user in ["nobody", "root"] {
            send(lab, "10.99.0.1:4000", user, "unmarked")?;
            send(lab, PEER, user, "beside")?;
        }
        mark(lab, "-A")?;
        for user in ["nobody", "root"] {
            send(lab, "10.99.0.1:4000", user, user)?;
            reached_the_peer(&capture, user)?;
            send(lab, PEER, user, "beside")?;
        }
        let frames = capture.stop()?;
        for tag in ["unmarked", "beside"] {
            assert_eq!(seen(&frames, tag), 0, "{tag}");
        }
        Ok(())
    })
}

/// The reason for the separate rule form: with the form for a client only root's packets in the tunnel pass.
#[test]
fn by_its_owner_a_user_s_packet_in_the_tunnel_would_be_dropped() -> Result<()> {
    with_lab(|lab| {
        let (_bus, capture) = (bus(lab)?, lab.capture()?);
        make_vxlan_tunnel(lab)?;
        let _agent = agent(lab, &format!("[bootstrap]\nservers = [\"{PEER}/udp\"]\n"))?;
        for user in ["nobody", "root"] {
            send(lab, "10.99.0.1:4000", user, user)?;
        }
        reached_the_peer(&capture, "root")?;
        assert_eq!(seen(&capture.stop()?, "nobody"), 0);
        Ok(())
    })
}

#[test]
fn without_a_mark_a_named_profile_opens_its_exact_endpoint_and_any_other_profile_nothing() -> Result<()> {
    with_lab(|lab| {
        let (bus, capture) = (bus(lab)?, lab.capture()?);
        let _nm = lab.host().network_manager(&bus)?;
        save(lab, &profile(0, PEER))?;
        make_vxlan_tunnel(lab)?;
        let mut first = agent(lab, "")?;
        wait_for("the agent logs it", SOON, || {
            let said = "wg: its servers are left out: the kernel itself sends its packets";
            Ok((first.log().matches(said).count() == 1).then_some(()))
        })?;
        await_bootstrap(lab, &json!([]))?;
        send(lab, "10.99.0.1:4000", "nobody", "unnamed")?;
        send(lab, PEER, "nobody", "unnamed")?;
        first.stop()?;

        let _agent = agent(lab, "[vpn]\nconnections = [\"wg\"]\n")?;
        await_bootstrap(lab, &by("anybody"))?;
        send(lab, "10.99.0.1:4000", "nobody", "inner")?;
        reached_the_peer(&capture, "inner")?;
        // The cost of this form, which `status` reports: any user can send to the peer.
        send(lab, PEER, "nobody", "own")?;
        await_seen(&capture, "own")?;
        send(lab, "198.51.100.9:51821", "nobody", "port")?;
        send(lab, "198.51.100.8:51820", "root", "host")?;
        let frames = capture.stop()?;
        for tag in ["unnamed", "port", "host"] {
            assert_eq!(seen(&frames, tag), 0, "{tag}");
        }
        let text = support::tunwarden(lab, ["status"])?.stdout;
        ensure!(text.contains("198.51.100.9:51820/udp (the kernel itself: anybody)"), "{text}");
        Ok(())
    })
}

#[test]
fn a_peer_with_a_name_is_looked_up_and_pinned() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        let dns = lab.isp().dns(tunwarden_lab::address::ROUTER)?;
        dns.set("wg.example.net", &["198.51.100.9", "127.0.0.1"])?;
        let _nm = lab.host().network_manager(&bus)?;
        save(lab, &profile(0x7766, "wg.example.net:51820"))?;
        let _agent = agent(lab, "[vpn]\nconnections = [\"wg\"]\n")?;
        await_bootstrap(lab, &by("mark 0x7766"))?;
        wait_for("its pin", SOON, || {
            let hosts = lab.host().read("/etc/hosts")?;
            Ok(hosts.contains("\n198.51.100.9 wg.example.net\n").then_some(()))
        })
        .context("NetworkManager asks for it by the system's own resolver")
    })
}
