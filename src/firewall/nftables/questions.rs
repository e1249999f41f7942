//! Single runs of nft: which tables are there, what this kernel supports, and the removal of a table.

use std::fmt::Write;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::listing::{Listed, differences};
use crate::firewall::FirewallError;
use crate::firewall::tool::{self, ToolError};
use crate::net::IfName;
use crate::policy::nftables::{LINKS_OF_A_CHAIN, NftFamily, NftTable};

/// A table that nft checks and never commits. It shows whether the kernel has the hooks of the inet family.
pub(super) const HOOKS: &str = "table inet tunwarden_probe {\n\tchain output {\n\
    \t\ttype filter hook output priority 10; policy drop;\n\t}\n}\n";

/// The same for the egress hook.
pub(super) const WIRES: &str = "table netdev tunwarden_probe {\n\tchain egress {\n\
    \t\ttype filter hook egress device \"lo\" priority 10; policy drop;\n\t}\n}\n";

/// The same for a table with an owner, which stays when the owner ends.
pub(super) const OWNED: &str = "table inet tunwarden_probe {\n\tflags owner, persist\n}\n";

/// How long an owner may take to end, and how often that is checked.
pub(super) const ENDING: (Duration, Duration) = (Duration::from_secs(3), Duration::from_millis(50));

/// Whether this network has a link of that name.
pub(super) fn is_there(interface: &str) -> bool {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None);
    // A process without sockets leaves the answer to nft.
    socket.is_err() || socket.is_ok_and(|socket| netdevice::name_to_index(&socket, interface).is_ok())
}

/// Reads each of these tables from the kernel, all at the same time.
pub(super) async fn look<'t>(
    tables: impl IntoIterator<Item = &'t NftTable>,
) -> Result<Vec<(&'t NftTable, Option<Listed>)>, FirewallError> {
    try_join_all(tables.into_iter().map(async |table| Ok((table, list(table.family).await?)))).await
}

/// Every difference between these tables and what the kernel holds, one line each.
pub(super) async fn differ<'t>(
    tables: impl IntoIterator<Item = &'t NftTable>,
) -> Result<Vec<String>, FirewallError> {
    let found = look(tables).await?;
    Ok(found.into_iter().flat_map(|(table, held)| differences(table, held.as_ref())).collect())
}

pub(super) async fn list(family: NftFamily) -> Result<Option<Listed>, FirewallError> {
    // Protocols as numbers: nft reads the file of names again for each name in a set.
    let arguments = ["-y", "-p", "list", "table", family.as_str(), crate::policy::nftables::TABLE];
    match tool::nft(&arguments, "").await {
        Ok(text) => Ok(Some(Listed::parse(&text)?)),
        Err(ToolError::Failed { message, .. }) if message.contains("No such file or directory") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the kernel holds a hook of our table of this family. Unknown counts as yes, because a "no" leaves
/// the layer out.
pub(super) async fn has_hooks(family: NftFamily) -> bool {
    match list(family).await {
        Ok(listed) => listed.is_some_and(|listed| listed.has_hooks()),
        // A kernel without nf_tables answers this too.
        Err(FirewallError::Tool(why)) => !why.is_answer(),
        Err(_) => true,
    }
}

/// Why nft refuses a text that it only checks. `None` if nft crashed, or if this user is not permitted: an
/// ordinary user is refused on every kernel.
///
/// # Errors
/// When nft hangs. It would hang with another text too.
pub(super) async fn refusal(text: &str) -> Result<Option<ToolError>, ToolError> {
    match tool::nft(&["-c", "-f", "-"], text).await {
        Err(why) if why.is_timeout() => Err(why),
        Err(why) if why.is_answer() && !why.is_not_permitted() => Ok(Some(why)),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Why the kernel gives these wires no egress hook, if it refuses one of them.
///
/// # Errors
/// When nft hangs.
pub(super) async fn hooks_refused(wires: &[IfName]) -> Result<Option<ToolError>, ToolError> {
    let mut text = "table netdev tunwarden_probe {\n".to_owned();
    for (n, wires) in wires.chunks(LINKS_OF_A_CHAIN).enumerate() {
        let devices = wires.iter().map(|wire| format!("\"{wire}\"")).collect::<Vec<_>>().join(", ");
        let hook = format!("type filter hook egress devices = {{ {devices} }} priority 10; policy drop;");
        let _ = writeln!(text, "\tchain egress_{n} {{\n\t\t{hook}\n\t}}");
    }
    text.push_str("}\n");
    refusal(&text).await
}

/// Removes a table. An agent that is ending may still own it for a moment.
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
