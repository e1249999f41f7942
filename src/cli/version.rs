//! `tunwarden version`: the versions of tunwarden and of the programs that it uses.

use std::process::ExitCode;

use super::{Outcome, client, say};
use crate::system::program;

/// Programs whose versions influence what tunwarden does.
const PROGRAMS: [&str; 9] =
    ["iptables", "ip6tables", "nft", "ipset", "NetworkManager", "openvpn", "wg", "docker", "systemctl"];

/// Maximum length of a program's line, in characters.
const LENGTH: usize = 80;

pub(super) async fn run() -> Outcome {
    say(&text().await);
    Ok(ExitCode::SUCCESS)
}

/// The versions, one on each line.
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

/// The first line that a program prints for `--version`; `None` if it is not installed.
async fn version(name: &str) -> Option<String> {
    program::path(name)?;
    let said = program::run(name, &["--version"], "").await;
    let line =
        said.map_or_else(|error| error.to_string(), |said| said.lines().next().unwrap_or("").to_owned());
    Some(line.chars().filter(|char| !char.is_control()).take(LENGTH).collect())
}
