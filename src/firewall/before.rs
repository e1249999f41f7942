//! What iptables held before tunwarden: read it, and restore it.

use super::absent::nothing_if_absent;
use super::family::take_out;
use super::outcome::FirewallError;
use super::policies::Before;
use super::reading::read;
use super::saved::{Saved, SavedTable};
use super::{plan, tool};
use crate::config::Backend;
use crate::net::Family;
use crate::netfilter;
use crate::policy::{Table, TableName, last_resort};

/// The output of iptables-save and ip6tables-save.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dump {
    ipv4: String,
    ipv6: String,
}

impl Dump {
    /// Reads what they hold now.
    ///
    /// # Errors
    /// When one of the programs fails.
    pub async fn take(backend: Backend) -> Result<Self, FirewallError> {
        let (ipv4, ipv6) = tokio::join!(tool::save(backend, Family::V4), tool::save(backend, Family::V6));
        Ok(Self { ipv4: ipv4?, ipv6: nothing_if_absent(Family::V6, ipv6)? })
    }

    /// Restores the tables that we use. Rules that were added to them since then are removed. A table that was not
    /// there is removed too, unless another program uses it now. Every other table stays as it is. A table
    /// changes in one step from our rules to the rules before: if those were closed, nothing is open in
    /// between.
    ///
    /// # Errors
    /// When a family could not be restored. The other one is restored all the same.
    pub async fn put_back(&self, backend: Backend) -> Result<(), FirewallError> {
        let (ipv4, ipv6) = tokio::join!(
            put_back(backend, Family::V4, &self.ipv4),
            put_back(backend, Family::V6, &self.ipv6)
        );
        ipv4.and(nothing_if_absent(Family::V6, ipv6))
    }

    /// Whether the article's scripts made these rules: its chain has rules, and tunwarden's own chains have
    /// none.
    pub fn is_from_article(&self) -> bool {
        let chains = self.ipv4.contains("-A OUTPUT_VPN_KILL_SWITCH ") || !self.later_chains().is_empty();
        chains && !self.is_ours()
    }

    /// Chains of the later tool by the article's author.
    pub fn later_chains(&self) -> Vec<String> {
        let lines = self.ipv4.lines().chain(self.ipv6.lines());
        let name = |line: &str| Some(line.strip_prefix(":RB_")?.split(' ').next()?.to_owned());
        let names: std::collections::BTreeSet<String> = lines.filter_map(name).collect();
        names.into_iter().map(|name| format!("RB_{name}")).collect()
    }

    /// Whether OUTPUT of IPv4 refuses what no rule allows, and no other firewall program made these rules.
    pub fn is_closed_by_hand(&self) -> bool {
        let filter = self.ipv4.split("\nCOMMIT").find(|section| section.contains("*filter\n"));
        let filter = filter.unwrap_or_default();
        let programs = [":ufw", ":IN_", ":OUTPUT_direct", ":shorewall", ":sw"];
        filter.contains(":OUTPUT DROP ") && !programs.iter().any(|name| filter.contains(name))
    }

    /// Whether it holds any rule, or a policy DROP.
    pub fn has_rules(&self) -> bool {
        let mut lines = self.ipv4.lines().chain(self.ipv6.lines());
        lines.any(|line| line.starts_with("-A ") || line.contains(" DROP ["))
    }

    /// Whether another program has put a rule into one of its tables that it cannot print.
    pub fn is_incomplete(&self) -> bool {
        [&self.ipv4, &self.ipv6].into_iter().any(|text| text.contains("is incompatible"))
    }

    /// The output for one family.
    pub fn text(&self, family: Family) -> &str {
        match family {
            Family::V4 => &self.ipv4,
            Family::V6 => &self.ipv6,
        }
    }

    /// Whether the rules are tunwarden's.
    pub fn is_ours(&self) -> bool {
        let of_family = |text: &String| match Saved::parse(text) {
            Ok(saved) => saved.has_our_rules(),
            Err(_) => text.contains("-A VPN_"),
        };
        [&self.ipv4, &self.ipv6].into_iter().any(of_family)
    }
}

async fn put_back(backend: Backend, family: Family, before: &str) -> Result<(), FirewallError> {
    tool::restore_whole(backend, family, &of_our_tables(before)).await?;
    let before = Saved::parse(before)?;
    let is_new = |name: TableName| before.table(name.as_str()).is_none();
    let ours = last_resort();
    let new: Vec<Table> = ours.family(family).iter().filter(|table| is_new(table.name)).cloned().collect();
    let now = read(backend, family).await?;
    take_out(backend, family, &new, &now, &Before::open()).await?;
    remove_bare_tables(backend, family, TableName::ALL.into_iter().filter(|name| is_new(*name))).await
}

/// Removes those of `tables` that hold only built-in chains without a rule whose policy is ACCEPT.
pub(super) async fn remove_bare_tables(
    backend: Backend,
    family: Family,
    tables: impl Iterator<Item = TableName>,
) -> Result<(), FirewallError> {
    let tables: Vec<TableName> = tables.collect();
    // The kernel never removes a table of iptables-legacy.
    if tables.is_empty() || tool::is_legacy(backend) {
        return Ok(());
    }
    let now = nothing_if_absent(family, read(backend, family).await)?;
    for name in tables.into_iter().map(TableName::as_str) {
        if let Some(chains) = now.table(name).and_then(SavedTable::nothing_but)
            && let Err(error) = netfilter::socket::remove_empty(family, name, &chains)
        {
            tracing::warn!("the empty table {name} stays: {error}");
        }
    }
    Ok(())
}

/// The sections of the tables that we use.
fn of_our_tables(save: &str) -> String {
    let ours = |section: &&str| {
        TableName::ALL.iter().any(|table| section.lines().any(|line| line == format!("*{}", table.as_str())))
    };
    save.split_inclusive("\nCOMMIT\n").filter(ours).collect()
}

/// Whether a family holds any rule, or a policy DROP, in one backend of iptables.
pub async fn has_rules(backend: Backend, family: Family) -> bool {
    let text = tool::save(backend, family).await.unwrap_or_default();
    text.lines().any(|line| line.starts_with("-A ") || line.contains(" DROP ["))
}

/// Removes the article's three rules from `DOCKER-USER`, if all three are there: after our rules they would
/// let out what Docker itself keeps in. Returns how many were removed.
///
/// # Errors
/// When the kernel refuses. Then all of them are still there.
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
    fn only_tables_with_our_rules_are_restored() {
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
