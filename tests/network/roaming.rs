//! A portable computer: another link, another LAN, a sleep. The rules for the LAN follow the links, and
//! nothing else opens.

use crate::support;

use anyhow::{Result, ensure};
use support::leak_test::{LeakTest, contract};
use support::{SOON, agent, bus, wait_for_state};
use tunwarden_lab::{Lab, SystemBus, Uplink, wait_for, with_lab};
use zbus::Address;
use zbus::connection::Builder;

const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n";

/// How long a test waits for the answer of a neighbour. Without an answer the whole time passes.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(500);

/// Whether a neighbour answers over UDP within this time.
fn answers(lab: &Lab, target: &str) -> Result<bool> {
    Ok(lab.host().udp(target)?.from_user("nobody").await_answers(MOMENT).send()?.answered == 1)
}

#[test]
fn the_lan_follows_a_second_uplink_and_another_lan_and_nothing_else_opens() -> Result<()> {
    with_lab(|lab| {
        let _echoes = ["10.0.0.5:7000", "[::]:7001", "0.0.0.0:7002"].map(|at| lab.isp().udp_echo(at));
        let mut leak_test = LeakTest::begin(lab)?;
        let _bus = bus(lab)?;
        let _agent = agent(lab, KNOWN)?;
        leak_test.close()?;
        wait_for_state(lab, "locked")?;
        ensure!(answers(lab, "10.0.0.5:7000")?, "the first LAN is not reached");

        // A phone with tethering is plugged in.
        lab.add_uplink(Uplink::numbered("usb0", 1))?;
        let both = contract(&[])?.lan("10.0.1.0/24")?.lan("fd00:0:0:2::/64")?;
        wait_for("the second LAN is reached", SOON, || Ok(answers(lab, "10.0.1.1:7002")?.then_some(())))?;
        ensure!(answers(lab, "10.0.0.5:7000")?, "the first LAN is not reached any more");
        leak_test.check("a second uplink is there", &both)?;

        // The cable is unplugged, and the first link is then in another LAN.
        lab.unplug("eth0")?;
        leak_test.check("the first link has no carrier", &both)?;
        lab.host().succeed(["ip", "addr", "flush", "dev", "eth0", "scope", "global"])?;
        lab.isp().succeed(["ip", "addr", "add", "192.168.7.1/24", "dev", "isp0"])?;
        lab.plug("eth0")?;
        lab.host().succeed(["ip", "addr", "add", "192.168.7.2/24", "dev", "eth0"])?;
        wait_for("the other LAN is reached", SOON, || Ok(answers(lab, "192.168.7.1:7002")?.then_some(())))?;
        leak_test.check("another LAN", &both.lan("192.168.7.0/24")?)?;

        // The earlier LAN is behind a router now.
        leak_test.close()?;
        let now = contract_of(&["192.168.7.0/24", "10.0.1.0/24", "fd00:0:0:2::/64"])?;
        ensure!(!answers(lab, "10.0.0.5:7000")?, "the LAN of before is still reached");
        leak_test.check("the LAN of before", &now)
    })
}

/// The contract of a locked machine with only these LANs.
fn contract_of(lans: &[&str]) -> Result<tunwarden_lab::Contract> {
    lans.iter().try_fold(tunwarden_lab::Contract::locked().discovery(), |contract, lan| contract.lan(lan))
}

/// The signal that logind sends after a sleep. Its sender is the user that runs the command.
const AFTER_SLEEP: &str = "/org/freedesktop/login1 org.freedesktop.login1.Manager PrepareForSleep b false";

/// Allows root to own logind's name.
const POLICY: &str = r#"<busconfig><policy user="root"><allow own="org.freedesktop.login1"/></policy>
<policy context="default"><allow send_interface="org.freedesktop.login1.Manager"/></policy></busconfig>"#;

/// Sends logind's signal before or after a sleep, as the owner of logind's name.
fn send_logind_signal(bus: &SystemBus, start: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let address: Address = bus.address().parse()?;
        let logind = Builder::address(address).name("org.freedesktop.login1").build().await?;
        let (path, interface) = ("/org/freedesktop/login1", "org.freedesktop.login1.Manager");
        logind.emit_signal(None::<&str>, path, interface, "PrepareForSleep", &start).await?;
        logind.graceful_shutdown().await;
        Ok(())
    })
}

#[test]
fn after_a_sleep_the_agent_checks_everything_on_a_signal_of_logind_only() -> Result<()> {
    with_lab(|lab| {
        let mut leak_test = LeakTest::begin(lab)?;
        let mut bus = bus(lab)?;
        bus.add_policy("logind.conf", POLICY)?;
        let mut agent = agent(lab, KNOWN)?;
        leak_test.close()?;
        wait_for_state(lab, "locked")?;
        let slept = "the machine has slept";
        let woken: Vec<&str> = AFTER_SLEEP.split(' ').collect();
        for user in ["nobody", "root"] {
            lab.host()
                .command(["busctl", "--system", "emit"].into_iter().chain(woken.clone()))
                .user(user)
                .run()?;
        }
        send_logind_signal(&bus, true)?;
        send_logind_signal(&bus, false)?;
        agent.wait_for_line(slept, SOON)?;
        let heard = agent.log().matches(slept).count();
        ensure!(heard == 1, "a sleep was heard {heard} times");
        leak_test.check("after a sleep", &contract(&[])?)
    })
}
