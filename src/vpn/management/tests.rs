use super::*;
use crate::config::Config;
use crate::net::Endpoint;
use crate::vpn::{
    Action, Announcement, Event, Link, LinkKind, LinkTable, Machine, OpenVpnFile, Reason, Remembered, Report,
    ReportKind, Reporter, State, TunnelSource,
};

const FILE: &str = "/etc/openvpn/client/work.conf";
const SERVERS: [&str; 3] = ["198.51.100.7:1194/udp", "198.51.100.8:1194/udp", "198.51.100.8:1194/tcp"];

fn endpoints(texts: &[&str]) -> BTreeSet<Endpoint> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn file(path: &str, servers: &[&str]) -> OpenVpnFile {
    let management = Some(ManagementSocket {
        file: path.to_owned(),
        path: "/run/openvpn.sock".to_owned(),
        password: None,
        user: None,
    });
    let (endpoints, names) = (endpoints(servers), BTreeSet::new());
    OpenVpnFile { path: path.to_owned(), endpoints, names, user: None, mark: None, device: None, management }
}

fn tunnel(index: u32, name: &str, address: &str) -> Link {
    Link {
        addresses: vec![address.parse().unwrap()],
        routes: ["0.0.0.0/1", "128.0.0.0/1"].map(|route| route.parse().unwrap()).to_vec(),
        ..Link::plain(index, name, LinkKind::Tunnel)
    }
}

fn connected(server: &str) -> ClientState {
    ClientState::Connected {
        server: Some((server.parse().unwrap(), Port::fixed(1194))),
        addresses: BTreeSet::from(["10.8.0.2".parse().unwrap()]),
    }
}

struct Fixture(Machine);

impl Fixture {
    fn new() -> Self {
        let mut fixture = Self(Machine::new(Config::default(), Remembered::default(), 0));
        fixture.step(Event::OpenVpnFiles(vec![file(FILE, &SERVERS)]));
        fixture
    }

    /// A machine that protects because the client reports a tunnel and the kernel shows it.
    fn protected() -> Self {
        let mut fixture = Self::new();
        fixture.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
        fixture.said(connected("198.51.100.7"));
        assert_eq!(fixture.state(), State::Protected);
        fixture
    }

    /// A machine that protects because a hook of the same client reports a tunnel.
    fn hooked() -> Self {
        let mut fixture = Self::new();
        fixture.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
        fixture.hook(ReportKind::Up);
        assert_eq!(fixture.state(), State::Protected);
        fixture
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.0.step(event, 1)
    }

    fn said(&mut self, said: ClientState) -> Vec<Action> {
        self.step(Event::Management(ManagementMessage { file: FILE.to_owned(), pid: Some(7), said }))
    }

    fn links(&mut self, links: Vec<Link>) -> Vec<Action> {
        self.step(Event::Links(LinkTable { links, ..LinkTable::default() }))
    }

    fn hook(&mut self, kind: ReportKind) {
        let (interface, endpoint) = ("tun0".parse().unwrap(), SERVERS[0].parse().ok());
        self.step(Event::Report(
            Report { kind, interface, pid: Some(7), started: None, endpoint, either: None },
            Reporter::Root,
        ));
    }

    fn state(&self) -> State {
        self.0.situation().state
    }

    fn allowed(&self) -> BTreeSet<Endpoint> {
        self.0.situation().bootstrap.endpoints.into_keys().collect()
    }
}

/// Why it was announced as lost.
fn loss(actions: &[Action]) -> Option<Reason> {
    actions.iter().find_map(|action| {
        let Action::Announce(Announcement::Lost { reason, .. }) = action else { return None };
        Some(*reason)
    })
}

#[test]
fn a_report_of_the_management_socket_alone_protects_nobody() {
    let mut fixture = Fixture::new();
    fixture.said(connected("198.51.100.7"));
    assert_eq!(fixture.state(), State::Locked, "there is no such link");
    assert_eq!(fixture.allowed(), endpoints(&SERVERS), "nothing is on its way");
    let bare = Link { routes: Vec::new(), ..tunnel(3, "tun0", "10.8.0.2/24") };
    fixture.links(vec![bare]);
    assert_ne!(fixture.state(), State::Protected, "nothing is routed into it");
    let other = Link { kind: LinkKind::Other, ..tunnel(3, "tun0", "10.8.0.2/24") };
    fixture.links(vec![other]);
    assert_eq!(fixture.state(), State::Locked, "a network card");
    fixture.links(vec![tunnel(4, "tun0", "10.9.0.2/24")]);
    assert_eq!(fixture.state(), State::Locked, "another address");
}

#[test]
fn a_socket_whose_configuration_is_gone_or_was_never_there_says_nothing() {
    let mut fixture = Fixture::new();
    fixture.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
    let said = connected("198.51.100.7");
    let word = ManagementMessage { file: "/etc/openvpn/else.conf".to_owned(), pid: Some(7), said };
    fixture.step(Event::Management(word));
    assert_eq!(fixture.state(), State::Locked);
    fixture.step(Event::OpenVpnFiles(Vec::new()));
    fixture.said(connected("198.51.100.7"));
    assert_eq!(fixture.state(), State::Locked);
    assert_eq!(fixture.0.management_sockets(), []);
}

#[test]
fn the_management_socket_adds_no_server() {
    let mut fixture = Fixture::new();
    fixture.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
    fixture.said(connected("203.0.113.66"));
    assert_eq!(fixture.allowed(), endpoints(&SERVERS));
    fixture.said(connected("198.51.100.7"));
    assert_eq!(fixture.allowed(), endpoints(&SERVERS[..1]), "the one in use");
    fixture.said(connected("198.51.100.8"));
    assert_eq!(fixture.allowed(), endpoints(&SERVERS[1..]), "its transport is not said");
}

#[test]
fn each_loss_on_the_management_socket_is_immediate_and_names_its_source() {
    for (said, reason) in [
        (ClientState::Reconnecting, Reason::ManagementRestarts),
        (ClientState::Seeking, Reason::ManagementRestarts),
        (ClientState::Exiting, Reason::ManagementEnds),
        (ClientState::Gone, Reason::ManagementClosed),
    ] {
        let mut fixture = Fixture::protected();
        let actions = fixture.said(said);
        assert_eq!((loss(&actions), fixture.state()), (Some(reason), State::Lost));
        assert_eq!(reason.seen_by(), "management");
        assert_eq!(fixture.allowed(), endpoints(&SERVERS), "the row of lost");
    }
    let mut fixture = Fixture::protected();
    assert_eq!(loss(&fixture.said(ClientState::ExitingAsked)), None, "somebody asked for it");
    assert_eq!(fixture.state(), State::Locked);
}

#[test]
fn after_a_loss_on_the_management_socket_only_the_same_socket_reports_the_return() {
    let mut fixture = Fixture::protected();
    fixture.said(ClientState::Reconnecting);
    fixture.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
    fixture.step(Event::Woken);
    assert_eq!(fixture.state(), State::Lost);
    fixture.said(connected("198.51.100.8"));
    assert_eq!(fixture.state(), State::Protected);
    assert_eq!(fixture.allowed(), endpoints(&SERVERS[1..]));
    // Without `persist-tun` the next link is another one.
    fixture.said(ClientState::Reconnecting);
    fixture.links(Vec::new());
    fixture.said(ClientState::Connected {
        server: None,
        addresses: BTreeSet::from(["10.8.0.9".parse().unwrap()]),
    });
    assert_eq!(fixture.state(), State::Lost);
    fixture.links(vec![tunnel(9, "tun1", "10.8.0.9/24")]);
    assert_eq!(fixture.state(), State::Protected);
}

#[test]
fn a_missing_link_is_not_replaced_by_another_with_the_same_address() {
    let mut fixture = Fixture::protected();
    let actions = fixture.links(vec![tunnel(4, "tun0", "10.8.0.2/24")]);
    assert_eq!((loss(&actions), fixture.state()), (Some(Reason::LinkGone), State::Lost));
}

#[test]
fn a_loss_on_the_management_socket_ends_the_hooks_claim_too() {
    let mut fixture = Fixture::hooked();
    fixture.said(connected("198.51.100.7"));
    assert_eq!(fixture.0.situation().tunnels[0].source, TunnelSource::OpenVpn, "the hook has the word");
    assert_eq!(loss(&fixture.said(ClientState::Reconnecting)), Some(Reason::ManagementRestarts));
    assert_eq!(fixture.state(), State::Lost);
    fixture.said(connected("198.51.100.7"));
    assert_eq!(fixture.state(), State::Protected);
    // Another program may only have taken the socket from the agent.
    assert_eq!(loss(&fixture.said(ClientState::Gone)), None);
    assert_eq!(fixture.state(), State::Protected);
    // A message of another process of the same configuration changes nothing.
    let said = ClientState::Reconnecting;
    fixture.step(Event::Management(ManagementMessage { file: FILE.to_owned(), pid: Some(8), said }));
    assert_eq!(fixture.state(), State::Protected);
}

#[test]
fn a_hook_that_comes_later_takes_the_claim_over() {
    let mut fixture = Fixture::protected();
    assert_eq!(fixture.0.situation().tunnels[0].name, "work");
    fixture.hook(ReportKind::Up);
    assert_eq!((fixture.state(), fixture.0.claims.all().len()), (State::Protected, 1));
    assert_eq!(fixture.0.situation().tunnels[0].source, TunnelSource::OpenVpn);
}

#[test]
fn the_clients_process_is_watched_and_its_children_may_report_a_loss() {
    let mut fixture = Fixture::new();
    fixture.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
    assert!(fixture.said(connected("198.51.100.7")).contains(&Action::Watch(7)));
    fixture.step(Event::ClientUser { pid: 7, uid: 65_534 });
    assert!(fixture.0.clients().contains(&7));
    let actions = fixture.step(Event::ClientExited { pid: 7 });
    assert_eq!((loss(&actions), fixture.state()), (Some(Reason::ClientEnded), State::Lost));
}

#[test]
fn a_report_of_connected_does_not_end_a_silence_and_a_packet_does() {
    let mut fixture = Fixture::protected();
    let tunnel = fixture.0.listening()[0].tunnel.clone();
    assert_eq!(loss(&fixture.step(Event::Silent { tunnel: tunnel.clone() })), Some(Reason::SilentServer));
    fixture.said(connected("198.51.100.7"));
    assert_eq!(fixture.state(), State::Lost);
    fixture.step(Event::Heard { tunnel, server: SERVERS[1].parse().unwrap() });
    assert_eq!(fixture.state(), State::Protected);
    assert_eq!(fixture.allowed(), endpoints(&SERVERS[1..2]));
}

#[test]
fn a_client_that_restarts_after_a_silence_ends_the_silence_when_it_is_connected() {
    let mut fixture = Fixture::protected();
    let tunnel = fixture.0.listening()[0].tunnel.clone();
    fixture.step(Event::Silent { tunnel });
    assert_eq!(loss(&fixture.said(ClientState::Reconnecting)), None, "the loss is announced once");
    assert_eq!(fixture.state(), State::Lost);
    fixture.said(connected("198.51.100.8"));
    assert_eq!(fixture.state(), State::Protected);
}

#[test]
fn whether_a_client_is_heard_stays_while_its_file_is_read_again_and_goes_with_it() {
    let mut fixture = Fixture::new();
    let other = "/etc/openvpn/other.conf";
    let socket = file(FILE, &[]).management.unwrap();
    let socket_states = |fixture: &Fixture| -> Vec<(String, SocketState)> {
        fixture
            .0
            .socket_states()
            .map(|(socket, socket_state)| (socket.file.clone(), socket_state.clone()))
            .collect()
    };
    assert_eq!(socket_states(&fixture), [(FILE.to_owned(), SocketState::NoClient)]);
    let unusable = SocketState::Unusable("it is taken".to_owned());
    fixture.step(Event::SocketState(socket.clone(), unusable.clone()));
    fixture.step(Event::OpenVpnFiles(vec![file(FILE, &SERVERS[..1]), file(other, &SERVERS)]));
    let both = [(FILE.to_owned(), unusable.clone()), (other.to_owned(), SocketState::NoClient)];
    assert_eq!(socket_states(&fixture), both);
    fixture.step(Event::OpenVpnFiles(vec![file(other, &SERVERS)]));
    fixture.step(Event::SocketState(socket, unusable));
    assert_eq!(socket_states(&fixture), [(other.to_owned(), SocketState::NoClient)], "its file is gone");
}

#[test]
fn the_next_agent_gets_no_guess_of_the_server_in_use() {
    let mut fixture = Fixture::new();
    fixture.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
    // Two of its servers are there, over UDP and TCP; its hook knows no more.
    fixture.said(connected("198.51.100.8"));
    let (kind, interface, endpoint) = (ReportKind::Up, "tun0".parse().unwrap(), None);
    fixture.step(Event::Report(
        Report { kind, interface, pid: Some(7), started: None, endpoint, either: None },
        Reporter::Root,
    ));
    assert_eq!(fixture.allowed(), endpoints(&SERVERS[1..]));
    assert_eq!(fixture.0.reports().iter().map(|report| report.endpoint).collect::<Vec<_>>(), [None]);
}
