//! Targets for files that people and other programs write.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use super::{assert_plain, assert_plain_lines};
use crate::config::{Config, Traffic};
use crate::effects::hosts::{Pins, with_block};
use crate::net::{Endpoint, Family, HostName, IfName, IfPattern, LanPrefix, Port, Server, Transport};
use crate::policy::iptables::render_fresh;
use crate::policy::{Owners, nftables, ruleset};
use crate::setup;
use crate::sources::resolvers;
use crate::system::process;
use crate::vpn::Situation;

/// The configuration. For every valid one, the rules have only known kinds of lines.
pub(super) fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let config = match Config::parse(&text, "config.toml") {
        Ok(config) => config,
        Err(faults) => return assert_plain_lines(&faults.to_string()),
    };
    assert_plain_lines(&config.explain());
    let rules = ruleset(&config, &Owners::from([0]), &Situation::default());
    for family in Family::ALL {
        let text = render_fresh(&rules, family);
        assert_plain_lines(&text);
        for line in text.lines() {
            let known = line == "COMMIT"
                || [":", "*", "-A ", "-I ", "-D ", "#"].iter().any(|start| line.starts_with(start));
            assert!(known, "{line:?}");
        }
    }
    let text = nftables::render_fresh(&rules);
    assert!(text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()), "{text:?}");
}

/// `/etc/hosts`, with pins and without.
pub(super) fn hosts(data: &[u8]) {
    let name = |text: &str| HostName::try_from(text.to_owned()).ok();
    let address = |text: &str| text.parse::<IpAddr>().ok();
    let pin = |(at, of): (&str, &str)| Some((name(of)?, address(at).into_iter().collect()));
    let pins: Pins = [("198.51.100.7", "vpn.example.net"), ("2001:db8::7", "six.example.net")]
        .into_iter()
        .filter_map(pin)
        .collect();
    assert_eq!(pins.len(), 2);
    let none = Pins::new();
    let pinned = with_block(data, &pins);
    assert_eq!(with_block(&pinned, &pins), pinned, "what is pinned is pinned again");
    let released = with_block(&pinned, &none);
    assert_eq!(released, with_block(data, &none), "a release gives back what was there");
    assert_eq!(with_block(&released, &none), released);
}

/// A firewall script, or a text for iptables-restore. The configuration that is made from it is always valid. It lets
/// nothing through the tunnel that no rule in the text allows.
pub(super) fn script(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    setup::worst_change(&text);
    let source = setup::Source { name: "/script".to_owned(), text };
    let plan = setup::plan(&[source], None, &setup::Machine::default());
    let written = setup::configuration(&plan, &[]);
    let config = Config::parse(&written, "config.toml");
    let config = config.unwrap_or_else(|faults| panic!("{written}\n{faults}"));
    if plan.found && plan.tunnel.is_none() {
        assert_eq!(config.tunnel.allow, Traffic::Listed(Vec::new()), "{written}");
    }
}

/// Names, addresses and ports, the files that name resolvers, and the kernel's files on processes.
pub(super) fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for word in text.lines() {
        round::<IfName>(word);
        round::<IfPattern>(word);
        round::<Port>(word);
        round::<Transport>(word);
        round::<Endpoint>(word);
        round::<Server>(word);
        round::<LanPrefix>(word);
        if let Ok(name) = HostName::try_from(word.to_owned()) {
            assert_plain(&name.to_string());
            assert_eq!(HostName::try_from(name.to_string()), Ok(name));
        }
    }
    for address in resolvers::parse(&text) {
        assert!(!(address.is_loopback() || address.is_unspecified() || address.is_multicast()), "{address}");
    }
    let _ = process::parse_effective_uid(&text);
    if let Some(unit) = process::parse_unit(&text) {
        assert!(unit.is_ascii() && !unit.contains(['/', ' ', '\n']), "{unit:?}");
    }
}

/// A value that was read is written on one line, and reading this line gives the same value.
fn round<T: FromStr + Display + PartialEq + std::fmt::Debug>(word: &str) {
    if let Ok(read) = word.parse::<T>() {
        let written = read.to_string();
        assert_plain(&written);
        assert_eq!(written.parse::<T>().ok(), Some(read), "{word:?} is written {written:?}");
    }
}
