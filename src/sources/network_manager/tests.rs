//! The source on a private bus, with a stand-in for NetworkManager and with a process that only pretends to
//! be NetworkManager.
#![allow(clippy::disallowed_methods, reason = "a test starts programs, reads the clock and touches files")]

use std::collections::HashMap;
use std::process::{Child, Command};

use tempfile::TempDir;
use tokio::sync::mpsc::{Receiver, channel};
use zbus::{Address, DynamicType, OwnedObjectPath, Variant, interface};

use super::objects::{ACTIVE, BUS, Bus, MANAGER, PLUGIN, PROPERTIES, VPN as VPN_INTERFACE};
use super::*;
use crate::vpn::{ActiveVpn, VpnEnd, VpnPhase};

const ROOT_PATH: &str = "/org/freedesktop/NetworkManager";
const SETTINGS_PATH: &str = "/org/freedesktop/NetworkManager/Settings";
const PROFILE_PATH: &str = "/org/freedesktop/NetworkManager/Settings/1";
const VPN_PATH: &str = "/org/freedesktop/NetworkManager/ActiveConnection/4";
const ETH_PATH: &str = "/org/freedesktop/NetworkManager/Devices/2";
const TUN_PATH: &str = "/org/freedesktop/NetworkManager/Devices/3";
const TUN_ADDRESSES: &str = "/org/freedesktop/NetworkManager/IP4Config/9";
const PLUGIN_PATH: &str = "/org/freedesktop/NetworkManager/VPN/Plugin";
const PLUGIN_NAME: &str = "org.freedesktop.NetworkManager.openvpn.Connection_4";

/// A bus daemon that ends with the test.
struct PrivateBus {
    folder: TempDir,
    daemon: Child,
}

/// Makes a connection in the same way as outside of the tests.
fn later(
    builder: impl Fn() -> Builder<'static>,
) -> impl Fn() -> std::future::Ready<zbus::Result<Builder<'static>>> {
    move || std::future::ready(Ok(builder()))
}

impl PrivateBus {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "<busconfig><listen>{}</listen><auth>EXTERNAL</auth>\
             <policy context='default'><allow send_destination='*'/><allow receive_sender='*'/>\
             <allow own='*'/></policy></busconfig>",
            address(&folder)
        );
        std::fs::write(folder.path().join("config"), config).unwrap();
        let daemon = spawn(&folder);
        let bus = Self { folder, daemon };
        drop(bus.connect().await);
        bus
    }

    fn stop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
        std::fs::remove_file(self.folder.path().join("bus")).unwrap();
    }

    fn builder(&self) -> impl Fn() -> Builder<'static> + use<> {
        let address = Address::try_from(address(&self.folder).as_str()).unwrap();
        move || Builder::address(address.clone())
    }

    /// A new connection, as soon as the bus is there.
    async fn connect(&self) -> Connection {
        for _ in 0..500 {
            if let Ok(connection) = self.builder()().build().await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no bus after five seconds");
    }

    fn watch(&self) -> Events {
        self.watch_for(watch::channel(0).1)
    }

    fn watch_for(&self, questions: watch::Receiver<u64>) -> Events {
        let (sender, events) = channel(16);
        tokio::spawn(watch_bus(later(self.builder()), questions, sender));
        Events(events)
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn address(folder: &TempDir) -> String {
    format!("unix:path={}/bus", folder.path().display())
}

fn spawn(folder: &TempDir) -> Child {
    let config = format!("--config-file={}", folder.path().join("config").display());
    Command::new("dbus-daemon").args([&config, "--nofork", "--nopidfile"]).spawn().unwrap()
}

/// The events that the source sends.
struct Events(Receiver<Event>);

impl Events {
    async fn next(&mut self) -> Option<NmView> {
        loop {
            match tokio::time::timeout(Duration::from_secs(5), self.0.recv()).await {
                Ok(Some(Event::NetworkManager(view))) => return view,
                Ok(Some(Event::ManagerUnread)) => {}
                other => panic!("expected a view, not {other:?}"),
            }
        }
    }

    async fn next_vpn(&mut self) -> ActiveVpn {
        let view = self.next().await.unwrap();
        let [vpn] = <[ActiveVpn; 1]>::try_from(view.active).unwrap();
        vpn
    }

    async fn silence(&mut self) {
        let event = tokio::time::timeout(Duration::from_millis(300), self.0.recv()).await;
        assert!(event.is_err(), "{event:?}");
    }
}

struct FakeManager;

#[interface(name = "org.freedesktop.NetworkManager")]
impl FakeManager {
    #[zbus(property)]
    fn active_connections(&self) -> Vec<OwnedObjectPath> {
        vec![path(VPN_PATH)]
    }

    #[zbus(property)]
    fn devices(&self) -> Vec<OwnedObjectPath> {
        vec![path(ETH_PATH), path(TUN_PATH)]
    }
}

struct FakeSettings;

#[interface(name = "org.freedesktop.NetworkManager.Settings")]
impl FakeSettings {
    fn list_connections(&self) -> Vec<OwnedObjectPath> {
        vec![path(PROFILE_PATH)]
    }
}

struct FakeProfile;

#[interface(name = "org.freedesktop.NetworkManager.Settings.Connection")]
impl FakeProfile {
    fn get_settings(&self) -> HashMap<String, HashMap<String, Variant<'static>>> {
        let text = |key: &str, value: &str| (key.to_owned(), Variant::from(value.to_owned()));
        let data = HashMap::from([("remote".to_owned(), "198.51.100.7, vpn.example.net:443:tcp".to_owned())]);
        let connection = [text("id", "work"), text("uuid", "u"), text("type", "vpn"), text("x", "y")];
        let vpn = [
            text("service-type", "org.freedesktop.NetworkManager.openvpn"),
            ("data".to_owned(), Variant::from(data)),
            ("timeout".to_owned(), Variant::from(5_u32)),
        ];
        HashMap::from([
            ("connection".to_owned(), HashMap::from(connection)),
            ("vpn".to_owned(), HashMap::from(vpn)),
            ("ipv4".to_owned(), HashMap::from([text("method", "auto")])),
        ])
    }
}

struct FakeActive;

#[interface(name = "org.freedesktop.NetworkManager.Connection.Active")]
impl FakeActive {
    #[zbus(property)]
    fn vpn(&self) -> bool {
        true
    }
    #[zbus(property, name = "Type")]
    fn kind(&self) -> &str {
        "vpn"
    }
    #[zbus(property)]
    fn uuid(&self) -> &str {
        "u"
    }
    #[zbus(property)]
    fn id(&self) -> &str {
        "work"
    }
    #[zbus(property)]
    fn state(&self) -> u32 {
        2
    }
    #[zbus(property)]
    fn devices(&self) -> Vec<OwnedObjectPath> {
        vec![path(ETH_PATH)]
    }
    #[zbus(property)]
    fn ip4_config(&self) -> OwnedObjectPath {
        path(TUN_ADDRESSES)
    }
    #[zbus(property)]
    fn ip6_config(&self) -> OwnedObjectPath {
        path("/")
    }
    #[zbus(property)]
    fn specific_object(&self) -> OwnedObjectPath {
        path("/")
    }
}

struct FakeVpn;

#[interface(name = "org.freedesktop.NetworkManager.VPN.Connection")]
impl FakeVpn {
    #[zbus(property)]
    fn vpn_state(&self) -> u32 {
        5
    }
}

struct FakeDevice(&'static str, &'static str);

#[interface(name = "org.freedesktop.NetworkManager.Device")]
impl FakeDevice {
    #[zbus(property)]
    fn interface(&self) -> &str {
        self.0
    }
    #[zbus(property)]
    fn ip_interface(&self) -> &str {
        ""
    }
    #[zbus(property)]
    fn ip4_config(&self) -> OwnedObjectPath {
        path(self.1)
    }
    #[zbus(property)]
    fn ip6_config(&self) -> OwnedObjectPath {
        path("/")
    }
}

fn path(text: &str) -> OwnedObjectPath {
    OwnedObjectPath::try_from(text).unwrap()
}

/// A NetworkManager with one VPN that is active.
async fn network_manager(bus: &PrivateBus) -> Connection {
    let connection = bus.connect().await;
    let server = connection.object_server();
    server.at(ROOT_PATH, FakeManager).await.unwrap();
    server.at(SETTINGS_PATH, FakeSettings).await.unwrap();
    server.at(PROFILE_PATH, FakeProfile).await.unwrap();
    server.at(VPN_PATH, FakeActive).await.unwrap();
    server.at(VPN_PATH, FakeVpn).await.unwrap();
    server.at(ETH_PATH, FakeDevice("eth0", "/org/freedesktop/NetworkManager/IP4Config/1")).await.unwrap();
    server.at(TUN_PATH, FakeDevice("tun0", TUN_ADDRESSES)).await.unwrap();
    connection.request_name(MANAGER).await.unwrap();
    connection
}

async fn emit<B: serde::Serialize + DynamicType>(
    from: &Connection,
    path: &str,
    interface: &str,
    member: &str,
    body: &B,
) {
    from.emit_signal(None::<&str>, path, interface, member, body).await.unwrap();
}

/// Waits until the bus has passed on every message that `connection` sent before.
async fn settle(connection: &Connection) {
    Bus(connection.clone()).names().await.unwrap();
}

fn gateway(bytes: [u8; 4]) -> HashMap<&'static str, Variant<'static>> {
    HashMap::from([("gateway", Variant::from(u32::from_ne_bytes(bytes)))])
}

#[tokio::test]
async fn signals_of_other_processes_never_become_events() {
    let bus = PrivateBus::start().await;
    let manager = network_manager(&bus).await;
    let mut events = bus.watch();
    let vpn = events.next_vpn().await;
    assert_eq!((vpn.phase, vpn.gateway), (VpnPhase::Activated, None));

    let forger = bus.connect().await;
    let own = forger.unique_name().unwrap().to_string();
    let names = Bus(forger.clone()).names().await.unwrap();
    // To all, and to each one alone: a message to us alone passes every match rule.
    let everyone = names.iter().filter(|name| name.starts_with(':') && **name != own).map(Some);
    for target in everyone.chain([None]) {
        let target = target.map(String::as_str);
        let send = async |path: &str, interface: &str, member: &str, body: &(u32, u32)| {
            forger.emit_signal(target, path, interface, member, body).await.unwrap();
        };
        send(VPN_PATH, VPN_INTERFACE, "VpnStateChanged", &(7, 2)).await;
        send(VPN_PATH, ACTIVE, "StateChanged", &(3, 2)).await;
        let gone = (MANAGER, manager.unique_name().unwrap().as_str(), "");
        forger.emit_signal(target, "/org/freedesktop/DBus", BUS, "NameOwnerChanged", &gone).await.unwrap();
        let owned = (PLUGIN_NAME, "", own.as_str());
        forger.emit_signal(target, "/org/freedesktop/DBus", BUS, "NameOwnerChanged", &owned).await.unwrap();
        let config = gateway([203, 0, 113, 66]);
        forger.emit_signal(target, PLUGIN_PATH, PLUGIN, "Config", &config).await.unwrap();
    }
    settle(&forger).await;
    events.silence().await;

    emit(&manager, VPN_PATH, VPN_INTERFACE, "VpnStateChanged", &(6_u32, 6_u32)).await;
    let vpn = events.next_vpn().await;
    assert_eq!((vpn.phase, vpn.gateway), (VpnPhase::Ended(VpnEnd::Timeout), None));
}

#[tokio::test]
async fn a_view_holds_the_profiles_and_the_tunnel_that_is_not_the_parent() {
    let bus = PrivateBus::start().await;
    let _manager = network_manager(&bus).await;
    let view = bus.watch().next().await.unwrap();
    let [profile] = view.profiles.as_slice() else { panic!("{view:?}") };
    assert_eq!((profile.id.as_str(), profile.uuid.as_str()), ("work", "u"));
    assert_eq!(profile.endpoints, ["198.51.100.7:1194/udp".parse().unwrap()]);
    assert_eq!(profile.names.len(), 1);
    assert_eq!(view.active[0].interface, Some("tun0".parse().unwrap()));
}

#[tokio::test]
async fn two_signals_of_one_end_are_reported_once() {
    let bus = PrivateBus::start().await;
    let manager = network_manager(&bus).await;
    let mut events = bus.watch();
    events.next_vpn().await;
    emit(&manager, VPN_PATH, ACTIVE, "StateChanged", &(3_u32, 2_u32)).await;
    emit(&manager, VPN_PATH, ACTIVE, "StateChanged", &(4_u32, 2_u32)).await;
    emit(&manager, VPN_PATH, VPN_INTERFACE, "VpnStateChanged", &(7_u32, 2_u32)).await;
    assert_eq!(events.next_vpn().await.phase, VpnPhase::Ended(VpnEnd::User));
    assert_eq!(events.next().await.unwrap().active, []);
    // The stand-in still lists it as active; the source keeps ignoring it.
    events.silence().await;
}

#[tokio::test]
async fn a_gateway_counts_from_the_owner_of_the_plugin_s_name_if_that_is_root() {
    let bus = PrivateBus::start().await;
    let _manager = network_manager(&bus).await;
    let mut events = bus.watch();
    events.next_vpn().await;
    let plugin = bus.connect().await;
    plugin.request_name(PLUGIN_NAME).await.unwrap();
    emit(&plugin, PLUGIN_PATH, PLUGIN, "Config", &gateway([198, 51, 100, 7])).await;
    if nix::unistd::getuid().is_root() {
        assert_eq!(events.next_vpn().await.gateway, Some("198.51.100.7".parse().unwrap()));
        emit(&plugin, PLUGIN_PATH, PLUGIN, "Config", &gateway([224, 0, 0, 1])).await;
    }
    events.silence().await;
}

#[tokio::test]
async fn none_when_there_is_no_network_manager_or_no_bus() {
    let mut bus = PrivateBus::start().await;
    let mut events = bus.watch();
    assert_eq!(events.next().await, None);
    let manager = network_manager(&bus).await;
    assert!(events.next().await.is_some());
    manager.release_name(MANAGER).await.unwrap();
    assert_eq!(events.next().await, None);
    manager.request_name(MANAGER).await.unwrap();
    assert!(events.next().await.is_some());

    bus.stop();
    assert_eq!(events.next().await, None);
    events.silence().await;
    bus.daemon = spawn(&bus.folder);
    let _manager = network_manager(&bus).await;
    assert!(events.next().await.is_some());
}

#[tokio::test]
async fn the_source_ends_with_its_receiver() {
    let bus = PrivateBus::start().await;
    let (sender, events) = channel(1);
    let source = tokio::spawn(watch_bus(later(bus.builder()), watch::channel(0).1, sender));
    drop(events);
    tokio::time::timeout(Duration::from_secs(5), source).await.unwrap().unwrap();
}

mod made;
mod wireguard;
