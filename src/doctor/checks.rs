//! The checks. Each takes facts that were gathered before, and returns its findings.

use super::{Finding, Leak, SHOWN, SecondReading, Snapshot};
use crate::config::plain;
use crate::status::{BootstrapStatus, LayerStatus, LeftOutStatus, ManagementStatus, Status};

/// Packets that leave although tunwarden's rules are in force. If the rules are not in force, another finding says so.
pub(super) fn proof(seen: &Snapshot) -> Vec<Finding> {
    let in_force = seen.rules.as_ref().is_ok_and(Vec::is_empty);
    let leaks = seen.proof.iter().flat_map(|proof| &proof.leaks).filter(|_| in_force).take(SHOWN);
    let finding = |leak: &Leak| {
        Finding::new(
            "packet-leaves",
            format!("a packet leaves in clear: {}", plain(&leak.packet)),
            plain(&leak.remedy),
        )
    };
    leaks.map(finding).collect()
}

/// Whether the kernel holds the rules, and whether two readers agree about it.
pub(super) fn rules(seen: &Snapshot) -> Vec<Finding> {
    let own = match &seen.rules {
        Ok(lines) => listed(
            "rules-not-in-force",
            "the kernel does not hold the rules",
            lines,
            "close now: sudo tunwarden lock; to see which program changed them: journalctl -u tunwarden",
        ),
        Err(why) => Some(Finding::new(
            "rules-unknown",
            format!("it is unknown which rules the kernel holds: {}", plain(why)),
            "run this as root: sudo tunwarden doctor; or install iptables",
        )),
    };
    let second = match &seen.second_reader {
        SecondReading::NotAsked | SecondReading::Agrees => None,
        SecondReading::Disagrees(lines) => Some(Finding::new(
            "readers-disagree",
            format!("two readers of iptables see different rules: {}", some(lines)),
            "run this again: sudo tunwarden doctor; if the result is the same, please report it",
        )),
        SecondReading::Failed(why) => Some(Finding::new(
            "second-reader-failed",
            format!("the second reader of iptables has failed: {}", plain(why)),
            "end the program that holds the lock of iptables: sudo fuser -v /run/xtables.lock; then run this again",
        )),
    };
    own.into_iter().chain(second).collect()
}

/// Whether the agent learns which packets are refused.
pub(super) fn refusals_fault(seen: &Snapshot) -> Vec<Finding> {
    let finding = |why: &String| {
        Finding::new(
            "refusals-unheard",
            plain(why),
            "packets are refused as before; if another program hears the group, ulogd for example, give it another \
             group: the agent tries again each minute",
        )
    };
    seen.refusals_fault.iter().map(finding).collect()
}

/// Whether the agent runs, with the configuration in the file.
pub(super) fn agent(seen: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    if seen.status.is_none() {
        findings.push(Finding::new(
            "agent-not-running",
            "the agent is not running: it cannot follow the VPN or report its loss",
            "start it: sudo systemctl start tunwarden; if it ends again, see why: journalctl -u tunwarden",
        ));
    }
    let refused = seen.status.as_ref().and_then(|status| status.configuration.as_ref()?.fault.as_ref());
    match (&seen.config, refused) {
        (Some(file), _) => findings.push(Finding::new(
            "config-faults",
            format!("the configuration is refused; {}: {}", file.in_force(), file.faults),
            "fix the lines that tunwarden check shows, then: sudo tunwarden reload",
        )),
        (None, Some(fault)) => findings.push(Finding::new(
            "config-not-read",
            format!("the configuration was fixed, but the agent has not read it again: {fault}"),
            "put it in force: sudo tunwarden reload",
        )),
        (None, None) => {}
    }
    findings
}

/// What the agent itself reports.
pub(super) fn status(status: &Status) -> Vec<Finding> {
    let known = status.bootstrap.iter().any(|part| *part != BootstrapStatus::Any);
    // The allowance is known only while the rules are in force.
    let no_endpoint = status.enforced() && !known && status.tunnels.is_empty();
    let unread: Vec<String> = status.layers.iter().filter_map(LayerStatus::unread).collect();
    let lacks: Vec<String> = status.layers.iter().filter_map(LayerStatus::limitation).collect();
    let refusals_fault: Vec<String> = status.management.iter().filter_map(ManagementStatus::line).collect();
    let findings = [
        no_endpoint.then(|| {
            Finding::new(
                "no-endpoint-known",
                "no VPN server is known",
                "save a VPN profile in the network menu, or add the server to bootstrap.servers",
            )
        }),
        listed(
            "layer-unknown",
            "it is unknown which rules a layer holds",
            &unread,
            "repair the tool named here, then: sudo tunwarden verify",
        ),
        (!lacks.is_empty()).then(|| {
            Finding::new(
                "layer-incomplete",
                format!("a layer does not hold all rules: {}", lacks.join("; ")),
                "install or rename what is named here; the next change of the rules then uses it",
            )
        }),
        listed(
            "docker-not-covered",
            "Docker networks are not covered by the rules as configured",
            &status.docker.faults(),
            "use bridge networks, or correct docker.networks in the configuration",
        ),
        listed(
            "management-not-heard",
            "tunwarden sees the loss of these OpenVPN clients later than possible",
            &refusals_fault,
            "end the other program that uses the management socket; or let only that program use it: add \
             management-client-user and its user to that configuration; move files that are not trusted to a \
             folder where only root can write",
        ),
    ];
    findings.into_iter().flatten().collect()
}

/// Rules of the other backend of iptables, and other firewalls.
pub(super) fn firewalls(seen: &Snapshot) -> Vec<Finding> {
    let both = (seen.backends_in_use.legacy && seen.backends_in_use.nft).then(|| {
        Finding::new(
            "legacy-and-nft",
            "iptables-legacy and iptables-nft both hold rules, and each tool sees only its own",
            "use only one: sudo update-alternatives --config iptables; then restart Docker and tunwarden",
        )
    });
    let others = seen.other_firewalls.iter().map(|firewall| {
        let (name, mend) = firewall.mend();
        Finding::new(
            "second-firewall",
            format!("{name} is active too, and deletes rules when it reloads"),
            mend,
        )
    });
    both.into_iter().chain(others).collect()
}

/// VPN clients and profiles that cannot be used as they are.
pub(super) fn vpns(seen: &Snapshot) -> Vec<Finding> {
    let clients = [
        listed(
            "owner-missing",
            "bootstrap.owners names users that do not exist",
            &seen.missing_owners,
            "install that VPN client, or remove the name from bootstrap.owners",
        ),
        listed(
            "name-unresolved",
            "no address is known for",
            &seen.unresolved,
            "write the server's address into bootstrap.servers, or connect once while the network is up",
        ),
        listed(
            "hooks-missing",
            "these OpenVPN clients do not report to tunwarden",
            &seen.without_hooks,
            "add to each: script-security 2, up and down /usr/lib/tunwarden/openvpn-up and -down, up-restart",
        ),
    ];
    // The findings below report what is left out of root's files at present.
    let is_of_a_file = |left_out: &LeftOutStatus| {
        let told = format!("{}: {}", left_out.name, left_out.reason);
        let mut lines = seen.openvpn_left_out.iter().chain(&seen.wireguard_left_out);
        lines.any(|line| line.starts_with(&told))
    };
    let profiles = seen.left_out.iter().filter(|left_out| !is_of_a_file(left_out)).map(|left_out| {
        let problem = format!("{}: {}", plain(&left_out.name), plain(&left_out.reason));
        Finding::new("profile-left-out", problem, plain(&left_out.remedy))
    });
    let openvpn = listed(
        "openvpn-left-out",
        "parts of OpenVPN's configurations are ignored",
        &seen.openvpn_left_out,
        "fix what is named here; the agent reads a changed file automatically",
    );
    let wireguard = listed(
        "wireguard-left-out",
        "parts of WireGuard's configurations are ignored",
        &seen.wireguard_left_out,
        "fix what is named here; the agent reads a changed file automatically",
    );
    let refused = seen.vpns.iter().filter(|vpn| vpn.is_refused()).map(|vpn| {
        let guide = vpn.kind.guide();
        let problem = format!("{}: {}: {}", plain(&vpn.shown_by), guide.name, guide.works);
        Finding::new("vpn-not-supported", problem, guide.todo)
    });
    clients.into_iter().flatten().chain(profiles).chain(openvpn).chain(wireguard).chain(refused).collect()
}

/// What changes the rules later, at the next boot or after it.
pub(super) fn later(seen: &Snapshot) -> Vec<Finding> {
    let units = listed(
        "not-at-boot",
        "the next boot does not start",
        &seen.disabled_units,
        "sudo systemctl enable tunwarden-lock tunwarden",
    );
    let article = listed(
        "article-scripts",
        "older kill switch scripts delete tunwarden's rules when they run",
        &seen.article,
        "carry their ports over and disable them: sudo tunwarden init",
    );
    let others = seen
        .others
        .iter()
        .map(|other| Finding::new("rules-changed-later", plain(&other.problem), plain(&other.mend)));
    let gluetun = seen.gluetun.iter().map(|name| {
        Finding::new(
            "rules-changed-later",
            format!(
                "the container {} is gluetun with the host's network: it puts its own firewall rules in the place \
                 of this machine's when it starts",
                plain(name)
            ),
            "give it a network of its own: take network_mode: host out of its compose file",
        )
    });
    units.into_iter().chain(article).chain(others).chain(gluetun).collect()
}

/// Why notifications may not be visible, and what this user may not read.
pub(super) fn session(seen: &Snapshot) -> Vec<Finding> {
    let notifications = seen.notifications.iter().map(|notification| {
        let (problem, mend) = notification.mend();
        Finding::new("notifications", problem, mend)
    });
    let unread = (!seen.unread.is_empty()).then(|| {
        Finding::new(
            "not-read",
            format!("this user may not read: {}", seen.unread.join("; ")),
            "run this as root: sudo tunwarden doctor",
        )
    });
    notifications.chain(unread).collect()
}

/// A finding with the entries of a list; none if the list is empty.
fn listed(id: &'static str, problem: &str, list: &[String], mend: &str) -> Option<Finding> {
    (!list.is_empty()).then(|| Finding::new(id, format!("{problem}: {}", some(list)), mend))
}

/// The first [`SHOWN`] entries of a list, safe to print, and the number of the others.
fn some(list: &[String]) -> String {
    let shown: Vec<String> = list.iter().take(SHOWN).map(|one| plain(one).to_string()).collect();
    match list.len().saturating_sub(SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}
