//! Random events, as sources, users, and honest or hostile servers could cause them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::RngSeed;

use super::super::*;
use crate::config::{Access, Config, Dns, Routes, Scope};
use crate::guide::VpnKind;
use crate::net::{Endpoint, IfName, Port, Transport};

/// An event, and the time when it comes, if the clock has moved.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) event: Event,
    pub(super) clock: Option<u64>,
}

const NAMED: (&str, &str) = ("11111111-1111-1111-1111-111111111111", "work");
const OTHER: (&str, &str) = ("22222222-2222-2222-2222-222222222222", "guest");

/// Endpoints, by who can name them. The sets do not overlap, except that the client tries endpoints of all sets.
const CONFIGURED: [&str; 2] = ["198.51.100.1:1194/udp", "[2001:db8::1]:443/tcp"];
const OF_NAMED: [&str; 2] = ["198.51.100.2:1194/udp", "198.51.100.3:443/tcp"];
const OF_OTHER: [&str; 2] = ["203.0.113.1:1194/udp", "203.0.113.2:1194/udp"];
const OF_ROOT: [&str; 2] = ["192.0.2.1:1194/udp", "[2001:db8::2]:1194/udp"];

/// Half of them cannot be written in a rule, or mean something to a shell.
const NAMES: [&str; 13] = [
    "office", "tun0", "tun1", "tun2", "eth0", "lo", "tunusb0", "br-x", "tun\"0", "tun 0", "tun$(id)", "tün0",
    "\u{1}",
];
const ADDRESSES: [&str; 5] =
    ["10.8.0.2/24", "fe80::1/64", "192.168.1.2/24", "203.0.113.5/24", "2001:db8::5/64"];
const ROUTES: [&str; 6] = ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "::/0", "::/1", "10.0.0.0/8"];

/// Every endpoint of an allowance.
pub(super) fn keys(allowance: &Allowance) -> BTreeSet<Endpoint> {
    let kernel = allowance.kernel.iter().map(|(endpoint, _)| *endpoint);
    allowance.endpoints.keys().copied().chain(kernel).collect()
}

fn endpoints(texts: &[&str]) -> Vec<Endpoint> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn interface() -> impl Strategy<Value = IfName> {
    let others = ["tun1", "eth0", "lo", "tunusb0", "tun$(id)"].to_vec();
    prop_oneof![3 => Just("tun0"), 1 => select(others)].prop_map(|name| name.parse().unwrap())
}

pub(super) fn config() -> impl Strategy<Value = Config> {
    let servers = subsequence([&CONFIGURED[..], &["gate.example.net:1194/udp"]].concat(), 0..=3);
    let dns = select(vec![Dns::Pin, Dns::Pin, Dns::Off]);
    let named = select(vec![None, Some(NAMED.0), Some(NAMED.1)]);
    let routes = select(vec![Routes::Default, Routes::Default, Routes::Networks(nets(&["10.0.0.0/8"]))]);
    let scope = select(vec![Scope::Known, Scope::Any, Scope::Auto]);
    (servers, named, routes, scope, dns).prop_map(|(servers, named, routes, scope, dns)| {
        let mut config = Config::default();
        config.bootstrap.servers = servers.iter().map(|server| server.parse().unwrap()).collect();
        config.bootstrap.scope = scope;
        config.bootstrap.dns = dns;
        config.vpn.connections = named.into_iter().map(ToOwned::to_owned).collect();
        config.tunnel.routes = routes;
        config.docker.networks =
            [("a".to_owned(), Access::Lan), ("b".to_owned(), Access::None)].into_iter().collect();
        config
    })
}

pub(super) fn learned() -> impl Strategy<Value = Learned> {
    let vpn = |name: &str, origin, endpoints: Vec<Endpoint>| LearnedVpn {
        name: name.to_owned(),
        origin,
        endpoints: endpoints.into_iter().collect(),
        names: BTreeSet::new(),
        user: None,
        sender: Sender::Client,
        mark: None,
        interface: None,
        manager_marks: false,
    };
    let all = vec![
        (NAMED.0.to_owned(), vpn(NAMED.1, Origin::NetworkManager, endpoints(&OF_NAMED))),
        (OTHER.0.to_owned(), vpn(OTHER.1, Origin::NetworkManager, endpoints(&OF_OTHER))),
        ("hook:tun0".to_owned(), vpn("tun0", Origin::Hook, endpoints(&OF_ROOT))),
    ];
    subsequence(all, 0..=3).prop_map(|kept| kept.into_iter().collect())
}

fn link() -> impl Strategy<Value = Link> {
    let kinds = [
        LinkKind::Tunnel,
        LinkKind::WireGuard,
        LinkKind::OpenVpn,
        LinkKind::Ipsec,
        LinkKind::Loopback,
        LinkKind::Bridge,
        LinkKind::Veth,
        LinkKind::Other,
    ]
    .to_vec();
    let any = (
        select(NAMES.to_vec()),
        select(kinds),
        any::<[bool; 2]>(),
        subsequence(nets(&ADDRESSES), 0..=3),
        subsequence(nets(&ROUTES), 0..=4),
        1..9_u32,
        option::of(1..9_u32),
    )
        .prop_map(|(name, kind, [up, carrier], addresses, routes, index, master)| Link {
            index,
            name: name.to_owned(),
            kind,
            up,
            carrier,
            master,
            addresses,
            routes,
        });
    // What a good tunnel looks like: chance alone would seldom confirm a claim.
    let good = (select(vec!["tun0", "tun0", "tun1"]), 1..3_u32).prop_map(|(name, index)| Link {
        addresses: nets(&ADDRESSES[..1]),
        routes: nets(&["0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/8"]),
        ..Link::plain(index, name, LinkKind::Tunnel)
    });
    // And one that lacks a single thing.
    let nearly = (good.clone(), 0..5).prop_map(|(mut link, lacks)| {
        match lacks {
            0 => link.up = false,
            1 => link.carrier = false,
            2 => link.addresses = nets(&["fe80::1/64"]),
            3 => link.routes.truncate(1),
            _ => link.kind = LinkKind::Other,
        }
        link
    });
    prop_oneof![3 => good, 1 => nearly, 2 => any]
}

fn table() -> impl Strategy<Value = LinkTable> {
    prop::collection::vec(link(), 0..5).prop_map(|links| {
        // The kernel gives no name and no index twice.
        let (mut names, mut indexes) = (BTreeSet::new(), BTreeSet::new());
        let fresh = |link: &Link| names.insert(link.name.clone()) && indexes.insert(link.index);
        LinkTable { links: links.into_iter().filter(fresh).collect(), ..LinkTable::default() }
    })
}

fn profile() -> impl Strategy<Value = Profile> {
    let of = |(uuid, id): (&'static str, &'static str), pool: [&'static str; 2]| {
        let name = ("vpn.example.net".to_owned().try_into().unwrap(), Transport::Udp, Port::fixed(1194));
        let sender = select(vec![Sender::Client, Sender::Client, Sender::Kernel]);
        let mark = option::of(Just(NonZeroU32::MIN));
        (subsequence(endpoints(&pool), 0..=2), subsequence(vec![name], 0..=1), sender, mark).prop_map(
            move |(endpoints, names, sender, mark)| {
                let (uuid, id) = (uuid.to_owned(), id.to_owned());
                Profile {
                    endpoints,
                    names,
                    sender,
                    mark,
                    ..Profile::plain(&uuid, &id, VpnKind::ManagedOpenVpn)
                }
            },
        )
    };
    prop_oneof![of(NAMED, OF_NAMED), of(OTHER, OF_OTHER)]
}

fn active() -> impl Strategy<Value = ActiveVpn> {
    let ends = [VpnEnd::User, VpnEnd::Device, VpnEnd::ServiceStopped, VpnEnd::Timeout, VpnEnd::Other(99)];
    let phases = [VpnPhase::Connecting, VpnPhase::Activated, VpnPhase::Activated, VpnPhase::Activated];
    let phase =
        prop_oneof![4 => select(phases.to_vec()), 1 => select(ends.to_vec()).prop_map(VpnPhase::Ended)];
    let gateways = vec!["198.51.100.2", "203.0.113.1", "203.0.113.77", "127.0.0.1", "255.255.255.255"];
    let gateway = option::of(select(gateways).prop_map(|address| address.parse().unwrap()));
    (select(vec![NAMED, OTHER]), phase, option::of(interface()), gateway, 1..3_u32).prop_map(
        |((uuid, id), phase, interface, gateway, number)| ActiveVpn {
            path: format!("/{uuid}/{number}"),
            uuid: uuid.to_owned(),
            id: id.to_owned(),
            phase,
            interface,
            gateway,
            mark: None,
        },
    )
}

fn view() -> impl Strategy<Value = NmView> {
    let made = prop::collection::btree_set(interface(), 0..2);
    let answered = select(vec![0, 2, u64::MAX]);
    (prop::collection::vec(profile(), 0..3), prop::collection::vec(active(), 0..3), made, answered)
        .prop_map(|(profiles, active, made, answered)| NmView { profiles, active, made, answered })
}

/// What root may have put under /etc/openvpn.
fn files() -> impl Strategy<Value = Vec<OpenVpnFile>> {
    let name = ("gate.example.net".to_owned().try_into().unwrap(), Transport::Udp, Port::fixed(1194));
    let user = option::of(select(vec![0, 65_534]));
    let file = (subsequence(endpoints(&OF_ROOT), 0..=2), subsequence(vec![name], 0..=1), user);
    let file = (file, select(vec!["/etc/openvpn/a.conf", "/etc/openvpn/client/b.conf"]));
    let file = file.prop_map(|((endpoints, names, user), path)| OpenVpnFile {
        path: path.to_owned(),
        endpoints: endpoints.into_iter().collect(),
        names: names.into_iter().collect(),
        user,
        mark: None,
        device: None,
        management: Some(ManagementSocket {
            file: path.to_owned(),
            path: "/run/openvpn.sock".to_owned(),
            password: None,
            user,
        }),
    });
    prop::collection::vec(file, 0..3)
}

/// What root may have put under /etc/wireguard: devices with a tunnel's name, with a card's, and with another.
fn wireguard_files() -> impl Strategy<Value = Vec<WireGuardFile>> {
    let names = vec!["tun0", "eth0", "tunusb0", "br-x", "office"];
    let mark = option::of(Just(NonZeroU32::MIN));
    let file = (subsequence(endpoints(&OF_ROOT), 1..=2), select(names), mark);
    let file = file.prop_map(|(endpoints, name, mark)| WireGuardFile {
        path: format!("/etc/wireguard/{name}.conf"),
        interface: name.parse().unwrap(),
        endpoints: endpoints.into_iter().collect(),
        names: BTreeSet::new(),
        mark,
        keys: BTreeSet::new(),
        own: None,
    });
    prop::collection::vec(file, 0..3)
}

fn kind() -> impl Strategy<Value = ReportKind> {
    select(vec![ReportKind::Up, ReportKind::Up, ReportKind::DownAsked, ReportKind::DownLost])
}

/// What either client has started.
fn client() -> Reporter {
    let processes = [1, 2].map(|pid| Process { pid, started: 500 }).to_vec();
    Reporter::Client(Lineage { uid: 65_534, processes })
}

fn report() -> impl Strategy<Value = (Report, Reporter)> {
    let of = |pool: Vec<Endpoint>, reporter: Reporter| {
        // Mostly of one process, so that the events are about the same tunnel.
        let pid = select(vec![Some(1), Some(1), Some(1), Some(2), None]);
        (kind(), interface(), pid, option::of((select(pool), any::<bool>()))).prop_map(
            move |(kind, interface, pid, server)| {
                let endpoint = server.filter(|(_, whole)| *whole).map(|(server, _)| server);
                let either =
                    server.filter(|(_, whole)| !*whole).map(|(server, _)| (server.address(), server.port()));
                (Report { kind, interface, pid, started: None, endpoint, either }, reporter.clone())
            },
        )
    };
    let everybodys = [CONFIGURED, OF_NAMED, OF_OTHER, OF_ROOT, ["9.9.9.9:1194/udp", "9.9.9.9:53/udp"]];
    prop_oneof![of(endpoints(&OF_ROOT), Reporter::Root), of(endpoints(&everybodys.concat()), client()),]
}

/// An answer for a server name, or for one that was not asked for: with true addresses, hostile ones, or none.
fn resolved() -> impl Strategy<Value = Event> {
    let names = vec!["vpn.example.net", "gate.example.net", "evil.example.net"];
    let answers = ips(&["198.51.100.40", "2001:db8::40", "127.0.0.1", "255.255.255.255", "224.0.0.1"]);
    (select(names), subsequence(answers, 0..=3)).prop_map(|(name, addresses)| Event::Resolved {
        name: name.to_owned().try_into().unwrap(),
        addresses,
    })
}

/// A client on its management socket, of a configuration or of none, with true addresses and others.
fn management() -> impl Strategy<Value = Event> {
    let servers = ips(&["192.0.2.1", "2001:db8::2", "198.51.100.40", "9.9.9.9"]);
    let connected =
        (option::of(select(servers)), subsequence(ips(&["10.8.0.2", "192.168.1.2", "fd00::2"]), 0..=2))
            .prop_map(|(server, addresses)| ClientState::Connected {
                server: server.map(|server| (server, Port::fixed(1194))),
                addresses: addresses.into_iter().collect(),
            });
    let others = vec![
        ClientState::Seeking,
        ClientState::Reconnecting,
        ClientState::ExitingAsked,
        ClientState::Exiting,
        ClientState::Gone,
    ];
    let files = vec!["/etc/openvpn/a.conf", "/etc/openvpn/client/b.conf", "/etc/openvpn/gone.conf"];
    let said = prop_oneof![3 => connected, 2 => select(others)];
    (select(files), select(vec![Some(1), Some(1), Some(2), None]), said).prop_map(|(file, pid, said)| {
        Event::Management(ManagementMessage { file: file.to_owned(), pid, said })
    })
}

/// A tunnel that may be claimed, or was.
fn tunnel() -> impl Strategy<Value = TunnelId> {
    let paths = vec![
        format!("/{}/1", NAMED.0),
        format!("/{}/1", OTHER.0),
        "hook:tun0".to_owned(),
        "hook:tun1".to_owned(),
        "openvpn:/etc/openvpn/a.conf".to_owned(),
    ];
    select(paths).prop_map(TunnelId::named)
}

/// A server that falls silent, and one that answers again: the tunnel's own, another tunnel's, or no VPN's.
fn silence() -> impl Strategy<Value = Event> {
    let servers = endpoints(&[OF_NAMED, OF_OTHER, OF_ROOT, ["9.9.9.9:1194/udp", "9.9.9.9:53/udp"]].concat());
    prop_oneof![
        tunnel().prop_map(|tunnel| Event::Silent { tunnel }),
        (tunnel(), select(servers)).prop_map(|(tunnel, server)| Event::Heard { tunnel, server }),
    ]
}

fn docker() -> impl Strategy<Value = DockerView> {
    let bridge = select(NAMES.to_vec()).prop_map(|name| name.parse().ok());
    let kind = (any::<bool>(), any::<bool>());
    let network =
        (select(vec!["a", "b", "web"]), bridge, kind).prop_map(|(name, bridge, (internal, ipv6))| {
            DockerNetwork { name: name.to_owned(), driver: "bridge".to_owned(), bridge, internal, ipv6 }
        });
    prop::collection::vec(network, 0..4).prop_map(|networks| DockerView {
        version: "28.5.0".to_owned(),
        backend: DockerBackend::Iptables,
        networks,
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => table().prop_map(Event::Links),
        4 => option::weighted(0.9, view()).prop_map(Event::NetworkManager),
        2 => files().prop_map(Event::OpenVpnFiles),
        1 => option::weighted(0.9, docker()).prop_map(Event::Docker),
        6 => report().prop_map(|(report, reporter)| Event::Report(report, reporter)),
        1 => (1..3_u32, select(vec![0, 1000, 65_534])).prop_map(|(pid, uid)| Event::ClientUser { pid, uid }),
        1 => (select(vec![NAMED, OTHER]), 1..3_u32)
            .prop_map(|((uuid, _), number)| Event::Restarting { path: format!("/{uuid}/{number}") }),
        1 => any::<bool>().prop_map(|back| Event::Reconnected(if back { Ok(()) } else { Err("no".into()) })),
        1 => (1..3_u32).prop_map(|pid| Event::ClientExited { pid }),
        1 => prop_oneof![999_990..1_000_100_u64, Just(0), Just(u64::MAX)]
            .prop_flat_map(|until| (999_900..1_000_050_u64, select(vec![PauseScope::Everything, PauseScope::Portal]))
                .prop_map(move |(from, scope)| Event::Pause(Pause { from, until, scope }))),
        4 => management(),
        2 => silence(),
        2 => Just(Event::Begun),
        1 => Just(Event::ManagerUnread),
        2 => wireguard_files().prop_map(Event::WireGuardFiles),
        1 => Just(Event::Resume),
        1 => Just(Event::Clock),
        1 => Just(Event::Woken),
        1 => subsequence(ips(&["10.0.0.1", "2001:db8::53"]), 0..=2)
            .prop_map(|resolvers| Event::Resolvers(resolvers.into_iter().collect())),
        2 => resolved(),
        1 => config().prop_map(|config| Event::Config(Box::new(config))),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    // A clock that is set, also back.
    let clock = option::weighted(0.3, prop_oneof![9 => 999_000..1_000_200_u64, 1 => any::<u64>()]);
    prop::collection::vec((event(), clock).prop_map(|(event, clock)| Step { event, clock }), 1..25)
}

/// The same cases in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` look further.
pub(super) fn from_one_seed() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let rng_seed = match config.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1194),
        RngSeed::Fixed(seed) => RngSeed::Fixed(seed),
    };
    ProptestConfig { rng_seed, ..config }
}
