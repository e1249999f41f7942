//! `tunwarden why DEST`: what the kernel would do with such a packet now, and which rule of which program decides.

mod sender;
mod shown;
mod target;

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args as ClapArgs;

use super::load::in_force_with_warning;
use super::prove::{Read, read};
use super::{OPEN, Outcome, needs_root, say};
use crate::config::{Config, Source};
use crate::model::{Contract, Question, Way};
use crate::net::Family;
use crate::sources::links::{Asked, Route, route};
use crate::store::Store;
use crate::vpn::LinkTable;
use sender::Sender;
use shown::Shown;
use target::Target;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Where to: ADDRESS, ADDRESS:PORT or ADDRESS:PORT/PROTOCOL (tcp or udp), or a name in place of the address.
    /// Without a port: 443/tcp. IPv6 with a port: [2001:db8::1]:443.
    #[arg(required = true, value_name = "DEST")]
    destinations: Vec<Target>,
    /// From a program of this user, by name or by number. The default is the user who runs sudo.
    #[arg(long = "as", value_name = "USER", conflicts_with = "from")]
    user: Option<String>,
    /// From this container of Docker, or from behind this bridge.
    #[arg(long, value_name = "CONTAINER")]
    from: Option<String>,
    /// Print JSON: an object a line for each destination.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Outcome {
    needs_root("why DEST")?;
    let store = Store::default();
    let in_force = in_force_with_warning(path, &store);
    anyhow::ensure!(in_force.source != Source::Unknown, "it is not known: no configuration can be read");
    let read = read(&in_force.config, &store).await.context("it is not known")?;
    let sender = match &args.from {
        Some(container) => Sender::container(container, &read.links).await?,
        None => Sender::program(args.user.as_deref())?,
    };
    let mut code = 0;
    for target in &args.destinations {
        let question = question(target, &sender, &read.links).await?;
        let shown = answered(question, &read, &in_force.config, &sender).await?;
        match args.json {
            true => say(&shown.in_json().to_string()),
            false => say(&shown.in_words()),
        }
        code = worse_exit_code(code, shown.exit_code());
    }
    Ok(ExitCode::from(code))
}

/// The exit code for two destinations. A packet that leaves in clear is more important than one whose result is not
/// known.
fn worse_exit_code(one: u8, other: u8) -> u8 {
    match [one, other].contains(&OPEN) {
        true => OPEN,
        false => one.max(other),
    }
}

/// The packet that a destination stands for, with its route.
async fn question(target: &Target, sender: &Sender, links: &LinkTable) -> anyhow::Result<Question> {
    let destination = target.address(&sender.families()).await?;
    let family = Family::of(destination);
    let protocol = target.transport.number();
    let asked = Asked {
        destination,
        protocol,
        port: target.port,
        sender: sender.for_route(family, None).context("the sender has no address of this family")?,
    };
    let (way, chosen) = route_of(asked, links).await?;
    let unspecified = match family {
        Family::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = sender.address(family).or(chosen).unwrap_or(unspecified);
    let (from, port) = (sender.for_model(), target.port);
    Ok(Question { from, source, destination, protocol, port, way, first: None, then: None })
}

/// Asks the kernel for the packet's route, and for the source address if a program sends it.
pub(super) async fn route_of(asked: Asked, links: &LinkTable) -> anyhow::Result<(Way, Option<IpAddr>)> {
    Ok(match route(asked).await {
        Err(error) => (Way::NotKnown(format!("{:#}", anyhow::Error::from(error))), None),
        Ok(Route::Nowhere) => (Way::Nowhere, None),
        Ok(Route::Here(source)) => (Way::Here, source),
        Ok(Route::Out(index, source)) => {
            let link = links.links.iter().find(|link| link.index == index);
            let link = link.context("the links change while they are read; try again")?;
            let is_of_family = |own: &IpAddr| Family::of(*own) == Family::of(asked.destination);
            let own = link.own_addresses().into_iter().find(is_of_family);
            (Way::Out(link.name.clone(), own), source)
        }
    })
}

/// The packet after NAT has changed its destination.
async fn after_nat(
    question: &Question,
    (destination, port): (IpAddr, u16),
    sender: &Sender,
    links: &LinkTable,
) -> anyhow::Result<Question> {
    let sender = sender.for_route(question.family(), Some(question.source));
    let sender = sender.context("the sender has no address of this family")?;
    let asked = Asked { destination, protocol: question.protocol, port, sender };
    let (way, _) = route_of(asked, links).await?;
    let first = Some((question.destination, question.port));
    Ok(Question { destination, port, way, first, ..question.clone() })
}

/// What the rules do with the packet.
async fn answered(
    mut question: Question,
    read: &Read,
    config: &Config,
    sender: &Sender,
) -> anyhow::Result<Shown> {
    let Read { rules, machine, situation, users, links } = read;
    let of_family = rules.iter().find(|(family, _)| *family == question.family());
    let (_, rules) = of_family.context("the rules of this family were not read")?;
    let contract = Contract { config, situation, now: machine.now, users };
    let mut answer = question.answer(rules, machine, &contract);
    if let Some(elsewhere) = answer.elsewhere {
        question.then = Some(Box::new(after_nat(&question, elsewhere, sender, links).await?));
        answer = question.answer(rules, machine, &contract);
    }
    let refusal = answer.is_ours().then(|| question.last().refusal(machine, &contract)).flatten();
    Ok(Shown { sender: sender.in_words(), question, answer, refusal })
}

#[cfg(test)]
mod tests {
    use super::super::{LOCKED, UNKNOWN};
    use super::*;

    #[test]
    fn a_packet_in_clear_counts_before_one_that_is_not_known() {
        assert_eq!([OPEN, UNKNOWN, 0, LOCKED].into_iter().fold(0, worse_exit_code), OPEN);
        assert_eq!([LOCKED, UNKNOWN, 0].into_iter().fold(0, worse_exit_code), UNKNOWN);
        assert_eq!([0, LOCKED].into_iter().fold(0, worse_exit_code), LOCKED);
    }
}
