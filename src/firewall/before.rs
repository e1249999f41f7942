//! What the kernel held before us: looked at, and put back.

use super::absent::nothing_if_absent;
use super::family::take_out;
use super::outcome::FirewallError;
use super::reading::read;
use super::saved::{Saved, SavedTable};
use super::{plan, tool};
use crate::config::Backend;
use crate::net::Family;
use crate::netfilter;
use crate::policy::{Table, TableName, last_resort};

/// Everything that iptables and ip6tables held, as text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dump {
    ipv4: String,
    ipv6: String,
}

impl Dump {
    /// What they hold now.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub async fn take(backend: Backend) -> Result<Self, FirewallError> {
        let (ipv4, ipv6) = tokio::join!(tool::save(backend, Family::V4), tool::save(backend, Family::V6));
        Ok(Self { ipv4: ipv4?, ipv6: nothing_if_absent(Family::V6, ipv6)? })
    }

    /// Puts it back in the tables that ours stand in: what came into them since is gone, and so is such a
    /// table that was not there, unless somebody uses it by now. Every other table stays as it is. A table
    /// goes in one step from ours to what was before: where that was closed, nothing is open in between.
    ///
    /// # Errors
    /// When a family could not be put back; the other one is all the same.
    pub async fn put_back(&self, backend: Backend) -> Result<(), FirewallError> {
        let (ipv4, ipv6) = tokio::join!(
            put_back(backend, Family::V4, &self.ipv4),
            put_back(backend, Family::V6, &self.ipv6)
        );
        ipv4.and(nothing_if_absent(Family::V6, ipv6))
    }

    /// Whether the article's scripts have been at work: its chain, and not ours that belongs to it.
    pub fn is_the_articles(&self) -> bool {
        let chains = self.ipv4.contains(":OUTPUT_VPN_KILL_SWITCH ") || !self.later_chains().is_empty();
        chains && !self.is_ours()
    }

    /// Chains of the later tool of the article's author.
    pub fn later_chains(&self) -> Vec<String> {
        let lines = self.ipv4.lines().chain(self.ipv6.lines());
        let name = |line: &str| Some(line.strip_prefix(":RB_")?.split(' ').next()?.to_owned());
        let names: std::collections::BTreeSet<String> = lines.filter_map(name).collect();
        names.into_iter().map(|name| format!("RB_{name}")).collect()
    }

    /// What a family held, as `iptables-save` prints it.
    pub fn text(&self, family: Family) -> &str {
        match family {
            Family::V4 => &self.ipv4,
            Family::V6 => &self.ipv6,
        }
    }

    /// Whether it was locked.
    pub fn is_ours(&self) -> bool {
        [&self.ipv4, &self.ipv6].into_iter().any(|text| text.contains(":VPN_BOOTSTRAP "))
    }
}

async fn put_back(backend: Backend, family: Family, before: &str) -> Result<(), FirewallError> {
    tool::restore_whole(backend, family, &of_our_tables(before)).await?;
    let before = Saved::parse(before)?;
    let is_new = |name: TableName| before.table(name.as_str()).is_none();
    let ours = last_resort();
    let new: Vec<Table> = ours.family(family).iter().filter(|table| is_new(table.name)).cloned().collect();
    let mut now = read(backend, family).await?;
    let taken = take_out(backend, family, &new, &now).await?;
    // The kernel keeps a table of iptables-legacy for as long as it runs.
    if tool::is_legacy(backend) {
        return Ok(());
    }
    if taken {
        now = read(backend, family).await?;
    }
    for name in TableName::ALL.into_iter().filter(|name| is_new(*name)).map(TableName::as_str) {
        if let Some(chains) = now.table(name).and_then(SavedTable::nothing_but)
            && let Err(error) = netfilter::socket::remove_empty(family, name, &chains)
        {
            tracing::warn!("the empty table {name} stays: {error}");
        }
    }
    Ok(())
}

/// Those sections of a save that are tables that ours stand in.
fn of_our_tables(save: &str) -> String {
    let ours = |section: &&str| {
        TableName::ALL.iter().any(|table| section.lines().any(|line| line == format!("*{}", table.as_str())))
    };
    save.split_inclusive("\nCOMMIT\n").filter(ours).collect()
}

/// Whether a family holds any rule, or a policy that drops, in one world of iptables.
pub async fn holds_any(backend: Backend, family: Family) -> bool {
    let text = tool::save(backend, family).await.unwrap_or_default();
    text.lines().any(|line| line.starts_with("-A ") || line.contains(" DROP ["))
}

/// Takes the article's three rules out of `DOCKER-USER`, where they stand as it has them: behind ours
/// they would let out what Docker itself keeps in. Says how many.
///
/// # Errors
/// When the kernel refuses it: then they are all still there.
pub async fn forget_article(backend: Backend) -> Result<usize, FirewallError> {
    let saved = Saved::parse(&tool::save(backend, Family::V4).await?)?;
    let rules = plan::articles_rules(&saved);
    if !rules.is_empty() {
        let lines: String = rules.iter().map(|rule| format!("-D DOCKER-USER {rule}\n")).collect();
        tool::restore(backend, Family::V4, &format!("*filter\n{lines}COMMIT\n")).await?;
    }
    Ok(rules.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_that_ours_stand_in_are_put_back() {
        let table = |name: &str| format!("# by iptables\n*{name}\n:INPUT DROP [0:0]\nCOMMIT\n# done\n");
        let save = ["nat", "mangle", "raw", "filter"].map(table).concat();
        let kept = of_our_tables(&save);
        let stars: Vec<&str> = kept.lines().filter(|line| line.starts_with('*')).collect();
        assert_eq!((stars, kept.matches("COMMIT").count()), (vec!["*mangle", "*filter"], 2), "{kept}");
        assert_eq!(of_our_tables("# nothing\n"), "");
    }

    #[test]
    fn a_table_is_empty_only_with_open_bare_chains_of_its_own() {
        let of = |lines: &str| {
            let saved = Saved::parse(&format!("*mangle\n:INPUT ACCEPT [1:2]\n{lines}COMMIT\n")).unwrap();
            saved.table("mangle").and_then(SavedTable::nothing_but).map(|chains| chains.join(" "))
        };
        assert_eq!(of(""), Some("INPUT".to_owned()));
        for somebodys in [":OUTPUT DROP [0:0]\n", ":MINE - [0:0]\n", "-A INPUT -j ACCEPT\n"] {
            assert_eq!(of(somebodys), None, "{somebodys}");
        }
    }
}
