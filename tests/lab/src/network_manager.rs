//! NetworkManager with its OpenVPN plugin, on the machine's own bus and with the machine's own files.

use anyhow::{Context, Result, ensure};

use crate::bus::SystemBus;
use crate::machine::{Machine, Output, Process};
use crate::openvpn::{Protocol, Server, install_pki};
use crate::uplink::Uplink;
use crate::wait::{TIMEOUT, wait_for};

/// The configuration of NetworkManager: it changes neither DNS nor links without a profile.
const CONFIGURATION: &str = "[main]\nplugins=keyfile\ndns=none\nrc-manager=unmanaged\n\
                             no-auto-default=*\nhostname-mode=none\n\
                             [connectivity]\nenabled=false\n[logging]\nlevel=INFO\n";

/// A running NetworkManager. Dropping it kills it.
#[derive(Debug)]
pub struct NetworkManager {
    machine: Machine,
    process: Process,
}

impl Machine {
    /// Starts NetworkManager with no profiles and waits until it answers.
    ///
    /// # Errors
    /// When it is missing or does not start. The error holds its log.
    pub fn network_manager(&self, _bus: &SystemBus) -> Result<NetworkManager> {
        for folder in ["/etc/NetworkManager", "/var/lib/NetworkManager"] {
            self.succeed(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder])?;
        }
        self.file("/etc/NetworkManager/NetworkManager.conf", CONFIGURATION)?;
        self.succeed(["mkdir", "-m", "700", "/etc/NetworkManager/system-connections"])?;
        self.succeed(["mkdir", "-p", "/etc/NetworkManager/dispatcher.d", "/run/lab/empty"])?;
        Ok(NetworkManager { machine: self.clone(), process: start(self, "running:started")? })
    }
}

impl NetworkManager {
    /// Runs nmcli. It may fail.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn nmcli<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Output> {
        self.machine.run(["nmcli"].into_iter().chain(args))
    }

    /// Runs nmcli, which must succeed.
    ///
    /// # Errors
    /// When it fails. The error holds NetworkManager's log.
    pub fn manage<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let command = self.machine.command(["nmcli"].into_iter().chain(args));
        command.succeed().with_context(|| self.process.log())
    }

    /// Adds and activates an ethernet profile that keeps the addresses of a link.
    ///
    /// # Errors
    /// When NetworkManager does not accept or activate it.
    pub fn add_ethernet(&self, link: &Uplink) -> Result<()> {
        let (name, address) = (&link.name, link.host.to_string());
        let gateway = link.router.addr().to_string();
        let metric = link.metric.to_string();
        let addresses_v6: Vec<String> = link.host_v6.iter().map(ToString::to_string).collect();
        let addresses_v6 = addresses_v6.join(",");
        self.manage([
            "connection",
            "add",
            "type",
            "ethernet",
            "con-name",
            name,
            "ifname",
            name,
            "ipv4.method",
            "manual",
            "ipv4.addresses",
            &address,
            "ipv4.gateway",
            &gateway,
            "ipv4.route-metric",
            &metric,
            "ipv6.method",
            "manual",
            "ipv6.addresses",
            &addresses_v6,
            "ipv6.gateway",
            "fe80::1",
            "ipv6.route-metric",
            &metric,
            "ipv6.addr-gen-mode",
            "eui64",
        ])?;
        self.up(name)
    }

    /// Adds a VPN profile for a server without activating it.
    ///
    /// # Errors
    /// When NetworkManager does not take it.
    pub fn add_vpn(&self, name: &str, server: &Server) -> Result<()> {
        self.add_vpn_by(name, server, &server.options().address.to_string())
    }

    /// Adds a VPN profile with another text for the server than its address.
    ///
    /// # Errors
    /// When NetworkManager does not take it.
    pub fn add_vpn_by(&self, name: &str, server: &Server, remote: &str) -> Result<()> {
        let pki = install_pki(&self.machine)?;
        let options = server.options();
        let mut data = format!(
            "remote={remote},port={},connection-type=tls,cert-pass-flags=4,\
             ca={pki}/ca.crt,cert={pki}/client.crt,key={pki}/client.key",
            options.port
        );
        if options.protocol == Protocol::Tcp {
            data += ",proto-tcp=yes";
        }
        self.manage([
            "connection",
            "add",
            "type",
            "vpn",
            "vpn-type",
            "openvpn",
            "con-name",
            name,
            "autoconnect",
            "no",
            "vpn.data",
            &data,
        ])
        .map(drop)
    }

    /// Activates a profile and waits until it is active. If its client has just been killed, NetworkManager learns a
    /// moment later that the profile is no longer active.
    ///
    /// # Errors
    /// When it is not active within a minute.
    pub fn up(&self, name: &str) -> Result<()> {
        wait_for(&format!("{name} can be activated"), TIMEOUT, || {
            let output = self.nmcli(["--wait", "60", "connection", "up", name])?;
            if output.stderr.contains("is already active") {
                return Ok(None);
            }
            ensure!(output.status.success(), "{output:?}: {}", self.process.log());
            Ok(Some(()))
        })
    }

    /// Deactivates a profile, as a user does.
    ///
    /// # Errors
    /// When it was not active.
    pub fn down(&self, name: &str) -> Result<()> {
        self.manage(["--wait", "60", "connection", "down", name]).map(drop)
    }

    /// The ids, on the real machine, of `nm-openvpn-service`.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn vpn_service(&self) -> Result<Vec<u32>> {
        self.machine.processes_of("nm-openvpn-service")
    }

    /// The process, for its log and signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it, as `systemctl stop` does.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop().map(drop)
    }

    /// Kills it.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill().map(drop)
    }

    /// Ends it if it still runs, and starts it with its existing profiles.
    ///
    /// # Errors
    /// When it does not end, or does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.process.stop()?;
        self.process = start(&self.machine, "running:started")?;
        Ok(())
    }

    /// Like [`NetworkManager::restart`], but waits only until it answers, and not until its start-up ends.
    /// The start-up ends when every link is stable. A link without a cable takes five seconds. In one random
    /// sequence, which also added routes to the link, it took more than 30 seconds.
    ///
    /// # Errors
    /// As [`NetworkManager::restart`].
    pub fn restart_unsettled(&mut self) -> Result<()> {
        self.process.stop()?;
        self.process = start(&self.machine, "running:")?;
        Ok(())
    }
}

/// Starts it and waits until its status begins with this text. The status shows whether it runs, and whether
/// its start-up has ended, after which every link is stable.
fn start(machine: &Machine, goal: &str) -> Result<Process> {
    let process = machine.spawn(["NetworkManager", "--debug", "--system-config-dir=/run/lab/empty"])?;
    let mut last = String::new();
    wait_for("NetworkManager", TIMEOUT, || {
        let answer = machine.run(["nmcli", "-t", "-f", "RUNNING,STARTUP", "general"])?;
        last = format!("{}{}", answer.stdout, answer.stderr);
        Ok(answer.stdout.starts_with(goal).then_some(()))
    })
    .with_context(|| format!("it said {last:?}, and its log:\n{}", process.log()))?;
    Ok(process)
}
