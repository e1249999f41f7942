//! The refused packets in the form that they have on the bus.

use std::collections::HashMap;

use zbus::{OwnedVariant, Variant};

use crate::blocked::{Group, NamedContainer, Who};
use crate::net::printable;

/// A group of refusals. The keys are explained in `dbus/org.tunwarden.Agent1.xml`.
pub(super) type Written = HashMap<&'static str, Variant<'static>>;

/// The entries of a group. Unknown facts are left out.
pub(super) fn written(group: &Group) -> Written {
    let key = &group.key;
    let (uid, unit) = match &key.who {
        Who::Program(uid, unit) => (*uid, unit.as_ref()),
        Who::Forwarded(..) | Who::Raw(..) | Who::Remote(_) => (None, None),
    };
    let id = unit.and_then(|unit| unit.container.as_ref());
    let (kind, name) = match (&key.who, &key.container) {
        (Who::Forwarded(..) | Who::Program(..), Some(container)) => ("container", Some(name_of(container))),
        (Who::Program(..), None) if id.is_some() => ("container", id.cloned()),
        (Who::Program(..), None) => ("program", unit.and_then(|unit| unit.program.clone())),
        (Who::Forwarded(link, source), None) => ("forwarded", Some(format!("{source} on {link}"))),
        (Who::Raw(link, source), _) => ("raw", Some(format!("{source} on {link}"))),
        (Who::Remote(source), _) => ("remote", Some(source.to_string())),
    };
    let mut entries = HashMap::from([
        ("kind", Variant::from(kind)),
        ("address", Variant::from(key.destination.to_string())),
        ("protocol", Variant::from(protocol(key.protocol))),
        ("reason", Variant::from(key.reason.refusal.as_str())),
        ("count", Variant::from(group.count)),
        ("first", Variant::from(group.first)),
        ("last", Variant::from(group.last)),
    ]);
    entries.extend(name.map(|name| ("name", text(&name))));
    entries.extend(unit.map(|unit| ("unit", text(&unit.name))));
    entries.extend(uid.map(|uid| ("uid", Variant::from(uid))));
    entries.extend(key.port.map(|port| ("port", Variant::from(port))));
    entries.extend(key.reason.key.map(|key| ("key", Variant::from(key))));
    entries
}

/// The name of a container, with its image and its compose project where they are known.
fn name_of(container: &NamedContainer) -> String {
    let image = Some(container.image.clone()).filter(|image| !image.is_empty());
    let project = container.project.as_ref().map(|project| format!("project {project}"));
    let details: Vec<String> = image.into_iter().chain(project).collect();
    if details.is_empty() {
        container.name.clone()
    } else {
        format!("{} ({})", container.name, details.join(", "))
    }
}

/// A text that may come from a user: the name of a unit, a container or a link.
fn text(text: &str) -> Variant<'static> {
    Variant::from(text.chars().map(printable).collect::<String>())
}

/// The name of a protocol, or its number.
fn protocol(number: u8) -> String {
    let name = match number {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        number => return number.to_string(),
    };
    name.to_owned()
}

/// A group of refusals, as the agent reports it.
#[derive(Debug, Clone)]
pub struct BlockedGroup {
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) uid: Option<u32>,
    pub(crate) unit: Option<String>,
    pub(crate) address: String,
    pub(crate) port: Option<u16>,
    pub(crate) protocol: String,
    pub(crate) reason: String,
    pub(crate) key: Option<String>,
    pub(crate) count: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl From<HashMap<String, OwnedVariant>> for BlockedGroup {
    /// A later agent may leave an entry out.
    fn from(mut entries: HashMap<String, OwnedVariant>) -> Self {
        let mut text = |key: &str| String::try_from(entries.remove(key)?).ok();
        let (kind, name, address) = (text("kind"), text("name"), text("address"));
        let (protocol, reason, key, unit) = (text("protocol"), text("reason"), text("key"), text("unit"));
        let mut number = |key: &str| u64::try_from(entries.remove(key)?).ok();
        let (count, first, last) = (number("count"), number("first"), number("last"));
        let uid = entries.remove("uid").and_then(|uid| u32::try_from(uid).ok());
        Self {
            kind: kind.unwrap_or_default(),
            name,
            uid,
            unit,
            address: address.unwrap_or_default(),
            port: entries.remove("port").and_then(|port| u16::try_from(port).ok()),
            protocol: protocol.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
            key,
            count: count.unwrap_or_default(),
            first: first.unwrap_or_default(),
            last: last.unwrap_or_default(),
        }
    }
}

impl BlockedGroup {
    /// The destination, for people.
    pub(crate) fn destination(&self) -> String {
        let address =
            if self.address.contains(':') { format!("[{}]", self.address) } else { self.address.clone() };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{address}{port}/{}", self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocked::{Key, Unit};
    use crate::vpn::Refusal;

    fn group(who: Who, container: Option<NamedContainer>) -> Group {
        let destination = "203.0.113.9".parse().unwrap();
        let key =
            Key { who, container, destination, port: None, protocol: 17, reason: Refusal::NoVpn.into() };
        Group { key, count: 1, first: 1, last: 1 }
    }

    fn texts(group: &Group) -> [String; 3] {
        let mut written = written(group);
        let mut text = |key| String::try_from(OwnedVariant::try_from(written.remove(key)?).ok()?).ok();
        ["kind", "name", "unit"].map(|key| text(key).unwrap_or_default())
    }

    #[test]
    fn no_text_of_a_user_has_control_characters_on_the_bus() {
        let source = "172.17.0.2".parse().unwrap();
        let unit = Unit { name: "a\0b.scope".to_owned(), program: Some("a\0b".to_owned()), container: None };
        let container = NamedContainer {
            name: "w\0eb".to_owned(),
            image: "a\nb".to_owned(),
            project: Some("\u{85}".to_owned()),
        };
        for group in [
            group(Who::Program(Some(1000), Some(unit)), None),
            group(Who::Forwarded("docker0".to_owned(), source), Some(container)),
            group(Who::Raw("e\0h0".to_owned(), source), None),
        ] {
            let texts = texts(&group);
            assert!(!texts.concat().contains(char::is_control), "{texts:?}");
        }
    }

    #[test]
    fn a_container_has_its_image_and_project_where_they_are_known() {
        let named = |image: &str, project: Option<&str>| {
            let project = project.map(ToOwned::to_owned);
            name_of(&NamedContainer { name: "web".to_owned(), image: image.to_owned(), project })
        };
        assert_eq!(named("nginx:1", Some("docs")), "web (nginx:1, project docs)");
        assert_eq!([named("nginx:1", None), named("", None)], ["web (nginx:1)", "web"]);
    }

    #[test]
    fn a_raw_sender_is_no_container_because_of_the_source_that_it_wrote() {
        let source = "172.17.0.2".parse().unwrap();
        let raw = group(Who::Raw("eth0".to_owned(), source), Some(NamedContainer::default()));
        assert_eq!(texts(&raw), ["raw", "172.17.0.2 on eth0", ""]);
    }
}
