use super::super::resolved::{KEPT_UNUSED, MAX_ADDRESSES};
use super::super::*;
use super::*;
use crate::config::Config;
use crate::guide::VpnKind;
use crate::net::{Port, Transport};

fn name() -> HostName {
    "vpn.example.net".to_owned().try_into().unwrap()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// With one resolver, and one name to look up.
fn resolution() -> Resolution {
    let (resolvers, wanted) = (ips(&["192.0.2.53"]).into_iter().collect(), BTreeSet::from([name()]));
    Resolution { resolvers, wanted, ..Resolution::default() }
}

#[test]
fn impossible_addresses_are_left_out_and_the_others_count() {
    let mut resolution = resolution();
    let answer = ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "ff02::1"];
    resolution.take(name(), &ips(&answer), 1000);
    assert!(resolution.names.is_empty());
    resolution.take(name(), &ips(&[&answer[..], &["198.51.100.7"]].concat()), 1000);
    let kept: Vec<IpAddr> = resolution.names[&name()].addresses().collect();
    assert_eq!(kept, ips(&["198.51.100.7"]));
}

#[test]
fn an_address_stays_when_the_server_has_moved_and_only_the_last_answer_is_current() {
    let mut resolution = resolution();
    resolution.take(name(), &ips(&["198.51.100.7"]), 1000);
    resolution.take(name(), &ips(&["198.51.100.8"]), 2000);
    resolution.take(name(), &[], 3000);
    let resolved = &resolution.names[&name()];
    assert_eq!(resolved.addresses().collect::<Vec<_>>(), ips(&["198.51.100.7", "198.51.100.8"]));
    assert_eq!(resolved.current().collect::<Vec<_>>(), ips(&["198.51.100.8"]));
}

#[test]
fn the_number_of_addresses_is_bounded_and_the_oldest_go_first() {
    let mut resolution = resolution();
    let many = |net: u8| (0..250).map(|host| IpAddr::from([198, 51, net, host])).collect::<Vec<_>>();
    resolution.take(name(), &many(1), 1000);
    assert_eq!(resolution.names[&name()].addresses().count(), MAX_ADDRESSES);
    resolution.take(name(), &many(2)[..10], 2000);
    let kept: Vec<IpAddr> = resolution.names[&name()].addresses().collect();
    assert_eq!(kept.len(), MAX_ADDRESSES);
    assert!(many(2)[..10].iter().all(|address| kept.contains(address)));
}

#[test]
fn a_name_is_looked_up_at_once_and_less_often_after_failures() {
    let mut resolution = resolution();
    let mut now = 1000;
    let mut waits = Vec::new();
    for _ in 0..10 {
        assert_eq!(resolution.ask(State::Locked, now), [name()]);
        assert!(resolution.ask(State::Locked, now).is_empty(), "it is under way");
        resolution.take(name(), &[], now);
        let next = resolution.next_moment(State::Locked, now).unwrap();
        waits.push(next - now);
        now = next;
    }
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    resolution.retry_now();
    assert_eq!(resolution.ask(State::Locked, now - 300), [name()], "the network is another");
}

#[test]
fn an_answer_expires_earlier_while_the_server_is_needed_and_not_reached() {
    let mut resolution = resolution();
    resolution.take(name(), &ips(&["198.51.100.7"]), 1000);
    let next = |state| resolution.next_moment(state, 1000).unwrap() - 1000;
    assert_eq!(State::ALL.map(next), [3600, 30, 1800, 30, 3600]);
}

#[test]
fn a_clock_that_was_set_back_makes_a_name_due_and_a_lost_question_is_asked_again() {
    let mut resolution = resolution();
    resolution.take(name(), &ips(&["198.51.100.7"]), 1_000_000);
    assert_eq!(resolution.ask(State::Locked, 500), [name()]);
    assert!(resolution.ask(State::Locked, 559).is_empty());
    assert_eq!(resolution.ask(State::Locked, 560), [name()]);
}

#[test]
fn without_a_resolver_no_question_is_sent_and_no_timer_runs() {
    let mut resolution = resolution();
    resolution.resolvers.clear();
    assert!(resolution.ask(State::Lost, 1000).is_empty());
    assert_eq!(resolution.next_moment(State::Lost, 1000), None);
}

fn profile(uuid: &str, server: &str) -> Profile {
    let name = (server.to_owned().try_into().unwrap(), Transport::Udp, Port::fixed(1194));
    Profile { names: vec![name], ..Profile::plain(uuid, uuid, VpnKind::ManagedOpenVpn) }
}

/// A tunnel that carries everything, as the kernel shows it.
fn tunnel() -> LinkTable {
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    LinkTable {
        links: vec![Link {
            addresses: nets(&["10.8.0.2/24"]),
            routes: nets(&["0.0.0.0/1", "128.0.0.0/1"]),
            ..Link::plain(7, "tun0", LinkKind::Tunnel)
        }],
        ..LinkTable::default()
    }
}

#[test]
fn while_a_vpn_protects_only_its_own_name_is_pinned() {
    let mut config = Config::default();
    config.vpn.connections = vec!["mine".to_owned(), "planted".to_owned()];
    let mut machine = Machine::new(config, Remembered::default(), 1000);
    let profiles = vec![profile("mine", "vpn.example.net"), profile("planted", "www.example.org")];
    let view = NmView { profiles, ..NmView::default() };
    machine.step(Event::NetworkManager(Some(view.clone())), 1000);
    machine.step(Event::Resolvers(ips(&["192.0.2.53"]).into_iter().collect()), 1000);
    for (name, address) in [("vpn.example.net", "198.51.100.7"), ("www.example.org", "203.0.113.66")] {
        let name = name.to_owned().try_into().unwrap();
        machine.step(Event::Resolved { name, addresses: ips(&[address]) }, 1000);
    }
    let pinned = |machine: &Machine| machine.pins().keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(pinned(&machine), ["vpn.example.net", "www.example.org"]);

    let active = ActiveVpn {
        path: "/1".to_owned(),
        uuid: "mine".to_owned(),
        id: "mine".to_owned(),
        phase: VpnPhase::Activated,
        interface: Some("tun0".parse().unwrap()),
        gateway: None,
        mark: None,
    };
    machine.step(Event::Links(tunnel()), 1001);
    machine.step(Event::NetworkManager(Some(NmView { active: vec![active], ..view })), 1001);
    assert_eq!(machine.situation().state, State::Protected);
    assert_eq!(pinned(&machine), ["vpn.example.net"]);
    machine.step(Event::Links(LinkTable::default()), 1002);
    assert_eq!(pinned(&machine), ["vpn.example.net", "www.example.org"], "lost, every client may look");
}

fn activated(uuid: &str, phase: VpnPhase) -> ActiveVpn {
    ActiveVpn {
        path: format!("/{uuid}"),
        uuid: uuid.to_owned(),
        id: uuid.to_owned(),
        phase,
        interface: None,
        gateway: None,
        mark: None,
    }
}

/// A machine with a resolver and the names that a step asks for.
struct Asked(Machine);

impl Asked {
    fn new() -> Self {
        let mut machine = Machine::new(Config::default(), Remembered::default(), 1000);
        machine.step(Event::Resolvers(ips(&["192.0.2.53"]).into_iter().collect()), 1000);
        Self(machine)
    }

    fn step(&mut self, event: Event, now: u64) -> Vec<String> {
        let actions = self.0.step(event, now).into_iter();
        let asked = actions
            .filter_map(|action| if let Action::LookUp { names, .. } = action { Some(names) } else { None });
        asked.flatten().map(|name| name.to_string()).collect()
    }
}

fn view(profiles: &[Profile], active: Vec<ActiveVpn>) -> Event {
    Event::NetworkManager(Some(NmView { profiles: profiles.to_vec(), active, ..NmView::default() }))
}

#[test]
fn a_user_s_name_is_asked_for_and_pinned_while_its_profile_is_being_activated_and_no_longer() {
    let mut asked = Asked::new();
    let profiles = [profile("users", "vpn.example.net")];
    assert_eq!(asked.step(view(&profiles, Vec::new()), 1000), [""; 0], "at rest");
    assert!(asked.0.resolvers().is_empty(), "nobody may be asked");
    assert!(!asked.0.situation().bootstrap.any, "a server is known, if only by name");
    let connecting = || vec![activated("users", VpnPhase::Connecting)];
    assert_eq!(asked.step(view(&profiles, connecting()), 1001), ["vpn.example.net"]);
    asked.step(Event::Resolved { name: name(), addresses: ips(&["198.51.100.7"]) }, 1001);
    assert_eq!(asked.0.pins().len(), 1);
    let allowed = |asked: &Asked| asked.0.situation().bootstrap.endpoints.len();
    assert_eq!(allowed(&asked), 1);
    let ended = vec![activated("users", VpnPhase::Ended(VpnEnd::Timeout))];
    asked.step(view(&profiles, ended), 1002);
    assert_eq!((asked.0.pins().len(), allowed(&asked)), (0, 0), "the activation has ended");
    assert_eq!(asked.step(Event::Clock, 100_000), [""; 0]);
}

#[test]
fn names_of_this_machine_and_addresses_of_its_own_are_nobody_s_server() {
    let mut asked = Asked::new();
    for own in ["localhost", "vpn", "printer.local", "x.localhost"] {
        let connecting = vec![activated("users", VpnPhase::Connecting)];
        assert_eq!(asked.step(view(&[profile("users", own)], connecting), 1000), [""; 0], "{own}");
        let left_out = asked.0.left_out();
        assert!(matches!(left_out.first(), Some((_, LeftOut::Names(..)))), "{own}: {left_out:?}");
    }
    let mut links = tunnel();
    links.links[0].addresses.push("10.0.0.2/24".parse().unwrap());
    asked.step(Event::Links(links), 1000);
    let connecting = vec![activated("users", VpnPhase::Connecting)];
    asked.step(view(&[profile("users", "vpn.example.net")], connecting), 1000);
    asked.step(Event::Resolved { name: name(), addresses: ips(&["10.0.0.2", "10.0.0.9"]) }, 1000);
    assert_eq!(asked.0.pins()[&name()], ips(&["10.0.0.9"]).into_iter().collect());
}

#[test]
fn users_profiles_tell_the_resolver_a_bounded_number_of_names_an_hour() {
    let mut asked = Asked::new();
    let mut told = BTreeSet::new();
    let mut activate = |asked: &mut Asked, nth: usize, now: u64| {
        let profiles = [profile("users", &format!("secret-{nth}.example.net"))];
        let new = asked.step(view(&profiles, vec![activated("users", VpnPhase::Connecting)]), now);
        asked.step(view(&profiles, vec![activated("users", VpnPhase::Ended(VpnEnd::User))]), now);
        told.extend(new);
        told.len()
    };
    for nth in 0..100 {
        activate(&mut asked, nth, 1000);
    }
    assert_eq!(activate(&mut asked, 0, 1001), MAX_NAMES_OF_USERS, "a name that was asked for before");
    assert_eq!(activate(&mut asked, 200, 1000 + HOUR), MAX_NAMES_OF_USERS + 1, "an hour later");
    // A profile of many names at once: the machine is woken when there is room, and not before.
    let mut many = profile("users", "a.example.net");
    many.names = (0..100).map(|n| profile("", &format!("many-{n}.example.net")).names.remove(0)).collect();
    let mut asked = Asked::new();
    let profiles = [many];
    let connecting = view(&profiles, vec![activated("users", VpnPhase::Connecting)]);
    assert_eq!(asked.step(connecting, 1000).len(), MAX_NAMES_OF_USERS);
    assert!(asked.0.left_out().iter().any(|(_, what)| matches!(what, LeftOut::TooManyNames(_))));
    assert!(asked.0.next_moment(1000).is_some_and(|next| next > 1000), "it would be woken again and again");
}

#[test]
fn a_forged_answer_ages_out_of_the_endpoints_although_no_other_event_comes() {
    let config = Config::parse("bootstrap.servers = [\"vpn.example.net\"]", "test").unwrap();
    let mut machine = Machine::new(config, Remembered::default(), 1000);
    machine.step(Event::Resolvers(ips(&["192.0.2.53"]).into_iter().collect()), 1000);
    let allowed = |machine: &Machine| -> Vec<IpAddr> {
        machine.situation().bootstrap.endpoints.keys().map(|server| server.address()).collect()
    };
    let answer = |address: &str| Event::Resolved { name: name(), addresses: ips(&[address]) };
    machine.step(answer("203.0.113.66"), 1000);
    machine.step(answer("198.51.100.7"), 5000);
    assert_eq!(allowed(&machine), ips(&["198.51.100.7", "203.0.113.66"]));
    // No resolver answers any more. The machine still asks to be woken.
    let (mut now, mut woken) = (5000, 0);
    while now < 5000 + 2 * KEPT_UNUSED {
        now = machine.next_moment(now).unwrap();
        woken += 1;
        machine.step(Event::Clock, now);
        machine.step(Event::Resolved { name: name(), addresses: Vec::new() }, now);
        let forged = allowed(&machine).contains(&ips(&["203.0.113.66"])[0]);
        assert_eq!(forged, now < 1000 + KEPT_UNUSED, "at {now}");
        assert_eq!(allowed(&machine).is_empty(), now >= 5000 + KEPT_UNUSED, "at {now}");
    }
    assert!(woken < 2000, "woken {woken} times in two days");
    assert!(!machine.situation().bootstrap.any, "a name is known");
}

#[test]
fn an_agent_that_was_restarted_forgets_no_server_before_networkmanager_has_answered() {
    let config = || Config::parse("bootstrap.servers = [\"vpn.example.net\"]", "test").unwrap();
    let mut resolution = resolution();
    resolution.take(name(), &ips(&["198.51.100.7"]), 1000);
    let remembered = Remembered { names: resolution.names.clone(), ..Remembered::default() };
    let start = 1000 + KEPT_UNUSED;
    let mut machine = Machine::new(config(), remembered, start);
    let knows = |machine: &Machine| !machine.situation().bootstrap.endpoints.is_empty();
    machine.step(Event::Clock, start);
    assert!(knows(&machine), "a VPN that is up may use this server");
    machine.step(Event::NetworkManager(Some(NmView::default())), start);
    assert!(!knows(&machine), "no VPN uses it");
}

/// A WireGuard profile of a user that is up, as NetworkManager lists it, and its link.
fn wireguard_in_use() -> (Event, Event) {
    let mut profile = profile("users", "vpn.example.net");
    (profile.sender, profile.mark) = (Sender::Kernel, std::num::NonZeroU32::new(7));
    let interface = Some("tun0".parse().unwrap());
    let active = ActiveVpn { interface, ..activated("users", VpnPhase::Activated) };
    let mut links = tunnel();
    links.links[0].kind = LinkKind::WireGuard;
    (view(&[profile], vec![active]), Event::Links(links))
}

#[test]
fn an_agent_that_was_restarted_keeps_the_server_of_a_user_s_profile_that_is_up() {
    let mut first = Asked::new().0;
    let (view, links) = wireguard_in_use();
    first.step(links.clone(), 1000);
    first.step(view.clone(), 1000);
    first.step(Event::Resolved { name: name(), addresses: ips(&["198.51.100.7"]) }, 1000);
    let allowed = |machine: &Machine| machine.situation().bootstrap.kernel.len();
    assert_eq!((first.situation().state, allowed(&first)), (State::Protected, 1));

    let learned = Some(first.facts.learning.all().clone());
    let names = first.facts.names.all().clone();
    let remembered = Remembered { learned, names, ..Remembered::default() };
    let next = || {
        let mut next = Machine::new(Config::default(), remembered.clone(), 2000);
        next.step(links.clone(), 2000);
        // Root's files are read before NetworkManager answers.
        next.step(Event::OpenVpnFiles(Vec::new()), 2000);
        next
    };
    let mut same = next();
    same.step(view, 2001);
    assert_eq!((same.situation().state, allowed(&same)), (State::Protected, 1));
    let mut idle = next();
    idle.step(Event::NetworkManager(Some(NmView::default())), 2001);
    assert!(idle.facts.names.all().is_empty(), "nobody uses the name");
    let mut alone = next();
    alone.step(Event::Clock, 2000 + 600);
    assert!(alone.facts.names.all().is_empty(), "NetworkManager did not answer in time");
}

#[test]
fn a_wireguard_server_has_to_answer_what_goes_into_the_tunnel_and_no_keepalive() {
    let mut machine = Asked::new().0;
    let (view, links) = wireguard_in_use();
    machine.step(links, 1000);
    machine.step(view, 1000);
    machine.step(Event::Resolved { name: name(), addresses: ips(&["198.51.100.7"]) }, 1000);
    let answered: Vec<Answered> = machine.listening().iter().map(|tunnel| tunnel.answered).collect();
    assert_eq!(answered, [Answered::IntoTunnel]);
}
