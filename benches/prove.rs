//! How much time and memory `prove` needs with the rules of Docker, ufw and libvirt for two hundred networks, and with
//! 50,000 additional rules of another program: `cargo bench --bench prove`, as root.
#![allow(clippy::disallowed_methods, reason = "this starts programs and reads the clock")]

mod figures;

use std::time::Duration;

use anyhow::{Result, ensure};
use figures::spread_of;
use tunwarden_lab::{Lab, with_lab};

const TUNWARDEN: &str = env!("CARGO_BIN_EXE_tunwarden");

/// Number of runs of each measurement.
const RUNS: usize = 11;

const NETWORKS: usize = 200;

/// Number of rules of a list of blocked addresses.
const BLOCKED: usize = 50_000;

/// Number of runs with that list, and how long they may take.
const LONG_RUNS: usize = 5;
const LIMIT: Duration = Duration::from_secs(3600);

/// Prints for each of `$1` runs the seconds, the seconds of the processor and the kibibytes that a command needed. The
/// command may fail. A busy machine changes the first number.
const MEASURE: &str = "
import os, subprocess, sys, time
for run in range(int(sys.argv[1])):
    began = time.monotonic()
    child = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(child.pid, 0)
    print('measured', time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, flush=True)
";

/// The rules of other programs that do not depend on the number of networks.
const COMMON: &str = "\
*filter
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:LIBVIRT_FWI - [0:0]
:LIBVIRT_FWO - [0:0]
:ufw-before-output - [0:0]
:ufw-user-output - [0:0]
:ufw-before-forward - [0:0]
-A OUTPUT -j ufw-before-output
-A ufw-before-output -o lo -j ACCEPT
-A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-output -j ufw-user-output
-A ufw-user-output -p tcp -m tcp --dport 443 -m conntrack --ctstate NEW -j ACCEPT
-A ufw-before-output -m limit --limit 3/min --limit-burst 10 -j LOG
-A FORWARD -j ufw-before-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A FORWARD -j LIBVIRT_FWI
-A FORWARD -j LIBVIRT_FWO
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
";

fn main() -> Result<()> {
    println!("{RUNS} runs each, {LONG_RUNS} of the last, median (min to max)");
    with_lab(|lab| {
        lab.host().file("/etc/tunwarden/config.toml", "[bootstrap]\nservers = [\"198.51.100.7\"]\n")?;
        lab.host().succeed([TUNWARDEN, "lock"])?;
        measured(lab, "no other rules", RUNS)?;
        let bridges: String = (0..NETWORKS).map(bridge).collect();
        lab.host().command(["ip", "-batch", "-"]).stdin(&bridges).succeed()?;
        let rules: String = (0..NETWORKS).map(rules_of).collect();
        let restore = lab.host().command(["iptables-restore", "--noflush"]);
        restore.stdin(&format!("{COMMON}{rules}COMMIT\n")).succeed()?;
        measured(lab, "200 networks", RUNS)?;
        let list: String = (0..BLOCKED).map(blocked).collect();
        let restore = lab.host().command(["iptables-restore", "--noflush"]);
        restore
            .stdin(&format!("*filter\n:blocklist - [0:0]\n{list}-I OUTPUT -j blocklist\nCOMMIT\n"))
            .succeed()?;
        measured(lab, "50,000 rules", LONG_RUNS)
    })
}

fn blocked(n: usize) -> String {
    format!("-A blocklist -d 100.64.{}.{} -j DROP\n", n / 250, n % 250)
}

fn bridge(n: usize) -> String {
    format!("link add br-{n} type bridge\naddr add 172.16.{n}.1/24 dev br-{n}\nlink set br-{n} up\n")
}

fn rules_of(n: usize) -> String {
    let net = format!("172.16.{n}.0/24");
    format!(
        "-A DOCKER-FORWARD -o br-{n} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A DOCKER-FORWARD -o br-{n} -j DOCKER\n\
         -A DOCKER-FORWARD -i br-{n} -j ACCEPT\n\
         -A DOCKER-ISOLATION-STAGE-1 -i br-{n} ! -o br-{n} -j DOCKER-ISOLATION-STAGE-2\n\
         -A DOCKER-ISOLATION-STAGE-2 -o br-{n} -j DROP\n\
         -A DOCKER -d {net} ! -i br-{n} -o br-{n} -p tcp -m tcp --dport 80 -j ACCEPT\n\
         -A LIBVIRT_FWO -s {net} -i virbr{n} -j ACCEPT\n\
         -A LIBVIRT_FWI -d {net} -o virbr{n} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    )
}

fn measured(lab: &Lab, what: &str, runs: usize) -> Result<()> {
    let words = ["python3", "-c", MEASURE, &runs.to_string(), TUNWARDEN, "prove"];
    // A command of the laboratory may not take as long as this.
    let mut process = lab.host().spawn(words)?;
    let ended = process.wait(LIMIT)?;
    ensure!(ended.success(), "{}", process.log());
    let (mut seconds, mut of_processor, mut mebibytes) = (Vec::new(), Vec::new(), Vec::new());
    let log = process.log();
    for line in log.lines().filter_map(|line| line.strip_prefix("measured ")) {
        let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [took, processor, kibibytes] = numbers[..] else { anyhow::bail!("not three numbers: {line}") };
        seconds.push(took);
        of_processor.push(processor);
        mebibytes.push(kibibytes / 1024.0);
    }
    ensure!(seconds.len() == runs, "{log}");
    println!("prove, {what:<16} {}", spread_of(&seconds, "s"));
    println!("processor, {what:<12} {}", spread_of(&of_processor, "s"));
    println!("its memory, {what:<11} {}", spread_of(&mebibytes, "MiB"));
    Ok(())
}
