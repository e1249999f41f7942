//! The scripts in `hooks/`. With any environment, and if the programs that they run fail or hang, they
//! execute nothing else, end in time and exit 0.

#![allow(clippy::disallowed_methods, reason = "a test starts programs, reads the clock and touches files")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A copy of a hook whose fixed paths lead into a folder of the test.
struct Hook {
    folder: TempDir,
    script: PathBuf,
}

impl Hook {
    fn new(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks").join(name);
        let text = fs::read_to_string(&original).unwrap();
        let here = folder.path().to_str().unwrap();
        let text = text
            .replace("TUNWARDEN=/usr/bin/", &format!("TUNWARDEN={here}/"))
            .replace("CHAIN=/etc/tunwarden/", &format!("CHAIN={here}/"))
            .replace("RESOLV_CONF=/etc/openvpn/", &format!("RESOLV_CONF={here}/"));
        for fixed in ["/usr/bin/tunwarden\n", "=/etc/"] {
            assert!(!text.contains(fixed), "the copy of {name} still names {fixed}");
        }
        let script = folder.path().join(name);
        write(&script, &text, 0o755);
        Self { folder, script }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes an executable that writes its arguments and environment to files next to it, then runs `more`.
    fn recorder(&self, name: &str, more: &str) -> PathBuf {
        let path = self.path(name);
        let record = path.display();
        let body = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$@\" >'{record}.arguments'\nenv -0 >'{record}.environment'\n{more}\n"
        );
        write(&path, &body, 0o755);
        path
    }

    /// The arguments of the recorder's last run, if it ran.
    fn arguments(&self, name: &str) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.path(&format!("{name}.arguments"))).ok()?;
        Some(text.lines().map(str::to_owned).collect())
    }

    fn environment(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(&format!("{name}.environment"))).unwrap()
    }

    /// Runs the hook as OpenVPN does: its environment has only the given variables.
    fn run(&self, arguments: &[&str], environment: &[(OsString, OsString)]) {
        let output = Command::new(&self.script)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
}

/// Writes the file in a separate process. Otherwise a command that another test starts at the same moment
/// could inherit the open file, and the kernel would refuse to run the script ("text file busy").
fn write(path: &Path, text: &str, mode: u32) {
    let mut install = Command::new("install");
    install.args(["-D", "-m", &format!("{mode:o}"), "/dev/stdin"]).arg(path).stdin(Stdio::piped());
    let mut install = install.spawn().unwrap();
    install.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success(), "{}", path.display());
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

const OPENVPN: [&str; 2] = ["openvpn-up", "openvpn-down"];
const UP: [&str; 6] = ["tun0", "1500", "0", "10.8.0.2", "255.255.255.0", "init"];

#[test]
fn a_hostile_environment_is_passed_on_and_never_executed() {
    for name in OPENVPN {
        let hook = Hook::new(name);
        hook.recorder("tunwarden", "");
        hook.recorder("update-resolv-conf", "");
        let trap = |how: &str| how.replace("TRAP", hook.path("executed").to_str().unwrap());
        let mut hostile: Vec<(OsString, OsString)> = (0..400)
            .map(|n| {
                (format!("foreign_option_{n}").into(), trap("`>TRAP` $(>TRAP); >TRAP | >TRAP '\" \n").into())
            })
            .collect();
        for (key, value) in [
            ("dev", "tun0; >TRAP"),
            ("script_type", "up`>TRAP`"),
            ("trusted_ip", "$(>TRAP)"),
            ("OPENVPN_X", "() { :;}; >TRAP"),
            ("BASH_FUNC_timeout%%", "() { >TRAP\n}"),
            ("ENV", "`>TRAP`"),
            ("IFS", "/"),
            ("PATH", "."),
            ("TUNWARDEN", "/bin/false"),
            ("CHAIN", "."),
        ] {
            hostile.push((key.into(), trap(value).into()));
        }
        hostile.push(("signal".into(), OsString::from_vec(b"sig\xff\xfe".to_vec())));
        let arguments = ["tun0; >executed", "$(>executed)", "`>executed`", "*"];
        hook.run(&arguments, &hostile);

        assert!(!hook.path("executed").exists(), "{name} executed a value");
        assert_eq!(hook.arguments("tunwarden").unwrap(), ["hook", "openvpn"]);
        let seen = hook.environment("tunwarden");
        for (key, value) in hostile.iter().filter(|(key, _)| key.to_str() == Some("signal") || key == "dev") {
            let pair = [key.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat();
            assert!(seen.split(|&byte| byte == 0).any(|line| line == pair), "{key:?} was not passed on");
        }
        if is_root() {
            assert_eq!(hook.arguments("update-resolv-conf").unwrap(), arguments);
        }
    }
}

#[test]
fn the_hook_succeeds_in_time_if_tunwarden_fails_hangs_or_is_missing() {
    for name in ["openvpn-up", "openvpn-down", "dispatcher"] {
        let hook = Hook::new(name);
        hook.run(&UP, &[]);
        for end in ["exit 1", "kill -SEGV $$", "sleep 30", "trap '' TERM; sleep 30"] {
            let finished = hook.path("finished");
            hook.recorder("tunwarden", &format!("{end}\ntouch '{}'", finished.display()));
            hook.run(&UP, &[]);
            assert!(!finished.exists(), "{name} waited for the end of: {end}");
        }
    }
}

#[test]
fn the_dispatcher_passes_its_arguments_on() {
    let hook = Hook::new("dispatcher");
    hook.recorder("tunwarden", "");
    hook.run(&["tun0", "vpn-up"], &[("CONNECTION_UUID".into(), "$(id)".into())]);
    assert_eq!(hook.arguments("tunwarden").unwrap(), ["hook", "dispatcher", "tun0", "vpn-up"]);
    let seen = hook.environment("tunwarden");
    assert!(seen.split(|&byte| byte == 0).any(|line| line == b"CONNECTION_UUID=$(id)"));
}

#[test]
fn the_chain_replaces_update_resolv_conf_and_runs_in_order() {
    if !is_root() {
        eprintln!("skipped: only root's scripts are run");
        return;
    }
    let hook = Hook::new("openvpn-up");
    hook.recorder("tunwarden", "");
    hook.recorder("update-resolv-conf", "");
    hook.recorder("openvpn-chain/10-a", "echo a >>order; exit 3");
    hook.recorder("openvpn-chain/20 b", "echo b >>order; kill -SEGV $$");
    let elsewhere = hook.recorder("elsewhere", "echo c >>order");
    symlink(elsewhere, hook.path("openvpn-chain/30-c")).unwrap();
    hook.run(&UP, &[]);
    assert_eq!(fs::read_to_string(hook.path("order")).unwrap(), "a\nb\nc\n");
    assert_eq!(hook.arguments("openvpn-chain/20 b").unwrap(), UP);
    assert_eq!(hook.arguments("update-resolv-conf"), None);
}

#[test]
fn only_roots_own_executables_are_run() {
    if !is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let hook = Hook::new("openvpn-up");
    hook.recorder("tunwarden", "");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&hook.recorder("openvpn-chain/others-write", ""), 0o757);
    mode(&hook.recorder("openvpn-chain/group-writes", ""), 0o775);
    mode(&hook.recorder("openvpn-chain/no-program", ""), 0o644);
    chown(hook.recorder("openvpn-chain/of-nobody", ""), Some(65534), None).unwrap();
    let target = hook.recorder("of-nobody", "");
    chown(&target, Some(65534), None).unwrap();
    symlink(target, hook.path("openvpn-chain/link-to-nobodys")).unwrap();
    hook.recorder("openvpn-chain/roots", "");
    hook.run(&UP, &[]);
    for name in ["others-write", "group-writes", "no-program", "of-nobody"] {
        assert_eq!(hook.arguments(&format!("openvpn-chain/{name}")), None, "{name} ran");
    }
    assert_eq!(hook.arguments("of-nobody"), None, "a link to nobody's file ran");
    assert!(hook.arguments("openvpn-chain/roots").is_some());

    fs::remove_file(hook.path("openvpn-chain/roots.arguments")).unwrap();
    mode(&hook.path("openvpn-chain"), 0o777);
    hook.run(&UP, &[]);
    assert_eq!(hook.arguments("openvpn-chain/roots"), None, "ran out of everybody's folder");
}

#[test]
fn the_scripts_are_posix_and_executable() {
    for name in ["openvpn-up", "openvpn-down", "dispatcher"] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks").join(name);
        assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o111, 0o111, "{name}");
        let shell = ["dash", "sh"].into_iter().find(|shell| which(shell)).unwrap();
        assert!(Command::new(shell).arg("-n").arg(&script).status().unwrap().success(), "{name}");
    }
}

fn which(program: &str) -> bool {
    ["/usr/bin", "/bin"].iter().any(|folder| Path::new(folder).join(OsStr::new(program)).exists())
}
