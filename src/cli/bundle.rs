//! `tunwarden doctor --bundle FILE`: one archive for a bug report.

#![expect(clippy::disallowed_methods, reason = "an edge file: it writes the archive")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::{journal, status, version};
use crate::doctor::redact::{Kind, Redactor};
use crate::doctor::{Files, Finding, text_of};
use crate::status::Status;
use crate::system::{self, program};

/// The folder inside the archive.
const FOLDER: &str = "tunwarden-report";

/// Maximum size of one part of the archive, in bytes. A longer part loses its beginning.
const MAX_BYTES: usize = 4 << 20;

/// The commands that print the rules: the file inside the archive, the program and its arguments.
const RULES: [(&str, &str, &[&str]); 5] = [
    ("rules/iptables-nft.txt", "iptables-nft-save", &["-c"]),
    ("rules/ip6tables-nft.txt", "ip6tables-nft-save", &["-c"]),
    ("rules/iptables-legacy.txt", "iptables-legacy-save", &["-c"]),
    ("rules/ip6tables-legacy.txt", "ip6tables-legacy-save", &["-c"]),
    ("rules/nftables.txt", "nft", &["list", "ruleset"]),
];

/// Whether addresses and names are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addresses {
    Replaced,
    Kept,
}

/// Gathers everything and writes it into a new file, which only its owner can read.
pub(super) async fn write(
    file: &Path,
    addresses: Addresses,
    findings: &[Finding],
    path: Option<&Path>,
) -> anyhow::Result<()> {
    // The file is created first: if the name exists, the command fails before it gathers anything.
    let new = create(file)
        .with_context(|| format!("cannot make {}, which has to be a new file", file.display()))?;
    let written = match gather(addresses, findings, path).await {
        Ok(parts) => archive(new, &parts).context(format!("cannot write {}", file.display())),
        Err(error) => Err(error),
    };
    if written.is_err() {
        // An incomplete report is of no use. This process has created the file, so it may remove it.
        let _ = std::fs::remove_file(file);
    }
    written
}

/// Creates a new file. Fails if the name exists, also if it is a link.
fn create(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

fn archive(file: File, parts: &[(String, String)]) -> io::Result<()> {
    let mut archive = Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, text) in parts {
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(system::now());
        archive.append_data(&mut header, format!("{FOLDER}/{name}"), text.as_bytes())?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    file.sync_all()
}

/// The parts of a report: names and texts.
async fn gather(
    addresses: Addresses,
    findings: &[Finding],
    path: Option<&Path>,
) -> anyhow::Result<Vec<(String, String)>> {
    let status = status::now(path).await;
    let mut redactor = Redactor::new(names(&status));
    let mut parts = vec![("README.txt".to_owned(), readme(addresses))];
    let mut add = |name: &str, text: String| {
        let text = match addresses {
            Addresses::Replaced => redactor.text(&text),
            Addresses::Kept => text,
        };
        parts.push((name.to_owned(), last_part(text)));
    };
    add("versions.txt", version::text().await);
    add("doctor.txt", text_of(findings));
    add("status.txt", status.for_people(system::now()));
    for (name, tool, arguments) in RULES {
        add(name, rules(tool, arguments).await);
    }
    add("journal.txt", last_hour().await);
    // In JSON a name may follow an escape sequence, so each string is decoded before its names are replaced.
    let value: serde_json::Value = serde_json::from_str(&status.json()?)?;
    let value = match addresses {
        Addresses::Replaced => redactor.json(&value),
        Addresses::Kept => value,
    };
    parts.push(("status.json".to_owned(), serde_json::to_string_pretty(&value)?));
    Ok(parts)
}

fn readme(addresses: Addresses) -> String {
    let about = match addresses {
        Addresses::Replaced => {
            "Public addresses, MAC addresses, domain names, keys, and the names of this machine, of its users and \
             of its VPNs are replaced by words such as ADDRESS4-1. The same word stands for the same original in \
             every file. Please look through the files before you send them."
        }
        Addresses::Kept => "Addresses and names are NOT replaced: it was made with --with-addresses.",
    };
    format!("A report made by `tunwarden doctor --bundle`.\n\n{about}\n")
}

async fn rules(tool: &str, arguments: &[&str]) -> String {
    // A legacy program would make the kernel load its tables even if no program has used them before.
    if tool.contains("legacy") && !Files::below("/").has_legacy_tables() {
        return "no table of iptables-legacy is in use\n".to_owned();
    }
    output_or_error(program::run(tool, arguments, "").await)
}

/// The lines that tunwarden's units wrote in the last hour.
async fn last_hour() -> String {
    let since = ["--since=-1h", "--no-pager", "--output=short-iso", "--quiet"];
    let text = output_or_error(program::run("journalctl", &[&journal::UNITS[..], &since].concat(), "").await);
    if text.trim().is_empty() { "no entries of tunwarden in the last hour\n".to_owned() } else { text }
}

fn output_or_error(result: Result<String, program::ToolError>) -> String {
    result.unwrap_or_else(|error| format!("not read: {}\n", crate::describe::describe(&error)))
}

/// The text without its beginning, if it is too long.
fn last_part(text: String) -> String {
    let Some(cut) = text.len().checked_sub(MAX_BYTES).filter(|cut| *cut > 0) else { return text };
    let cut = (cut..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    format!("[the first {cut} bytes are left out]\n{}", &text[cut..])
}

/// The names of people, machines and VPNs. They look like ordinary words, so no pattern can find them.
fn names(status: &Status) -> Vec<(String, Kind)> {
    let files = Files::below("/");
    let mut names: Vec<(String, Kind)> = files.users().into_iter().map(|name| (name, Kind::User)).collect();
    names.extend(
        ["SUDO_USER", "USER", "LOGNAME"]
            .iter()
            .filter_map(|key| Some((std::env::var(key).ok()?, Kind::User))),
    );
    names.extend(files.host_names().into_iter().map(|name| (name, Kind::Host)));
    names.extend(files.profiles().into_iter().map(|name| (name, Kind::Profile)));
    names.extend(names_in(status).into_iter().map(|name| (name, Kind::Profile)));
    names
}

/// The names of VPNs, networks and containers in the status.
fn names_in(status: &Status) -> Vec<String> {
    let docker = &status.docker;
    let tunnels = status.tunnels.iter().map(|tunnel| tunnel.name.as_str());
    let left_out = status.left_out.iter().map(|left_out| left_out.name.as_str());
    let loss = status.loss.iter().map(|loss| loss.name.as_str());
    let networks = docker.networks.iter().map(|network| &network.name).chain(&docker.missing);
    let containers = docker.forwarded.iter().filter_map(|port| Some(port.to.rsplit_once(':')?.0));
    let of_docker = networks.map(String::as_str).chain(containers);
    let vpns = status.vpns.iter().map(|vpn| vpn.name.as_str());
    tunnels.chain(left_out).chain(vpns).chain(loss).chain(of_docker).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Enforcement, ForwardedStatus};
    use crate::vpn::Situation;

    #[test]
    fn names_of_networks_and_containers_are_replaced_too() {
        let mut status = Status::new(&Situation::default(), 0, Enforcement::Enforced, true);
        let (protocol, to) = ("udp".to_owned(), "mybox:51413".to_owned());
        status.docker.forwarded = vec![ForwardedStatus { port: 6000, protocol, to, fault: None }];
        status.docker.missing = vec!["mynet".to_owned()];
        assert_eq!(names_in(&status), ["mynet", "mybox"]);
    }
}
