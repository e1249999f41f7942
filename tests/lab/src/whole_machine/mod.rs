//! A whole machine: a Debian that boots, reboots and powers off, with its own systemd, bus, NetworkManager
//! and Docker, and with its own link to the ISP.
//!
//! systemd-nspawn runs it inside the ISP's namespaces. So the ISP can capture on its end of the link from the
//! first moment of a boot to the last of a power-off. Every boot has a new network. The disk stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::docker::{IMAGE, TAKE_DOWN};
use crate::groups;
use crate::lab::Lab;
use crate::machine::{Cmd, Machine, Process, write};
use crate::openvpn::Server;
use crate::uplink::Uplink;
use crate::wait::wait_for;

const FILES: &str = include_str!("files.sh");
const BOOT: &str = include_str!("boot.sh");
const ROUTER: &str = include_str!("router.sh");

/// How long a machine may take to boot or to power off on a busy host.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The exit code of nspawn if the machine reboots.
const WANTS_REBOOT: i32 = 133;

/// The release of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
    /// The release after Debian 13.
    Forky,
}

impl Release {
    /// The folder where `scripts/tree machine` writes it.
    fn tree(self) -> String {
        let release = match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Forky => "forky",
        };
        let cache = std::env::var("TUNWARDEN_LAB_CACHE");
        format!("{}/machine-{release}", cache.as_deref().unwrap_or("/var/cache/tunwarden-lab"))
    }
}

/// A machine with its disk, powered on or not. Dropping it removes it.
#[derive(Debug)]
pub struct WholeMachine {
    isp: Machine,
    link: Uplink,
    disk: Process,
    _router: Process,
    power: Option<Power>,
    boots: u32,
}

/// The processes of a machine that is powered on.
#[derive(Debug)]
struct Power {
    nspawn: Process,
    /// The id of the machine's process 1 in the ISP's pid namespace.
    leader: u32,
    group: String,
}

impl Lab {
    /// Makes a machine that is powered off, with a NetworkManager profile for its link.
    ///
    /// # Errors
    /// When its tree is not there, or the kernel lacks overlays.
    pub fn whole_machine(&self, release: Release) -> Result<WholeMachine> {
        let tree = release.tree();
        ensure!(
            Path::new(&tree).join("usr/sbin/dockerd").exists(),
            "there is no machine in {tree}; scripts/tree makes it"
        );
        let isp = self.isp().clone();
        let link = Uplink::numbered("eth0", 9);
        let mut disk = {
            let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", FILES];
            isp.spawn(unshare.into_iter().chain(["disk", tree.as_str()]))?
        };
        disk.wait_for_line("ready", TIMEOUT)?;
        groups::remove_stale(&groups::mount_of(disk.id()));
        let router = isp.spawn(["sh", "-c", ROUTER, "router", &link.isp_end, &link.isp_batch()])?;
        let machine = WholeMachine { isp, link, disk, _router: router, power: None, boots: 0 };
        machine.file(
            "/etc/NetworkManager/system-connections/eth0.nmconnection",
            machine.ethernet(),
            0o600,
        )?;
        Ok(machine)
    }
}

impl WholeMachine {
    /// The network interface of the machine.
    #[must_use]
    pub fn link(&self) -> &Uplink {
        &self.link
    }

    /// The outside path of a path on its disk. A running machine sees every change.
    #[must_use]
    pub fn outside(&self, path: &str) -> PathBuf {
        let root = Path::new("/proc").join(self.disk.id().to_string()).join("root/run/lab/machine/root");
        root.join(path.trim_start_matches('/'))
    }

    /// Writes a file on its disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let outside = self.outside(path);
        fs::create_dir_all(outside.parent().context("a file needs a folder")?)?;
        write(&outside, content.as_ref(), mode).with_context(|| format!("writing {path}"))
    }

    /// Powers it on and waits until it has booted.
    ///
    /// # Errors
    /// When systemd-nspawn is missing, or it does not boot.
    pub fn power_on(&mut self) -> Result<()> {
        ensure!(self.power.is_none(), "it is powered on");
        self.boots += 1;
        let group = format!("{}{}-desk-{}", groups::PREFIX, self.isp.pid(), self.boots);
        let veth = format!("{}:{}", self.link.isp_end, self.link.name);
        let mut nspawn = self.command_on_disk(["sh", "-c", BOOT, "boot", &group, &veth]).spawn()?;
        let leader = wait_for("the machine's systemd", TIMEOUT, || {
            ensure!(nspawn.is_running(), "it has ended: {}", nspawn.log());
            Ok(leader_of(&nspawn))
        })?;
        self.power = Some(Power { nspawn, leader, group });
        self.await_boot()
    }

    /// Reboots it from within, and waits until it has booted.
    ///
    /// # Errors
    /// When it does not.
    pub fn reboot(&mut self) -> Result<()> {
        let status = self.go_down("reboot")?;
        ensure!(status.code() == Some(WANTS_REBOOT), "it did not reboot: {status}");
        self.power_on()
    }

    /// Powers it off from within, and waits until it is off.
    ///
    /// # Errors
    /// When it is not running, or does not end.
    pub fn power_off(&mut self) -> Result<()> {
        let status = self.go_down("poweroff")?;
        ensure!(status.success(), "it did not power off: {status}");
        Ok(())
    }

    fn go_down(&mut self, how: &str) -> Result<ExitStatus> {
        self.succeed(["systemctl", "--no-block", how])?;
        let mut power = self.power.take().context("it is off")?;
        // When a network namespace ends, it loses its rules before its links. No real machine does this. So
        // the namespace stays until nspawn, which ends last, has removed the link.
        let network = self.isp.outside(format!("/proc/{}/ns/net", power.leader));
        let network = fs::File::open(network).context("the machine's network")?;
        let status = power.nspawn.wait(TIMEOUT);
        drop(network);
        drop(power.nspawn);
        self.take_down(&power.group)?;
        status
    }

    /// A command on the machine, as root.
    ///
    /// # Errors
    /// When it is not powered on.
    pub fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Cmd> {
        let leader = self.power.as_ref().context("the machine is off")?.leader.to_string();
        let enter = ["nsenter", "--all", "--target", &leader, "--"].map(ToOwned::to_owned);
        let command = self.isp.command(enter.into_iter().chain(args.into_iter().map(ToOwned::to_owned)));
        Ok(command.env("LC_ALL", "C.UTF-8").env("HOME", "/root"))
    }

    /// Runs a command that must succeed, and returns its standard output.
    ///
    /// # Errors
    /// When it does not.
    pub fn succeed<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        self.command(args)?.succeed()
    }

    /// Runs a shell script that must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub fn shell(&self, script: &str) -> Result<String> {
        self.succeed(["sh", "-euc", script])
    }

    /// The value of a property of a unit, for example `("tunwarden.service", "MainPID")`.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub fn unit(&self, unit: &str, property: &str) -> Result<String> {
        let value = self.succeed(["systemctl", "show", "--value", "--property", property, unit])?;
        Ok(value.trim().to_owned())
    }

    /// Gives its Docker an image `lab` of busybox and bash.
    ///
    /// # Errors
    /// When Docker does not accept it.
    pub fn import_image(&self) -> Result<()> {
        self.succeed(["sh", "-c", IMAGE])?;
        self.succeed(["docker", "import", "/run/lab/docker/image.tar", "lab"]).map(drop)
    }

    /// Adds a profile for a VPN server without activating it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_vpn(&self, name: &str, server: &Server) -> Result<()> {
        for file in ["ca.crt", "client.crt", "client.key"] {
            let content = self.isp.read(&format!("{}/{file}", crate::openvpn::PKI))?;
            self.file(&format!("/etc/openvpn/lab/{file}"), content, 0o600)?;
        }
        let (address, port) = (server.options().address, server.options().port);
        let profile = format!(
            "[connection]\nid={name}\ntype=vpn\nautoconnect=false\n\n\
             [vpn]\nservice-type=org.freedesktop.NetworkManager.openvpn\nconnection-type=tls\n\
             remote={address}\nport={port}\ncert-pass-flags=4\nca=/etc/openvpn/lab/ca.crt\n\
             cert=/etc/openvpn/lab/client.crt\nkey=/etc/openvpn/lab/client.key\n"
        );
        self.file(&format!("/etc/NetworkManager/system-connections/{name}.nmconnection"), profile, 0o600)
    }

    /// Its journal of this boot, the newest entry last.
    #[must_use]
    pub fn journal(&self) -> String {
        self.succeed(["journalctl", "--boot", "--no-pager", "--lines=400", "--output=short-monotonic"])
            .unwrap_or_else(|error| format!("no journal: {error:#}"))
    }

    /// A command in the mount namespace of the machine's disk, and not inside the machine.
    fn command_on_disk<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Cmd {
        let mounts = format!("--mount=/proc/{}/ns/mnt", self.disk.id_inside());
        let enter = ["nsenter".to_owned(), mounts, "--".to_owned()];
        self.isp.command(enter.into_iter().chain(args.into_iter().map(ToOwned::to_owned)))
    }

    fn await_boot(&mut self) -> Result<()> {
        // `degraded` counts as booted too: a test that breaks a unit checks the unit itself.
        self.command(["systemctl", "is-system-running", "--wait"])?.run().map(drop)
    }

    fn take_down(&self, group: &str) -> Result<()> {
        self.command_on_disk(["sh", "-c", TAKE_DOWN, "sh", group]).run().map(drop)
    }

    fn ethernet(&self) -> String {
        let Uplink { name, host, router, host_v6, .. } = &self.link;
        let mut profile = format!(
            "[connection]\nid={name}\ntype=ethernet\ninterface-name={name}\n\n\
             [ipv4]\nmethod=manual\naddress1={host},{}\n\n[ipv6]\nmethod=manual\ngateway=fe80::1\n",
            router.addr()
        );
        for (n, address) in host_v6.iter().enumerate() {
            profile += &format!("address{}={address}\n", n + 1);
        }
        profile
    }
}

impl Drop for WholeMachine {
    fn drop(&mut self) {
        if let Some(mut power) = self.power.take() {
            let _ = power.nspawn.kill();
            let _ = self.take_down(&power.group);
        }
    }
}

/// The child of nspawn, after its systemd has started to listen.
fn leader_of(nspawn: &Process) -> Option<u32> {
    let id = nspawn.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    let mut children = children.split_whitespace();
    let child = children.find(|id| Path::new(&format!("/proc/{id}/root/run/systemd/private")).exists())?;
    let status = fs::read_to_string(format!("/proc/{child}/status")).ok()?;
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    // The ids in our own namespace, in the ISP's, and in the machine's, where it is 1.
    ids.split_whitespace().rev().nth(1)?.parse().ok()
}
