//! A real ocserv in the ISP, and openconnect on the host.

use anyhow::{Context, Result};
use tunwarden_lab::{Cmd, Lab, Process, wait_for};

use super::SOON;

/// The server's address. The server listens on port 443 over TCP and UDP.
pub const SERVER: &str = "198.51.100.9";

/// The server's files, in the ISP.
const CONFIGURATION: &str = "/run/ocserv/conf";
const TEXT: &str = "auth = \"plain[passwd=/run/ocserv/passwd]\"\nlisten-host = 198.51.100.9\ntcp-port = 443\n\
                    udp-port = 443\nrun-as-user = nobody\nrun-as-group = nogroup\n\
                    socket-file = /run/ocserv/socket\nserver-cert = /run/ocserv/cert.pem\n\
                    server-key = /run/ocserv/key.pem\nisolate-workers = false\nmax-clients = 8\nkeepalive = 60\n\
                    dpd = 5\ntry-mtu-discovery = false\ncookie-timeout = 300\nuse-occtl = false\n\
                    pid-file = /run/ocserv/pid\ndevice = vpns\npredictable-ips = true\n\
                    ipv4-network = 10.11.0.0/24\nipv6-network = fd00:b::/64\ncisco-client-compat = true\n";
const CERTIFICATE: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
                           -subj /CN=vpn.example.net -keyout /run/ocserv/key.pem -out /run/ocserv/cert.pem";
const PIN: &str = "openssl x509 -in /run/ocserv/cert.pem -pubkey -noout | openssl pkey -pubin -outform der | \
                   openssl dgst -sha256 -binary | base64";

/// The user and the password that the server knows.
const USER: &str = "lab";
const PASSWORD: &str = "secret\n";

/// The server. Dropping it kills it.
pub struct Server {
    _process: Process,
    /// The hash of its certificate's key, by which the client knows it.
    pin: String,
}

impl Server {
    /// Starts the server, and waits until it listens.
    pub fn start(lab: &Lab) -> Result<Self> {
        let isp = lab.isp();
        isp.succeed(["mkdir", "-p", "/run/ocserv"])?;
        isp.succeed(CERTIFICATE.split(' '))?;
        isp.command(["ocpasswd", "-c", "/run/ocserv/passwd", USER]).stdin(PASSWORD).succeed()?;
        isp.file(CONFIGURATION, TEXT)?;
        let pin = isp.succeed(["sh", "-c", PIN])?.trim().to_owned();
        Ok(Self { _process: listen(lab)?, pin })
    }

    /// The plain client, as root starts it.
    pub fn client(&self, lab: &Lab) -> Result<Process> {
        lab.host().succeed(["mkdir", "-p", "/run/vpnc"])?;
        let script = "--script=/usr/share/vpnc-scripts/vpnc-script";
        self.openconnect(lab, &["--reconnect-timeout=60", script]).spawn()
    }

    /// Makes NetworkManager activate a profile of this server. nmcli starts openconnect to log in, which reads the
    /// answers from its standard input. Then the plugin starts openconnect with the cookie, as its own user.
    pub fn activate(&self, lab: &Lab, profile: &str) -> Result<()> {
        let answers = format!("yes\n{USER}\n{PASSWORD}");
        let up = ["nmcli", "--ask", "--wait", "60", "connection", "up", profile];
        lab.host().command(up).stdin(&answers).succeed().map(drop)
    }

    fn openconnect(&self, lab: &Lab, options: &[&str]) -> Cmd {
        let pin = format!("--servercert=pin-sha256:{}", self.pin);
        let user = format!("--user={USER}");
        let command =
            ["openconnect", "--protocol=anyconnect", "--passwd-on-stdin", "--non-inter", &user, &pin];
        lab.host().command(command.into_iter().chain(options.iter().copied()).chain([SERVER])).stdin(PASSWORD)
    }
}

fn listen(lab: &Lab) -> Result<Process> {
    let isp = lab.isp();
    let process = isp.spawn(["ocserv", "--foreground", "--debug=1", "--config", CONFIGURATION])?;
    wait_for("ocserv listens on both transports", SOON, || {
        let sockets = isp.succeed(["ss", "-Hlntu", "sport", "=", ":443"])?;
        let listens = |transport: &str| sockets.lines().any(|line| line.starts_with(transport));
        Ok((listens("tcp") && listens("udp")).then_some(()))
    })
    .with_context(|| process.log())?;
    Ok(process)
}
