//! What fails around the agent: it is named, with the way out, and closed rather than open.

use crate::support;

use anyhow::{Result, ensure};
use support::story::{Story, contract};
use support::{SOON, agent, bus, status, tunwarden, wait_for_state};
use tunwarden_lab::{Lab, wait_for, with_lab};

const STATE: &str = "/var/lib/tunwarden";

/// An agent that runs on such a disk closes, says what is wrong, and goes on.
fn closes_on_a_disk(prepare: &str, said: &str) -> Result<()> {
    with_lab(|lab| {
        lab.host().succeed(["sh", "-euc", prepare])?;
        let (mut story, contract) = (Story::begin(lab)?, contract(&[])?);
        let _bus = bus(lab)?;
        // There is something to be kept.
        lab.host().file("/etc/openvpn/client/lab.conf", "client\nremote 198.51.100.7 1194 udp\n")?;
        let mut agent = agent(lab, "")?;
        story.close()?;
        wait_for_state(lab, "locked")?;
        agent.wait_for_line(said, SOON)?;
        story.check("the agent runs on such a disk", &contract)?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.success(), "lock: {lock:?}");
        agent.kill()?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.success(), "lock without an agent: {lock:?}");
        story.check("the lock alone on such a disk", &contract)
    })
}

#[test]
fn a_full_disk_keeps_nothing_from_closing() -> Result<()> {
    let fill = format!(
        "mkdir -p {STATE}; mount -t tmpfs -o size=8k,nr_inodes=3 tmpfs {STATE}
         dd if=/dev/zero of={STATE}/full bs=1k count=8; touch {STATE}/last; ! touch {STATE}/more"
    );
    closes_on_a_disk(&fill, "No space left on device")
}

#[test]
fn a_disk_that_is_read_only_keeps_nothing_from_closing() -> Result<()> {
    closes_on_a_disk("mount -t tmpfs -o ro tmpfs /var/lib", "Read-only file system")
}

/// Nothing but iptables, so that nobody stands in for it.
const ONE_LAYER: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n[firewall]\nlayers = [\"iptables\"]\n";

/// Takes programs away from the host alone.
fn hide(lab: &Lab, programs: &str) -> Result<()> {
    let script = format!(
        "mkdir -p /run/sbin/upper /run/sbin/work
         mount -t overlay -o lowerdir=/usr/sbin,upperdir=/run/sbin/upper,workdir=/run/sbin/work overlay /usr/sbin
         cd /usr/sbin; rm {programs}"
    );
    lab.host().succeed(["sh", "-euc", &script]).map(drop)
}

#[test]
fn without_ip6tables_ipv6_has_no_way_out_and_ipv4_goes_on() -> Result<()> {
    with_lab(|lab| {
        let (mut story, contract) = (Story::begin(lab)?, contract(&[])?);
        hide(lab, "ip6tables ip6tables-save ip6tables-restore")?;
        let _bus = bus(lab)?;
        let mut agent = agent(lab, ONE_LAYER)?;
        agent.wait_for_line("apt install iptables", SOON)?;
        story.close()?;
        story.check("there is no ip6tables", &contract)?;
        ensure!(status(lab)?["enforced"] == false, "it claims rules that are not there");
        // IPv4 is as it should be: the LAN is reached.
        let _echo = lab.isp().udp_echo("10.0.0.5:7000")?;
        let sent = lab.host().udp("10.0.0.5:7000")?.await_answers(SOON).send()?;
        ensure!(sent.answered == 1, "IPv4 is closed too: {sent:?}");

        lab.host().succeed(["umount", "/usr/sbin"])?;
        wait_for_state(lab, "locked")?;
        wait_for("IPv6 has its ways again", SOON, || {
            let rules = lab.host().succeed(["ip", "-6", "rule"])?;
            Ok((!rules.contains("prohibit")).then_some(()))
        })?;
        story.check("ip6tables is back", &contract)
    })
}

/// What is kept for `status` without an agent, and for the next agent, is what the kernel was given.
#[test]
fn a_pause_that_could_not_be_put_in_force_is_not_kept() -> Result<()> {
    with_lab(|lab| {
        let (mut story, contract) = (Story::begin(lab)?, contract(&[])?);
        let _bus = bus(lab)?;
        let mut agent = agent(lab, ONE_LAYER)?;
        story.close()?;
        wait_for_state(lab, "locked")?;
        hide(lab, "iptables-restore ip6tables-restore")?;
        let pause = tunwarden(lab, ["pause", "60s"])?;
        ensure!(!pause.status.success(), "the control: nothing can be committed, and yet: {pause:?}");
        agent.kill()?;
        lab.host().succeed(["umount", "/usr/sbin"])?;
        let said = status(lab)?;
        ensure!(said["state"] == "locked" && said["paused_until"].is_null(), "the kernel is locked: {said}");
        ensure!(said["enforced"] == true && said["verdict"] == "locked", "the kernel is locked: {said}");
        let _agent = support::start_agent(lab)?;
        wait_for_state(lab, "locked")?;
        story.check("a pause that was refused", &contract)
    })
}

#[test]
fn what_has_no_way_out_has_it_again_after_a_release() -> Result<()> {
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", ONE_LAYER)?;
        hide(lab, "ip6tables ip6tables-save ip6tables-restore")?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.code() == Some(1), "{lock:?}");
        ensure!(lock.stderr.contains("sudo tunwarden release"), "no way out is told: {}", lock.stderr);
        ensure!(lab.host().udp("[2001:db8:9::9]:4000")?.send()?.accepted == 0, "IPv6 is open");
        lab.host().succeed(["umount", "/usr/sbin"])?;
        let release = tunwarden(lab, ["release", "--yes"])?;
        ensure!(release.status.success(), "{release:?}");
        ensure!(lab.host().udp("[2001:db8:9::9]:4000")?.send()?.accepted == 1, "IPv6 is still closed");
        Ok(())
    })
}
