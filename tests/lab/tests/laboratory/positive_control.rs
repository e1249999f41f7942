//! The control of every leak test: without a firewall the capture contains each kind of probe, and the
//! contract counts it as a leak.

use anyhow::Result;
use tunwarden_lab::address::{INTERNET, INTERNET_V6};
use tunwarden_lab::{Contract, Frame, Probe, Transport, Uplink, with_lab};

const COUNT: u64 = 20;

#[test]
fn every_probe_of_every_user_is_seen_and_is_clear() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let host = lab.host();
        for user in ["root", "nobody"] {
            let probes: [(&str, Probe); 6] = [
                ("udp4", host.udp("203.0.113.9:4000")?),
                ("udp6", host.udp("[2001:db8:9::9]:4000")?),
                ("ping4", host.ping(INTERNET)),
                ("ping6", host.ping(INTERNET_V6)),
                ("tcp4", host.tcp("203.0.113.9:443")?),
                ("tcp6", host.tcp("[2001:db8:9::9]:443")?),
            ];
            for (kind, probe) in probes {
                let sent = probe.from_user(user).tag(&format!("{kind}-{user}")).count(COUNT).send()?;
                assert_eq!(sent.accepted, COUNT, "{kind} as {user}: {sent:?}");
            }
        }
        let seen = capture.stop()?;
        let clear: Vec<Frame> = Contract::locked().clear_packets(&seen).into_iter().cloned().collect();
        for user in ["root", "nobody"] {
            for kind in ["udp4", "udp6", "ping4", "ping6"] {
                let tag = format!("{kind}-{user}");
                assert_eq!(clear.iter().filter(|frame| frame.is_tagged(&tag)).count(), 20, "{tag}");
            }
        }
        for target in [INTERNET, INTERNET_V6] {
            let syns = |frame: &&Frame| {
                matches!(frame.transport(), Some(Transport::Tcp { to: 443, .. }))
                    && frame.destination() == Some(target)
            };
            assert_eq!(clear.iter().filter(syns).count(), 40, "TCP to {target}");
        }
        Ok(())
    })
}

#[test]
fn a_drop_by_default_firewall_stops_all_of_it() -> Result<()> {
    with_lab(|lab| {
        for tool in ["iptables", "ip6tables"] {
            lab.host().succeed([tool, "-w", "-P", "OUTPUT", "DROP"])?;
        }
        let capture = lab.capture()?;
        let sent = lab.host().udp("203.0.113.9:4000")?.from_user("nobody").count(COUNT).send()?;
        assert_eq!((sent.accepted, sent.forbidden()), (0, COUNT));
        lab.host().tcp("[2001:db8:9::9]:443")?.count(COUNT).send()?;
        Contract::locked().check(&capture.stop()?)
    })
}

#[test]
fn a_probe_is_sent_by_the_user_that_it_names() -> Result<()> {
    with_lab(|lab| {
        let rule = "-w -A OUTPUT -m owner --uid-owner nobody -j DROP";
        lab.host().succeed(std::iter::once("iptables").chain(rule.split(' ')))?;
        let capture = lab.capture()?;
        let probe = lab.host().udp("203.0.113.9:4000")?.count(COUNT);
        assert_eq!(probe.clone().from_user("nobody").tag("nobody").send()?.forbidden(), COUNT);
        assert_eq!(probe.clone().tag("root").send()?.accepted, COUNT);
        let seen = capture.stop()?;
        let tagged = |tag| seen.iter().filter(|frame: &&Frame| frame.is_tagged(tag)).count();
        assert_eq!((tagged("nobody"), tagged("root")), (0, 20));
        Ok(())
    })
}

#[test]
fn a_flood_is_captured_packet_for_packet() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let flood = lab.host().udp("203.0.113.9:4000")?.tag("flood").flood(1000)?;
        flood.await_more(300)?;
        let sent = flood.stop()?;
        let seen = capture.stop()?;
        let captured = seen.iter().filter(|frame| frame.is_tagged("flood")).count();
        assert_eq!(u64::try_from(captured)?, sent.accepted);
        Ok(())
    })
}

#[test]
fn inbound_and_answered_packets_are_counted_by_an_echo() -> Result<()> {
    with_lab(|lab| {
        let bound = std::time::Duration::from_secs(10);
        let (inside, outside) = (lab.host().udp_echo("[::]:5000")?, lab.isp().udp_echo("203.0.113.9:5000")?);
        let out = lab.host().udp("203.0.113.9:5000")?.count(3).await_answers(bound).send()?;
        let into = lab.isp().udp("10.0.0.2:5000")?.count(3).await_answers(bound).send()?;
        assert_eq!((out.answered, outside.received()), (3, 3));
        assert_eq!((into.answered, inside.received()), (3, 3));
        Ok(())
    })
}

#[test]
fn a_second_link_can_be_added_and_unplugged() -> Result<()> {
    with_lab(|lab| {
        lab.add_uplink(Uplink::numbered("usb0", 1))?;
        let capture = lab.capture()?;
        lab.host().ping(INTERNET).on("usb0").tag("usb").send()?;
        lab.host().ping(INTERNET_V6).on("usb0").tag("usb").send()?;
        lab.unplug("usb0")?;
        lab.plug("usb0")?;
        let answered = |target| {
            let probe = lab.host().ping(target).on("usb0").tag("usb");
            anyhow::Ok(probe.await_answers(std::time::Duration::from_secs(10)).send()?.answered)
        };
        assert_eq!((answered(INTERNET)?, answered(INTERNET_V6)?), (1, 1));
        let seen = capture.stop()?;
        let links: Vec<usize> =
            seen.iter().filter(|frame| frame.is_tagged("usb")).map(|frame| frame.link).collect();
        assert_eq!(links.len(), 4);
        assert!(links.iter().all(|link| *link == links[0]));
        Ok(())
    })
}
