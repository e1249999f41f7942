//! The tests that need root. Each runs in its own laboratory, in network namespaces, with real services. The
//! capture on the ISP's side is the evidence.

#[path = "../support/mod.rs"]
mod support;

mod agent;
mod article;
mod article_docker;
mod blocked;
mod bus;
mod docker;
mod doctor;
mod drift;
mod failover;
mod failures;
mod firewall;
mod flood;
mod forgery;
mod hostile;
mod init;
mod kernel_transport;
mod layers;
mod learn;
mod locked;
mod looks;
mod management;
mod many;
mod mesh;
mod moved_routes;
mod names;
mod netlink;
mod network_manager;
mod nft;
mod notify;
mod openconnect;
mod openvpn;
mod openvpn_files;
mod openvpn_offload;
mod order;
mod package;
mod pause;
mod podman;
mod prompts;
mod prove;
mod prove_live;
mod reconnect;
mod reconnect_wg_quick;
mod release;
mod report;
mod resolved;
mod roaming;
mod set;
mod silence;
mod sources;
mod vpnc;
mod why;
mod wireguard;
