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
    /// Only refusals of this last period, for example 10m. The agent keeps one hour.
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    since: Option<u64>,
    /// Print JSON, for programs: an array, or with --follow an object a line.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// The time of the oldest refusal that is wanted, in seconds since the epoch.
    fn begin(&self, now: u64) -> u64 {
        now.saturating_sub(self.since.unwrap_or(HOUR))
    }
}

/// The line under a list with entries such as "a program of anna".
const NO_UNIT: &str = "If a line names only the user of a program, its unit is not known.";

/// Number of seconds that are read twice: the agent records a refusal up to a second after its packet.
const OVERLAP: u64 = 3;

pub(super) async fn run(args: &Args) -> Outcome {
    let agent = client::connect().await?;
    let begin = args.begin(system::now());
    if args.follow {
        return follow(args, &agent, begin).await;
    }
    let mut users = Users::default();
    let groups = read(&agent, begin).await?;
    match (args.json, groups.is_empty()) {
        (true, _) => {
            let groups = groups.iter().map(|group| group.json(users.of(group)));
            say(&Value::from_iter(groups).to_string());
        }
        (false, true) => say("Nothing was refused."),
        (false, false) => {
            groups.iter().for_each(|group| say(&group.text(users.of(group))));
            if groups.iter().any(BlockedGroup::lacks_unit) {
                say(NO_UNIT);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints every group whose count has changed, until the agent or the reader ends.
async fn follow(args: &Args, agent: &Agent1Proxy<'_>, mut since: u64) -> Outcome {
    let (mut printed, mut users) = (Printed::default(), Users::default());
    let mut reader_gone = std::pin::pin!(screen::reader_gone());
    loop {
        let now = system::now();
        for group in printed.changed(read(agent, since).await?, since) {
            let user = users.of(&group);
            say(&if args.json { group.json(user).to_string() } else { group.text(user) });
        }
        since = now.saturating_sub(OVERLAP);
        tokio::select! {
            () = tokio::time::sleep(SECOND) => {}
            () = &mut reader_gone => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// The names of users. Each is looked up only once, because a directory service may be slow.
#[derive(Default)]
struct Users(BTreeMap<u32, String>);

impl Users {
    /// The user of a group: the name, or the id of a user without a name.
    fn of(&mut self, group: &BlockedGroup) -> Option<&str> {
        let name = |uid: u32| system::user_name(uid).unwrap_or_else(|| uid.to_string());
        group.uid.map(|uid| self.0.entry(uid).or_insert_with(|| name(uid)).as_str())
    }
}

/// The groups that `--follow` has printed, with their counts and last refusals.
#[derive(Default)]
struct Printed(BTreeMap<String, (u64, u64)>);

impl Printed {
    /// The groups of an answer that differ from what was printed. The answer has the groups since `since`, so older
    /// ones are forgotten.
    fn changed(&mut self, mut groups: Vec<BlockedGroup>, since: u64) -> Vec<BlockedGroup> {
        self.0.retain(|_, (_, last)| *last >= since);
        groups.retain(|group| {
            let now = (group.count, group.last);
            self.0.insert(group.identity(), now) != Some(now)
        });
        groups
    }
}

async fn read(agent: &Agent1Proxy<'_>, since: u64) -> anyhow::Result<Vec<BlockedGroup>> {
    let groups = agent.recently_blocked(since).await.map_err(client::answer)?;
    Ok(groups.into_iter().map(BlockedGroup::from).collect())
}

impl BlockedGroup {
    /// The text that distinguishes a group from all others.
    fn identity(&self) -> String {
        let [name, unit] = [&self.name, &self.unit].map(|text| text.as_deref().unwrap_or_default());
        let uid = self.uid.map(|uid| uid.to_string()).unwrap_or_default();
        format!("{} {name} {uid} {unit} {} {}", self.kind, self.destination(), self.reason)
    }

    /// Whether it is a program about which only the user is known.
    fn lacks_unit(&self) -> bool {
        self.kind == "program" && self.uid.is_some() && self.name.is_none() && self.unit.is_none()
    }

    fn who(&self, user: Option<&str>) -> String {
        let name = self.name.as_deref().map(plain);
        let program = name.clone().or_else(|| self.unit.as_deref().map(plain));
        match (self.kind.as_str(), name, user) {
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

    fn text(&self, user: Option<&str>) -> String {
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
        format!(
            "{}  {} to {}, {times}: {why}{key}",
            time(self.last),
            self.who(user),
            plain(&self.destination())
        )
    }

    fn json(&self, user: Option<&str>) -> Value {
        json!({
            "who": { "kind": self.kind, "name": self.name, "user": user, "unit": self.unit },
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

    use clap::{Args as _, Command, FromArgMatches};
    use zbus::{OwnedVariant, Variant};

    use super::*;

    fn group(address: &str, count: u64, last: u64) -> BlockedGroup {
        let entries = [
            ("address", Variant::from(address)),
            ("count", Variant::from(count)),
            ("last", Variant::from(last)),
        ];
        let entries = entries.map(|(key, value)| (key.to_owned(), OwnedVariant::try_from(value).unwrap()));
        BlockedGroup::from(HashMap::from(entries))
    }

    #[test]
    fn only_the_refusals_of_the_given_period_are_asked_for() {
        let begin = |words: &[&str]| {
            let command = Args::augment_args(Command::new("blocked").no_binary_name(true));
            let matches = command.try_get_matches_from(words).ok()?;
            Some(Args::from_arg_matches(&matches).ok()?.begin(100_000))
        };
        assert_eq!(begin(&["--since", "10m"]), Some(100_000 - 600));
        assert_eq!(begin(&["--follow", "--since", "2h"]), Some(100_000 - 7200));
        assert_eq!(begin(&["--since", "48h"]), Some(0), "longer ago than the epoch");
        assert_eq!(begin(&[]), Some(100_000 - 3600), "the agent keeps one hour");
        assert_eq!([begin(&["--since", "10"]), begin(&["--since"])], [None; 2]);
    }

    #[test]
    fn a_followed_group_is_printed_once_for_each_change() {
        let mut printed = Printed::default();
        let mut changed = |groups: &[(&str, u64, u64)], since| {
            let groups = groups.iter().map(|(address, count, last)| group(address, *count, *last)).collect();
            let changed = printed.changed(groups, since);
            changed.into_iter().map(|group| (group.address, group.count)).collect::<Vec<_>>()
        };
        let one = |address: &str, count| [(address.to_owned(), count)];
        assert_eq!(changed(&[("a", 1, 100)], 0), one("a", 1));
        assert_eq!(changed(&[("a", 1, 100), ("b", 1, 101)], 98), one("b", 1));
        assert_eq!(changed(&[("b", 1, 101)], 99), [], "an answer has the newest groups alone");
        assert_eq!(changed(&[("a", 1, 100), ("b", 2, 102)], 100), one("b", 2));
        assert_eq!(
            changed(&[("a", 1, 103), ("b", 2, 102)], 101),
            one("a", 1),
            "the agent starts to count again"
        );
    }

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
        let text = group.text(None);
        assert!(text.contains("[2001:db8::9]:443/tcp, 31 times"), "{text}");
        assert!(
            text.ends_with("outside a tunnel nothing leaves") && !text.contains(char::is_control),
            "{text}"
        );
        assert_eq!(group.json(None)["who"]["kind"], "container");
        assert_eq!(group.json(None)["destination"]["port"], 443);
    }
}
