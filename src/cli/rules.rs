//! `tunwarden rules`: prints the exact restore text of a state. Needs no root.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args as ClapArgs, ValueEnum};

use super::{BAD_CONFIG, Outcome, load::in_force_with_warning, lock::locked, say};
use crate::config::Source;
use crate::net::{Endpoint, Family, IfName};
use crate::policy::iptables::render_fresh;
use crate::policy::iptables::set::render_all;
use crate::policy::{self, EndpointSet, Ruleset, nftables};
use crate::store::Store;
use crate::system;
use crate::vpn::{Pause, PauseScope, Situation, State};

/// Length of the pause in the rules of `--state paused`, in seconds.
const SHOWN_PAUSE: u64 = 300;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The state whose rules to print.
    #[arg(long, default_value = "locked", value_name = "STATE")]
    state: State,
    /// The tunnel's interface.
    #[arg(long, value_name = "IF")]
    tunnel: Option<IfName>,
    /// A server that is known or in use, such as 198.51.100.7:1194/udp; can be given several times.
    #[arg(long, value_name = "ADDR:PORT/PROTO")]
    endpoint: Vec<Endpoint>,
    /// The tool whose rules to print.
    #[arg(long, value_enum, default_value_t = Format::Iptables)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Iptables,
    Ip6tables,
    /// The sets that the rules use if there are more than 64 servers. Load them before the rules.
    Ipset,
    Nft,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Outcome {
    let store = Store::default();
    let in_force = in_force_with_warning(path, &store);
    // The user wants to see the rules of this file, so no other configuration may replace it.
    if in_force.source == Source::Unknown || path.is_some() && in_force.source != Source::File {
        return Ok(ExitCode::from(BAD_CONFIG));
    }
    let config = in_force.config;
    let mut situation = locked(&config, &store).await;
    apply_arguments(&mut situation, args, config.vpn.connections.is_empty());
    let (owners, _) = system::owners(&config);
    let ruleset = policy::ruleset(&config, &owners, &situation);
    match args.format {
        Format::Iptables => tables(&ruleset, Family::V4),
        Format::Ip6tables => tables(&ruleset, Family::V6),
        Format::Ipset if ruleset.sets.is_empty() => {}
        Format::Ipset => say(render_all(&ruleset).trim_end()),
        Format::Nft => say(nftables::render_fresh(&ruleset).trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

fn tables(ruleset: &Ruleset, family: Family) {
    for name in ruleset.sets.iter().map(EndpointSet::name).filter(|name| name.family() == family) {
        say(&format!("# needs the set {name}: tunwarden rules --format ipset | ipset -exist restore"));
    }
    say(render_fresh(ruleset, family).trim_end());
}

/// Changes the locked situation into the one that the arguments describe.
fn apply_arguments(situation: &mut Situation, args: &Args, every_tunnel: bool) {
    situation.state = args.state;
    let given = args.endpoint.iter().map(|&endpoint| (endpoint, Default::default()));
    let allowance = &mut situation.bootstrap;
    match args.state {
        State::Connecting | State::Protected if !args.endpoint.is_empty() => {
            allowance.endpoints = given.collect();
            allowance.any = false;
        }
        State::Locked | State::Lost | State::Paused | State::Connecting | State::Protected => {
            // If servers are named, not every server is allowed any more.
            allowance.any &= args.endpoint.is_empty();
            allowance.endpoints.extend(given);
        }
    }
    if !every_tunnel {
        situation.named_tunnels = Some(args.tunnel.iter().cloned().collect());
    }
    if args.state == State::Paused {
        let pause = Pause::new(system::now(), SHOWN_PAUSE, PauseScope::Everything);
        let moment = |seconds: u64| jiff::Timestamp::from_second(seconds.cast_signed()).ok();
        (situation.paused_from, situation.paused_until) = (moment(pause.from), moment(pause.until));
    }
}
