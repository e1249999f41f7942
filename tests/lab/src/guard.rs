//! The guard: no code of the laboratory acts in the machine's own network namespace.
//!
//! It answers one question before any action: did a laboratory make this namespace? It has no fallback: if
//! the answer is unknown, it returns an error.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

/// The fixed inode of the initial network namespace, on kernels that have one.
///
/// Needed because `/proc/1/ns/net` cannot be read on every machine, not even by root.
const INITIAL_NAMESPACE: u64 = 4_026_531_833;

/// The namespace of the test process at the start of the first laboratory.
static OWN: OnceLock<u64> = OnceLock::new();

/// Refuses the namespace of the test process, of process 1, and the initial one.
///
/// `namespace` is an open `/proc/…/ns/net`.
///
/// # Errors
/// When the namespace is the real machine's, or when this is unknown.
pub fn refuse_own_namespace(namespace: &File) -> Result<()> {
    let inode = namespace.metadata()?.ino();
    ensure!(
        inode != own()? && inode != INITIAL_NAMESPACE,
        "refused: net:[{inode}] is this machine's own network namespace"
    );
    // This file is readable only on some machines. The two comparisons above do not need it.
    if let Ok(init) = std::fs::metadata("/proc/1/ns/net") {
        ensure!(inode != init.ino(), "refused: net:[{inode}] is the namespace of process 1");
    }
    Ok(())
}

/// Like [`refuse_own_namespace`], for the namespace the calling thread is in.
///
/// # Errors
/// As above.
pub fn refuse_own_namespace_of_thread() -> Result<()> {
    let here = File::open("/proc/thread-self/ns/net").context("the thread's own namespace")?;
    refuse_own_namespace(&here)
}

/// `/proc/self` is the main thread, which never enters a laboratory.
fn own() -> Result<u64> {
    if let Some(inode) = OWN.get() {
        return Ok(*inode);
    }
    let inode = std::fs::metadata("/proc/self/ns/net").context("the test's own namespace")?.ino();
    Ok(*OWN.get_or_init(|| inode))
}
