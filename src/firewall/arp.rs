//! `arp_ignore`: nobody on the LAN may find out the tunnel's address by asking for it.
//!
//! With the kernel's default every address of the machine is answered for on every link
//! (Documentation/networking/ip-sysctl.rst). 1 answers only for addresses of that link.

use std::io;
use std::path::Path;

const SETTING: &str = "/proc/sys/net/ipv4/conf/all/arp_ignore";
const BEFORE: &str = "arp_ignore";

/// Why the setting could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot change {SETTING}; set net.ipv4.conf.all.arp_ignore=1 with sysctl")]
pub struct ArpError(#[from] io::Error);

/// Sets it to 1 and keeps in `run` what it was before; one that is higher already stays.
///
/// # Errors
/// A system on which it cannot be read or written, such as a hardened unit.
#[expect(clippy::disallowed_methods, reason = "an edge file: it reads and writes one kernel setting")]
pub fn hide_tunnel_addresses(run: &Path) -> Result<(), ArpError> {
    let before = std::fs::read_to_string(SETTING)?;
    if before.trim() == "0" {
        std::fs::write(run.join(BEFORE), &before)?;
        std::fs::write(SETTING, "1")?;
    }
    Ok(())
}

/// Sets it back to what it was before.
///
/// # Errors
/// As [`hide_tunnel_addresses`].
#[expect(clippy::disallowed_methods, reason = "an edge file: it reads and writes one kernel setting")]
pub fn restore_arp(run: &Path) -> Result<(), ArpError> {
    let kept = run.join(BEFORE);
    match std::fs::read_to_string(&kept) {
        Ok(before) if before.trim() == "0" => std::fs::write(SETTING, "0")?,
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    std::fs::remove_file(kept)?;
    Ok(())
}
