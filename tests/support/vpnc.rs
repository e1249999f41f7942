//! A real server for vpnc in the ISP: strongSwan, which does IPsec in user space, because the kernels of the tests have
//! none.

use anyhow::{Context, Result};
use tunwarden_lab::{Lab, Process, wait_for};

use super::SOON;

/// The server's address. It listens on the UDP ports 500 and 4500.
pub const SERVER: &str = "198.51.100.9";

/// The name and the password of the group, and of the user.
const GROUP: [&str; 2] = ["group", "group-secret"];
const USER: [&str; 2] = ["lab", "user-secret"];

/// The files in a machine: those of the server, and that of the client.
const DAEMON: &str = "/run/charon/strongswan.conf";
const CONNECTION: &str = "/run/charon/swanctl.conf";
const CLIENT: &str = "/run/vpnc/lab.conf";

const SETTINGS: &str = "charon {\n\
     load = random nonce openssl aes sha1 hmac gmp kdf kernel-libipsec kernel-netlink socket-default vici xauth-generic\n\
     load_modular = no\n\
     i_dont_care_about_security_and_use_aggressive_mode_psk = yes\n\
     plugins {\nvici {\nsocket = unix:///run/charon/vici\n}\n}\n}\n\
     swanctl {\nload = random nonce openssl vici\nload_modular = no\n}\n";

/// A server for one group: a shared secret, then a user's password, and an address for the client.
const SERVICE: &str = "connections {\nlab {\nversion = 1\naggressive = yes\nlocal_addrs = 198.51.100.9\nencap = yes\n\
     proposals = aes128-sha1-modp1024,aes256-sha1-modp1024\npools = lab\nlocal {\nauth = psk\nid = 198.51.100.9\n}\n\
     remote {\nauth = psk\n}\nremote-xauth {\nauth = xauth\n}\n\
     children {\nlab {\nlocal_ts = 0.0.0.0/0\nesp_proposals = aes128-sha1,aes256-sha1\n}\n}\n}\n}\n\
     pools {\nlab {\naddrs = 10.12.0.0/24\n}\n}\n";

/// The server. Dropping it kills it.
pub struct Server {
    _process: Process,
}

impl Server {
    /// Starts the server, and waits until it has its configuration.
    pub fn start(lab: &Lab) -> Result<Self> {
        let isp = lab.isp();
        isp.file(DAEMON, SETTINGS)?;
        let [[_, group], [user, password]] = [GROUP, USER];
        let secrets = format!(
            "secrets {{\nike-lab {{\nsecret = {group}\n}}\nxauth-lab {{\nid = {user}\nsecret = {password}\n}}\n}}\n"
        );
        isp.file_with_mode(CONNECTION, &format!("{SERVICE}{secrets}"), 0o600)?;
        let process = isp.command(["/usr/lib/ipsec/charon"]).env("STRONGSWAN_CONF", DAEMON).spawn()?;
        wait_for("charon takes its configuration", SOON, || {
            let load = ["swanctl", "--load-all", "--noprompt", "--uri", "unix:///run/charon/vici"];
            let load = load.into_iter().chain(["--file", CONNECTION]);
            let loaded = isp.command(load).env("STRONGSWAN_CONF", DAEMON).run()?;
            Ok(loaded.status.success().then_some(()))
        })
        .with_context(|| process.log())?;
        Ok(Self { _process: process })
    }

    /// The plain client, as root starts it.
    pub fn client(&self, lab: &Lab) -> Result<Process> {
        let [[group, group_secret], [user, password]] = [GROUP, USER];
        let text = format!(
            "IPSec gateway {SERVER}\nIPSec ID {group}\nIPSec secret {group_secret}\nXauth username {user}\n\
             Xauth password {password}\nIKE Authmode psk\nNAT Traversal Mode force-natt\n\
             Perfect Forward Secrecy nopfs\nLocal Port 0\nNo Detach\nDebug 1\n"
        );
        lab.host().file_with_mode(CLIENT, &text, 0o600)?;
        lab.host().spawn(["vpnc", CLIENT])
    }

    /// The data and the secrets of a NetworkManager profile.
    pub fn profile(&self) -> [String; 2] {
        let [[group, group_secret], [user, password]] = [GROUP, USER];
        let data = format!(
            "IPSec gateway={SERVER},IPSec ID={group},Xauth username={user},NAT Traversal Mode=force-natt,\
             Perfect Forward Secrecy=nopfs,Local Port=0,IPSec secret-flags=0,Xauth password-flags=0"
        );
        [data, format!("IPSec secret={group_secret},Xauth password={password}")]
    }
}
