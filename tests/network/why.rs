//! `why`: compares its answers for random packets with what the ISP, the tunnel and a container see.

mod on_the_bus;

use crate::support;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use support::{SOON, TUNWARDEN, agent, bus, wait_for_state};
use tunwarden_lab::{Frame, Lab, Process, TAG_MARK, wait_for, with_lab};

const CONFIG: &str = "[bootstrap]\nservers = [\"198.51.100.7\", \"[2001:db8:7::7]\"]\n";

/// Other configurations of a locked machine.
const CONFIGS: [&str; 2] = [
    "[lan]\nallow = false\n[docker]\nallow = []\n",
    "[lan]\nservices = [\"wake-on-lan\"]\n[docker]\nallow = [{ protocol = \"udp\", ports = [443], to = \"10.0.0.0/8\" }]\n\
     [input]\nallow = [{ protocol = \"udp\", ports = [443] }]\n",
];

/// The same seed gives the same packets.
const SEED: u64 = 0x7477;

/// Number of packets for each sender and configuration.
const PACKETS: usize = 150;

/// A tunnel of root, and routes to two addresses outside it.
const ROUTES: &str = "link set tun0 up\naddr add 10.8.0.2/24 dev tun0\nroute add 0.0.0.0/1 dev tun0\n\
                      route add 128.0.0.0/1 dev tun0\nroute add 198.51.100.7 via 10.0.0.1\n\
                      route add 203.0.113.77 via 10.0.0.1\n";

/// Gives IPv6 addresses to the container and its bridge.
const IPV6: &str = "
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    ip address add fd00:d0c::1/64 dev docker0 nodad
    ip -n c1 address add fd00:d0c::2/64 dev eth0 nodad
    ip -n c1 route add default via fd00:d0c::1";

/// The first packet of a connection carries data, also to a server that has sent no cookie for that (RFC 7413): 5 is "as a
/// client, without a cookie".
const FAST_OPEN: &str = "
    echo 5 >/proc/sys/net/ipv4/tcp_fastopen
    echo 0 >/proc/sys/net/ipv4/tcp_fastopen_blackhole_timeout_sec";

/// Rules of other programs: one that refuses as ufw does, those of [`NOT_KNOWN`], and holes in every layer.
const OTHERS: &str = "
    iptables -N ufw-user-output
    iptables -I OUTPUT 1 -j ufw-user-output
    iptables -A ufw-user-output -p udp --dport 25 -j DROP
    iptables -A ufw-user-output -p udp --dport 26 -m limit --limit 1000/second -j DROP
    iptables -t nat -A OUTPUT -p udp --dport 1900 -j REDIRECT --to-ports 9050
    iptables -t nat -A OUTPUT -d 10.0.0.2 -p udp --dport 443 -j DNAT --to-destination 172.17.0.2:4000
    iptables -t nat -A PREROUTING -d 10.0.0.2 -p udp --dport 443 -j DNAT --to-destination 203.0.113.77:4567
    iptables -t mangle -A OUTPUT -p udp --dport 67 -j MARK --set-mark 7
    for hook in OUTPUT FORWARD; do
        iptables -I $hook 1 -d 203.0.113.77 -p udp --dport 4567 -j ACCEPT
        ip6tables -I $hook 1 -d 2001:db8:9::77 -p udp --dport 4567 -j ACCEPT
    done
    for chain in 'inet tunwarden output' 'inet tunwarden forward' 'netdev tunwarden VPN_EGRESS'; do
        nft insert rule $chain ip daddr 203.0.113.77 udp dport 4567 accept
        nft insert rule $chain ip6 daddr 2001:db8:9::77 udp dport 4567 accept
    done";

/// Ports of IPv4 packets that a rule limits or marks, so that `why` cannot know where they go.
const NOT_KNOWN: [u16; 2] = [26, 67];

const GROUP: &str = "224.0.0.251";

/// The internet through the tunnel and past it, servers, the LAN, a private network, a container, this machine and a
/// group.
const DESTINATIONS: [&str; 17] = [
    "203.0.113.9",
    "203.0.113.77",
    "203.0.113.77",
    "198.51.100.7",
    "198.51.100.8",
    "10.0.0.1",
    "10.0.0.1",
    "192.168.77.1",
    "172.17.0.2",
    "10.0.0.2",
    GROUP,
    "2001:db8:7::7",
    "2001:db8:9::9",
    "2001:db8:9::77",
    "2001:db8:9::77",
    "fd00:0:0:1::1",
    "fd00:d0c::2",
];

/// Packets that every sender sends in addition: to the server, through the holes, and one that NAT redirects.
const ALWAYS: [(&str, u16); 4] =
    [("198.51.100.7", 1194), ("203.0.113.77", 4567), ("2001:db8:9::77", 4567), ("10.0.0.2", 443)];

/// The container's own addresses.
const CONTAINERS: [&str; 2] = ["172.17.0.2", "fd00:d0c::2"];

const PROTOCOLS: [&str; 2] = ["udp", "tcp"];

const PORTS: [u16; 12] = [25, 26, 53, 67, 443, 853, 1194, 1900, 4567, 4567, 5353, 40_001];

/// Opens the tunnel and prints the tag of each packet in it.
const TUNNEL: &str = "
import fcntl, os, re, struct
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH', b'tun0', 0x1001))
print('open', flush=True)
while True:
    for tag in re.findall(b'TAG-MARK(why-[a-z0-9]+)', os.read(tun, 65536)):
        print(tag.decode(), flush=True)
";

/// Prints the tag of each packet that a container receives. An ICMP answer to a packet of the container repeats its
/// tag, so only UDP and TCP count.
const CONTAINER: &str = "
import re, socket
inside = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
print('open', flush=True)
while True:
    packet, come = inside.recvfrom(65536)
    protocol = packet[20:21] if come[1] == 0x86dd else packet[23:24]
    if come[2] != socket.PACKET_OUTGOING and protocol[0] in (socket.IPPROTO_UDP, socket.IPPROTO_TCP):
        for tag in re.findall(b'TAG-MARK(why-[a-z0-9]+)', packet):
            print(tag.decode(), flush=True)
";

/// Sends a datagram or the first packet of a connection from a new socket for each line: tag, address, port and
/// protocol.
const SEND: &str = "
import socket, sys
for line in sys.stdin:
    tag, address, port, protocol = line.split()
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    kind, flags = (socket.SOCK_STREAM, 0x20000000) if protocol == 'tcp' else (socket.SOCK_DGRAM, 0)
    with socket.socket(family, kind) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(b'TAG-MARK' + tag.encode(), flags, (address, int(port)))
        except OSError:
            pass
";

fn python(script: &str) -> [String; 3] {
    ["python3".to_owned(), "-c".to_owned(), script.replace("TAG-MARK", TAG_MARK)]
}

/// One packet that `why` is asked about.
struct Packet {
    tag: String,
    address: &'static str,
    port: u16,
    protocol: &'static str,
}

impl Packet {
    fn target(&self) -> String {
        let Self { address, port, protocol, .. } = self;
        match address.contains(':') {
            true => format!("[{address}]:{port}/{protocol}"),
            false => format!("{address}:{port}/{protocol}"),
        }
    }

    fn line(&self) -> String {
        format!("{} {} {} {}\n", self.tag, self.address, self.port, self.protocol)
    }
}

/// Xorshift (Marsaglia, 2003).
fn random(state: &mut u64, below: usize) -> Result<usize> {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    Ok(usize::try_from(*state % u64::try_from(below)?)?)
}

fn packets(sender: &str, seed: &mut u64, addresses: &[&'static str]) -> Result<Vec<Packet>> {
    let packet = |number| {
        let (address, port, protocol) = match ALWAYS.get(number) {
            Some(&(address, port)) => (address, port, "udp"),
            None => {
                let address = addresses[random(seed, addresses.len())?];
                // The kernel opens no connection to a group.
                let protocols = if address == GROUP { &PROTOCOLS[..1] } else { &PROTOCOLS };
                let protocol = protocols[random(seed, protocols.len())?];
                (address, PORTS[random(seed, PORTS.len())?], protocol)
            }
        };
        Ok(Packet { tag: format!("why-{sender}{number}"), address, port, protocol })
    };
    (0..PACKETS).map(packet).collect()
}

/// What `why` says about each packet.
fn asked(lab: &Lab, sender: [&str; 2], packets: &[Packet]) -> Result<Vec<Value>> {
    let words = [TUNWARDEN, "why", "--json"].into_iter().chain(sender).map(ToOwned::to_owned);
    let output = lab.host().run(words.chain(packets.iter().map(Packet::target)))?;
    let said: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{output:?}")))
        .collect::<Result<_>>()?;
    ensure!(said.len() == packets.len(), "{output:?}");
    for one in &said {
        support::schema::check(support::schema::WHY, one)?;
    }
    Ok(said)
}

fn tags(process: &Process) -> BTreeSet<String> {
    process.log().lines().map(ToOwned::to_owned).collect()
}

/// Where a packet must appear according to its answer: on the provider's side, in the tunnel, and in the container.
fn expected(said: &Value, packet: &Packet) -> Option<[bool; 3]> {
    let verdict = said["verdict"].as_str()?;
    let leaves = matches!(verdict, "lan" | "server" | "clear");
    let address = said["sent_to"]["address"].as_str().unwrap_or(packet.address);
    let inside = verdict == "local" && CONTAINERS.contains(&address);
    (verdict != "unknown").then_some([leaves, verdict == "tunnel", inside])
}

fn in_container(script: &str) -> Vec<String> {
    let words = ["ip", "netns", "exec", "c1"].into_iter().map(ToOwned::to_owned);
    words.chain(python(script)).collect()
}

/// Sends one sender's packets, the same as in the questions to `why`.
fn send(lab: &Lab, sender: [&str; 2], packets: &[Packet]) -> Result<()> {
    let lines: String = packets.iter().map(Packet::line).collect();
    let command = match sender {
        ["--from", _] => lab.host().command(in_container(SEND)),
        [_, user] => lab.host().command(python(SEND)).user(user),
    };
    command.stdin(&lines).succeed().map(drop)
}

/// Where the packets of one configuration appear, besides the provider's side.
struct Watched<'a> {
    lab: &'a Lab,
    tunnel: &'a Process,
    container: &'a Process,
}

impl Watched<'_> {
    /// Where a packet appears. Waits for a moment if it is expected in the tunnel or the container.
    fn seen(&self, packet: &Packet, expected: [bool; 3], frames: &[Frame]) -> Result<[bool; 3]> {
        let has = |process: &Process| tags(process).contains(&packet.tag);
        for (process, is_expected) in [(self.tunnel, expected[1]), (self.container, expected[2])] {
            if is_expected {
                let what = format!("{} to {}", packet.tag, packet.target());
                wait_for(&what, SOON, || Ok(has(process).then_some(())))?;
            }
        }
        let is_outside = frames.iter().any(|frame| frame.is_tagged(&packet.tag));
        Ok([is_outside, has(self.tunnel), has(self.container)])
    }

    /// Asks about random packets of every sender, sends them, and compares. Returns which verdicts occur for which
    /// protocol.
    fn compare(&self, name: &str, seed: &mut u64) -> Result<BTreeSet<String>> {
        let of_container: Vec<&str> =
            DESTINATIONS.into_iter().filter(|to| !CONTAINERS.contains(to)).collect();
        let mut all = Vec::new();
        for (sender, destinations) in [
            (["--as", "nobody"], &DESTINATIONS[..]),
            (["--as", "root"], &DESTINATIONS[..]),
            (["--from", "docker0"], &of_container[..]),
        ] {
            let packets = packets(&format!("{name}{}", sender[1]), seed, destinations)?;
            let answers = asked(self.lab, sender, &packets)?;
            all.push((sender, packets, answers));
        }
        let capture = self.lab.capture()?;
        for (sender, packets, _) in &all {
            send(self.lab, *sender, packets)?;
        }
        // The last packets of the container may still be on their way to the provider.
        for (_, packets, answers) in &all {
            for (packet, said) in packets.iter().zip(answers) {
                if expected(said, packet).is_some_and(|[outside, ..]| outside) {
                    capture
                        .wait_for(1, SOON, |frame| frame.is_tagged(&packet.tag))
                        .with_context(|| said.to_string())?;
                }
            }
        }
        let frames = capture.stop()?;
        let (mut wrong, mut verdicts) = (Vec::new(), BTreeSet::new());
        for (sender, packets, answers) in &all {
            for (packet, said) in packets.iter().zip(answers) {
                let verdict = said["verdict"].as_str().unwrap_or_default();
                verdicts.insert(format!("{} {verdict}", packet.protocol));
                let Some(expected) = expected(said, packet) else {
                    let is_of_program = sender[0] == "--as" && !packet.address.contains(':');
                    let is_not_known = is_of_program && NOT_KNOWN.contains(&packet.port);
                    ensure!(is_not_known, "it is known: {name} {sender:?} {said}");
                    continue;
                };
                let seen = self.seen(packet, expected, &frames)?;
                if seen != expected {
                    wrong.push(format!("{name} {sender:?} seen {seen:?}: {said}"));
                }
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(verdicts)
    }
}

/// The control: checks that each of these kinds of answers occurs.
fn has_all(verdicts: &BTreeSet<String>, expected: &[&str]) -> Result<()> {
    for verdict in expected {
        ensure!(verdicts.contains(*verdict), "no packet is {verdict}: {verdicts:?}");
    }
    Ok(())
}

#[test]
fn why_says_what_happens_to_random_packets_and_whose_rule_decides() -> Result<()> {
    with_lab(|lab| {
        let (_bus, host) = (bus(lab)?, lab.host());
        host.bridged_container("c1", "docker0")?;
        host.succeed(["sh", "-ec", IPV6])?;
        host.succeed(["sh", "-ec", FAST_OPEN])?;
        host.succeed(["ip", "netns", "exec", "c1", "sh", "-ec", FAST_OPEN])?;
        let mut agent = agent(lab, CONFIG)?;
        let mut tunnel = host.spawn(python(TUNNEL))?;
        tunnel.wait_for_line("open", SOON)?;
        host.command(["ip", "-batch", "-"]).stdin(ROUTES).succeed()?;
        wait_for_state(lab, "protected")?;
        // The rules stay in force, and nothing repairs them.
        agent.kill()?;
        host.succeed(["sh", "-ec", OTHERS])?;
        let mut container = host.spawn(in_container(CONTAINER))?;
        container.wait_for_line("open", SOON)?;
        let mut seed = SEED;
        let watched = Watched { lab, tunnel: &tunnel, container: &container };
        let verdicts = watched.compare("protected", &mut seed)?;
        has_all(&verdicts, &["udp server", "udp clear", "udp unknown"])?;
        has_all(&verdicts, &["udp tunnel", "udp lan", "udp refused", "udp local"])?;
        has_all(&verdicts, &["tcp tunnel", "tcp lan", "tcp refused", "tcp local"])?;
        let ufw = host.run([TUNWARDEN, "why", "--as", "nobody", "10.0.0.1:25/udp", "203.0.113.77:443"])?;
        ensure!(ufw.status.code() == Some(3) && ufw.stdout.contains("REFUSED by ufw"), "{ufw:?}");
        ensure!(ufw.stdout.contains("REFUSED by tunwarden"), "{ufw:?}");
        // Without the tunnel, with other configurations. Docker's and ufw's rules stay, and `lock` removes the holes.
        host.succeed(["ip", "link", "del", "tun0"])?;
        for (number, config) in CONFIGS.iter().enumerate() {
            host.file("/etc/tunwarden/config.toml", &format!("{CONFIG}{config}"))?;
            host.succeed([TUNWARDEN, "lock"])?;
            let verdicts = watched.compare(&format!("locked{number}"), &mut seed)?;
            has_all(&verdicts, &["udp server", "udp refused", "udp local", "tcp refused", "tcp local"])?;
        }
        Ok(())
    })
}
