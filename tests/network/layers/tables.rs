//! The tables of each layer. tunwarden does not change the tables of an unused layer, and it notices what
//! other programs do to its own.

use anyhow::{Result, ensure};
use tunwarden_lab::{Lab, with_lab};

use super::{BEYOND, IPTABLES, KNOWN, lock};
use crate::support::kernel::{Backend, FAMILIES};
use crate::support::tunwarden;

#[test]
fn each_layer_alone_leaves_the_other_s_tables_alone() -> Result<()> {
    with_lab(|lab| {
        let backend = Backend::Nft;
        for family in FAMILIES {
            backend.restore(lab, family, "*filter\n:MINE - [0:0]\n-A MINE -j RETURN\nCOMMIT\n")?;
        }
        let before = backend.all_saved(lab)?;
        lock(lab, "[firewall]\nlayers = [\"nftables\"]\n")?;
        ensure!(backend.all_saved(lab)? == before, "iptables was touched: {:#?}", backend.all_saved(lab)?);
        ensure!(lab.host().udp(BEYOND[0])?.send()?.forbidden() == 1, "it is open");
        ensure!(tunwarden(lab, ["verify"])?.status.success());
        // The agent removes a layer that the configuration no longer names after the other layer is in force.
        lock(lab, IPTABLES)?;
        ensure!(!tables(lab)?.contains("tunwarden"), "{}", tables(lab)?);
        ensure!(lab.host().udp(BEYOND[0])?.send()?.forbidden() == 1, "it is open");
        lock(lab, "")?;
        ensure!(tables(lab)?.contains("netdev tunwarden"), "{}", tables(lab)?);
        let output = tunwarden(lab, ["release", "--yes"])?;
        ensure!(output.status.success(), "{output:?}");
        ensure!(!tables(lab)?.contains("tunwarden"), "the release left {}", tables(lab)?);
        let saved = backend.all_saved(lab)?;
        ensure!(saved.iter().all(|line| !line.contains("VPN") && !line.contains("DROP")), "left: {saved:#?}");
        ensure!(saved.iter().any(|line| line == "-A MINE -j RETURN"), "others lost: {saved:#?}");
        Ok(())
    })
}

fn tables(lab: &Lab) -> Result<String> {
    lab.host().succeed(["nft", "list", "tables"])
}

#[test]
fn changes_of_others_to_our_tables_are_named_and_repaired() -> Result<()> {
    with_lab(|lab| {
        lock(lab, KNOWN)?;
        let damages = [
            (
                "flush chain inet tunwarden OUTPUT_VPN_KILL_SWITCH_V4",
                "missing: OUTPUT_VPN_KILL_SWITCH_V4 drop",
            ),
            ("insert rule inet tunwarden output accept", "foreign: output accept"),
            ("add chain inet tunwarden mine", "foreign: chain mine"),
            ("chain inet tunwarden output { policy accept; }", "output is not"),
            ("insert rule netdev tunwarden egress accept", "foreign: egress accept"),
            ("delete table netdev tunwarden", "nft netdev tunwarden: the table is not there"),
        ];
        for (damage, named) in damages {
            lab.host().succeed(["nft", damage])?;
            let verify = tunwarden(lab, ["verify"])?;
            ensure!(verify.status.code() == Some(4), "{damage} is not noticed");
            ensure!(verify.stdout.contains(named), "{damage}: {}", verify.stdout);
            ensure!(tunwarden(lab, ["status"])?.status.code() == Some(4), "status does not notice {damage}");
            lock(lab, KNOWN)?;
            ensure!(tunwarden(lab, ["verify"])?.status.success(), "not repaired: {damage}");
        }
        Ok(())
    })
}
