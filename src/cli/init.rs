//! `tunwarden init`: the first run. It examines the machine, explains the result, writes a configuration and puts it in
//! force. If the user does not confirm it, the earlier state is restored, even if the terminal has ended.

mod kernel_rules;
mod look;
mod undo;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Args as ClapArgs;

use super::{Outcome, client, lock, needs_root, say, warn};
use crate::agent::describe;
use crate::config::{Backend, Config, DEFAULT_PATH, Traffic, Warning, plain};
use crate::effects::systemd::{self, systemctl};
use crate::firewall::{Dump, forget_article};
use crate::setup::{Plan, RuleResult, configuration};
use look::{Seen, look};

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Ask nothing and do not wait for a confirmation. For machines without a user in front of them.
    #[arg(long)]
    yes: bool,
    /// Run the process that restores the earlier state from this folder unless it is confirmed.
    #[arg(long, hide = true, value_name = "DIR")]
    undo: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Outcome {
    if let Some(folder) = &args.undo {
        return undo::wait(folder).await;
    }
    needs_root("init")?;
    let asks = !args.yes;
    ensure!(
        !asks || std::io::stdin().is_terminal(),
        "standard input is not a terminal, so tunwarden cannot ask; to run without questions: tunwarden init --yes"
    );
    let path = path.unwrap_or(Path::new(DEFAULT_PATH));
    let dump = Dump::take(Backend::Auto).await.context("cannot read what the kernel holds")?;
    let mut seen = look(&dump).await;
    if asks {
        ask(&mut seen)?;
    } else if seen.plan.found && seen.plan.is_empty() {
        rules(&seen.plan);
        bail!(
            "none of the earlier rules could be carried over, so nothing was changed. To answer questions about \
             them: sudo tunwarden init. To start without those rules: move the files named above, remove the rules from \
             the kernel, then try again"
        );
    }
    let text = configuration(&seen.plan, &seen.found);
    let config = Config::parse(&text, &path.display().to_string());
    let config = config.context("the rules found on this machine do not make a valid configuration")?;
    explain(&seen, &config, path);
    if asks && !asked("Continue? [y/N] ")? {
        bail!("nothing was changed");
    }
    let before = undo::Before::of(path, dump)?;
    let guard = match asks {
        true => Some(undo::Guard::set(&before).await?),
        false => None,
    };
    if let Err(error) = apply(&before, &text, path).await {
        before.restore().await.context("the earlier state could not be restored")?;
        return Err(error.context("not put in force; the earlier state is restored"));
    }
    if let Some(guard) = guard
        && !guard.confirmed().await?
    {
        bail!("not confirmed: the earlier state is restored");
    }
    finish_setup(&seen).await;
    Ok(ExitCode::SUCCESS)
}

/// Shows what was found, what happens to each rule, and the warnings.
fn explain(seen: &Seen, config: &Config, path: &Path) {
    say("Found on this machine:");
    seen.found.iter().for_each(|line| say(&format!("  - {}", plain(line))));
    rules(&seen.plan);
    let warnings = sorted_warnings(config);
    if !warnings.is_empty() {
        say("\nWarnings:");
        warnings.iter().for_each(|text| say(&format!("  ! {}", plain(text))));
    }
    if !seen.others.is_empty() {
        say("\nThese change firewall rules later, and tunwarden then has to repair its rules:");
        for other in &seen.others {
            say(&format!("  ! {}\n    {}", plain(&other.problem), plain(&other.mend)));
        }
    }
    say(&format!(
        "\nThis will change: tunwarden writes {} (it keeps an older file beside it). From then on only DHCP, \
         {}and the VPN client's connection to its servers leave this machine outside the VPN. Programs and \
         containers have no network until the VPN is up. Connections that are open now may break. Only the \
         LAN can open connections to this machine.",
        path.display(),
        if config.lan.allow { "the LAN, " } else { "" }
    ));
}

/// Shows every earlier rule and what happens to it.
fn rules(plan: &Plan) {
    let mut file = "";
    for entry in &plan.entries {
        if entry.file != file {
            file = &entry.file;
            let of_file = || plan.entries.iter().filter(|entry| entry.file == file);
            let left = of_file().filter(|entry| matches!(entry.result, RuleResult::LeftOut(_))).count();
            let carried = of_file().filter(|entry| matches!(entry.result, RuleResult::Carried(_))).count();
            say(&match carried {
                0 => format!("\n{}: nothing is carried over, rules left out: {left}", plain(file)),
                _ => format!("\n{}: rules carried over: {carried}, left out: {left}", plain(file)),
            });
        }
        let text = plain(&entry.text);
        say(&match &entry.result {
            RuleResult::Carried(key) => format!("  + {text}\n      carried over as {key}"),
            RuleResult::Covered(why) => format!("  = {text}\n      already covered: {}", plain(why)),
            RuleResult::LeftOut(why) => format!("  - {text}\n      not carried over: {}", plain(why)),
        });
    }
    for line in plan.differences.iter().chain(&plan.others) {
        say(&format!("  ! {}", plain(line)));
    }
}

/// Every warning of `check`. The warning that concerns every program comes first.
fn sorted_warnings(config: &Config) -> Vec<String> {
    let mut warnings: Vec<String> = config.warnings().into_iter().map(in_its_section).collect();
    warnings.sort_by_key(|text| !text.starts_with("Names cannot be looked up"));
    warnings
}

/// The text of a warning, with its section if the text does not name it.
fn in_its_section(warning: Warning) -> String {
    let Warning { section, text } = warning;
    if text.contains(&format!("{section}.")) { text } else { format!("{text} (section [{section}])") }
}

/// Asks what only the user knows: which interface is the VPN's, and whether to allow more than before.
fn ask(seen: &mut Seen) -> anyhow::Result<()> {
    for name in std::mem::take(&mut seen.plan.questions) {
        let question = format!(
            "Is {} the interface of your VPN, and not your connection to the provider? [y/N] ",
            plain(&name)
        );
        if asked(&question)? {
            seen.machine.confirmed.insert(name);
        }
    }
    if !seen.machine.confirmed.is_empty() {
        seen.plan_again();
    }
    if seen.plan.found && seen.plan.tunnel.is_none() {
        rules(&seen.plan);
        let question = "No rule for traffic through the VPN could be carried over. Allow all traffic through \
                        it, which may be more than before? [y/N] ";
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

/// The last steps after the confirmation: prepares the next boot, and turns off what would change the rules again.
async fn finish_setup(seen: &Seen) {
    for unit in &seen.units {
        match systemctl(&["disable", unit]).await {
            Ok(()) => say(&format!("{unit} will not be started any more")),
            Err(error) => warn(&format!(
                "tunwarden: {}; do it yourself: sudo systemctl disable {unit}",
                describe(&error)
            )),
        }
    }
    match forget_article(Backend::Auto).await {
        Ok(0) => {}
        Ok(_) => say("the old rules in DOCKER-USER are gone; tunwarden's hold there"),
        Err(error) => warn(&format!("tunwarden: {}", describe(&error))),
    }
    if systemd::is_running()
        && let Err(error) =
            systemctl(&["enable", "--now", "tunwarden-lock.service", "tunwarden.service"]).await
    {
        warn(&format!(
            "tunwarden: {}; do it yourself: sudo systemctl enable --now tunwarden-lock tunwarden",
            describe(&error)
        ));
    }
    say("In force. Connect your VPN as always, and see: tunwarden status");
}
