//! Changes of a listing that make one of its rules refuse less: it comes later, or it loses a condition.

/// Each listing in which a rule that does not accept comes last in its chain, in every table that has it.
pub(super) fn moved(text: &str) -> Vec<(String, String)> {
    let is_refusal = |line: &&str| !is_accepting(line) && !is_extra(line);
    let rules = rules(text).into_iter().filter(is_refusal);
    rules
        .map(|rule| (format!("moved: {rule}"), with_last(text, rule)))
        .filter(|(_, other)| other != text)
        .collect()
}

/// Each listing in which a rule that accepts lacks one condition.
pub(super) fn widened(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for rule in rules(text).into_iter().filter(|line| is_accepting(line)) {
        let groups = groups(rule);
        for lost in 0..groups.len() {
            if let Some(condition) = groups.get(lost).filter(|group| is_condition(group)) {
                // The conditions of a protocol go with it.
                let is_lost = |n: usize| {
                    n == lost
                        || condition.contains(&"-p")
                            && groups[n][0] == "-m"
                            && condition.contains(&groups[n][1])
                };
                let kept: Vec<&str> = groups
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| !is_lost(*n))
                    .flat_map(|(_, group)| group.clone())
                    .collect();
                let what = format!("without {}: {rule}", condition.join(" "));
                found.push((what, with_lines(text, rule, &kept.join(" "))));
            }
        }
    }
    found
}

/// The rules of our chains, each once.
fn rules(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("-A ")) {
        if !found.contains(&line) {
            found.push(line);
        }
    }
    found
}

fn is_accepting(line: &str) -> bool {
    line.ends_with("-j ACCEPT")
}

/// Whether a rule only answers or reports: such a rule refuses nothing.
fn is_extra(line: &str) -> bool {
    ["-j NFLOG", "REJECT", "VPN_REFUSED"].iter().any(|word| line.contains(word))
}

fn is_condition(group: &[&str]) -> bool {
    !["-A", "-j", "-g"].contains(&group[0])
}

/// The parts of a rule: its chain, its conditions, and its verdict.
fn groups(rule: &str) -> Vec<Vec<&str>> {
    let words: Vec<&str> = rule.split(' ').collect();
    let is_short = |word: &str| word.starts_with('-') && !word.starts_with("--") && word.len() == 2;
    let mut groups: Vec<Vec<&str>> = Vec::new();
    let mut is_negated = false;
    for (n, word) in words.iter().enumerate() {
        let begins_negated = *word == "!" && words.get(n + 1).is_some_and(|next| is_short(next));
        match groups.last_mut() {
            Some(group) if !begins_negated && (!is_short(word) || is_negated) => group.push(word),
            _ => groups.push(vec![word]),
        }
        is_negated = begins_negated;
    }
    groups
}

/// The listing with another line in the place of each line like this.
fn with_lines(text: &str, line: &str, other: &str) -> String {
    text.lines().map(|one| format!("{}\n", if one == line { other } else { one })).collect()
}

/// The listing with each line like this behind the last one of its chain.
fn with_last(text: &str, line: &str) -> String {
    let chain = line.split(' ').nth(1).unwrap_or_default();
    let of_chain = format!("-A {chain} ");
    let mut lines: Vec<&str> = Vec::new();
    // Each table ends with a line of its own.
    for table in text.split_inclusive("COMMIT\n") {
        let all: Vec<&str> = table.lines().collect();
        let kept: Vec<&str> = all.iter().copied().filter(|one| *one != line).collect();
        // The only rule of its chain has no other place.
        let Some(last) = kept.iter().rposition(|one| one.starts_with(&of_chain)) else {
            lines.extend(all);
            continue;
        };
        lines.extend(&kept[..=last]);
        lines.extend(all.iter().copied().filter(|one| *one == line));
        lines.extend(&kept[last + 1..]);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_rule_loses_one_condition_or_its_place() {
    let text = "*filter\n:X - [0:0]\n-A X ! -o lo -p udp -m udp --dport 53 -j DROP\n-A X ! -o lo -p udp -m udp --dport 9 -j ACCEPT\nCOMMIT\n";
    let [(_, last)] = &moved(text)[..] else { panic!() };
    assert!(
        last.ends_with("--dport 9 -j ACCEPT\n-A X ! -o lo -p udp -m udp --dport 53 -j DROP\nCOMMIT\n"),
        "{last}"
    );
    let widened = widened(text);
    let lines: Vec<&str> = widened.iter().filter_map(|(_, text)| text.lines().nth(3)).collect();
    let wanted =
        ["-A X -p udp -m udp --dport 9 -j ACCEPT", "-A X ! -o lo -j ACCEPT", "-A X ! -o lo -p udp -j ACCEPT"];
    assert_eq!(lines, wanted);
}
