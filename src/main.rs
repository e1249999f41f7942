//! The one binary. Its first argument decides: daemon, command line or hook.

use std::process::ExitCode;

use clap::Parser;
use tunwarden::cli::{self, Cli};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli::run(cli),
        Err(error) => cli::refuse(&error, std::env::args_os()),
    }
}
