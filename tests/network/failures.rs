//! Failures around the agent. The error names the cause and the remedy, and the machine stays closed.

use crate::support;

use anyhow::{Result, ensure};
use support::leak_test::{Desktop, LeakTest, contract};
use support::nft::{fake_tool, owner_of};
use support::{SOON, TUNWARDEN, agent, answer, bus, status, tunwarden, wait_for_state};
use tunwarden_lab::{Lab, wait_for, with_lab};

const STATE: &str = "/var/lib/tunwarden";

/// Checks that an agent with such a disk closes, reports the fault, and continues.
fn closes_on_a_disk(prepare: &str, said: &str) -> Result<()> {
    with_lab(|lab| {
        lab.host().succeed(["sh", "-euc", prepare])?;
        let (mut leak_test, contract) = (LeakTest::begin(lab)?, contract(&[])?);
        let _bus = bus(lab)?;
        // The agent has a server to store.
        lab.host().file("/etc/openvpn/client/lab.conf", "client\nremote 198.51.100.7 1194 udp\n")?;
        let mut agent = agent(lab, "")?;
        leak_test.close()?;
        wait_for_state(lab, "locked")?;
        agent.wait_for_line(said, SOON)?;
        leak_test.check("the agent runs on such a disk", &contract)?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.success(), "lock: {lock:?}");
        agent.kill()?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.success(), "lock without an agent: {lock:?}");
        leak_test.check("the lock alone on such a disk", &contract)
    })
}

#[test]
fn an_agent_with_a_full_disk_still_closes() -> Result<()> {
    let fill = format!(
        "mkdir -p {STATE}; mount -t tmpfs -o size=8k,nr_inodes=3 tmpfs {STATE}
         dd if=/dev/zero of={STATE}/full bs=1k count=8; touch {STATE}/last; ! touch {STATE}/more"
    );
    closes_on_a_disk(&fill, "No space left on device")
}

#[test]
fn an_agent_with_a_read_only_disk_still_closes() -> Result<()> {
    closes_on_a_disk("mount -t tmpfs -o ro tmpfs /var/lib", "Read-only file system")
}

/// Only iptables, so that no second layer helps.
const ONE_LAYER: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n[firewall]\nlayers = [\"iptables\"]\n";

/// Hides programs from the host only.
fn hide(lab: &Lab, programs: &str) -> Result<()> {
    let script = format!(
        "mkdir -p /run/sbin/upper /run/sbin/work
         mount -t overlay -o lowerdir=/usr/sbin,upperdir=/run/sbin/upper,workdir=/run/sbin/work overlay /usr/sbin
         cd /usr/sbin; rm {programs}"
    );
    lab.host().succeed(["sh", "-euc", &script]).map(drop)
}

#[test]
fn without_ip6tables_ipv6_is_closed_and_ipv4_has_its_rules() -> Result<()> {
    with_lab(|lab| {
        let (mut leak_test, contract) = (LeakTest::begin(lab)?, contract(&[])?);
        hide(lab, "ip6tables ip6tables-save ip6tables-restore")?;
        let _bus = bus(lab)?;
        let mut agent = agent(lab, ONE_LAYER)?;
        agent.wait_for_line("apt install iptables", SOON)?;
        leak_test.close()?;
        leak_test.check("there is no ip6tables", &contract)?;
        ensure!(status(lab)?["enforced"] == false, "it claims rules that are not there");
        // IPv4 has its rules: the host reaches the LAN.
        let _echo = lab.isp().udp_echo("10.0.0.5:7000")?;
        let sent = lab.host().udp("10.0.0.5:7000")?.await_answers(SOON).send()?;
        ensure!(sent.answered == 1, "IPv4 is closed too: {sent:?}");

        lab.host().succeed(["umount", "/usr/sbin"])?;
        wait_for_state(lab, "locked")?;
        wait_for("IPv6 has its ways again", SOON, || {
            let rules = lab.host().succeed(["ip", "-6", "rule"])?;
            Ok((!rules.contains("prohibit")).then_some(()))
        })?;
        leak_test.check("ip6tables is back", &contract)
    })
}

/// The stored state is what the kernel got. `status` without an agent and the next agent read it.
#[test]
fn a_pause_that_could_not_be_put_in_force_is_not_kept() -> Result<()> {
    with_lab(|lab| {
        let (mut leak_test, contract) = (LeakTest::begin(lab)?, contract(&[])?);
        let _bus = bus(lab)?;
        let mut agent = agent(lab, ONE_LAYER)?;
        leak_test.close()?;
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
        leak_test.check("a pause that was refused", &contract)
    })
}

#[test]
fn a_closed_family_is_open_again_after_a_release() -> Result<()> {
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", ONE_LAYER)?;
        hide(lab, "ip6tables ip6tables-save ip6tables-restore")?;
        let lock = tunwarden(lab, ["lock"])?;
        ensure!(lock.status.code() == Some(1), "{lock:?}");
        ensure!(
            lock.stderr.contains("sudo tunwarden release"),
            "the command that helps is missing: {}",
            lock.stderr
        );
        ensure!(lab.host().udp("[2001:db8:9::9]:4000")?.send()?.accepted == 0, "IPv6 is open");
        lab.host().succeed(["umount", "/usr/sbin"])?;
        let release = tunwarden(lab, ["release", "--yes"])?;
        ensure!(release.status.success(), "{release:?}");
        ensure!(lab.host().udp("[2001:db8:9::9]:4000")?.send()?.accepted == 1, "IPv6 is still closed");
        Ok(())
    })
}

/// A kernel without xt_time, as after an upgrade of the running kernel's package: the fake refuses a rule
/// with a time while `/run/without-time` exists.
const WITHOUT_TIME: &str = r#"
    text=$(cat)
    case $text in *"-m time"*)
        if test -e /run/without-time; then
            echo "$(basename $0): line 9: RULE_APPEND failed (No such file or directory): rule in chain X" >&2
            exit 4
        fi ;;
    esac
    printf '%s\n' "$text" | exec $real "$@""#;

/// All rules in the kernel, without counters, in order of tables. The kernel lists a new table last.
fn ruleset(lab: &Lab) -> Result<String> {
    let ruleset = lab.host().succeed(["nft", "-s", "list", "ruleset"])?;
    let mut tables: Vec<&str> = ruleset.split_inclusive("\n}\n").collect();
    tables.sort_unstable();
    Ok(tables.concat())
}

/// Checks a pause that is refused for this reason while a VPN is up: nothing opens, and the VPN stays up.
fn refused_pauses_change_nothing(desktop: &Desktop<'_>, why: &str) -> Result<()> {
    let lab = desktop.lab;
    let before = ruleset(lab)?;
    for _ in 0..3 {
        let pause = tunwarden(lab, ["pause", "20s"])?;
        ensure!(pause.status.code() == Some(1), "it says that it is paused: {pause:?}");
        ensure!(pause.stderr.contains("nothing was opened"), "it does not say so: {pause:?}");
        ensure!(pause.stderr.contains(why), "it does not say why: {pause:?}");
        let said = status(lab)?;
        ensure!(said["state"] == "protected" && said["enforced"] == true, "{said}");
        ensure!(said["paused_until"].is_null(), "{said}");
        ensure!(ruleset(lab)? == before, "the rules are others:\n{}", ruleset(lab)?);
        ensure!(tunwarden(lab, ["verify"])?.status.success());
        desktop.carries()?;
    }
    desktop.check("a pause was refused")?;
    ensure!(!desktop.agent.log().contains("closed completely"), "{}", desktop.agent.log());
    Ok(())
}

/// The control: the same kernel opens. This shows when no tunnel carries the traffic.
fn a_pause_opens(desktop: &Desktop<'_>) -> Result<()> {
    ensure!(tunwarden(desktop.lab, ["pause", "60s"])?.status.success());
    desktop.nm.down("lab")?;
    desktop.leak_test.is_seen("a pause")
}

/// The same for a pause that these tools refuse.
fn a_refused_pause_changes_nothing(refusing: &[&str]) -> Result<()> {
    with_lab(|lab| {
        for program in refusing {
            fake_tool(lab, program, WITHOUT_TIME)?;
        }
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        lab.host().file("/run/without-time", "")?;
        refused_pauses_change_nothing(&desktop, "No such file or directory")?;
        lab.host().succeed(["rm", "/run/without-time"])?;
        a_pause_opens(&desktop)
    })
}

#[test]
fn a_pause_that_both_families_refuse_changes_nothing() -> Result<()> {
    a_refused_pause_changes_nothing(&["iptables-restore", "ip6tables-restore"])
}

#[test]
fn a_pause_that_ipv4_refuses_changes_nothing() -> Result<()> {
    a_refused_pause_changes_nothing(&["iptables-restore"])
}

#[test]
fn a_pause_that_ipv6_refuses_changes_nothing() -> Result<()> {
    a_refused_pause_changes_nothing(&["ip6tables-restore"])
}

#[test]
fn a_pause_that_nftables_refuses_changes_nothing() -> Result<()> {
    with_lab(|lab| {
        let mut desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        wait_for("the agent owns the tables", SOON, || {
            Ok((status(lab)?["layers"][1]["owned"] == true).then_some(()))
        })?;
        // The kernel refuses every change of these tables until their owner has ended.
        let owner = owner_of(&desktop.agent)?;
        desktop.agent.kill()?;
        desktop.agent = support::start_agent(lab)?;
        wait_for_state(lab, "protected")?;
        refused_pauses_change_nothing(&desktop, "Operation not permitted")?;
        drop(owner);
        a_pause_opens(&desktop)
    })
}

/// A fake tool that refuses everything while `/run/refuses` exists.
const REFUSING: &str = r#"
    if test -e /run/refuses; then echo "it is refused" >&2; exit 1; fi
    exec $real "$@""#;

/// A pause opens IPv4 before IPv6. If IPv6 refuses its rules, the agent finds that out before it opens IPv4.
#[test]
fn a_pause_that_ipv6_refuses_opens_no_ipv4_with_one_layer() -> Result<()> {
    with_lab(|lab| {
        fake_tool(lab, "ip6tables-restore", WITHOUT_TIME)?;
        let (mut leak_test, contract) = (LeakTest::begin(lab)?, contract(&[])?);
        let _bus = bus(lab)?;
        let _agent = agent(lab, ONE_LAYER)?;
        leak_test.close()?;
        wait_for_state(lab, "locked")?;
        lab.host().file("/run/without-time", "")?;
        for pause in [["pause", "20s"], ["pause", "--for=portal"]] {
            let pause = tunwarden(lab, pause)?;
            ensure!(pause.status.code() == Some(1), "it says that it is paused: {pause:?}");
            ensure!(pause.stderr.contains("RULE_APPEND failed"), "it does not say why: {pause:?}");
            leak_test.check("a pause that IPv6 refuses", &contract)?;
            ensure!(status(lab)?["enforced"] == true, "{}", status(lab)?);
        }
        lab.host().succeed(["rm", "/run/without-time"])?;
        ensure!(tunwarden(lab, ["pause", "60s"])?.status.success());
        leak_test.is_seen("the control: a pause of a kernel that takes the rules")
    })
}

/// The same if IPv6 cannot be read.
#[test]
fn a_pause_beside_a_family_that_cannot_be_read_opens_nothing() -> Result<()> {
    with_lab(|lab| {
        for program in ["ip6tables-save", "ip6tables"] {
            fake_tool(lab, program, REFUSING)?;
        }
        let (mut leak_test, contract) = (LeakTest::begin(lab)?, contract(&[])?);
        let _bus = bus(lab)?;
        let _agent = agent(lab, ONE_LAYER)?;
        leak_test.close()?;
        wait_for_state(lab, "locked")?;
        lab.host().file("/run/refuses", "")?;
        // The first pause starts from known rules, the next ones from unknown rules.
        for _ in 0..3 {
            let pause = tunwarden(lab, ["pause", "20s"])?;
            ensure!(pause.status.code() == Some(1), "it says that it is paused: {pause:?}");
            ensure!(pause.stderr.contains("nothing was opened"), "it does not say so: {pause:?}");
            leak_test.check("a pause while IPv6 cannot be read", &contract)?;
        }

        lab.host().succeed(["rm", "/run/refuses"])?;
        wait_for("the rules are in force again", SOON, || {
            Ok((status(lab)?["enforced"] == true).then_some(()))
        })?;
        ensure!(tunwarden(lab, ["pause", "60s"])?.status.success());
        leak_test.is_seen("the control: a pause of a kernel that can be read")
    })
}

#[test]
fn a_configuration_that_the_kernel_refuses_leaves_the_old_one_in_force() -> Result<()> {
    with_lab(|lab| {
        fake_tool(lab, "ip6tables-restore", REFUSING)?;
        let desktop = Desktop::new(lab, "")?;
        desktop.connect()?;
        let before = ruleset(lab)?;
        lab.host().file("/run/refuses", "")?;
        lab.host().file("/etc/tunwarden/config.toml", "[lan]\nallow = false\n")?;
        let reload = tunwarden(lab, ["reload"])?;
        ensure!(!reload.status.success(), "{reload:?}");
        ensure!(reload.stderr.contains("the old configuration stays in force"), "{reload:?}");
        ensure!(ruleset(lab)? == before, "the rules are others:\n{}", ruleset(lab)?);
        let said = status(lab)?;
        ensure!(said["state"] == "protected" && said["enforced"] == true, "{said}");
        desktop.carries()?;
        lab.host().succeed(["rm", "/run/refuses"])?;
        ensure!(tunwarden(lab, ["reload"])?.status.success());
        ensure!(ruleset(lab)? != before, "the control: the new configuration changes the rules");
        desktop.check("a configuration was refused and then taken")
    })
}

/// The state of the VPN changes while the kernel refuses new rules. The earlier rules stay, the status
/// reports it, and the agent retries the new rules until they are in force.
#[test]
fn a_refused_change_of_the_vpn_leaves_the_earlier_rules_and_is_retried() -> Result<()> {
    with_lab(|lab| {
        fake_tool(lab, "iptables-restore", REFUSING)?;
        let desktop = Desktop::new(lab, "")?;
        wait_for_state(lab, "locked")?;
        desktop.connect()?;
        let before = ruleset(lab)?;
        lab.host().file("/run/refuses", "")?;
        desktop.nm.down("lab")?;
        let said = wait_for("the state is another and its rules are not in force", SOON, || {
            let said = status(lab)?;
            Ok((said["state"] == "locked" && said["pending"].is_string()).then_some(said))
        })?;
        ensure!(said["enforced"] == false, "it claims what is not in force: {said}");
        // An ordinary user gets the reason, and causes no comparison and no commit.
        let compared = || desktop.agent.log().matches("the kernel did not hold the rules").count();
        let before_asking = compared();
        for verb in ["verify", "resume"] {
            let asked = answer(&lab.host().command([TUNWARDEN, verb]).user("nobody"))?;
            ensure!(!asked.status.success(), "{verb}: {asked:?}");
            ensure!(asked.stderr.contains("the rules that were in force before stay"), "{verb}: {asked:?}");
        }
        ensure!(compared() == before_asking, "a user makes it compare: {}", desktop.agent.log());
        // Each retry tries the new rules and restores the earlier ones.
        wait_for("the rules before", SOON, || Ok((ruleset(lab)? == before).then_some(())))?;
        desktop.check("a change was refused")?;
        lab.host().succeed(["rm", "/run/refuses"])?;
        wait_for_state(lab, "locked")?;
        ensure!(status(lab)?["pending"].is_null());
        ensure!(tunwarden(lab, ["verify"])?.status.success());
        desktop.check("a change was refused and then taken")
    })
}
