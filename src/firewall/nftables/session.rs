//! The nft that goes on and owns our tables, for as long as the agent runs.
//!
//! The kernel lets nobody but the socket that made a table with the flag `owner` change it, and a flush of
//! everything passes it by. nft's socket lives as long as nft, so one is kept. It ends when the agent does,
//! however that ends: nobody else holds the other end of its input. What it owned stays in force then, by
//! the flag `persist`, and is anybody's to change: `tunwarden lock` and `tunwarden release` as well.

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
    /// How often it has been told something.
    asked: u64,
    /// Whether it has made our tables.
    owns: bool,
}

impl Session {
    /// Starts it, and sees that it answers.
    ///
    /// # Errors
    /// When it does not: an nft may be built without commands by lines.
    pub(super) async fn start() -> Result<Self, ToolError> {
        let mut child = tool::nft_that_goes_on()?;
        let (Some(input), Some(errors)) = (child.stdin.take(), child.stderr.take()) else {
            return Err(ended());
        };
        let errors = BufReader::new(errors).lines();
        let mut session = Self { child, input, errors, asked: 0, owns: false };
        session.tell("").await?;
        Ok(session)
    }

    /// Whether our tables are its own.
    pub(super) fn owns(&self) -> bool {
        self.owns
    }

    /// Has it make one transaction of a text.
    ///
    /// # Errors
    /// [`ToolError::Refused`]: then nothing has changed. After any other it is of no use any more.
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

    /// Waits until it ends, which it should not.
    pub(super) async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }

    /// Ends it: from now on our tables are nobody's. One that the kernel does not let end yet is not
    /// waited for.
    pub(super) async fn end(mut self) {
        let _ = tokio::time::timeout(ENDING.0, self.child.kill()).await;
    }

    /// What it says of a text. A line of its commands is read from a terminal's point of view, so the text
    /// itself comes from a file that has no name.
    async fn tell(&mut self, text: &str) -> Result<Vec<String>, ToolError> {
        self.asked += 1;
        // Nothing says that it is done. Then it looks for a file that is not there, and complains.
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
            // Its complaint stands in front of the line, and the place of the fault below.
            said.pop();
            self.errors.next_line().await.map_err(run)?.ok_or_else(ended)?;
            Ok(said)
        };
        tokio::time::timeout(TIMEOUT, talk).await.map_err(|_| ToolError::TimedOut("nft".to_owned()))?
    }
}

fn ended() -> ToolError {
    ToolError::Ended("nft".to_owned())
}
