//! `docker.forwarded`: ports that the VPN forwards to containers.

use super::hint::shown;
use super::item::{Item, Wrong};
use super::schema::port;
use crate::net::{Port, Transport};

/// Maximum length of a container's name, in bytes.
const MAX_NAME: usize = 256;

/// A port that the VPN forwards to a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForwardedPort {
    /// TCP or UDP.
    pub transport: Transport,
    /// The port at the tunnel's address, which the container publishes.
    pub port: Port,
    /// The container's name.
    pub container: ContainerName,
    /// The container's own port.
    pub inner: Port,
}

impl ForwardedPort {
    /// The container and its port, in the form of the configuration.
    pub fn to(&self) -> String {
        format!("{}:{}", self.container.as_str(), self.inner.get())
    }
}

/// A name that Docker accepts for a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerName(String);

impl ContainerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An entry of `docker.forwarded`.
pub(super) fn forwarded(item: Item<'_>) -> Option<ForwardedPort> {
    let example = "{ protocol = \"tcp\", port = 51413, to = \"transmission:51413\" }";
    let section = item.table("a forwarded port", &["protocol", "port", "to"], example)?;
    section.refuse_others(|_| None);
    let protocol = section.require("protocol", "add protocol = \"udp\" or \"tcp\"").and_then(Item::word);
    let port = section.require("port", "add the port that the VPN forwards: port = 51413").and_then(port);
    let to = section.require("to", "add the container and its port: to = \"transmission:51413\"");
    let (container, inner) = to.and_then(|to| to.text(target))?;
    Some(ForwardedPort { transport: protocol?, port: port?, container, inner })
}

/// `CONTAINER:PORT`
fn target(text: &str) -> Result<(ContainerName, Port), Wrong> {
    let wrong = |what: String, hint: &str| Err(Wrong { what, hint: hint.to_owned() });
    let Some((name, port)) = text.rsplit_once(':') else {
        let what = format!("`to` names no port of the container: \"{}\"", shown(text));
        return wrong(what, "write the container's name and its own port: \"transmission:51413\"");
    };
    if name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok() {
        let what = format!("`to` names a container, not an address: \"{}\"", shown(text));
        return wrong(what, "write the name that `docker ps` shows: a container's address may change");
    }
    let Some(name) = container_name(name) else {
        let what = format!("\"{}\" is no name of a container", shown(name));
        return wrong(what, "write the name that `docker ps` shows, and the container's own port");
    };
    match port.parse() {
        Ok(port) => Ok((name, port)),
        Err(error) => wrong(error.to_string(), "write the container's own port after its name: \"web:80\""),
    }
}

/// Docker's own rule (`RestrictedNamePattern`): a letter or digit, then letters, digits, `_`, `.` and `-`.
fn container_name(text: &str) -> Option<ContainerName> {
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    (begins && plain && (2..=MAX_NAME).contains(&text.len())).then(|| ContainerName(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn read(entry: &str) -> Result<Vec<String>, String> {
        let config = Config::parse(&format!("docker.forwarded = [{entry}]"), "f");
        let config = config.map_err(|faults| faults.to_string())?;
        let said =
            |port: &super::ForwardedPort| format!("{}/{} {}", port.port.get(), port.transport, port.to());
        Ok(config.docker.forwarded.iter().map(said).collect())
    }

    #[test]
    fn a_forwarded_port_names_a_container_and_its_port() {
        let good = "{ protocol = \"udp\", port = 6000, to = \"my-stack_web.1:51413\" }";
        assert_eq!(read(good).unwrap(), ["6000/udp my-stack_web.1:51413"]);
        for (entry, hint) in [
            ("{ protocol = \"udp\", port = 1, to = \"web\" }", "\"transmission:51413\""),
            ("{ protocol = \"udp\", port = 1, to = \"web:0\" }", "\"web:80\""),
            ("{ protocol = \"udp\", port = 1, to = \"172.17.0.2:80\" }", "`docker ps`"),
            ("{ protocol = \"udp\", port = 1, to = \"[fd00::2]:80\" }", "`docker ps`"),
            ("{ protocol = \"udp\", port = 1, to = \"-j:80\" }", "`docker ps`"),
            ("{ protocol = \"udp\", port = 1, to = \"a b:80\" }", "`docker ps`"),
            ("{ protocol = \"udp\", port = 1, to = \":80\" }", "`docker ps`"),
            ("{ protocol = \"icmp\", port = 1, to = \"web:80\" }", "\"udp\""),
            ("{ protocol = \"udp\", port = 0, to = \"web:80\" }", "1 to 65535"),
            ("{ protocol = \"udp\", port = 1 }", "to = \"transmission:51413\""),
            ("{ protocol = \"udp\", ports = [1], to = \"web:80\" }", "did you mean `port`?"),
            (&format!("{good}, {good}"), "keep the first"),
        ] {
            let said = read(entry).unwrap_err();
            assert!(said.contains(hint), "{entry}: {said}");
        }
    }
}
