//! The one binary: daemon, command line and hook, by its first word.

use std::process::ExitCode;

use clap::Parser;
use tunwarden::cli::{self, Cli};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli::run(cli),
        Err(error) => cli::refuse(&error, std::env::args_os()),
    }
}
