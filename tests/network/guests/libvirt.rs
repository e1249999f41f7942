//! libvirt's own network: libvirtd starts it, with its bridge, its dnsmasq and its rules in iptables or in nf_tables.

use std::cell::RefCell;

use anyhow::Result;
use tunwarden_lab::{Engine, Lab, Output, Process, wait_for, with_lab};

use super::{ASK, Guest, System, is_contained};
use crate::support::SOON;
use crate::support::docker::{FLOOD, count_tries};

/// `default`, as libvirt's packages have it, and with IPv6.
const NETWORK: &str = "<network><name>default</name><forward mode='nat'><nat ipv6='yes'/></forward>\
    <bridge name='virbr0' stp='off' delay='0'/>\
    <ip address='192.168.122.1' netmask='255.255.255.0'>\
    <dhcp><range start='192.168.122.10' end='192.168.122.50'/></dhcp></ip>\
    <ip family='ipv6' address='fd00:0:0:7::1' prefix='64'/></network>";

/// What the packages of a whole libvirt would have made. `$1`: with what it makes its rules.
const SET_UP: &str = r#"
    for user in libvirt-qemu libvirt-dnsmasq; do
        id "$user" >/dev/null 2>&1 || useradd --system --user-group --no-create-home "$user"
    done
    mkdir -p /etc/libvirt /run/libvirt /var/lib/libvirt/dnsmasq /var/cache/libvirt /var/log/libvirt
    printf 'auth_unix_rw = "none"\nauth_unix_ro = "none"\nunix_sock_group = "root"\n' >/etc/libvirt/libvirtd.conf
    echo "firewall_backend = \"$1\"" >/etc/libvirt/network.conf
    # Some kernels lack the action by which libvirt corrects checksums of DHCP. Only this mount namespace sees the stand-in.
    if ! tc actions add action csum udp 2>/dev/null; then
        printf '#!/bin/sh\n' >/run/lab/tc
        chmod 755 /run/lab/tc
        mount --bind /run/lab/tc "$(readlink -f "$(command -v tc)")"
    fi"#;

/// What the DHCP client does with its lease.
const LEASE: &str = r#"#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/$mask" dev "$interface"
ip route add default via "$router""#;

/// A virtual machine on the bridge, with a lease of libvirt's dnsmasq.
const GUEST: &str = "
    ip netns add guest
    ip link add vnet0 type veth peer name eth0 netns guest
    ip link set vnet0 master virbr0 up
    ip -n guest link set lo up
    ip netns exec guest sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
    ip -n guest link set eth0 up
    ip netns exec guest busybox udhcpc -q -n -f -i eth0 -t 20 -T 1 -s /run/lab/lease
    ip -n guest address add fd00:0:0:7::10/64 dev eth0 nodad
    ip -n guest route add default via fd00:0:0:7::1";

const VIRSH: [&str; 3] = ["virsh", "--connect", "network:///system"];

fn start(system: &System<'_>) -> Result<Process> {
    let daemon = system.command(["libvirtd"]).spawn()?;
    wait_for("libvirtd answers", SOON, || {
        let answer = system.command(VIRSH.into_iter().chain(["net-list", "--all"])).run()?;
        Ok(answer.status.success().then_some(()))
    })?;
    Ok(daemon)
}

struct Libvirt<'a> {
    lab: &'a Lab,
    system: &'a System<'a>,
    daemon: RefCell<Process>,
}

impl Guest for Libvirt<'_> {
    const BRIDGE: &'static str = "virbr0";

    fn again(&self) -> Result<()> {
        let mut daemon = self.daemon.borrow_mut();
        daemon.stop()?;
        *daemon = start(self.system)?;
        Ok(())
    }

    fn ping(&self) -> Result<Output> {
        self.lab.host().run("ip netns exec guest ping -c 1 -W 1 203.0.113.9".split(' '))
    }
}

fn guest(lab: &Lab, script: &str, word: &str) -> Result<Process> {
    let script = script.replace("/tmp/pipe", "/run/lab/pipe");
    lab.host().spawn(["ip", "netns", "exec", "guest", "bash", "-c", &script, word])
}

fn network_is_contained(debian: Engine, backend: &str) -> Result<()> {
    with_lab(|lab| {
        count_tries(lab)?;
        let system = System::new(lab, debian)?;
        system.shell(SET_UP, &[backend])?;
        let daemon = RefCell::new(start(&system)?);
        lab.host().file("/run/lab/network.xml", NETWORK)?;
        for words in [["net-define", "/run/lab/network.xml"], ["net-start", "default"]] {
            system.command(VIRSH.into_iter().chain(words)).succeed()?;
        }
        let tables = lab.host().succeed(["nft", "list", "tables"])?;
        anyhow::ensure!(tables.contains("libvirt_network") == (backend == "nftables"), "{tables}");
        lab.host().file_with_mode("/run/lab/lease", LEASE, 0o755)?;
        lab.host().succeed(["sh", "-euc", GUEST])?;
        let _flood = guest(lab, FLOOD, "bash")?;
        let _questions = guest(lab, ASK, "192.168.122.1")?;

        is_contained(lab, &Libvirt { lab, system: &system, daemon })
    })
}

#[test]
#[ignore = "libvirt does not start its network in the laboratory yet"]
fn libvirts_network_with_rules_in_iptables_is_contained_and_has_the_tunnel() -> Result<()> {
    network_is_contained(Engine::System, "iptables")
}

#[test]
#[ignore = "libvirt does not start its network in the laboratory yet"]
fn libvirts_network_with_rules_in_nf_tables_is_contained_and_has_the_tunnel() -> Result<()> {
    network_is_contained(Engine::Trixie, "nftables")
}
