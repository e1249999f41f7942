//! Containers that send to the internet without pause, and a capture at the ISP of what leaves.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Capture, Contract, Docker, Frame, Lab, Machine, Transport, wait_for};

use super::SOON;
use super::kernel::FAMILIES;

/// Hosts of the internet that only containers send packets to.
pub const CONTAINERS_V4: &str = "203.0.113.77";
pub const CONTAINERS_V6: &str = "2001:db8:9::77";

/// Options of dockerd that give Docker's own bridge IPv6.
pub const IPV6: [&str; 2] = ["--ipv6", "--fixed-cidr-v6=fd00:d0c::/64"];

/// Number of further packets of a kind after which a test knows that the containers send it.
const SOME: u64 = 40;

/// Pings in both families, and UDP from a new port with every packet. bash itself sleeps: a new process
/// for each sleep would limit the rate.
pub const FLOOD: &str = "
    trap exit TERM
    test -p /tmp/pipe || mkfifo /tmp/pipe
    exec 9<>/tmp/pipe
    for to in 203.0.113.77 2001:db8:9::77; do
        while :; do ping -q -i 0.002 $to; usleep 10000; done >/dev/null 2>&1 &
    done
    while :; do
        echo flood >/dev/udp/203.0.113.77/4000
        echo flood >/dev/udp/2001:db8:9::77/4000
        read -t 0.003 -u 9
    done 2>/dev/null";

/// The kinds of packets in a flood.
const KINDS: [&str; 4] = ["ping4", "udp4", "ping6", "udp6"];

/// Starts a container that floods. Docker restarts it after every end.
pub fn flooding(docker: &Docker, name: &str, network: &str) -> Result<()> {
    let network = format!("--network={network}");
    docker.run(["--name", name, "--restart=always", &network, "lab", "bash", "-c", FLOOD]).map(drop)
}

/// A user's network with IPv6. Its bridge has a name like those that Docker gives.
pub fn user_network(docker: &Docker) -> Result<()> {
    let bridge = "com.docker.network.bridge.name=br-user";
    let v6 = ["--ipv6", "--subnet=fd00:d0d::/64"];
    docker.cli(["network", "create", "-o", bridge].into_iter().chain(v6).chain(["user"])).map(drop)
}

/// The state after a boot: no firewall rules and no Docker bridges.
pub fn boot(lab: &Lab) -> Result<()> {
    lab.host().succeed(["nft", "flush", "ruleset"])?;
    for bridge in ["docker0", "br-user"] {
        lab.host().run(["ip", "link", "del", bridge])?;
    }
    Ok(())
}

/// Number of packets that a rule without a verdict has matched. `rule` is written as `iptables -S` prints
/// it. The first call adds the rule.
pub fn counted(machine: &Machine, table: &str, rule: &str) -> Result<u64> {
    let iptables = |words: &str| machine.succeed(format!("iptables -w -t {table} {words}").split(' '));
    let counter = || {
        let listing = iptables("-v -S")?;
        let line = listing.lines().find_map(|line| line.strip_prefix(&format!("-A {rule} -c ")));
        Ok::<_, anyhow::Error>(line.and_then(|counts| Some(counts.split_once(' ')?.0.to_owned())))
    };
    if counter()?.is_none() {
        iptables(&format!("-A {rule}"))?;
    }
    Ok(counter()?.with_context(|| format!("the kernel writes {rule:?} otherwise"))?.parse()?)
}

/// Sets whether iptables sees the packets inside a bridge: `1` or `0`.
pub fn bridge_nf(lab: &Lab, value: &str) -> Result<()> {
    for family in FAMILIES {
        lab.host().sysctl(&format!("net.bridge.bridge-nf-call-{family}"), value)?;
    }
    Ok(())
}

/// A capture at the ISP of what the containers send.
pub struct Watch<'a> {
    lab: &'a Lab,
    capture: Capture,
    from: usize,
    contract: Contract,
}

impl<'a> Watch<'a> {
    /// Starts the capture.
    ///
    /// # Errors
    /// When the capture cannot start.
    pub fn begin(lab: &'a Lab, contract: Contract) -> Result<Self> {
        Ok(Self { lab, capture: lab.capture()?, from: 0, contract })
    }

    /// The positive control: waits until new packets of every kind leave in clear.
    ///
    /// # Errors
    /// When the ISP does not see one of the kinds.
    pub fn is_seen(&self, why: &str) -> Result<()> {
        let so_far = self.capture.so_far()?;
        for kind in KINDS {
            let before = so_far.iter().filter(|frame| is(kind, frame)).count();
            let seen = self.capture.wait_for(before + 20, SOON * 2, |frame| is(kind, frame));
            seen.with_context(|| format!("{why}: the ISP does not see the containers' {kind}"))?;
        }
        Ok(())
    }

    /// From this call on no packet may leave.
    ///
    /// # Errors
    /// When the capture has failed.
    pub fn close(&mut self) -> Result<()> {
        self.from = self.capture.so_far()?.len();
        Ok(())
    }

    /// Waits until the containers have sent every kind again. Then checks every packet that left since
    /// `close`.
    ///
    /// # Errors
    /// When a packet left in clear. `promise` names the broken promise.
    pub fn check(&self, promise: &str) -> Result<()> {
        await_tries(self.lab).with_context(|| promise.to_owned())?;
        self.contract.check(&self.since_closed()?).with_context(|| promise.to_owned())
    }

    /// The packets that left since `close`.
    ///
    /// # Errors
    /// When the capture has failed.
    pub fn since_closed(&self) -> Result<Vec<Frame>> {
        Ok(self.capture.so_far()?.split_off(self.from))
    }
}

/// Counts the packets of containers before any firewall: rules in raw that have no verdict.
pub fn count_tries(lab: &Lab) -> Result<()> {
    for (tool, to, ping) in [("iptables", CONTAINERS_V4, "icmp"), ("ip6tables", CONTAINERS_V6, "icmpv6")] {
        for protocol in [ping, "udp"] {
            lab.host().succeed([tool, "-w", "-t", "raw", "-A", "PREROUTING", "-d", to, "-p", protocol])?;
        }
    }
    Ok(())
}

/// How many packets of each kind the containers have sent.
pub fn tries(lab: &Lab) -> Result<[u64; 4]> {
    let mut counts = Vec::new();
    for tool in ["iptables", "ip6tables"] {
        let listing = lab.host().succeed([tool, "-w", "-t", "raw", "-vnxL", "PREROUTING"])?;
        let ours =
            listing.lines().filter(|line| line.contains(CONTAINERS_V4) || line.contains(CONTAINERS_V6));
        for line in ours {
            counts.push(line.split_whitespace().next().context("no count")?.parse()?);
        }
    }
    counts.try_into().map_err(|counts| anyhow::anyhow!("the counting rules are gone: {counts:?}"))
}

fn await_tries(lab: &Lab) -> Result<()> {
    let before = tries(lab)?;
    wait_for("containers try every kind", SOON * 3, || {
        let now = tries(lab)?;
        Ok(now.iter().zip(before).all(|(now, before)| *now >= before + SOME).then_some(()))
    })
    .with_context(|| format!("{KINDS:?} were {before:?}, are {:?}", tries(lab)))
}

/// Prints how many packets of each kind the containers send per second.
#[expect(clippy::disallowed_methods, reason = "a measurement that is printed, and nothing depends on")]
pub fn rate(lab: &Lab) -> Result<()> {
    let (start, before) = (std::time::Instant::now(), tries(lab)?);
    await_tries(lab)?;
    std::thread::sleep(Duration::from_secs(1));
    let (after, took) = (tries(lab)?, start.elapsed().as_secs_f64());
    let rates: Vec<f64> =
        after.iter().zip(before).map(|(after, before)| ((after - before) as f64 / took).round()).collect();
    println!("the containers try {KINDS:?}: {rates:?} a second");
    Ok(())
}

/// Whether a frame is of a kind of the flood.
fn is(kind: &str, frame: &Frame) -> bool {
    let to: Option<IpAddr> =
        if kind.ends_with('4') { CONTAINERS_V4.parse() } else { CONTAINERS_V6.parse() }.ok();
    frame.destination() == to
        && match frame.transport() {
            Some(Transport::Icmp(_) | Transport::Icmpv6(_)) => kind.starts_with("ping"),
            Some(Transport::Udp { .. }) => kind.starts_with("udp"),
            _ => false,
        }
}

/// Output of a bash script in a container. The script must succeed.
pub fn inside(docker: &Docker, container: &str, script: &str) -> Result<String> {
    let output = docker.exec(container, script)?;
    ensure!(output.status.success(), "in {container}: {script}: {} {}", output.stdout, output.stderr);
    Ok(output.stdout)
}

/// An address of a container on a network: `IPAddress` or `GlobalIPv6Address`.
pub fn address(docker: &Docker, container: &str, network: &str, field: &str) -> Result<String> {
    let format = format!("{{{{ (index .NetworkSettings.Networks {network:?}).{field} }}}}");
    docker.cli(["inspect", "--format", &format, container])
}
