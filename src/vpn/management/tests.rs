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

struct Story(Machine);

impl Story {
    fn new() -> Self {
        let mut story = Self(Machine::new(Config::default(), Remembered::default(), 0));
        story.step(Event::OpenVpnFiles(vec![file(FILE, &SERVERS)]));
        story
    }

    /// A machine that protects because the client reports a tunnel and the kernel shows it.
    fn protected() -> Self {
        let mut story = Self::new();
        story.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
        story.said(connected("198.51.100.7"));
        assert_eq!(story.state(), State::Protected);
        story
    }

    /// A machine that protects because a hook of the same client reports a tunnel.
    fn hooked() -> Self {
        let mut story = Self::new();
        story.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
        story.hook(ReportKind::Up);
        assert_eq!(story.state(), State::Protected);
        story
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
    let mut story = Story::new();
    story.said(connected("198.51.100.7"));
    assert_eq!(story.state(), State::Locked, "there is no such link");
    assert_eq!(story.allowed(), endpoints(&SERVERS), "nothing is on its way");
    let bare = Link { routes: Vec::new(), ..tunnel(3, "tun0", "10.8.0.2/24") };
    story.links(vec![bare]);
    assert_ne!(story.state(), State::Protected, "nothing is routed into it");
    let other = Link { kind: LinkKind::Other, ..tunnel(3, "tun0", "10.8.0.2/24") };
    story.links(vec![other]);
    assert_eq!(story.state(), State::Locked, "a network card");
    story.links(vec![tunnel(4, "tun0", "10.9.0.2/24")]);
    assert_eq!(story.state(), State::Locked, "another address");
}

#[test]
fn a_socket_whose_configuration_is_gone_or_was_never_there_says_nothing() {
    let mut story = Story::new();
    story.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
    let said = connected("198.51.100.7");
    let word = ManagementMessage { file: "/etc/openvpn/else.conf".to_owned(), pid: Some(7), said };
    story.step(Event::Management(word));
    assert_eq!(story.state(), State::Locked);
    story.step(Event::OpenVpnFiles(Vec::new()));
    story.said(connected("198.51.100.7"));
    assert_eq!(story.state(), State::Locked);
    assert_eq!(story.0.management_sockets(), []);
}

#[test]
fn the_management_socket_adds_no_server() {
    let mut story = Story::new();
    story.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
    story.said(connected("203.0.113.66"));
    assert_eq!(story.allowed(), endpoints(&SERVERS));
    story.said(connected("198.51.100.7"));
    assert_eq!(story.allowed(), endpoints(&SERVERS[..1]), "the one in use");
    story.said(connected("198.51.100.8"));
    assert_eq!(story.allowed(), endpoints(&SERVERS[1..]), "its transport is not said");
}

#[test]
fn each_loss_on_the_management_socket_is_immediate_and_names_its_source() {
    for (said, reason) in [
        (ClientState::Reconnecting, Reason::ManagementRestarts),
        (ClientState::Seeking, Reason::ManagementRestarts),
        (ClientState::Exiting, Reason::ManagementEnds),
        (ClientState::Gone, Reason::ManagementClosed),
    ] {
        let mut story = Story::protected();
        let actions = story.said(said);
        assert_eq!((loss(&actions), story.state()), (Some(reason), State::Lost));
        assert_eq!(reason.seen_by(), "management");
        assert_eq!(story.allowed(), endpoints(&SERVERS), "the row of lost");
    }
    let mut story = Story::protected();
    assert_eq!(loss(&story.said(ClientState::ExitingAsked)), None, "somebody asked for it");
    assert_eq!(story.state(), State::Locked);
}

#[test]
fn after_a_loss_on_the_management_socket_only_the_same_socket_reports_the_return() {
    let mut story = Story::protected();
    story.said(ClientState::Reconnecting);
    story.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
    story.step(Event::Woken);
    assert_eq!(story.state(), State::Lost);
    story.said(connected("198.51.100.8"));
    assert_eq!(story.state(), State::Protected);
    assert_eq!(story.allowed(), endpoints(&SERVERS[1..]));
    // Without `persist-tun` the next link is another one.
    story.said(ClientState::Reconnecting);
    story.links(Vec::new());
    story.said(ClientState::Connected {
        server: None,
        addresses: BTreeSet::from(["10.8.0.9".parse().unwrap()]),
    });
    assert_eq!(story.state(), State::Lost);
    story.links(vec![tunnel(9, "tun1", "10.8.0.9/24")]);
    assert_eq!(story.state(), State::Protected);
}

#[test]
fn a_missing_link_is_not_replaced_by_another_with_the_same_address() {
    let mut story = Story::protected();
    let actions = story.links(vec![tunnel(4, "tun0", "10.8.0.2/24")]);
    assert_eq!((loss(&actions), story.state()), (Some(Reason::LinkGone), State::Lost));
}

#[test]
fn a_loss_on_the_management_socket_ends_the_hooks_claim_too() {
    let mut story = Story::hooked();
    story.said(connected("198.51.100.7"));
    assert_eq!(story.0.situation().tunnels[0].source, TunnelSource::OpenVpn, "the hook has the word");
    assert_eq!(loss(&story.said(ClientState::Reconnecting)), Some(Reason::ManagementRestarts));
    assert_eq!(story.state(), State::Lost);
    story.said(connected("198.51.100.7"));
    assert_eq!(story.state(), State::Protected);
    // Another program may only have taken the socket from the agent.
    assert_eq!(loss(&story.said(ClientState::Gone)), None);
    assert_eq!(story.state(), State::Protected);
    // A message of another process of the same configuration changes nothing.
    let said = ClientState::Reconnecting;
    story.step(Event::Management(ManagementMessage { file: FILE.to_owned(), pid: Some(8), said }));
    assert_eq!(story.state(), State::Protected);
}

#[test]
fn a_hook_that_comes_later_takes_the_claim_over() {
    let mut story = Story::protected();
    assert_eq!(story.0.situation().tunnels[0].name, "work");
    story.hook(ReportKind::Up);
    assert_eq!((story.state(), story.0.claims.all().len()), (State::Protected, 1));
    assert_eq!(story.0.situation().tunnels[0].source, TunnelSource::OpenVpn);
}

#[test]
fn the_clients_process_is_watched_and_its_children_may_report_a_loss() {
    let mut story = Story::new();
    story.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
    assert!(story.said(connected("198.51.100.7")).contains(&Action::Watch(7)));
    story.step(Event::ClientUser { pid: 7, uid: 65_534 });
    assert!(story.0.clients().contains(&7));
    let actions = story.step(Event::ClientExited { pid: 7 });
    assert_eq!((loss(&actions), story.state()), (Some(Reason::ClientEnded), State::Lost));
}

#[test]
fn a_report_of_connected_does_not_end_a_silence_and_a_packet_does() {
    let mut story = Story::protected();
    let tunnel = story.0.listening()[0].tunnel.clone();
    assert_eq!(loss(&story.step(Event::Silent { tunnel: tunnel.clone() })), Some(Reason::SilentServer));
    story.said(connected("198.51.100.7"));
    assert_eq!(story.state(), State::Lost);
    story.step(Event::Heard { tunnel, server: SERVERS[1].parse().unwrap() });
    assert_eq!(story.state(), State::Protected);
    assert_eq!(story.allowed(), endpoints(&SERVERS[1..2]));
}

#[test]
fn a_client_that_restarts_after_a_silence_ends_the_silence_when_it_is_connected() {
    let mut story = Story::protected();
    let tunnel = story.0.listening()[0].tunnel.clone();
    story.step(Event::Silent { tunnel });
    assert_eq!(loss(&story.said(ClientState::Reconnecting)), None, "the loss is announced once");
    assert_eq!(story.state(), State::Lost);
    story.said(connected("198.51.100.8"));
    assert_eq!(story.state(), State::Protected);
}

#[test]
fn whether_a_client_is_heard_stays_while_its_file_is_read_again_and_goes_with_it() {
    let mut story = Story::new();
    let other = "/etc/openvpn/other.conf";
    let socket = file(FILE, &[]).management.unwrap();
    let socket_states = |story: &Story| -> Vec<(String, SocketState)> {
        story
            .0
            .socket_states()
            .map(|(socket, socket_state)| (socket.file.clone(), socket_state.clone()))
            .collect()
    };
    assert_eq!(socket_states(&story), [(FILE.to_owned(), SocketState::NoClient)]);
    let unusable = SocketState::Unusable("it is taken".to_owned());
    story.step(Event::SocketState(socket.clone(), unusable.clone()));
    story.step(Event::OpenVpnFiles(vec![file(FILE, &SERVERS[..1]), file(other, &SERVERS)]));
    let both = [(FILE.to_owned(), unusable.clone()), (other.to_owned(), SocketState::NoClient)];
    assert_eq!(socket_states(&story), both);
    story.step(Event::OpenVpnFiles(vec![file(other, &SERVERS)]));
    story.step(Event::SocketState(socket, unusable));
    assert_eq!(socket_states(&story), [(other.to_owned(), SocketState::NoClient)], "its file is gone");
}

#[test]
fn the_next_agent_gets_no_guess_of_the_server_in_use() {
    let mut story = Story::new();
    story.links(vec![tunnel(3, "tun0", "10.8.0.2/24")]);
    // Two of its servers are there, over UDP and TCP; its hook knows no more.
    story.said(connected("198.51.100.8"));
    let (kind, interface, endpoint) = (ReportKind::Up, "tun0".parse().unwrap(), None);
    story.step(Event::Report(
        Report { kind, interface, pid: Some(7), started: None, endpoint, either: None },
        Reporter::Root,
    ));
    assert_eq!(story.allowed(), endpoints(&SERVERS[1..]));
    assert_eq!(story.0.reports().iter().map(|report| report.endpoint).collect::<Vec<_>>(), [None]);
}
