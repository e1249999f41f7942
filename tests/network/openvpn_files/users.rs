//! A tun device that NetworkManager makes for an ordinary user, under the name that root's file gives to its own.

use anyhow::{Result, ensure};
use serde_json::json;
use tunwarden_lab::{Lab, wait_for, with_lab};

use super::{KNOWN, await_allowed};
use crate::support::signals::Signals;
use crate::support::{SOON, agent, bus, chain, status, wait_for_state};

const FILE: &str = "client\nremote 198.51.100.7\ndev nordvpn0\ndev-type tun\n";

/// Opens the device as soon as it can, and reports when a packet for 203.0.113.9 is routed into it. The user also hides
/// who owns the device: the program sets root as its owner, and makes it not persistent.
const READ: &str = "
import fcntl, os, socket, struct, time
while True:
    tun = os.open('/dev/net/tun', os.O_RDWR)
    try:
        fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH', b'nordvpn0', 0x1001))
        break
    except OSError:
        os.close(tun)
        time.sleep(0.002)
fcntl.ioctl(tun, 0x400454cc, 0)
fcntl.ioctl(tun, 0x400454cb, 0)
print('open', flush=True)
while True:
    packet = os.read(tun, 4096)
    if packet[16:20] == socket.inet_aton('203.0.113.9'):
        print('carried', flush=True)
";

fn send(lab: &Lab) -> Result<u64> {
    let probe = lab.host().udp("203.0.113.9:4000")?.from_user("nobody").tag("users").count(20);
    Ok(probe.send()?.forbidden())
}

#[test]
fn networkmanagers_device_of_a_user_is_not_the_one_in_roots_file() -> Result<()> {
    with_lab(|lab| {
        let (bus, host) = (bus(lab)?, lab.host());
        let mut nm = host.network_manager(&bus)?;
        // On a desktop polkit lets the user make connections. Here everybody may.
        host.file("/etc/NetworkManager/conf.d/users.conf", "[main]\nauth-polkit=false\n")?;
        nm.restart()?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        host.file("/etc/openvpn/client/nord.conf", FILE)?;
        let signals = Signals::listen(&bus)?;
        let agent = agent(lab, &format!("{KNOWN}[vpn]\nconnections = [\"openvpn:nord\"]\n"))?;
        await_allowed(lab, &["198.51.100.7:1194/udp"])?;

        let add = "nmcli connection add type tun ifname nordvpn0 con-name mine mode tun autoconnect no ipv6.method disabled \
                   ipv4.method manual ipv4.addresses 10.99.0.1/24 ipv4.routes 0.0.0.0/1,128.0.0.0/1";
        host.command(add.split_ascii_whitespace()).user("nobody").succeed()?;
        let mut user = host.command(["python3", "-c", READ]).user("nobody").spawn()?;
        host.command("nmcli --wait 0 connection up mine".split(' ')).user("nobody").succeed()?;
        user.wait_for_line("open", SOON)?;
        wait_for("the agent has seen that everything is routed into the device", SOON, || {
            let left_out = status(lab)?["left_out"].to_string();
            Ok((left_out.contains("nordvpn0") && left_out.contains("--mktun")).then_some(()))
        })?;
        let way = host.succeed("ip route get 203.0.113.9".split(' '))?;
        ensure!(way.contains("dev nordvpn0"), "the control: {way}");
        ensure!(send(lab)? == 20, "a packet may go into the user's device");
        let rules = chain(lab, "iptables", "VPN_TUNNEL")?.join("\n");
        ensure!(!rules.contains("nordvpn0"), "{rules}");
        let is = status(lab)?;
        ensure!(is["state"] == "locked" && is["tunnels"] == json!([]) && is["enforced"] == true, "{is}");
        ensure!(signals.states().is_empty(), "{:?}: {}", signals.states(), agent.log());
        ensure!(!user.log().contains("carried"), "{}", user.log());

        // The control: root's own device of that name counts, and carries packets.
        host.command("nmcli connection delete mine".split(' ')).user("nobody").succeed()?;
        user.kill()?;
        wait_for("the user's device is gone", SOON, || {
            Ok((!host.run("ip link show nordvpn0".split(' '))?.status.success()).then_some(()))
        })?;
        let mut root = host.spawn(["python3", "-c", READ])?;
        let batch = "link set nordvpn0 up\naddr add 10.99.0.1/24 dev nordvpn0\n\
                     route add 0.0.0.0/1 dev nordvpn0\nroute add 128.0.0.0/1 dev nordvpn0\n";
        root.wait_for_line("open", SOON)?;
        host.command(["ip", "-batch", "-"]).stdin(batch).succeed()?;
        wait_for_state(lab, "protected")?;
        ensure!(send(lab)? == 0, "root's device carries nothing");
        root.wait_for_line("carried", SOON).map(drop)
    })
}
