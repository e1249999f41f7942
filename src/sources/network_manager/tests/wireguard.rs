//! A WireGuard connection of a stand-in for NetworkManager: this kernel may have no such device.

use super::*;

const WG_PATH: &str = "/org/freedesktop/NetworkManager/Devices/7";

struct Manager;

#[interface(name = "org.freedesktop.NetworkManager")]
impl Manager {
    #[zbus(property)]
    fn active_connections(&self) -> Vec<OwnedObjectPath> {
        vec![path(VPN_PATH)]
    }
    #[zbus(property)]
    fn devices(&self) -> Vec<OwnedObjectPath> {
        vec![path(WG_PATH)]
    }
}

struct Profile;

#[interface(name = "org.freedesktop.NetworkManager.Settings.Connection")]
impl Profile {
    fn get_settings(&self) -> HashMap<String, HashMap<String, Variant<'static>>> {
        let text = |key: &str, value: &str| (key.to_owned(), Variant::from(value.to_owned()));
        let connection = [text("id", "wg"), text("uuid", "w"), text("type", "wireguard")];
        let peer = |endpoint: &str| HashMap::from([text("public-key", "k"), text("endpoint", endpoint)]);
        let peers = vec![peer("198.51.100.9:51820"), peer("wg.example.net:443")];
        let wireguard =
            [("fwmark".to_owned(), Variant::from(0_u32)), ("peers".to_owned(), Variant::from(peers))];
        HashMap::from([
            ("connection".to_owned(), HashMap::from(connection)),
            ("wireguard".to_owned(), HashMap::from(wireguard)),
        ])
    }
}

struct Active(u32);

#[interface(name = "org.freedesktop.NetworkManager.Connection.Active")]
impl Active {
    #[zbus(property)]
    fn vpn(&self) -> bool {
        false
    }
    #[zbus(property, name = "Type")]
    fn kind(&self) -> &str {
        "wireguard"
    }
    #[zbus(property)]
    fn uuid(&self) -> &str {
        "w"
    }
    #[zbus(property)]
    fn id(&self) -> &str {
        "wg"
    }
    #[zbus(property)]
    fn state(&self) -> u32 {
        self.0
    }
    #[zbus(property)]
    fn devices(&self) -> Vec<OwnedObjectPath> {
        vec![path(WG_PATH)]
    }
    #[zbus(property)]
    fn ip4_config(&self) -> OwnedObjectPath {
        path(TUN_ADDRESSES)
    }
    #[zbus(property)]
    fn ip6_config(&self) -> OwnedObjectPath {
        path("/")
    }
}

struct WireGuard;

#[interface(name = "org.freedesktop.NetworkManager.Device.WireGuard")]
impl WireGuard {
    #[zbus(property)]
    fn fw_mark(&self) -> u32 {
        0xca6c
    }
}

/// A NetworkManager with one WireGuard connection.
async fn manager(bus: &PrivateBus, state: u32) -> Connection {
    let connection = bus.connect().await;
    let server = connection.object_server();
    server.at(ROOT_PATH, Manager).await.unwrap();
    server.at(SETTINGS_PATH, FakeSettings).await.unwrap();
    server.at(PROFILE_PATH, Profile).await.unwrap();
    server.at(VPN_PATH, Active(state)).await.unwrap();
    server.at(WG_PATH, FakeDevice("wg0", TUN_ADDRESSES)).await.unwrap();
    server.at(WG_PATH, WireGuard).await.unwrap();
    connection.request_name(MANAGER).await.unwrap();
    connection
}

#[tokio::test]
async fn the_connections_device_is_the_tunnel_and_has_the_chosen_mark() {
    let bus = PrivateBus::start().await;
    let _manager = manager(&bus, 2).await;
    let view = bus.watch().next().await.unwrap();
    let [profile] = view.profiles.as_slice() else { panic!("{view:?}") };
    assert_eq!((profile.sender, profile.mark), (crate::vpn::Sender::Kernel, None));
    assert_eq!(profile.endpoints, ["198.51.100.9:51820/udp".parse().unwrap()]);
    assert_eq!(profile.names.len(), 1);
    let [active] = view.active.as_slice() else { panic!("{view:?}") };
    assert_eq!(active.phase, VpnPhase::Activated);
    assert_eq!(active.interface, Some("wg0".parse().unwrap()));
    assert_eq!(active.mark.map(u32::from), Some(0xca6c));
}

#[tokio::test]
async fn a_connection_is_connecting_until_it_is_up_and_its_end_is_reported() {
    let bus = PrivateBus::start().await;
    let manager = manager(&bus, 1).await;
    let mut events = bus.watch();
    assert_eq!(events.next_vpn().await.phase, VpnPhase::Connecting);
    emit(&manager, VPN_PATH, ACTIVE, "StateChanged", &(4_u32, 2_u32)).await;
    assert_eq!(events.next_vpn().await.phase, VpnPhase::Ended(VpnEnd::User));
}
