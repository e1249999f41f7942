//! Steps with the agent, its configuration and its pauses, with the VPN, and with NetworkManager.

use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::Step;
use crate::dice::Dice;
use crate::links::BRIDGE;
use crate::support::{TUNWARDEN, start_agent};
use crate::world::{BASIC, World};

pub(crate) const STEPS: &[Step] = &[
    (6, "the agent is killed", |world, _| {
        let Some(mut agent) = world.agent.take() else { return Ok(None) };
        agent.kill()?;
        Ok(Some(String::new()))
    }),
    (3, "the agent ends", |world, _| {
        let Some(mut agent) = world.agent.take() else { return Ok(None) };
        agent.stop()?;
        Ok(Some(String::new()))
    }),
    (16, "the agent starts", start),
    (2, "SIGHUP", |world, _| {
        let Some(agent) = &mut world.agent else { return Ok(None) };
        agent.signal(Signal::SIGHUP)?;
        Ok(Some(String::new()))
    }),
    (5, "a good configuration", good_config),
    (4, "a bad configuration", bad_config),
    (3, "a pause", pause),
    (5, "resume", |world, _| {
        if world.agent.is_none() || !world.is_open() || !world.verb(["resume"])? {
            return Ok(None);
        }
        world.closes();
        Ok(Some(String::new()))
    }),
    (2, "lock", |world, _| {
        // `lock` reads the configuration on the disk and ends a pause.
        if !world.config_loaded {
            return Ok(None);
        }
        ensure!(world.verb(["lock"])? || world.agent.is_none(), "lock failed");
        Ok(Some(String::new()))
    }),
    (10, "the VPN is connected", |world, dice| {
        let wait = *dice.one(&["0", "0", "8"]);
        let done = world.nm.nmcli(["--wait", wait, "connection", "up", "lab"])?;
        Ok(Some(format!("(waiting {wait} s: {})", done.status)))
    }),
    (4, "the VPN is disconnected", |world, _| {
        let done = world.nm.nmcli(["--wait", "8", "connection", "down", "lab"])?;
        Ok(done.status.success().then(String::new))
    }),
    (4, "the VPN client is killed", |world, dice| {
        let signal = *dice.one(&[Signal::SIGKILL, Signal::SIGTERM, Signal::SIGUSR1]);
        let some = world.lab.host().signal_all("openvpn", signal).is_ok();
        Ok(some.then(|| format!("({signal})")))
    }),
    (1, "NetworkManager's plugin is killed", |world, _| {
        Ok(world.lab.host().signal_all("nm-openvpn-service", Signal::SIGKILL).is_ok().then(String::new))
    }),
    (3, "the VPN server changes", server),
    (2, "NetworkManager is restarted", |world, dice| {
        let how = *dice.one(&["stopped", "killed"]);
        if how == "killed" {
            world.nm.kill()?;
        }
        world.nm.restart_unsettled()?;
        world.nm.nmcli(["--wait", "8", "connection", "up", "eth0"])?;
        Ok(Some(format!("(it was {how})")))
    }),
    (2, "all networks are switched", |world, _| {
        world.networking = !world.networking;
        let word = if world.networking { "on" } else { "off" };
        world.nm.nmcli(["networking", word])?;
        if world.networking {
            world.nm.nmcli(["--wait", "8", "connection", "up", "eth0"])?;
            world.try_run(BRIDGE)?;
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

fn start(world: &mut World<'_>, dice: &mut Dice) -> Result<Option<String>> {
    if world.agent.is_some() {
        return Ok(None);
    }
    let waits = dice.below(2) == 0;
    let agent = if waits {
        start_agent(world.lab)?
    } else {
        world.lab.host().spawn([TUNWARDEN, "agent", "--verbose"])?
    };
    world.agent = Some(agent);
    Ok(Some(if waits { "and is waited for".to_owned() } else { "unwaited".to_owned() }))
}

fn write(world: &World<'_>, text: &str) -> Result<()> {
    world.lab.host().file("/etc/tunwarden/config.toml", text)
}

fn good_config(world: &mut World<'_>, dice: &mut Dice) -> Result<Option<String>> {
    let (name, text) = *dice.one(&GOOD);
    write(world, &format!("{BASIC}{text}"))?;
    world.config_loaded = world.agent.is_some() && world.verb(["reload"])?;
    Ok(Some(format!("({name}, loaded: {})", world.config_loaded)))
}

fn bad_config(world: &mut World<'_>, dice: &mut Dice) -> Result<Option<String>> {
    let (name, text) = *dice.one(&BAD);
    write(world, text)?;
    world.config_loaded = false;
    if world.agent.is_some() {
        ensure!(!world.verb(["reload"])?, "{name}: a bad configuration was taken");
    }
    Ok(Some(format!("({name})")))
}

#[expect(clippy::disallowed_methods, reason = "captured frames carry the clock's time")]
fn pause(world: &mut World<'_>, dice: &mut Dice) -> Result<Option<String>> {
    if world.agent.is_none() || world.is_open() {
        return Ok(None);
    }
    let (seconds, began) = (3 + dice.below(4) as u64, SystemTime::now());
    let length = format!("{seconds}s");
    // The pause may have opened the rules even if it failed. Packets of that time are not checked.
    let done = world.verb(["pause", &length])?;
    world.opens(began, seconds);
    Ok(Some(format!("of {length} (done: {done})")))
}

fn server(world: &mut World<'_>, dice: &mut Dice) -> Result<Option<String>> {
    let answers = world.server_answers;
    let what = *dice.one(if answers { &["is silent", "is restarted"][..] } else { &["answers again"] });
    match what {
        "is silent" => world.server.silence()?,
        "is restarted" => world.server.restart()?,
        _ => world.server.resume()?,
    }
    world.server_answers = what != "is silent";
    Ok(Some(format!("({what})")))
}

/// Restores the state at the start of the run.
pub(crate) fn heal(world: &mut World<'_>) -> Result<()> {
    world.try_run("ufw --force disable")?;
    if !world.server_answers {
        world.server.resume()?;
        world.server_answers = true;
    }
    write(world, BASIC)?;
    if world.agent.as_mut().is_none_or(|agent| !agent.is_running()) {
        world.agent = Some(start_agent(world.lab)?);
    }
    ensure!(world.verb(["reload"])?, "the first configuration is refused at the end");
    world.config_loaded = true;
    if !world.networking {
        world.nm.manage(["networking", "on"])?;
        world.networking = true;
    }
    world.close_pause().context("a pause at the end")
}
