//! The one binary: daemon, command line and hook, by its first word.

use std::process::ExitCode;

use clap::Parser;
use tunwarden::cli::Cli;

fn main() -> ExitCode {
    tunwarden::cli::run(Cli::parse())
}
