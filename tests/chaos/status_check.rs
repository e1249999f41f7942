//! Compares what `status` says with what the test can see without it.

use std::fmt;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tunwarden_lab::wait_for;

use crate::support::{SOON, TUNWARDEN, verify_alone};
use crate::test_machine::TestMachine;

/// The facts at one moment.
struct Facts {
    /// `status --json`, and its exit code.
    status: Value,
    code: Option<i32>,
    agent_runs: bool,
    /// Whether the kernel routes the internet into a tunnel that is up.
    routed: bool,
    /// Whether a ping of the internet is answered.
    carries: bool,
    /// Whether the kernel holds the rules. `None` if a tool cannot read them, or if the agent has not read
    /// the configuration on the disk.
    held: Option<bool>,
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, code, agent_runs, routed, carries, held } = self;
        write!(
            f,
            "the agent runs: {agent_runs}, routed into a tunnel: {routed}, answered: {carries}, rules held: \
             {held:?}, status ({code:?}): {status}"
        )
    }
}

/// Waits until everything that `status` says is true. Checks nothing while a pause is open.
pub(crate) fn await_true_status(machine: &mut TestMachine<'_>) -> Result<()> {
    if machine.is_open() {
        return Ok(());
    }
    let mut last = String::new();
    let settled = wait_for("status is true", SOON * 2, || {
        let facts = look(machine)?;
        let wrong = contradictions(machine, &facts);
        last = format!("{}\n{facts}", wrong.join("; "));
        machine.last_state = facts.status["state"].as_str().unwrap_or("no state").to_owned();
        Ok(wrong.is_empty().then_some(()))
    });
    settled.with_context(|| last)
}

fn look(machine: &mut TestMachine<'_>) -> Result<Facts> {
    if let Some(agent) = &mut machine.agent {
        ensure!(agent.is_running(), "the agent has ended by itself");
    }
    let host = machine.lab.host();
    let output = host.run([TUNWARDEN, "status", "--json"])?;
    let status = serde_json::from_str(&output.stdout).unwrap_or(Value::Null);
    let route = host.run(["ip", "-o", "route", "get", "203.0.113.9"])?.stdout;
    let held = match verify_alone(machine.lab)?.status.code() {
        Some(0) if machine.config_loaded => Some(true),
        Some(4) if machine.config_loaded => Some(false),
        _ => None,
    };
    Ok(Facts {
        status,
        code: output.status.code(),
        agent_runs: machine.agent.is_some(),
        routed: route.contains(" dev tun"),
        carries: machine.carries()?,
        held,
    })
}

/// Every statement of `status` that is false.
fn contradictions(machine: &TestMachine<'_>, facts: &Facts) -> Vec<&'static str> {
    let Facts { status, code, agent_runs, routed, carries, held } = facts;
    let protected = status["state"] == "protected";
    let enforced = status["enforced"] == true;
    let whole = machine.server_answers && machine.uplink_whole && machine.networking;
    let verdict = status["verdict"].as_str().unwrap_or("no verdict");
    let expected = match verdict {
        "protected" => 0,
        "locked" => 3,
        "open" => 4,
        _ => 5,
    };
    let rules = [
        (status["agent"] != *agent_runs, "it is wrong on whether there is an agent"),
        (*code != Some(expected), "its exit code says something else than its verdict"),
        (
            (verdict == "protected") != (protected && enforced),
            "its verdict is not what it says of state and rules",
        ),
        (status["state"] == "paused", "it says paused, and nobody has paused it"),
        (protected && !routed, "it says protected, and nothing is routed into a tunnel"),
        (protected && whole && !carries, "it says protected, and nothing is answered through the tunnel"),
        (*agent_runs && *carries && !protected, "a tunnel carries, and it does not say protected"),
        // Without an agent nothing repairs what another tool has removed, and `status` reports that.
        (*held == Some(false) && (*agent_runs || enforced), "the kernel does not hold the rules"),
        (
            *held == Some(true) && !enforced,
            "the kernel holds the rules, and it says that they are not in force",
        ),
        (*agent_runs && !enforced, "the rules are not in force"),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, what)| what).collect()
}
