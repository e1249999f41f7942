//! Without Docker, and with a kernel that reports no changes: the agent checks the rules once after a new
//! bridge appears, and moves displaced rules back.

use crate::support;

use anyhow::{Result, ensure};
use support::kernel::Backend;
use support::{SOON, agent, bus, status};
use tunwarden_lab::{Lab, wait_for, with_lab};

const CHAIN: &str = "DOCKER_VPN_KILL_SWITCH";

fn repairs(lab: &Lab) -> Result<u64> {
    Ok(status(lab)?["repairs"].as_u64().unwrap_or_default())
}

/// Whether the jump is first in both tables of both families. Reads only the kernel, because a question to
/// the agent makes it check the rules.
fn jumps_are_first(lab: &Lab) -> Result<bool> {
    for tool in ["iptables-legacy", "ip6tables-legacy"] {
        for table in ["filter", "mangle"] {
            let listing = lab.host().succeed([tool, "-t", table, "-S", "FORWARD", "1"])?;
            if listing.trim() != format!("-A FORWARD -j {CHAIN}") {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[test]
fn after_a_new_bridge_displaced_rules_are_moved_back() {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let mut agent = agent(lab, &Backend::Legacy.config(""))?;
        // As Docker does when it starts: its accepts come before tunwarden's rules.
        for tool in ["iptables-legacy", "ip6tables-legacy"] {
            lab.host().succeed([tool, "-I", "FORWARD", "1", "-i", "docker0", "-j", "ACCEPT"])?;
            lab.host().succeed([tool, "-t", "mangle", "-D", "FORWARD", "-j", CHAIN])?;
        }
        ensure!(!jumps_are_first(lab)?, "nothing was moved");
        lab.host().succeed(["ip", "link", "add", "docker0", "type", "bridge"])?;
        wait_for("the jumps are first", SOON, || Ok(jumps_are_first(lab)?.then_some(())))?;
        agent.wait_for_line("repaired: iptables filter", SOON)?;
        ensure!(repairs(lab)? == 1, "{} repairs of one disorder", repairs(lab)?);

        // Nothing was moved: one check, and no repair.
        lab.host().succeed(["ip", "link", "add", "br-quiet", "type", "bridge"])?;
        agent.wait_for_line("br-quiet", SOON)?;
        std::thread::sleep(std::time::Duration::from_millis(300));
        ensure!(repairs(lab)? == 1, "a repair of nothing");

        // Only the jumps in filter were displaced, and mangle still blocked: the agent moves them back,
        // and does not count a repair.
        for tool in ["iptables-legacy", "ip6tables-legacy"] {
            lab.host().succeed([tool, "-I", "FORWARD", "1", "-i", "br-new", "-j", "ACCEPT"])?;
        }
        ensure!(!jumps_are_first(lab)?, "nothing was moved");
        lab.host().succeed(["ip", "link", "add", "br-new", "type", "bridge"])?;
        agent.wait_for_line("the rules are back in their place: iptables filter", SOON)?;
        ensure!(jumps_are_first(lab)? && repairs(lab)? == 1, "{} repairs", repairs(lab)?);
        Ok(())
    })
    .unwrap();
}
