//! `tunwarden check`: explains what the configuration means.

use std::path::Path;
use std::process::ExitCode;

use super::lock::{learned, left_out};
use super::{BAD_CONFIG, Outcome, load::load, say, warn};
use crate::config::{Backend, Config, FirewallSettings, Layer, plain};
use crate::doctor::Files;
use crate::firewall::{can_hold_sets, other_backend};
use crate::policy::MAX_RULES_WITHOUT_SET;
use crate::status::VpnStatus;
use crate::store::Store;
use crate::system;

/// Maximum number of lines of a list.
const MAX_LINES: usize = 40;

pub(super) fn run(path: Option<&Path>) -> Outcome {
    let config = match load(path) {
        Ok(written) => written.config,
        Err(error) => {
            warn(&error.to_string());
            return Ok(ExitCode::from(BAD_CONFIG));
        }
    };
    say(config.explain().trim_end());
    let (_, unknown) = system::owners(&config);
    for name in unknown {
        say(&format!("bootstrap.owners: this system has no user `{}`. It is ignored.", name.as_str()));
    }
    if !can_hold_sets() {
        say(&format!(
            "ipset is not installed. With more than {MAX_RULES_WITHOUT_SET} servers each server needs its own rule, and a packet \
             to one of the last servers must pass all of them. To install it: sudo apt install ipset"
        ));
    }
    if is_in_legacy(&config.firewall) {
        say(
            "The rules are in iptables-legacy, which does not show who closed FORWARD: tunwarden release opens it if it was \
             open before tunwarden, also if another program has closed it since.",
        );
    }
    vpns(&config);
    Ok(ExitCode::SUCCESS)
}

/// Whether iptables-legacy holds the rules.
pub(super) fn is_in_legacy(firewall: &FirewallSettings) -> bool {
    let is_default = || other_backend() == Backend::Nft;
    firewall.layers.contains(&Layer::Iptables)
        && match firewall.backend {
            Backend::Legacy => true,
            Backend::Nft => false,
            Backend::Auto => is_default(),
        }
}

/// Prints the VPNs of this machine: what works with each, which servers are known, and which parts are left out. It
/// does not list what this user may not read.
fn vpns(config: &Config) {
    let machine = learned(config, &Store::default());
    let found = Files::below("/").vpns().into_iter().map(|vpn| vpn.line());
    let known = machine.known_vpns();
    let known = known.iter().map(|vpn| VpnStatus::from(vpn).line());
    let left_out = left_out(&machine).into_iter().map(|left_out| left_out.line());
    for (title, lines) in [
        ("VPNs of this machine, besides NetworkManager's", found.collect::<Vec<_>>()),
        ("Servers that are known", known.collect()),
        ("Left out", left_out.collect()),
    ] {
        if !lines.is_empty() {
            say(&format!("\n{title}"));
            lines.iter().take(MAX_LINES).for_each(|line| say(&format!("  {}", plain(line))));
        }
        let more = lines.len().saturating_sub(MAX_LINES);
        if more > 0 {
            say(&format!("  and {more} more"));
        }
    }
}
