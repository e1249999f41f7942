//! A NetworkManager that does not answer. It may have made a device for an ordinary user, so the agent asks it about
//! each new device, unless the device has the private key of root's file.

use super::*;

#[test]
fn a_networkmanager_that_hangs_delays_no_device_of_root_s_and_makes_no_other_one_count() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        let wireguard = Server::start(lab)?;
        wireguard.write(lab, "office", "")?;
        let mut nm = lab.host().network_manager(&bus)?;
        let mut leak_test = LeakTest::begin(lab)?;
        let agent = agent(lab, KNOWN)?;
        await_bootstrap(lab, &server(MARKED))?;
        leak_test.await_silence()?;
        leak_test.close()?;
        nm.process().signal(Signal::SIGSTOP)?;
        wg_quick(lab, "up", "office")?;
        protected_by(lab, "office").with_context(|| agent.log())?;
        wg_quick(lab, "down", "office")?;
        wait_for_state(lab, "lost").with_context(|| agent.log())?;

        // The device has the file's name and server, but another private key.
        let path = "/etc/wireguard/office.conf";
        let text = lab.host().read(path)?;
        let own = text.lines().find(|line| line.starts_with("PrivateKey")).context("no private key")?;
        let other = format!("PrivateKey = {}", lab.host().succeed(["wg", "genkey"])?.trim());
        lab.host().file_with_mode("/run/wg/office.conf", &text.replace(own, &other), 0o600)?;
        wg_quick(lab, "up", "/run/wg/office.conf")?;
        await_left_out(lab, "office", "sudo systemctl restart NetworkManager")
            .with_context(|| agent.log())?;
        ensure!(status(lab)?["state"] == "lost", "{}", status(lab)?);
        nm.process().signal(Signal::SIGCONT)?;
        wait_for_state(lab, "protected").with_context(|| agent.log())?;
        leak_test.check("NetworkManager hangs", &contract()?)
    })
}
