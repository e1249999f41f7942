//! wg-quick sets the routes of IPv6, and then those of IPv4: for each the route, and then the rule that has packets use it.

use super::*;

/// Stands in for `ip` and stops before two steps of wg-quick's, until the test lets it go on.
const STEPS: &str = "#!/bin/sh\ncase \"$*\" in\n'-4 route add 0.0.0.0/0 '*) step=route ;;\n\
    '-4 rule add not '*) step=rule ;;\n*) exec /usr/bin/ip \"$@\" ;;\nesac\n\
    until [ -e /run/steps/$step ]; do sleep 0.05; done\nexec /usr/bin/ip \"$@\"\n";

/// The last links that the agent has seen: whether the device has a default route of IPv4.
fn has_ipv4(log: &str) -> bool {
    let last = log.lines().rfind(|line| line.contains("event: Links("));
    let device = last.and_then(|line| line.split("name: \"office\"").nth(1)).unwrap_or_default();
    device.split_once('}').is_some_and(|(device, _)| device.contains("0.0.0.0/0"))
}

#[test]
fn a_device_whose_routes_are_set_step_by_step_is_not_lost_and_one_whose_routes_go_is() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        let _bus = bus(lab)?;
        let wireguard = Server::start(lab)?;
        wireguard.write(lab, "office", "")?;
        host.file_with_mode("/run/steps/ip", STEPS, 0o755)?;
        // The programs beside wg-quick come first in its path.
        host.file_with_mode("/run/steps/wg-quick", &host.read("/usr/bin/wg-quick")?, 0o755)?;
        let mut leak_test = LeakTest::begin(lab)?;
        let agent = agent(lab, KNOWN)?;
        await_bootstrap(lab, &server(MARKED))?;
        leak_test.await_silence()?;
        leak_test.close()?;

        let mut quick = host.spawn(["/run/steps/wg-quick", "up", "office"])?;
        // By IPv6 alone.
        wait_for_state(lab, "protected").with_context(|| quick.log())?;
        flows_to(lab, INTERNET_V6)?;
        ensure!(!has_ipv4(&agent.log()), "{}", agent.log());
        host.file("/run/steps/route", "")?;
        wait_for("the agent sees a route that no rule uses", SOON, || {
            Ok(has_ipv4(&agent.log()).then_some(()))
        })?;
        let past = host.succeed(format!("ip route get {INTERNET}").split(' '))?;
        ensure!(past.contains("eth0"), "the control: IPv4 is routed past the device: {past}");
        host.file("/run/steps/rule", "")?;
        ensure!(quick.wait(SOON)?.success(), "{}", quick.log());
        protected_by(lab, "office").with_context(|| agent.log())?;
        ensure!(!agent.log().contains(" is lost: "), "{}", agent.log());

        // What it has carried goes past it.
        host.succeed("ip -4 rule del not fwmark 51820 table 51820".split(' '))?;
        let lost = wait_for_state(lab, "lost").with_context(|| agent.log())?;
        ensure!(lost["loss"]["code"] == "routed-past", "{lost}");
        host.succeed("ip -4 rule add not fwmark 51820 table 51820".split(' '))?;
        protected_by(lab, "office").with_context(|| agent.log())?;
        leak_test.check("the routes of wg-quick", &contract()?)
    })
}
