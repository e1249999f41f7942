#![allow(clippy::disallowed_methods, reason = "a test touches files")]

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixListener;

use super::*;
use crate::net::Port;

const HELLO: &[u8] = b">INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info\r\n";
const CONNECTED: &[u8] = b">STATE:1,CONNECTED,SUCCESS,10.8.0.2,198.51.100.7,1194,,\r\n";

/// A folder that stands for the system's root folder, and the events of one listener at a socket in it.
struct Here {
    folder: TempDir,
    said: mpsc::Receiver<Event>,
    events: mpsc::Sender<Event>,
}

impl Here {
    fn new() -> Self {
        let (events, said) = mpsc::channel(64);
        let here = Self { folder: tempfile::tempdir().unwrap(), said, events };
        std::fs::create_dir(here.path("run")).unwrap();
        here
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn trusted(&self) -> TrustedRoot {
        TrustedRoot { root: self.folder.path().to_owned(), owner: nix::unistd::geteuid().as_raw() }
    }

    fn listener(&self, password: Option<&str>) -> Listener {
        let text = |path: PathBuf| path.display().to_string();
        let socket = ManagementSocket {
            file: "/etc/openvpn/a.conf".to_owned(),
            path: text(self.path("run/a.sock")),
            password: password.map(|below| text(self.path(below))),
            user: None,
        };
        Listener { trusted: self.trusted(), socket, events: self.events.clone() }
    }

    fn bind(&self) -> UnixListener {
        UnixListener::bind(self.path("run/a.sock")).unwrap()
    }

    async fn next(&mut self) -> ClientState {
        loop {
            match timeout(Duration::from_secs(20), self.said.recv()).await {
                Ok(Some(Event::SocketState(..))) => {}
                Ok(Some(Event::Management(word))) => {
                    assert_eq!(word.pid, Some(std::process::id()), "the kernel says who it is");
                    return word.said;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next status of the socket that differs from `before`.
    async fn socket_state(&mut self, before: &SocketState) -> SocketState {
        loop {
            match timeout(Duration::from_secs(20), self.said.recv()).await {
                Ok(Some(Event::SocketState(socket, now))) if now != *before => {
                    assert_eq!(socket, self.listener(None).socket);
                    return now;
                }
                Ok(Some(Event::SocketState(..) | Event::Management(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn connected() -> ClientState {
    ClientState::Connected {
        server: Some(("198.51.100.7".parse().unwrap(), Port::fixed(1194))),
        addresses: BTreeSet::from(["10.8.0.2".parse().unwrap()]),
    }
}

/// Accepts the agent's connection: what the agent sent, and the stream.
async fn meet(listener: &UnixListener) -> (String, UnixStream) {
    let (mut stream, _) = timeout(Duration::from_secs(20), listener.accept()).await.unwrap().unwrap();
    stream.write_all(HELLO).await.unwrap();
    let mut told = String::new();
    BufReader::new(&mut stream).read_line(&mut told).await.unwrap();
    (told, stream)
}

#[test]
fn a_socket_that_others_could_have_made_is_not_trusted() {
    let here = Here::new();
    let socket = here.path("run/a.sock");
    let refused = |trusted: &TrustedRoot, path: &Path| trusted.socket(path).unwrap_err();
    assert!(refused(&here.trusted(), &socket).is_absence());
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    here.trusted().socket(&socket).unwrap();
    let mode = |below: &str, mode: u32| {
        std::fs::set_permissions(here.path(below), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for open in [0o775, 0o757, 0o1777] {
        mode("run", open);
        assert!(matches!(refused(&here.trusted(), &socket), Refused::Foreign(_)), "{open:o}");
    }
    mode("run", 0o755);
    // The target of a link must be writable by its owner alone, and so must each folder on the way to it.
    symlink(here.path("run"), here.path("var")).unwrap();
    here.trusted().socket(&here.path("var/a.sock")).unwrap();
    std::fs::create_dir(here.path("open")).unwrap();
    mode("open", 0o777);
    symlink(here.path("run"), here.path("open/run")).unwrap();
    assert!(matches!(refused(&here.trusted(), &here.path("open/run/a.sock")), Refused::Foreign(_)));
    symlink(here.path("open"), here.path("shut")).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(here.path("open/b.sock")).unwrap();
    assert!(matches!(refused(&here.trusted(), &here.path("shut/b.sock")), Refused::Foreign(_)));
    std::fs::write(here.path("run/file"), "").unwrap();
    assert!(matches!(refused(&here.trusted(), &here.path("run/file")), Refused::Unexpected(_)));
    symlink(&socket, here.path("run/link")).unwrap();
    assert!(matches!(refused(&here.trusted(), &here.path("run/link")), Refused::Unexpected(_)), "a link");
    let foreign = TrustedRoot { owner: 4_000_000, ..here.trusted() };
    assert!(matches!(refused(&foreign, &socket), Refused::Foreign(_)), "another's");
}

#[test]
fn a_password_is_read_only_from_a_private_file_of_the_owner() {
    let here = Here::new();
    let path = here.path("run/pw");
    std::fs::write(&path, "secret\nmore\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(here.trusted().password(&path), Err(Refused::Foreign(_))));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(here.trusted().password(&path).unwrap(), "secret");
    symlink(&path, here.path("run/link")).unwrap();
    assert!(here.trusted().password(&here.path("run/link")).is_err());
}

#[tokio::test]
async fn a_process_that_is_neither_roots_nor_the_configured_users_is_ignored() {
    let own = nix::unistd::geteuid().as_raw();
    if own != 0 {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let here = Here::new();
    let owner = 4_000_000;
    let listener = here.bind();
    for path in [here.folder.path(), &here.path("run"), &here.path("run/a.sock")] {
        std::os::unix::fs::chown(path, Some(owner), None).unwrap();
    }
    // Every file belongs to the owner; the process that listens belongs to another user.
    let mut agent = here.listener(None);
    agent.trusted.owner = owner;
    let path = here.path("run/a.sock");
    agent.trusted.socket(&path).unwrap();
    let error = agent.follow_client(&path).await.unwrap_err();
    assert!(matches!(error, ListenError::OtherUser(uid) if uid == own), "{error}");
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).await.unwrap();
    assert_eq!(told, b"", "nothing was sent to it");
    // The control: the same process, where the configuration names its user.
    agent.socket.user = Some(own);
    tokio::spawn(async move { agent.follow_client(&path).await.map(|_| ()) });
    assert_eq!(meet(&listener).await.0, "state on 1\n");
}

#[tokio::test]
async fn a_socket_that_another_program_uses_is_left_to_that_program() {
    let here = Here::new();
    let listener = here.bind();
    // No process accepts the connection: OpenVPN treats a second program like this.
    let error = here.listener(None).follow_client(&here.path("run/a.sock")).await.unwrap_err();
    assert!(matches!(error, ListenError::Busy), "{error}");
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).await.unwrap();
    assert_eq!(told, b"", "nothing was sent to the client, and the connection was closed");
}

#[tokio::test]
async fn the_state_of_a_socket_is_reported_and_a_client_that_does_not_run_is_no_fault() {
    let mut here = Here::new();
    tokio::spawn(here.listener(None).listen());
    let nobody = here.socket_state(&SocketState::Heard).await;
    assert_eq!(nobody, SocketState::NoClient, "there is no socket");
    std::fs::set_permissions(here.path("run"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let listener = here.bind();
    let SocketState::Unusable(fault) = here.socket_state(&nobody).await else {
        panic!("others can write there")
    };
    assert!(fault.contains("others than root can write"), "{fault}");
    std::fs::set_permissions(here.path("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    // A process listens there, and sends nothing.
    let busy = here.socket_state(&SocketState::Unusable(fault)).await;
    assert_eq!(busy, SocketState::Unusable(ListenError::Busy.to_string()));
    let (left, _) = listener.accept().await.unwrap();
    drop(left);
    let (_, stream) = meet(&listener).await;
    assert_eq!(here.socket_state(&busy).await, SocketState::Heard);
    drop((stream, listener));
    std::fs::remove_file(here.path("run/a.sock")).unwrap();
    assert_eq!(here.socket_state(&SocketState::Heard).await, SocketState::NoClient);
}

#[tokio::test]
async fn a_client_that_restarts_is_heard_each_time() {
    let mut here = Here::new();
    tokio::spawn(here.listener(None).listen());
    for _ in 0..2 {
        let listener = here.bind();
        let (told, mut stream) = meet(&listener).await;
        assert_eq!(told, "state on 1\n");
        stream.write_all(b"SUCCESS: real-time state notification set to ON\r\n").await.unwrap();
        stream.write_all(b"1,CONNECTED,SUCCESS,10.8.0.2,198.51.100.7,1194,,\r\nEND\r\n").await.unwrap();
        assert_eq!(here.next().await, connected());
        // The line comes in pieces, and twice.
        stream.write_all(CONNECTED).await.unwrap();
        stream.write_all(b">STATE:2,RECON").await.unwrap();
        stream.write_all(b"NECTING,ping-restart,,,,,\r\n").await.unwrap();
        assert_eq!(here.next().await, ClientState::Reconnecting);
        drop((stream, listener));
        assert_eq!(here.next().await, ClientState::Gone);
        std::fs::remove_file(here.path("run/a.sock")).unwrap();
    }
}

#[tokio::test]
async fn a_socket_in_a_folder_that_appears_late_is_found() {
    let mut here = Here::new();
    std::fs::remove_dir(here.path("run")).unwrap();
    tokio::spawn(here.listener(None).listen());
    sleep(Duration::from_millis(200)).await;
    std::fs::create_dir(here.path("run")).unwrap();
    let listener = here.bind();
    let (_, mut stream) = meet(&listener).await;
    stream.write_all(CONNECTED).await.unwrap();
    assert_eq!(here.next().await, connected());
}

#[tokio::test]
async fn malformed_lines_are_bounded_and_valid_lines_among_them_count() {
    let mut here = Here::new();
    let listener = here.bind();
    let agent = here.listener(None);
    let agent = tokio::spawn(async move {
        let path = PathBuf::from(&agent.socket.path);
        agent.follow_client(&path).await.unwrap_err().to_string()
    });
    let (_, mut stream) = meet(&listener).await;
    stream.write_all(b"\xff\xfe\n>STATE:1,$(reboot)\n").await.unwrap();
    stream.write_all(CONNECTED).await.unwrap();
    assert_eq!(here.next().await, connected());
    stream.write_all(&b"nonsense\n".repeat(40)).await.unwrap();
    assert_eq!(here.next().await, ClientState::Gone);
    assert!(agent.await.unwrap().contains("are not OpenVPN's"));

    let agent = here.listener(None);
    let agent = tokio::spawn(async move {
        let path = PathBuf::from(&agent.socket.path);
        agent.follow_client(&path).await.unwrap_err().to_string()
    });
    let (_, mut stream) = meet(&listener).await;
    // The agent may close the connection before the test has written all of it.
    let _ = stream.write_all(&[b'x'; 100_000]).await;
    assert_eq!(here.next().await, ClientState::Gone);
    assert!(agent.await.unwrap().contains("a line of more than"));
}

#[tokio::test]
async fn the_password_is_sent_before_the_first_command() {
    let here = Here::new();
    std::fs::write(here.path("run/pw"), "secret\n").unwrap();
    std::fs::set_permissions(here.path("run/pw"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let listener = here.bind();
    let agent = here.listener(Some("run/pw"));
    tokio::spawn(async move {
        let path = PathBuf::from(&agent.socket.path);
        agent.follow_client(&path).await.map(|_| ())
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"ENTER PASSWORD:").await.unwrap();
    let mut lines = BufReader::new(&mut stream).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("secret"));
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("state on 1"));
}
