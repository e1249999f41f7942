//! What the commands say to a person who asks for something that they cannot do, or who searches a fault.

use anyhow::{Result, ensure};
use tunwarden_lab::with_lab;

use super::KNOWN;
use crate::support::kernel::Backend;
use crate::support::{agent, bus, tunwarden};

#[test]
fn a_command_that_cannot_do_what_is_asked_says_what_to_do() -> Result<()> {
    with_lab(|lab| {
        for verb in ["lock", "release"] {
            let words = [env!("CARGO_BIN_EXE_tunwarden"), verb];
            let said = lab.host().command(words).user("nobody").run()?;
            let hint = format!("this needs root: sudo tunwarden {verb}");
            ensure!(said.status.code() == Some(1) && said.stderr.contains(&hint), "{said:?}");
        }
        for word in ["unlock", "off", "disable", "open", "disconnect"] {
            let said = tunwarden(lab, [word])?;
            ensure!(said.status.code() == Some(2), "{said:?}");
            for hint in ["sudo tunwarden pause 5m", "sudo tunwarden release"] {
                ensure!(said.stderr.contains(hint), "{hint}: {said:?}");
            }
            ensure!(!said.stderr.contains("'lock'"), "{said:?}");
        }
        Backend::Nft.lock(lab, KNOWN)?;
        Backend::Nft.change(lab, "iptables", "-I OUTPUT -o eth7 -j ACCEPT")?;
        let verify = tunwarden(lab, ["verify"])?;
        let rule = "not the first: -A OUTPUT -o eth7 -j ACCEPT stands before it";
        ensure!(verify.status.code() == Some(4) && verify.stdout.contains(rule), "{verify:?}");

        let _bus = bus(lab)?;
        let _agent = agent(lab, KNOWN)?;
        for verb in ["status", "verify", "reload"] {
            let said = tunwarden(lab, ["--config", "/etc/tunwarden/none.toml", verb])?;
            ensure!(said.status.code() == Some(2), "{verb}: {said:?}");
            ensure!(said.stderr.contains("/etc/tunwarden/none.toml"), "{verb}: {said:?}");
        }
        Ok(())
    })
}
