//! A WireGuard connection of a stand-in for NetworkManager. The real one needs a kernel with WireGuard.

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
async fn a_connection_is_connecting_until_it_is_up() {
    let bus = PrivateBus::start().await;
    let _manager = manager(&bus, 1).await;
    assert_eq!(bus.watch().next_vpn().await.phase, VpnPhase::Connecting);
}

/// The end of the connection after signals with these states of the device, as `NMDeviceState` with the reason. For a
/// connection without a plugin NetworkManager gives no reason.
async fn end_after(states: &[(u32, u32)]) -> VpnPhase {
    let bus = PrivateBus::start().await;
    let manager = manager(&bus, 2).await;
    let mut events = bus.watch();
    assert_eq!(events.next_vpn().await.phase, VpnPhase::Activated);
    for (state, reason) in states {
        emit(&manager, WG_PATH, super::super::objects::DEVICE, "StateChanged", &(*state, 100_u32, *reason))
            .await;
    }
    emit(&manager, VPN_PATH, ACTIVE, "StateChanged", &(3_u32, 0_u32)).await;
    events.next_vpn().await.phase
}

#[tokio::test]
async fn the_reason_of_an_end_is_that_of_the_device() {
    const USER: VpnPhase = VpnPhase::Ended(VpnEnd::User);
    const UNASKED: VpnPhase = VpnPhase::Ended(VpnEnd::Other(0));
    // In order: the user asks for the end; the profile is deleted; the user asks, and later states follow; the device
    // is removed; the machine sleeps; the reason comes with another state.
    for (states, phase) in [
        (&[(110, 39)][..], USER),
        (&[(110, 38)], USER),
        (&[(110, 39), (30, 39), (10, 39)], USER),
        (&[(110, 36)], UNASKED),
        (&[(110, 37)], UNASKED),
        (&[(120, 39)], UNASKED),
        // The device is disconnected before it is activated. Then: an activation after the end begins a new connection.
        (&[(30, 39)], UNASKED),
        (&[(110, 39), (30, 39), (40, 0), (100, 0)], UNASKED),
        (&[], UNASKED),
    ] {
        assert_eq!(end_after(states).await, phase, "{states:?}");
    }
}
