//! What nft is asked and told once: which links and tables are there, what this kernel can do, and to take
//! a table out.

use std::fmt::Write;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::listing::{Listed, differences};
use crate::firewall::FirewallError;
use crate::firewall::tool::{self, ToolError};
use crate::net::IfName;
use crate::policy::nftables::{LINKS_OF_A_CHAIN, NftFamily, NftTable};

/// A table that is checked and never put in force: whether the kernel has the hooks of the protocols.
pub(super) const HOOKS: &str = "table inet tunwarden_probe {\n\tchain output {\n\
    \t\ttype filter hook output priority 10; policy drop;\n\t}\n}\n";

/// The same for what goes out on a wire.
pub(super) const WIRES: &str = "table netdev tunwarden_probe {\n\tchain egress {\n\
    \t\ttype filter hook egress device \"lo\" priority 10; policy drop;\n\t}\n}\n";

/// The same for a table with an owner that it outlives.
pub(super) const OWNED: &str = "table inet tunwarden_probe {\n\tflags owner, persist\n}\n";

/// How long an owner that is being ended may take to be gone, and how often that is looked at.
pub(super) const ENDING: (Duration, Duration) = (Duration::from_secs(3), Duration::from_millis(50));

/// Whether this network has a link of that name.
pub(super) fn is_there(interface: &str) -> bool {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None);
    // Who cannot ask lets nft say it.
    socket.is_err() || socket.is_ok_and(|socket| netdevice::name_to_index(&socket, interface).is_ok())
}

/// What is held in the place of each of these tables, all looked for at once.
pub(super) async fn look<'t>(
    tables: impl IntoIterator<Item = &'t NftTable>,
) -> Result<Vec<(&'t NftTable, Option<Listed>)>, FirewallError> {
    try_join_all(tables.into_iter().map(async |table| Ok((table, list(table.family).await?)))).await
}

/// Every difference between these tables and what is held in their places, a line each.
pub(super) async fn differ<'t>(
    tables: impl IntoIterator<Item = &'t NftTable>,
) -> Result<Vec<String>, FirewallError> {
    let found = look(tables).await?;
    Ok(found.into_iter().flat_map(|(table, held)| differences(table, held.as_ref())).collect())
}

pub(super) async fn list(family: NftFamily) -> Result<Option<Listed>, FirewallError> {
    // Numbers for protocols: for each name in a set nft reads a file of them again.
    let arguments = ["-y", "-p", "list", "table", family.as_str(), crate::policy::nftables::TABLE];
    match tool::nft(&arguments, "").await {
        Ok(text) => Ok(Some(Listed::parse(&text)?)),
        Err(ToolError::Failed { message, .. }) if message.contains("No such file or directory") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Why nft refuses a text that it only checks. Nothing follows from its death, nor from a user who may not
/// ask: an ordinary user gets the same refusal on every kernel.
pub(super) async fn refusal(text: &str) -> Option<ToolError> {
    let why = tool::nft(&["-c", "-f", "-"], text).await.err()?;
    (why.is_answer() && !why.is_not_permitted()).then_some(why)
}

/// Why the kernel gives these wires no egress hook, if it refuses one of them.
pub(super) async fn hooks_refused(wires: &[IfName]) -> Option<ToolError> {
    let mut text = "table netdev tunwarden_probe {\n".to_owned();
    for (n, wires) in wires.chunks(LINKS_OF_A_CHAIN).enumerate() {
        let devices = wires.iter().map(|wire| format!("\"{wire}\"")).collect::<Vec<_>>().join(", ");
        let hook = format!("type filter hook egress devices = {{ {devices} }} priority 10; policy drop;");
        let _ = writeln!(text, "\tchain egress_{n} {{\n\t\t{hook}\n\t}}");
    }
    text.push_str("}\n");
    refusal(&text).await
}

/// Takes a table out. An agent that is being ended may own it for a moment.
pub(super) async fn remove(family: NftFamily) -> Result<(), FirewallError> {
    let text = format!("delete table {} tunwarden\n", family.as_str());
    let deadline = tokio::time::Instant::now() + ENDING.0;
    loop {
        match tool::nft(&["-f", "-"], &text).await {
            Err(why) if why.is_not_permitted() && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(ENDING.1).await;
            }
            Err(why) if why.is_not_permitted() => return Err(FirewallError::Owned(Box::new(why.into()))),
            result => return Ok(result.map(drop)?),
        }
    }
}
