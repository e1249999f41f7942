//! The machine's own system bus accepts a test's policies, and polkit runs on it.

use anyhow::Result;
use tunwarden_lab::with_lab;

const NAME: &str = "org.tunwarden.Lab1";
const POLICY: &str =
    r#"<busconfig><policy user="root"><allow own="org.tunwarden.Lab1"/></policy></busconfig>"#;

#[test]
fn a_name_can_be_owned_only_with_a_policy() -> Result<()> {
    with_lab(|lab| {
        let mut bus = lab.host().system_bus()?;
        let request = "dbus-send --system --print-reply --dest=org.freedesktop.DBus \
                       /org/freedesktop/DBus org.freedesktop.DBus.RequestName";
        let (name, flags) = (format!("string:{NAME}"), "uint32:0");
        let request = || request.split_whitespace().chain([name.as_str(), flags]);
        assert!(!lab.host().run(request())?.status.success());
        bus.add_policy(&format!("{NAME}.conf"), POLICY)?;
        lab.host().succeed(request())?;
        assert!(!lab.host().command(request()).user("nobody").run()?.status.success());
        bus.restart()?;
        lab.host().succeed(request()).map(drop)
    })
}

#[test]
fn polkit_answers() -> Result<()> {
    with_lab(|lab| {
        let bus = lab.host().system_bus()?;
        let _polkit = bus.polkit()?;
        assert!(lab.host().succeed(["pkaction"])?.contains("org.freedesktop"));
        Ok(())
    })
}
