//! Profiles of an ordinary user with a server name: the agent looks the name up only during activation.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use tunwarden_lab::address::ROUTER;
use tunwarden_lab::openvpn::ServerOptions;
use tunwarden_lab::{wait_for, with_lab};

use super::{HOSTS, Named, endpoints};
use crate::support::leak_test::contract;
use crate::support::{self, SOON, wait_for_state};

/// On Linux Mint users make every profile, and many profiles have a server name.
#[test]
fn a_user_s_profile_with_a_server_name_connects_at_the_first_attempt_and_leaves_no_pin() -> Result<()> {
    with_lab(|lab| {
        let named = Named::new(lab, "", &["198.51.100.7"])?;
        let desktop = &named.desktop;
        wait_for_state(lab, "locked")?;
        desktop.leak_test.check("at rest nobody asks", &contract(&[])?)?;
        assert_eq!(named.dns.asked(), BTreeSet::new(), "at rest");
        assert_eq!(lab.host().read("/etc/hosts")?, HOSTS, "at rest");
        assert_eq!(endpoints(lab)?, BTreeSet::new(), "at rest");

        // One activation only: nmcli fails if NetworkManager gives up.
        let began = support::seconds();
        desktop.connect()?;
        println!("the first activation took {} s", support::seconds() - began);
        named.nobody_else_asks("activated for the first time")?;
        ensure!(lab.host().read("/etc/hosts")?.contains("198.51.100.7 vpn.example.net"), "for reconnects");
        desktop.nm.down("lab")?;
        wait_for_state(lab, "locked")?;
        wait_for("the pin is gone", SOON, || Ok((lab.host().read("/etc/hosts")? == HOSTS).then_some(())))?;
        // The agent remembers the address of the connection, as for any profile.
        named.await_allowance(&["198.51.100.7"])?;
        named.nobody_else_asks("after the activation")
    })
}

#[test]
fn a_user_s_profile_moves_no_name_of_this_machine_and_none_of_the_administrator_s() -> Result<()> {
    with_lab(|lab| {
        let bus = support::bus(lab)?;
        let dns = lab.isp().dns(ROUTER)?;
        for name in ["localhost", "printer", "office.example.net", "site.example.net", "x.local"] {
            dns.set(name, &["10.0.0.66"])?;
        }
        let hosts = format!("{HOSTS}\n10.0.0.7 office.example.net\n");
        lab.host().file("/etc/hosts", &hosts)?;
        let server = lab.openvpn_server(ServerOptions::default())?;
        let nm = lab.host().network_manager(&bus)?;
        nm.add_ethernet(&lab.uplinks()[0])?;
        for name in ["localhost", "printer", "office.example.net", "x.local", "site.example.net"] {
            nm.add_vpn_by(name, &server, name)?;
        }
        let agent = support::agent(lab, "")?;
        for name in ["localhost", "printer", "office.example.net", "x.local"] {
            nm.manage(["--wait", "0", "connection", "up", name])?;
            wait_for_state(lab, "connecting").with_context(|| name.to_owned())?;
            nm.manage(["--wait", "60", "connection", "down", name])?;
            wait_for_state(lab, "locked")?;
            assert_eq!(lab.host().read("/etc/hosts")?, hosts, "{name}");
        }
        assert_eq!(dns.asked(), BTreeSet::new(), "the network's resolver received a query");
        let left_out = support::status(lab)?["left_out"].to_string();
        for name in ["localhost", "printer", "x.local"] {
            ensure!(left_out.contains(&format!("the name {name} is not looked up")), "{left_out}");
        }
        // The control, and the one exception of the contract: the name of a site during activation.
        nm.manage(["--wait", "0", "connection", "up", "site.example.net"])?;
        wait_for("the pin exists during the activation", SOON, || {
            Ok(lab.host().read("/etc/hosts")?.contains("10.0.0.66 site.example.net").then_some(()))
        })
        .with_context(|| agent.log())?;
        nm.manage(["--wait", "60", "connection", "down", "site.example.net"])?;
        wait_for("the pin is gone", SOON, || Ok((lab.host().read("/etc/hosts")? == hosts).then_some(())))
    })
}
