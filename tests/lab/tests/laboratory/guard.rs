//! The laboratory never acts in the real machine's own network, and leaves nothing behind.

use std::fs::File;

use anyhow::Result;
use tunwarden_lab::{Lab, guard};

#[test]
fn the_machines_own_namespace_is_refused() -> Result<()> {
    let own = File::open("/proc/self/ns/net")?;
    assert!(guard::refuse_own_namespace(&own).is_err());
    assert!(guard::refuse_own_namespace_of_thread().is_err());
    Ok(())
}

#[test]
fn a_laboratorys_namespace_is_not() -> Result<()> {
    let lab = Lab::new()?;
    guard::refuse_own_namespace(&lab.host().network_namespace()?)?;
    lab.host().enter(guard::refuse_own_namespace_of_thread)
}

#[test]
fn files_that_would_be_the_real_machines_are_refused() -> Result<()> {
    let lab = Lab::new()?;
    for path in ["/usr/bin/tunwarden", "/root/x", "/etc/../root/x"] {
        assert!(lab.host().file(path, "").is_err(), "{path}");
    }
    lab.host().file("/etc/tunwarden/config.toml", "[lan]\n")?;
    assert_eq!(lab.host().succeed(["cat", "/etc/tunwarden/config.toml"])?, "[lan]\n");
    assert!(lab.host().sysctl("kernel.hostname", "x").is_err());
    Ok(())
}
