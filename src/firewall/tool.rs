//! The firewall programs: iptables and ipset, each with the arguments that we give it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::mark::marked;
use crate::config::Backend;
use crate::net::Family;
pub use crate::system::program::ToolError;
use crate::system::program::{path, run, run_within};

/// How long ipset may run. The rules of iptables wait for it, and do without it if it hangs.
const IPSET: Duration = Duration::from_secs(5);

/// How long a program waits for the lock of iptables-legacy, in seconds.
const LOCK_SECONDS: &str = "5";

/// Runs `iptables-save` and returns what it prints.
pub(super) async fn save(backend: Backend, family: Family) -> Result<String, ToolError> {
    run(&name(backend, family, "save"), &[], "").await
}

/// Runs `iptables -S` for one chain and returns what it prints.
pub(super) async fn list_chain(
    backend: Backend,
    family: Family,
    table: &str,
    chain: &str,
) -> Result<String, ToolError> {
    run(&program(backend, family), &["-t", table, "-S", chain], "").await
}

/// Whether a chain holds a rule that does nothing but jump to another chain.
pub(super) async fn has_jump(
    backend: Backend,
    family: Family,
    table: &str,
    (from, to): (&str, &str),
) -> Result<bool, ToolError> {
    match run(&program(backend, family), &["-t", table, "-C", from, "-j", to], "").await {
        Ok(_) => Ok(true),
        // Exit status 1: there is no such rule. 2: the other chain is not there.
        Err(ToolError::Failed { status, .. }) if matches!(status.code(), Some(1 | 2)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Commits a restore text, each of its tables in one transaction.
pub(super) async fn restore(backend: Backend, family: Family, text: &str) -> Result<(), ToolError> {
    let program = name(backend, family, "restore");
    if is_legacy(backend) {
        return run(&program, &["--noflush", "--wait", LOCK_SECONDS], text).await.map(drop);
    }
    run(&program, &["--noflush", "--counters", "--wait", LOCK_SECONDS], &marked(text)).await?;
    count(text.lines().filter(|line| *line == "COMMIT").count());
    Ok(())
}

/// Replaces every table of a restore text, with all that the table held.
pub(super) async fn restore_whole(backend: Backend, family: Family, text: &str) -> Result<(), ToolError> {
    run(&name(backend, family, "restore"), &["--wait", LOCK_SECONDS], text).await.map(drop)
}

/// Runs ipset and returns what it prints.
pub(super) async fn ipset(arguments: &[&str], input: &str) -> Result<String, ToolError> {
    run_within(IPSET, "ipset", arguments, input).await
}

/// Number of nf_tables transactions that this process has caused.
static TRANSACTIONS: AtomicU32 = AtomicU32::new(0);

/// Counts transactions of this process.
pub(super) fn count(more: usize) {
    TRANSACTIONS.fetch_add(u32::try_from(more).unwrap_or(u32::MAX), Ordering::Relaxed);
}

/// Number of nf_tables transactions that this process has caused. Each is one generation, so the agent can
/// tell its own changes from those of other programs. The process id is not enough for that: the agent may be
/// in another PID namespace.
pub fn transactions() -> u32 {
    TRANSACTIONS.load(Ordering::Relaxed)
}

/// The program that changes single rules of a family, if it is installed.
pub fn iptables_program(backend: Backend, family: Family) -> Option<PathBuf> {
    path(&program(backend, family))
}

/// Whether the rules go into the tables of iptables-legacy. The kernel does not report changes of those.
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

/// The backend that `Backend::Auto` is not.
pub fn other_backend() -> Backend {
    if is_legacy(Backend::Auto) { Backend::Nft } else { Backend::Legacy }
}

fn name(backend: Backend, family: Family, verb: &str) -> String {
    format!("{}-{verb}", program(backend, family))
}

/// The program that a person uses for a family: `iptables`, or `iptables-legacy` where `iptables` is the program
/// of the other backend.
pub(super) fn for_people(backend: Backend, family: Family) -> String {
    let is_plain = is_legacy(backend) == is_legacy(Backend::Auto);
    program(if is_plain { Backend::Auto } else { backend }, family)
}

fn program(backend: Backend, family: Family) -> String {
    let family = family.iptables();
    match backend {
        Backend::Auto => family.to_owned(),
        Backend::Nft => format!("{family}-nft"),
        Backend::Legacy => format!("{family}-legacy"),
    }
}
