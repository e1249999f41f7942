//! The rules that the kernel holds before the first run, in both backends of iptables. Rules that tunwarden cannot read
//! are listed.

use super::super::warn;
use crate::agent::describe;
use crate::config::Backend;
use crate::doctor::Files;
use crate::firewall::{Dump, other_backend};
use crate::net::Family;
use crate::netfilter::socket::native_tables;
use crate::setup::{Kernel, ufw_refuses};

/// The text of `iptables-save` and `ip6tables-save` of each backend that holds rules.
pub(super) struct KernelRules {
    ipv4: String,
    ipv6: String,
    /// Whether a person or a script made them, and neither tunwarden nor another firewall.
    by_hand: bool,
    /// Whether tunwarden's rules are in force. Then it is not known which of a script's rules were in force before.
    hidden: bool,
    /// What could not be read, one sentence each.
    pub(super) remarks: Vec<String>,
}

impl KernelRules {
    pub(super) async fn read(dump: &Dump, files: &Files) -> Self {
        let mut rules = Self {
            ipv4: dump.text(Family::V4).to_owned(),
            ipv6: dump.text(Family::V6).to_owned(),
            by_hand: !dump.is_ours() && (dump.is_from_article() || dump.is_closed_by_hand()),
            hidden: false,
            remarks: Vec::new(),
        };
        if Family::ALL.into_iter().any(|family| ufw_refuses(dump.text(family))) {
            rules.by_hand |= !dump.is_ours();
            rules.remarks.push(
                "ufw refuses what leaves and none of its rules allows; tunwarden's rules come before those of ufw, so \
                 what ufw lets out is read below"
                    .to_owned(),
            );
        }
        let ours = dump.is_ours();
        if let Some(other) = rules.other(files).await {
            let first = if ours || !dump.has_rules() { Dump::default() } else { dump.clone() };
            rules.ipv4 = format!("{}\n{}", first.text(Family::V4), other.text(Family::V4));
            rules.ipv6 = format!("{}\n{}", first.text(Family::V6), other.text(Family::V6));
            rules.by_hand |= other.is_from_article() || other.is_closed_by_hand();
        } else if ours {
            (rules.ipv4, rules.ipv6) = Default::default();
            rules.hidden = true;
        }
        if dump.is_incomplete() {
            rules.remarks.push(
                "a table of iptables has rules of another program that iptables-save cannot print; tunwarden does \
                 not read this table"
                    .to_owned(),
            );
        }
        rules.name_native_tables();
        rules
    }

    /// The rules of the backend that the plain names `iptables` and `iptables-save` do not use.
    async fn other(&mut self, files: &Files) -> Option<Dump> {
        let backend = other_backend();
        // A legacy program makes the kernel load tables that no program has used before.
        if backend == Backend::Legacy && !files.has_legacy_tables() {
            return None;
        }
        let name = if backend == Backend::Legacy { "iptables-legacy" } else { "iptables-nft" };
        match Dump::take(backend).await {
            Ok(other) if other.is_ours() || !other.has_rules() => None,
            Ok(other) => {
                self.remarks.push(format!(
                    "{name} holds rules too, which `iptables` does not show: they are read below, and they stay in \
                     force until you remove them with {name}"
                ));
                Some(other)
            }
            Err(error) => {
                if backend == Backend::Legacy {
                    let why = describe(&error);
                    self.remarks.push(format!(
                        "the kernel has tables of {name}, and their rules cannot be read ({why}); they stay in force"
                    ));
                }
                None
            }
        }
    }

    fn name_native_tables(&mut self) {
        match native_tables() {
            Ok(tables) => {
                let foreign = tables.iter().filter(|table| !table.contains(" tunwarden"));
                self.remarks.extend(foreign.map(|table| {
                    format!(
                        "the nf_tables table {table}: tunwarden does not read its rules, and they stay in force; to see \
                         them: sudo nft list table {table}"
                    )
                }));
            }
            Err(error) => warn(&format!("tunwarden: cannot read which tables nf_tables holds: {error}")),
        }
    }

    /// The rules for the plan, if a script may have added them.
    pub(super) fn of_scripts(&self, scripts: usize) -> Option<Kernel<'_>> {
        (!self.hidden && (scripts > 0 || self.by_hand))
            .then_some(Kernel { ipv4: &self.ipv4, ipv6: &self.ipv6 })
    }
}
