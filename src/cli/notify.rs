//! `tunwarden notify`: notifications and the indicator, in the user's session.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use jiff::tz::TimeZone;

use super::{Outcome, log, warn};
use crate::notifier::{self, Entry, Icons, MemoryFile, NotifierError, Opening, UserContext, Words, language};

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Show an indicator without colours, as some panels need.
    #[arg(long)]
    symbolic: bool,
    /// Show the details now, also if the notifier runs already (the entry in the menu of applications does this).
    #[arg(long)]
    details: bool,
    /// Replace the notifier that runs in this session, and do nothing if none runs (an upgrade of the package does
    /// this).
    #[arg(long, conflicts_with = "details")]
    replace: bool,
    /// Log every event too.
    #[arg(long, short)]
    verbose: bool,
}

pub(super) async fn run(args: &Args) -> Outcome {
    log::start(if args.verbose { tracing::Level::DEBUG } else { tracing::Level::WARN });
    let variable = |name: &str| std::env::var(name).ok();
    let user = UserContext {
        words: Words::new(language(variable), TimeZone::system()),
        memory_file: MemoryFile::of_person(variable),
        icons: if args.symbolic { Icons::Symbolic } else { Icons::Coloured },
        opening: if args.details { Opening::Details } else { Opening::Quiet },
        entry: if args.replace { Entry::Replace } else { Entry::Yield },
    };
    match notifier::run(user).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(NotifierError::RunsAlready) if args.details => {
            notifier::show_details().await?;
            Ok(ExitCode::SUCCESS)
        }
        // This is not a failure: another process shows the notifications, or the user does not want any.
        Err(error @ (NotifierError::RunsAlready | NotifierError::NoneRuns)) => {
            warn(&format!("tunwarden: {error}"));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error.into()),
    }
}
