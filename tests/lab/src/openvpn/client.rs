//! A plain OpenVPN client in a machine: a configuration file and a process, no NetworkManager.

use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use super::{Protocol, Server, pki};
use crate::machine::{Machine, Process};

/// The options of a client; by default without a server.
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until a client is started with them"]
pub struct ClientOptions {
    lines: Vec<String>,
    /// The program, if it is not this machine's OpenVPN.
    program: Option<String>,
}

impl ClientOptions {
    /// A client of one server. OpenVPN chooses the name of the tunnel: `tun0`.
    pub fn of(server: &Server) -> Self {
        let options = server.options();
        let family = if options.address.is_ipv4() { '4' } else { '6' };
        let protocol = match options.protocol {
            Protocol::Udp => format!("udp{family}"),
            Protocol::Tcp => format!("tcp{family}-client"),
        };
        let lines = vec![format!("remote {} {} {protocol}", options.address, options.port)];
        Self { lines, program: None }
    }

    /// Adds a further server for a failover.
    pub fn or(mut self, server: &Server) -> Self {
        self.lines.extend(Self::of(server).lines);
        self
    }

    /// Sets the unprivileged user of the client after the start, for example `nobody`.
    pub fn user(self, name: &str) -> Self {
        self.line(&format!("user {name}"))
    }

    /// Keeps the tunnel and the keys over a reconnect.
    pub fn persist(self) -> Self {
        self.line("persist-tun").line("persist-key")
    }

    /// Calls `up` and `down` also for a reconnect.
    pub fn up_restart(self) -> Self {
        self.line("up-restart")
    }

    /// Sets a program for `up`. With arguments it must be quoted for OpenVPN.
    pub fn up(self, command: &str) -> Self {
        self.line(&format!("up {command}"))
    }

    /// Sets a program for `down`.
    pub fn down(self, command: &str) -> Self {
        self.line(&format!("down {command}"))
    }

    /// Uses this program instead of this machine's OpenVPN.
    pub fn program(self, path: &str) -> Self {
        Self { program: Some(path.into()), ..self }
    }

    /// Adds any other line of an OpenVPN configuration.
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.into());
        self
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "client\ndev tun\nnobind\nverb 3\nscript-security 2\nremote-cert-tls server\n\
             connect-retry 1 2\nserver-poll-timeout 5\n",
        );
        for (option, file) in [("ca", "ca.crt"), ("cert", "client.crt"), ("key", "client.key")] {
            let _ = writeln!(text, "{option} {}/{file}", pki::FOLDER);
        }
        self.lines.iter().fold(text, |text, line| text + line + "\n")
    }
}

impl Machine {
    /// Starts a client without waiting. [`crate::openvpn::READY`] in its log shows a connect.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn openvpn_client(&self, options: &ClientOptions) -> Result<Process> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        pki::install(self)?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = format!("/etc/openvpn/client/lab{number}.conf");
        self.file(&path, &options.text())?;
        self.spawn([options.program.as_deref().unwrap_or("openvpn"), "--config", &path])
    }
}
