//! When the test's process is killed, nothing of its laboratory stays.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{Lab, wait_until};

/// Makes [`victim`] more than an empty test.
const VICTIM: &str = "TUNWARDEN_LAB_VICTIM";

#[test]
fn a_killed_test_leaves_no_process() -> Result<()> {
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = BufReader::new(victim.stdout.take().context("no stdout")?);
    let line = stdout.lines().map_while(Result::ok).find(|line| line.contains("holds "));
    let namespaces: Vec<String> = line
        .context("the victim said nothing")?
        .split(' ')
        .skip_while(|word| *word != "holds")
        .skip(1)
        .map(Into::into)
        .collect();
    assert_eq!(namespaces.len(), 2);
    assert!(processes_in(&namespaces)? >= 6, "two process 1, openvpn, bus, NetworkManager, sleep");
    victim.kill()?;
    victim.wait()?;
    wait_until("the laboratory is gone", Duration::from_secs(20), || {
        processes_in(&namespaces).is_ok_and(|left| left == 0)
    })
}

#[test]
fn victim() -> Result<()> {
    if std::env::var_os(VICTIM).is_none() {
        return Ok(());
    }
    let lab = Lab::new()?;
    let _server = lab.openvpn_server(ServerOptions::default())?;
    let bus = lab.host().system_bus()?;
    let _nm = lab.host().network_manager(&bus)?;
    // Ends by nothing but a kill, and has left its parent.
    lab.host().succeed([
        "setsid",
        "-f",
        "bash",
        "-c",
        "trap '' TERM HUP; exec sleep 1000 >/dev/null 2>&1",
    ])?;
    let namespace = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid"));
    let (isp, host) = (namespace(lab.isp().pid())?, namespace(lab.host().pid())?);
    println!("\nholds {} {}", isp.display(), host.display());
    std::thread::park();
    Ok(())
}

fn processes_in(namespaces: &[String]) -> Result<usize> {
    let processes = std::fs::read_dir("/proc")?.flatten();
    let links = processes.filter_map(|entry| std::fs::read_link(entry.path().join("ns/pid")).ok());
    Ok(links.filter(|link| namespaces.iter().any(|ns| link.as_os_str() == ns.as_str())).count())
}
