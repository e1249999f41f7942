//! Tunnels without a known server: for how long they wait for a report, and what they open.

use std::collections::BTreeSet;

use super::super::*;
use super::kernel::{begun, left_out, link, links};

/// A client of root's whose management socket the agent is connected to, and that has no server yet.
fn client_without_server(machine: &mut Machine) {
    let path = "/etc/openvpn/client/work.conf".to_owned();
    let management = ManagementSocket {
        file: path.clone(),
        path: "/run/openvpn.sock".to_owned(),
        password: None,
        user: None,
    };
    let file = OpenVpnFile {
        path: path.clone(),
        endpoints: ["198.51.100.7:1194/udp".parse().unwrap()].into(),
        names: BTreeSet::new(),
        user: None,
        mark: None,
        device: None,
        management: Some(management.clone()),
    };
    machine.step(Event::OpenVpnFiles(vec![file]), 0);
    machine.step(Event::SocketState(management, SocketState::Heard), 0);
    let said = ClientState::Seeking;
    machine.step(Event::Management(ManagementMessage { file: path, pid: Some(7), said }), 0);
}

#[test]
fn a_client_that_never_connects_hides_another_tunnel_for_ten_seconds() {
    let mut machine = begun("", &[]);
    client_without_server(&mut machine);
    let tun1 = links(&[link(3, "tun1", LinkKind::Tunnel)]);
    let actions = machine.step(tun1.clone(), 100);
    assert_eq!(machine.situation().state, State::Locked, "the client may be about to report it");
    let wakes = |at: i64| actions.contains(&Action::WakeAt(jiff::Timestamp::from_second(at).unwrap()));
    assert!(wakes(110), "{actions:?}");
    machine.step(Event::Clock, 109);
    assert_eq!(machine.situation().state, State::Locked);
    machine.step(Event::Clock, 110);
    assert_eq!(machine.situation().state, State::Protected);
    assert_eq!(machine.situation().tunnels[0].source, TunnelSource::Kernel);
    // Another link waits for its own time.
    machine.step(links(&[]), 120);
    machine.step(links(&[link(4, "tun1", LinkKind::Tunnel)]), 121);
    assert_eq!(machine.situation().state, State::Lost);
    // A link that was there before the agent may be the client's, which has lost its server.
    let mut machine = Machine::new(crate::config::Config::default(), Remembered::default(), 0);
    client_without_server(&mut machine);
    machine.step(tun1, 1);
    machine.step(Event::NetworkManager(Some(NmView { answered: u64::MAX, ..NmView::default() })), 1);
    machine.step(Event::Begun, 1);
    machine.step(Event::Clock, 1_000);
    assert_eq!(machine.situation().state, State::Locked);
}

fn allowance(machine: &Machine) -> Vec<String> {
    machine.situation().bootstrap.endpoints.keys().map(ToString::to_string).collect()
}

#[test]
fn a_tunnel_without_a_known_server_opens_no_address_but_those_of_the_routes_past_it() {
    let uplink = |routes: &[&str]| {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let (addresses, routes) = (nets(&["192.168.1.2/24"]), nets(routes));
        Link { addresses, routes, ..link(2, "eth0", LinkKind::Other) }
    };
    let tun0 = || link(3, "tun0", LinkKind::Tunnel);
    let ports = "bootstrap.ports = [{ protocol = \"tcp\", port = 443 }, { protocol = \"udp\", port = 1194 }]";
    let mut machine = begun(ports, &[]);
    let known = uplink(&["0.0.0.0/0", "198.51.100.7/32", "10.0.0.0/8"]);
    machine.step(links(std::slice::from_ref(&known)), 1);
    assert!(machine.situation().bootstrap.any, "locked: nothing at all is known");
    machine.step(links(&[known.clone(), tun0()]), 2);
    assert_eq!(machine.situation().state, State::Protected);
    assert!(!machine.situation().bootstrap.any);
    assert_eq!(allowance(&machine), ["198.51.100.7:1194/udp", "198.51.100.7:443/tcp"]);
    assert_eq!(left_out(&machine), []);
    // Without such a route nothing is open, and the status says how to name the server.
    machine.step(links(&[uplink(&["0.0.0.0/0"]), tun0()]), 3);
    assert_eq!((machine.situation().state, allowance(&machine)), (State::Protected, vec![]));
    assert!(!machine.situation().bootstrap.any);
    let [(name, remedy)] = &left_out(&machine)[..] else { panic!("{:?}", left_out(&machine)) };
    assert!(name == "tun0" && remedy.contains("bootstrap.servers"), "{remedy}");
    // Root may open every address.
    let mut machine = begun(&format!("{ports}\nbootstrap.scope = \"any\""), &[]);
    machine.step(links(&[known, tun0()]), 2);
    assert!(machine.situation().bootstrap.any && machine.situation().state == State::Protected);
}
