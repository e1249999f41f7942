//! The management socket that a configuration gives to OpenVPN. Pure.
//!
//! OpenVPN admits one program at a time. Other options about the management interface mean that the configuration is
//! made for another program. The agent leaves such a socket alone: OpenVPN would wait for commands that the agent never
//! sends, or restart when the agent disconnects.

use super::super::skipped::shown;
use super::options::Line;

/// Maximum length of the path of a unix socket, in bytes (`sun_path` without its NUL).
const MAX_PATH: usize = 107;

/// Folders that the agent cannot see because of its unit's settings (`ProtectHome`, `PrivateTmp`, `PrivateDevices`).
const HIDDEN: [&str; 6] = ["/root/", "/home/", "/run/user/", "/tmp/", "/var/tmp/", "/dev/"];

/// A socket at which the agent can listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SocketOption {
    /// An absolute path.
    pub(super) path: String,
    /// The path of the file with its password.
    pub(super) password: Option<String>,
}

/// The options about the management interface.
#[derive(Debug, Default)]
pub(super) struct Management {
    /// The last option `management`, with its line.
    words: Option<(usize, Vec<String>)>,
    /// Another option about the management interface.
    other: Option<(usize, String)>,
}

/// Why the agent does not listen at a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnusedSocket {
    pub(super) line: usize,
    pub(super) why: String,
    pub(super) whose: Whose,
}

/// The program that a socket is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The agent, and the option has a fault.
    Ours,
    /// Another program.
    Others,
}

impl Management {
    pub(super) fn take(&mut self, option: &Line<'_>) {
        match option.words.as_slice() {
            [name, words @ ..] if name == "management" => {
                self.words = Some((option.line, words.to_vec()));
            }
            // This option only says how much of the log is kept.
            [name, ..] if name == "management-log-cache" => {}
            [name, ..] => self.other = Some((option.line, name.clone())),
            [] => {}
        }
    }

    /// The socket to listen at; `None` without the option.
    ///
    /// # Errors
    /// Why the agent does not listen at it.
    pub(super) fn socket(self) -> Result<Option<SocketOption>, UnusedSocket> {
        let Some((line, words)) = self.words else { return Ok(None) };
        if let Some((line, name)) = self.other {
            let why = format!(
                "with {} another program needs the management socket, and the agent does not use it",
                shown(&name)
            );
            return Err(UnusedSocket { line, why, whose: Whose::Others });
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (path, password) = match words.as_slice() {
            [path, "unix"] => (*path, None),
            [path, "unix", password] => (*path, Some(*password)),
            _ => {
                let why = "the management interface is not listened to: only a socket that root alone can \
                           reach is, such as: management /run/openvpn-NAME.sock unix";
                return Err(UnusedSocket { line, why: why.to_owned(), whose: Whose::Others });
            }
        };
        for path in [Some(path), password].into_iter().flatten() {
            fit(path).map_err(|fault| {
                let why = format!("management: {} {fault}", shown(path));
                UnusedSocket { line, why, whose: Whose::Ours }
            })?;
        }
        Ok(Some(SocketOption { path: path.to_owned(), password: password.map(ToOwned::to_owned) }))
    }
}

fn fit(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        Err("is no absolute path")
    } else if path.split('/').any(|part| part == "..") {
        Err("goes back up")
    } else if path.len() > MAX_PATH {
        Err("is too long a path")
    } else if HIDDEN.iter().any(|folder| simplified(path).starts_with(folder)) {
        Err(
            "is hidden from the agent, which is shut out of /root, /home, /tmp and /dev; put it into /run or \
             /etc/openvpn",
        )
    } else {
        Ok(())
    }
}

/// The path without `//` and `/./`.
fn simplified(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.fold(String::new(), |plain, part| plain + "/" + part)
}

#[cfg(test)]
mod tests {
    use super::super::client::read;
    use super::*;

    fn of(text: &str) -> (Option<SocketOption>, String) {
        let client = read(&format!("remote 198.51.100.7\n{text}\n"));
        (client.management, client.skipped.map(|skipped| skipped.to_string()).unwrap_or_default())
    }

    #[test]
    fn a_socket_that_is_not_roots_alone_is_refused_with_its_line() {
        for (text, expected) in [
            ("management 127.0.0.1 7505", "line 2: the management interface is not"),
            ("management tunnel 7505", "line 2: the management interface is not"),
            ("management", "line 2: the management interface is not"),
            ("management /run/a.sock", "line 2: the management interface is not"),
            ("management /run/a.sock unix /etc/pw more", "line 2: the management interface is not"),
            ("management a.sock unix", "line 2: management: \"a.sock\" is no absolute path"),
            ("management /run/../tmp/a.sock unix", "goes back up"),
            ("management /run/a.sock unix stdin", "\"stdin\" is no absolute path"),
            (&format!("management /{} unix", "a".repeat(120)), "too long"),
            ("management /root/a.sock unix", "line 2: management: \"/root/a.sock\" is hidden from the agent"),
            ("management //./tmp/a.sock unix", "is hidden from the agent"),
            ("management /run/user/1000/a.sock unix", "is hidden from the agent"),
            ("management /run/a.sock unix /home/me/pw", "\"/home/me/pw\" is hidden from the agent"),
            ("management /run/a.sock unix\nmanagement-hold", "line 3: with \"management-hold\""),
            ("management-signal\nmanagement /run/a.sock unix", "line 2: with \"management-signal\""),
            ("management /run/a.sock unix\nmanagement-client", "another program needs"),
            ("management /run/a.sock unix\nmanagement-client-user root", "another program needs"),
            ("management /run/a.sock unix\nmanagement-query-passwords", "another program needs"),
        ] {
            let (place, fault) = of(text);
            assert_eq!(place, None, "{text:?}");
            assert!(fault.contains(expected), "{text:?}: {fault:?}");
        }
    }

    #[test]
    fn a_client_with_a_hook_may_keep_the_socket_for_another_program() {
        let hook = "up /usr/lib/tunwarden/openvpn-up";
        for own in ["management 127.0.0.1 7505", "management /run/a.sock unix\nmanagement-client-group vpn"] {
            assert_eq!(of(&format!("{own}\n{hook}")), (None, String::new()), "{own:?}");
        }
        let (place, fault) = of(&format!("{hook}\nmanagement /root/a.sock unix"));
        assert!(place.is_none() && fault.starts_with("line 3: management: "), "meant for us: {fault:?}");
    }

    #[test]
    fn a_plain_socket_is_used_and_the_last_option_counts() {
        let place = |path: &str, password: Option<&str>| {
            Some(SocketOption { path: path.to_owned(), password: password.map(ToOwned::to_owned) })
        };
        let plain = "management /run/a.sock unix\nmanagement-log-cache 100";
        assert_eq!(of(plain), (place("/run/a.sock", None), String::new()));
        let two = "management /run/a.sock unix\nmanagement /run/b.sock unix /etc/openvpn/pw";
        assert_eq!(of(two), (place("/run/b.sock", Some("/etc/openvpn/pw")), String::new()));
        assert_eq!(of("verb 3"), (None, String::new()), "without one");
        let server = read("server 10.8.0.0 255.255.255.0\nmanagement /run/a.sock unix\n");
        assert_eq!(server.management, None);
    }
}
