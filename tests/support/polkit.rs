//! Configuration of a real polkit in a laboratory: tunwarden's actions, and rules as an administrator writes.

use anyhow::Result;
use tunwarden_lab::{Lab, Machine, Output};

use super::TUNWARDEN;

/// Puts the program `$1` where polkit's actions expect it.
const INSTALL: &str = "
    mkdir -p /run/programs/upper /run/programs/work
    install -m 755 /dev/null /run/programs/upper/tunwarden
    mount -t overlay -o lowerdir=/usr/bin,upperdir=/run/programs/upper,workdir=/run/programs/work overlay /usr/bin
    mount --bind \"$1\" /usr/bin/tunwarden";

/// Installs the program under test for pkexec.
pub fn install(lab: &Lab) -> Result<()> {
    lab.host().succeed(["sh", "-ec", INSTALL, "install", TUNWARDEN]).map(drop)
}

/// Runs a command by pkexec, which asks about its parent. That has to be in the same machine.
pub fn pkexec(host: &Machine, user: &str, words: &str) -> Result<Output> {
    let script = format!("pkexec --disable-internal-agent {words}; exit $?");
    host.command(["sh", "-c", &script]).user(user).run()
}

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
