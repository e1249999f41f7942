//! Writes the first configuration of a machine, with comments for the user.

use std::fmt::Write;

use super::Plan;
use crate::config::{Traffic, TrafficRule};
use crate::net::PortRange;

/// The configuration as text. `found` are remarks about the machine, one per line.
pub fn configuration(plan: &Plan, found: &[String]) -> String {
    let mut text = String::from(
        "# Configuration of tunwarden, written by: tunwarden init\n\
         # Keys that are not in this file have their defaults. All keys, with examples, are in the manual page and in\n\
         # /usr/share/doc/tunwarden/examples/config.toml. After a change: sudo tunwarden reload\n",
    );
    for line in found {
        let _ = writeln!(text, "#  - {}", crate::config::plain(line));
    }
    tunnel(plan, &mut text);
    bootstrap(plan, &mut text);
    lan(plan, &mut text);
    if !plan.input.is_empty() {
        text += "\n# Connections from outside that are allowed.\n[input]\n";
        let one = |inbound: &crate::config::Inbound| {
            let from = inbound.from.map_or(String::new(), |from| format!(", from = \"{from}\""));
            rule(&inbound.traffic).replace(" }", &format!("{from} }}"))
        };
        let _ = writeln!(text, "allow = [{}]", list(plan.input.iter().map(one)));
    }
    text += "\n# Containers can send only through the tunnel.\n[docker]\n";
    // If rules about containers were not understood, the key must not become "any".
    let docker = plan.docker.clone().or(plan.docker_rules.then(|| Traffic::Listed(Vec::new())));
    let _ = writeln!(text, "allow = {}", traffic(docker.as_ref()));
    text += "published_ports = \"lan\"\n";
    if plan.left_out().next().is_some() {
        text += "\n# Earlier rules that are not carried over:\n";
        for (entry, why) in plan.left_out() {
            let _ =
                writeln!(text, "#   {}  ({})", crate::config::plain(&entry.text), crate::config::plain(why));
        }
    }
    text
}

fn tunnel(plan: &Plan, text: &mut String) {
    *text += "\n# Which interfaces are the VPN, and what this machine may send through them.\n[tunnel]\n";
    let interfaces = plan.interfaces.iter().map(|pattern| format!("\"{pattern}\""));
    let interfaces = if plan.interfaces.is_empty() { "\"tun+\"".to_owned() } else { list(interfaces) };
    let _ = writeln!(text, "interfaces = [{interfaces}]");
    let tunnel = plan.tunnel.clone().or(plan.found.then(|| Traffic::Listed(Vec::new())));
    if tunnel == Some(Traffic::Listed(Vec::new())) {
        *text += "# No rule for the tunnel was carried over, so nothing may pass through it; \"any\" allows everything.\n";
    }
    let _ = writeln!(text, "allow = {}", traffic(tunnel.as_ref()));
}

fn bootstrap(plan: &Plan, text: &mut String) {
    *text += "\n# How the VPN client reaches its server. Servers of saved VPN profiles are found without this.\n[bootstrap]\n";
    let port = |(transport, port): &(_, _)| format!("{{ protocol = \"{transport}\", port = {port} }}");
    if !plan.ports.is_empty() {
        let _ = writeln!(text, "ports = [{}]", list(plan.ports.iter().map(port)));
    }
    let servers = plan.servers.iter().map(|server| format!("\"{server}\""));
    let _ = writeln!(text, "servers = [{}]", list(servers));
    if plan.found && plan.ports.is_empty() {
        *text += "# The earlier rules allowed no port to any address.\nscope = \"known\"\n";
    }
}

fn lan(plan: &Plan, text: &mut String) {
    *text += "\n# Printers and other machines at home; never DNS. \"connected\": the networks this machine is on.\n[lan]\n";
    if plan.found && plan.lan.is_empty() && plan.lan_parts.is_empty() {
        *text += "# The earlier rules allowed nothing to the LAN.\nallow = false\n";
        return;
    }
    *text += "allow = true\n";
    if plan.lan.is_empty() {
        *text += "networks = \"connected\"\n";
    } else {
        let prefixes = plan.lan.iter().map(|prefix| format!("\"{prefix}\""));
        let _ = writeln!(text, "networks = [{}]", list(prefixes));
    }
}

fn traffic(traffic: Option<&Traffic>) -> String {
    match traffic {
        None | Some(Traffic::Any) => "\"any\"".to_owned(),
        Some(Traffic::Listed(rules)) => format!("[{}]", list(rules.iter().map(rule))),
    }
}

fn rule(traffic: &TrafficRule) -> String {
    match traffic {
        TrafficRule::Icmp => "{ protocol = \"icmp\" }".to_owned(),
        TrafficRule::To(net, traffic) => rule(traffic).replace(" }", &format!(", to = \"{net}\" }}")),
        TrafficRule::Ports(transport, ports) if ports.is_empty() => {
            format!("{{ protocol = \"{transport}\" }}")
        }
        TrafficRule::Ports(transport, ports) => {
            let port = |port: &PortRange| match port.to_string().split_once(':') {
                Some((first, last)) => format!("\"{first}-{last}\""),
                None => port.to_string(),
            };
            format!("{{ protocol = \"{transport}\", ports = [{}] }}", list(ports.iter().map(port)))
        }
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
