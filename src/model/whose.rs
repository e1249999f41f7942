//! Finds the program whose rule lets a packet out, by the names of the rule's table and chain.

use super::rule::Tool;
use super::walk::Decision;

/// The first letters of chain names, with the programs that make such chains.
const PROGRAMS: [(&str, &str); 13] = [
    ("DOCKER", "Docker"),
    ("ufw", "ufw"),
    ("LIBVIRT", "libvirt"),
    ("NETAVARK", "podman"),
    ("CNI-", "podman"),
    ("f2b-", "fail2ban"),
    ("KUBE-", "Kubernetes"),
    ("cali-", "Calico"),
    ("ts-", "Tailscale"),
    ("nixos-", "NixOS"),
    ("FWD_", "firewalld"),
    ("IN_", "firewalld"),
    ("MULLVAD", "Mullvad"),
];

/// What the names of tunwarden's own iptables chains begin with.
const OURS: [&str; 6] = [
    "VPN_",
    "DOCKER_VPN_",
    "DOCKER_LAN",
    "DOCKER_BRIDGES",
    "OUTPUT_VPN_KILL_SWITCH",
    "RELATED_AND_ESTABLISHED",
];

/// The names of tunwarden's tables of nf_tables.
pub(super) const TABLES: [&str; 2] = ["tunwarden", "tunwarden_copy"];

/// Whether tunwarden gives this name to an iptables chain.
pub(super) fn is_ours(chain: &str) -> bool {
    OURS.iter().any(|name| chain.starts_with(name))
}

/// The program whose rule decides.
pub(super) fn program(decision: &Decision) -> &'static str {
    if TABLES.contains(&&*decision.table) || is_ours(&decision.chain) {
        return "tunwarden";
    }
    let by_chain = PROGRAMS.iter().find(|(start, _)| decision.chain.starts_with(start));
    by_chain.map_or("another program, or an administrator", |(_, program)| program)
}

/// The advice for this case.
pub(super) fn remedy(decision: Option<&Decision>) -> String {
    let verify = "sudo tunwarden verify shows what differs from the rules of tunwarden";
    let Some(decision) = decision else {
        return format!("no rule refuses it: start the agent, or run sudo tunwarden lock; {verify}");
    };
    if decision.by_policy || program(decision) == "tunwarden" {
        return format!("the rules of tunwarden are missing or changed: run sudo tunwarden lock; {verify}");
    }
    let Decision { tool, family, table, chain, rule, .. } = decision;
    match tool {
        Tool::Iptables | Tool::Ip6tables => {
            format!("if you do not need it, remove it: {} -t {table} -D {chain} {rule}", tool.as_str())
        }
        Tool::Nft => format!("look at it: nft -a list chain {family} {table} {chain}"),
    }
}
