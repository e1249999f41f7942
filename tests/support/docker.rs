//! Containers that never stop trying to reach the internet, and the ISP's eye on what they send.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Capture, Contract, Docker, Frame, Lab, Machine, Transport, wait_for};

use super::SOON;
use super::kernel::FAMILIES;

/// Hosts of the internet that containers alone speak to.
pub const CONTAINERS_V4: &str = "203.0.113.77";
pub const CONTAINERS_V6: &str = "2001:db8:9::77";

/// Docker's own bridge has IPv6 with these.
pub const IPV6: [&str; 2] = ["--ipv6", "--fixed-cidr-v6=fd00:d0c::/64"];

/// How many more packets of a kind make sure that it is being tried.
const SOME: u64 = 40;

/// Pings in both families, and UDP from a new port with every packet. The sleep is bash's own: a
/// process for each would be the limit.
const FLOOD: &str = "
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

/// What is told apart of a flood.
const KINDS: [&str; 4] = ["ping4", "udp4", "ping6", "udp6"];

/// A container that floods, and is started again whatever ends it.
pub fn flooding(docker: &Docker, name: &str, network: &str) -> Result<()> {
    let network = format!("--network={network}");
    docker.run(["--name", name, "--restart=always", &network, "lab", "bash", "-c", FLOOD]).map(drop)
}

/// A user's network with IPv6, on a bridge of the name Docker would give it.
pub fn user_network(docker: &Docker) -> Result<()> {
    let bridge = "com.docker.network.bridge.name=br-user";
    let v6 = ["--ipv6", "--subnet=fd00:d0d::/64"];
    docker.cli(["network", "create", "-o", bridge].into_iter().chain(v6).chain(["user"])).map(drop)
}

/// As after a boot: no rule of anybody's, no bridge of Docker's.
pub fn boot(lab: &Lab) -> Result<()> {
    lab.host().succeed(["nft", "flush", "ruleset"])?;
    for bridge in ["docker0", "br-user"] {
        lab.host().run(["ip", "link", "del", bridge])?;
    }
    Ok(())
}

/// How many packets a rule has matched, as `iptables -S` writes it, without a verdict; it is put there
/// by the first call.
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

/// Whether what one bridge carries is shown to iptables: `1` or `0`.
pub fn bridge_nf(lab: &Lab, value: &str) -> Result<()> {
    for family in FAMILIES {
        lab.host().sysctl(&format!("net.bridge.bridge-nf-call-{family}"), value)?;
    }
    Ok(())
}

/// The ISP's eye on the containers.
pub struct Watch<'a> {
    lab: &'a Lab,
    capture: Capture,
    from: usize,
    contract: Contract,
}

impl<'a> Watch<'a> {
    /// Starts it.
    ///
    /// # Errors
    /// When the capture cannot be had.
    pub fn begin(lab: &'a Lab, contract: Contract) -> Result<Self> {
        Ok(Self { lab, capture: lab.capture()?, from: 0, contract })
    }

    /// Waits until every kind has left in clear from now on: the control.
    ///
    /// # Errors
    /// When one is not seen.
    pub fn is_seen(&self, why: &str) -> Result<()> {
        let so_far = self.capture.so_far()?;
        for kind in KINDS {
            let before = so_far.iter().filter(|frame| is(kind, frame)).count();
            let seen = self.capture.wait_for(before + 20, SOON * 2, |frame| is(kind, frame));
            seen.with_context(|| format!("{why}: the containers' {kind} should be seen"))?;
        }
        Ok(())
    }

    /// From now on nothing may leave.
    ///
    /// # Errors
    /// When the capture has failed.
    pub fn close(&mut self) -> Result<()> {
        self.from = self.capture.so_far()?.len();
        Ok(())
    }

    /// Waits until containers have tried every kind again, then judges all that left since it was
    /// closed.
    ///
    /// # Errors
    /// When anything was clear; `promise` says what was broken by it.
    pub fn check(&self, promise: &str) -> Result<()> {
        await_tries(self.lab).with_context(|| promise.to_owned())?;
        self.contract.check(&self.since_closed()?).with_context(|| promise.to_owned())
    }

    /// What left since it was closed.
    ///
    /// # Errors
    /// When the capture has failed.
    pub fn since_closed(&self) -> Result<Vec<Frame>> {
        Ok(self.capture.so_far()?.split_off(self.from))
    }
}

/// Counts what comes from containers before any firewall of theirs: in raw, by rules without a verdict.
pub fn count_tries(lab: &Lab) -> Result<()> {
    for (tool, to, ping) in [("iptables", CONTAINERS_V4, "icmp"), ("ip6tables", CONTAINERS_V6, "icmpv6")] {
        for protocol in [ping, "udp"] {
            lab.host().succeed([tool, "-w", "-t", "raw", "-A", "PREROUTING", "-d", to, "-p", protocol])?;
        }
    }
    Ok(())
}

/// How often each kind has been tried.
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

/// How many packets a second the containers try, of each kind.
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

/// What a container's line of bash says, which has to succeed.
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
