//! `tunwarden blocked` on a booted machine names a service, a desktop application, podman's unit, a container, and a
//! program that ends at once.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tunwarden_lab::wait_for;

use crate::desktop::{DesktopMachine, SOON};

/// Sends again and again from the same socket.
const SENDER: &str =
    "exec 3<>/dev/udp/203.0.113.9/$0; while :; do echo refused >&3; sleep 0.1; done 2>/dev/null";

/// Starts a transient service that sends to this port.
const SERVICE: &str = "systemd-run --quiet --unit=$1 bash -c \"$2\" $3";

/// The same in a scope, as a container engine makes one. A scope ends with its processes.
const SCOPE: &str = "systemd-run --quiet --unit=lab-engine.service \\
    systemd-run --quiet --scope --slice=machine.slice --unit=$1 bash -c \"$2\" $3";

/// Checks that the machine's senders are named while no VPN is connected.
pub(crate) fn senders_are_named(desktop: &DesktopMachine) -> Result<()> {
    let scope = format!("libpod-{}.scope", "0123456789abcdef".repeat(4));
    let service = "lab-sender.service";
    let application = "app-gnome-org.mozilla.firefox@77.service";
    let units = [
        (SERVICE, service, "4101", json!(["program", null, "root", service])),
        (SERVICE, application, "4102", json!(["program", "org.mozilla.firefox", "root", application])),
        (SCOPE, scope.as_str(), "4103", json!(["container", "0123456789ab", "root", scope])),
    ];
    for (script, unit, port, who) in &units {
        desktop.machine.succeed(["sh", "-euc", script, "sh", unit, SENDER, port])?;
        is_listed(desktop, who, port.parse()?)?;
        desktop.machine.succeed(["systemctl", "stop", unit])?;
    }
    // Docker's own container, and a program that closes its socket at once.
    is_listed(desktop, &json!(["container", "flood (lab)", null, null]), 4000)?;
    let mut listed = Vec::new();
    wait_for("the program is listed by its user", SOON, || {
        listed = groups(desktop)?;
        let is_it = |(who, port): &(Value, Value)| who[0] == "program" && who[2] == "nobody" && *port == 4000;
        Ok(listed.iter().any(is_it).then_some(()))
    })
    .with_context(|| format!("{listed:#?}"))
}

/// Waits until a sender is listed with this port.
fn is_listed(desktop: &DesktopMachine, who: &Value, port: u16) -> Result<()> {
    let mut listed = Vec::new();
    wait_for(&format!("{who} is listed"), SOON, || {
        listed = groups(desktop)?;
        Ok(listed.contains(&(who.clone(), json!(port))).then_some(()))
    })
    .with_context(|| format!("{listed:#?}"))
}

/// Who is listed: the kind, the name, the user and the unit, each with the port.
fn groups(desktop: &DesktopMachine) -> Result<Vec<(Value, Value)>> {
    let text = desktop.machine.succeed(["tunwarden", "blocked", "--json"])?;
    let groups: Vec<Value> = serde_json::from_str(&text).with_context(|| text.clone())?;
    let short = |group: &Value| {
        let who = &group["who"];
        let who = json!([who["kind"], who["name"], who["user"], who["unit"]]);
        (who, group["destination"]["port"].clone())
    };
    Ok(groups.iter().map(short).collect())
}
