//! The main job, told in plain words: `make demo`.
//!
//! A private laboratory with a real NetworkManager, a real OpenVPN and real packets. What is said of
//! each chapter was captured on the provider's side of the wire. Exit 0 only if nothing leaked.
#![allow(clippy::disallowed_methods, reason = "this starts programs, reads the clock and touches files")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use tunwarden_lab::address::{INTERNET, INTERNET_V6, VPN};
use tunwarden_lab::openvpn::{Server, ServerOptions};
use tunwarden_lab::{
    Contract, Flood, Frame, Lab, NetworkManager, Packet, Process, SystemBus, wait_for, with_lab,
};

/// How long anything may take here.
const SOON: Duration = Duration::from_secs(30);

/// Packets a second that each application sends.
const RATE: u32 = 200;

fn main() -> ExitCode {
    match with_lab(|lab| Stage::set(lab)?.play()) {
        Ok(()) => {
            println!(
                "\nNothing left in clear while tunwarden stood guard. Your own network was not touched."
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The desktop, the applications on it that send all the time, and the contract they are held to.
struct Stage<'a> {
    lab: &'a Lab,
    nm: NetworkManager,
    contract: Contract,
    tunwarden: String,
    applications: [Flood; 2],
    _services: (SystemBus, Server),
}

impl<'a> Stage<'a> {
    fn set(lab: &'a Lab) -> Result<Self> {
        println!("A laboratory of two machines: a desktop, and the provider with the internet behind it.");
        println!("On the desktop one application sends {RATE} packets a second over IPv4, one over IPv6.");
        let mut bus = lab.host().system_bus()?;
        bus.add_policy("org.tunwarden.Agent1.conf", include_str!("../dbus/org.tunwarden.Agent1.conf"))?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        nm.add_vpn("lab", &server)?;
        let contract = Contract::locked().lan("10.0.0.0/24")?.endpoint(&server.endpoint())?.discovery();
        let send = |target: String| lab.host().udp(&target)?.flood(RATE);
        let applications = [send(format!("{INTERNET}:4000"))?, send(format!("[{INTERNET_V6}]:4000"))?];
        Ok(Self { lab, nm, contract, tunwarden: binary()?, applications, _services: (bus, server) })
    }

    fn play(&self) -> Result<()> {
        chapter(1, "Without tunwarden, no VPN");
        ensure!(
            self.watch(|| Ok(()))? > 0,
            "the applications were not seen: nothing below would prove anything"
        );
        println!("   Whatever leaks below would be seen just so.");

        chapter(2, "sudo tunwarden lock");
        self.run(["lock"])?;
        self.nothing_clear(|| Ok(()))?;

        chapter(3, "The agent starts, and NetworkManager connects the VPN");
        let agent = self.agent()?;
        self.nothing_clear(|| self.connect())?;
        let answers = self.lab.host().ping(INTERNET).count(3).await_answers(SOON).send()?.answered;
        ensure!(answers == 3, "only {answers} of 3 pings were answered through the tunnel");
        println!("   Through the tunnel 3 of 3 pings to the internet were answered.");

        chapter(4, "The VPN client crashes: kill -9 of openvpn");
        self.nothing_clear(|| {
            self.lab.host().signal_all("openvpn", Signal::SIGKILL)?;
            self.wait_for("lost")
        })?;

        chapter(5, "The VPN comes back through the one allowance");
        self.nothing_clear(|| self.connect())?;

        chapter(6, "The agent itself is killed, the VPN ends while nobody looks, a new agent starts");
        self.nothing_clear(|| {
            kill(agent)?;
            self.nm.down("lab")
        })?;
        let _agent = self.agent()?;
        self.nothing_clear(|| self.wait_for("lost"))?;

        chapter(7, "sudo tunwarden release");
        self.run(["release", "--yes"])?;
        ensure!(self.watch(|| Ok(()))? > 0, "released, and still nothing leaves");
        Ok(())
    }

    fn run<const N: usize>(&self, words: [&str; N]) -> Result<()> {
        let said = self.lab.host().succeed(std::iter::once(self.tunwarden.as_str()).chain(words))?;
        said.lines().for_each(|line| println!("   | {line}"));
        Ok(())
    }

    fn agent(&self) -> Result<Process> {
        let mut agent = self.lab.host().spawn([self.tunwarden.as_str(), "agent"])?;
        agent.wait_for_line("on the system bus", SOON)?;
        Ok(agent)
    }

    fn connect(&self) -> Result<()> {
        self.nm.up("lab")?;
        self.wait_for("protected")
    }

    fn wait_for(&self, state: &str) -> Result<()> {
        let said = wait_for(&format!("the state is {state}"), SOON, || {
            // Not to be protected is an answer too: the exit code says it.
            let status = self.lab.host().run([self.tunwarden.as_str(), "status"])?.stdout;
            Ok(status.to_lowercase().starts_with(state).then_some(status))
        })?;
        said.lines().for_each(|line| println!("   | {line}"));
        Ok(())
    }

    /// Does something while the applications send, and says what was captured meanwhile.
    fn watch(&self, act: impl FnOnce() -> Result<()>) -> Result<usize> {
        let capture = self.lab.capture()?;
        act()?;
        for application in &self.applications {
            application.await_more(u64::from(RATE))?;
        }
        let seen = capture.stop()?;
        let clear = self.contract.clear_packets(&seen);
        let allowed = || seen.iter().filter(|frame| !clear.contains(frame));
        let tunnel = allowed().filter(|frame| goes_to_server(frame)).count();
        let link = allowed().count() - tunnel;
        let clear = clear.len();
        println!(
            "   On the wire: {clear} in clear, {tunnel} to the VPN server, {link} that keep the link alive."
        );
        Ok(clear)
    }

    fn nothing_clear(&self, act: impl FnOnce() -> Result<()>) -> Result<()> {
        match self.watch(act)? {
            0 => Ok(()),
            clear => bail!("{clear} packets left in clear"),
        }
    }
}

fn goes_to_server(frame: &Frame) -> bool {
    matches!(frame.packet, Packet::Ip { destination, .. } if destination == VPN)
}

fn kill(mut process: Process) -> Result<()> {
    process.kill().map(drop)
}

fn chapter(number: u32, title: &str) {
    println!("\n{number}. {title}");
}

/// The binary that was built beside this program.
fn binary() -> Result<String> {
    let me = std::env::current_exe()?;
    let folder = me.parent().and_then(Path::parent).context("this program stands in no build folder")?;
    let binary = folder.join("tunwarden");
    ensure!(binary.exists(), "{} is not built: cargo build", binary.display());
    Ok(binary.display().to_string())
}
