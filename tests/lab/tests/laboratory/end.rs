//! After a kill of the test's process nothing of its laboratory stays except cgroups. The next laboratory
//! removes them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{Engine, Lab, wait_until};

/// If this variable is set, [`with_services`] and [`with_containers`] make a laboratory. Otherwise they do nothing.
const KILLED_TEST: &str = "TUNWARDEN_LAB_VICTIM";

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_killed_test_leaves_no_process() -> Result<()> {
    let mut victim = KilledTest::new("end::with_services")?;
    let namespaces = victim.said.clone();
    assert_eq!(namespaces.len(), 2);
    assert!(processes_in(&namespaces)? >= 6, "two process 1, openvpn, bus, NetworkManager, sleep");
    victim.kill()?;
    wait_until("the laboratory is gone", SOON, || processes_in(&namespaces).is_ok_and(|left| left == 0))
}

#[test]
fn groups_that_a_killed_test_leaves_go_with_the_next_laboratory() -> Result<()> {
    let lab = Lab::new()?;
    let mut victim = KilledTest::new("end::with_containers")?;
    let mut other = KilledTest::new("end::with_containers")?;
    let [left, used] = [&victim, &other].map(|victim| format!("tunwarden-lab-{}", victim.said[0]));
    let there =
        |lab: &Lab, group: &str| Ok::<_, anyhow::Error>(groups(lab)?.iter().any(|name| name == group));
    assert!(there(&lab, &left)? && there(&lab, &used)?, "{left} and {used} hold containers");
    victim.kill()?;
    wait_until("nobody is in its groups", SOON, || {
        in_group(&lab, &left).is_ok_and(|events| events.contains("populated 0"))
    })?;
    assert!(there(&lab, &left)?, "the kernel keeps them");

    let _docker = lab.host().docker(Engine::System, [])?;
    assert!(!there(&lab, &left)?, "{left} is still there");
    assert!(there(&lab, &used)?, "{used} belongs to a laboratory that goes on");
    assert!(in_group(&lab, &used)?.contains("populated 1"), "its containers go on");
    other.kill()
}

/// A test that is killed, and what it printed before.
struct KilledTest {
    process: Child,
    said: Vec<String>,
    /// Kept open: after 60 seconds the process prints that its test still runs. It would end if nobody could read that.
    _stdout: BufReader<ChildStdout>,
}

impl KilledTest {
    fn new(which: &str) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--exact", which, "--nocapture"])
            .env(KILLED_TEST, "1")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdout = BufReader::new(process.stdout.take().context("no stdout")?);
        let line = stdout.by_ref().lines().map_while(Result::ok).find(|line| line.contains("holds "));
        let line = line.context("the victim said nothing")?;
        let said = line.split(' ').skip_while(|word| *word != "holds").skip(1).map(Into::into).collect();
        Ok(Self { process, said, _stdout: stdout })
    }

    fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        Ok(self.process.wait().map(drop)?)
    }
}

impl Drop for KilledTest {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

#[test]
fn with_services() -> Result<()> {
    if std::env::var_os(KILLED_TEST).is_none() {
        return Ok(());
    }
    let lab = Lab::new()?;
    let _server = lab.openvpn_server(ServerOptions::default())?;
    let bus = lab.host().system_bus()?;
    let _nm = lab.host().network_manager(&bus)?;
    // This process ends only by a kill, and its parent has ended.
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
    loop {
        std::thread::park();
    }
}

#[test]
fn with_containers() -> Result<()> {
    if std::env::var_os(KILLED_TEST).is_none() {
        return Ok(());
    }
    let lab = Lab::new()?;
    let docker = lab.host().docker(Engine::System, [])?;
    docker.run(["lab", "sleep", "1000"])?;
    println!("\nholds {}", lab.host().pid());
    loop {
        std::thread::park();
    }
}

/// The top-level cgroups in the kernel's list.
fn groups(lab: &Lab) -> Result<Vec<String>> {
    Ok(among_groups(lab, "ls")?.lines().map(ToOwned::to_owned).collect())
}

fn in_group(lab: &Lab, group: &str) -> Result<String> {
    among_groups(lab, &format!("cat {group}/cgroup.events"))
}

fn among_groups(lab: &Lab, script: &str) -> Result<String> {
    let script = format!("mount -t cgroup2 none /mnt; cd /mnt; {script}");
    lab.host().succeed(["unshare", "--mount", "--propagation", "private", "sh", "-euc", &script])
}

fn processes_in(namespaces: &[String]) -> Result<usize> {
    let processes = std::fs::read_dir("/proc")?.flatten();
    let links = processes.filter_map(|entry| std::fs::read_link(entry.path().join("ns/pid")).ok());
    Ok(links.filter(|link| namespaces.iter().any(|ns| link.as_os_str() == ns.as_str())).count())
}
