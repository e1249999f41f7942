//! Processes of a machine that the test did not start itself, for example those of NetworkManager.

use std::fs::{self, DirEntry};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Machine;

impl Machine {
    /// The ids, on the real machine, of this machine's processes of a program, such as
    /// `openvpn`; the oldest first.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn processes_of(&self, program: &str) -> Result<Vec<u32>> {
        let ours = self.holder.pids.metadata()?.ino();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            // A process that ends during the listing counts as absent.
            let is_ours = fs::metadata(entry.path().join("ns/pid")).is_ok_and(|ns| ns.ino() == ours);
            if let (true, Some(id)) = (is_ours && runs(&entry, program), id_of(&entry)) {
                found.push(id);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Sends a signal to every process of a program in this machine. Returns their number.
    ///
    /// # Errors
    /// When there is none.
    pub fn signal_all(&self, program: &str, signal: Signal) -> Result<usize> {
        let found = self.processes_of(program)?;
        ensure!(!found.is_empty(), "no {program} runs in {}", self.name());
        for id in &found {
            kill(Pid::from_raw(i32::try_from(*id)?), signal)?;
        }
        Ok(found.len())
    }
}

fn id_of(entry: &DirEntry) -> Option<u32> {
    entry.file_name().to_str()?.parse().ok()
}

/// Compares the first argument, because the kernel cuts a process's name after 15 bytes.
fn runs(entry: &DirEntry, program: &str) -> bool {
    let Ok(line) = fs::read(entry.path().join("cmdline")) else { return false };
    let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    Path::new(first.as_ref()).file_name().is_some_and(|name| name == program)
}
