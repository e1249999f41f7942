//! Keys and certificates, made once for a test process. No other program uses them.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::machine::Machine;

/// Their folder in a machine. It is in memory, like all of `/run`.
pub(crate) const FOLDER: &str = "/run/lab/pki";
const FILES: [&str; 5] = ["ca.crt", "server.crt", "server.key", "client.crt", "client.key"];

static MADE: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// Writes the files to a machine, and returns their folder.
pub(crate) fn install(machine: &Machine) -> Result<&'static str> {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if made.is_none() {
        *made = Some(make(machine)?);
    }
    for (name, content) in FILES.iter().zip(made.iter().flatten()) {
        machine.file_with_mode(&format!("{FOLDER}/{name}"), content, 0o600)?;
    }
    Ok(FOLDER)
}

fn make(machine: &Machine) -> Result<Vec<String>> {
    let folder = "/run/lab/pki-made";
    let script = format!("mkdir -p {folder}\ncd {folder}\n{}", include_str!("pki.sh"));
    machine.command(["bash", "-s"]).stdin(&script).succeed()?;
    FILES.iter().map(|name| machine.read(&format!("{folder}/{name}"))).collect()
}
