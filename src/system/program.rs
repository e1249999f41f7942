//! The edge to other programs. The agent starts programs only through this file.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// The folders of system programs. The caller's PATH is not used.
pub(crate) const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// This program, also after an upgrade has removed its file.
const SELF: &str = "/proc/self/exe";

/// How long a program may run before it is killed.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Why a program could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It is not installed.
    #[error("{0} is not installed; install it with: sudo apt install {package}", package = package(.0))]
    Missing(String),
    /// It could not be started, or its input or output failed.
    #[error("cannot run {program}")]
    Run {
        /// The program's name.
        program: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// It did not end in time and was killed.
    #[error("{program} did not end within {seconds} seconds and was killed", seconds = after.as_secs())]
    TimedOut {
        /// The program's name.
        program: String,
        /// How long it ran.
        after: Duration,
    },
    /// It ended with an error.
    #[error("{program} failed ({status}): {message}")]
    Failed {
        /// The program's name.
        program: String,
        /// How it ended. A signal counts as a failure too.
        status: ExitStatus,
        /// Its error message.
        message: String,
    },
}

impl ToolError {
    /// The program hung, and was killed after this time.
    pub(crate) fn timed_out(program: &str, after: Duration) -> Self {
        Self::TimedOut { program: program.to_owned(), after }
    }

    /// Whether the program itself answered with an error, and was not killed.
    pub(crate) fn is_answer(&self) -> bool {
        match self {
            Self::Failed { status, .. } => status.code() == Some(1),
            Self::Missing(_) | Self::Run { .. } | Self::TimedOut { .. } => false,
        }
    }

    /// Whether the program hung, or waited too long for the lock of iptables-legacy. Another attempt at once
    /// would only wait again.
    pub(crate) fn is_timeout(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Failed { message, .. } => message.contains("xtables lock"),
            Self::Missing(_) | Self::Run { .. } => false,
        }
    }
}

/// The path of a program; `None` if it is not installed.
pub(crate) fn path(program: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| PathBuf::from(folder).join(program)).find(|path| path.exists())
}

/// The Debian package that has a program.
fn package(program: &str) -> &'static str {
    match program {
        "ipset" => "ipset",
        "nft" => "nftables",
        "systemctl" | "systemd-run" | "journalctl" => "systemd",
        _ => "iptables",
    }
}

/// A command that starts a program without our environment.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Result<Command, ToolError> {
    let path = path(program).ok_or_else(|| ToolError::Missing(program.to_owned()))?;
    #[expect(clippy::disallowed_methods, reason = "this file is where programs are started")]
    let mut command = Command::new(path);
    // nft reads and prints times in the local time zone.
    alone(&mut command).args(arguments).env("TZ", "UTC");
    Ok(command)
}

/// Takes our environment from a command, and gives it pipes.
fn alone(command: &mut Command) -> &mut Command {
    command
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
}

/// Gives a process its input, and waits for its end.
async fn talk(mut child: Child, input: &[u8]) -> io::Result<Output> {
    if let Some(mut stdin) = child.stdin.take() {
        // A program that has failed closes its standard input early; its exit status says why.
        let _ = stdin.write_all(input).await;
    }
    child.wait_with_output().await
}

/// Runs a program to its end with `input` on its standard input. Returns what it prints.
pub(crate) async fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, ToolError> {
    run_within(TIMEOUT, program, arguments, input).await
}

/// The same for a program that may run only for this time.
pub(crate) async fn run_within(
    limit: Duration,
    program: &str,
    arguments: &[&str],
    input: &str,
) -> Result<String, ToolError> {
    let failed = |source| ToolError::Run { program: program.to_owned(), source };
    let child = command(program, arguments)?.spawn().map_err(failed)?;
    let output = tokio::time::timeout(limit, talk(child, input.as_bytes())).await;
    let output = output.map_err(|_| ToolError::timed_out(program, limit))?.map_err(failed)?;
    if !output.status.success() {
        let message = brief(String::from_utf8_lossy(&output.stderr).lines());
        return Err(ToolError::Failed { program: program.to_owned(), status: output.status, message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs this program again, in a process of its own that can be killed with all that it starts.
pub(crate) async fn run_self(limit: Duration, arguments: &[&str], input: &[u8]) -> Result<Output, ToolError> {
    const NAME: &str = "tunwarden";
    let failed = |source| ToolError::Run { program: NAME.to_owned(), source };
    #[expect(clippy::disallowed_methods, reason = "this file is where programs are started")]
    let mut command = Command::new(SELF);
    alone(&mut command).args(arguments).env("PATH", FOLDERS.join(":")).process_group(0);
    let child = command.spawn().map_err(failed)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let mut talk = pin!(talk(child, input));
    let Ok(output) = tokio::time::timeout(limit, &mut talk).await else {
        if let Some(group) = group {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = talk.await;
        return Err(ToolError::timed_out(NAME, limit));
    };
    output.map_err(failed)
}

/// A program's message in one line of bounded length.
pub(crate) fn brief<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.take(5).collect::<Vec<_>>().join("; ").chars().take(500).collect()
}
