//! The description of each key of the configuration, as data. `tunwarden.toml(5)` is generated from it. A
//! test compares it with the keys of the schema and with their defaults.

/// A section of the configuration and its keys.
#[derive(Debug, Clone, Copy)]
pub struct SectionReference {
    /// The section's name: `tunnel`.
    pub name: &'static str,
    /// The purpose of the section.
    pub about: &'static str,
    /// Its keys, in the order of the schema.
    pub keys: &'static [KeyReference],
}

/// A key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct KeyReference {
    /// The key's name: `interfaces`.
    pub name: &'static str,
    /// The default, as TOML.
    pub default: &'static str,
    /// What the key means and what its value causes, in paragraphs.
    pub consequence: &'static [&'static str],
    /// Another value, as TOML.
    pub example: &'static str,
}

/// Every section, in the order of the schema.
pub const REFERENCE: &[SectionReference] = &[TUNNEL, BOOTSTRAP, LAN, INPUT, DOCKER, VPN, FIREWALL, LOG];

const TUNNEL: SectionReference = SectionReference {
    name: "tunnel",
    about: "Which interfaces are tunnels, and what may go through them.",
    keys: &[
        KeyReference {
            name: "interfaces",
            default: r#"["tun+"]"#,
            consequence: &[
                "Names of the VPN's interfaces. A \"+\" at the end stands for any ending, and is the only wildcard.",
                "What tunnel.allow names may leave through such an interface. A network card with such a name is no \
                 tunnel and is closed. An interface that is not named here never makes this machine protected.",
            ],
            example: r#"["tun+", "wg0"]"#,
        },
        KeyReference {
            name: "allow",
            default: r#""any""#,
            consequence: &[
                "What programs on this machine may send through the tunnel: \"any\", or a list of rules. A rule has \
                 protocol (\"tcp\", \"udp\" or \"icmp\") and ports (numbers, and ranges such as \"6000-6007\"). Without \
                 ports it means all ports. With to, a network or an address, it is for packets to it alone.",
                "What the list does not name is dropped, also while the VPN is up. Without UDP 53 no name can be looked \
                 up. An empty list lets nothing through.",
            ],
            example: r#"[{ protocol = "tcp", ports = [443, 80] }, { protocol = "udp", ports = [53] }, { protocol = "icmp" }]"#,
        },
        KeyReference {
            name: "routes",
            default: r#""default""#,
            consequence: &[
                "What a tunnel must carry before this machine counts as protected: the default route, or a list of \
                 networks for a VPN that carries only these.",
                "Networks that are named here are never treated as the LAN, also while the VPN is down.",
            ],
            example: r#"["10.20.0.0/16"]"#,
        },
    ],
};

const BOOTSTRAP: SectionReference = SectionReference {
    name: "bootstrap",
    about: "How the VPN client may reach its server outside the tunnel. Nothing else may.",
    keys: &[
        KeyReference {
            name: "ports",
            default: r#"[{ protocol = "udp", port = 1194 }]"#,
            consequence: &[
                "The ports of servers that name no port of their own, and the ports that scope opens.",
                "A port of DNS (53 or 853) opens DNS in clear for the owners while any address may be reached.",
            ],
            example: r#"[{ protocol = "udp", port = 1194 }, { protocol = "tcp", port = 443 }]"#,
        },
        KeyReference {
            name: "servers",
            default: "[]",
            consequence: &[
                "Servers that are known from the start: an address or a name, with a port and a protocol if you want. \
                 Servers of NetworkManager's VPN profiles, of OpenVPN's files in and below /etc/openvpn and of \
                 WireGuard's files are found without this key. At most 16384.",
                "The owners may reach these servers while no VPN is up. A name needs dns = \"pin\".",
            ],
            example: r#"["198.51.100.1", "vpn.example.net:443/tcp", "[2001:db8::1]:1194/udp"]"#,
        },
        KeyReference {
            name: "scope",
            default: r#""auto""#,
            consequence: &[
                "\"known\": only servers that a profile or this file names. \"auto\": the same, but while no server at all \
                 is known, any address on ports. \"any\": any address on ports, while the VPN is down.",
                "With \"any\" a process of an owner can reach every address of the internet on these ports.",
            ],
            example: r#""known""#,
        },
        KeyReference {
            name: "owners",
            default: r#"["root", "nm-openvpn", "openvpn"]"#,
            consequence: &[
                "The users that VPN clients run as. A name that this system does not have is skipped.",
                "Every process of these users may reach the VPN's servers, on their ports. Without \"root\" most clients \
                 cannot connect, and the agent looks up no name. The user that an OpenVPN configuration drops to is found \
                 without this key, for its own servers.",
            ],
            example: r#"["root"]"#,
        },
        KeyReference {
            name: "dns",
            default: r#""pin""#,
            consequence: &[
                "\"pin\": the agent alone looks up the names of VPN servers, and writes what it finds into a marked block of \
                 /etc/hosts. The name in a profile that vpn.connections does not name is looked up only while the profile \
                 is being activated or is up.",
                "\"off\": no name is ever looked up outside the tunnel. Then write addresses.",
            ],
            example: r#""off""#,
        },
    ],
};

const LAN: SectionReference = SectionReference {
    name: "lan",
    about: "Printers, file servers and other machines on the local network.",
    keys: &[
        KeyReference {
            name: "allow",
            default: "true",
            consequence: &[
                "Whether this machine may send anything to the LAN. With false it asks for an address (DHCP) and reaches \
                 nothing there.",
            ],
            example: "false",
        },
        KeyReference {
            name: "networks",
            default: r#""connected""#,
            consequence: &[
                "\"connected\": the private networks that this machine is on now. Or a list of private networks. Public \
                 networks are refused.",
                "DNS (ports 53 and 853) never passes to the LAN. A network that the VPN routes or has an address in is not \
                 the LAN. With a list, addresses in it that are not on your own network leave in clear through your provider.",
            ],
            example: r#"["192.168.1.0/24", "fd00:1::/64"]"#,
        },
        KeyReference {
            name: "multicast",
            default: "true",
            consequence: &[
                "Whether discovery of printers and players passes: mDNS, SSDP and IGMP. For 6 seconds \
                 after a question, answers of the LAN come in to the port that asked.",
                "With layers = [\"iptables\"] they come in to every port of this kind at the address that asked, because iptables \
                 does not remember the port.",
            ],
            example: "false",
        },
        KeyReference {
            name: "services",
            default: "[]",
            consequence: &[
                "Further services on the LAN. \"ws-discovery\" finds printers, scanners and shares of Windows (UDP 3702). \
                 \"wake-on-lan\" sends magic packets as a broadcast (UDP 7 and 9).",
                "\"localsend\" and \"kde-connect\" send their announcements, and the LAN may open connections to them: TCP and \
                 UDP 53317, or UDP 1716 and TCP 1714 to 1764.",
            ],
            example: r#"["ws-discovery", "kde-connect"]"#,
        },
    ],
};

const INPUT: SectionReference = SectionReference {
    name: "input",
    about: "What others may open towards this machine. Replies always come in.",
    keys: &[KeyReference {
        name: "allow",
        default: "[]",
        consequence: &[
            "A list of rules as in tunnel.allow, each with the network that it is for (from). Without from it is every \
             address.",
            "With on = \"tunnel\" it comes in through the tunnel alone: a port that the VPN forwards to a torrent client.",
            "A packet for a tunnel's address that arrives on another interface is dropped all the same.",
        ],
        example: r#"[{ protocol = "tcp", ports = [22], from = "192.168.0.0/16" }]"#,
    }],
};

const DOCKER: SectionReference = SectionReference {
    name: "docker",
    about: "Containers and virtual machines.",
    keys: &[
        KeyReference {
            name: "allow",
            default: r#""any""#,
            consequence: &[
                "What containers may send through the tunnel: \"any\", or a list as in tunnel.allow. They never leave past it.",
            ],
            example: r#"[{ protocol = "tcp", ports = [443] }]"#,
        },
        KeyReference {
            name: "published_ports",
            default: r#""lan""#,
            consequence: &[
                "Who reaches the ports that containers publish: \"lan\", or \"none\" for nobody outside this machine.",
            ],
            example: r#""none""#,
        },
        KeyReference {
            name: "forwarded",
            default: "[]",
            consequence: &[
                "Ports that the VPN forwards to containers: the port at the tunnel's address, and the name and the own port \
                 of the container that publishes it. It is reached through the tunnel, and this opens it on no network card.",
                "It works while Docker says that this container publishes this port, such as by -p 51413:51413/udp. status \
                 shows why a port is not forwarded. A network with \"lan\" or \"none\" in docker.networks has no forwarded port.",
            ],
            example: r#"[{ protocol = "udp", port = 51413, to = "transmission:51413" }]"#,
        },
        KeyReference {
            name: "bridges",
            default: r#"["docker0", "docker_gwbridge", "br-+", "virbr+", "podman+", "cni-podman+", "lxcbr+", "lxdbr+", "incusbr+"]"#,
            consequence: &[
                "Names of the bridges of containers and virtual machines, with \"+\" as in tunnel.interfaces.",
                "What comes from such a bridge may go to the tunnel and to other bridges. A bridge that has a network card \
                 among its ports is an uplink all the same.",
            ],
            example: r#"["docker0", "br-+", "lab0"]"#,
        },
        KeyReference {
            name: "networks",
            default: "{}",
            consequence: &[
                "Docker networks, by name, that differ from the others. \"tunnel\": the tunnel and nothing past it, as every \
                 network. \"lan\": the LAN, never DNS, and not the tunnel. \"none\": nothing outside the network.",
                "A network is known by the bridge that Docker reports. A name that Docker does not know changes nothing, \
                 and status shows it.",
            ],
            example: r#"{ printers = "lan", db = "none" }"#,
        },
    ],
};

const VPN: SectionReference = SectionReference {
    name: "vpn",
    about: "Which VPNs count, and what happens when one is lost.",
    keys: &[
        KeyReference {
            name: "connections",
            default: "[]",
            consequence: &[
                "Names or UUIDs of NetworkManager's profiles, \"wireguard:NAME\" for /etc/wireguard/NAME.conf, and \
                 \"openvpn:NAME\" for a configuration under /etc/openvpn. With an empty list every VPN counts.",
                "With names, a profile or a file in /etc/wireguard that is not among them changes nothing. Use UUIDs for \
                 profiles: any user may make one with the same name. What root has put under /etc/openvpn counts all the \
                 same, until the list names an \"openvpn:NAME\".",
            ],
            example: r#"["4d1f6b52-0a4e-4cf3-9a3b-0c2c5f6f2b11", "wireguard:office"]"#,
        },
        KeyReference {
            name: "reconnect",
            default: r#""ask""#,
            consequence: &[
                "\"ask\": the notification of a loss offers to reconnect. \"auto\": the agent reconnects through \
                 NetworkManager or the unit wg-quick@NAME, after 2 seconds, then later and later, up to 5 minutes. \
                 \"never\": nothing is offered. tunwarden reconnect works with each of them.",
                "A VPN that you ended yourself stays down.",
            ],
            example: r#""auto""#,
        },
        KeyReference {
            name: "silence",
            default: r#""30s""#,
            consequence: &[
                "How long the server may send nothing, while packets are sent to it, before the VPN counts as lost: \"5s\" to \
                 \"1h\", or \"off\".",
                "With a long time, or with \"off\", a dead server is noticed late. Nothing leaks in that time.",
            ],
            example: r#""2m""#,
        },
    ],
};

const FIREWALL: SectionReference = SectionReference {
    name: "firewall",
    about: "How the rules are put into the kernel.",
    keys: &[
        KeyReference {
            name: "backend",
            default: r#""auto""#,
            consequence: &[
                "\"auto\": the system's own iptables. \"nft\" or \"legacy\": one of its two forms.",
                "Each form sees its own rules alone, and packets must pass both. After a change, tunwarden release and lock \
                 remove the old rules too.",
                "iptables-legacy does not show who closed FORWARD. There tunwarden release opens it if it was open before \
                 tunwarden, also if another program has closed it since.",
            ],
            example: r#""nft""#,
        },
        KeyReference {
            name: "layers",
            default: r#"["iptables", "nftables"]"#,
            consequence: &[
                "Where the rules are put. A packet must pass each layer that is named.",
                "\"iptables\": the chains that people know. \"nftables\": two tables of tunwarden's own, which no flush of \
                 iptables reaches, and which also see raw packet sockets and containers that share a network card. It needs \
                 kernel 5.16; with an older one the first layer alone holds, and status says so.",
            ],
            example: r#"["iptables"]"#,
        },
    ],
};

const LOG: SectionReference = SectionReference {
    name: "log",
    about: "What the journal gets.",
    keys: &[KeyReference {
        name: "destinations",
        default: "false",
        consequence: &[
            "Whether the journal gets the destinations of refused packets. It always gets the number of refusals by reason, \
             once a minute while there are any.",
            "With true everybody who can read the journal learns where programs and containers wanted to connect. tunwarden \
             blocked shows the destinations of the last hour without it.",
        ],
        example: "true",
    }],
};

#[cfg(test)]
mod tests {
    use super::super::{Config, schema};
    use super::REFERENCE;

    fn parsed(section: &str, key: &str, value: &str) -> Config {
        let text = format!("[{section}]\n{key} = {value}\n");
        Config::parse(&text, "reference").unwrap_or_else(|faults| panic!("{section}.{key}: {faults}"))
    }

    #[test]
    fn every_key_of_the_schema_is_described_in_its_order() {
        let described = REFERENCE.iter().map(|section| {
            (format!("[{}]", section.name), section.keys.iter().map(|key| key.name).collect::<Vec<_>>())
        });
        let keys = schema::keys().map(|(title, keys)| (title.to_owned(), keys.to_vec()));
        assert_eq!(described.collect::<Vec<_>>(), keys.collect::<Vec<_>>());
    }

    #[test]
    fn the_documented_defaults_are_true_and_no_example_is_a_default() {
        for section in REFERENCE {
            for key in section.keys {
                assert_eq!(parsed(section.name, key.name, key.default), Config::default(), "{}", key.name);
                assert_ne!(parsed(section.name, key.name, key.example), Config::default(), "{}", key.name);
            }
        }
    }
}
