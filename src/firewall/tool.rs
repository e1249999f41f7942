//! The firewall programs: iptables, ipset and nft, each with the arguments that we give it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::process::Child;

use crate::config::Backend;
use crate::net::Family;
pub use crate::system::program::ToolError;
pub(super) use crate::system::program::{TIMEOUT, brief};
use crate::system::program::{command, path, run};

/// How long a program waits for the lock of iptables-legacy, in seconds.
const LOCK_SECONDS: &str = "5";

/// What `iptables-save` prints now.
pub(super) async fn save(backend: Backend, family: Family) -> Result<String, ToolError> {
    run(&name(backend, family, "save"), &[], "").await
}

/// What `iptables -S` prints of one chain.
pub(super) async fn list_chain(
    backend: Backend,
    family: Family,
    table: &str,
    chain: &str,
) -> Result<String, ToolError> {
    run(&program(backend, family), &["-t", table, "-S", chain], "").await
}

/// Whether a chain holds a rule that is only a jump to another.
pub(super) async fn has_jump(
    backend: Backend,
    family: Family,
    table: &str,
    (from, to): (&str, &str),
) -> Result<bool, ToolError> {
    match run(&program(backend, family), &["-t", table, "-C", from, "-j", to], "").await {
        Ok(_) => Ok(true),
        // 1: there is no such rule. 2: there is no chain that it could lead to.
        Err(ToolError::Failed { status, .. }) if matches!(status.code(), Some(1 | 2)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Commits a restore text, each table in one transaction.
pub(super) async fn restore(backend: Backend, family: Family, text: &str) -> Result<(), ToolError> {
    let program = name(backend, family, "restore");
    run(&program, &["--noflush", "--wait", LOCK_SECONDS], text).await?;
    if !is_legacy(backend) {
        count(text.lines().filter(|line| *line == "COMMIT").count());
    }
    Ok(())
}

/// Makes every table of a text what the text says, whatever was in it.
pub(super) async fn restore_whole(backend: Backend, family: Family, text: &str) -> Result<(), ToolError> {
    run(&name(backend, family, "restore"), &["--wait", LOCK_SECONDS], text).await.map(drop)
}

/// One run of ipset; what it prints.
pub(super) async fn ipset(arguments: &[&str], input: &str) -> Result<String, ToolError> {
    run("ipset", arguments, input).await
}

/// One run of nft; what it prints.
pub(super) async fn nft(arguments: &[&str], input: &str) -> Result<String, ToolError> {
    let said = run("nft", arguments, input).await?;
    if arguments.first() == Some(&"-f") {
        count(1);
    }
    Ok(said)
}

/// How many transactions this process has had nf_tables make.
static TRANSACTIONS: AtomicU32 = AtomicU32::new(0);

/// An nft that goes on: it takes commands by lines, and says on standard error what is wrong with them.
/// Dropped, it is killed.
pub(super) fn nft_that_goes_on() -> Result<Child, ToolError> {
    let mut command = command("nft", &["-i"])?;
    // It would keep what it was told in a file of its home.
    command.env("HOME", "/dev/null").stdout(Stdio::null());
    // What a terminal sends to end the agent is not for it.
    command.process_group(0);
    command.spawn().map_err(|source| ToolError::Run { program: "nft".to_owned(), source })
}

pub(super) fn count(more: usize) {
    TRANSACTIONS.fetch_add(u32::try_from(more).unwrap_or(u32::MAX), Ordering::Relaxed);
}

/// How many transactions this process has had nf_tables make, each of which is a generation: so our own
/// are told from those of others, even by a process in another pid namespace than the kernel's.
pub fn transactions() -> u32 {
    TRANSACTIONS.load(Ordering::Relaxed)
}

/// The program that changes single rules of a family, if it is installed.
pub fn iptables_program(backend: Backend, family: Family) -> Option<PathBuf> {
    path(name(backend, family, "save").trim_end_matches("-save"))
}

/// Whether the rules go into the tables of iptables-legacy, of which the kernel tells nothing.
pub(super) fn is_legacy(backend: Backend) -> bool {
    match backend {
        Backend::Legacy => true,
        Backend::Nft => false,
        Backend::Auto => {
            let program = path(&name(backend, Family::V4, "restore"));
            let program = program.and_then(|path| path.canonicalize().ok());
            program.is_some_and(|path| path.to_string_lossy().contains("legacy"))
        }
    }
}

fn name(backend: Backend, family: Family, verb: &str) -> String {
    format!("{}-{verb}", program(backend, family))
}

fn program(backend: Backend, family: Family) -> String {
    let family = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    match backend {
        Backend::Auto => family.to_owned(),
        Backend::Nft => format!("{family}-nft"),
        Backend::Legacy => format!("{family}-legacy"),
    }
}
