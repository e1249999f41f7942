//! The way out with Docker running: containers reach the internet, and Docker's rules are its own.

use anyhow::{Result, ensure};
use tunwarden_lab::{Engine, with_lab};

use crate::support::docker::{IPV6, Watch, count_tries, flooding, user_network};
use crate::support::kernel::Backend;
use crate::support::tunwarden;
use crate::{KNOWN, lock, locked};

with_each_engine!(release_leaves_docker_as_it_found_it);

fn release_leaves_docker_as_it_found_it(engine: Engine) -> Result<()> {
    with_lab(|lab| {
        count_tries(lab)?;
        let docker = lab.host().docker(engine, IPV6)?;
        user_network(&docker)?;
        for (name, network) in [("default", "bridge"), ("user", "user")] {
            flooding(&docker, name, network)?;
        }
        let mut watch = Watch::begin(lab, locked()?)?;
        watch.is_seen("without tunwarden")?;
        let before = Backend::Nft.all_saved(lab)?;
        lock(lab, KNOWN)?;
        watch.close()?;
        watch.check("locked")?;
        let during = Backend::Nft.all_saved(lab)?;
        ensure!(during.iter().any(|line| line.contains("DOCKER_VPN_KILL_SWITCH")), "the lock is not there");

        let output = tunwarden(lab, ["release", "--yes"])?;
        ensure!(output.status.success(), "release: {} {}", output.status, output.stderr);
        watch.is_seen("released")?;
        let after = Backend::Nft.all_saved(lab)?;
        let ours = after.iter().find(|line| line.contains("VPN") || line.contains("RELATED_AND"));
        ensure!(ours.is_none(), "something of ours is left: {ours:?}");
        let [before, after] = [before, after].map(rules);
        ensure!(before == after, "Docker's rules were\n{before:#?}\nand are\n{after:#?}");
        Ok(())
    })
}

/// Rules in their order, chains and tables. Policies are ACCEPT after a release, and tables that were
/// used once stay, empty.
fn rules(saved: Vec<String>) -> Vec<String> {
    saved.into_iter().filter(|line| line.starts_with('-') || line.contains("DOCKER")).collect()
}
