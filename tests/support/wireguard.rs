//! Real WireGuard in user space: wireguard-go in the ISP, and wg-quick on the host.

use anyhow::{Context, Result};
use tunwarden_lab::{Lab, Machine, Process, wait_for};

use super::SOON;

/// The server's endpoint.
pub const SERVER: &str = "198.51.100.9:51820";

/// A WireGuard server in the ISP, and the keys of its client. Dropping it kills it.
pub struct Server {
    _process: Process,
    key: String,
    client_key: String,
}

/// A private key and its public key.
fn keys(machine: &Machine) -> Result<(String, String)> {
    let private = machine.succeed(["wg", "genkey"])?.trim().to_owned();
    let public = machine.command(["wg", "pubkey"]).stdin(&private).succeed()?.trim().to_owned();
    Ok((private, public))
}

impl Server {
    /// Starts the server, and waits until it answers its own clients.
    pub fn start(lab: &Lab) -> Result<Self> {
        let isp = lab.isp();
        let ((own, key), (client_key, client)) = (keys(isp)?, keys(isp)?);
        let process = isp.spawn(["wireguard-go", "-f", "wgs"])?;
        wait_for("the server's socket", SOON, || {
            Ok(isp.outside("/run/wireguard/wgs.sock").exists().then_some(()))
        })?;
        let peer = format!("[Peer]\nPublicKey = {client}\nAllowedIPs = 10.7.0.2/32, fd00:7::2/128\n");
        isp.file("/run/wgs.conf", &format!("[Interface]\nPrivateKey = {own}\nListenPort = 51820\n{peer}"))?;
        let batch = "addr add 10.7.0.1/24 dev wgs\naddr add fd00:7::1/64 dev wgs nodad\nlink set wgs up\n";
        isp.succeed(["wg", "setconf", "wgs", "/run/wgs.conf"])?;
        isp.command(["ip", "-batch", "-"]).stdin(batch).succeed()?;
        Ok(Self { _process: process, key, client_key })
    }

    /// Writes the client's file for wg-quick, with these lines in `[Interface]`.
    pub fn write(&self, lab: &Lab, name: &str, interface: &str) -> Result<()> {
        let Self { key, client_key, .. } = self;
        let text = format!(
            "[Interface]\nPrivateKey = {client_key}\nAddress = 10.7.0.2/32, fd00:7::2/128\n{interface}\n\
             PostUp = touch /run/post-up\n\n[Peer]\nPublicKey = {key}\nEndpoint = {SERVER}\n\
             AllowedIPs = 0.0.0.0/0, ::/0\n"
        );
        lab.host().file_with_mode(&format!("/etc/wireguard/{name}.conf"), &text, 0o600)
    }
}

impl Server {
    /// Writes the client's file for systemd-networkd, with this mark.
    pub fn write_netdev(&self, lab: &Lab, name: &str, mark: &str) -> Result<()> {
        let Self { key, client_key, .. } = self;
        let text = format!(
            "[NetDev]\nName={name}\nKind=wireguard\n[WireGuard]\nPrivateKey={client_key}\nFirewallMark={mark}\n\
             [WireGuardPeer]\nPublicKey={key}\nEndpoint={SERVER}\nAllowedIPs=0.0.0.0/0\nAllowedIPs=::/0\n"
        );
        let path = format!("/etc/systemd/network/50-{name}.netdev");
        lab.host().file_with_mode(&path, &text, 0o640)?;
        lab.host().succeed(["chgrp", "systemd-network", &path]).map(drop)
    }
}

impl Server {
    /// Makes the host's device send to the server at another address, as a script does that looks up names again.
    pub fn move_to(&self, lab: &Lab, name: &str, address: &str, port: u16) -> Result<()> {
        let endpoint = std::net::SocketAddr::new(address.parse()?, port).to_string();
        lab.host().succeed(["wg", "set", name, "peer", &self.key, "endpoint", &endpoint]).map(drop)
    }
}

/// `wg-quick up` or `down`. If the kernel has no WireGuard, wg-quick starts wireguard-go.
pub fn wg_quick(lab: &Lab, verb: &str, name: &str) -> Result<()> {
    lab.host().succeed(["wg-quick", verb, name]).map(drop).with_context(|| format!("wg-quick {verb} {name}"))
}
