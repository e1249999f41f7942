//! Programs whose new TCP connections are refused: the answer closes their sockets, and their units are named.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tunwarden_lab::{Lab, Process, wait_for, with_lab};

use super::{KNOWN, blocked};
use crate::support::groups::Groups;
use crate::support::{SOON, bus, tunwarden, wait_for_state};

/// Opens connections from one port until some were refused. Two programs use the port at the same time.
const OPEN: &str = r#"
import errno, os, socket, sys
address, go, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
while not os.path.exists(go):
    os.sched_yield()
refused = 0
while refused < wanted:
    with socket.socket(family) as opening:
        opening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opening.bind(("", 40000))
            opening.connect((address, 443))
        except ConnectionRefusedError:
            refused += 1
        except OSError as error:
            # The other program has the port at this moment.
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                raise
print("refused", flush=True)"#;

/// A new process for each connection, which ends at once.
const SHORT: &str = r"
    exec 9<> <(:)
    while :; do (echo >/dev/tcp/$ADDRESS/443); read -t 0.1 -u 9; done 2>/dev/null";

const SERVICE: &str = "system.slice/fetch.service";

/// The number of refusals by unit, of what went to this address.
fn counted(lab: &Lab, address: &str) -> Result<BTreeMap<Option<String>, u64>> {
    let groups = blocked(lab, "root")?;
    let there = groups.iter().filter(|group| group["destination"]["address"] == address);
    there
        .map(|group| {
            let unit = group["who"]["unit"].as_str().map(ToOwned::to_owned);
            Ok((unit, group["count"].as_u64().context("no count")?))
        })
        .collect()
}

/// Waits until a program was refused this address, and returns its group in the list.
fn wait_for_unit(lab: &Lab, address: &str, unit: Option<&str>) -> Result<Value> {
    let mut last = Vec::new();
    wait_for(&format!("{unit:?} was refused {address}"), SOON, || {
        last = blocked(lab, "nobody")?;
        let is_wanted = |group: &&Value| {
            group["destination"]["address"] == address && group["who"]["unit"].as_str() == unit
        };
        Ok(last.iter().find(is_wanted).cloned())
    })
    .with_context(|| format!("the last list: {last:#?}"))
}

/// The table of senders as nft lists it; `None` if it is not there.
fn table(lab: &Lab) -> Result<Option<String>> {
    let listed = lab.host().run(["nft", "list", "table", "inet", "tunwarden_senders"])?;
    Ok(listed.status.success().then_some(listed.stdout))
}

/// A program that opens a connection again and again, each time as a new process.
fn short(groups: &Groups<'_>, group: &str, address: &str) -> Result<Process> {
    groups.spawn_in(group, "nobody", &SHORT.replace("$ADDRESS", address))
}

/// Other programs cannot remove the table, it has no verdict, and the proof and `why` read it.
fn table_stays_and_decides_nothing(lab: &Lab) -> Result<()> {
    lab.host().succeed(["nft", "flush", "ruleset"])?;
    let listed = table(lab)?.context("a flush removes the table")?;
    let verdicts = ["accept", "drop", "reject", "queue", "return", "goto", "continue"];
    let words = listed.split_whitespace().map(|word| word.trim_end_matches(';'));
    let found: Vec<&str> = words.filter(|word| verdicts.contains(word)).collect();
    ensure!(found == ["accept"] && listed.contains("policy accept;"), "{listed}");
    ensure!(listed.contains("socket cgroupv2 level 5"), "{listed}");
    wait_for("the rules are in force again", SOON, || {
        Ok(tunwarden(lab, ["verify"])?.status.success().then_some(()))
    })?;
    let proof = tunwarden(lab, ["prove"])?;
    ensure!(proof.status.success() && proof.stdout.starts_with("PROVEN"), "{proof:?}");
    let why = tunwarden(lab, ["why", "203.0.113.21:443"])?;
    ensure!(why.stdout.contains("REFUSED"), "{why:?}");
    Ok(())
}

#[test]
fn a_process_that_ends_at_once_is_named_by_its_service_or_application() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let groups = Groups::new(lab)?;
        let scope = "app-gnome-org.gnome.Maps-12.scope";
        let application = format!("user.slice/user-65534.slice/user@65534.service/app.slice/{scope}");
        let _programs = [
            short(&groups, SERVICE, "203.0.113.21")?,
            short(&groups, SERVICE, "2001:db8:9::21")?,
            short(&groups, &application, "203.0.113.22")?,
            short(&groups, &application, "2001:db8:9::22")?,
        ];
        let mut agent = groups.agent(KNOWN)?;
        wait_for_state(lab, "locked")?;
        for address in ["203.0.113.21", "2001:db8:9::21"] {
            wait_for_unit(lab, address, Some("fetch.service"))?;
        }
        for address in ["203.0.113.22", "2001:db8:9::22"] {
            let group = wait_for_unit(lab, address, Some(scope))?;
            ensure!(group["who"]["name"] == "org.gnome.Maps", "{group}");
        }
        table_stays_and_decides_nothing(lab)?;

        // It ends with the agent, however that ends.
        lab.host().signal_all("tunwarden", Signal::SIGKILL)?;
        wait_for("the agent has ended", SOON, || Ok((!agent.is_running()).then_some(())))?;
        wait_for("the table is gone", SOON, || Ok(table(lab)?.is_none().then_some(())))
    })
}

#[test]
fn two_programs_that_share_a_port_are_never_taken_for_each_other() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let groups = Groups::new(lab)?;
        lab.host().file("/run/open.py", OPEN)?;
        // Both groups are there when the agent reads the groups for the first time.
        let folders = ["one", "other"].map(|name| format!("/sys/fs/cgroup/system.slice/{name}.service"));
        groups.command(["mkdir", "-p", &folders[0], &folders[1]]).succeed()?;
        let _agent = groups.agent(KNOWN)?;
        wait_for_state(lab, "locked")?;
        for (go, address) in [("/run/go", "203.0.113.30"), ("/run/go6", "2001:db8:9::30")] {
            let open = |unit: &str, times: u64| {
                let script = format!("exec python3 /run/open.py {address} {go} {times}");
                groups.spawn_in(&format!("system.slice/{unit}"), "nobody", &script)
            };
            let mut both = [open("one.service", 20)?, open("other.service", 25)?];
            lab.host().file(go, "")?;
            for program in &mut both {
                program.wait_for_line("refused", SOON)?;
            }
            let mut last = BTreeMap::new();
            wait_for(&format!("the refusals of {address} are listed"), SOON, || {
                last = counted(lab, address)?;
                Ok((last.values().sum::<u64>() == 45).then_some(()))
            })
            .with_context(|| format!("the last counts: {last:?}"))?;
            let wanted = [("one.service", 20), ("other.service", 25)];
            let wanted = wanted.map(|(unit, times)| (Some(unit.to_owned()), times));
            ensure!(last == BTreeMap::from(wanted), "{last:?}");
        }
        Ok(())
    })
}

#[test]
fn a_kernel_that_refuses_the_table_gives_the_user_and_no_unit() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let groups = Groups::new(lab)?;
        // The kernel refuses a second table of this name.
        lab.host().succeed(["nft", "add", "table", "inet", "tunwarden_senders"])?;
        let _program = short(&groups, SERVICE, "203.0.113.21")?;
        let mut agent = groups.agent(KNOWN)?;
        agent.wait_for_line("new TCP connections have no unit", SOON)?;
        wait_for_state(lab, "locked")?;
        let group = wait_for_unit(lab, "203.0.113.21", None)?;
        ensure!(group["who"]["user"] == "nobody" && group["who"]["name"].is_null(), "{group}");
        let counts = counted(lab, "203.0.113.21")?;
        // The agent may ask before the answer has closed the socket.
        let is_right = |unit: &Option<String>| unit.as_deref().is_none_or(|unit| unit == "fetch.service");
        ensure!(counts.keys().all(is_right), "a unit was guessed: {counts:?}");
        let text = tunwarden(lab, ["blocked"])?.stdout;
        ensure!(text.ends_with("its unit is not known.\n"), "{text}");
        Ok(())
    })
}
