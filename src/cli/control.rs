//! `tunwarden pause`, `resume`, `reconnect` and `reload`: requests of an administrator to the agent.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};

use super::{BAD_CONFIG, Outcome, client, duration::PauseLength, lock, say, warn};
use crate::store::Store;

/// How long a pause for a portal lasts if no duration is given.
const PORTAL_PAUSE: &str = "10m";

#[derive(Debug, ClapArgs)]
pub(super) struct PauseArgs {
    /// How long, from 1s to 24h: 90s, 5m, 1h30m, 5 minutes. The default for a portal is 10m.
    #[arg(value_name = "DURATION", required_unless_present = "purpose", num_args = 1..=6)]
    length: Vec<String>,
    /// Open only what WHAT needs. A captive portal needs outgoing DNS, HTTP and HTTPS of this machine, not of
    /// its containers. The pause ends when the VPN is up.
    #[arg(long = "for", id = "purpose", value_enum, value_name = "WHAT")]
    purpose: Option<Purpose>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Purpose {
    Portal,
}

pub(super) async fn pause(args: &PauseArgs) -> Outcome {
    let length = if args.length.is_empty() { PORTAL_PAUSE.to_owned() } else { args.length.join(" ") };
    let length: PauseLength = length.parse()?;
    let length = length.seconds();
    let agent = client::connect().await?;
    let (until, what) = match args.purpose {
        None => {
            agent.pause(length).await.map_err(client::answer)?;
            (client::status(&agent).await?.paused_until.unwrap_or_default(), "everything leaves in clear")
        }
        Some(Purpose::Portal) => {
            let until = agent.pause_portal(length).await.map_err(client::answer)?;
            (until, "DNS and web pages of this machine leave in clear, until the VPN is up")
        }
    };
    let until = jiff::Timestamp::from_second(i64::try_from(until)?)?.strftime("%H:%M:%S");
    say(&format!("OPEN until {until} UTC at the latest: {what}. Close at once with: tunwarden resume"));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn resume(config: Option<&Path>) -> Outcome {
    let Ok(agent) = client::connect().await else {
        // Without an agent the kernel may keep everything open until the deadline.
        return lock::run(config).await;
    };
    agent.resume().await.map_err(client::answer)?;
    say("The pause has ended: the firewall is closed again.");
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn reconnect() -> Outcome {
    let agent = client::connect_for_reconnect().await?;
    agent.reconnect().await.map_err(client::answer)?;
    say("The VPN is connected again.");
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn reload() -> Outcome {
    Ok(if reloaded().await? { ExitCode::SUCCESS } else { ExitCode::from(BAD_CONFIG) })
}

/// Has the agent read its configuration again. Says the result, and whether the new configuration is in force.
pub(super) async fn reloaded() -> anyhow::Result<bool> {
    match client::connect().await {
        Ok(agent) => match agent.reload().await {
            Ok(()) => {
                say("The new configuration is in force.");
                Ok(true)
            }
            Err(error) => {
                warn(&format!(
                    "{:#}\ntunwarden: the new configuration is refused; the old configuration stays in force",
                    client::answer(error)
                ));
                Ok(false)
            }
        },
        Err(error) => match Store::default().running_agent() {
            Some(pid) => Err(error
                .context(format!("the agent (process {pid}) is not on the bus; use: sudo kill -HUP {pid}"))),
            None => Err(error),
        },
    }
}
