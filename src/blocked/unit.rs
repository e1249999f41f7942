//! The names that systemd and container engines give to control groups. Pure.
//!
//! Users can give any name to groups below their own systemd. So the name of a container counts only for groups outside
//! of those, and the name of a program is always shown together with its user.

/// A control group whose name is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit {
    /// The name of the unit: `cups.service`.
    pub name: String,
    /// The identifier of a desktop application: `org.mozilla.firefox`. For a container of podman without root,
    /// `podman container` and its short id.
    pub program: Option<String>,
    /// The short id of the container for which an engine has made the group.
    pub container: Option<String>,
}

/// The text before the id of a container in the names of podman's groups.
const PODMAN: &str = "libpod-";

/// Number of characters of a container's id that are kept and shown.
pub const SHORT_ID: usize = 12;

/// The unit that the path of a control group names. The path begins below the root of the hierarchy. `None` if it names
/// no unit.
pub fn unit(path: &str) -> Option<Unit> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // Groups of engines that make them without systemd.
    if let ["docker", id] = parts[..] {
        let short = short(id)?;
        return Some(Unit { name: format!("docker/{short}"), program: None, container: Some(short) });
    }
    if let ["libpod_parent", group, ..] = parts[..] {
        let short = short(group.strip_prefix(PODMAN)?)?;
        return Some(Unit { name: format!("libpod/{short}"), program: None, container: Some(short) });
    }
    let at = parts.iter().position(|part| !part.ends_with(".slice"))?;
    let name = parts[at];
    let is_unit = |name: &str| name.ends_with(".service") || name.ends_with(".scope");
    if !is_unit(name) {
        return None;
    }
    // A user's own systemd has its own slices and units.
    let own = parts.get(at + 1..).unwrap_or_default();
    let of_user = own.iter().find(|part| !part.ends_with(".slice"));
    let inner = of_user.filter(|inner| name.starts_with("user@") && is_unit(inner));
    // Outside a user's systemd, only the system's systemd makes units.
    let container = if inner.is_some() { None } else { container(name) };
    let name = inner.copied().unwrap_or(name);
    let program = if inner.is_some() { program(name).or_else(|| rootless(name)) } else { program(name) };
    Some(Unit { name: name.to_owned(), program, container })
}

/// The container's id, if Docker or podman has made the unit.
fn container(name: &str) -> Option<String> {
    let name = name.strip_suffix(".scope")?;
    let id = name.strip_prefix("docker-").or_else(|| name.strip_prefix(PODMAN))?;
    short(id)
}

/// A container of podman without root. Its user can give this name to the group of any of their programs, so it counts
/// only as the name of a program.
fn rootless(name: &str) -> Option<String> {
    let id = name.strip_suffix(".scope")?.strip_prefix(PODMAN)?;
    Some(format!("podman container {}", short(id)?))
}

fn short(id: &str) -> Option<String> {
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id[..SHORT_ID].to_owned())
}

/// The identifier of a desktop application (systemd's "Desktop Environments"): `app-LAUNCHER-ID-RANDOM.scope`,
/// `app-LAUNCHER-ID@RANDOM.service`, both with or without a launcher. Inside of a part `-` is written `\x2d`.
fn program(name: &str) -> Option<String> {
    let rest = name.strip_prefix("app-")?;
    let id = if let Some(service) = rest.strip_suffix(".service") {
        let id = service.split('@').next().unwrap_or_default();
        id.rsplit('-').next().unwrap_or_default()
    } else {
        let (id, _random) = rest.strip_suffix(".scope")?.rsplit_once('-')?;
        id.rsplit('-').next().unwrap_or_default()
    };
    let id = id.replace("\\x2d", "-");
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<(String, Option<String>, Option<String>)> {
        unit(path).map(|unit| (unit.name, unit.program, unit.container))
    }

    #[test]
    fn services_applications_and_containers_are_distinguished() {
        let plain = |name: &str| Some((name.to_owned(), None, None));
        assert_eq!(of("/system.slice/cups.service"), plain("cups.service"));
        assert_eq!(of("/system.slice/system-getty.slice/getty@tty1.service"), plain("getty@tty1.service"));
        assert_eq!(of("/user.slice/user-1000.slice/session-3.scope"), plain("session-3.scope"));
        let user = "/user.slice/user-1000.slice/user@1000.service";
        assert_eq!(of(user), plain("user@1000.service"));
        let app = |name: &str| of(&format!("{user}/app.slice/{name}")).and_then(|(_, program, _)| program);
        assert_eq!(app("app-gnome-org.gnome.Evince-12345.scope").as_deref(), Some("org.gnome.Evince"));
        assert_eq!(app("app-flatpak-org.mozilla.firefox-99.scope").as_deref(), Some("org.mozilla.firefox"));
        assert_eq!(app("app-cinnamon-my\\x2dapp@autostart.service").as_deref(), Some("my-app"));
        assert_eq!(app("app-firefox.service").as_deref(), Some("firefox"));
        assert_eq!(app("gpg-agent.service"), None);
        let id = "0123456789ab".to_owned() + &"c".repeat(52);
        let container = |path: String| of(&path).and_then(|(_, _, container)| container);
        for path in [
            "/system.slice/docker-ID.scope",
            "/machine.slice/libpod-ID.scope/container",
            "/docker/ID",
            "/libpod_parent/libpod-ID",
            "/libpod_parent/libpod-ID/container",
        ] {
            assert_eq!(container(path.replace("ID", &id)).as_deref(), Some("0123456789ab"), "{path}");
        }
        let scope = format!("libpod-{id}.scope");
        assert_eq!(
            of(&format!("{user}/user.slice/{scope}/container")),
            Some((scope, Some("podman container 0123456789ab".to_owned()), None)),
            "a user can give this name, so it is that of a program"
        );
        assert_eq!(of(&format!("{user}/user.slice/libpod-12.scope")), plain("libpod-12.scope"));
        assert_eq!(container("/system.slice/docker-12.scope".to_owned()), None);
        for other in [
            "/",
            "",
            "/system.slice",
            "/lab",
            "/docker/x",
            "/libpod_parent/libpod-x",
            "/libpod_parent",
            "/a/../b",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics(path in "\\PC{0,80}", id in "[é0-9a-f]{0,70}") {
            let _ = (unit(&path), unit(&format!("/docker/{id}")), unit(&format!("/docker-{id}.scope")));
            let _ = unit(&format!("/libpod_parent/libpod-{id}"));
        }
    }
}
