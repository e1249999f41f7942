//! What the status says as the dictionaries of the bus: how each part of it is spelt there.

use std::collections::HashMap;

use zbus::{OwnedVariant, Variant};

use crate::status::{
    BootstrapStatus, ConfigurationStatus, DockerStatus, EndpointStatus, FightStatus, LeftOutStatus,
    LossStatus, ManagementStatus, NetworkStatus, TunnelStatus,
};

/// `a{sv}`
pub(super) type Dict = HashMap<&'static str, OwnedVariant>;

/// The same with lists in it.
pub(super) type Nested = HashMap<&'static str, Variant<'static>>;

pub(super) fn tunnel_dict(tunnel: &TunnelStatus) -> Dict {
    let mut dict = HashMap::from([
        ("interface", text(&tunnel.interface)),
        ("source", text(&tunnel.source)),
        ("name", text(&tunnel.name)),
        ("since", OwnedVariant::from(tunnel.since)),
        ("carrying", OwnedVariant::from(tunnel.carrying)),
    ]);
    dict.extend(tunnel.endpoint.iter().flat_map(endpoint_dict));
    dict
}

pub(super) fn fight_dict(fight: &FightStatus) -> Dict {
    HashMap::from([("program", text(&fight.program)), ("count", OwnedVariant::from(fight.count))])
}

pub(super) fn configuration_dict(configuration: Option<&ConfigurationStatus>) -> Dict {
    let Some(configuration) = configuration else { return Dict::new() };
    let mut dict =
        HashMap::from([("source", text(&configuration.source)), ("path", text(&configuration.path))]);
    dict.extend(configuration.fault.iter().map(|fault| ("fault", text(fault))));
    dict
}

pub(super) fn left_out_dict(left_out: &LeftOutStatus) -> Dict {
    HashMap::from([
        ("name", text(&left_out.name)),
        ("reason", text(&left_out.reason)),
        ("remedy", text(&left_out.remedy)),
    ])
}

/// Nothing in it: nothing was lost.
pub(super) fn loss_dict(loss: Option<&LossStatus>) -> Dict {
    let Some(loss) = loss else { return Dict::new() };
    let mut dict = HashMap::from([
        ("name", text(&loss.name)),
        ("interface", text(&loss.interface)),
        ("reason", text(&loss.reason)),
        ("seen_by", text(&loss.seen_by)),
        ("at", OwnedVariant::from(loss.at)),
        ("held", OwnedVariant::from(loss.held)),
    ]);
    dict.extend(loss.code.map(|code| ("code", text(code.code()))));
    dict
}

pub(super) fn management_dict(management: &ManagementStatus) -> Dict {
    let mut dict = HashMap::from([
        ("file", text(&management.file)),
        ("socket", text(&management.socket)),
        ("heard", OwnedVariant::from(management.heard)),
    ]);
    dict.extend(management.fault.iter().map(|fault| ("fault", text(fault))));
    dict
}

pub(super) fn bootstrap_dict(part: &BootstrapStatus) -> Dict {
    match part {
        BootstrapStatus::Endpoint(endpoint) => endpoint_dict(endpoint),
        BootstrapStatus::Kernel { endpoint, by } => {
            let mut dict = endpoint_dict(endpoint);
            dict.insert("by", text(by));
            dict
        }
        BootstrapStatus::Any => HashMap::from([("any", OwnedVariant::from(true))]),
    }
}

fn endpoint_dict(endpoint: &EndpointStatus) -> Dict {
    HashMap::from([
        ("address", text(&endpoint.address)),
        ("port", OwnedVariant::from(endpoint.port)),
        ("protocol", text(&endpoint.protocol)),
    ])
}

/// `networks` is an `aa{sv}`; what is not known is left out.
pub(super) fn docker_dict(docker: &DockerStatus) -> Nested {
    let networks: Vec<Nested> = docker.networks.iter().map(network_dict).collect();
    let mut dict = HashMap::from([
        ("present", Variant::from(docker.present)),
        ("protected", Variant::from(docker.protected)),
        ("networks", Variant::from(networks)),
        ("missing", Variant::from(docker.missing.clone())),
    ]);
    dict.extend(docker.version.iter().map(|version| ("version", Variant::from(version.clone()))));
    dict.extend(docker.backend.iter().map(|backend| ("backend", Variant::from(backend.clone()))));
    dict
}

fn network_dict(network: &NetworkStatus) -> Nested {
    let mut dict = HashMap::from([
        ("name", Variant::from(network.name.clone())),
        ("driver", Variant::from(network.driver.clone())),
        ("internal", Variant::from(network.internal)),
        ("access", Variant::from(network.access.clone())),
        ("covered", Variant::from(network.covered)),
    ]);
    dict.extend(network.bridge.iter().map(|bridge| ("bridge", Variant::from(bridge.clone()))));
    dict.extend(network.fault.iter().map(|fault| ("fault", Variant::from(fault.clone()))));
    dict
}

fn text(text: &str) -> OwnedVariant {
    OwnedVariant::from(zbus::Str::from(text.to_owned()))
}
