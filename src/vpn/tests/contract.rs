//! The row of the contract for the current state, checked after every random step.

use super::*;

/// The promises of the contract for the state, computed from the events alone and not from the machine.
pub(super) fn the_contract_holds(
    machine: &Machine,
    reported: &Reported,
    now: u64,
) -> Result<(), TestCaseError> {
    the_allowance_is_bounded(machine, reported)?;
    the_lan_holds_no_tunnel_and_no_bridge(machine, reported)?;
    protected_has_a_tunnel(machine, reported)?;
    a_pause_ends_at_its_deadline(machine, reported, now)?;
    only_named_tunnels_carry(machine, reported)
}

fn the_allowance_is_bounded(machine: &Machine, reported: &Reported) -> Result<(), TestCaseError> {
    let (config, is) = (machine.config(), machine.situation());
    let bound = reported.endpoints(config);
    prop_assert!(keys(&is.bootstrap).is_subset(&bound), "{:?} beyond {bound:?}", is.bootstrap);
    let lost = machine.known().allowance(State::Lost);
    prop_assert!(keys(&is.bootstrap).is_subset(&keys(&lost)), "wider than locked");
    if is.bootstrap.any {
        let nothing_known = keys(&is.bootstrap).is_empty() && machine.known().wanted_names().is_empty();
        let open = match config.bootstrap.scope {
            Scope::Any => true,
            Scope::Auto => nothing_known,
            Scope::Known | Scope::Nothing => false,
        };
        prop_assert!(open, "open to any address");
    }
    Ok(())
}

fn the_lan_holds_no_tunnel_and_no_bridge(
    machine: &Machine,
    reported: &Reported,
) -> Result<(), TestCaseError> {
    let is = machine.situation();
    let tunnels =
        reported.links.links.iter().filter(|link| link.name.starts_with("tun") && link.kind.is_tunnel());
    for own in tunnels.flat_map(Link::own_addresses) {
        let lan = || is.uplinks.iter().flat_map(|uplink| &uplink.prefixes);
        prop_assert!(!lan().any(|prefix| prefix.net().contains(&own)), "{own} of a tunnel is in the LAN");
    }
    let networks = is.networks.iter().map(|network| &network.bridge);
    for name in networks.chain(is.ipv4_bridges.iter().chain(&is.ipv6_bridges).map(|open| &open.bridge)) {
        let bridge = reported.links.named(name);
        prop_assert!(bridge.is_some_and(|link| link.kind == LinkKind::Bridge), "{name}");
        prop_assert!(is.uplinks.iter().all(|uplink| uplink.interface != *name), "{name}");
    }
    Ok(())
}

fn protected_has_a_tunnel(machine: &Machine, reported: &Reported) -> Result<(), TestCaseError> {
    let (config, is) = (machine.config(), machine.situation());
    if is.state != State::Protected {
        return Ok(());
    }
    prop_assert!(reported.kernel_shows_a_tunnel(config), "protected by no tunnel");
    prop_assert!(is.tunnels.iter().any(|tunnel| tunnel.carrying));
    let carrying = || machine.claims.all().iter().filter(|claim| claim.standing == Standing::Carrying);
    if carrying().all(|claim| !claim.endpoints.is_empty()) {
        let in_use: BTreeSet<Endpoint> = carrying().flat_map(|claim| claim.endpoints.clone()).collect();
        // Only root can allow endpoints to which the kernel sends without a mark.
        let kernel = |claim: &claim::Claim| machine.facts.sender(claim) == Sender::Kernel;
        prop_assert!(keys(&is.bootstrap).is_subset(&in_use));
        prop_assert!(carrying().any(kernel) || keys(&is.bootstrap) == in_use);
        prop_assert!(!is.bootstrap.any);
    }
    Ok(())
}

fn a_pause_ends_at_its_deadline(
    machine: &Machine,
    reported: &Reported,
    now: u64,
) -> Result<(), TestCaseError> {
    let is = machine.situation();
    prop_assert_eq!(is.state == State::Paused, is.paused_until.is_some());
    let Some(moment) = is.paused_until else { return Ok(()) };
    let pause = reported.pause.unwrap();
    let until = i64::try_from(pause.until).ok();
    prop_assert_eq!(until.and_then(|until| Timestamp::from_second(until).ok()), Some(moment));
    prop_assert!(pause.from <= now, "paused before it began");
    prop_assert!(pause.scope == PauseScope::Everything || machine.state_without_pause() != State::Protected);
    prop_assert!(u64::try_from(moment.as_second()).unwrap() > now, "paused beyond its deadline");
    Ok(())
}

fn only_named_tunnels_carry(machine: &Machine, reported: &Reported) -> Result<(), TestCaseError> {
    let (config, is) = (machine.config(), machine.situation());
    prop_assert_eq!(is.named_tunnels.is_none(), config.vpn.connections.is_empty());
    for name in &is.further_tunnels {
        let own = reported.links.named(name).is_some_and(|link| link.kind.is_tunnel());
        prop_assert!(own && reported.devices.contains(name.as_str()), "{name} is no device of root's");
        prop_assert!(config.vpn.connections.is_empty(), "{name} is not named");
    }
    for claim in machine.claims.all().iter().filter(|claim| claim.claimant == Claimant::Kernel) {
        let users = |link: &Link| machine.facts.links.may_be_users(link);
        prop_assert!(
            !claim.link(&reported.links, config).is_some_and(users),
            "{:?} may be a user's",
            claim.interface
        );
    }
    for name in is.named_tunnels.iter().flatten() {
        prop_assert!(reported.may_carry(name.as_str(), config), "{name} carries for nobody");
        let own = |claim: &claim::Claim| claim.interface.as_ref() == Some(name);
        let links = &reported.links;
        prop_assert!(
            machine.claims.all().iter().any(|claim| own(claim) && claim.link(links, config).is_some()),
            "{name} is not the link that a source has named"
        );
    }
    Ok(())
}
