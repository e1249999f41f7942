//! The parts that steps act on, the floods, and the check of what left.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use tunwarden_lab::address::{INTERNET, VPN};
use tunwarden_lab::openvpn::{Server, ServerOptions};
use tunwarden_lab::{
    Capture, Container, ContainerFlood, Contract, Docker, Engine, Flood, Frame, Lab, NetworkManager, Process,
    SystemBus, wait_for,
};

use crate::support::{SOON, TUNWARDEN, bus, docker, start_agent, tunwarden, wait_for_state};

/// The configuration at the start of a run. It names the server, so that the same packets may leave during
/// the whole run.
pub(crate) const BASIC: &str = "[bootstrap]\nservers = [\"198.51.100.7:1194/udp\"]\nscope = \"known\"\n\
                                [firewall]\nbackend = \"nft\"\n";

/// How long packets may leave after the end of a pause. The kernel counts whole seconds, and the machine is
/// busy.
const PAUSE_MARGIN: Duration = Duration::from_secs(3);

/// Maximum number of frames in a capture before the test starts a new one.
const KEPT: usize = 3000;

/// Maximum number of clear packets that an error lists.
const LISTED: usize = 12;

/// Optional parts of a run.
pub(crate) struct Parts {
    /// Real Docker with a container of its own.
    pub(crate) docker: bool,
}

pub(crate) struct TestMachine<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) nm: NetworkManager,
    pub(crate) server: Server,
    /// Whether the VPN server answers.
    pub(crate) server_answers: bool,
    pub(crate) agent: Option<Process>,
    /// Whether the configuration on the disk is a good one that the agent has read.
    pub(crate) config_loaded: bool,
    /// Whether eth0 has its cable and is up with its addresses, as far as steps have left it alone.
    pub(crate) uplink_whole: bool,
    /// Whether all networks are switched on.
    pub(crate) networking: bool,
    /// The time until which a pause may be open.
    pub(crate) open_until: Option<SystemTime>,
    pub(crate) docker: Option<Docker>,
    pub(crate) last_state: String,
    /// Periods in which every packet may leave.
    open: Vec<(SystemTime, SystemTime)>,
    contract: Contract,
    capture: Capture,
    floods: Vec<(&'static str, Flood)>,
    of_containers: Vec<(&'static str, ContainerFlood)>,
    judged: usize,
    began: Instant,
    _bus: SystemBus,
}

impl<'a> TestMachine<'a> {
    /// Waits until each flood leaves, then starts the agent and waits until none leaves.
    #[expect(clippy::disallowed_methods, reason = "each step is printed with its time")]
    pub(crate) fn new(lab: &'a Lab, parts: &Parts) -> Result<Self> {
        let bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        nm.add_vpn("lab", &server)?;
        let capture = lab.capture()?;
        let (floods, of_containers) = floods(lab)?;
        let docker = parts.docker.then(|| real_containers(lab)).transpose()?;
        lab.host().file("/etc/tunwarden/config.toml", BASIC)?;
        let contract = Contract::locked().discovery().endpoint(&server.endpoint())?;
        let lans = ["10.0.0.0/24", "fd00:0:0:1::/64", "10.0.1.0/24", "fd00:0:0:2::/64", "192.168.44.0/24"];
        let contract = lans.iter().try_fold(contract, |contract, lan| contract.lan(lan))?;
        let mut machine = Self {
            lab,
            nm,
            server,
            server_answers: true,
            agent: None,
            config_loaded: true,
            uplink_whole: true,
            networking: true,
            open_until: None,
            docker,
            last_state: String::new(),
            open: Vec::new(),
            contract,
            capture,
            floods,
            of_containers,
            judged: 0,
            began: Instant::now(),
            _bus: bus,
        };
        machine.each_is_seen("the control, without an agent")?;
        machine.agent = Some(start_agent(lab)?);
        wait_for_state(lab, "locked")?;
        machine.capture = lab.capture()?;
        Ok(machine)
    }

    /// How long the run has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn judged(&self) -> usize {
        self.judged
    }

    /// Allows every packet from `began` on for this many seconds and a margin.
    #[expect(clippy::disallowed_methods, reason = "captured frames carry the clock's time")]
    pub(crate) fn opens(&mut self, began: SystemTime, seconds: u64) {
        let until = SystemTime::now() + Duration::from_secs(seconds) + PAUSE_MARGIN;
        self.open.push((began, until));
        self.open_until = Some(until);
    }

    /// Ends the current open period.
    #[expect(clippy::disallowed_methods, reason = "captured frames carry the clock's time")]
    pub(crate) fn closes(&mut self) {
        let now = SystemTime::now();
        for (_, until) in &mut self.open {
            *until = now.min(*until);
        }
        self.open_until = None;
    }

    /// Whether a pause may be open now.
    #[expect(clippy::disallowed_methods, reason = "a pause ends by the clock")]
    pub(crate) fn is_open(&mut self) -> bool {
        self.open_until = self.open_until.filter(|until| *until > SystemTime::now());
        self.open_until.is_some()
    }

    /// Waits until no pause is open. It does not matter what ends the pause.
    pub(crate) fn close_pause(&mut self) -> Result<()> {
        wait_for("the end of a pause", SOON, || Ok((!self.is_open()).then_some(())))
    }

    /// Waits until each flood has sent more packets. Then checks every packet in the ISP's capture.
    pub(crate) fn judge(&mut self) -> Result<()> {
        self.await_new_packets(5)?;
        let frames = self.capture.so_far()?;
        let closed =
            |frame: &&Frame| !self.open.iter().any(|(from, until)| (*from..*until).contains(&frame.at));
        let mut clear = self.contract.clear_packets(&frames);
        clear.extend(frames.iter().filter(|frame| frame.is_tagged("server")));
        let clear: Vec<&Frame> = clear.into_iter().filter(closed).collect();
        if let (Some(first), Some(last)) = (clear.first(), clear.last()) {
            let took = last.at.duration_since(first.at).unwrap_or_default();
            let listed: String = clear.iter().take(LISTED).map(|frame| format!("\n  {frame}")).collect();
            bail!("{} packets left in clear within {took:?}:{listed}", clear.len());
        }
        if frames.len() > KEPT {
            // The new capture begins before the old one ends, so that no packet is missed between them.
            let next = self.lab.capture()?;
            let rest = std::mem::replace(&mut self.capture, next).stop()?;
            let rest: Vec<Frame> = rest.into_iter().skip(frames.len()).collect();
            let clear = self.contract.clear_packets(&rest).into_iter().filter(closed).count();
            ensure!(clear == 0, "{clear} packets left in clear");
            self.judged += rest.len() + frames.len();
        }
        Ok(())
    }

    fn await_new_packets(&self, more: u64) -> Result<()> {
        self.floods.iter().try_for_each(|(_, flood)| flood.await_more(more))?;
        self.of_containers.iter().try_for_each(|(_, flood)| flood.await_more(more))
    }

    /// Waits until new packets of each flood leave in clear.
    fn each_is_seen(&self, why: &str) -> Result<()> {
        let before = self.capture.so_far()?;
        let tags =
            self.floods.iter().map(|(tag, _)| tag).chain(self.of_containers.iter().map(|(tag, _)| tag));
        for tag in tags {
            let before = before.iter().filter(|frame| frame.is_tagged(tag)).count();
            let seen = self.capture.wait_for(before + 3, SOON, |frame| frame.is_tagged(tag));
            seen.with_context(|| format!("{why}: the ISP does not see {tag}"))?;
        }
        Ok(())
    }

    /// Whether a ping to the internet is answered. No ping may leave in clear.
    pub(crate) fn carries(&self) -> Result<bool> {
        let ping = self.lab.host().ping(INTERNET).count(2).await_answers(Duration::from_secs(1));
        Ok(ping.send()?.answered > 0)
    }

    /// Restores all parts and connects the VPN. Then releases: the ISP must see each flood again.
    pub(crate) fn check_end(&mut self) -> Result<()> {
        crate::services::restore_all(self)?;
        crate::links::restore_all(self)?;
        self.nm.nmcli(["--wait", "30", "connection", "down", "lab"])?;
        wait_for("the VPN connects at the end", SOON * 3, || {
            let up = self.nm.nmcli(["--wait", "30", "connection", "up", "lab"])?;
            Ok(up.status.success().then_some(()))
        })?;
        wait_for_state(self.lab, "protected")?;
        wait_for("an answer through the tunnel", SOON, || Ok(self.carries()?.then_some(())))?;
        self.judge()?;
        self.nm.down("lab")?;
        self.judge()?;
        self.judged += self.capture.so_far()?.len();
        self.agent.take().map(|mut agent| agent.stop()).transpose()?;
        let release = self.lab.host().run([TUNWARDEN, "release", "--yes"])?;
        ensure!(release.status.success(), "{release:?}");
        self.try_run(FORWARDS)?;
        self.each_is_seen("the control, after a release")
    }

    /// The state of the host, for the person who investigates a failure.
    pub(crate) fn host_state(&self) -> String {
        let look =
            "ip -br address; ip route; ip -6 route; nft list ruleset; iptables-save -c; ip6tables-save -c";
        self.lab.host().run(["sh", "-c", look]).map_or_else(|error| error.to_string(), |seen| seen.stdout)
    }

    /// Runs a command and ignores whether it succeeds.
    pub(crate) fn try_run(&self, command: &str) -> Result<()> {
        self.lab.host().run(["sh", "-c", command]).map(drop)
    }

    /// Runs one of tunwarden's verbs. Returns whether it succeeded.
    pub(crate) fn verb<const N: usize>(&self, words: [&str; N]) -> Result<bool> {
        Ok(tunwarden(self.lab, words)?.status.success())
    }
}

/// Docker's own policy stops the other container, with and without tunwarden.
const FORWARDS: &str = "iptables -w -P FORWARD ACCEPT";

type Floods = (Vec<(&'static str, Flood)>, Vec<(&'static str, ContainerFlood)>);

/// Packets of the host from every kind of socket, of a container behind a bridge, and of a container on the
/// link itself.
fn floods(lab: &Lab) -> Result<Floods> {
    let host = lab.host();
    let floods = [
        ("udp4", host.udp("203.0.113.9:4000")?.from_user("nobody")),
        ("udp6", host.udp("[2001:db8:9::9]:4000")?.from_user("nobody")),
        ("ping4", host.ping(INTERNET)),
        ("dns", host.udp("10.0.0.1:53")?.from_user("nobody")),
        ("rootdns", host.udp("203.0.113.53:53")?),
        // To the VPN server, from a user who runs no VPN client.
        ("server", host.udp(&format!("{VPN}:1194"))?.from_user("nobody")),
        ("raw", host.raw("eth0", "203.0.113.99:4000")?),
    ];
    let floods = floods.map(|(tag, probe)| Ok((tag, probe.tag(tag).flood(50)?)));
    let bridged: Container = host.bridged_container("box", "br-box")?;
    let beside = host.macvlan_container("mac", "eth0")?;
    let of_containers = [
        (&bridged, "box4", "203.0.113.77:4000"),
        (&beside, "mac4", "203.0.113.88:4000"),
        (&beside, "mac6", "[2001:db8:9::88]:4000"),
    ];
    let of_containers = of_containers.map(|(of, tag, to)| Ok((tag, of.flood(to, tag, 100)?)));
    Ok((floods.into_iter().collect::<Result<_>>()?, of_containers.into_iter().collect::<Result<_>>()?))
}

/// Real Docker with a container that floods.
fn real_containers(lab: &Lab) -> Result<Docker> {
    let docker = lab.host().docker(Engine::System, [])?;
    docker::user_network(&docker)?;
    docker::flooding(&docker, "flood", "user")?;
    lab.host().succeed(FORWARDS.split(' '))?;
    Ok(docker)
}
