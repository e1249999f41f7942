//! `/etc/hosts` cannot be written for a while, and nothing else happens on the machine.

use super::*;

/// The folder of the file, as the agent's unit sees it. The unit that writes for the agent is not there.
const READ_ONLY: &str = "mount --bind /etc /etc && mount -o remount,ro,bind /etc";

#[test]
fn pins_that_could_not_be_written_are_written_later_on_an_idle_machine() -> Result<()> {
    with_lab(|lab| {
        lab.host().file("/etc/hosts", HOSTS)?;
        let dns = lab.isp().dns(ROUTER)?;
        dns.set(NAME, &["198.51.100.7"])?;
        let config = format!("[bootstrap]\nservers = [\"{NAME}\"]\n");
        lab.host().file("/etc/tunwarden/config.toml", &config)?;
        let _bus = support::bus(lab)?;
        lab.host().succeed(["sh", "-ec", READ_ONLY])?;
        let mut agent = support::start_agent(lab)?;
        wait_for_state(lab, "locked")?;
        agent.wait_for_line("tunwarden-hosts.socket cannot be used", SOON)?;
        assert_eq!(lab.host().read("/etc/hosts")?, HOSTS, "the control: nobody could write it");

        // No source of the agent reports this.
        lab.host().succeed(["mount", "-o", "remount,rw,bind", "/etc"])?;
        wait_for("the pin is in the file", SOON, || {
            Ok(lab.host().read("/etc/hosts")?.contains("\n198.51.100.7 vpn.example.net\n").then_some(()))
        })
        .with_context(|| agent.log())
    })
}
