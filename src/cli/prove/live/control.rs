//! The positive control: sends the same probes, with the same net, in a private network namespace that has no other
//! rules. The net must see and drop each probe. None of these packets is on a link of this machine.

use std::io;
use std::net::IpAddr;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rtnetlink::{LinkUnspec, new_connection};

use super::probe::{Probe, ProbeContext};
use super::send::{Sent, send};
use crate::net::Family;

/// The only link of a new network namespace, and its number.
const LOOPBACK: (&str, u32) = ("lo", 1);

/// Settings that a new namespace may inherit. They would turn IPv6 off in it.
const IPV6_OFF: [&str; 2] =
    ["/proc/sys/net/ipv6/conf/all/disable_ipv6", "/proc/sys/net/ipv6/conf/lo/disable_ipv6"];

/// Sends the probes of this ground in a namespace of its own. Returns their number.
///
/// # Errors
/// There is no such namespace, the net cannot be made, or it did not see or did not drop a probe.
pub(super) fn control(probe_context: &ProbeContext) -> Result<usize, String> {
    let wires = vec![LOOPBACK.0.to_owned()];
    let probe_context =
        ProbeContext { wires, taken: Vec::new(), containers: Vec::new(), ..probe_context.clone() };
    let probes = probe_context.probes().ok_or("there is no free documentation address")?;
    // The namespace belongs to this thread, and ends with it.
    let thread = thread::spawn(move || in_namespace(probes));
    let sent = thread.join().map_err(|_| "the thread of the control has failed")?;
    let sent = sent.map_err(|error| error.to_string())?;
    match sent.iter().find(|sent| !is_seen(sent)) {
        None => Ok(sent.len()),
        Some(missed) => Err(format!(
            "the net misses {}{}",
            missed.probe,
            missed.error.map(|error| format!(" ({})", error.desc())).unwrap_or_default()
        )),
    }
}

fn is_seen(sent: &Sent) -> bool {
    let progress = sent.progress;
    progress.seen && progress.caught == Some(0) && (progress.passed || !sent.probe.how.is_routed())
}

fn in_namespace(probes: Vec<Probe>) -> io::Result<Vec<Sent>> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    if probes.iter().any(|probe| probe.family() == Family::V6) {
        switch_on_ipv6();
    }
    let addresses = probes.iter().map(|probe| probe.to.ip()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(assign(addresses)).map_err(io::Error::other)?;
    send(probes, vec![vec![LOOPBACK.0.to_owned()]])
}

#[expect(clippy::disallowed_methods, reason = "these are settings of the private namespace")]
fn switch_on_ipv6() {
    for setting in IPV6_OFF {
        // If this process may not write the setting, the next address is refused, and the control reports that.
        let _ = std::fs::write(setting, "0");
    }
}

/// Gives the destinations to the loopback link, so that packets to them use this link.
async fn assign(addresses: Vec<IpAddr>) -> Result<(), rtnetlink::Error> {
    let (connection, handle, _) = new_connection().map_err(|_| rtnetlink::Error::RequestFailed)?;
    let task = tokio::spawn(connection);
    handle.link().set(LinkUnspec::new_with_index(LOOPBACK.1).up().build()).execute().await?;
    for address in addresses {
        let length = if address.is_ipv4() { 32 } else { 128 };
        handle.address().add(LOOPBACK.1, address, length).execute().await?;
    }
    task.abort();
    Ok(())
}
