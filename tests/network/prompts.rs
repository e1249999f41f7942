//! polkit's prompts are in the user's language, as a real polkit reads our file, and the check of this machine has its own.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tunwarden::notifier::LANGUAGES;
use tunwarden_lab::{Lab, Machine, with_lab};

use crate::support::polkit::pkexec;
use crate::support::{SOON, TUNWARDEN, agent, bus, polkit, status, tunwarden, wait_for_state};

/// Locales as users have them, each with the language of its prompts.
const LOCALES: [(&str, &str); 9] = [
    ("en_US.UTF-8", "en"),
    ("de_AT.UTF-8", "de"),
    ("fr_FR.UTF-8", "fr"),
    ("es_MX.UTF-8", "es"),
    ("pt_BR.UTF-8", "pt-BR"),
    ("pt_PT.UTF-8", "pt-BR"),
    ("pl_PL.UTF-8", "pl"),
    ("pl_PL", "pl"),
    ("nl_NL.UTF-8", "en"),
];

/// Who needs which password: each action, with polkit's numbers for a user without a local session, in an inactive one,
/// and in the active one. 2 is `auth_admin`, 4 is `auth_admin_keep`, 5 is `yes`. `docs/reference.md` has the same.
const DEFAULTS: [(&str, [u32; 3]); 5] = [
    ("blocked", [2, 2, 4]),
    ("pause", [2, 2, 4]),
    ("prove", [2, 2, 2]),
    ("reconnect", [2, 2, 5]),
    ("set", [2, 2, 2]),
];

/// What a real polkit says about every action that it knows.
fn actions(lab: &Lab, locale: &str) -> Result<Vec<Value>> {
    let authority = "org.freedesktop.PolicyKit1.Authority";
    let object = ["org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority", authority];
    let call = ["busctl", "--system", "--json=short", "call"].into_iter().chain(object);
    let said = lab.host().succeed(call.chain(["EnumerateActions", "s", locale]))?;
    let said: Value = serde_json::from_str(&said)?;
    Ok(said["data"][0].as_array().context("no actions")?.clone())
}

#[test]
fn polkit_asks_for_the_password_that_the_documentation_promises() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        polkit::rules(lab, "")?;
        let _polkit = bus.polkit()?;
        let action = |one: &Value| -> Option<(String, Value)> {
            let name = one[0].as_str()?.strip_prefix("org.tunwarden.agent1.")?;
            Some((name.to_owned(), json!([one[6], one[7], one[8]])))
        };
        let mut found: Vec<_> = actions(lab, "C")?.iter().filter_map(action).collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        let wanted: Vec<_> = DEFAULTS.iter().map(|(name, who)| ((*name).to_owned(), json!(who))).collect();
        ensure!(found == wanted, "{found:?} and not {wanted:?}");
        Ok(())
    })
}

#[test]
fn a_prompt_that_nobody_answers_holds_no_other_caller_up() -> Result<()> {
    const AGENT: &str = "org.tunwarden.Agent1 /org/tunwarden/Agent1 org.tunwarden.Agent1";
    let busctl = |lab: &Lab, user: &str, words: &str| {
        let words = words.replace("AGENT", AGENT);
        lab.host().command(["busctl", "--system"].into_iter().chain(words.split(' '))).user(user)
    };
    with_lab(|lab| {
        let bus = bus(lab)?;
        polkit::rules(lab, "")?;
        let mut polkit = bus.polkit()?;
        let _agent = agent(lab, "")?;
        wait_for_state(lab, "locked")?;
        let mut monitor =
            lab.host().spawn(["busctl", "--system", "monitor", "org.freedesktop.PolicyKit1"])?;
        monitor.wait_for_line("Monitoring bus message stream", SOON)?;
        polkit.signal(Signal::SIGSTOP)?;
        let mut prompt = busctl(lab, "nobody", "--timeout=600 call AGENT Pause t 60").spawn()?;
        monitor.wait_for_line("Member=CheckAuthorization", SOON)?;

        let set = busctl(lab, "daemon", "set-property AGENT State s open").run()?;
        ensure!(set.stderr.contains("nobody can set State"), "{set:?}");
        let unknown = busctl(lab, "daemon", "set-property AGENT Wishes s open").run()?;
        ensure!(!unknown.status.success(), "{unknown:?}");
        ensure!(status(lab)?["agent"] == true, "the agent does not answer");
        ensure!(tunwarden(lab, ["resume"])?.status.success(), "it does not close");
        polkit.signal(Signal::SIGCONT)?;
        ensure!(!prompt.wait(SOON)?.success(), "it was opened: {}", prompt.log());
        Ok(())
    })
}

#[test]
fn polkit_asks_in_the_language_of_the_user() -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        polkit::rules(lab, "")?;
        let _polkit = bus.polkit()?;
        for (locale, language) in LOCALES {
            let actions = actions(lab, locale)?;
            for action in ["pause", "reconnect", "blocked", "prove", "set"] {
                let id = format!("org.tunwarden.agent1.{action}");
                let found = actions.iter().find(|one| one[0] == id.as_str());
                let found = found.with_context(|| format!("{id} in {actions:?}"))?;
                let wanted = [text(language, action, "description")?, text(language, action, "message")?];
                ensure!(
                    found[1] == wanted[0] && found[2] == wanted[1],
                    "{locale}: {found} and not {wanted:?}"
                );
            }
        }
        Ok(())
    })
}

/// The text for a prompt of polkit's in `src/notifier/texts`.
fn text(language: &str, action: &str, part: &str) -> Result<&'static str> {
    let (_, texts) = LANGUAGES.iter().find(|(tag, _)| *tag == language).context("no such language")?;
    let start = format!("file-{action}-{part} = ");
    texts.lines().find_map(|line| line.strip_prefix(&start)).context(start.clone())
}

/// Allows the check of this machine to one user, and refuses everything else.
const MAY_CHECK: &str = r#"polkit.addRule(function(action, subject) {
    var may = action.id == "org.tunwarden.agent1.prove" && subject.user == "nobody";
    return may ? polkit.Result.YES : polkit.Result.NO;
});
"#;

/// A machine in which the user `nobody` may check it.
fn with_check(test: impl FnOnce(&Machine) -> Result<()>) -> Result<()> {
    with_lab(|lab| {
        let bus = bus(lab)?;
        polkit::rules(lab, MAY_CHECK)?;
        polkit::install(lab)?;
        lab.host().succeed("install -d -o nobody /run/own".split(' '))?;
        let _polkit = bus.polkit()?;
        test(lab.host())
    })
}

#[test]
fn only_the_check_of_this_machine_has_an_action_of_its_own_for_pkexec() -> Result<()> {
    with_check(|host| {
        let checked = pkexec(host, "nobody", "/usr/bin/tunwarden prove --report /run/own/report.html")?;
        ensure!(checked.status.code() == Some(4) && checked.stdout.starts_with("OPEN"), "{checked:?}");
        let owner = host.succeed("stat -c %U:%a /run/own/report.html".split(' '))?;
        ensure!(owner.trim() == "nobody:600", "{owner}");
        for (user, words) in [
            ("nobody", "/usr/bin/tunwarden release --yes"),
            ("nobody", "/usr/bin/tunwarden --config /etc/shadow prove"),
            ("nobody", "/usr/bin/cat /etc/shadow"),
            ("daemon", "/usr/bin/tunwarden prove"),
        ] {
            let output = pkexec(host, user, words)?;
            let is_refused = output.status.code() == Some(127) && output.stdout.is_empty();
            ensure!(is_refused && output.stderr.contains("Not authorized"), "{user} {words}: {output:?}");
        }
        Ok(())
    })
}

#[test]
fn pkexec_chooses_no_configuration_that_root_would_read() -> Result<()> {
    with_check(|host| {
        let chosen = pkexec(host, "nobody", "/usr/bin/tunwarden prove --config /etc/shadow")?;
        ensure!(chosen.status.code() == Some(1), "{chosen:?}");
        ensure!(chosen.stderr.contains("pkexec cannot choose the configuration"), "{chosen:?}");
        let by_root = host.run([TUNWARDEN, "prove", "--config", "/etc/shadow"])?;
        ensure!(by_root.stderr.contains("/etc/shadow"), "the control: {by_root:?}");
        Ok(())
    })
}
