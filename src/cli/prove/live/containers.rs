//! Temporary containers, one on each network of Docker. A shell process makes them and their image. It removes them
//! when its input ends, so they are removed even if this process is killed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::origin::{Attachment, Container};
use super::{gateway, image};
use crate::blocked::PROVE_CONTAINER;
use crate::sources::docker::{Attachable, attachable};
use crate::system;
use crate::system::program::{FOLDERS, command, path};

/// The script that makes and removes the containers. It gets only numbers and hexadecimal digits as arguments.
const SCRIPT: &str = include_str!("containers.sh");
/// The namespace of this process.
const OWN_NAMESPACE: &str = "/proc/self/ns/net";
/// Maximum number of containers.
const MAX_CONTAINERS: usize = 64;
/// How long Docker may take to make all containers, and to remove them.
const BEGIN: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(30);

/// Why a network has no container. The computation still covers this network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli::prove) enum Untried {
    /// No container was wanted on this network, or on any network.
    LeftOut(String),
    /// A container was wanted, but it could not be made.
    Failed(String),
}

/// Containers that exist until this value is dropped.
#[derive(Debug, Default)]
pub(in crate::cli::prove) struct Containers {
    pub(super) made: Vec<Container>,
    pub(super) untried: Vec<Untried>,
    shell: Option<(Child, ChildStdin)>,
}

impl Containers {
    /// Makes a container on each network, if Docker runs.
    pub(in crate::cli::prove) async fn make() -> Self {
        let mut all = Self::default();
        let networks = match attachable().await {
            None => {
                return all.without(Untried::LeftOut("no Docker runs, so no container was tried".to_owned()));
            }
            Some(Err(error)) => return all.without(failed("Docker", &error)),
            Some(Ok(networks)) => networks,
        };
        let (wanted, left_out) = chosen(networks);
        all.untried.extend(left_out);
        if wanted.is_empty() {
            return all;
        }
        match timeout(BEGIN, all.begin(&wanted)).await {
            Ok(Ok(())) => all,
            Ok(Err(error)) => all.without(failed("Docker", &error)),
            Err(_) => all.without(failed("Docker", "it did not answer in time")),
        }
    }

    /// Returns a value without containers. Those that were made are removed.
    fn without(mut self, why: Untried) -> Self {
        self.made.clear();
        self.untried.push(why);
        self
    }

    async fn begin(&mut self, wanted: &[(Attachable, Attachment)]) -> Result<(), String> {
        let archive =
            image::archive(std::env::consts::ARCH).ok_or("there is no program for this processor")?;
        let archive = archive.map_err(|error| error.to_string())?;
        let lines = self.shell(&archive, wanted).await.map_err(|error| error.to_string())?;
        let mut lines = BufReader::new(lines).lines();
        let mut answers = BTreeMap::new();
        loop {
            let line = lines.next_line().await.map_err(|error| error.to_string())?;
            match line.as_deref().ok_or("its client has ended")? {
                "done" => break,
                line => answers.extend(answer(line)),
            }
        }
        if let Some(Err(why)) = answers.remove(&0) {
            return Err(why);
        }
        for (number, (network, attachment)) in (1..).zip(wanted) {
            let process = answers.remove(&number).unwrap_or_else(|| Err("nothing was said".to_owned()));
            match process.and_then(|process| entered(process, network, attachment)) {
                Ok(container) => self.made.push(container),
                Err(why) => self.untried.push(failed(&network.name, &why)),
            }
        }
        Ok(())
    }

    /// Starts the shell.
    async fn shell(
        &mut self,
        archive: &[u8],
        wanted: &[(Attachable, Attachment)],
    ) -> io::Result<ChildStdout> {
        if path("docker").is_none() {
            return Err(io::Error::other("its client, the program docker, is not installed"));
        }
        let size = archive.len().to_string();
        let image = format!("{PROVE_CONTAINER}{:016x}", system::random());
        let mut arguments = vec!["-c", SCRIPT, "containers", &size, &image];
        arguments.extend(wanted.iter().map(|(network, _)| network.id.as_str()));
        let mut command = command("sh", &arguments).map_err(io::Error::other)?;
        command.env("PATH", FOLDERS.join(":")).env("DOCKER_CONFIG", "/nonexistent").stderr(Stdio::null());
        // The shell must survive this process and the signals of its terminal.
        let mut child = command.kill_on_drop(false).process_group(0).spawn()?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a pipe is missing"));
        };
        input.write_all(archive).await?;
        self.shell = Some((child, input));
        Ok(output)
    }

    /// Removes the containers and waits for that. Returns a message if they may still exist.
    pub(in crate::cli::prove) async fn remove(self) -> Option<String> {
        let Self { made, shell, .. } = self;
        drop(made);
        let (mut child, input) = shell?;
        drop(input);
        match timeout(END, child.wait()).await {
            Ok(Ok(status)) if status.success() => None,
            Ok(_) | Err(_) => {
                Some("Docker still has containers or an image named tunwarden-prove".to_owned())
            }
        }
    }
}

fn failed(network: &str, why: &str) -> Untried {
    Untried::Failed(format!("{network}: no container could be tried: {why}"))
}

/// The networks that get a container, and the reasons for the others.
fn chosen(networks: Vec<Attachable>) -> (Vec<(Attachable, Attachment)>, Vec<Untried>) {
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for network in networks {
        let bridge = network.bridge.clone().map(Attachment::Bridge);
        match bridge.or_else(|| network.card.clone().map(Attachment::Card)) {
            Some(attachment) => chosen.push((network, attachment)),
            // The container would take the whole card, the network also needs other machines, it is ipvlan in the mode
            // l3, or it has no card.
            None => left_out.push(Untried::LeftOut(format!(
                "{}: no container was tried on this network of the kind {}",
                network.name, network.driver
            ))),
        }
    }
    let rest = chosen.split_off(MAX_CONTAINERS.min(chosen.len()));
    if !rest.is_empty() {
        left_out.push(Untried::LeftOut(format!("no container was tried on {} more networks", rest.len())));
    }
    (chosen, left_out)
}

/// Parses a line of the shell: the number of a network, and either the process of its container or why there is none.
fn answer(line: &str) -> Option<(usize, Result<u32, String>)> {
    let (number, rest) = line.split_once(' ')?;
    let (word, text) = rest.split_once(' ')?;
    let process = match word {
        "began" => {
            text.parse().ok().filter(|process| *process > 0).ok_or_else(|| "it has no process".to_owned())
        }
        _ => Err(text.trim().to_owned()),
    };
    Some((number.parse().ok()?, process))
}

/// The container to which a process belongs.
fn entered(process: u32, network: &Attachable, attachment: &Attachment) -> Result<Container, String> {
    let text = |error: io::Error| error.to_string();
    let namespace = namespace(process).map_err(text)?;
    let shares_card = matches!(attachment, Attachment::Card(_));
    let look = move || {
        if shares_card {
            gateway::answer()?;
        }
        addresses()
    };
    let addresses = within(namespace.try_clone().map_err(text)?, look).map_err(text)?;
    Ok(Container { network: network.name.clone(), attachment: attachment.clone(), namespace, addresses })
}

/// The network namespace of a process. It is an error if this process is in the same one.
#[expect(clippy::disallowed_methods, reason = "a namespace is a file")]
fn namespace(process: u32) -> io::Result<File> {
    let found = File::open(format!("/proc/{process}/ns/net"))?;
    match found.metadata()?.ino() == File::open(OWN_NAMESPACE)?.metadata()?.ino() {
        true => Err(io::Error::other("it has the network of this machine itself")),
        false => Ok(found),
    }
}

/// Runs `what` in another network namespace, on its own thread.
pub(super) fn within<T: Send + 'static>(
    namespace: impl AsFd + Send + 'static,
    what: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let thread = thread::spawn(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        what()
    });
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace has failed")))
}

/// The addresses of the links in this namespace, without link-local ones.
fn addresses() -> io::Result<Vec<IpAddr>> {
    let addresses = getifaddrs()?.filter_map(|link| {
        let address = link.address?;
        let v4 = address.as_sockaddr_in().map(|own| IpAddr::V4(own.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|own| IpAddr::V6(own.ip())))
    });
    let is_for_link =
        |address: &IpAddr| matches!(address, IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(v6));
    Ok(addresses.filter(|address| !address.is_loopback() && !is_for_link(address)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str, bridge: Option<&str>) -> Attachable {
        let bridge = bridge.map(|bridge| bridge.parse().unwrap());
        Attachable {
            id: "ab".to_owned(),
            name: name.to_owned(),
            driver: "overlay".to_owned(),
            bridge,
            card: None,
        }
    }

    #[test]
    fn a_network_without_a_container_is_named() {
        let (wanted, left_out) = chosen(vec![network("lan", None), network("bridge", Some("docker0"))]);
        assert_eq!(wanted.len(), 1);
        assert!(
            matches!(&left_out[..], [Untried::LeftOut(text)] if text.starts_with("lan: ")),
            "{left_out:?}"
        );
        let card: crate::net::IfName = "eth0".parse().unwrap();
        let shared = Attachable { card: Some(card.clone()), ..network("lan", None) };
        let (wanted, left_out) = chosen(vec![shared]);
        assert_eq!(wanted[0].1, Attachment::Card(card));
        assert!(left_out.is_empty(), "{left_out:?}");
        let (wanted, left_out) = chosen(vec![network("many", Some("docker0")); MAX_CONTAINERS + 3]);
        assert_eq!(wanted.len(), MAX_CONTAINERS);
        assert!(matches!(&left_out[..], [Untried::LeftOut(text)] if text.contains("3 more")), "{left_out:?}");
    }

    #[test]
    fn what_the_shell_says_is_a_process_or_a_reason() {
        assert_eq!(answer("2 began 4711"), Some((2, Ok(4711))));
        assert_eq!(
            answer("0 failed docker: no space left "),
            Some((0, Err("docker: no space left".to_owned())))
        );
        for odd in ["3 began 0", "3 began -1", "3 began x"] {
            assert!(matches!(answer(odd), Some((3, Err(_)))), "{odd}");
        }
        for none in ["", "done", "x began 1", "3"] {
            assert_eq!(answer(none), None, "{none}");
        }
    }

    #[test]
    fn the_network_of_this_machine_is_no_container() {
        assert!(namespace(std::process::id()).is_err());
    }
}
