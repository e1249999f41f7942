//! A desktop with a VPN, and programs that send packets in clear during the whole test. The test passes if
//! the ISP captured none of these packets.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::address::{INTERNET, INTERNET_V6, VPN};
use tunwarden_lab::openvpn::{Server, ServerOptions};
use tunwarden_lab::{Capture, Contract, Flood, Frame, Lab, NetworkManager, Process, SystemBus, wait_for};

use super::signals::Signals;
use super::{SOON, agent, bus, chain, wait_for_state};

/// Packets a second of each flood.
const RATE: u32 = 100;

/// Traffic of every kind that must never leave in clear, and a capture at the ISP.
pub struct LeakTest {
    capture: Capture,
    floods: Vec<(&'static str, Flood)>,
    /// Number of frames that were captured before `close`.
    from: usize,
}

impl LeakTest {
    /// Starts the floods and waits until the ISP sees each of them: without the agent nothing blocks them.
    ///
    /// # Errors
    /// When one is not seen.
    pub fn begin(lab: &Lab) -> Result<Self> {
        let (host, capture) = (lab.host(), lab.capture()?);
        let floods = [
            ("udp4", host.udp("203.0.113.9:4000")?.from_user("nobody")),
            ("udp6", host.udp("[2001:db8:9::9]:4000")?.from_user("nobody")),
            ("ping4", host.ping(INTERNET)),
            ("ping6", host.ping(INTERNET_V6)),
            // To the VPN server, from a user who runs no VPN client.
            ("server", host.udp(&format!("{VPN}:1194"))?.from_user("nobody")),
        ];
        let floods = floods.map(|(tag, probe)| Ok((tag, probe.tag(tag).flood(RATE)?)));
        let floods = floods.into_iter().collect::<Result<Vec<_>>>()?;
        let leak_test = Self { capture, floods, from: 0 };
        leak_test.is_seen("the control, without an agent")?;
        Ok(leak_test)
    }

    /// Waits until new packets of every flood leave in clear.
    ///
    /// # Errors
    /// When one is not seen.
    pub fn is_seen(&self, why: &str) -> Result<()> {
        let so_far = self.capture.so_far()?;
        for (tag, _) in &self.floods {
            let before = so_far.iter().filter(|frame| frame.is_tagged(tag)).count();
            let seen = self.capture.wait_for(before + 5, SOON, |frame| frame.is_tagged(tag));
            seen.with_context(|| format!("{why}: {tag} should be seen"))?;
        }
        Ok(())
    }

    /// Waits for a period in which each flood sends for a second and none of its packets leaves.
    ///
    /// # Errors
    /// When packets still leave after the timeout.
    pub fn await_silence(&self) -> Result<()> {
        wait_for("nothing leaves any more", SOON, || {
            let count = |frames: Vec<Frame>| frames.iter().filter(|frame| frame.tag.is_some()).count();
            let before = count(self.capture.so_far()?);
            self.floods.iter().try_for_each(|(_, flood)| flood.await_more(u64::from(RATE)))?;
            Ok((count(self.capture.so_far()?) == before).then_some(()))
        })
    }

    /// Stops every flood.
    pub fn stop_floods(&mut self) {
        self.floods.clear();
    }

    /// From this call on no packet may leave.
    ///
    /// # Errors
    /// When the capture has failed.
    pub fn close(&mut self) -> Result<()> {
        self.from = self.capture.so_far()?.len();
        Ok(())
    }

    /// Waits until every flood has sent more packets. Then checks every packet that left since `close`.
    ///
    /// # Errors
    /// When a packet left in clear. `promise` names the broken promise.
    pub fn check(&self, promise: &str, contract: &Contract) -> Result<()> {
        for (_, flood) in &self.floods {
            flood.await_more(20)?;
        }
        let seen = self.since_closed()?;
        contract.check(&seen).with_context(|| promise.to_owned())?;
        let others = seen.iter().filter(|frame| frame.is_tagged("server")).count();
        ensure!(others == 0, "{promise}: {others} packets of an ordinary user's reached the VPN server");
        Ok(())
    }

    /// The packets that left since `close`.
    ///
    /// # Errors
    /// When the capture has failed.
    pub fn since_closed(&self) -> Result<Vec<Frame>> {
        Ok(self.capture.so_far()?.split_off(self.from))
    }
}

/// A desktop with one VPN server, a running agent, and the floods of a [`LeakTest`].
pub struct Desktop<'a> {
    pub lab: &'a Lab,
    pub leak_test: LeakTest,
    pub signals: Signals,
    pub agent: Process,
    pub nm: NetworkManager,
    pub server: Server,
    pub bus: SystemBus,
}

impl<'a> Desktop<'a> {
    /// NetworkManager with a profile `lab`, the floods, then the agent.
    ///
    /// # Errors
    /// When something does not start.
    pub fn new(lab: &'a Lab, config: &str) -> Result<Self> {
        Self::with_remote(lab, config, &VPN.to_string())
    }

    /// The same with another server.
    ///
    /// # Errors
    /// When something does not start.
    pub fn with(lab: &'a Lab, config: &str, options: ServerOptions) -> Result<Self> {
        let remote = options.address.to_string();
        Self::of(lab, config, options, &remote)
    }

    /// The same with a profile whose server has this name.
    ///
    /// # Errors
    /// When something does not start.
    pub fn with_remote(lab: &'a Lab, config: &str, remote: &str) -> Result<Self> {
        Self::of(lab, config, ServerOptions::default(), remote)
    }

    /// The same with another server, and a profile that uses this name for it.
    ///
    /// # Errors
    /// When something does not start.
    pub fn with_server_and_remote(
        lab: &'a Lab,
        config: &str,
        options: ServerOptions,
        remote: &str,
    ) -> Result<Self> {
        Self::of(lab, config, options, remote)
    }

    fn of(lab: &'a Lab, config: &str, options: ServerOptions, remote: &str) -> Result<Self> {
        let bus = bus(lab)?;
        let server = lab.openvpn_server(options)?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        nm.add_vpn_by("lab", &server, remote)?;
        let mut leak_test = LeakTest::begin(lab)?;
        let signals = Signals::listen(&bus)?;
        let agent = agent(lab, config)?;
        leak_test.close()?;
        Ok(Self { lab, leak_test, signals, agent, nm, server, bus })
    }

    /// Connects the VPN and waits until it carries packets.
    ///
    /// # Errors
    /// When the VPN does not connect or carries no packets.
    pub fn connect(&self) -> Result<Value> {
        self.nm.up("lab")?;
        let status = wait_for_state(self.lab, "protected")?;
        self.carries()?;
        Ok(status)
    }

    /// Pings the internet until it answers. [`Desktop::check`] shows that the pings used the tunnel: it fails
    /// if they left in clear.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn carries(&self) -> Result<()> {
        wait_for("an answer through the tunnel", SOON * 2, || {
            let ping = self.lab.host().ping(INTERNET).await_answers(Duration::from_secs(1));
            Ok((ping.send()?.answered == 1).then_some(()))
        })
    }

    /// Checks that no packet left in clear so far.
    ///
    /// # Errors
    /// When a packet left in clear.
    pub fn check(&self, promise: &str) -> Result<()> {
        self.leak_test.check(promise, &contract(&[&self.server])?)
    }

    /// Checks that this state is enforced, that the kernel allows exactly the one endpoint, and that no
    /// packet left in clear.
    ///
    /// # Errors
    /// When one of these checks fails.
    pub fn check_state(&self, state: &str, promise: &str) -> Result<Value> {
        let status = wait_for_state(self.lab, state).with_context(|| promise.to_owned())?;
        assert_eq!(allowance(self.lab)?, set(&[self.server.endpoint()]), "{promise}: the allowance");
        self.check(promise)?;
        Ok(status)
    }
}

/// The contract on the laboratory's first link, with these servers.
///
/// # Errors
/// When a prefix or an endpoint does not parse, which never happens here.
pub fn contract(servers: &[&Server]) -> Result<Contract> {
    let contract = Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.discovery();
    servers.iter().try_fold(contract, |contract, server| contract.endpoint(&server.endpoint()))
}

/// What `VPN_BOOTSTRAP` allows in both families, as `198.51.100.7:1194/udp`.
///
/// # Errors
/// When the kernel holds a rule there that allows anything else.
pub fn allowance(lab: &Lab) -> Result<BTreeSet<String>> {
    let mut allowed = BTreeSet::new();
    for tool in ["iptables", "ip6tables"] {
        for rule in chain(lab, tool, "VPN_BOOTSTRAP")? {
            let words: Vec<&str> = rule.split(' ').collect();
            let ["-A", _, "-d", to, "-p", protocol, "-m", _, "--dport", port, "-j", "VPN_OWNER"] = words[..]
            else {
                anyhow::bail!("{tool} allows more than an endpoint: {rule}");
            };
            let to = to.strip_suffix("/32").or(to.strip_suffix("/128")).context("more than an address")?;
            allowed.insert(format!("{}/{protocol}", std::net::SocketAddr::new(to.parse()?, port.parse()?)));
        }
    }
    Ok(allowed)
}

/// A set of texts.
pub fn set<T: AsRef<str>>(texts: &[T]) -> BTreeSet<String> {
    texts.iter().map(|text| text.as_ref().to_owned()).collect()
}
