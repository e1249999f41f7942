//! `tunwarden version`: what this is, and what it works with.

use std::process::ExitCode;

use super::{Outcome, client, say};
use crate::system::program;

/// Programs whose versions matter for what tunwarden does.
const PROGRAMS: [&str; 9] =
    ["iptables", "ip6tables", "nft", "ipset", "NetworkManager", "openvpn", "wg", "docker", "systemctl"];

/// Longest line of a program that is shown.
const LENGTH: usize = 80;

pub(super) async fn run() -> Outcome {
    say(&text().await);
    Ok(ExitCode::SUCCESS)
}

/// The versions, a line each.
pub(super) async fn text() -> String {
    let mut lines = vec![format!("tunwarden {}", env!("CARGO_PKG_VERSION"))];
    let mut row = |name: &str, version: String| lines.push(format!("  {name:<15} {version}"));
    let agent = match client::connect().await {
        Ok(agent) => agent.version().await.map_err(|error| error.to_string()),
        Err(_) => Err("does not answer".to_owned()),
    };
    row("agent", agent.unwrap_or_else(|why| why));
    let kernel = nix::sys::utsname::uname();
    row(
        "kernel",
        kernel.map_or_else(|_| "unknown".to_owned(), |name| name.release().to_string_lossy().into()),
    );
    for name in PROGRAMS {
        if let Some(version) = version(name).await {
            row(name, version);
        }
    }
    lines.join("\n")
}

/// The first line that a program prints for `--version`, if it is installed.
async fn version(name: &str) -> Option<String> {
    program::path(name)?;
    let said = program::run(name, &["--version"], "").await;
    let line =
        said.map_or_else(|error| error.to_string(), |said| said.lines().next().unwrap_or("").to_owned());
    Some(line.chars().filter(|char| !char.is_control()).take(LENGTH).collect())
}
