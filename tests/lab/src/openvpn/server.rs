//! A VPN server in the ISP. A test can stop, kill, silence and change it.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use ipnet::Ipv4Net;
use nix::sys::signal::Signal;

use super::{Protocol, READY, pki};
use crate::address::VPN;
use crate::lab::Lab;
use crate::machine::{Machine, Process};

/// The options of a server. By default it uses UDP 1194 on [`VPN`] and carries all traffic of a client.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The address on which it listens: one of the ISP's.
    pub address: IpAddr,
    /// The port on which it listens.
    pub port: u16,
    /// The transport protocol of the tunnel.
    pub protocol: Protocol,
    /// The network of its clients' addresses.
    pub pool: Ipv4Net,
    /// Seconds between pings, and seconds without packets after which a client reconnects.
    pub keepalive: (u32, u32),
    /// The options that it pushes to clients.
    pub push: Vec<String>,
    /// Further lines of its configuration.
    pub extra: Vec<String>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            address: VPN,
            port: 1194,
            protocol: Protocol::Udp,
            pool: Ipv4Net::new_assert([10, 8, 0, 0].into(), 24),
            // A machine that compiles something else stops a client for seconds.
            keepalive: (1, 10),
            push: vec!["redirect-gateway def1".into()],
            extra: Vec::new(),
        }
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    isp: Machine,
    options: ServerOptions,
    process: Process,
}

impl Lab {
    /// Starts a VPN server and waits until it is ready.
    ///
    /// # Errors
    /// When openvpn is missing or refuses the options; with its log.
    pub fn openvpn_server(&self, options: ServerOptions) -> Result<Server> {
        pki::install(self.isp())?;
        let process = start(self.isp(), &options)?;
        Ok(Server { isp: self.isp().clone(), options, process })
    }
}

impl Server {
    /// The options of its command line.
    #[must_use]
    pub fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// Its endpoint as the contract reads it: `198.51.100.7:1194/udp`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let ServerOptions { address, port, protocol, .. } = self.options;
        format!("{}/{protocol}", std::net::SocketAddr::new(address, port))
    }

    /// Its own address inside the tunnel: the first of the pool.
    #[must_use]
    pub fn tunnel_address(&self) -> IpAddr {
        self.options.pool.hosts().next().unwrap_or(self.options.pool.addr()).into()
    }

    /// The process, for its log and signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it. It sends nothing to clients, but later packets to it get a "port unreachable".
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop().map(drop)
    }

    /// Starts it again with the same options.
    ///
    /// # Errors
    /// When it does not end or does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = start(&self.isp, &self.options)?;
        Ok(())
    }

    /// Starts it again with another pool, so that clients get another address after a reconnect.
    ///
    /// # Errors
    /// As [`Server::restart`].
    pub fn restart_with_pool(&mut self, pool: Ipv4Net) -> Result<()> {
        self.options.pool = pool;
        self.restart()
    }

    /// Stops answering without a message, like a dead server.
    ///
    /// # Errors
    /// When it has ended.
    pub fn silence(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Answers again.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }
}

fn start(isp: &Machine, options: &ServerOptions) -> Result<Process> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("srv{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let path = format!("/run/lab/{name}.conf");
    isp.file(&path, &configuration(options, &name))?;
    let mut process = isp.spawn(["openvpn", "--config", &path])?;
    process.wait_for_line(READY, crate::wait::TIMEOUT)?;
    Ok(process)
}

fn configuration(options: &ServerOptions, device: &str) -> String {
    let family = if options.address.is_ipv4() { '4' } else { '6' };
    let protocol = match options.protocol {
        Protocol::Udp => format!("udp{family}"),
        Protocol::Tcp => format!("tcp{family}-server"),
    };
    let (pool, (ping, restart)) = (options.pool, options.keepalive);
    let mut text = format!(
        "local {}\nport {}\nproto {protocol}\ndev {device}\ndev-type tun\ntopology subnet\n\
         server {} {}\nkeepalive {ping} {restart}\ndh none\nverb 3\nduplicate-cn\n\
         ca {pki}/ca.crt\ncert {pki}/server.crt\nkey {pki}/server.key\n",
        options.address,
        options.port,
        pool.network(),
        pool.netmask(),
        pki = pki::FOLDER,
    );
    for push in &options.push {
        let _ = writeln!(text, "push \"{push}\"");
    }
    options.extra.iter().fold(text, |text, line| text + line + "\n")
}
