//! Programs in control groups: a browser, and a container of podman without root.

use std::net::TcpListener;

use anyhow::Result;
use serde_json::{Value, json};
use tunwarden_lab::{Lab, wait_for, with_lab};

use super::{KNOWN, blocked};
use crate::support::groups::Groups;
use crate::support::{SOON, bus, tunwarden, wait_for_state};

const MANAGER: &str = "user.slice/user-65534.slice/user@65534.service";

/// What a browser sends: a question for a name, requests over an open connection, and new connections over TCP and QUIC in
/// both families at once.
const BROWSER: &str = r#"
    exec 3<>/dev/tcp/203.0.113.9/443 4<>/dev/udp/10.0.0.1/53
    exec 5<>/dev/udp/203.0.113.9/443 6<>/dev/udp/2001:db8:9::9/443
    echo connected
    exec 9<> <(:)
    while :; do
        for open in 3 4 5 6; do echo request >&$open; done
        for address in 203.0.113.10 2001:db8:9::10; do (echo >/dev/tcp/$address/443); done
        read -t 0.1 -u 9
    done 2>/dev/null"#;

/// A program in a rootless container on the host's network.
const CONTAINER: &str = r#"
    exec 3<>/dev/udp/203.0.113.11/4000 9<> <(:)
    while :; do echo request >&3; read -t 0.1 -u 9; done 2>/dev/null"#;

/// The sender and destination of each group in the list.
fn listed(lab: &Lab, user: &str) -> Result<Vec<Value>> {
    let short = |group: &Value| {
        let (who, to) = (&group["who"], &group["destination"]);
        let from = [&who["kind"], &who["name"], &who["user"], &who["unit"]];
        json!([from, [&to["address"], &to["port"], &to["protocol"]], group["reason"]])
    };
    Ok(blocked(lab, user)?.iter().map(short).collect())
}

#[test]
fn a_browser_is_named_with_its_open_and_its_new_connections() -> Result<()> {
    with_lab(|lab| {
        let _bus = bus(lab)?;
        let groups = Groups::new(lab)?;
        let server = lab.isp().enter(|| Ok(TcpListener::bind("203.0.113.9:443")?))?;
        let scope = "app-gnome-org.mozilla.firefox-77.scope";
        let mut browser = groups.spawn_in(&format!("{MANAGER}/app.slice/{scope}"), "nobody", BROWSER)?;
        browser.wait_for_line("connected", SOON)?;
        let _request = server.accept()?;
        let pod = format!("libpod-{}.scope", "0123456789abcdef".repeat(4));
        let _pod = groups.spawn_in(&format!("{MANAGER}/user.slice/{pod}/container"), "nobody", CONTAINER)?;
        let _agent = groups.agent(KNOWN)?;
        wait_for_state(lab, "locked")?;

        let firefox = json!(["program", "org.mozilla.firefox", "nobody", scope]);
        let container = json!(["program", "podman container 0123456789ab", "nobody", pod]);
        for (who, address, port, protocol, reason) in [
            (&firefox, "203.0.113.9", 443, "tcp", "no-vpn"),
            (&firefox, "203.0.113.9", 443, "udp", "no-vpn"),
            (&firefox, "2001:db8:9::9", 443, "udp", "no-vpn"),
            (&firefox, "10.0.0.1", 53, "udp", "dns-outside-tunnel"),
            // New connections: the answer to the first packet has closed the socket.
            (&firefox, "203.0.113.10", 443, "tcp", "no-vpn"),
            (&firefox, "2001:db8:9::10", 443, "tcp", "no-vpn"),
            (&container, "203.0.113.11", 4000, "udp", "no-vpn"),
        ] {
            let wanted = json!([who, [address, port, protocol], reason]);
            wait_for(&format!("{wanted} is listed"), SOON, || {
                Ok(listed(lab, "nobody")?.contains(&wanted).then_some(()))
            })?;
        }
        let text = tunwarden(lab, ["blocked"])?.stdout;
        anyhow::ensure!(text.contains("org.mozilla.firefox of nobody to 203.0.113.9:443/tcp"), "{text}");
        anyhow::ensure!(text.contains("podman container 0123456789ab of nobody"), "{text}");
        anyhow::ensure!(!text.contains("its unit is not known"), "{text}");
        Ok(())
    })
}
