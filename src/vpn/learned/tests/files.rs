//! Files of root's: how many count, and what is left out of them.

use super::*;
use crate::config::RootFile;
use crate::vpn::FileFault;

const UDP: Transport = Transport::Udp;
const PORT: Port = Port::fixed(1194);

#[test]
fn a_server_of_many_files_counts_once_and_of_many_files_left_out_a_few_are_named() {
    let mut machine = fresh(Config::default());
    let path = |n: usize| format!("/etc/openvpn/{n:05}.ovpn");
    let same = |n: usize| OpenVpnFile {
        names: BTreeSet::from([(format!("c{:03}.example.net", n / 2).try_into().unwrap(), UDP, PORT)]),
        ..file(&path(n), &["198.51.100.7:1194/udp"])
    };
    // Each name is in two files, and the server's address in all of them.
    machine.step(Event::OpenVpnFiles((0..2 * MAX_NAMES).map(same).collect()), 1);
    assert_eq!(machine.known().wanted_names().len(), MAX_NAMES);
    assert!(machine.left_out().is_empty(), "{:?}", machine.left_out());
    machine.step(Event::OpenVpnFiles((0..2 * MAX_NAMES + 10).map(same).collect()), 1);
    let left_out: Vec<_> = machine.left_out().into_iter().collect();
    assert_eq!(left_out, [("/etc/openvpn".to_owned(), LeftOut::NamesOfFiles(5))]);

    let own = |n: usize| file(&path(n), &[&format!("10.{}.{}.1:1194/udp", n / 250, n % 250)]);
    machine.step(Event::OpenVpnFiles((0..MAX_VPNS + 30).map(own).collect()), 1);
    let left_out = machine.left_out();
    assert_eq!(left_out.len(), 9, "{left_out:?}");
    let more = LeftOut::MoreServers { servers: 22, vpns: 22 };
    assert!(left_out.iter().any(|(_, what)| *what == more), "{left_out:?}");
}

#[test]
fn parts_of_files_that_are_left_out_are_reported_until_they_are_repaired() {
    let mut machine = fresh(Config::default());
    let text = |text: &str| text.to_owned();
    let what = LeftOut::File { reason: text("why"), remedy: text("what to do") };
    let kinds = [(RootFile::OpenVpn, "/a.conf"), (RootFile::WireGuard, "/b.conf")];
    for (kind, path) in kinds {
        let fault = FileFault { path: text(path), reason: text("why"), remedy: text("what to do") };
        let actions = machine.step(Event::FilesLeftOut(kind, vec![fault]), 1);
        assert!(actions.contains(&crate::vpn::Action::LeftOut(text(path), what.clone())));
    }
    assert_eq!(machine.left_out().len(), 2, "{:?}", machine.left_out());
    for (kind, path) in kinds {
        assert!(machine.left_out().contains(&(text(path), what.clone())));
        machine.step(Event::FilesLeftOut(kind, Vec::new()), 1);
    }
    assert!(machine.left_out().is_empty());
}
