//! A desktop machine whose programs and containers send to the internet without pause, a VPN server,
//! and a capture at the ISP of everything that leaves.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::openvpn::{Server, ServerOptions};
use tunwarden_lab::{Capture, Contract, Frame, Lab, Release, Transport, WholeMachine, wait_for, with_lab};

use crate::support::package::Packages;

/// How long a short operation may take before the test fails.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// Number of further packets of a kind after which a test knows that the machine sends it.
const SOME: u64 = 10;

/// What one program of a user sends. It starts before the link exists. bash itself sleeps.
const PROGRAM: &str = "#!/bin/bash
exec 9<> <(:)
while :; do
    echo flood >/dev/udp/203.0.113.9/4000
    echo flood >/dev/udp/2001:db8:9::9/4000
    read -t 0.02 -u 9
done 2>/dev/null
";

const PROGRAM_UNIT: &str = "[Unit]
DefaultDependencies=no
After=local-fs.target
[Service]
User=nobody
ExecStart=/usr/local/bin/flood
Restart=always
[Install]
WantedBy=sysinit.target
";

/// Makes NetworkManager leave Docker's ends of links alone, as a udev rule does on a real machine. Otherwise
/// NetworkManager sometimes removes them from their bridge.
const UNMANAGED: &str = "[keyfile]\nunmanaged-devices=interface-name:veth*\n";

/// What a container sends. bash itself sleeps.
const CONTAINER: &str = "
    trap exit TERM
    test -p /tmp/pipe || mkfifo /tmp/pipe
    exec 9<>/tmp/pipe
    for to in 203.0.113.77 2001:db8:9::77; do
        while :; do ping -q -i 0.02 $to; usleep 20000; done >/dev/null 2>&1 &
    done
    while :; do
        echo flood >/dev/udp/203.0.113.77/4000
        echo flood >/dev/udp/2001:db8:9::77/4000
        read -t 0.02 -u 9
    done 2>/dev/null";

/// The kinds of packets: the chain that counts them, the protocol, and the destination.
const KINDS: [(&str, &str, &str); 6] = [
    ("OUTPUT", "udp", "203.0.113.9"),
    ("OUTPUT", "udp", "2001:db8:9::9"),
    ("PREROUTING", "udp", "203.0.113.77"),
    ("PREROUTING", "icmp", "203.0.113.77"),
    ("PREROUTING", "udp", "2001:db8:9::77"),
    ("PREROUTING", "icmpv6", "2001:db8:9::77"),
];

/// The machine and its surroundings.
pub(crate) struct DesktopMachine {
    pub(crate) machine: WholeMachine,
    pub(crate) server: Server,
    capture: Capture,
    from: usize,
}

/// Runs a scenario on a booted desktop machine. Prints its journal if the scenario fails.
pub(crate) fn on_a_desktop(
    release: Release,
    scenario: impl FnOnce(&mut DesktopMachine) -> Result<()>,
) -> Result<()> {
    with_lab(|lab| {
        let mut desktop = DesktopMachine::new(lab, release)?;
        let told = scenario(&mut desktop);
        if told.is_err() {
            eprintln!("{}", desktop.machine.journal());
        }
        told
    })
}

/// The same after the package is installed. The packets that left before are the positive control.
pub(crate) fn on_a_protected_desktop(
    release: Release,
    scenario: impl FnOnce(&mut DesktopMachine) -> Result<()>,
) -> Result<()> {
    let packages = Packages::new()?;
    let package = packages.make("0.1.0-1")?;
    on_a_desktop(release, |desktop| {
        desktop.is_seen("before the installation")?;
        desktop.install(&package)?;
        desktop.close()?;
        scenario(desktop)
    })
}

impl DesktopMachine {
    fn new(lab: &Lab, release: Release) -> Result<Self> {
        let server = lab.openvpn_server(ServerOptions::default())?;
        // The capture starts before the machine's link exists.
        let capture = lab.capture()?;
        let mut machine = lab.whole_machine(release)?;
        machine.add_vpn("lab", &server)?;
        machine.file("/usr/local/bin/flood", PROGRAM, 0o755)?;
        machine.file("/etc/systemd/system/flood.service", PROGRAM_UNIT, 0o644)?;
        machine.file("/etc/docker/daemon.json", r#"{"ipv6":true,"fixed-cidr-v6":"fd00:d0c::/64"}"#, 0o644)?;
        machine.file("/etc/NetworkManager/conf.d/veth.conf", UNMANAGED, 0o644)?;
        machine.power_on()?;
        machine.succeed(["systemctl", "enable", "--now", "--quiet", "flood.service"])?;
        machine.import_image()?;
        let run = ["docker", "run", "--detach", "--name=flood", "--restart=always", "lab"];
        machine.succeed(run.into_iter().chain(["bash", "-c", CONTAINER]))?;
        Ok(Self { machine, server, capture, from: 0 })
    }

    /// Activates the VPN, as its user does.
    pub(crate) fn vpn_up(&self) -> Result<()> {
        let up = ["nmcli", "--wait", "60", "connection", "up", "lab"];
        wait_for("the VPN is up", SOON, || {
            Ok(self.machine.command(up)?.run()?.status.success().then_some(()))
        })
    }

    /// Checks that the host and the container reach the internet. The capture would show these packets if
    /// they left in clear.
    pub(crate) fn flows(&self) -> Result<()> {
        let ping = "ping -c 1 -W 2 203.0.113.9";
        for command in [ping.to_owned(), format!("docker exec flood {ping}")] {
            let words = || command.split(' ');
            wait_for(&command, SOON, || {
                Ok(self.machine.command(words())?.run()?.status.success().then_some(()))
            })?;
        }
        Ok(())
    }

    /// Waits until the agent reports a state and the kernel holds its rules.
    pub(crate) fn wait_for_state(&self, state: &str) -> Result<()> {
        let mut last = String::new();
        wait_for(&format!("the state is {state}"), SOON, || {
            last = self.machine.command(["tunwarden", "status", "--json"])?.run()?.stdout;
            let status: Value = serde_json::from_str(&last).unwrap_or_default();
            let agent = status["agent"] == true && status["enforced"] == true;
            Ok((agent && status["state"] == state).then_some(()))
        })
        .with_context(|| last.clone())
    }

    /// Installs a package with apt, as a user does.
    pub(crate) fn install(&self, package: &Path) -> Result<String> {
        self.machine.file("/root/tunwarden.deb", std::fs::read(package)?, 0o644)?;
        self.apt("install /root/tunwarden.deb")
    }

    /// Runs apt without questions.
    pub(crate) fn apt(&self, words: &str) -> Result<String> {
        self.machine
            .shell(&format!("DEBIAN_FRONTEND=noninteractive exec apt-get --yes {words} </dev/null 2>&1"))
    }

    /// The positive control: waits until new packets of every kind leave in clear.
    pub(crate) fn is_seen(&self, why: &str) -> Result<()> {
        let before = self.capture.so_far()?;
        for kind in KINDS {
            let so_far = before.iter().filter(|frame| is(kind, frame)).count();
            let seen = self.capture.wait_for(so_far + 5, SOON, |frame| is(kind, frame));
            seen.with_context(|| format!("{why}: {kind:?} should be seen"))?;
        }
        Ok(())
    }

    /// From this call on no packet may leave.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.from = self.capture.so_far()?.len();
        Ok(())
    }

    /// Checks that every packet that left since `close` was allowed.
    pub(crate) fn nothing_left(&self, promise: &str) -> Result<()> {
        let link = self.machine.link();
        let contract = Contract::locked().lan(&link.network().to_string())?.lan("fd00:0:0:a::/64")?;
        let contract = contract.discovery().endpoint(&self.server.endpoint())?;
        contract.check(&self.capture.so_far()?.split_off(self.from)).with_context(|| promise.to_owned())
    }

    /// Waits until the machine has sent packets of every kind again. Then checks what left.
    pub(crate) fn check_new_attempts(&self, promise: &str) -> Result<()> {
        self.is_tried().with_context(|| promise.to_owned())?;
        self.nothing_left(promise)
    }

    /// Waits until the machine has sent packets of every kind again.
    pub(crate) fn is_tried(&self) -> Result<()> {
        let before = self.tries()?;
        let tried = wait_for("every kind is tried", SOON, || {
            let now = self.tries()?;
            Ok(now.iter().zip(&before).all(|(now, before)| *now >= before + SOME).then_some(()))
        });
        tried.with_context(|| format!("{KINDS:?} were {before:?}, are {:?}", self.tries()))
    }

    /// How many packets of each kind were sent. Rules without a verdict count them, from zero after each
    /// boot.
    fn tries(&self) -> Result<Vec<u64>> {
        KINDS.iter().map(|(chain, protocol, to)| self.tries_of(chain, protocol, to)).collect()
    }

    fn tries_of(&self, chain: &str, protocol: &str, to: &str) -> Result<u64> {
        let tool = if to.contains(':') { "ip6tables" } else { "iptables" };
        let rule = format!("{chain} -d {to} -p {protocol}");
        // `-C` shows whether the rule exists, so that it is appended only once.
        let script = format!(
            "{tool} -w -t raw -C {rule} 2>/dev/null || {tool} -w -t raw -A {rule}; {tool} -w -t raw -vnxL {chain}"
        );
        // A listing may be incomplete while another program changes the tables.
        wait_for("a counting rule", SOON, || {
            let listing = self.machine.shell(&script)?;
            let line = listing.lines().find(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.contains(&to)
                    && (protocol == "udp") == (words.contains(&"udp") || words.contains(&"17"))
            });
            Ok(line.and_then(|line| line.split_whitespace().next()?.parse().ok()))
        })
    }
}

/// Whether a frame is of a kind.
fn is((_, protocol, to): (&str, &str, &str), frame: &Frame) -> bool {
    let to: Option<IpAddr> = to.parse().ok();
    frame.destination() == to
        && match frame.transport() {
            Some(Transport::Udp { .. }) => protocol == "udp",
            Some(Transport::Icmp(_) | Transport::Icmpv6(_)) => protocol != "udp",
            _ => false,
        }
}

/// Checks that the processes of these units survive an action.
pub(crate) fn goes_on(
    desktop: &DesktopMachine,
    units: &[&str],
    act: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let ids = || units.iter().map(|unit| desktop.machine.unit(unit, "MainPID")).collect::<Result<Vec<_>>>();
    let before = ids()?;
    ensure!(!before.contains(&"0".to_owned()), "{units:?} do not all run: {before:?}");
    act()?;
    let after = ids()?;
    ensure!(before == after, "{units:?} were restarted: {before:?}, {after:?}");
    Ok(())
}
