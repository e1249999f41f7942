//! Steps with the agent, its configuration and its pauses, with the VPN, and with NetworkManager.

use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::Step;
use crate::links::BRIDGE;
use crate::random::Random;
use crate::support::{TUNWARDEN, start_agent};
use crate::test_machine::{BASIC, TestMachine};

pub(crate) const STEPS: &[Step] = &[
    (6, "the agent is killed", |machine, _| {
        let Some(mut agent) = machine.agent.take() else { return Ok(None) };
        agent.kill()?;
        Ok(Some(String::new()))
    }),
    (3, "the agent ends", |machine, _| {
        let Some(mut agent) = machine.agent.take() else { return Ok(None) };
        agent.stop()?;
        Ok(Some(String::new()))
    }),
    (16, "the agent starts", start),
    (2, "SIGHUP", |machine, _| {
        let Some(agent) = &mut machine.agent else { return Ok(None) };
        agent.signal(Signal::SIGHUP)?;
        Ok(Some(String::new()))
    }),
    (5, "a good configuration", good_config),
    (4, "a bad configuration", bad_config),
    (3, "a pause", pause),
    (5, "resume", |machine, _| {
        if machine.agent.is_none() || !machine.is_open() || !machine.verb(["resume"])? {
            return Ok(None);
        }
        machine.closes();
        Ok(Some(String::new()))
    }),
    (2, "lock", |machine, _| {
        // `lock` reads the configuration on the disk and ends a pause.
        if !machine.config_loaded {
            return Ok(None);
        }
        ensure!(machine.verb(["lock"])? || machine.agent.is_none(), "lock failed");
        Ok(Some(String::new()))
    }),
    (10, "the VPN is connected", |machine, random| {
        let wait = *random.one(&["0", "0", "8"]);
        let done = machine.nm.nmcli(["--wait", wait, "connection", "up", "lab"])?;
        Ok(Some(format!("(waiting {wait} s: {})", done.status)))
    }),
    (4, "the VPN is disconnected", |machine, _| {
        let done = machine.nm.nmcli(["--wait", "8", "connection", "down", "lab"])?;
        Ok(done.status.success().then(String::new))
    }),
    (4, "the VPN client is killed", |machine, random| {
        let signal = *random.one(&[Signal::SIGKILL, Signal::SIGTERM, Signal::SIGUSR1]);
        let some = machine.lab.host().signal_all("openvpn", signal).is_ok();
        Ok(some.then(|| format!("({signal})")))
    }),
    (1, "NetworkManager's plugin is killed", |machine, _| {
        Ok(machine.lab.host().signal_all("nm-openvpn-service", Signal::SIGKILL).is_ok().then(String::new))
    }),
    (3, "the VPN server changes", server),
    (2, "NetworkManager is restarted", |machine, random| {
        let how = *random.one(&["stopped", "killed"]);
        if how == "killed" {
            machine.nm.kill()?;
        }
        machine.nm.restart_unsettled()?;
        machine.nm.nmcli(["--wait", "8", "connection", "up", "eth0"])?;
        Ok(Some(format!("(it was {how})")))
    }),
    (2, "all networks are switched", |machine, _| {
        machine.networking = !machine.networking;
        let word = if machine.networking { "on" } else { "off" };
        machine.nm.nmcli(["networking", word])?;
        if machine.networking {
            machine.nm.nmcli(["--wait", "8", "connection", "up", "eth0"])?;
            machine.try_run(BRIDGE)?;
        }
        Ok(Some(word.to_owned()))
    }),
];

/// Configurations that allow no more than the first one.
const GOOD: [(&str, &str); 5] = [
    ("the first", ""),
    ("no LAN", "[lan]\nallow = false\n"),
    ("one tunnel", "[vpn]\nconnections = [\"lab\"]\n"),
    ("containers stay in", "[docker]\nallow = []\n"),
    ("it connects by itself", "[vpn]\nreconnect = \"auto\"\n"),
];

const BAD: [(&str, &str); 4] = [
    ("an unknown key", "[tunnel]\nallowed = []\n"),
    ("no TOML", "[lan\nallow"),
    ("nothing of its kind", "[bootstrap]\nservers = 7\nscope = \"any\"\n"),
    ("too wide", "[lan]\nextra = [\"0.0.0.0/0\"]\n"),
];

fn start(machine: &mut TestMachine<'_>, random: &mut Random) -> Result<Option<String>> {
    if machine.agent.is_some() {
        return Ok(None);
    }
    let waits = random.below(2) == 0;
    let agent = if waits {
        start_agent(machine.lab)?
    } else {
        machine.lab.host().spawn([TUNWARDEN, "agent", "--verbose"])?
    };
    machine.agent = Some(agent);
    Ok(Some(if waits { "and is waited for".to_owned() } else { "unwaited".to_owned() }))
}

fn write(machine: &TestMachine<'_>, text: &str) -> Result<()> {
    machine.lab.host().file("/etc/tunwarden/config.toml", text)
}

fn good_config(machine: &mut TestMachine<'_>, random: &mut Random) -> Result<Option<String>> {
    let (name, text) = *random.one(&GOOD);
    write(machine, &format!("{BASIC}{text}"))?;
    machine.config_loaded = machine.agent.is_some() && machine.verb(["reload"])?;
    Ok(Some(format!("({name}, loaded: {})", machine.config_loaded)))
}

fn bad_config(machine: &mut TestMachine<'_>, random: &mut Random) -> Result<Option<String>> {
    let (name, text) = *random.one(&BAD);
    write(machine, text)?;
    machine.config_loaded = false;
    if machine.agent.is_some() {
        ensure!(!machine.verb(["reload"])?, "{name}: a bad configuration was taken");
    }
    Ok(Some(format!("({name})")))
}

#[expect(clippy::disallowed_methods, reason = "captured frames carry the clock's time")]
fn pause(machine: &mut TestMachine<'_>, random: &mut Random) -> Result<Option<String>> {
    if machine.agent.is_none() || machine.is_open() {
        return Ok(None);
    }
    let (seconds, began) = (3 + random.below(4) as u64, SystemTime::now());
    let length = format!("{seconds}s");
    // The pause may have opened the rules even if it failed. Packets of that time are not checked.
    let done = machine.verb(["pause", &length])?;
    machine.opens(began, seconds);
    Ok(Some(format!("of {length} (done: {done})")))
}

fn server(machine: &mut TestMachine<'_>, random: &mut Random) -> Result<Option<String>> {
    let answers = machine.server_answers;
    let what = *random.one(if answers { &["is silent", "is restarted"][..] } else { &["answers again"] });
    match what {
        "is silent" => machine.server.silence()?,
        "is restarted" => machine.server.restart()?,
        _ => machine.server.resume()?,
    }
    machine.server_answers = what != "is silent";
    Ok(Some(format!("({what})")))
}

/// Restores the state at the start of the run.
pub(crate) fn restore_all(machine: &mut TestMachine<'_>) -> Result<()> {
    machine.try_run("ufw --force disable")?;
    if !machine.server_answers {
        machine.server.resume()?;
        machine.server_answers = true;
    }
    write(machine, BASIC)?;
    if machine.agent.as_mut().is_none_or(|agent| !agent.is_running()) {
        machine.agent = Some(start_agent(machine.lab)?);
    }
    ensure!(machine.verb(["reload"])?, "the first configuration is refused at the end");
    machine.config_loaded = true;
    if !machine.networking {
        machine.nm.manage(["networking", "on"])?;
        machine.networking = true;
    }
    machine.close_pause().context("a pause at the end")
}
