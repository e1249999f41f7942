//! `arp_ignore`: machines on the LAN must not find out the tunnel's address by ARP.
//!
//! By default the kernel answers ARP requests for all of the machine's addresses on every link
//! (Documentation/networking/ip-sysctl.rst). With 1 it answers only for addresses of the link.

use std::io;
use std::path::Path;

const SETTING: &str = "/proc/sys/net/ipv4/conf/all/arp_ignore";
const BEFORE: &str = "arp_ignore";

/// Why the setting could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot change {SETTING}; set net.ipv4.conf.all.arp_ignore=1 with sysctl")]
pub struct ArpError(#[from] io::Error);

/// Sets it to 1, and keeps the value before in the directory `run`. A value above 0 stays.
///
/// # Errors
/// When it cannot be read or written, as in a hardened unit.
#[expect(clippy::disallowed_methods, reason = "an edge file: it reads and writes one kernel setting")]
pub fn hide_tunnel_addresses(run: &Path) -> Result<(), ArpError> {
    let before = std::fs::read_to_string(SETTING)?;
    if before.trim() == "0" {
        std::fs::write(run.join(BEFORE), &before)?;
        std::fs::write(SETTING, "1")?;
    }
    Ok(())
}

/// Restores the value before.
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
