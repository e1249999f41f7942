//! The properties of the agent on the bus. Each is defined once: its name, how it is written, and how it is read.
//!
//! The service, the signal `PropertiesChanged`, the introspection, the command line and the notifier all use
//! this table. `dbus/org.tunwarden.Agent1.xml` explains each property to other programs.

use std::collections::HashMap;

use zbus::{OwnedVariant, Variant};

use super::codec::{Entries, OnBus};
use super::{Enforcement, Status, StatusError, Verdict};
use crate::vpn::{Situation, State};

/// One property of the agent.
pub struct Property {
    /// Its name on the bus.
    pub name: &'static str,
    /// Whether it changes while the agent runs.
    pub changes: Changes,
    write: fn(&Status) -> Variant<'static>,
    is_same: fn(&Status, &Status) -> bool,
    read: fn(&mut Status, &mut Entries, &str) -> Result<(), StatusError>,
}

/// Whether a property changes while the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// It changes, and `PropertiesChanged` carries it.
    Signalled,
    /// It never changes.
    Never,
}

/// A property that is a field of the status. A field that is `later` may be missing, because an older agent does not
/// have it.
macro_rules! field {
    ($name:literal, $field:ident) => {
        field!($name, $field, Changes::Signalled, |status, entries, name| {
            status.$field = entries.take(name)?;
            Ok(())
        })
    };
    ($name:literal, $field:ident, later) => {
        field!($name, $field, Changes::Signalled, |status, entries, name| {
            status.$field = entries.take_known(name)?.unwrap_or_default();
            Ok(())
        })
    };
    ($name:literal, $field:ident, $changes:expr, $read:expr) => {
        Property {
            name: $name,
            changes: $changes,
            write: |status| status.$field.write(),
            is_same: |one, other| one.$field == other.$field,
            read: $read,
        }
    };
}

/// Every property.
pub static PROPERTIES: [Property; 22] = [
    field!("Version", version, Changes::Never, |status, entries, name| {
        status.version = entries.take(name)?;
        Ok(())
    }),
    Property {
        name: "State",
        changes: Changes::Signalled,
        write: |status| Some(status.state).write(),
        is_same: |one, other| one.state == other.state,
        read: |status, entries, name| {
            let state: Option<State> = entries.take(name)?;
            status.state = state.ok_or_else(|| StatusError(format!("{name} is empty")))?;
            Ok(())
        },
    },
    field!("Since", since),
    Property {
        name: "Enforced",
        changes: Changes::Signalled,
        write: |status| status.enforced().write(),
        is_same: |one, other| one.enforced() == other.enforced(),
        read: |status, entries, name| {
            status.enforcement = Enforcement::from_words(entries.take(name)?, None);
            Ok(())
        },
    },
    Property {
        name: "Verdict",
        changes: Changes::Signalled,
        write: |status| Some(status.verdict()).write(),
        is_same: |one, other| one.verdict() == other.verdict(),
        // It is read after `Enforced`, and is more exact. An older agent does not have it.
        read: |status, entries, name| {
            let verdict: Option<Option<Verdict>> = entries.take_known(name)?;
            status.enforcement = Enforcement::from_words(status.enforced(), verdict.flatten());
            Ok(())
        },
    },
    field!("Pending", pending, later),
    field!("Tunnels", tunnels),
    field!("Bootstrap", bootstrap),
    field!("PausedUntil", paused_until),
    field!("PauseScope", pause),
    field!("Docker", docker),
    field!("Layers", layers),
    field!("Loss", loss),
    field!("Configuration", configuration, later),
    field!("LeftOut", left_out, later),
    field!("Vpns", vpns, later),
    field!("VpnsLeftOut", vpns_left_out, later),
    field!("ReconnectPolicy", reconnect),
    field!("Management", management),
    field!("Repairs", repairs),
    field!("Watch", watch),
    field!("Fights", fights),
];

impl Property {
    /// The property of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROPERTIES.iter().find(|property| property.name == name)
    }

    /// Its value in a status.
    pub fn value(&self, status: &Status) -> Variant<'static> {
        (self.write)(status)
    }
}

impl Status {
    /// The properties that differ from those of an older status, as `PropertiesChanged` carries them.
    pub fn changes_since(&self, old: &Self) -> HashMap<&'static str, Variant<'static>> {
        let changed =
            PROPERTIES.iter().filter(|one| one.changes == Changes::Signalled && !(one.is_same)(old, self));
        changed.map(|one| (one.name, one.value(self))).collect()
    }

    /// Reads the properties of the agent on the bus.
    ///
    /// # Errors
    /// A property that is missing or of another type.
    pub fn from_properties(all: HashMap<String, OwnedVariant>) -> Result<Self, StatusError> {
        let mut entries = Entries(all);
        let mut status = Self::new(&Situation::default(), 0, Enforcement::NotEnforced, false);
        for property in &PROPERTIES {
            (property.read)(&mut status, &mut entries, property.name)?;
        }
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Reconnect;
    use crate::status::{
        BootstrapStatus, ConfigurationStatus, EndpointStatus, FightStatus, ForwardedStatus, LayerStatus,
        LeftOutStatus, ManagementStatus, NetworkStatus, PauseStatus, TunnelStatus, Unread, VpnStatus, Watch,
    };
    use crate::vpn::{LastLoss, PauseScope, Reason};

    fn text(text: &str) -> String {
        text.to_owned()
    }

    /// A status in which every field has a value.
    fn full() -> Status {
        let endpoint = || EndpointStatus { address: text("198.51.100.1"), port: 1194, protocol: text("udp") };
        let tunnel = TunnelStatus {
            interface: text("tun0"),
            endpoint: Some(endpoint()),
            source: text("openvpn"),
            name: text("home"),
            since: 7,
            carrying: true,
        };
        let mut status = Status::new(&Situation::default(), 9, Enforcement::Enforced, true);
        status.version = text("9.9");
        status.state = State::Paused;
        status.tunnels = vec![TunnelStatus { endpoint: None, ..tunnel.clone() }, tunnel];
        status.bootstrap = vec![
            BootstrapStatus::Endpoint(endpoint()),
            BootstrapStatus::Kernel { endpoint: endpoint(), by: text("mark 0x7") },
            BootstrapStatus::Any,
        ];
        status.pending = Some(text("a commit"));
        status.paused_until = Some(11);
        status.pause = Some(PauseStatus { scope: PauseScope::Portal });
        status.repairs = 3;
        status.watch = Some(Watch::Slow);
        status.fights = vec![FightStatus { program: text("ufw"), count: 20 }];
        status.reconnect = Some(Reconnect::Never);
        status.loss = Some(loss());
        status.management = vec![ManagementStatus {
            file: text("a.conf"),
            socket: text("/run/a"),
            heard: false,
            fault: Some(text("taken")),
        }];
        status.layers = vec![LayerStatus {
            name: text("nftables"),
            enforced: true,
            unknown: Some(text("why")),
            lacks: Some(text("netdev")),
            closed: true,
            owned: true,
        }];
        let (name, reason, remedy) = (text("work"), text("no"), text("do"));
        status.left_out = vec![LeftOutStatus { name, reason, remedy, carries: true }];
        let (name, origin, servers) = (text("work"), text("wireguard"), vec![text("198.51.100.1:1/udp")]);
        let (mark, fault) = (Some(text("0x7")), Some(text("no")));
        let uuid = Some(text("5d6c"));
        status.vpns = vec![VpnStatus { name, uuid, origin, servers, more: 2, mark, counts: true, fault }];
        status.vpns_left_out = 3;
        status.configuration = Some(ConfigurationStatus {
            source: text("kept"),
            path: text("/etc/x"),
            fault: Some(text("line 1")),
        });
        status.docker.version = Some(text("27"));
        status.docker.backend = Some(text("iptables"));
        status.docker.networks = vec![network()];
        status.docker.missing = vec![text("db")];
        let (protocol, to, fault) = (text("udp"), text("bt:51413"), Some(text("why")));
        status.docker.forwarded = vec![ForwardedStatus { port: 6000, protocol, to, fault }];
        status
    }

    fn network() -> NetworkStatus {
        NetworkStatus {
            name: text("web"),
            driver: text("bridge"),
            bridge: Some(text("br-1")),
            internal: true,
            access: text("lan"),
            covered: true,
            fault: Some(text("a fault")),
        }
    }

    fn loss() -> LastLoss {
        LastLoss {
            name: text("home"),
            uuid: Some(text("5d6c")),
            interface: text("tun0"),
            reason: text("its interface is gone"),
            code: Some(Reason::LinkGone),
            seen_by: text("links"),
            at: 5,
            held: true,
        }
    }

    fn empty() -> Status {
        Status::new(&Situation::default(), 0, Enforcement::Unknown(Unread::Failed), false)
    }

    fn on_bus(status: &Status) -> HashMap<String, OwnedVariant> {
        let value = |one: &Property| OwnedVariant::try_from(one.value(status)).unwrap();
        PROPERTIES.iter().map(|one| (one.name.to_owned(), value(one))).collect()
    }

    #[test]
    fn a_status_is_read_as_it_was_written() {
        for status in [full(), empty()] {
            assert_eq!(Status::from_properties(on_bus(&status)).unwrap(), status);
        }
    }

    #[test]
    fn an_entry_that_is_missing_or_of_another_type_is_named() {
        let fault = |spoil: fn(&mut HashMap<String, OwnedVariant>)| {
            let mut all = on_bus(&full());
            spoil(&mut all);
            Status::from_properties(all).unwrap_err().0
        };
        assert_eq!(fault(|all| drop(all.remove("Tunnels"))), "Tunnels is missing");
        assert_eq!(
            fault(|all| drop(all.insert("Since".to_owned(), OwnedVariant::from(true)))),
            "Since is of another type"
        );
        let layers = |all: &mut HashMap<String, OwnedVariant>| {
            let broken: Vec<HashMap<&str, Variant<'_>>> =
                vec![HashMap::from([("name", Variant::from("iptables"))])];
            all.insert("Layers".to_owned(), OwnedVariant::try_from(Variant::from(broken)).unwrap());
        };
        assert_eq!(fault(layers), "Layers: enforced is missing");
    }

    #[test]
    fn an_older_agent_without_the_later_properties_is_understood() {
        let mut all = on_bus(&full());
        for later in ["Verdict", "Pending", "Configuration", "LeftOut", "Vpns", "VpnsLeftOut"] {
            all.remove(later);
        }
        let status = Status::from_properties(all).unwrap();
        assert_eq!((status.pending, status.configuration, status.left_out), (None, None, Vec::new()));
        assert_eq!((status.vpns, status.vpns_left_out), (Vec::new(), 0));
        assert_eq!(status.enforcement, Enforcement::Enforced);
    }

    #[test]
    fn the_text_says_how_many_vpns_it_does_not_show() {
        let status = full();
        let vpns = vec![status.vpns[0].clone(); 7];
        let text = Status { vpns, ..status }.for_people(0);
        // Two VPNs of the list, and three that are not in it.
        assert!(text.contains("and 5 more; list them with: sudo tunwarden check"), "{text}");
    }

    #[test]
    fn only_properties_that_differ_are_sent() {
        assert!(full().changes_since(&full()).is_empty());
        let paused = Status { paused_until: Some(12), ..full() };
        assert_eq!(paused.changes_since(&full()).into_keys().collect::<Vec<_>>(), ["PausedUntil"]);
        let mut all: Vec<_> = full().changes_since(&empty()).into_keys().collect();
        all.sort_unstable();
        let mut every: Vec<_> =
            PROPERTIES.iter().map(|one| one.name).filter(|&name| name != "Version").collect();
        every.sort_unstable();
        assert_eq!(all, every);
    }

    #[test]
    fn each_property_has_the_type_that_the_introspection_file_promises() {
        let file = include_str!("../../dbus/org.tunwarden.Agent1.xml");
        for property in &PROPERTIES {
            for status in [full(), empty()] {
                let signature = property.value(&status).value_signature().to_string();
                let promised = format!(r#"<property name="{}" type="{signature}" "#, property.name);
                assert!(file.contains(&promised), "{promised}");
            }
        }
        // Two more are counts of refused packets, which are not part of the status.
        assert_eq!(file.matches("<property ").count(), PROPERTIES.len() + 2);
    }
}
