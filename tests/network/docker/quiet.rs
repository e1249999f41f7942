//! The agent does not count Docker's ordinary changes as repairs.

use anyhow::{Result, ensure};
use tunwarden_lab::{Engine, with_lab};

use crate::support::docker::IPV6;
use crate::support::{SOON, agent, bus, status, wait_for_state};

#[test]
fn a_network_that_docker_20_makes_is_no_repair_and_a_flush_is_one() -> Result<()> {
    a_network_that_is_made_is_no_repair_and_a_flush_is_one(Engine::System)
}

#[test]
fn a_network_that_docker_26_makes_is_no_repair_and_a_flush_is_one() -> Result<()> {
    a_network_that_is_made_is_no_repair_and_a_flush_is_one(Engine::Trixie)
}

fn a_network_that_is_made_is_no_repair_and_a_flush_is_one(engine: Engine) -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let docker = lab.host().docker(engine, IPV6)?;
        let mut agent = agent(lab, "")?;
        wait_for_state(lab, "locked")?;
        for network in ["one", "two"] {
            docker.cli(["network", "create", network])?;
            // With this Docker every new network moves tunwarden's jump down.
            agent.wait_for_line("the rules are back in their place: iptables filter", SOON)?;
        }
        ensure!(status(lab)?["repairs"] == 0, "a repair of nothing: {}", agent.log());
        lab.host().succeed(["iptables", "-w", "-F", "DOCKER-USER"])?;
        lab.host().succeed(["ip", "link", "add", "br-look", "type", "bridge"])?;
        agent.wait_for_line("repaired: iptables filter: DOCKER-USER does not jump", SOON)?;
        ensure!(status(lab)?["repairs"] == 1, "{}", agent.log());
        Ok(())
    })
}
