//! The kernel of Debian 11 (5.10), which stands for Linux Mint 21 (5.15): what holds there, and what is said to be
//! missing. Neither kernel has the egress hook, or tables of nf_tables that outlive their owner.

use crate::support;

use anyhow::{Context, Result, ensure};
use support::openvpn::{connect, contract, flows, hooked};
use support::{SOON, agent, bus, start_agent, status, tunwarden, wait_for_state};
use tunwarden_lab::openvpn::{ClientOptions, ServerOptions};
use tunwarden_lab::{Capture, ContainerFlood, Flood, Lab, wait_for, with_lab};

const CONFIG: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n";

/// The host and a container on a bridge, which send without pause, and a capture at the ISP.
struct Siege {
    capture: Capture,
    host: Flood,
    container: ContainerFlood,
}

impl Siege {
    fn begin(lab: &Lab) -> Result<Self> {
        let capture = lab.capture()?;
        let host = lab.host().udp("203.0.113.9:5000")?.from_user("nobody").tag("host").flood(100)?;
        let container = lab.host().bridged_container("box", "docker0")?;
        // The ISP routes nothing back to the bridge's network, and nothing has to come back.
        let container = container.flood("203.0.113.77:4000", "container", 100)?;
        let siege = Self { capture, host, container };
        siege.are_seen("the control, without tunwarden")?;
        Ok(siege)
    }

    fn are_seen(&self, why: &str) -> Result<()> {
        for tag in ["host", "container"] {
            let before = self.capture.so_far()?.iter().filter(|frame| frame.is_tagged(tag)).count();
            let seen = self.capture.wait_for(before + 10, SOON, |frame| frame.is_tagged(tag));
            seen.with_context(|| format!("{why}: {tag}"))?;
        }
        Ok(())
    }

    /// Nothing leaves while both send more packets.
    fn is_silent(&self, why: &str) -> Result<()> {
        let from = self.capture.so_far()?.len();
        self.host.await_more(100)?;
        self.container.await_more(100)?;
        let frames = self.capture.so_far()?;
        let of = |tag| frames[from..].iter().filter(|frame| frame.is_tagged(tag)).count();
        let left = [of("host"), of("container")];
        ensure!(left == [0, 0], "{why}: of the host and the container {left:?} left");
        println!("{why}: nothing left");
        Ok(())
    }
}

/// Whether a raw sender's frames get to the ISP.
fn raw_leaves(lab: &Lab, capture: &Capture, tag: &str) -> Result<bool> {
    let marker = format!("{tag}-marker");
    lab.host().raw("eth0", "203.0.113.9:5001")?.count(3).tag(tag).send()?;
    lab.host().raw("eth0", "10.0.0.5:5002")?.tag(&marker).send()?;
    capture.wait_for(1, SOON, |frame| frame.is_tagged(&marker)).context("the marker")?;
    Ok(capture.so_far()?.iter().any(|frame| frame.is_tagged(tag)))
}

/// What a user reads, and that none of the commands fails by itself.
fn is_told(lab: &Lab) -> Result<()> {
    let said = status(lab)?;
    let layer = &said["layers"][1];
    println!("{layer}");
    ensure!(layer["lacks"].as_str().is_some_and(|why| why.contains("no egress hook (5.16)")), "{layer}");
    let text = tunwarden(lab, ["status"])?.stdout;
    println!("{text}");
    for what in ["no egress hook (5.16)", "raw sockets"] {
        ensure!(text.contains(what), "status does not say {what}: {text}");
    }
    let check = tunwarden(lab, ["check"])?;
    println!("{}{}", check.stdout, check.stderr);
    ensure!(check.status.success(), "check: {check:?}");
    let doctor = tunwarden(lab, ["doctor"])?;
    println!("{}{}", doctor.stdout, doctor.stderr);
    ensure!(matches!(doctor.status.code(), Some(0 | 1)) && doctor.stdout.contains("egress"), "{doctor:?}");
    let verify = tunwarden(lab, ["verify"])?;
    ensure!(verify.status.success(), "what this kernel lacks is no difference: {verify:?}");
    Ok(())
}

#[test]
#[ignore = "make kernels runs it on the kernel of Debian 11"]
fn without_an_egress_hook_everything_but_raw_senders_and_macvlan_is_held_and_they_are_named() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let siege = Siege::begin(lab)?;
        lab.host().file("/etc/tunwarden/config.toml", CONFIG)?;
        let lock = tunwarden(lab, ["lock"])?;
        println!("{}{}", lock.stdout, lock.stderr);
        ensure!(lock.status.success(), "lock: {lock:?}");
        siege.is_silent("tunwarden lock")?;

        let mut first = agent(lab, CONFIG)?;
        wait_for_state(lab, "locked")?;
        is_told(lab)?;
        ensure!(raw_leaves(lab, &siege.capture, "raw")?, "a raw sender is held: this is not such a kernel");
        for flush in ["iptables -w -F", "iptables -w -t mangle -F", "iptables -w -P OUTPUT ACCEPT"] {
            lab.host().succeed(flush.split(' '))?;
            siege.is_silent(flush)?;
        }
        // Nothing outlives this one. The agent repairs both layers.
        lab.host().succeed(["nft", "flush", "ruleset"])?;
        wait_for("the rules are back", SOON, || {
            Ok(tunwarden(lab, ["verify"])?.status.success().then_some(()))
        })?;
        siege.is_silent("nft flush ruleset, after the repair")?;
        first.kill()?;
        siege.is_silent("the agent is killed")?;

        let server = lab.openvpn_server(ServerOptions::default())?;
        let _agent = start_agent(lab)?;
        wait_for_state(lab, "locked")?;
        let from = siege.capture.so_far()?.len();
        let mut client = connect(lab, &hooked(lab, ClientOptions::of(&server))?)?;
        wait_for_state(lab, "protected")?;
        flows(lab)?;
        contract(&[&server])?.check(&siege.capture.so_far()?[from..])?;
        client.kill()?;
        wait_for_state(lab, "lost")?;
        siege.is_silent("the VPN is lost")?;
        contract(&[&server])?.check(&siege.capture.so_far()?[from..])?;
        let released = tunwarden(lab, ["release", "--yes"])?;
        ensure!(released.status.success(), "{released:?}");
        siege.are_seen("the control: released")
    })
}
