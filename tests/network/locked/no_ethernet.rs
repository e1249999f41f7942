//! A wire without an Ethernet header, for example a modem. A tun device that is no tunnel stands in for it. On such a
//! wire a raw sender's bytes are the whole packet, and the sender declares its protocol. The program that has opened
//! the device plays the provider.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use tunwarden_lab::forged::{ethernet, packet, ports};
use tunwarden_lab::{Lab, Process, TAG_MARK, with_lab};

use super::{KNOWN, TIMEOUT};
use crate::support::kernel::Backend;

/// No configured tunnel has such a name.
const WIRE: &str = "wwan7";

/// Opens the device and prints the tag of each packet that leaves by it.
const PROVIDER: &str = "
import fcntl, os, re, struct
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH', b'WIRE', 0x1001))
print('open', flush=True)
while True:
    for tag in re.findall(b'TAG-MARK(raw-[a-z0-9]+)', os.read(tun, 65536)):
        print(tag.decode(), flush=True)
";

/// Sends the packet of each line: the protocol that its sender declares, and its bytes.
const SENDER: &str = "
import socket, sys
for line in sys.stdin:
    said, packet = line.split()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind(('WIRE', int(said)))
        try:
            sender.send(bytes.fromhex(packet))
        except OSError:
            pass
";

/// The protocols that the sender declares: IPv4, IPv6, ARP, Ethernet loopback, EAPOL, a PPPoE session, a VLAN.
const DECLARED: [u16; 7] = [0x0800, 0x86dd, 0x0806, 0x0060, 0x888e, 0x8864, 0x8100];

fn udp(to: &str, port: u16, tag: &str) -> Result<Vec<u8>> {
    let to: IpAddr = to.parse()?;
    Ok(packet(to, 17, 64, &ports(port, format!("{TAG_MARK}{tag}").as_bytes())))
}

/// Packets of one tag that must not leave.
fn refused(tag: &str) -> Result<Vec<Vec<u8>>> {
    let (out, out6) = (udp("203.0.113.9", 4000, tag)?, udp("2001:db8:9::9", 4000, tag)?);
    let dns = udp("10.77.0.1", 53, tag)?;
    let behind = |bytes: &[u8]| [bytes, &out].concat();
    let headers = [behind(&[0; 4]), behind(&[0x45; 14]), ethernet(0x0800, &out), ethernet(0x86dd, &out6)];
    Ok([vec![out, out6, dns], headers.to_vec()].concat())
}

/// Sends packets with the protocols they declare, and then one to the LAN: when the provider has read it, it has read
/// all earlier ones. Returns the tags of those that left.
fn send(lab: &Lab, provider: &mut Process, packets: &[(u16, String, Vec<u8>)]) -> Result<Vec<String>> {
    let end = format!("{}end", packets.last().map(|(_, tag, _)| tag.as_str()).unwrap_or_default());
    let last = (0x0800, end.clone(), udp("10.77.0.5", 4000, &end)?);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines = packets.iter().chain([&last]).map(|(said, _, bytes)| format!("{said} {}\n", hex(bytes)));
    let script = SENDER.replace("WIRE", WIRE);
    lab.host().command(["python3", "-c", &script]).stdin(&lines.collect::<String>()).succeed()?;
    provider.wait_for_line(&end, TIMEOUT)?;
    let log = provider.log();
    let left = packets.iter().filter(|(_, tag, _)| log.lines().any(|line| line.trim() == tag));
    Ok(left.map(|(_, tag, _)| tag.clone()).collect())
}

/// Packets that must not leave, with each declared protocol.
fn all(round: &str) -> Result<Vec<(u16, String, Vec<u8>)>> {
    let mut packets = Vec::new();
    for said in DECLARED {
        for n in 0..refused("")?.len() {
            let tag = format!("raw-{round}n{n}said{said:x}");
            packets.push((said, tag.clone(), refused(&tag)?.swap_remove(n)));
        }
    }
    Ok(packets)
}

#[test]
fn only_the_content_of_a_packet_counts_on_a_wire_without_ethernet() -> Result<()> {
    with_lab(|lab| {
        let script = PROVIDER.replace("TAG-MARK", TAG_MARK).replace("WIRE", WIRE);
        let mut provider = lab.host().spawn(["python3", "-c", &script])?;
        provider.wait_for_line("open", TIMEOUT)?;
        let batch = format!(
            "link set {WIRE} up\naddr add 10.77.0.2/24 dev {WIRE}\naddr add fd00:77::2/64 dev {WIRE} nodad\n"
        );
        lab.host().command(["ip", "-batch", "-"]).stdin(&batch).succeed()?;

        Backend::IptablesAlone.lock(lab, KNOWN)?;
        let control = send(lab, &mut provider, &all("control")?)?;
        let missing: Vec<_> =
            all("control")?.into_iter().map(|(_, tag, _)| tag).filter(|tag| !control.contains(tag)).collect();
        ensure!(missing.is_empty(), "the control: these do not pass beneath iptables: {missing:#?}");
        for (backend, round) in [(Backend::Nft, "both"), (Backend::NftablesAlone, "one")] {
            backend.lock(lab, KNOWN)?;
            let left = send(lab, &mut provider, &all(round)?)?;
            ensure!(left.is_empty(), "{} left with {backend:?}: {left:#?}", left.len());
            // An allowed packet leaves only with the protocol that it has.
            let lan =
                [(0x0800, "10.77.0.6", true), (0x86dd, "fd00:77::5", true), (0x0806, "10.77.0.5", false)];
            for (said, to, leaves) in lan {
                let tag = format!("raw-{round}lan{said:x}");
                let left = send(lab, &mut provider, &[(said, tag.clone(), udp(to, 4000, &tag)?)])?;
                ensure!(
                    left.len() == usize::from(leaves),
                    "to {to}, called {said:#06x}, with {backend:?}: {left:?}"
                );
            }
        }
        Ok(())
    })
}
