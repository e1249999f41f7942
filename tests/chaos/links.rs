//! Steps with links, their addresses and their routes.

use anyhow::Result;
use tunwarden_lab::Uplink;

use crate::Step;
use crate::test_machine::TestMachine;

pub(crate) const STEPS: &[Step] = &[
    (2, "the cable", |machine, random| {
        let out = random.below(2) == 0;
        if out {
            machine.lab.unplug("eth0")?;
        } else {
            // A link that is down has no carrier to wait for.
            machine.try_run("ip link set eth0 up")?;
            machine.lab.plug("eth0")?;
        }
        machine.uplink_whole = false;
        Ok(Some(if out { "is taken out".to_owned() } else { "is put in".to_owned() }))
    }),
    (3, "eth0", |machine, random| {
        let what = *random.one(&[
            "ip link set eth0 down",
            "ip link set eth0 up",
            "ip address flush dev eth0 scope global",
            "ip address add 192.168.44.2/24 dev eth0",
            "ip address del 192.168.44.2/24 dev eth0",
            "ip -6 address flush dev eth0",
        ]);
        machine.try_run(what)?;
        machine.uplink_whole = false;
        Ok(Some(format!("({what})")))
    }),
    (8, "eth0 is brought up", |machine, _| {
        if machine.uplink_whole {
            return Ok(None);
        }
        restore_all(machine).map(|()| Some(String::new()))
    }),
    (3, "a route", |machine, random| {
        let what = *random.one(&[
            "ip route add default via 10.0.0.1 dev eth0 metric 1",
            "for n in 0 64 128 192; do ip route add $n.0.0.0/2 via 10.0.0.1 dev eth0; done",
        ]);
        machine.try_run(what)?;
        machine.uplink_whole = false;
        Ok(Some(format!("({what})")))
    }),
    (2, "the tunnel loses something", |machine, random| {
        let what = *random.one(&[
            "ip address flush dev tun0",
            "ip link set tun0 down",
            "ip route del default dev tun0",
            "ip link del tun0",
        ]);
        let there = machine.lab.host().run(["ip", "link", "show", "tun0"])?.status.success();
        if !there {
            return Ok(None);
        }
        machine.try_run(what)?;
        Ok(Some(format!("({what})")))
    }),
    (4, "a link comes, goes or is renamed", |machine, random| {
        let what = *random.one(&[
            "ip link add vx0 type veth peer name vx1",
            "ip link del vx0 || ip link del vx1",
            "ip link set vx0 name tunx0; ip link set tunx0 up",
            "ip link set vx0 name br-vx0; ip link set br-vx0 up",
            "ip link set tunx0 down; ip link set tunx0 name vx0",
            "ip link set br-vx0 down; ip link set br-vx0 name vx0",
            "ip link add docker0 type bridge",
            "ip link del docker0",
        ]);
        machine.try_run(what)?;
        Ok(Some(format!("({what})")))
    }),
    (1, "a second uplink", |machine, _| {
        let there = machine.lab.host().run(["ip", "link", "show", "usb0"])?.status.success();
        if there {
            machine.try_run("ip link del usb0")?;
        } else if machine.lab.add_uplink(Uplink::numbered("usb0", 1)).is_err() {
            // NetworkManager may take the addresses of a new link away before its route is there.
            machine.try_run("ip link del usb0")?;
            return Ok(None);
        }
        // The VPN was connected over one of the two.
        machine.uplink_whole = false;
        Ok(Some(if there { "goes".to_owned() } else { "comes".to_owned() }))
    }),
    (2, "the container's bridge", |machine, random| {
        let what = *random.one(&["ip link set br-box down", "ip link set br-box up"]);
        machine.try_run(what)?;
        Ok(Some(format!("({what})")))
    }),
];

/// NetworkManager removes the addresses of every link when it switches all networks off.
pub(crate) const BRIDGE: &str = "ip link set br-box up; ip address replace 172.17.0.1/16 dev br-box";

/// Restores the first link with its cable and with the addresses and routes of NetworkManager, and removes
/// every other uplink.
pub(crate) fn restore_all(machine: &mut TestMachine<'_>) -> Result<()> {
    let stray = "ip link del usb0; ip route del default via 10.0.0.1 dev eth0 metric 1;
        for n in 0 64 128 192; do ip route del $n.0.0.0/2 via 10.0.0.1 dev eth0; done;
        ip address del 192.168.44.2/24 dev eth0;
        ip link set eth0 up";
    machine.try_run(stray)?;
    machine.try_run(BRIDGE)?;
    machine.lab.plug("eth0")?;
    let up = machine.nm.nmcli(["--wait", "10", "connection", "up", "eth0"])?;
    machine.uplink_whole = up.status.success();
    Ok(())
}
