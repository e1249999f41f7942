//! `tunwarden blocked`: shows who was refused, where to, how often and why.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::{Outcome, client, say, screen};
use crate::blocked::HOUR;
use crate::bus::{Agent1Proxy, BlockedGroup};
use crate::config::plain;
use crate::net::length;
use crate::system;
use crate::vpn::Refusal;

/// How often `--follow` asks the agent.
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Keep running and print each refusal as it happens.
    #[arg(long, short)]
    follow: bool,
    /// Only refusals of this length of time, such as 10m. The agent keeps an hour.
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    since: Option<u64>,
    /// Print JSON, for programs: an array, or with --follow an object a line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> Outcome {
    let agent = client::connect().await?;
    let begin = system::now().saturating_sub(args.since.unwrap_or(HOUR));
    let groups = read(&agent, begin).await?;
    if args.follow {
        return follow(args, &agent, groups).await;
    }
    match (args.json, groups.is_empty()) {
        (true, _) => say(&Value::from_iter(groups.iter().map(BlockedGroup::json)).to_string()),
        (false, true) => say("Nothing was refused."),
        (false, false) => groups.iter().for_each(|group| say(&group.text())),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints every group whose count has changed, until the agent or the reader ends.
async fn follow(args: &Args, agent: &Agent1Proxy<'_>, mut groups: Vec<BlockedGroup>) -> Outcome {
    let mut known = BTreeMap::new();
    let mut reader_gone = std::pin::pin!(screen::reader_gone());
    loop {
        let mut newest = system::now().saturating_sub(1);
        for group in groups {
            newest = newest.min(group.last);
            if known.insert(group.place(), group.count) != Some(group.count) {
                say(&if args.json { group.json().to_string() } else { group.text() });
            }
        }
        tokio::select! {
            () = tokio::time::sleep(SECOND) => {}
            () = &mut reader_gone => return Ok(ExitCode::SUCCESS),
        }
        // Lines come up to a second after their packets.
        groups = read(agent, newest.saturating_sub(2)).await?;
    }
}

async fn read(agent: &Agent1Proxy<'_>, since: u64) -> anyhow::Result<Vec<BlockedGroup>> {
    let groups = agent.recently_blocked(since).await.map_err(client::answer)?;
    Ok(groups.into_iter().map(BlockedGroup::from).collect())
}

impl BlockedGroup {
    /// What makes it another group.
    fn place(&self) -> String {
        let who = [&self.name, &self.user, &self.unit].map(|text| text.as_deref().unwrap_or_default());
        format!("{} {} {} {}", self.kind, who.join(" "), self.destination(), self.reason)
    }

    fn who(&self) -> String {
        let name = self.name.as_deref().map(plain);
        let program = name.clone().or_else(|| self.unit.as_deref().map(plain));
        match (self.kind.as_str(), name, &self.user) {
            ("program", _, Some(user)) => {
                format!("{} of {}", program.as_deref().unwrap_or("a program"), plain(user))
            }
            ("program", _, None) => "the kernel, or a program that has ended".to_owned(),
            ("raw", Some(name), _) => format!("a raw sender, {name}"),
            ("forwarded", Some(name), _) => format!("forwarded, {name}"),
            (kind, Some(name), _) => format!("{kind} {name}"),
            (kind, None, _) => kind.to_owned(),
        }
    }

    fn text(&self) -> String {
        let time = |moment: u64| {
            let moment =
                i64::try_from(moment).ok().and_then(|moment| jiff::Timestamp::from_second(moment).ok());
            let local = moment.map(|moment| moment.to_zoned_datetime(jiff::tz::TimeZone::system()));
            local.map(|local| local.strftime("%H:%M:%S").to_string()).unwrap_or_default()
        };
        let key = self.key.as_ref().map(|key| format!(" ({})", plain(key))).unwrap_or_default();
        let why = self
            .reason
            .parse::<Refusal>()
            .map_or_else(|_| plain(&self.reason), |reason| reason.sentence().to_owned());
        let times = if self.count == 1 {
            "once".to_owned()
        } else {
            format!("{} times since {}", self.count, time(self.first))
        };
        format!("{}  {} to {}, {times}: {why}{key}", time(self.last), self.who(), plain(&self.destination()))
    }

    fn json(&self) -> Value {
        json!({
            "who": { "kind": self.kind, "name": self.name, "user": self.user, "unit": self.unit },
            "destination": { "address": self.address, "port": self.port, "protocol": self.protocol },
            "reason": self.reason,
            "key": self.key,
            "count": self.count,
            "first": self.first,
            "last": self.last,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use zbus::{OwnedVariant, Variant};

    use super::*;

    #[test]
    fn a_group_is_one_line_without_control_characters() {
        let entries = [
            ("kind", Variant::from("container")),
            ("name", Variant::from("web\x1b[31m\n (nginx)")),
            ("address", Variant::from("2001:db8::9")),
            ("port", Variant::from(443_u16)),
            ("protocol", Variant::from("tcp")),
            ("reason", Variant::from("vpn-lost")),
            ("count", Variant::from(31_u64)),
        ];
        let entries = entries.map(|(key, value)| (key.to_owned(), OwnedVariant::try_from(value).unwrap()));
        let group = BlockedGroup::from(HashMap::from(entries));
        let text = group.text();
        assert!(text.contains("[2001:db8::9]:443/tcp, 31 times"), "{text}");
        assert!(
            text.ends_with("outside a tunnel nothing leaves") && !text.contains(char::is_control),
            "{text}"
        );
        assert_eq!(group.json()["who"]["kind"], "container");
        assert_eq!(group.json()["destination"]["port"], 443);
    }
}
