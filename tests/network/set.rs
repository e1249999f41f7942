//! `tunwarden set` changes keys of the file, and the agent puts them in force.
#![allow(clippy::disallowed_methods, reason = "a test looks at files")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use anyhow::{Result, ensure};
use tunwarden_lab::{Lab, Output, with_lab};

use crate::support::polkit::pkexec;
use crate::support::{self, agent, bus, chain, polkit, tunwarden};

pub(crate) const FILE: &str = "/etc/tunwarden/config.toml";

/// A file of a user, with comments at each place.
pub(crate) const BEFORE: &str = "# at home\n\n[lan] # the flat\nallow = true # the printer\n# last\n";
pub(crate) const AFTER: &str = "# at home\n\n[lan] # the flat\nallow = false # the printer\n# last\n";

/// `pkexec tunwarden set` asks for an administrator's password. Here a file stands for the correct password.
pub(crate) const MAY_SET: &str = r#"polkit.addRule(function(action, subject) {
    if (action.id != "org.tunwarden.agent1.set") { return polkit.Result.NO; }
    try { polkit.spawn(["/usr/bin/test", "-e", "/run/password"]); return polkit.Result.YES; }
    catch (error) { return polkit.Result.NO; }
});
"#;

/// How many rules let packets to the LAN out.
fn lan(lab: &Lab) -> Result<usize> {
    Ok(chain(lab, "iptables", "VPN_LAN")?.len())
}

fn has(output: &Output, code: i32, text: &str) -> Result<()> {
    let fits =
        output.status.code() == Some(code) && (output.stdout.contains(text) || output.stderr.contains(text));
    ensure!(fits, "not {code} with {text:?}: {output:?}");
    Ok(())
}

#[test]
fn a_key_is_changed_with_the_comments_kept_and_is_in_force_when_it_returns() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let _agent = agent(lab, BEFORE)?;
        let file = lab.host().outside(FILE);
        lab.host().succeed(["chown", "daemon:adm", FILE])?;
        lab.host().succeed(["chmod", "640", FILE])?;
        ensure!(lan(lab)? > 0, "the control: the LAN is open");

        has(&tunwarden(lab, ["set", "--dry-run", "lan.allow=false"])?, 0, "+allow = false # the printer")?;
        ensure!(lab.host().read(FILE)? == BEFORE && lan(lab)? > 0, "a dry run has changed something");

        has(&tunwarden(lab, ["set", "lan.allow=false"])?, 0, "lan.allow: true -> false")?;
        ensure!(lab.host().read(FILE)? == AFTER, "{}", lab.host().read(FILE)?);
        ensure!(lan(lab)? == 0, "not in force when the command has returned");
        let meta = std::fs::metadata(&file)?;
        ensure!(meta.permissions().mode() & 0o777 == 0o640 && (meta.uid(), meta.gid()) == (1, 4), "{meta:?}");
        ensure!(support::status(lab)?["configuration"]["source"] == "file");

        // The first of the two keys is right, and is not changed either.
        let refused = tunwarden(lab, ["set", "lan.allow=true", "vpn.reconnect=perhaps"])?;
        has(&refused, 2, "config.toml:")?;
        has(&refused, 2, "nothing was changed")?;
        ensure!(lab.host().read(FILE)? == AFTER && lan(lab)? == 0, "half of it was applied");
        has(&tunwarden(lab, ["set", "lan.alow=true"])?, 2, "did you mean lan.allow?")?;
        has(&tunwarden(lab, ["set", "lan.allow=false"])?, 0, "Nothing to change")?;
        has(&tunwarden(lab, ["set", "--json"])?, 0, "\"lan.allow\":false")
    })
}

#[test]
fn only_root_and_who_polkit_allows_may_set() -> Result<()> {
    with_lab(|lab| {
        polkit::install(lab)?;
        polkit::rules(lab, MAY_SET)?;
        let bus = bus(lab)?;
        let _polkit = bus.polkit()?;
        let _agent = agent(lab, BEFORE)?;
        let person = || pkexec(lab.host(), "nobody", "/usr/bin/tunwarden set lan.allow=false");
        let alone = lab.host().command(["/usr/bin/tunwarden", "set", "lan.allow=false"]);
        has(&alone.user("nobody").run()?, 1, "needs root")?;
        has(&person()?, 127, "Not authorized")?;
        ensure!(
            lab.host().read(FILE)? == BEFORE && lan(lab)? > 0,
            "a user without the password has changed it"
        );

        lab.host().file("/run/password", "")?;
        let other = "/usr/bin/tunwarden set --config /etc/other.toml lan.allow=false";
        has(&pkexec(lab.host(), "nobody", other)?, 1, "cannot choose the configuration")?;
        has(&person()?, 0, "lan.allow: true -> false")?;
        ensure!(lab.host().read(FILE)? == AFTER && lan(lab)? == 0, "it is in force");
        Ok(())
    })
}
