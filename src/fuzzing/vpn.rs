//! Targets for what VPN clients and NetworkManager send.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use zbus::wire::LE;
use zbus::wire::serialized::{Context, Data};

use super::assert_plain;
use crate::config::MAX_SERVERS;
use crate::hooks::dispatcher;
use crate::hooks::openvpn::{KEYS, from_environment, parse};
use crate::sources::management;
use crate::sources::network_manager::settings::Settings;
use crate::sources::openvpn_files::client;
use crate::sources::wireguard_devices::netlink::take;
use crate::sources::wireguard_devices::{Reading, text};
use crate::sources::wireguard_files::{config, netdev};
use crate::vpn::ClientState;

/// A hook's environment, `NAME=VALUE` on each line, and the same lines as the dispatcher's arguments.
pub(super) fn hook(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
    let variables = lines.iter().map(|line| {
        let cut = line.iter().position(|&byte| byte == b'=').unwrap_or(line.len());
        let (name, value) = (line.get(..cut).unwrap_or_default(), line.get(cut + 1..).unwrap_or_default());
        (OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned())
    });
    match from_environment(variables) {
        Err(error) => assert_plain(&error.to_string()),
        Ok(fields) => {
            assert!(fields.keys().all(|key| KEYS.contains(&key.as_str())), "{fields:?}");
            match parse(&fields) {
                Err(error) => assert_plain(&error.to_string()),
                Ok(Some(report)) => assert_plain(&report.to_string()),
                Ok(None) => {}
            }
        }
    }
    let arguments: Vec<OsString> = lines.iter().map(|line| OsStr::from_bytes(line).to_owned()).collect();
    if let Some(fields) = dispatcher::fields(&arguments, None) {
        // A report of the dispatcher about a user's profile never counts as a hook's report.
        assert_eq!(parse(&fields), Ok(None));
    }
}

/// Lines of OpenVPN's management interface.
pub(super) fn management(data: &[u8]) {
    for line in String::from_utf8_lossy(data).lines() {
        match management::line::read(line) {
            Err(error) => assert_plain(&error.to_string()),
            Ok(Some(ClientState::Connected { server, addresses })) => {
                let all = addresses.into_iter().chain(server.map(|(address, _)| address));
                for address in all {
                    let nobodys = address.is_loopback() || address.is_unspecified() || address.is_multicast();
                    assert!(!nobodys, "{line:?} gives {address}");
                }
            }
            Ok(_) => {}
        }
    }
}

/// An OpenVPN configuration file.
pub(super) fn openvpn_files(data: &[u8]) {
    let client = client::read(&String::from_utf8_lossy(data));
    assert!(client.endpoints.len() + client.names.len() <= MAX_SERVERS, "{client:?}");
    for (name, ..) in &client.names {
        assert_plain(&name.to_string());
    }
    if let Some(skipped) = client.skipped {
        assert_plain(&skipped.to_string());
    }
}

/// A configuration of wg-quick, and the same bytes as a configuration of systemd-networkd.
pub(super) fn wireguard_files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    wireguard_device(config::read(&text));
    if let Some(netdev) = netdev::read(&text) {
        wireguard_device(netdev.device);
    }
}

fn wireguard_device(device: config::Device) {
    assert!(device.endpoints.len() + device.names.len() <= MAX_SERVERS, "{device:?}");
    for (name, ..) in &device.names {
        assert_plain(&name.to_string());
    }
    if let Some(skipped) = device.skipped {
        assert_plain(&skipped.to_string());
    }
}

/// Reports about a WireGuard device: the answer of its program, and a message of the kernel.
pub(super) fn wireguard_devices(data: &[u8]) {
    let program = text::read(&String::from_utf8_lossy(data)).unwrap_or_default();
    let mut kernel = Reading::default();
    take(&mut kernel, data);
    for reading in [program, kernel] {
        assert!(reading.peers.len() <= MAX_SERVERS, "{reading:?}");
    }
}

/// A profile's settings as they come over the bus.
pub(super) fn nm_settings(data: &[u8]) {
    let message = Data::new(data, Context::new(LE, 0));
    let Ok((settings, _)) = message.deserialize::<Settings>() else { return };
    let Some(reading) = settings.vpn_profile() else { return };
    let profile = reading.profile;
    assert!(profile.endpoints.len() + profile.names.len() <= MAX_SERVERS, "{profile:?}");
    for (name, ..) in &profile.names {
        assert_plain(&name.to_string());
    }
    if let Some(skipped) = reading.skipped {
        assert_plain(&skipped.to_string());
    }
}
