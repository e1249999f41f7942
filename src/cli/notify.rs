//! `tunwarden notify`: notifications and the indicator, in the user's session.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use jiff::tz::TimeZone;

use super::{Outcome, complain, log};
use crate::notifier::{self, Icons, Notebook, NotifierError, Opening, UserContext, Words, language};

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Show an indicator without colours, as some panels need.
    #[arg(long)]
    symbolic: bool,
    /// Show the details now, also if the notifications run already (the entry in the menu of applications does this).
    #[arg(long)]
    details: bool,
    /// Log every event too.
    #[arg(long, short)]
    verbose: bool,
}

pub(super) async fn run(args: &Args) -> Outcome {
    log::start(if args.verbose { tracing::Level::DEBUG } else { tracing::Level::WARN });
    let variable = |name: &str| std::env::var(name).ok();
    let user = UserContext {
        words: Words::new(language(variable), TimeZone::system()),
        notebook: Notebook::of_person(variable),
        icons: if args.symbolic { Icons::Symbolic } else { Icons::Coloured },
        opening: if args.details { Opening::Details } else { Opening::Quiet },
    };
    match notifier::run(user).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(NotifierError::RunsAlready) if args.details => {
            notifier::show_details().await?;
            Ok(ExitCode::SUCCESS)
        }
        // Not a failure: the other process shows the notifications.
        Err(error @ NotifierError::RunsAlready) => {
            complain(&format!("tunwarden: {error}"));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error.into()),
    }
}
