//! `tunwarden init`: the first run. It looks, explains, writes a configuration and puts it in force; if
//! nobody confirms, everything is as it was before, whatever has become of the terminal.

mod undo;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args as ClapArgs;
use tokio::sync::mpsc;

use super::{Outcome, client, complain, lock, say};
use crate::agent::describe;
use crate::config::{Backend, Config, DEFAULT_PATH, plain};
use crate::doctor::Files;
use crate::firewall::{Dump, forget_article, systemctl};
use crate::setup::{Carried, configuration, read_script};
use crate::sources::{links, network_manager};
use crate::system;
use crate::vpn::{Event, NmView};

/// How long NetworkManager is given to name its profiles.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Ask nothing and wait for no confirmation: for machines that nobody sits at.
    #[arg(long)]
    yes: bool,
    /// What runs in the background meanwhile.
    #[arg(long, hide = true, value_name = "DIR")]
    undo: Option<PathBuf>,
}

/// What was seen of the machine.
struct Seen {
    carried: Carried,
    found: Vec<String>,
    /// Units of the article's that the next boot would start.
    units: Vec<String>,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Outcome {
    if let Some(folder) = &args.undo {
        return undo::wait(folder).await;
    }
    ensure!(nix::unistd::geteuid().is_root(), "this needs root: sudo tunwarden init");
    let asks = !args.yes;
    ensure!(!asks || std::io::stdin().is_terminal(), "nobody can be asked here: tunwarden init --yes");
    let path = path.unwrap_or(Path::new(DEFAULT_PATH));
    let dump = Dump::take(Backend::Auto).await.context("cannot read what the kernel holds")?;
    let seen = look(&dump).await;
    let text = configuration(&seen.carried, &seen.found);
    Config::parse(&text, &path.display().to_string()).context("what was found makes no configuration")?;
    explain(&seen, path);
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

async fn look(dump: &Dump) -> Seen {
    let files = Files::below("/");
    let mut carried = Carried::default();
    let mut found = Vec::new();
    let article = files.article();
    for path in article.iter().filter(|path| path.ends_with(".sh")) {
        read_script(&files.read(path.trim_start_matches('/')), &mut carried);
        found.push(format!("{path}: its ports and networks are carried over"));
    }
    if dump.is_the_articles() {
        found.push("the kernel holds the rules of those scripts now; they are replaced".to_owned());
    }
    let units: Vec<String> = article
        .iter()
        .filter_map(|path| path.strip_prefix("/etc/systemd/system/"))
        .map(ToOwned::to_owned)
        .collect();
    found.extend(units.iter().map(|unit| format!("{unit}: will not be started any more; the file stays")));
    match links::snapshot().await {
        Ok(table) => found.extend(table.uplinks(&Config::default()).into_iter().map(|uplink| {
            let prefixes: Vec<String> = uplink.prefixes.iter().map(ToString::to_string).collect();
            format!("network card {} on {}", uplink.interface, prefixes.join(", "))
        })),
        Err(error) => complain(&format!("tunwarden: {}", describe(&error))),
    }
    for profile in profiles().await.map(|view| view.profiles).unwrap_or_default() {
        let servers = profile.endpoints.iter().map(ToString::to_string);
        let names = profile.names.iter().map(|(name, _, _)| name.to_string());
        let servers: Vec<String> = servers.chain(names).collect();
        found.push(format!("VPN profile {} to {}", profile.id, servers.join(", ")));
    }
    if system::has_docker() {
        found.push("Docker: its containers leave through the VPN or not at all".to_owned());
    }
    for firewall in files.firewalls() {
        found.push(format!("another firewall, {firewall:?}: its rules stay; see: tunwarden doctor"));
    }
    Seen { carried, found, units }
}

async fn profiles() -> Option<NmView> {
    let (events, mut heard) = mpsc::channel(4);
    let watch = tokio::spawn(network_manager::watch(events));
    let first = tokio::time::timeout(PATIENCE, heard.recv()).await;
    watch.abort();
    match first {
        Ok(Some(Event::NetworkManager(view))) => view,
        Ok(_) | Err(_) => None,
    }
}

fn explain(seen: &Seen, path: &Path) {
    say("This was found:");
    seen.found.iter().for_each(|line| say(&format!("  - {}", plain(line))));
    for left in &seen.carried.left {
        say(&format!("  - not carried over: {} ({})", plain(&left.text), left.why));
    }
    say(&format!(
        "\nThis will change: {} is written (an older one is kept beside it), and from now on nothing leaves \
         this machine outside the VPN but DHCP, the LAN, and the VPN client to its servers. Programs and \
         containers have no network until the VPN is up. Connections that are open now may break; from \
         outside the LAN nobody comes in.",
        path.display()
    ));
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
    if Path::new("/run/systemd/system").is_dir()
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
