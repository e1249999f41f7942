//! Steps with links, their addresses and their routes.

use anyhow::Result;
use tunwarden_lab::Uplink;

use crate::Step;
use crate::world::World;

pub(crate) const STEPS: &[Step] = &[
    (2, "the cable", |world, dice| {
        let out = dice.below(2) == 0;
        if out {
            world.lab.unplug("eth0")?;
        } else {
            // A link that is down has no carrier to wait for.
            world.try_run("ip link set eth0 up")?;
            world.lab.plug("eth0")?;
        }
        world.uplink_whole = false;
        Ok(Some(if out { "is taken out".to_owned() } else { "is put in".to_owned() }))
    }),
    (3, "eth0", |world, dice| {
        let what = *dice.one(&[
            "ip link set eth0 down",
            "ip link set eth0 up",
            "ip address flush dev eth0 scope global",
            "ip address add 192.168.44.2/24 dev eth0",
            "ip address del 192.168.44.2/24 dev eth0",
            "ip -6 address flush dev eth0",
        ]);
        world.try_run(what)?;
        world.uplink_whole = false;
        Ok(Some(format!("({what})")))
    }),
    (8, "eth0 is brought up", |world, _| {
        if world.uplink_whole {
            return Ok(None);
        }
        heal(world).map(|()| Some(String::new()))
    }),
    (3, "a route", |world, dice| {
        let what = *dice.one(&[
            "ip route add default via 10.0.0.1 dev eth0 metric 1",
            "for n in 0 64 128 192; do ip route add $n.0.0.0/2 via 10.0.0.1 dev eth0; done",
        ]);
        world.try_run(what)?;
        world.uplink_whole = false;
        Ok(Some(format!("({what})")))
    }),
    (2, "the tunnel loses something", |world, dice| {
        let what = *dice.one(&[
            "ip address flush dev tun0",
            "ip link set tun0 down",
            "ip route del default dev tun0",
            "ip link del tun0",
        ]);
        let there = world.lab.host().run(["ip", "link", "show", "tun0"])?.status.success();
        if !there {
            return Ok(None);
        }
        world.try_run(what)?;
        Ok(Some(format!("({what})")))
    }),
    (4, "a link comes, goes or is renamed", |world, dice| {
        let what = *dice.one(&[
            "ip link add vx0 type veth peer name vx1",
            "ip link del vx0 || ip link del vx1",
            "ip link set vx0 name tunx0; ip link set tunx0 up",
            "ip link set vx0 name br-vx0; ip link set br-vx0 up",
            "ip link set tunx0 down; ip link set tunx0 name vx0",
            "ip link set br-vx0 down; ip link set br-vx0 name vx0",
            "ip link add docker0 type bridge",
            "ip link del docker0",
        ]);
        world.try_run(what)?;
        Ok(Some(format!("({what})")))
    }),
    (1, "a second uplink", |world, _| {
        let there = world.lab.host().run(["ip", "link", "show", "usb0"])?.status.success();
        if there {
            world.try_run("ip link del usb0")?;
        } else if world.lab.add_uplink(Uplink::numbered("usb0", 1)).is_err() {
            // NetworkManager may take the addresses of a new link away before its route is there.
            world.try_run("ip link del usb0")?;
            return Ok(None);
        }
        // The VPN was connected over one of the two.
        world.uplink_whole = false;
        Ok(Some(if there { "goes".to_owned() } else { "comes".to_owned() }))
    }),
    (2, "the container's bridge", |world, dice| {
        let what = *dice.one(&["ip link set br-box down", "ip link set br-box up"]);
        world.try_run(what)?;
        Ok(Some(format!("({what})")))
    }),
];

/// NetworkManager removes the addresses of every link when it switches all networks off.
pub(crate) const BRIDGE: &str = "ip link set br-box up; ip address replace 172.17.0.1/16 dev br-box";

/// Restores the first link with its cable and with the addresses and routes of NetworkManager, and removes
/// every other uplink.
pub(crate) fn heal(world: &mut World<'_>) -> Result<()> {
    let stray = "ip link del usb0; ip route del default via 10.0.0.1 dev eth0 metric 1;
        for n in 0 64 128 192; do ip route del $n.0.0.0/2 via 10.0.0.1 dev eth0; done;
        ip address del 192.168.44.2/24 dev eth0;
        ip link set eth0 up";
    world.try_run(stray)?;
    world.try_run(BRIDGE)?;
    world.lab.plug("eth0")?;
    let up = world.nm.nmcli(["--wait", "10", "connection", "up", "eth0"])?;
    world.uplink_whole = up.status.success();
    Ok(())
}
