//! What the programs of real machines do on a locked machine: they find devices and give leases. The other tests send
//! the same packets by hand.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Contract, Lab, Process, wait_for, with_lab};

use super::KNOWN;
use crate::support::kernel::Backend;
use crate::support::{SOON, tunwarden};

/// A printer, as a device announces it.
const PRINTER: &str = "<?xml version=\"1.0\"?>\n<!DOCTYPE service-group SYSTEM \"avahi-service.dtd\">\n\
    <service-group><name>Printer of the LAN</name>\n\
    <service><type>_ipp._tcp</type><port>631</port></service></service-group>\n";

/// Lets Avahi's daemon serve its clients.
const AVAHI: &str = "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN\"\n\
    \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><policy context=\"default\">\n\
    <allow own=\"org.freedesktop.Avahi\"/><allow send_destination=\"org.freedesktop.Avahi\"/>\n\
    <allow receive_sender=\"org.freedesktop.Avahi\"/></policy></busconfig>\n";

/// A player that answers SSDP searches. It answers to the port that asked.
const PLAYER: &str = r#"
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 1900))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.255.255.250") + socket.inet_aton("10.0.0.1"))
print("listening", flush=True)
while True:
    _, who = s.recvfrom(2000)
    s.sendto(b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nLOCATION: http://10.0.0.1:8000/player.xml\r\n"
             b"SERVER: Linux UPnP/1.0 player/1\r\nST: upnp:rootdevice\r\nUSN: uuid:player::upnp:rootdevice\r\n\r\n", who)
"#;

/// What may leave while programs search the LAN.
fn contract() -> Result<Contract> {
    Ok(Contract::locked().lan("10.0.0.0/24")?.lan("fd00:0:0:1::/64")?.lan("fe80::/10")?.discovery())
}

fn avahi(machine: &tunwarden_lab::Machine, interface: &str, dbus: bool) -> Result<Process> {
    let name = machine.name();
    let server = format!(
        "host-name={name}\nallow-interfaces={interface}\nenable-dbus={}",
        if dbus { "yes" } else { "no" }
    );
    let config =
        format!("[server]\n{server}\n[wide-area]\nenable-wide-area=no\n[publish]\npublish-workstation=no\n");
    machine.file("/etc/avahi/avahi-daemon.conf", &config)?;
    let flags = ["--no-drop-root", "--no-chroot", "--no-rlimits", "--debug"];
    let mut daemon = machine.spawn(["avahi-daemon"].into_iter().chain(flags))?;
    daemon.wait_for_line("Server startup complete", SOON)?;
    Ok(daemon)
}

/// Whether a search from this machine finds the printer. The daemon remembers what it has found, so each search starts
/// a new one.
fn finds_the_printer(lab: &Lab) -> Result<bool> {
    let mut daemon = avahi(lab.host(), "eth0", true)?;
    let found =
        lab.host().run(["avahi-browse", "--resolve", "--terminate", "--parsable", "_ipp._tcp"])?.stdout;
    daemon.kill()?;
    let is_whole =
        |line: &str| line.starts_with('=') && line.contains("Printer") && line.contains(";10.0.0.1;631;");
    Ok(found.lines().any(is_whole))
}

#[test]
fn avahi_browse_finds_a_printer_on_the_lan_while_multicast_is_allowed() -> Result<()> {
    with_lab(|lab| {
        let mut bus = lab.host().system_bus()?;
        bus.add_policy("avahi-dbus.conf", AVAHI)?;
        lab.isp().file("/etc/avahi/services/printer.service", PRINTER)?;
        let _printer = avahi(lab.isp(), "isp0", false)?;
        wait_for("the control: it is found", SOON, || Ok(finds_the_printer(lab)?.then_some(())))?;
        Backend::Nft.lock(lab, KNOWN)?;
        let capture = lab.capture()?;
        wait_for("it is found while locked", SOON, || Ok(finds_the_printer(lab)?.then_some(())))?;
        contract()?.check(&capture.stop()?)?;
        Backend::Nft.lock(lab, &format!("{KNOWN}[lan]\nmulticast = false\n"))?;
        ensure!(!finds_the_printer(lab)?, "it is found although discovery is not allowed");
        // The same search finds it again, so nothing but the rules hid it.
        Backend::Nft.lock(lab, KNOWN)?;
        wait_for("it is found again", SOON, || Ok(finds_the_printer(lab)?.then_some(())))
    })
}

/// Whether a search from this machine finds the player.
fn finds_the_player(lab: &Lab) -> Result<bool> {
    let search = ["gssdp-discover", "--interface=eth0", "--target=upnp:rootdevice", "--timeout=2"];
    let found = lab.host().run(search)?;
    Ok(found.stdout.contains("http://10.0.0.1:8000/player.xml"))
}

#[test]
fn gssdp_discover_finds_a_player_on_the_lan_while_multicast_is_allowed() -> Result<()> {
    with_lab(|lab| {
        let mut player = lab.isp().spawn(["python3", "-c", PLAYER])?;
        player.wait_for_line("listening", SOON)?;
        wait_for("the control: it is found", SOON, || Ok(finds_the_player(lab)?.then_some(())))?;
        for backend in [Backend::Nft, Backend::Legacy] {
            backend.lock(lab, KNOWN)?;
            let capture = lab.capture()?;
            wait_for("it is found while locked", SOON, || Ok(finds_the_player(lab)?.then_some(())))?;
            contract()?.check(&capture.stop()?)?;
        }
        Backend::Nft.lock(lab, &format!("{KNOWN}[lan]\nmulticast = false\n"))?;
        ensure!(!finds_the_player(lab)?, "it is found although discovery is not allowed");
        // The same search finds it again, so nothing but the rules hid it.
        Backend::Nft.lock(lab, KNOWN)?;
        wait_for("it is found again", SOON, || Ok(finds_the_player(lab)?.then_some(())))
    })
}

/// A bridge of virtual machines with one machine on it.
const BRIDGE: &str = "link add virbr0 type bridge\naddr add 192.168.122.1/24 dev virbr0\nlink set virbr0 up\n\
    netns add vm\nlink add vnet0 type veth peer name eth0 netns vm\nlink set vnet0 master virbr0 up\n\
    netns exec vm ip link set eth0 up\n";

#[test]
fn a_virtual_machine_gets_its_lease_from_dnsmasq_also_when_it_asks_for_a_broadcast() -> Result<()> {
    for backend in [Backend::Nft, Backend::Legacy] {
        with_lab(|lab| {
            lab.host().succeed(["mkdir", "-p", "/run/netns"])?;
            lab.host().command(["ip", "-batch", "-"]).stdin(BRIDGE).succeed()?;
            let range = "--dhcp-range=192.168.122.10,192.168.122.50,120";
            let own =
                ["--user=root", "--interface=virbr0", "--bind-interfaces", "--port=0", "--leasefile-ro"];
            let files = ["--conf-file=/dev/null", "--pid-file=/run/dnsmasq.pid", "--no-daemon", "--no-ping"];
            let mut dnsmasq = lab.host().spawn(["dnsmasq", range].into_iter().chain(own).chain(files))?;
            dnsmasq.wait_for_line("DHCP, sockets bound exclusively", SOON)?;
            let lease = |broadcast: &[&str]| -> Result<bool> {
                let ask = ["ip", "netns", "exec", "vm", "busybox", "udhcpc", "-f", "-q", "-n", "-i", "eth0"];
                let how = ["-t", "3", "-T", "1", "-s", "/bin/true"];
                let asked = lab.host().run(ask.into_iter().chain(how).chain(broadcast.iter().copied()))?;
                Ok((asked.stdout + &asked.stderr).contains("lease of 192.168.122."))
            };
            let both = || -> Result<()> {
                for broadcast in [&[][..], &["-B"]] {
                    wait_for("a lease", SOON, || Ok(lease(broadcast)?.then_some(())))
                        .with_context(|| format!("{broadcast:?}: {}", dnsmasq.log()))?;
                }
                Ok(())
            };
            both().context("the control")?;
            backend.lock(lab, KNOWN)?;
            both().with_context(|| format!("{backend:?}"))?;
            ensure!(tunwarden(lab, ["verify"])?.status.success(), "verify");
            Ok(())
        })?;
    }
    Ok(())
}
