//! Containers while the VPN connects, drops and reconnects, and while the agent dies.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tunwarden_lab::{Engine, wait_for, with_lab};

use super::protected::Protected;
use crate::support::docker::{CONTAINERS_V4, Watch, count_tries, flooding, user_network};
use crate::support::leak_test::contract;
use crate::support::{SOON, start_agent, wait_for_state};

/// Both flooding containers. A test can start an extra ping in each.
const BOTH: [&str; 2] = ["default", "user"];

/// Checks that a ping of every container is answered. The capture would show a ping in clear.
fn flows(desktop: &Protected<'_>) -> Result<()> {
    for container in BOTH {
        wait_for("an answer through the tunnel", SOON * 2, || {
            let ping = desktop.docker.exec(container, "ping -c 1 -W 1 203.0.113.9")?;
            Ok(ping.status.success().then_some(()))
        })
        .with_context(|| format!("the container {container}"))?;
    }
    Ok(())
}

with_each_engine!(containers_use_the_tunnel_or_nothing_while_the_vpn_and_the_agent_come_and_go);

fn containers_use_the_tunnel_or_nothing_while_the_vpn_and_the_agent_come_and_go(
    engine: Engine,
) -> Result<()> {
    with_lab(|lab| {
        count_tries(lab)?;
        let mut desktop = Protected::prepare(lab, engine)?;
        user_network(&desktop.docker)?;
        flooding(&desktop.docker, BOTH[0], "bridge")?;
        flooding(&desktop.docker, BOTH[1], "user")?;
        let mut watch = Watch::begin(lab, contract(&[&desktop.server])?)?;
        watch.is_seen("without tunwarden")?;

        let mut agent = desktop.guard("")?;
        watch.close()?;
        watch.check("the agent starts")?;
        desktop.nm.up("lab")?;
        wait_for_state(lab, "protected")?;
        flows(&desktop)?;
        watch.check("the VPN is up")?;
        let through = desktop.through_the_tunnel(CONTAINERS_V4, "udp")?;
        wait_for("the flood comes out of the tunnel", SOON, || {
            Ok((desktop.through_the_tunnel(CONTAINERS_V4, "udp")? >= through + 100).then_some(()))
        })?;

        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        watch.check("the VPN has dropped")?;
        wait_for_state(lab, "lost")?;
        watch.check("the VPN is lost")?;
        let ping = desktop.docker.exec(BOTH[0], "ping -c 1 -W 1 203.0.113.9")?;
        ensure!(!ping.status.success(), "a container reaches the internet without the VPN: {}", ping.stdout);

        desktop.nm.up("lab")?;
        wait_for_state(lab, "protected")?;
        flows(&desktop)?;
        watch.check("the VPN is back")?;

        desktop.docker.restart()?;
        flows(&desktop)?;
        watch.check("Docker is restarted while protected")?;

        agent.kill()?;
        watch.check("the agent is killed")?;
        lab.host().signal_all("openvpn", Signal::SIGKILL)?;
        watch.check("the VPN drops while no agent runs")?;
        desktop.nm.up("lab")?;
        flows(&desktop).context("the VPN comes back while no agent runs")?;
        watch.check("the VPN is back while no agent runs")?;
        let _agent = start_agent(lab)?;
        wait_for_state(lab, "protected")?;
        flows(&desktop)?;
        watch.check("the agent is back")
    })
}
