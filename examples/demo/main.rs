//! The main job of tunwarden, explained in plain words: `make demo`.
//!
//! A private laboratory with a real NetworkManager, a real OpenVPN, real packets, and a desktop session with a real
//! notification daemon. Every count is the number of packets that were captured on the provider's side. The exit code
//! is 0 only if nothing leaked.
#![allow(clippy::disallowed_methods, reason = "this starts programs, reads the clock and touches files")]

mod screen;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tunwarden_lab::address::{INTERNET, INTERNET_V6, VPN};
use tunwarden_lab::openvpn::{Server, ServerOptions};
use tunwarden_lab::{
    ContainerFlood, Contract, Flood, Frame, Lab, NetworkManager, Packet, Process, SystemBus, wait_for,
    with_lab,
};

use self::screen::Screen;

/// How long a step may take.
const SOON: Duration = Duration::from_secs(30);

/// Packets a second that each sender sends.
const RATE: u32 = 200;

/// The packets of the application and of the container carry these words.
const APPLICATION: &str = "application";
const CONTAINER: &str = "container";

/// Docker's own rules: containers reach other networks, and answers come back.
const DOCKER: &str = "
    iptables -w -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
    iptables -w -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables -w -A FORWARD -i docker0 ! -o docker0 -j ACCEPT";

/// Where the laboratory's desktop has the program. Every user can run it there.
const TUNWARDEN: &str = "/run/lab/tunwarden";

fn main() -> ExitCode {
    match with_lab(|lab| Demo::new(lab)?.run_steps()) {
        Ok(()) => {
            println!(
                "\nResult: no packet left in clear while tunwarden was in force. Your own network was not touched."
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The desktop, the senders that send all the time, and the contract that the captured packets must keep.
struct Demo<'a> {
    lab: &'a Lab,
    nm: NetworkManager,
    contract: Contract,
    application: [Flood; 2],
    container: ContainerFlood,
    _services: (SystemBus, Server),
}

impl<'a> Demo<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        println!("This demo makes two machines inside this computer: a desktop, and an internet provider.");
        println!("Behind the provider are the internet and a VPN server.");
        println!("On the desktop an application sends {RATE} packets a second over IPv4 and over IPv6.");
        println!("Beside it a container sends {RATE} packets a second.");
        println!("After each step you read what the provider saw on the cable.");
        let host = lab.host();
        let mut bus = host.system_bus()?;
        bus.add_policy("org.tunwarden.Agent1.conf", include_str!("../../dbus/org.tunwarden.Agent1.conf"))?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let nm = host.network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        nm.add_vpn("lab", &server)?;
        host.succeed([
            "install",
            "-D",
            "-m",
            "755",
            &built_program("tunwarden")?.display().to_string(),
            TUNWARDEN,
        ])?;
        let contract = Contract::locked().lan("10.0.0.0/24")?.endpoint(&server.endpoint())?.discovery();
        let send = |target: String| host.udp(&target)?.tag(APPLICATION).flood(RATE);
        let application = [send(format!("{INTERNET}:4000"))?, send(format!("[{INTERNET_V6}]:4000"))?];
        let container = host.bridged_container("box", "docker0")?;
        host.succeed(["sh", "-ec", DOCKER])?;
        let container = container.flood(&format!("{INTERNET}:4001"), CONTAINER, RATE)?;
        Ok(Self { lab, nm, contract, application, container, _services: (bus, server) })
    }

    fn run_steps(&self) -> Result<()> {
        print_heading(1, "No tunwarden and no VPN");
        let seen = self.watch(|| Ok(()))?;
        ensure!(seen.both(), "the packets were not seen: nothing below would prove anything");
        println!("   The provider reads everything. A leak in a later step would look like this.");

        print_heading(2, "sudo tunwarden lock");
        self.run(["lock"])?;
        self.nothing_clear(|| Ok(()))?;

        print_heading(3, "The tunwarden agent starts, and NetworkManager connects the VPN");
        let agent = self.agent()?;
        let screen = Screen::log_in(self.lab)?;
        self.nothing_clear(|| self.connect())?;
        self.internet_answers()?;

        print_heading(4, "The VPN client crashes (kill -9)");
        self.nothing_clear(|| {
            self.lab.host().signal_all("openvpn", Signal::SIGKILL)?;
            self.wait_for("lost")
        })?;
        screen.map_or(Ok(()), |screen| screen.show_loss(&built_program("../demo")?))?;

        print_heading(5, "NetworkManager connects the VPN again");
        self.nothing_clear(|| self.connect())?;
        self.internet_answers()?;

        print_heading(6, "The agent is killed, the VPN ends while no agent runs, a new agent starts");
        self.nothing_clear(|| {
            kill(agent)?;
            self.nm.down("lab")
        })?;
        let _agent = self.agent()?;
        self.nothing_clear(|| self.wait_for("lost"))?;

        print_heading(7, "sudo tunwarden release");
        self.run(["release", "--yes"])?;
        ensure!(self.watch(|| Ok(()))?.both(), "released, and still nothing leaves");
        Ok(())
    }

    fn run<const N: usize>(&self, words: [&str; N]) -> Result<()> {
        let said = self.lab.host().succeed([TUNWARDEN].into_iter().chain(words))?;
        said.lines().for_each(|line| println!("   | {line}"));
        Ok(())
    }

    fn agent(&self) -> Result<Process> {
        let mut agent = self.lab.host().spawn([TUNWARDEN, "agent"])?;
        agent.wait_for_line("on the system bus", SOON)?;
        Ok(agent)
    }

    fn connect(&self) -> Result<()> {
        self.nm.up("lab")?;
        self.wait_for("protected")
    }

    fn wait_for(&self, state: &str) -> Result<()> {
        let said = wait_for(&format!("the state is {state}"), SOON, || {
            // While no VPN protects, `status` exits with another code than 0. That is no error here.
            let status = self.lab.host().run([TUNWARDEN, "status"])?.stdout;
            Ok(status.to_lowercase().starts_with(state).then_some(status))
        })?;
        said.lines().for_each(|line| println!("   | {line}"));
        Ok(())
    }

    /// Checks that the tunnel carries packets: the internet answers pings of the desktop and of the container.
    fn internet_answers(&self) -> Result<()> {
        let answers = self.lab.host().ping(INTERNET).count(3).await_answers(SOON).send()?.answered;
        ensure!(answers == 3, "only {answers} of 3 pings were answered through the tunnel");
        let ping = format!("ip netns exec box ping -q -c 3 -i 0.2 -W 10 {INTERNET}");
        self.lab.host().succeed(ping.split(' ')).context("the container's pings through the tunnel")?;
        println!("   Through the VPN the internet answers the application and the container.");
        Ok(())
    }

    /// Does something while every sender sends, and returns what the provider saw during that time.
    fn watch(&self, act: impl FnOnce() -> Result<()>) -> Result<Seen> {
        let capture = self.lab.capture()?;
        act()?;
        for application in &self.application {
            application.await_more(u64::from(RATE))?;
        }
        self.container.await_more(u64::from(RATE))?;
        let frames = capture.stop()?;
        let clear = self.contract.clear_packets(&frames);
        let count = |tag: &str| clear.iter().filter(|frame| frame.is_tagged(tag)).count();
        let seen = Seen { clear: clear.len(), application: count(APPLICATION), container: count(CONTAINER) };
        let allowed = || frames.iter().filter(|frame| !clear.contains(frame));
        let tunnel = allowed().filter(|frame| goes_to_server(frame)).count();
        let link = allowed().count() - tunnel;
        println!("   The provider saw {} packets in clear ({}),", seen.clear, seen.who());
        println!(
            "   {tunnel} encrypted packets to the VPN server, and {link} that keep the link itself alive."
        );
        Ok(seen)
    }

    fn nothing_clear(&self, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let Seen { clear, .. } = self.watch(act)?;
        ensure!(clear == 0, "{clear} packets left in clear");
        Ok(())
    }
}

/// How many packets the provider saw in clear.
struct Seen {
    clear: usize,
    application: usize,
    container: usize,
}

impl Seen {
    fn both(&self) -> bool {
        self.application > 0 && self.container > 0
    }

    fn who(&self) -> String {
        format!("{} from the application, {} from the container", self.application, self.container)
    }
}

fn goes_to_server(frame: &Frame) -> bool {
    matches!(frame.packet, Packet::Ip { destination, .. } if destination == VPN)
}

fn kill(mut process: Process) -> Result<()> {
    process.kill().map(drop)
}

fn print_heading(number: u32, title: &str) {
    println!("\n{number}. {title}");
}

/// The path of a program in the folder above this one's: `target/release/tunwarden`.
fn built_program(name: &str) -> Result<PathBuf> {
    let me = std::env::current_exe()?;
    let folder = me.parent().and_then(Path::parent).context("this program is in no build folder")?;
    Ok(folder.join(name))
}
