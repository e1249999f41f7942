//! Facts about a machine that `tunwarden init` gathers before it changes anything.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::super::warn;
use super::kernel_rules::KernelRules;
use crate::agent::describe;
use crate::config::Config;
use crate::doctor::{Files, FoundVpn, Other};
use crate::firewall::Dump;
use crate::net::Services;
use crate::setup::{Machine, Plan, Source, plan};
use crate::sources::{links, network_manager};
use crate::status::LeftOutStatus;
use crate::system;
use crate::vpn::{self, Event, NmView, Profile, Remembered, WireGuardFile};

/// How long NetworkManager may take to list its profiles.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum number of files from which scripts restore rules.
const MAX_RESTORES: usize = 8;
/// Saved rulesets that the boot puts in force.
const SAVED: [&str; 2] = ["etc/iptables/rules.v4", "etc/iptables/rules.v6"];

/// The facts about the machine.
pub(super) struct Seen {
    pub(super) found: Vec<String>,
    /// Files that contain rules.
    pub(super) sources: Vec<Source>,
    pub(super) machine: Machine,
    pub(super) plan: Plan,
    kernel: KernelRules,
    /// Units of the article that the next boot would start.
    pub(super) units: Vec<String>,
    /// Other programs that change firewall rules later.
    pub(super) others: Vec<Other>,
}

impl Seen {
    /// Makes the plan again, after the user has confirmed an interface.
    pub(super) fn plan_again(&mut self) {
        let kernel = self.kernel.of_scripts(self.sources.len());
        self.plan = plan(&self.sources, kernel, &self.machine);
    }
}

pub(super) async fn look(dump: &Dump) -> Seen {
    let files = Files::below("/");
    let article = files.article();
    let sources = sources(&files, &article);
    let mut found = Vec::new();
    if dump.is_from_article() {
        found.push("the kernel holds the rules of the article's scripts; tunwarden replaces them".to_owned());
    }
    let units: Vec<String> = article
        .iter()
        .filter_map(|path| path.strip_prefix("/etc/systemd/system/"))
        .map(ToOwned::to_owned)
        .collect();
    found.extend(
        units.iter().map(|unit| format!("{unit}: the next boot no longer starts it; the file stays")),
    );
    let mut machine = Machine {
        wireguard: files.wireguard().into_iter().collect(),
        services: Services::parse(&files.read("etc/services")),
        ..Machine::default()
    };
    match links::snapshot().await {
        Ok(table) => {
            found.extend(table.uplinks(&Config::default()).into_iter().map(|uplink| {
                let prefixes: Vec<String> = uplink.prefixes.iter().map(ToString::to_string).collect();
                format!("network card {} on {}", uplink.interface, prefixes.join(", "))
            }));
            machine.links = table;
        }
        Err(error) => warn(&format!("tunwarden: {}", describe(&error))),
    }
    let view = profiles().await.unwrap_or_default();
    for profile in &view.profiles {
        machine.servers.extend(profile.endpoints.iter().map(crate::net::Endpoint::address));
        found.push(profile_line(profile));
    }
    found.extend(files.vpns().iter().map(FoundVpn::line));
    found.extend(left_out(view, files.wireguard_devices()));
    if system::has_docker() {
        found.push("Docker: its containers can send only through the VPN".to_owned());
    }
    for firewall in files.other_firewalls() {
        found.push(format!(
            "another firewall, {firewall:?}: its rules stay, and what it lets in comes in only if `input.allow` names it \
             too; see: tunwarden doctor"
        ));
    }
    let kernel = KernelRules::read(dump, &files).await;
    found.extend(kernel.remarks.iter().cloned());
    let (sources, plan) = with_restored(&files, sources, &kernel, &machine);
    Seen { found, sources, machine, plan, kernel, units, others: files.others() }
}

fn sources(files: &Files, article: &[String]) -> Vec<Source> {
    let source = |path: &str| {
        let text = files.read(path.trim_start_matches('/'));
        Source { name: format!("/{}", path.trim_start_matches('/')), text }
    };
    let mut sources: Vec<Source> =
        article.iter().filter(|path| path.ends_with(".sh")).map(|path| source(path)).collect();
    // A saved ruleset is read only if its OUTPUT policy is DROP. Otherwise it allows everything, and its rules say
    // nothing.
    let saved = SAVED.iter().map(|path| source(path));
    sources.extend(saved.filter(|saved| saved.text.contains(":OUTPUT DROP")));
    sources.retain(|source| !source.text.trim().is_empty());
    sources
}

/// Makes the plan, and adds the files from which the scripts restore rules.
fn with_restored(
    files: &Files,
    mut sources: Vec<Source>,
    kernel: &KernelRules,
    machine: &Machine,
) -> (Vec<Source>, Plan) {
    for _ in 0..MAX_RESTORES {
        let made = plan(&sources, kernel.of_scripts(sources.len()), machine);
        let unread = |path: &&String| !sources.iter().any(|source| source.name == **path);
        let Some(path) = made.restores.iter().find(unread) else { return (sources, made) };
        let text = files.read(path.trim_start_matches('/'));
        sources.push(Source { name: path.clone(), text });
    }
    let made = plan(&sources, kernel.of_scripts(sources.len()), machine);
    (sources, made)
}

async fn profiles() -> Option<NmView> {
    let (events, mut received) = mpsc::channel(4);
    let watching = tokio::spawn(network_manager::watch(watch::channel(0).1, events));
    let view = tokio::time::timeout(TIMEOUT, first_view(&mut received)).await;
    watching.abort();
    view.unwrap_or_default()
}

/// NetworkManager's profiles and connections, after they were read; `None` if there is no NetworkManager.
async fn first_view(events: &mut mpsc::Receiver<Event>) -> Option<NmView> {
    loop {
        if let Event::NetworkManager(view) = events.recv().await? {
            return view;
        }
    }
}

/// A line about a profile of NetworkManager: what works with it, and what to do.
fn profile_line(profile: &Profile) -> String {
    let servers = profile.endpoints.iter().map(ToString::to_string);
    let names = profile.names.iter().map(|(name, _, _)| name.to_string());
    let servers: Vec<String> = servers.chain(names).collect();
    let to = if servers.is_empty() { String::new() } else { format!(" to {}", servers.join(", ")) };
    format!("VPN profile {}{to}: {}", profile.id, profile.kind.line())
}

/// The parts of these profiles and files that the default configuration cannot use, and what would change that.
fn left_out(view: NmView, files: Vec<WireGuardFile>) -> Vec<String> {
    let mut machine = vpn::Machine::new(Config::default(), Remembered::default(), 0);
    machine.step(Event::NetworkManager(Some(view)), 0);
    machine.step(Event::WireGuardFiles(files), 0);
    machine.left_out().into_iter().map(|left_out| LeftOutStatus::from(left_out).line()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::guide::VpnKind;
    use crate::vpn::Sender;

    #[test]
    fn a_wireguard_vpn_without_a_mark_is_offered_one() {
        let server = "198.51.100.9:51820/udp".parse().unwrap();
        let file = WireGuardFile {
            path: "/etc/wireguard/home.conf".to_owned(),
            interface: "home".parse().unwrap(),
            endpoints: [server].into(),
            names: BTreeSet::new(),
            mark: None,
            keys: BTreeSet::new(),
            own: None,
        };
        let profile = Profile {
            endpoints: vec![server],
            sender: Sender::Kernel,
            ..Profile::plain("u", "work", VpnKind::ManagedWireGuard)
        };
        let view = NmView { profiles: vec![profile], ..NmView::default() };
        let lines = left_out(view, vec![file]);
        let [home, work] = &lines[..] else { panic!("{lines:?}") };
        let in_file = "add a mark to /etc/wireguard/home.conf, in [Interface]: FwMark = 0x7766";
        assert!(home.starts_with("home: ") && home.contains(in_file), "{home}");
        assert!(work.contains("nmcli connection modify work wireguard.fwmark 0x7766"), "{work}");
    }

    #[tokio::test]
    async fn the_profiles_are_those_of_a_networkmanager_that_was_read() {
        let (sender, mut events) = mpsc::channel(4);
        let view = NmView { answered: 7, ..NmView::default() };
        for event in [Event::ManagerUnread, Event::NetworkManager(Some(view.clone()))] {
            sender.send(event).await.unwrap();
        }
        assert_eq!(first_view(&mut events).await, Some(view));
        sender.send(Event::NetworkManager(None)).await.unwrap();
        assert_eq!(first_view(&mut events).await, None);
    }
}
