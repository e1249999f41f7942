//! A rule with `to`: this machine and its containers reach only the named address through the tunnel.

use anyhow::{Context, Result, ensure};
use tunwarden_lab::openvpn::{ClientOptions, ServerOptions};
use tunwarden_lab::{Docker, Echo, Engine, Lab, with_lab};

use super::TIMEOUT;
use crate::support::docker::inside;
use crate::support::openvpn::{connect, contract};
use crate::support::{agent, bus, wait_for_state};

/// The named address with the named port, the same address with another port, and the port of another address.
const TARGETS: [&str; 3] = ["10.8.0.1:4000", "10.8.0.1:4001", "203.0.113.9:4000"];

const CONFIG: &str = "[bootstrap]\nscope = \"known\"\n\
    [tunnel]\nallow = [{ protocol = \"udp\", ports = [4000], to = \"10.8.0.1\" }]\n\
    [docker]\nallow = [{ protocol = \"udp\", ports = [4000], to = \"10.8.0.1\" }]\n";

/// Sends a datagram to each target from this machine, and to each from a container. The named target is the last: when
/// it answers, the earlier packets have gone through the tunnel or were dropped. Returns how many each target got.
fn arrive(lab: &Lab, docker: &Docker, echoes: &[Echo]) -> Result<[u64; 3]> {
    let counts = || std::array::from_fn(|place| echoes[place].received());
    let before: [u64; 3] = counts();
    for target in TARGETS.iter().rev() {
        // Past the tunnel: a rule that matches only the address would let it out.
        lab.host().udp(target)?.on("eth0").send()?;
        let probe = lab.host().udp(target)?;
        let last = *target == TARGETS[0];
        let sent = if last { probe.await_answers(TIMEOUT).send()? } else { probe.send()? };
        ensure!(!last || sent.answered == 1, "this machine has no answer from {target}");
    }
    let send = |target: &str| format!("exec 3<>/dev/udp/{}; echo hello >&3", target.replace(':', "/"));
    for target in TARGETS.iter().rev() {
        let last = if *target == TARGETS[0] { "; timeout 10 dd count=1 <&3" } else { "; true" };
        let said = inside(docker, "box", &format!("{{ {}; }} 2>/dev/null{last}", send(target)))?;
        ensure!(last == "; true" || said == "hello\n", "a container has no answer from {target}: {said:?}");
    }
    // A packet that the ISP itself sends arrives after all others in the queue of each service.
    for target in TARGETS {
        let fence = lab.isp().udp(target)?.await_answers(TIMEOUT).send()?;
        ensure!(fence.answered == 1, "{target} does not answer the ISP itself");
    }
    let after: [u64; 3] = counts();
    Ok(std::array::from_fn(|place| after[place] - before[place] - 1))
}

#[test]
fn a_rule_with_an_address_lets_this_machine_and_containers_reach_it_alone() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let docker = lab.host().docker(Engine::System, [])?;
        docker.run(["--name", "box", "lab", "sleep", "1000"])?;
        let echoes =
            TARGETS.map(|target| lab.isp().udp_echo(target)).into_iter().collect::<Result<Vec<_>>>()?;
        let _client = connect(lab, &ClientOptions::of(&server))?;
        let control = arrive(lab, &docker, &echoes).context("the control, without tunwarden")?;
        // The ISP's machine takes the packets of its own card too.
        ensure!(control.iter().all(|count| *count >= 2), "the control: {control:?}");

        let _agent = agent(lab, CONFIG)?;
        wait_for_state(lab, "protected")?;
        let capture = lab.capture()?;
        let arrived = arrive(lab, &docker, &echoes)?;
        ensure!(arrived == [2, 0, 0], "{TARGETS:?} got {arrived:?}");
        contract(&[&server])?.check(&capture.stop()?)
    })
}
