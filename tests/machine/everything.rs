//! One machine with everything that people may have together: the article's scripts with a user's additions, ufw, a
//! provider's archive, Docker, a virtual machine and a device on the LAN. From the first run to the removal.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::{Release, WholeMachine, wait_for};

use crate::desktop::{DesktopMachine, SOON, on_a_desktop};
use crate::first_run::with_the_article;
use crate::on_each_release;
use crate::support::package::Packages;

on_each_release!(
    a_machine_with_everything_is_guarded_from_the_first_run_and_has_its_own_rules_back_at_the_end
);

/// Makes the files of a provider's archive: two for each of its servers.
const ARCHIVE: &str = "mkdir -p /etc/openvpn/provider/udp /etc/openvpn/provider/tcp; cd /etc/openvpn/provider
    for i in $(seq 140); do
        printf 'client\ndev tun\nproto udp\nremote 10.201.0.%s 1194\n' $i >udp/us$i.example.net.udp.ovpn
        printf 'client\ndev tun\nproto tcp\nremote 10.201.0.%s 443\n' $i >tcp/us$i.example.net.tcp.ovpn
    done";

/// A bridge of virtual machines with a DHCP server, and one machine on it.
/// The names keep NetworkManager away from its links (see `desktop.rs`).
const MACHINES: &str = "ip link add virbr0 type bridge; ip addr add 192.168.122.1/24 dev virbr0
    ip link set virbr0 up
    systemd-run --quiet --unit=vm unshare --net sleep infinity
    ip link add vethvm type veth peer name vethvm0; ip link set vethvm master virbr0 up
    for try in $(seq 900); do
        vm=$(systemctl show --value --property=MainPID vm)
        # The process has its own network only a moment after its start.
        [ /proc/\"$vm\"/ns/net -ef /proc/self/ns/net ] || ! ip link set vethvm0 netns \"$vm\" 2>/dev/null || break
        sleep 0.1
    done
    nsenter --target=\"$vm\" --net ip link set vethvm0 up
    touch /run/udhcpd.leases
    systemd-run --quiet --unit=udhcpd busybox udhcpd -f /etc/udhcpd.conf";

const UDHCPD: &str =
    "start 192.168.122.10\nend 192.168.122.50\ninterface virbr0\nlease_file /run/udhcpd.leases\n";

/// The virtual machine requests an answer by broadcast.
const LEASE: &str = "vm=$(systemctl show --value --property=MainPID vm)
    nsenter --target=\"$vm\" --net busybox udhcpc -B -f -q -n -i vethvm0 -t 3 -T 1 -s /bin/true 2>&1 || true";

/// Checks that the device on the LAN answers, and that the virtual machine gets its lease.
fn the_neighbours_answer(machine: &WholeMachine) -> Result<()> {
    let device = machine.link().router.addr().to_string();
    wait_for("the device on the LAN", SOON, || {
        let ping = machine.command(["ping", "-c", "1", "-W", "1", &device])?.run()?;
        Ok(ping.status.success().then_some(()))
    })?;
    let mut said = String::new();
    wait_for("a lease", SOON, || {
        said = machine.shell(LEASE)?;
        Ok(said.contains("lease of 192.168.122.").then_some(()))
    })
    .with_context(|| said.clone())
}

fn policies(machine: &WholeMachine) -> Result<String> {
    machine.shell("iptables -S | grep ^-P; ip6tables -S | grep ^-P")
}

fn has_the_internet(machine: &WholeMachine) -> Result<()> {
    wait_for("the internet answers", SOON, || {
        let ping = machine.command(["ping", "-c", "1", "-W", "1", "203.0.113.9"])?.run()?;
        Ok(ping.status.success().then_some(()))
    })
}

/// Checks that ufw runs, with its earlier policies.
fn is_ufws(machine: &WholeMachine, before: &str, when: &str) -> Result<()> {
    let now = policies(machine)?;
    ensure!(now == before, "{when}: policies before: {before}, now: {now}");
    let status = machine.succeed(["ufw", "status"])?;
    ensure!(status.contains("Status: active"), "{when}: {status}");
    Ok(())
}

fn a_machine_with_everything_is_guarded_from_the_first_run_and_has_its_own_rules_back_at_the_end(
    release: Release,
) -> Result<()> {
    let packages = Packages::new()?;
    let package = packages.make("0.1.0-1")?;
    on_a_desktop(release, |desktop| {
        desktop.is_seen("the control")?;
        let machine = &desktop.machine;
        with_the_article(machine)?;
        machine.shell("ufw allow in on virbr0; ufw --force enable; systemctl enable --quiet ufw")?;
        machine.shell(ARCHIVE)?;
        machine.file("/etc/udhcpd.conf", UDHCPD, 0o644)?;
        machine.shell(MACHINES)?;
        the_neighbours_answer(machine).context("the control")?;
        let before = policies(machine)?;
        ensure!(before.contains("-P INPUT DROP"), "the control: ufw closes INPUT: {before}");

        desktop.install(&package)?;
        let said = desktop.machine.shell("exec tunwarden init --yes </dev/null 2>&1")?;
        desktop.close()?;
        is_guarded(desktop).with_context(|| said.clone())?;

        desktop.apt("remove tunwarden")?;
        is_ufws(&desktop.machine, &before, "the package is removed")?;
        has_the_internet(&desktop.machine)?;
        desktop.machine.reboot()?;
        has_the_internet(&desktop.machine)?;
        is_ufws(&desktop.machine, &before, "after a boot")
    })
}

/// Checks the machine while it is locked and while it is protected: its neighbours answer, and nothing leaves in clear.
fn is_guarded(desktop: &DesktopMachine) -> Result<()> {
    desktop.wait_for_state("locked")?;
    let rules = desktop
        .machine
        .shell("iptables -S VPN_TUNNEL; iptables -S VPN_BOOTSTRAP; ipset list 2>/dev/null || true")?;
    ensure!(rules.contains("--dport 993"), "the user's port was not carried over: {rules}");
    ensure!(rules.contains("10.201.0.140"), "the archive's servers are not known: {rules}");
    the_neighbours_answer(&desktop.machine).context("locked")?;
    desktop.check_new_attempts("the first run is over")?;
    desktop.vpn_up()?;
    desktop.wait_for_state("protected")?;
    desktop.flows()?;
    the_neighbours_answer(&desktop.machine).context("protected")?;
    desktop.check_new_attempts("the VPN is up")
}
