//! The edge: one run of a firewall program. The only place that starts one.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::config::Backend;
use crate::net::Family;

/// Where system programs live; the caller's PATH is not asked.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// How long a program waits for the lock that the legacy tools share, in seconds.
const LOCK_SECONDS: &str = "5";

/// How long a program may take at all.
pub(super) const BOUND: Duration = Duration::from_secs(20);

/// Why a program could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is not installed.
    #[error("{0} is not installed; install it with: sudo apt install {package}", package = package(.0))]
    Missing(String),
    /// It could not be started, or spoken to.
    #[error("cannot run {program}")]
    Run {
        /// Which.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It did not end in time and was killed.
    #[error("{0} did not end within {seconds} seconds and was killed", seconds = BOUND.as_secs())]
    TimedOut(String),
    /// It said no.
    #[error("{program} failed ({status}): {message}")]
    Failed {
        /// Which.
        program: String,
        /// How it ended; a signal counts as failure too.
        status: ExitStatus,
        /// What it said.
        message: String,
    },
    /// It goes on, and said no to this.
    #[error("{program} refused it: {message}")]
    Refused {
        /// Which.
        program: String,
        /// What it said.
        message: String,
    },
    /// It should go on and has ended.
    #[error("{0} has ended")]
    Ended(String),
}

impl ToolError {
    /// Whether it is the program's considered answer, and not its death.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Failed { status, .. } => status.code() == Some(1),
            Self::Refused { .. } => true,
            Self::Missing(_) | Self::Run { .. } | Self::TimedOut(_) | Self::Ended(_) => false,
        }
    }

    /// Whether the kernel let the program do it but for somebody else, who owns it.
    pub(super) fn is_not_permitted(&self) -> bool {
        match self {
            Self::Failed { message, .. } | Self::Refused { message, .. } => {
                message.contains("Operation not permitted")
            }
            Self::Missing(_) | Self::Run { .. } | Self::TimedOut(_) | Self::Ended(_) => false,
        }
    }
}

/// What `iptables-save` prints now.
pub(super) async fn save(backend: Backend, family: Family) -> Result<String, ToolError> {
    run(&name(backend, family, "save"), &[], "").await
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

/// Has systemd do something with units of ours or of the article's; what it says is for people.
///
/// # Errors
/// [`ToolError`]
pub async fn systemctl(arguments: &[&str]) -> Result<(), ToolError> {
    run("systemctl", arguments, "").await.map(drop)
}

/// Has systemd run this program as a service of its own, which outlives this session.
///
/// # Errors
/// [`ToolError`]
pub async fn systemd_run(arguments: &[&str]) -> Result<(), ToolError> {
    run("systemd-run", arguments, "").await.map(drop)
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

/// Where a program is, if it is installed.
pub(super) fn path(program: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| PathBuf::from(folder).join(program)).find(|path| path.exists())
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

fn package(program: &str) -> &'static str {
    match program {
        "ipset" => "ipset",
        "nft" => "nftables",
        _ => "iptables",
    }
}

fn name(backend: Backend, family: Family, verb: &str) -> String {
    let family = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    match backend {
        Backend::Auto => format!("{family}-{verb}"),
        Backend::Nft => format!("{family}-nft-{verb}"),
        Backend::Legacy => format!("{family}-legacy-{verb}"),
    }
}

fn command(program: &str, arguments: &[&str]) -> Result<Command, ToolError> {
    let path = path(program).ok_or_else(|| ToolError::Missing(program.to_owned()))?;
    #[expect(clippy::disallowed_methods, reason = "this file is where programs are started")]
    let mut command = Command::new(path);
    command
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        // nft reads and prints moments in the zone of the day.
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

async fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, ToolError> {
    let failed = |source| ToolError::Run { program: program.to_owned(), source };
    let mut child = command(program, arguments)?.spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    let talk = async {
        if let Some(mut stdin) = stdin {
            // A program that has given up closes its end early; its exit code says why.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(BOUND, talk).await;
    let output = output.map_err(|_| ToolError::TimedOut(program.to_owned()))?.map_err(failed)?;
    if !output.status.success() {
        let message = brief(String::from_utf8_lossy(&output.stderr).lines());
        return Err(ToolError::Failed { program: program.to_owned(), status: output.status, message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a program said, in one line that is not too long.
pub(super) fn brief<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.take(5).collect::<Vec<_>>().join("; ").chars().take(500).collect()
}
