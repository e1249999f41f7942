//! What a real polkit is told in a laboratory: our actions, and rules in the place of an administrator.

use anyhow::Result;
use tunwarden_lab::Lab;

/// Installs our actions and these rules, which stand before all others.
pub fn rules(lab: &Lab, rules: &str) -> Result<()> {
    let actions = include_str!("../../dbus/org.tunwarden.agent1.policy");
    lab.host().file("/usr/share/polkit-1/actions/org.tunwarden.agent1.policy", actions)?;
    lab.host().file("/etc/polkit-1/rules.d/10-lab.rules", rules)
}

/// Lets one user do what `action` names, `pause` or `reconnect`. Everybody else is refused, and nobody asked.
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
