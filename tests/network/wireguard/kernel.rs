//! The kernel's own WireGuard, set up by wg-quick, NetworkManager and systemd-networkd. The agent reads the devices
//! over generic netlink. The tests need a kernel that has the module.

use super::*;

/// Checks that the device is the kernel's own.
fn is_kernels(lab: &Lab, name: &str) -> Result<()> {
    let shown = lab.host().succeed(["ip", "-d", "link", "show", name])?;
    ensure!(shown.lines().any(|line| line.trim_start().starts_with("wireguard ")), "{shown}");
    Ok(())
}

/// Waits until packets with this mark may reach the server at this address.
fn await_server(lab: &Lab, address: &str, mark: &str) -> Result<()> {
    let server = json!({ "address": address, "port": 51820, "protocol": "udp", "by": mark });
    wait_for(&format!("{address} may be reached by {mark}"), SOON, || {
        let bootstrap = status(lab)?["bootstrap"].clone();
        Ok(bootstrap.as_array().is_some_and(|all| all.contains(&server)).then_some(()))
    })
}

#[test]
#[ignore = "needs the kernel's WireGuard: make kernels"]
fn wg_quick_s_device_protects_and_is_followed_and_its_end_is_a_loss() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let wireguard = Server::start(lab)?;
        wireguard.write(lab, "office", "")?;
        let mut leak_test = LeakTest::begin(lab)?;
        let mut first = agent(lab, KNOWN)?;
        await_bootstrap(lab, &server(MARKED))?;
        leak_test.await_silence()?;
        leak_test.close()?;
        wg_quick(lab, "up", "office")?;
        is_kernels(lab, "office")?;
        protected_by(lab, "office").with_context(|| first.log())?;
        first.kill()?;
        let second = start_agent(lab)?;
        protected_by(lab, "office").with_context(|| second.log())?;

        // Any packet of the server would set its address again, so the server is silent while it moves.
        lab.isp().signal_all("wireguard-go", Signal::SIGSTOP)?;
        wireguard.move_to(lab, "office", "198.51.100.8", 51_820)?;
        await_server(lab, "198.51.100.8", MARKED).with_context(|| second.log())?;
        lab.isp().signal_all("wireguard-go", Signal::SIGCONT)?;
        wait_for_state(lab, "protected").with_context(|| second.log())?;
        lab.host().succeed(["ip", "link", "del", "office"])?;
        let lost = wait_for_state(lab, "lost")?;
        ensure!(lost["loss"]["name"] == "office" && lost["loss"]["seen_by"] == "links", "{lost}");
        leak_test.check("wg-quick on the kernel's device", &contract()?.endpoint("198.51.100.8:51820/udp")?)
    })
}

#[test]
#[ignore = "needs the kernel's WireGuard: make kernels"]
fn networkmanager_s_profile_protects_by_the_mark_of_its_device_and_comes_back() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        let bus = bus(lab)?;
        let wireguard = Server::start(lab)?;
        wireguard.write(lab, "home", "")?;
        let nm = host.network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        host.succeed(["mv", "/etc/wireguard/home.conf", "/run/home.conf"])?;
        nm.manage(["connection", "import", "type", "wireguard", "file", "/run/home.conf"])?;
        nm.manage(["connection", "modify", "home", "connection.autoconnect", "no"])?;
        // NetworkManager may have activated the profile after the import: end this.
        nm.nmcli(["connection", "down", "home"])?;
        let mut leak_test = LeakTest::begin(lab)?;
        let agent = agent(lab, KNOWN)?;
        leak_test.await_silence()?;
        leak_test.close()?;
        nm.up("home")?;
        is_kernels(lab, "home")?;
        protects(lab, "home", "networkmanager").with_context(|| agent.log())?;
        let mark = host.succeed(["wg", "show", "home", "fwmark"])?;
        await_server(lab, "198.51.100.9", &format!("mark {}", mark.trim())).with_context(|| agent.log())?;

        host.succeed(["ip", "link", "del", "home"])?;
        wait_for_state(lab, "lost").with_context(|| agent.log())?;
        wait_for("a person's request brings it back", SOON, || {
            Ok(tunwarden(lab, ["reconnect"])?.status.success().then_some(()))
        })
        .with_context(|| agent.log())?;
        protects(lab, "home", "networkmanager").with_context(|| agent.log())?;
        nm.down("home")?;
        wait_for_state(lab, "locked").with_context(|| agent.log())?;
        leak_test.check("NetworkManager on the kernel's device", &contract()?)
    })
}

/// systemd-networkd routes every packet without the mark into the device.
const NETWORK: &str = "[Match]\nName=office\n[Network]\nAddress=10.7.0.2/32\nAddress=fd00:7::2/128\n\
                       [RoutingPolicyRule]\nFamily=both\nFirewallMark=0x7766\nInvertRule=yes\nTable=1000\nPriority=10\n\
                       [Route]\nDestination=0.0.0.0/0\nTable=1000\n[Route]\nDestination=::/0\nTable=1000\n";

#[test]
#[ignore = "needs the kernel's WireGuard: make kernels"]
fn networkd_s_device_protects_by_the_kernel_s_evidence() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        let _bus = bus(lab)?;
        let wireguard = Server::start(lab)?;
        wireguard.write_netdev(lab, "office", "0x7766")?;
        host.file("/etc/systemd/network/50-office.network", NETWORK)?;
        host.succeed([
            "install",
            "-d",
            "-o",
            "systemd-network",
            "-g",
            "systemd-network",
            "/run/systemd/netif",
        ])?;
        let mut leak_test = LeakTest::begin(lab)?;
        let agent = agent(lab, KNOWN)?;
        await_bootstrap(lab, &server("mark 0x7766"))?;
        leak_test.await_silence()?;
        leak_test.close()?;
        let networkd = host.spawn(["/lib/systemd/systemd-networkd"])?;
        protects(lab, "office", "kernel").with_context(|| format!("{}{}", networkd.log(), agent.log()))?;
        is_kernels(lab, "office")?;
        host.succeed(["ip", "link", "del", "office"])?;
        wait_for_state(lab, "lost").with_context(|| agent.log())?;
        leak_test.check("systemd-networkd", &contract()?)
    })
}
