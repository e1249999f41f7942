//! Pages that list the article's rules and ours, row by row.

use anyhow::{Context, Result, ensure};

/// What Docker 20.10 does with DOCKER-USER when it starts: it keeps the rules in the chain, moves its own
/// RETURN to the end, and moves its jump to the top.
pub const DOCKER_STARTS: &str = "iptables -N DOCKER-USER 2>/dev/null || true
iptables -A DOCKER-USER -j RETURN
iptables -I FORWARD -j DOCKER-USER
";

/// One row of a page.
pub struct Row {
    /// The article's rules.
    pub article: Vec<String>,
    /// tunwarden's rules.
    pub ours: Vec<String>,
    /// Why they differ.
    pub why: String,
}

/// The rows of a page, or of a part of it.
pub fn rows(page: &str) -> Result<Vec<Row>> {
    let lines = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| The article"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [article, ours, why] = cells[..] else { anyhow::bail!("not three cells: {line}") };
            Ok(Row { article: rules(article), ours: rules(ours), why: why.to_owned() })
        })
        .collect()
}

fn rules(cell: &str) -> Vec<String> {
    let rules = cell.split("<br>").map(|rule| rule.trim().trim_matches('`').to_owned());
    rules.filter(|rule| !rule.is_empty()).collect()
}

/// A page's rule with `<bridge>`, `<guests>` and `<owner>` written out.
pub fn expanded(page: &str, rule: &str, owners: &[String]) -> Result<Vec<String>> {
    if let Some(name) = ["<bridge>", "<guests>"].into_iter().find(|name| rule.contains(name)) {
        let each = page.lines().find_map(|line| line.strip_prefix(&format!("`{name}` is each of ")));
        let each =
            each.with_context(|| format!("the page does not say what {name} is"))?.trim_end_matches('.');
        let each = each.split(", ").map(|each| rule.replace(name, each.trim_matches('`')));
        return Ok(each.collect());
    }
    Ok(if rule.contains("<owner>") {
        owners.iter().map(|owner| rule.replace("<owner>", owner)).collect()
    } else {
        vec![rule.to_owned()]
    })
}

/// Fails if a rule is only on the page or only in the kernel. The error lists both kinds.
pub fn compare(listed: &[String], held: &[String]) -> Result<()> {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (page, kernel) = (only(listed, held), only(held, listed));
    ensure!(page.is_empty() && kernel.is_empty(), "only the page has {page:#?}, only the kernel {kernel:#?}");
    let moved = listed.iter().zip(held).find(|(listed, held)| listed != held);
    ensure!(listed == held, "the page's order is another, or a rule is doubled: {moved:?}");
    Ok(())
}
