//! One laboratory: an ISP, a host, and the links between them.

use std::cell::{Ref, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use anyhow::{Context, Result};

use crate::address::{INTERNET_NETWORKS, OTHER_VPN, PRINTER, VPN, VPN_V6};
use crate::capture::Capture;
use crate::machine::Machine;
use crate::uplink::Uplink;
use crate::wait::{TIMEOUT, wait_until};

/// Two machines and their links. Dropping it removes all of them.
#[derive(Debug)]
pub struct Lab {
    isp: Machine,
    host: Machine,
    uplinks: RefCell<Vec<Uplink>>,
}

/// Runs a test in its own laboratory, and prints the log of every process if it fails.
///
/// # Errors
/// When the laboratory cannot be made, or when `test` fails.
pub fn with_lab(test: impl FnOnce(&Lab) -> Result<()>) -> Result<()> {
    let lab = Lab::new()?;
    let outcome = catch_unwind(AssertUnwindSafe(|| test(&lab)));
    if !matches!(outcome, Ok(Ok(()))) {
        eprintln!("{}", lab.logs());
    }
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

impl Lab {
    /// Makes the machines and the first link, `eth0`.
    ///
    /// # Errors
    /// When the process is not root, or when the kernel lacks namespaces, veth or overlayfs.
    pub fn new() -> Result<Self> {
        let lab =
            Self { isp: Machine::new("isp")?, host: Machine::new("host")?, uplinks: RefCell::default() };
        lab.set_up_isp()?;
        lab.set_up_host()?;
        lab.add_uplink(Uplink::numbered("eth0", 0))?;
        lab.isp.succeed(["ip", "addr", "add", &format!("{PRINTER}/24"), "dev", "isp0"])?;
        Ok(lab)
    }

    /// The machine that tunwarden protects.
    #[must_use]
    pub fn host(&self) -> &Machine {
        &self.host
    }

    /// Everything beyond the host's links: router, VPN servers, internet.
    #[must_use]
    pub fn isp(&self) -> &Machine {
        &self.isp
    }

    /// The links, the first one first.
    pub fn uplinks(&self) -> Ref<'_, [Uplink]> {
        Ref::map(self.uplinks.borrow(), Vec::as_slice)
    }

    /// Adds a link: `lab.add_uplink(Uplink::numbered("usb0", 1))`.
    ///
    /// # Errors
    /// When the kernel refuses a name or an address.
    pub fn add_uplink(&self, uplink: Uplink) -> Result<()> {
        let host = self.host.pid().to_string();
        // The kernel resolves `netns PID` in the pid namespace of the caller, so this command runs outside.
        let mut link = std::process::Command::new("ip");
        link.args(["link", "add", &uplink.isp_end, "type", "veth"]);
        link.args(["peer", "name", &uplink.name, "netns", &host]);
        let made = self.isp.enter(|| Ok(link.output()?))?;
        anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        batch(&self.isp, &uplink.isp_batch())?;
        batch(&self.host, &uplink.host_batch())?;
        self.await_carrier(&uplink)?;
        self.uplinks.borrow_mut().push(uplink);
        Ok(())
    }

    /// Unplugs the cable of a link of the host. The link loses its carrier and keeps its addresses.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn unplug(&self, name: &str) -> Result<()> {
        self.set_isp_end(name, "down")
    }

    /// Plugs the cable in again.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn plug(&self, name: &str) -> Result<()> {
        self.set_isp_end(name, "up")?;
        // A link that was down has lost its IPv6 addresses.
        let uplink = self.uplink(name)?;
        batch(&self.isp, &uplink.isp_batch().replace("addr add", "addr replace"))?;
        self.await_carrier(&uplink)
    }

    /// Starts a capture on the ISP's end of every link.
    ///
    /// # Errors
    /// When the packet socket cannot be opened.
    pub fn capture(&self) -> Result<Capture> {
        Capture::start(&self.isp)
    }

    /// The output of every process of every machine.
    #[must_use]
    pub fn logs(&self) -> String {
        self.isp.logs() + &self.host.logs()
    }

    fn uplink(&self, name: &str) -> Result<Uplink> {
        let links = self.uplinks();
        links.iter().find(|link| link.name == name).cloned().with_context(|| format!("no link {name}"))
    }

    fn set_isp_end(&self, name: &str, state: &str) -> Result<()> {
        self.isp.succeed(["ip", "link", "set", &self.uplink(name)?.isp_end, state]).map(drop)
    }

    /// Waits until both ends send. The end that was set up first drops everything, also its answers to ARP,
    /// until the kernel has handled the new carrier.
    fn await_carrier(&self, uplink: &Uplink) -> Result<()> {
        for (machine, name) in [(&self.host, &uplink.name), (&self.isp, &uplink.isp_end)] {
            let state = machine.outside(format!("/sys/class/net/{name}/operstate"));
            wait_until(&format!("{name} is up"), TIMEOUT, || {
                std::fs::read_to_string(&state).is_ok_and(|state| state.trim() == "up")
            })?;
        }
        Ok(())
    }

    fn set_up_isp(&self) -> Result<()> {
        let isp = &self.isp;
        isp.sysctl("net.ipv4.ip_forward", "1")?;
        isp.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        // No rate limit for ICMP answers: otherwise the number of answers would depend on the speed.
        isp.sysctl("net.ipv4.icmp_ratelimit", "0")?;
        isp.sysctl("net.ipv6.icmp.ratelimit", "0")?;
        let mut lines = format!("addr add {VPN_V6}/128 dev lo\n");
        for address in [VPN, OTHER_VPN] {
            lines += &format!("addr add {address}/32 dev lo\n");
        }
        for network in INTERNET_NETWORKS {
            lines += &format!("route add local {network} dev lo\n");
        }
        batch(isp, &lines)
    }

    fn set_up_host(&self) -> Result<()> {
        for which in ["all", "default"] {
            // IPv6 probes work at once, and only the test configures the host.
            self.host.sysctl(&format!("net.ipv6.conf.{which}.accept_dad"), "0")?;
            self.host.sysctl(&format!("net.ipv6.conf.{which}.accept_ra"), "0")?;
        }
        self.host.file("/etc/resolv.conf", &format!("nameserver {}\n", crate::address::ROUTER))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.host.end();
        self.isp.end();
    }
}

fn batch(machine: &Machine, lines: &str) -> Result<()> {
    machine.command(["ip", "-batch", "-"]).stdin(lines).succeed().map(drop)
}
