//! What the kernel held before us: looked at, and put back.

use super::outcome::FirewallError;
use super::saved::Saved;
use super::{plan, tool};
use crate::config::Backend;
use crate::net::Family;

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
        Ok(Self { ipv4: ipv4?, ipv6: ipv6? })
    }

    /// Puts all of it back: what came since is gone. A table that was not there stays as it is.
    ///
    /// # Errors
    /// When a family could not be put back; the other one is all the same.
    pub async fn put_back(&self, backend: Backend) -> Result<(), FirewallError> {
        let (ipv4, ipv6) = tokio::join!(
            tool::restore_whole(backend, Family::V4, &self.ipv4),
            tool::restore_whole(backend, Family::V6, &self.ipv6)
        );
        Ok(ipv4.and(ipv6)?)
    }

    /// Whether the article's scripts have been at work: its chain, and not ours that belongs to it.
    pub fn is_the_articles(&self) -> bool {
        self.ipv4.contains(":OUTPUT_VPN_KILL_SWITCH ") && !self.ipv4.contains(":VPN_BOOTSTRAP ")
    }
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
