//! A locked machine whose containers flood while Docker and other tools change the rules.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Docker, Engine, Lab, with_lab};

use super::{KNOWN, lock, locked};
use crate::support::docker::{
    IPV6, Watch, boot, bridge_nf, count_tries, flooding, rate, tries, user_network,
};
use crate::support::kernel::FAMILIES;

/// Starts Docker with one flooding container on Docker's own bridge and one on a user's network.
fn flooding_docker(lab: &Lab, engine: Engine) -> Result<Docker> {
    count_tries(lab)?;
    let docker = lab.host().docker(engine, IPV6)?;
    user_network(&docker)?;
    flooding(&docker, "default", "bridge")?;
    flooding(&docker, "user", "user")?;
    Ok(docker)
}

fn nothing_leaves_while_docker_changes_rules(engine: Engine, bridge_netfilter: &str) -> Result<()> {
    with_lab(|lab| {
        let mut docker = flooding_docker(lab, engine)?;
        println!("Docker {}", docker.version()?);
        let mut watch = Watch::begin(lab, locked()?)?;
        watch.is_seen("without tunwarden")?;
        rate(lab)?;
        docker.stop()?;
        boot(lab)?;
        docker.start()?;
        watch.is_seen("Docker after a boot without tunwarden")?;
        docker.stop()?;
        boot(lab)?;

        count_tries(lab)?;
        lock(lab, KNOWN)?;
        watch.close()?;
        docker.start()?;
        bridge_nf(lab, bridge_netfilter)?;
        watch.check("Docker starts for the first time")?;
        docker.restart()?;
        bridge_nf(lab, bridge_netfilter)?;
        watch.check("Docker is restarted")?;
        docker.kill()?;
        watch.check("Docker is killed")?;
        docker.start()?;
        watch.check("Docker is started after a kill")?;
        docker.option("--live-restore");
        docker.restart()?;
        docker.stop()?;
        watch.check("Docker has ended, and its containers live on")?;
        docker.start()?;
        watch.check("Docker is restarted with live-restore")?;
        for network in 0..10 {
            docker.cli(["network", "create", &format!("net{network}")])?;
        }
        watch.check("ten networks are created")?;
        for network in 0..10 {
            docker.cli(["network", "rm", &format!("net{network}")])?;
        }
        watch.check("ten networks are removed")?;
        println!("{:?} were tried while locked, none left", tries(lab)?);
        Ok(())
    })
}

with_each_engine!(
    nothing_leaves_while_docker_changes_rules_with_bridges_filtered,
    nothing_leaves_while_docker_changes_rules_with_bridges_unfiltered,
    no_container_leaves_when_another_tool_flushes_filter,
);

fn nothing_leaves_while_docker_changes_rules_with_bridges_filtered(engine: Engine) -> Result<()> {
    nothing_leaves_while_docker_changes_rules(engine, "1")
}

fn nothing_leaves_while_docker_changes_rules_with_bridges_unfiltered(engine: Engine) -> Result<()> {
    nothing_leaves_while_docker_changes_rules(engine, "0")
}

/// A flush of filter also removes the lock of the host. mangle still blocks the containers.
fn no_container_leaves_when_another_tool_flushes_filter(engine: Engine) -> Result<()> {
    with_lab(|lab| {
        let _docker = flooding_docker(lab, engine)?;
        let mut watch = Watch::begin(lab, locked()?)?;
        watch.is_seen("without tunwarden")?;
        lock(lab, &format!("{KNOWN}[firewall]\nlayers = [\"iptables\"]\n"))?;
        watch.close()?;
        watch.check("locked")?;
        for flush in ["-F DOCKER-USER", "-F FORWARD", "-F", "-P FORWARD ACCEPT"] {
            for family in FAMILIES {
                let words = [family, "-w"].into_iter().chain(flush.split(' '));
                let output = lab.host().run(words)?;
                ensure!(output.status.success(), "{family} {flush}: {}", output.stderr);
            }
            watch.check(&format!("iptables {flush}"))?;
        }
        // The control: only mangle blocks the containers now. Without it the ISP sees them.
        for family in FAMILIES {
            lab.host().succeed([family, "-w", "-t", "mangle", "-F", "FORWARD"])?;
        }
        watch.is_seen("the control, with mangle flushed too").context("nothing else may have held them")
    })
}
