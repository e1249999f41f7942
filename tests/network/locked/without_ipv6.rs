//! A kernel without IPv6 (`ipv6.disable=1`). ip6tables-legacy fails there, and ip6tables-nft does not.

use anyhow::{Result, ensure};
use tunwarden_lab::{Cmd, Lab, wait_for, with_lab};

use super::KNOWN;
use crate::support::kernel::{Backend, REFUSING_SOCKETS};
use crate::support::{SOON, TUNWARDEN, bus, start_agent_as, status, tunwarden};

/// Simulates both signs of such a kernel for one process and its children: IPv6 sockets are refused, and `/proc/PID/net`
/// has no file of IPv6.
const WITHOUT_IPV6: &str = "
    if test \"$1\" = hidden; then
        mount -t tmpfs tmpfs /proc/$$/net
        touch /proc/$$/net/dev
    fi
    shift
    exec \"$@\"";

/// A command on a simulated kernel without IPv6.
fn without_ipv6(lab: &Lab, words: &[&str]) -> Cmd {
    wrapped(lab, "hidden", words)
}

/// A command on a kernel with IPv6 that refuses only its sockets, as a sandbox does.
fn in_a_sandbox(lab: &Lab, words: &[&str]) -> Cmd {
    wrapped(lab, "shown", words)
}

fn wrapped(lab: &Lab, files: &str, words: &[&str]) -> Cmd {
    let shell = ["sh", "-euc", WITHOUT_IPV6, "sh", files];
    let refusing = REFUSING_SOCKETS.into_iter().chain(["AF_INET6", "any", "EAFNOSUPPORT"]);
    lab.host().command(shell.into_iter().chain(refusing).chain(words.iter().copied()))
}

fn is_closed(lab: &Lab) -> Result<()> {
    let sent = lab.host().udp("203.0.113.9:4000")?.from_user("nobody").send()?;
    ensure!(sent.accepted == 0, "IPv4 is open: {sent:?}");
    Ok(())
}

/// Checks that IPv6 is not there for a command.
fn is_simulated(lab: &Lab, backend: Backend) -> Result<()> {
    let files = without_ipv6(lab, &["test", "-e", "/proc/self/net/if_inet6"]).run()?;
    ensure!(!files.status.success(), "the control: IPv6 is there: {files:?}");
    let listed = without_ipv6(lab, &[&backend.tool("ip6tables", ""), "-S"]).run()?;
    // ip6tables-nft uses netlink, which works there.
    let works = backend != Backend::Legacy;
    ensure!(listed.status.success() == works, "the control: {backend:?}: {listed:?}");
    Ok(())
}

#[test]
fn a_lock_on_a_kernel_without_ipv6_closes_ipv4_and_succeeds() {
    for (backend, layers) in [
        (Backend::Legacy, ""),
        (Backend::Legacy, "layers = [\"iptables\"]\n"),
        (Backend::Nft, ""),
        (Backend::IptablesAlone, ""),
    ] {
        with_lab(|lab| {
            let config = backend.config(KNOWN) + layers;
            lab.host().file("/etc/tunwarden/config.toml", &config)?;
            is_simulated(lab, backend)?;
            if backend == Backend::Legacy {
                // A sandbox that refuses sockets proves nothing: IPv6 may be open.
                let lock = in_a_sandbox(lab, &[TUNWARDEN, "lock"]).run()?;
                ensure!(lock.status.code() == Some(1), "it claims to be locked: {lock:?}");
            }
            for verb in ["lock", "verify", "lock"] {
                let done = without_ipv6(lab, &[TUNWARDEN, verb]).run()?;
                ensure!(done.status.success(), "{verb} with {backend:?} {layers:?}: {done:?}");
                is_closed(lab)?;
            }
            let release = without_ipv6(lab, &[TUNWARDEN, "release", "--yes"]).run()?;
            ensure!(release.status.success(), "{release:?}");
            let sent = lab.host().udp("203.0.113.9:4000")?.from_user("nobody").send()?;
            ensure!(sent.accepted == 1, "it is still closed: {sent:?}");
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn an_agent_on_a_kernel_without_ipv6_is_in_force() {
    for backend in [Backend::Legacy, Backend::Nft] {
        with_lab(|lab| {
            lab.host().file("/etc/tunwarden/config.toml", &backend.config(KNOWN))?;
            is_simulated(lab, backend)?;
            let _bus = bus(lab)?;
            let agent = start_agent_as(lab, without_ipv6(lab, &[TUNWARDEN, "agent", "--verbose"]))?;
            wait_for("in force", SOON, || Ok((status(lab)?["enforced"] == true).then_some(())))?;
            is_closed(lab)?;
            // `lock` makes a running agent check everything.
            ensure!(tunwarden(lab, ["lock"])?.status.success());
            ensure!(status(lab)?["repairs"] == 0, "a check is counted as a repair: {}", agent.log());
            let says = agent.log().contains("this kernel has no IPv6");
            ensure!(says == (backend == Backend::Legacy), "{backend:?}: {}", agent.log());
            Ok(())
        })
        .unwrap();
    }
}
