//! Connections that are not VPNs: which of their devices NetworkManager says that it made.

use super::*;

const TUN_PROFILE: &str = "/org/freedesktop/NetworkManager/ActiveConnection/5";
const FOUND: &str = "/org/freedesktop/NetworkManager/ActiveConnection/6";
const FOUND_PATH: &str = "/org/freedesktop/NetworkManager/Devices/6";

struct Manager(Vec<&'static str>);

#[interface(name = "org.freedesktop.NetworkManager")]
impl Manager {
    #[zbus(property)]
    fn active_connections(&self) -> Vec<OwnedObjectPath> {
        self.0.iter().copied().map(path).collect()
    }
    #[zbus(property)]
    fn devices(&self) -> Vec<OwnedObjectPath> {
        vec![path(TUN_PATH), path(FOUND_PATH)]
    }
}

/// A connection of this kind, with this device and these flags.
struct Active(&'static str, &'static str, u32);

#[interface(name = "org.freedesktop.NetworkManager.Connection.Active")]
impl Active {
    #[zbus(property)]
    fn vpn(&self) -> bool {
        false
    }
    #[zbus(property, name = "Type")]
    fn kind(&self) -> &str {
        self.0
    }
    #[zbus(property)]
    fn uuid(&self) -> &str {
        "t"
    }
    #[zbus(property)]
    fn id(&self) -> &str {
        "mine"
    }
    #[zbus(property)]
    fn state(&self) -> u32 {
        2
    }
    #[zbus(property)]
    fn state_flags(&self) -> u32 {
        self.2
    }
    #[zbus(property)]
    fn devices(&self) -> Vec<OwnedObjectPath> {
        vec![path(self.1)]
    }
    #[zbus(property)]
    fn ip4_config(&self) -> OwnedObjectPath {
        path("/")
    }
    #[zbus(property)]
    fn ip6_config(&self) -> OwnedObjectPath {
        path("/")
    }
}

#[tokio::test]
async fn a_device_is_networkmanagers_unless_it_has_only_found_it() {
    let bus = PrivateBus::start().await;
    let connection = bus.connect().await;
    let server = connection.object_server();
    server.at(ROOT_PATH, Manager(vec![TUN_PROFILE, FOUND])).await.unwrap();
    server.at(SETTINGS_PATH, FakeSettings).await.unwrap();
    server.at(PROFILE_PATH, FakeProfile).await.unwrap();
    server.at(TUN_PROFILE, Active("tun", TUN_PATH, 0x4f)).await.unwrap();
    // A device that wg-quick made. NetworkManager lists it as a connection too.
    server.at(FOUND, Active("wireguard", FOUND_PATH, 0xcf)).await.unwrap();
    server.at(TUN_PATH, FakeDevice("nordvpn0", TUN_ADDRESSES)).await.unwrap();
    server.at(FOUND_PATH, FakeDevice("office", TUN_ADDRESSES)).await.unwrap();
    connection.request_name(MANAGER).await.unwrap();
    let mut events = bus.watch();
    let view = events.next().await.unwrap();
    assert_eq!((view.active, view.made), (vec![], ["nordvpn0".parse().unwrap()].into()));
    // It is read once, and is known until its end.
    server.remove::<Manager, _>(ROOT_PATH).await.unwrap();
    server.at(ROOT_PATH, Manager(vec![FOUND])).await.unwrap();
    let changed = HashMap::from([("ActiveConnections", Variant::from(vec![path(FOUND)]))]);
    emit(&connection, ROOT_PATH, PROPERTIES, "PropertiesChanged", &(MANAGER, changed, Vec::<String>::new()))
        .await;
    assert_eq!(events.next().await.unwrap().made, [].into());
}

#[tokio::test]
async fn each_question_is_answered_by_a_later_reading_that_finds_every_device() {
    let bus = PrivateBus::start().await;
    let connection = bus.connect().await;
    let server = connection.object_server();
    server.at(ROOT_PATH, Manager(vec![TUN_PROFILE])).await.unwrap();
    server.at(SETTINGS_PATH, FakeSettings).await.unwrap();
    server.at(PROFILE_PATH, FakeProfile).await.unwrap();
    connection.request_name(MANAGER).await.unwrap();
    let (ask, questions) = tokio::sync::watch::channel(4);
    let mut events = bus.watch_for(questions);
    let first = events.next().await.unwrap();
    // The connection cannot be read, so it is unknown which device it has.
    assert_eq!((first.answered, first.made.len()), (0, 0));
    // NetworkManager makes the device, and no signal has come yet.
    server.at(TUN_PROFILE, Active("tun", TUN_PATH, 0x4f)).await.unwrap();
    server.at(TUN_PATH, FakeDevice("nordvpn0", TUN_ADDRESSES)).await.unwrap();
    let second = events.next().await.unwrap();
    assert_eq!((second.answered, second.made.len()), (4, 1));
    ask.send(5).unwrap();
    let third = events.next().await.unwrap();
    assert_eq!((third.answered, third.made.len()), (5, 1));
    drop(ask);
    events.silence().await;
}
