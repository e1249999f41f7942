//! Finds other programs that change firewall rules later: at boot, when a network comes up, or at a set time. It writes
//! nothing.

use std::os::unix::fs::PermissionsExt;

use super::Files;
use crate::policy::nftables::TableId;
use crate::setup::{RuleChange, worst_change};

/// Maximum number of files that are read in one folder.
const MAX_FILES: usize = 256;

/// Something that changes rules later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Which file it is, and how it changes the rules.
    pub problem: String,
    /// What to do about it.
    pub mend: String,
}

/// The occasion on which a file is run. The advice depends on it.
#[derive(Clone, Copy)]
enum Trigger {
    Network,
    Boot,
    Clock,
    Sleep,
    Vpn,
}

impl Trigger {
    const fn in_words(self) -> &'static str {
        match self {
            Self::Network => "when a network comes up or goes down",
            Self::Boot => "at boot",
            Self::Clock => "at set times",
            Self::Sleep => "when the machine goes to sleep or wakes up",
            Self::Vpn => "when the VPN connects or disconnects",
        }
    }
}

/// Whether only files with the executable bit are run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    Executables,
    All,
}

/// Folders and files of scripts, with the occasion on which they run.
const SCRIPTS: [(&str, Trigger, Runs); 36] = [
    ("etc/NetworkManager/dispatcher.d", Trigger::Network, Runs::Executables),
    ("etc/NetworkManager/dispatcher.d/pre-up.d", Trigger::Network, Runs::Executables),
    ("etc/NetworkManager/dispatcher.d/pre-down.d", Trigger::Network, Runs::Executables),
    ("usr/lib/NetworkManager/dispatcher.d", Trigger::Network, Runs::Executables),
    ("etc/network/if-pre-up.d", Trigger::Network, Runs::Executables),
    ("etc/network/if-up.d", Trigger::Network, Runs::Executables),
    ("etc/network/if-down.d", Trigger::Network, Runs::Executables),
    ("etc/network/if-post-down.d", Trigger::Network, Runs::Executables),
    ("etc/network/interfaces", Trigger::Network, Runs::All),
    ("etc/network/interfaces.d", Trigger::Network, Runs::All),
    ("etc/NetworkManager/dispatcher.d/no-wait.d", Trigger::Network, Runs::Executables),
    ("etc/networkd-dispatcher/carrier.d", Trigger::Network, Runs::Executables),
    ("etc/networkd-dispatcher/configured.d", Trigger::Network, Runs::Executables),
    ("etc/networkd-dispatcher/degraded.d", Trigger::Network, Runs::Executables),
    ("etc/networkd-dispatcher/no-carrier.d", Trigger::Network, Runs::Executables),
    ("etc/networkd-dispatcher/off.d", Trigger::Network, Runs::Executables),
    ("etc/networkd-dispatcher/routable.d", Trigger::Network, Runs::Executables),
    ("etc/dhcp/dhclient-enter-hooks.d", Trigger::Network, Runs::All),
    ("etc/dhcp/dhclient-exit-hooks.d", Trigger::Network, Runs::All),
    ("etc/ppp/ip-up.d", Trigger::Network, Runs::Executables),
    ("etc/ppp/ip-down.d", Trigger::Network, Runs::Executables),
    ("etc/ppp/ipv6-up.d", Trigger::Network, Runs::Executables),
    ("etc/wireguard", Trigger::Vpn, Runs::All),
    ("etc/openvpn", Trigger::Vpn, Runs::All),
    ("etc/openvpn/client", Trigger::Vpn, Runs::All),
    ("usr/lib/systemd/system-sleep", Trigger::Sleep, Runs::Executables),
    ("etc/rc.local", Trigger::Boot, Runs::Executables),
    ("etc/init.d", Trigger::Boot, Runs::Executables),
    ("etc/crontab", Trigger::Clock, Runs::All),
    ("etc/cron.d", Trigger::Clock, Runs::All),
    ("etc/cron.hourly", Trigger::Clock, Runs::Executables),
    ("etc/cron.daily", Trigger::Clock, Runs::Executables),
    ("etc/cron.weekly", Trigger::Clock, Runs::Executables),
    ("etc/cron.monthly", Trigger::Clock, Runs::Executables),
    ("var/spool/cron/crontabs", Trigger::Clock, Runs::All),
    ("var/spool/cron", Trigger::Clock, Runs::All),
];

/// Services of other firewalls that replace all rules with their own.
const SERVICES: [&str; 9] = [
    "netfilter-persistent.service",
    "iptables.service",
    "ip6tables.service",
    "iptables-persistent.service",
    "ferm.service",
    "shorewall.service",
    "shorewall6.service",
    "firehol.service",
    "arno-iptables-firewall.service",
];

/// Rulesets that some of these services restore.
const SAVED: [&str; 4] =
    ["etc/iptables/rules.v4", "etc/iptables/rules.v6", "etc/sysconfig/iptables", "etc/sysconfig/ip6tables"];

/// Scripts and units that belong to tunwarden, or that another finding reports.
const KNOWN: [&str; 8] = [
    "90-tunwarden",
    "tunwarden.service",
    "tunwarden-lock.service",
    "nftables.service",
    "ufw.service",
    "firewalld.service",
    "ufw",
    "docker.service",
];

impl Files {
    /// What changes firewall rules later.
    pub fn others(&self) -> Vec<Other> {
        let mut others = Vec::new();
        for service in SERVICES.into_iter().filter(|service| self.is_enabled(service)) {
            others.push(self.service(service));
        }
        others.extend(self.saved_tables());
        for unit in self.own_units() {
            others.extend(self.unit(&unit));
        }
        for (place, trigger, runs) in SCRIPTS {
            let listed = self.listed(place, "");
            let files = if listed.is_empty() { vec![place.to_owned()] } else { listed };
            for file in files.into_iter().take(MAX_FILES) {
                others.extend(self.script(&file, trigger, runs));
            }
        }
        others
    }

    fn service(&self, service: &str) -> Other {
        let files: Vec<String> =
            SAVED.into_iter().filter(|file| self.has(file)).map(|file| format!("/{file}")).collect();
        let from = if files.is_empty() { String::new() } else { format!(" from {}", files.join(" and ")) };
        Other {
            problem: format!(
                "{service} replaces all rules with its own ruleset{from}, at boot and when it reloads"
            ),
            mend: format!(
                "sudo systemctl disable {service}; then add what it allowed to tunwarden's configuration"
            ),
        }
    }

    /// tunwarden's tables in a file that was saved from the kernel. While the agent owns these tables, the kernel
    /// refuses the whole file.
    fn saved_tables(&self) -> Option<Other> {
        const FILE: &str = "etc/nftables.conf";
        let text = self.read(FILE);
        let is_saved = |table: &TableId| {
            let block = format!("table {table}");
            text.lines().any(|line| line.trim().trim_end_matches('{').trim_end() == block)
        };
        let tables: Vec<String> =
            TableId::ALL.into_iter().filter(is_saved).map(|table| format!("table {table}")).collect();
        let tables = tables.join("`, `");
        (!tables.is_empty()).then(|| Other {
            problem: format!(
                "/{FILE} was saved with `{tables}`: while the agent owns its tables, the kernel refuses the whole file"
            ),
            mend: format!("remove these blocks from /{FILE}; tunwarden makes its tables itself"),
        })
    }

    /// Units and drop-ins in the folders for the administrator's units.
    fn own_units(&self) -> Vec<String> {
        let folders = ["etc/systemd/system", "usr/local/lib/systemd/system"];
        let units = folders.iter().flat_map(|folder| self.listed(folder, ".service"));
        let drop_ins = folders.iter().flat_map(|folder| self.listed(folder, ".service.d"));
        let drop_ins = drop_ins.flat_map(|folder| self.listed(&folder, ".conf"));
        units.chain(drop_ins).take(4 * MAX_FILES).collect()
    }

    fn unit(&self, path: &str) -> Option<Other> {
        let drop_in = path.ends_with(".conf");
        let name = path.split('/').rev().nth(usize::from(drop_in))?.trim_end_matches(".d");
        let timer = name.replace(".service", ".timer");
        let own = self.article().iter().any(|known| known.ends_with(&format!("/{name}")));
        let starts = self.is_enabled(name) || self.is_enabled(&timer);
        if KNOWN.contains(&name) && !drop_in || SERVICES.contains(&name) || own || !starts && !drop_in {
            return None;
        }
        let text = self.read(path);
        let commands = text.lines().filter_map(|line| {
            let (key, command) = line.trim().split_once('=')?;
            let command = command.trim_start_matches(['-', '@', ':', '+', '!']);
            key.starts_with("Exec").then(|| format!("{command}\n"))
        });
        let (change, by) = self.worst(&commands.collect::<String>(), 1)?;
        let by = by.map_or(String::new(), |script| format!(" by {script}"));
        let mend = match drop_in {
            true => {
                format!("remove the lines that start it from /{path}, then: sudo systemctl daemon-reload")
            }
            false => format!("sudo systemctl disable {}", if self.is_enabled(name) { name } else { &timer }),
        };
        Some(Other { problem: format!("/{path} {}{by}, when it starts", change.in_words()), mend })
    }

    fn script(&self, path: &str, trigger: Trigger, runs: Runs) -> Option<Other> {
        let name = path.rsplit('/').next()?;
        if KNOWN.contains(&name) || name.starts_with('.') || !self.is_run(path, runs) {
            return None;
        }
        let text = self.read(path);
        let text = match (trigger, path.contains("cron.") || path.contains("init.d")) {
            (Trigger::Clock, false) => commands_of_crontab(&text),
            (Trigger::Clock, true) if path.starts_with("etc/cron.d/") => commands_of_crontab(&text),
            (Trigger::Network, _) if path.contains("interfaces") => commands_of_interfaces(&text),
            (Trigger::Vpn, _) => commands_of_vpn(&text),
            (Trigger::Clock | Trigger::Network | Trigger::Boot | Trigger::Sleep, _) => text,
        };
        let (change, by) = self.worst(&text, 1)?;
        // A server's file often adds rules for the machines behind the server. tunwarden's rules stay in force then.
        if matches!(trigger, Trigger::Vpn) && change == RuleChange::Edits {
            return None;
        }
        let by = by.map_or(String::new(), |script| format!(" by {script}"));
        let mend = match runs {
            Runs::Executables if path != "etc/rc.local" => {
                format!("remove those commands from the file, or disable it: sudo chmod -x /{path}")
            }
            Runs::Executables | Runs::All => format!("remove those commands from /{path}"),
        };
        Some(Other { problem: format!("/{path} {}{by}, {}", change.in_words(), trigger.in_words()), mend })
    }

    fn is_run(&self, path: &str, runs: Runs) -> bool {
        runs == Runs::All || self.mode(path).is_some_and(|mode| mode & 0o111 != 0)
    }

    #[expect(clippy::disallowed_methods, reason = "an edge: it looks whether a script can be run")]
    fn mode(&self, path: &str) -> Option<u32> {
        let data = std::fs::metadata(self.path(path)).ok()?;
        data.is_file().then(|| data.permissions().mode())
    }

    /// The most severe change that a script makes, or a script that it runs.
    fn worst(&self, text: &str, deeper: usize) -> Option<(RuleChange, Option<String>)> {
        let (own, paths) = worst_change(text);
        let own = own.map(|change| (change, None));
        let others = paths.into_iter().take(16).filter(|_| deeper > 0).filter_map(|path| {
            let text = self.read(path.trim_start_matches('/'));
            // Only scripts are read, no binary programs.
            let (change, _) = text.starts_with("#!").then(|| self.worst(&text, deeper - 1))??;
            Some((change, Some(path)))
        });
        own.into_iter().chain(others).max_by_key(|(change, _)| *change)
    }
}

/// The commands of lines like `*/5 * * * * root COMMAND` and `@reboot COMMAND`.
fn commands_of_crontab(text: &str) -> String {
    let command = |line: &str| {
        let skip = if line.starts_with('@') { 1 } else { 5 };
        let words: Vec<&str> = line.split_whitespace().skip(skip).collect();
        let words = match words.first() {
            // The system's crontabs name a user before the command.
            Some(user) if !user.contains('/') && words.len() > 1 && is_user(user) => &words[1..],
            _ => &words[..],
        };
        format!("{}\n", words.join(" "))
    };
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.starts_with('#') && !line.contains("PATH=")).map(command).collect()
}

fn is_user(word: &str) -> bool {
    !["iptables", "ip6tables", "iptables-restore", "nft", "sh", "bash", "sudo", "ufw"].contains(&word)
}

/// The commands of lines like `pre-up COMMAND`.
fn commands_of_interfaces(text: &str) -> String {
    let hooks = ["pre-up", "up", "post-up", "down", "pre-down", "post-down"];
    let command = |line: &str| {
        let (hook, command) = line.trim().split_once(char::is_whitespace)?;
        hooks.contains(&hook).then(|| format!("{command}\n"))
    };
    text.lines().filter_map(command).collect()
}

/// The commands of lines like `PostUp = COMMAND` of wg-quick and `up COMMAND` of OpenVPN.
fn commands_of_vpn(text: &str) -> String {
    let of_wg_quick = |line: &str| {
        let (key, command) = line.split_once('=')?;
        let hooks = ["preup", "postup", "predown", "postdown"];
        let command = command.trim().replace("%i", "wg0");
        hooks.contains(&key.trim().to_lowercase().as_str()).then(|| format!("{command}\n"))
    };
    let of_openvpn = |line: &str| {
        let (hook, command) = line.split_once(char::is_whitespace)?;
        let hooks = ["up", "down", "route-up", "route-pre-down", "ipchange"];
        let command = command.trim().trim_matches(['"', '\'']);
        hooks.contains(&hook).then(|| format!("{command}\n"))
    };
    text.lines().map(str::trim).filter_map(|line| of_wg_quick(line).or_else(|| of_openvpn(line))).collect()
}
