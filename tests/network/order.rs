//! The order in which the two layers change: a change that closes begins with nf_tables, and a pause ends with it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tunwarden::netfilter::socket::{Changes, Received};
use tunwarden_lab::{Lab, with_lab};

use crate::support::{agent, bus, tunwarden};

const CONFIG: &str = "[firewall]\nlayers = [\"iptables\", \"nftables\"]\nbackend = \"nft\"\n";

/// Number of pauses. On a busy machine a program of iptables often overtakes the thread that talks to nf_tables,
/// although the program starts later.
const PAUSES: usize = 7;

/// The kernel's reports of changes in the host's network.
struct Reports {
    runtime: Runtime,
    changes: Changes,
}

impl Reports {
    fn listen(lab: &Lab) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let changes = lab.host().enter(|| {
            let _inside = runtime.enter();
            Ok(Changes::listen()?)
        })?;
        Ok(Self { runtime, changes })
    }

    /// The programs of all changes since the last call, in the kernel's order. The kernel has already reported each of
    /// them.
    fn programs(&mut self) -> Result<Vec<String>> {
        let mut programs = Vec::new();
        let mut next = || {
            self.runtime.block_on(async { timeout(Duration::from_millis(100), self.changes.next()).await })
        };
        while let Ok(received) = next() {
            match received? {
                Received::Changes(changes, _) => {
                    programs.extend(changes.into_iter().map(|change| change.by.name))
                }
                Received::Unknown => anyhow::bail!("a report was lost"),
            }
        }
        Ok(programs)
    }
}

#[test]
fn nf_tables_closes_first_and_opens_last() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _agent = agent(lab, CONFIG)?;
        let mut reports = Reports::listen(lab)?;
        let mut closed_first = 0;
        for _ in 0..PAUSES {
            let pause = tunwarden(lab, ["pause", "600s"])?;
            ensure!(pause.status.success(), "{pause:?}");
            let opened = reports.programs()?;
            ensure!(opened.last().is_some_and(|by| by == "tunwarden"), "a pause: {opened:?}");
            ensure!(opened.iter().any(|by| by.starts_with("iptables")), "the control: {opened:?}");
            let resume = tunwarden(lab, ["resume"])?;
            ensure!(resume.status.success(), "{resume:?}");
            let closed = reports.programs()?;
            ensure!(closed.iter().any(|by| by.starts_with("iptables")), "the control: {closed:?}");
            closed_first += usize::from(closed.first().context("nothing has changed")? == "tunwarden");
        }
        println!("nf_tables closed first {closed_first} times of {PAUSES}");
        ensure!(closed_first > 0, "iptables closed first {PAUSES} times of {PAUSES}");
        Ok(())
    })
}
