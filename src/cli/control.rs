//! `tunwarden pause`, `resume`, `reconnect` and `reload`: what an administrator asks of the agent.

use std::path::Path;
use std::process::ExitCode;

use clap::Args as ClapArgs;

use super::{BAD_CONFIG, Outcome, client, complain, duration::PauseLength, lock, say};
use crate::store::Store;

#[derive(Debug, ClapArgs)]
pub(super) struct PauseArgs {
    /// For how long, 1s to 24h: 90s, 5m, 1h30m.
    #[arg(value_name = "DURATION")]
    length: PauseLength,
}

pub(super) async fn pause(args: &PauseArgs) -> Outcome {
    let agent = client::connect().await?;
    agent.pause(args.length.seconds()).await.map_err(client::answer)?;
    let until = i64::try_from(agent.paused_until().await?)?;
    let until = jiff::Timestamp::from_second(until)?.strftime("%H:%M:%S");
    say(&format!("OPEN until {until} UTC: everything leaves in clear. Close at once with: tunwarden resume"));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn resume(config: Option<&Path>) -> Outcome {
    let Ok(agent) = client::connect().await else {
        // Without an agent the kernel may still be open until the deadline.
        return lock::run(config).await;
    };
    agent.resume().await.map_err(client::answer)?;
    say("closed again");
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn reconnect() -> Outcome {
    let agent = client::connect_patiently().await?;
    agent.reconnect().await.map_err(client::answer)?;
    say("the VPN is back");
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn reload() -> Outcome {
    match client::connect().await {
        Ok(agent) => match agent.reload().await {
            Ok(()) => {
                say("the new configuration is in force");
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                complain(&format!(
                    "{:#}\ntunwarden: refused; the old configuration stays in force",
                    client::answer(error)
                ));
                Ok(ExitCode::from(BAD_CONFIG))
            }
        },
        Err(error) => match Store::default().running_agent() {
            Some(pid) => Err(error
                .context(format!("the agent (process {pid}) is not on the bus; use: sudo kill -HUP {pid}"))),
            None => Err(error),
        },
    }
}
