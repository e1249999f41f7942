//! Other firewalls that a user switches on and off while tunwarden runs.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{wait_for, with_lab};

use super::flood::FloodTest;
use super::{BOTH, ONE};
use crate::support::{SOON, tunwarden, verify_alone};

/// Waits until no packet leaves and the agent has restored the rules by itself.
fn settles(test: &FloodTest<'_>, what: &str) -> Result<()> {
    wait_for(&format!("{what}: nothing leaves"), SOON, || Ok(test.is_silent(what).ok()))?;
    wait_for(&format!("{what}: the kernel holds the rules"), SOON, || {
        Ok(verify_alone(test.lab)?.status.success().then_some(()))
    })
    .with_context(|| test.agent.log())?;
    let verify = tunwarden(test.lab, ["verify"])?;
    ensure!(verify.status.success(), "{what}: {}", verify.stdout);
    test.is_silent(what)
}

fn ufw(config: &str) -> Result<()> {
    with_lab(|lab| {
        let test = FloodTest::begin(lab, config)?;
        for words in [["--force", "enable"], ["--force", "disable"], ["--force", "enable"]] {
            let what = format!("ufw {}", words[1]);
            let done = lab.host().run(std::iter::once("ufw").chain(words))?;
            ensure!(done.status.success(), "{what}: {} {}", done.stdout, done.stderr);
            settles(&test, &what)?;
        }
        let enabled = lab.host().succeed(["ufw", "status"])?;
        ensure!(enabled.contains("Status: active"), "the control failed: {enabled}");
        Ok(())
    })
}

#[test]
fn ufw_starts_and_stops_and_nothing_leaves_with_one_layer() {
    ufw(ONE).unwrap();
}

#[test]
fn ufw_starts_and_stops_and_nothing_leaves_with_both_layers() {
    ufw(BOTH).unwrap();
}

#[test]
fn firewalld_starts_and_reloads_and_nothing_leaves_with_both_layers() {
    with_lab(|lab| {
        let mut test = FloodTest::begin(lab, BOTH)?;
        let policy = lab.host().succeed(["cat", "/usr/share/dbus-1/system.d/FirewallD.conf"])?;
        test.bus.add_policy("FirewallD.conf", &policy)?;
        let from = test.so_far()?;
        let firewalld = lab.host().spawn(["firewalld", "--nofork", "--nopid"])?;
        wait_for("firewalld", SOON * 3, || {
            Ok(test.bus.has_owner("org.fedoraproject.FirewallD1")?.then_some(()))
        })
        .with_context(|| firewalld.log())?;
        // firewalld takes its name on the bus before it makes its table.
        wait_for("the control: firewalld makes its table", SOON * 3, || {
            Ok(lab.host().succeed(["nft", "list", "tables"])?.contains("firewalld").then_some(()))
        })
        .with_context(|| firewalld.log())?;
        settles(&test, "firewalld has started")?;
        for _ in 0..2 {
            lab.host().succeed(["firewall-cmd", "--reload"]).with_context(|| firewalld.log())?;
            settles(&test, "firewalld was reloaded")?;
        }
        let left = test.left_since(from)?;
        ensure!(left.of_host + left.of_container == 0, "{left:?} left");
        Ok(())
    })
    .unwrap();
}
