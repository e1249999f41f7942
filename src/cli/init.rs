//! `tunwarden init`: the first run. It looks, explains, writes a configuration and puts it in force; if
//! nobody confirms, everything is as it was before, whatever has become of the terminal.

mod look;
mod undo;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Args as ClapArgs;

use super::{Outcome, client, complain, lock, needs_root, say};
use crate::agent::describe;
use crate::config::{Backend, Config, DEFAULT_PATH, Traffic, plain};
use crate::effects::systemd::{self, systemctl};
use crate::firewall::{Dump, forget_article};
use crate::setup::{Fate, Plan, configuration};
use look::{Seen, look};

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Ask nothing and wait for no confirmation: for machines that nobody sits at.
    #[arg(long)]
    yes: bool,
    /// What runs in the background meanwhile.
    #[arg(long, hide = true, value_name = "DIR")]
    undo: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Outcome {
    if let Some(folder) = &args.undo {
        return undo::wait(folder).await;
    }
    needs_root("init")?;
    let asks = !args.yes;
    ensure!(!asks || std::io::stdin().is_terminal(), "nobody can be asked here: tunwarden init --yes");
    let path = path.unwrap_or(Path::new(DEFAULT_PATH));
    let dump = Dump::take(Backend::Auto).await.context("cannot read what the kernel holds")?;
    let mut seen = look(&dump).await;
    if asks {
        ask(&mut seen, &dump)?;
    } else if seen.plan.found && seen.plan.is_empty() {
        rules(&seen.plan);
        bail!(
            "none of the rules from before could be carried over; nothing was changed. To be asked: sudo \
             tunwarden init. To begin without those rules: move the files that are named above, then again"
        );
    }
    let text = configuration(&seen.plan, &seen.found);
    let config = Config::parse(&text, &path.display().to_string());
    let config = config.context("what was found makes no configuration")?;
    explain(&seen, &config, path);
    if asks && !asked("Go on? [y/N] ")? {
        bail!("nothing was changed");
    }
    let before = undo::Before::of(path, dump)?;
    let guard = match asks {
        true => Some(undo::Guard::set(&before).await?),
        false => None,
    };
    if let Err(error) = apply(&before, &text, path).await {
        before.bring_back().await.context("and what was before could not be put back")?;
        return Err(error.context("not put in force; everything is as before"));
    }
    if let Some(guard) = guard
        && !guard.confirmed().await?
    {
        bail!("not confirmed: everything is as before");
    }
    settle(&seen).await;
    Ok(ExitCode::SUCCESS)
}

/// Shows what was found, what becomes of each rule, and what to take care of.
fn explain(seen: &Seen, config: &Config, path: &Path) {
    say("This was found:");
    seen.found.iter().for_each(|line| say(&format!("  - {}", plain(line))));
    rules(&seen.plan);
    let warnings = sorted_warnings(config);
    if !warnings.is_empty() {
        say("\nTake care:");
        warnings.iter().for_each(|text| say(&format!("  ! {}", plain(text))));
    }
    if !seen.others.is_empty() {
        say("\nThese change firewall rules later, and tunwarden then has to put them right again:");
        for other in &seen.others {
            say(&format!("  ! {}\n    {}", plain(&other.problem), plain(&other.mend)));
        }
    }
    say(&format!(
        "\nThis will change: {} is written (an older one is kept beside it), and from now on nothing leaves \
         this machine outside the VPN but DHCP, {}and the VPN client to its servers. Programs and \
         containers have no network until the VPN is up. Connections that are open now may break; from \
         outside the LAN nobody comes in.",
        path.display(),
        if config.lan.allow { "the LAN, " } else { "" }
    ));
}

/// Every rule from before, with what becomes of it.
fn rules(plan: &Plan) {
    let mut file = "";
    for entry in &plan.entries {
        if entry.file != file {
            file = &entry.file;
            let of_file = || plan.entries.iter().filter(|entry| entry.file == file);
            let left = of_file().filter(|entry| matches!(entry.fate, Fate::LeftOut(_))).count();
            let carried = of_file().filter(|entry| matches!(entry.fate, Fate::Carried(_))).count();
            say(&match carried {
                0 => format!("\n{}: nothing is carried over, rules left out: {left}", plain(file)),
                _ => format!("\n{}: rules carried over: {carried}, left out: {left}", plain(file)),
            });
        }
        let text = plain(&entry.text);
        say(&match &entry.fate {
            Fate::Carried(key) => format!("  + {text}\n      carried over as {key}"),
            Fate::Covered(why) => format!("  = {text}\n      covered already: {}", plain(why)),
            Fate::LeftOut(why) => format!("  - {text}\n      not carried over: {}", plain(why)),
        });
    }
    for line in plan.differences.iter().chain(&plan.others) {
        say(&format!("  ! {}", plain(line)));
    }
}

/// Every warning of `check`, first the one that breaks every program.
fn sorted_warnings(config: &Config) -> Vec<String> {
    let mut warnings: Vec<String> = config.warnings().into_iter().map(|warning| warning.text).collect();
    warnings.sort_by_key(|text| !text.starts_with("Names cannot be looked up"));
    warnings
}

/// Asks what only the user knows: which interface is the VPN's, and whether more may pass than before.
fn ask(seen: &mut Seen, dump: &Dump) -> anyhow::Result<()> {
    for name in std::mem::take(&mut seen.plan.questions) {
        let question = format!(
            "Is {} the interface of your VPN, and not the way to your provider? [y/N] ",
            plain(&name)
        );
        if asked(&question)? {
            seen.machine.confirmed.insert(name);
        }
    }
    if !seen.machine.confirmed.is_empty() {
        seen.plan_again(dump);
    }
    if seen.plan.found && seen.plan.tunnel.is_none() {
        rules(&seen.plan);
        let question = "No rule for what may pass through the VPN could be carried over. Let everything pass \
                        through it, which may be wider than before? [y/N] ";
        if asked(question)? {
            seen.plan.tunnel = Some(Traffic::Any);
        }
    }
    Ok(())
}

fn asked(question: &str) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    write!(out, "{question}")?;
    out.flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

async fn apply(before: &undo::Before, text: &str, path: &Path) -> anyhow::Result<()> {
    undo::write(path, text)?;
    if before.had_agent() {
        client::connect().await?.reload().await.map_err(client::answer)?;
    } else {
        lock::run(Some(path)).await?;
    }
    Ok(())
}

/// What is done once it is confirmed: for the next boot, and against what would undo it.
async fn settle(seen: &Seen) {
    for unit in &seen.units {
        match systemctl(&["disable", unit]).await {
            Ok(()) => say(&format!("{unit} will not be started any more")),
            Err(error) => complain(&format!(
                "tunwarden: {}; do it yourself: sudo systemctl disable {unit}",
                describe(&error)
            )),
        }
    }
    match forget_article(Backend::Auto).await {
        Ok(0) => {}
        Ok(_) => say("the old rules in DOCKER-USER are gone; tunwarden's hold there"),
        Err(error) => complain(&format!("tunwarden: {}", describe(&error))),
    }
    if systemd::is_running()
        && let Err(error) =
            systemctl(&["enable", "--now", "tunwarden-lock.service", "tunwarden.service"]).await
    {
        complain(&format!(
            "tunwarden: {}; do it yourself: sudo systemctl enable --now tunwarden-lock tunwarden",
            describe(&error)
        ));
    }
    say("In force. Connect your VPN as always, and see: tunwarden status");
}
