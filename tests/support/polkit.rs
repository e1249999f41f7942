//! Configuration of a real polkit in a laboratory: tunwarden's actions, and rules as an administrator writes.

use anyhow::Result;
use tunwarden_lab::Lab;

/// Installs tunwarden's actions and these rules. polkit reads the rules before all others.
pub fn rules(lab: &Lab, rules: &str) -> Result<()> {
    let actions = include_str!("../../dbus/org.tunwarden.agent1.policy");
    lab.host().file("/usr/share/polkit-1/actions/org.tunwarden.agent1.policy", actions)?;
    lab.host().file("/etc/polkit-1/rules.d/10-lab.rules", rules)
}

/// Allows one user the action `pause` or `reconnect`. polkit refuses everybody else without a question.
pub fn allow_only(lab: &Lab, action: &str, user: &str) -> Result<()> {
    rules(
        lab,
        &format!(
            r#"polkit.addRule(function(action, subject) {{
    if (action.id == "org.tunwarden.agent1.{action}") {{
        return subject.user == "{user}" ? polkit.Result.YES : polkit.Result.NO;
    }}
}});
"#
        ),
    )
}
