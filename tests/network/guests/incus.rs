//! A container of Incus on its network: incusd makes the bridge, its rules in nf_tables, and starts its dnsmasq.

use std::cell::Cell;

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Engine, IMAGE, Output, Process, wait_for, with_lab};

use super::{ASK, Guest, System, is_contained};
use crate::support::SOON;
use crate::support::docker::{FLOOD, count_tries};

/// A network, and a container on it. Its image has an `init` that gets a lease and waits.
const CONTAINER: &str = include_str!("incus.sh");

fn in_the_container(system: &System<'_>, script: &str, word: &str) -> Result<Process> {
    system.command(["incus", "exec", "box", "--", "bash", "-c", script, word]).spawn()
}

struct Incus<'a> {
    system: &'a System<'a>,
    changes: Cell<u32>,
}

impl Guest for Incus<'_> {
    const BRIDGE: &'static str = "incusbr0";

    fn again(&self) -> Result<()> {
        self.changes.set(self.changes.get() + 1);
        let expiry = format!("ipv4.dhcp.expiry={}h", self.changes.get());
        self.system.command(["incus", "network", "set", Self::BRIDGE, &expiry]).succeed().map(drop)
    }

    fn ping(&self) -> Result<Output> {
        self.system.command("incus exec box -- ping -c 1 -W 1 203.0.113.9".split(' ')).run()
    }
}

#[test]
#[ignore = "the container does not start in the laboratory yet"]
fn a_container_of_incus_is_contained_and_has_the_tunnel() -> Result<()> {
    with_lab(|lab| {
        count_tries(lab)?;
        let system = System::new(lab, Engine::Trixie)?;
        let mut daemon = system.command(["/usr/libexec/incus/incusd", "--group", "incus-admin"]).spawn()?;
        wait_for("incusd answers", SOON, || {
            ensure!(daemon.is_running(), "incusd has ended: {}", daemon.log());
            Ok(system.command(["incus", "info"]).run()?.status.success().then_some(()))
        })
        .with_context(|| daemon.log())?;
        system.shell(IMAGE, &[])?;
        system.shell(CONTAINER, &[]).with_context(|| daemon.log())?;
        let tables = lab.host().succeed(["nft", "list", "tables"])?;
        ensure!(tables.contains("inet incus"), "{tables}");
        let _flood = in_the_container(&system, FLOOD, "bash")?;
        let _questions = in_the_container(&system, ASK, "10.88.0.1")?;

        is_contained(lab, &Incus { system: &system, changes: Cell::new(1) })
    })
}
