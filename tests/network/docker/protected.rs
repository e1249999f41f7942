//! A desktop with Docker, NetworkManager, a VPN and the agent.

use anyhow::Result;
use tunwarden_lab::openvpn::{Server, ServerOptions};
use tunwarden_lab::{Docker, Engine, Lab, NetworkManager, Process, SystemBus};

use crate::support::docker::{IPV6, counted};
use crate::support::{agent, bus, wait_for_state};

pub(crate) struct Protected<'a> {
    lab: &'a Lab,
    pub(crate) docker: Docker,
    pub(crate) nm: NetworkManager,
    pub(crate) server: Server,
    _bus: SystemBus,
}

impl<'a> Protected<'a> {
    /// Starts everything except the agent. The VPN is down.
    pub(crate) fn prepare(lab: &'a Lab, engine: Engine) -> Result<Self> {
        let bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        nm.add_vpn("lab", &server)?;
        let docker = lab.host().docker(engine, IPV6)?;
        Ok(Self { lab, docker, nm, server, _bus: bus })
    }

    /// Starts the agent.
    pub(crate) fn guard(&self, config: &str) -> Result<Process> {
        let agent = agent(self.lab, config)?;
        wait_for_state(self.lab, "locked")?;
        Ok(agent)
    }

    /// How many packets to an address have arrived at the server's end of the tunnel. Counts from the first
    /// call for this address on.
    pub(crate) fn through_the_tunnel(&self, to: &str, protocol: &str) -> Result<u64> {
        let rule = format!("PREROUTING -d {to}/32 -i srv+ -p {protocol}");
        counted(self.lab.isp(), "raw", &rule)
    }
}
