//! `tunwarden why DEST`: what the kernel would do with such a packet now, and which rule of which program decides.

mod sender;
mod shown;
mod target;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args as ClapArgs;

use super::load::in_force_aloud;
use super::prove::{Read, read};
use super::{Outcome, needs_root, say};
use crate::config::{Config, Source};
use crate::model::{Contract, Question, Way};
use crate::net::{Family, Transport};
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
    /// From a program of this user, by name or by number. Without it: of the user who calls sudo.
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
    let in_force = in_force_aloud(path, &store);
    anyhow::ensure!(in_force.source != Source::Unknown, "it is not known: no configuration can be read");
    let read = read(&in_force.config, &store).await.context("it is not known")?;
    let sender = match &args.from {
        Some(container) => Sender::container(container, &read.links).await?,
        None => Sender::program(args.user.as_deref())?,
    };
    let mut code = 0;
    for target in &args.destinations {
        let question = question(target, &sender, &read.links).await?;
        let shown = answered(question, &read, &in_force.config, &sender)?;
        match args.json {
            true => say(&shown.in_json().to_string()),
            false => say(&shown.in_words()),
        }
        code = code.max(shown.exit_code());
    }
    Ok(ExitCode::from(code))
}

/// Asks the kernel which way the packet goes.
async fn question(target: &Target, sender: &Sender, links: &LinkTable) -> anyhow::Result<Question> {
    let destination = target.address(&sender.families()).await?;
    let family = Family::of(destination);
    let protocol = match target.transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    };
    let asked = Asked {
        destination,
        protocol,
        port: target.port,
        sender: sender.for_route(family).context("the sender has no address of this family")?,
    };
    let (way, chosen) = match route(asked).await.context("the kernel's route lookup")? {
        Route::Nowhere => (Way::Nowhere, None),
        Route::Here(source) => (Way::Here, source),
        Route::Out(index, source) => {
            let link = links.links.iter().find(|link| link.index == index);
            let link = link.context("the links change while they are read; try again")?;
            let own = link.own_addresses().into_iter().find(|own| Family::of(*own) == family);
            (Way::Out(link.name.clone(), own), source)
        }
    };
    let unspecified = match family {
        Family::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = sender.address(family).or(chosen).unwrap_or(unspecified);
    Ok(Question { from: sender.for_model(), source, destination, protocol, port: target.port, way })
}

/// What the rules that were read do with the packet.
fn answered(question: Question, read: &Read, config: &Config, sender: &Sender) -> anyhow::Result<Shown> {
    let Read { rules, machine, situation, users, .. } = read;
    let of_family = rules.iter().find(|(family, _)| *family == question.family());
    let (_, rules) = of_family.context("the rules of this family were not read")?;
    let contract = Contract { config, situation, now: machine.now, users };
    let answer = question.answer(rules, machine, &contract);
    let refusal = answer.is_ours().then(|| question.refusal(machine, &contract)).flatten();
    Ok(Shown { sender: sender.in_words(), question, answer, refusal })
}
