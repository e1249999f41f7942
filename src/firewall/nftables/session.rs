//! The nft process that owns our tables while the agent runs.
//!
//! Only the netlink socket that created a table with the flag `owner` can change it, and a flush of
//! everything leaves it alone. The socket of nft lives as long as nft, so the agent keeps one nft running. It
//! ends with the agent, however the agent ends, because its input ends then. The flag `persist` keeps the
//! tables in force without an owner. From then on every program can change them, so `tunwarden lock` and
//! `tunwarden release` can too.

use std::io::Write;
use std::os::fd::AsRawFd;

use rustix::fs::{MemfdFlags, memfd_create};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin};

use super::questions::ENDING;
use crate::firewall::tool::{self, TIMEOUT, ToolError};

/// A running nft.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    input: ChildStdin,
    errors: Lines<BufReader<ChildStderr>>,
    /// Number of texts that it was given.
    asked: u64,
    /// Whether it created our tables.
    owns: bool,
}

impl Session {
    /// Starts nft, and waits until it answers.
    ///
    /// # Errors
    /// When it does not answer: an nft can be built without an interactive mode.
    pub(super) async fn start() -> Result<Self, ToolError> {
        let mut child = tool::interactive_nft()?;
        let (Some(input), Some(errors)) = (child.stdin.take(), child.stderr.take()) else {
            return Err(ended());
        };
        let errors = BufReader::new(errors).lines();
        let mut session = Self { child, input, errors, asked: 0, owns: false };
        session.tell("").await?;
        Ok(session)
    }

    /// Whether it owns our tables.
    pub(super) fn owns(&self) -> bool {
        self.owns
    }

    /// Commits a text as one transaction.
    ///
    /// # Errors
    /// After [`ToolError::Refused`] nothing has changed. After any other error the session cannot be used any
    /// more.
    pub(super) async fn commit(&mut self, text: &str) -> Result<(), ToolError> {
        let said = self.tell(text).await?;
        if said.iter().any(|line| line.contains("Error")) {
            let message = tool::brief(said.iter().map(String::as_str));
            return Err(ToolError::Refused { program: "nft".to_owned(), message });
        }
        tool::count(1);
        self.owns = true;
        Ok(())
    }

    /// Waits until nft ends, which it does not do by itself.
    pub(super) async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }

    /// Ends nft. Our tables have no owner from then on. The wait is bounded, because the kernel may keep a
    /// process for long.
    pub(super) async fn end(mut self) {
        let _ = tokio::time::timeout(ENDING.0, self.child.kill()).await;
    }

    /// Gives nft a text, and returns what it prints. Its interactive mode reads single lines, so the text
    /// comes from a file without a name, which the line includes.
    async fn tell(&mut self, text: &str) -> Result<Vec<String>, ToolError> {
        self.asked += 1;
        // nft does not say when it is done. Then it includes a file that does not exist, and prints an error.
        let end = format!("include \"tunwarden-{}\"", self.asked);
        let run = |source| ToolError::Run { program: "nft".to_owned(), source };
        let mut file = std::fs::File::from(
            memfd_create("tunwarden", MemfdFlags::CLOEXEC).map_err(|error| run(error.into()))?,
        );
        file.write_all(text.as_bytes()).map_err(run)?;
        let lines = format!("include \"/proc/{}/fd/{}\"\n{end}\n", std::process::id(), file.as_raw_fd());
        let talk = async {
            self.input.write_all(lines.as_bytes()).await.map_err(|_| ended())?;
            let mut said = Vec::new();
            loop {
                let line = self.errors.next_line().await.map_err(run)?.ok_or_else(ended)?;
                if line == end {
                    break;
                }
                said.push(line);
            }
            // The error is the line before, and the marked place is the line below.
            said.pop();
            self.errors.next_line().await.map_err(run)?.ok_or_else(ended)?;
            Ok(said)
        };
        tokio::time::timeout(TIMEOUT, talk).await.map_err(|_| ToolError::timed_out("nft", TIMEOUT))?
    }
}

fn ended() -> ToolError {
    ToolError::Ended("nft".to_owned())
}
