//! Reads the files of a system that show which other programs change its firewall. It writes nothing.

#![expect(clippy::disallowed_methods, reason = "this file is where the system's files are read")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::OtherFirewall;
use crate::sources::openvpn_files::{self, Summary};
use crate::sources::wireguard_files;
use crate::vpn::WireGuardFile;

/// Maximum size of a file that is read here, in bytes.
const MAX_BYTES: u64 = 256 << 10;

/// Paths of the article's scripts and units.
const ARTICLE: [&str; 5] = [
    "usr/local/bin/vpnkillswitch_granular.sh",
    "usr/local/bin/dockerkillswitch.sh",
    "usr/local/bin/vpnkillswitch.sh",
    "etc/systemd/system/vpnkillswitch.service",
    "etc/systemd/system/dockerkillswitch.service",
];

/// Prefixes of the names of scripts and units of the author's later tool.
const LATER: [&str; 3] = ["rexbytes_", "rexbytes-", "vpnkillswitch"];
const LATER_FOLDERS: [(&str, &str); 5] = [
    ("usr/local/bin", ".sh"),
    ("usr/local/sbin", ".sh"),
    ("etc/systemd/system", ".service"),
    ("etc/systemd/system", ".timer"),
    ("usr/local/lib/systemd/system", ".service"),
];

const UNITS: [&str; 2] = ["tunwarden-lock.service", "tunwarden.service"];

/// A file system with a machine's files: `/`, or a folder in a test.
#[derive(Debug, Clone)]
pub struct Files {
    root: PathBuf,
    /// The user whose files are trusted.
    pub(super) owner: u32,
}

impl Files {
    /// The files below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), owner: 0 }
    }

    /// The text of a file; empty if it cannot be read.
    pub fn read(&self, path: &str) -> String {
        let path = self.root.join(path);
        match fs::metadata(&path) {
            Ok(data) if data.is_file() && data.len() <= MAX_BYTES => {
                fs::read_to_string(path).unwrap_or_default()
            }
            Ok(_) | Err(_) => String::new(),
        }
    }

    /// The path of a file of this system.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Whether a file, or a link of that name, exists.
    pub fn has(&self, path: &str) -> bool {
        self.root.join(path).symlink_metadata().is_ok()
    }

    /// The paths of the files in a folder whose names have this ending.
    pub(super) fn listed(&self, folder: &str, ending: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut paths: Vec<String> =
            names.filter(|name| name.ends_with(ending)).map(|name| format!("{folder}/{name}")).collect();
        paths.sort();
        paths
    }

    /// Whether systemd starts a unit at boot: a target's folder `.wants` or `.requires` has a link to it.
    pub fn is_enabled(&self, unit: &str) -> bool {
        ["etc/systemd/system", "usr/lib/systemd/system"].into_iter().any(|folder| {
            let targets = self.listed(folder, ".wants").into_iter().chain(self.listed(folder, ".requires"));
            targets.into_iter().any(|target| self.has(&format!("{target}/{unit}")))
        })
    }

    /// Units of tunwarden that the next boot does not start.
    pub fn disabled_units(&self) -> Vec<String> {
        if !Path::new(&self.root.join("run/systemd/system")).is_dir() {
            return Vec::new();
        }
        UNITS.into_iter().filter(|unit| !self.is_enabled(unit)).map(str::to_owned).collect()
    }

    /// Other firewalls that are switched on according to their files.
    pub fn other_firewalls(&self) -> Vec<OtherFirewall> {
        let said = |path: &str, line: &str| {
            self.read(path).lines().any(|one| one.trim().replace(' ', "").eq_ignore_ascii_case(line))
        };
        let mut firewalls = Vec::new();
        if said("etc/ufw/ufw.conf", "ENABLED=yes") {
            firewalls.push(OtherFirewall::Ufw);
        }
        if self.is_enabled("firewalld.service") {
            firewalls.push(OtherFirewall::Firewalld);
        }
        if self.is_enabled("nftables.service") && said("etc/nftables.conf", "flushruleset") {
            firewalls.push(OtherFirewall::Nftables);
        }
        firewalls
    }

    /// Whether the kernel has tables of iptables-legacy. It makes them when a legacy program is used.
    pub fn has_legacy_tables(&self) -> bool {
        let tables = ["ip_tables_names", "ip6_tables_names"];
        tables.iter().any(|name| !self.read(&format!("proc/self/net/{name}")).trim().is_empty())
    }

    /// Problems of plain OpenVPN clients, in the configurations that the agent uses.
    pub fn openvpn(&self) -> Summary {
        openvpn_files::summary(&self.root, self.owner)
    }

    /// What is left out of the configurations of wg-quick, and why.
    pub fn wireguard_left_out(&self) -> Vec<String> {
        wireguard_files::left_out(&self.root, self.owner)
    }

    /// The WireGuard devices that root's files make.
    pub fn wireguard_devices(&self) -> Vec<WireGuardFile> {
        wireguard_files::devices(&self.root, self.owner)
    }

    /// Interfaces with a configuration of wg-quick.
    pub fn wireguard(&self) -> Vec<String> {
        let files = self.listed("etc/wireguard", ".conf");
        let name = |path: &String| Some(path.rsplit('/').next()?.strip_suffix(".conf")?.to_owned());
        files.iter().filter_map(name).collect()
    }

    /// The scripts and the enabled units of the article that exist, and those of its author's later tool.
    pub fn article(&self) -> Vec<String> {
        let later = LATER_FOLDERS.into_iter().flat_map(|(folder, ending)| self.listed(folder, ending));
        let later = later.filter(|path| {
            path.rsplit('/').next().is_some_and(|name| LATER.iter().any(|stem| name.starts_with(stem)))
        });
        let mut seen = BTreeSet::new();
        let mut all: Vec<String> = ARTICLE.into_iter().map(str::to_owned).chain(later).collect();
        all.retain(|path| seen.insert(path.clone()));
        let there = all.into_iter().filter(|path| {
            // A unit that is not enabled does nothing.
            let unit = path.rsplit_once('/').map(|(_, name)| name).filter(|name| name.ends_with(".service"));
            self.has(path) && unit.is_none_or(|unit| self.is_enabled(unit))
        });
        there.map(|path| format!("/{path}")).collect()
    }
}
