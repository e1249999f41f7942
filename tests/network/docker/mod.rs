//! Containers leave through the VPN or not at all, with real Dockers: this system's, and those of two
//! later releases of Debian.

/// Makes one test of each function with each Docker.
macro_rules! with_each_engine {
    ($($scenario:ident),+ $(,)?) => {
        with_each_engine!(@ debian_12 System $($scenario)+);
        with_each_engine!(@ debian_13 Trixie $($scenario)+);
        with_each_engine!(@ debian_14 Forky $($scenario)+);
    };
    (@ $release:ident $engine:ident $($scenario:ident)+) => {
        mod $release {
            $(
                #[test]
                fn $scenario() -> anyhow::Result<()> {
                    super::$scenario(tunwarden_lab::Engine::$engine)
                }
            )+
        }
    };
}

mod allowed_to;
mod forwarded;
mod ipv6;
mod leaks;
mod names;
mod protected;
mod prove;
mod proxy;
mod quiet;
mod release;
mod restart;
mod vpn;
mod works;

use anyhow::{Result, ensure};
use tunwarden_lab::{Contract, Lab};

/// One known server with both of its addresses.
const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\", \"[2001:db8:7::7]\"]\n";

/// How long an answer may take on a busy machine before the test fails.
const TIMEOUT: std::time::Duration = crate::support::SOON;

/// `tunwarden lock` with a configuration.
fn lock(lab: &Lab, config: &str) -> Result<()> {
    lab.host().file("/etc/tunwarden/config.toml", config)?;
    let output = crate::support::tunwarden(lab, ["lock"])?;
    ensure!(output.status.success(), "lock: {} {}", output.status, output.stderr);
    Ok(())
}

/// What a locked machine may send on the laboratory's first link.
fn locked() -> Result<Contract> {
    Ok(Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.discovery())
}
