//! The first run on a machine that has the article's scripts. `init` adopts what the scripts allow. If the
//! user does not confirm, `init` restores the earlier state.

use crate::support;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use support::kernel::Backend;
use support::{SOON, TUNWARDEN, chain, tunwarden};
use tunwarden::net::Family;
use tunwarden::netfilter::socket::remove_empty;
use tunwarden_lab::{Lab, wait_for, with_lab};

const HOST: &str = include_str!("../data/article-host.sh");
const DOCKER: &str = include_str!("../data/article-docker-three.sh");
const CONFIG: &str = "/etc/tunwarden/config.toml";

/// The article's unit.
const UNIT: &str = "[Unit]\nAfter=docker.service\n[Service]\nType=oneshot\n\
                    ExecStart=/usr/local/bin/dockerkillswitch.sh\n[Install]\nWantedBy=multi-user.target\n";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";

/// Installs the article's scripts and units, and puts their rules into the kernel.
fn with_the_article(lab: &Lab) -> Result<()> {
    let host = lab.host();
    host.succeed(["mount", "-t", "tmpfs", "tmpfs", "/usr/local/bin"])?;
    let more = "iptables -A OUTPUT_VPN_KILL_SWITCH -o tun+ -p tcp --dport 993 -j ACCEPT\n";
    for (name, text) in
        [("vpnkillswitch_granular.sh", format!("{HOST}{more}")), ("dockerkillswitch.sh", DOCKER.to_owned())]
    {
        let path = format!("/usr/local/bin/{name}");
        host.command(["sh", "-c", &format!("cat > {path}; chmod 755 {path}")]).stdin(&text).succeed()?;
    }
    host.file("/etc/systemd/system/dockerkillswitch.service", UNIT)?;
    host.succeed(["mkdir", "-p", WANTS])?;
    host.succeed(["ln", "-s", "/etc/systemd/system/dockerkillswitch.service", WANTS])?;
    host.succeed(["iptables", "-N", "DOCKER-USER"])?;
    for script in ["vpnkillswitch_granular.sh", "dockerkillswitch.sh"] {
        // The first script flushes, as in the article.
        if script.starts_with('d') {
            host.run(["iptables", "-N", "DOCKER-USER"])?;
        }
        host.succeed([format!("/usr/local/bin/{script}")])?;
    }
    Ok(())
}

/// Every rule, every user-defined chain and every policy that drops, in both families.
fn held(lab: &Lab) -> Result<Vec<String>> {
    let mut held = Vec::new();
    for tool in ["iptables-save", "ip6tables-save"] {
        let text = lab.host().succeed([tool])?;
        let counted = text
            .lines()
            .filter(|line| line.starts_with("-A") || line.contains(" - ") || line.contains(" DROP "));
        held.extend(counted.map(|line| line.split(" [").next().unwrap_or(line).to_owned()));
    }
    Ok(held)
}

/// A command that runs `init` on its own terminal and types the output of the command `keys` there. The end
/// of the terminal ends `init`, also where `nohup` runs the tests.
fn typed(keys: &str) -> [String; 3] {
    [
        "sh".to_owned(),
        "-c".to_owned(),
        format!("{keys} | env --default-signal=HUP script -qec '{TUNWARDEN} init' /dev/null"),
    ]
}

fn is_ours(lab: &Lab) -> bool {
    chain(lab, "iptables", "VPN_BOOTSTRAP").is_ok()
}

#[test]
fn an_unattended_first_run_carries_the_articles_ports_over_and_disables_its_unit() -> Result<()> {
    with_lab(|lab| {
        with_the_article(lab)?;
        let refused = tunwarden(lab, ["init"])?;
        ensure!(!refused.status.success() && refused.stderr.contains("init --yes"), "{refused:?}");
        ensure!(!is_ours(lab), "nothing was changed");

        let output = tunwarden(lab, ["init", "--yes"])?;
        ensure!(output.status.success(), "{} {}", output.stdout, output.stderr);
        ensure!(
            output.stdout.contains("vpnkillswitch_granular.sh: rules carried over: 9, left out: 0"),
            "{}",
            output.stdout
        );
        let care = output.stdout.find("Warnings:\n  ! Names cannot be looked up through the tunnel");
        ensure!(care < output.stdout.find("This will change") && care.is_some(), "{}", output.stdout);
        ensure!(output.stdout.contains("eth0 on 10.0.0.0/24"), "{}", output.stdout);
        let config = lab.host().read(CONFIG)?;
        ensure!(config.contains("ports = [443, 80, 22, 53, 993]"), "{config}");
        ensure!(config.contains("networks = [\"10.0.0.0/8\"]"), "{config}");
        ensure!(tunwarden(lab, ["check"])?.status.success());
        let verified = tunwarden(lab, ["verify"])?;
        ensure!(verified.status.success(), "{}", verified.stdout);
        assert_eq!(chain(lab, "iptables", "DOCKER-USER")?, ["-A DOCKER-USER -j DOCKER_VPN_KILL_SWITCH"]);
        let there = |path: &str| lab.host().outside(path).symlink_metadata().is_ok();
        ensure!(
            !there(&format!("{WANTS}/dockerkillswitch.service")),
            "the next boot starts it: {}",
            output.stderr
        );
        ensure!(there("/etc/systemd/system/dockerkillswitch.service"), "the file stays");

        let capture = lab.capture()?;
        for target in ["203.0.113.9:4000", "[2001:db8:9::9]:4000"] {
            lab.host().udp(target)?.from_user("nobody").tag("clear").count(20).send()?;
        }
        let seen = capture.stop()?.iter().filter(|frame| frame.is_tagged("clear")).count();
        assert_eq!(seen, 0, "nothing leaves in clear");
        Ok(())
    })
}

/// A user's own script in the place of the article's.
fn with_script(lab: &Lab, text: &str) -> Result<()> {
    let path = "/usr/local/bin/vpnkillswitch_granular.sh";
    lab.host().command(["sh", "-c", &format!("cat > {path}; chmod 755 {path}")]).stdin(text).succeed()?;
    Ok(())
}

#[test]
fn a_first_run_over_a_users_own_script_opens_no_more_than_the_script_does() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        host.succeed(["mount", "-t", "tmpfs", "tmpfs", "/usr/local/bin"])?;
        with_script(
            lab,
            "while read p; do iptables -A OUTPUT -o tun+ -p tcp --dport $p -j ACCEPT; done < /etc/p\n",
        )?;
        let output = tunwarden(lab, ["init", "--yes"])?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        ensure!(output.stderr.contains("none of the earlier rules could be carried over"), "{output:?}");
        ensure!(
            output.stdout.contains("not carried over: $p is known only when the script runs"),
            "{output:?}"
        );
        ensure!(!is_ours(lab) && host.read(CONFIG).is_err(), "something was changed");

        // A person may agree to wider rules when `init` asks.
        let output = host.run(typed("printf 'n\\nn\\n'"))?;
        ensure!(output.stdout.contains("Allow all traffic through it"), "{output:?}");
        ensure!(output.stdout.contains("nothing was changed") && !is_ours(lab), "{output:?}");

        host.succeed(["ip", "tuntap", "add", "corp0", "mode", "tun"])?;
        with_script(
            lab,
            "#!/bin/sh\nIPT=/sbin/iptables\n\
             $IPT -A OUTPUT -o usb0 -p udp --dport 1194 -j ACCEPT\n$IPT -A OUTPUT -o usb0 -j ACCEPT\n\
             $IPT -A OUTPUT -d 192.168.1.1 -p udp --dport 53 -j ACCEPT\n\
             $IPT -A OUTPUT -d 192.168.1.20 -p tcp --dport 9100 -j ACCEPT\n\
             for p in https 80; do $IPT -A OUTPUT -o corp0 -p tcp --dport $p -m state --state NEW -j ACCEPT; done\n",
        )?;
        let output = tunwarden(lab, ["init", "--yes"])?;
        ensure!(output.status.success(), "{output:?}");
        let config = host.read(CONFIG)?;
        for line in [
            "interfaces = [\"corp0\"]",
            "allow = [{ protocol = \"tcp\", ports = [443, 80] }]",
            "ports = [{ protocol = \"udp\", port = 1194 }]",
            "servers = []",
            "networks = \"connected\"",
        ] {
            ensure!(config.contains(line), "{line}: {config}");
        }
        ensure!(output.stdout.contains("DNS never leaves outside the tunnel"), "{}", output.stdout);
        Ok(())
    })
}

#[test]
fn a_confirmed_first_run_stays_and_an_unconfirmed_one_is_undone() -> Result<()> {
    with_lab(|lab| {
        with_the_article(lab)?;
        lab.host().file(CONFIG, "# mine\n")?;
        let before = held(lab)?;
        let as_before = || {
            ensure!(held(lab)? == before, "{:#?}", held(lab)?);
            ensure!(lab.host().read(CONFIG)? == "# mine\n");
            anyhow::Ok(())
        };
        let output = lab.host().run(typed("echo n"))?;
        ensure!(output.stdout.contains("nothing was changed"), "{output:?}");
        as_before()?;
        let output = lab.host().run(typed("printf 'y\\nno\\n'"))?;
        ensure!(output.stdout.contains("not confirmed: the earlier state is restored"), "{output:?}");
        as_before().context("a person said no")?;

        // The terminal ends, as when its user is locked out.
        let mut torn = lab.host().spawn(typed("(echo y; sleep 300)"))?;
        wait_for("the rules are in force", SOON, || Ok(is_ours(lab).then_some(())))?;
        torn.wait_for_line("Type yes within", SOON)?;
        lab.host().signal_all("script", Signal::SIGKILL)?;
        wait_for("the terminal is gone", SOON, || Ok((!running(lab, "tunwarden init$")?).then_some(())))?;
        ensure!(is_ours(lab), "the undo waits for a minute");
        wait_for("the earlier state is restored", SOON * 12, || Ok((!is_ours(lab)).then_some(())))?;
        wait_for("the guard has ended", SOON, || Ok((!running(lab, "init --undo")?).then_some(())))?;
        as_before().context("nobody answered")?;

        let output = lab.host().run(typed("printf 'y\\nyes\\n'"))?;
        ensure!(output.status.success(), "{output:?}");
        ensure!(is_ours(lab) && lab.host().read(CONFIG)?.contains("993"), "kept");
        ensure!(lab.host().read("/etc/tunwarden/config.toml.before-init")? == "# mine\n");
        ensure!(!running(lab, "init --undo")?, "the guard has gone");
        Ok(())
    })
}

#[test]
fn a_first_run_that_is_refused_opens_nothing_that_was_closed_before() -> Result<()> {
    with_lab(|lab| {
        let capture = lab.capture()?;
        let flood = |to: &str| lab.host().udp(to)?.from_user("nobody").on("eth0").tag("clear").flood(1_000);
        let (ipv4, ipv6) = (flood("203.0.113.9:4000")?, flood("[2001:db8:9::9]:4000")?);
        let seen = |destination: &str| -> Result<usize> {
            let to = destination.parse().ok();
            let frames = capture.so_far()?;
            Ok(frames.iter().filter(|frame| frame.is_tagged("clear") && frame.destination() == to).count())
        };
        for to in ["203.0.113.9", "2001:db8:9::9"] {
            wait_for("the control: with no rules they leave", SOON, || Ok((seen(to)? > 20).then_some(())))?;
        }
        let refuse = || {
            let output = lab.host().run(typed("printf 'y\nno\n'"))?;
            ensure!(output.stdout.contains("not confirmed: the earlier state is restored"), "{output:?}");
            anyhow::Ok(())
        };

        // Closed by the article's scripts, which use only IPv4 and fewer tables than tunwarden.
        with_the_article(lab)?;
        ipv4.await_more(20)?;
        let before = (seen("203.0.113.9")?, held(lab)?);
        refuse()?;
        ipv4.await_more(20)?;
        assert_eq!((seen("203.0.113.9")?, held(lab)?), before, "closed by the article");

        // Closed by `lock`, without an agent.
        ensure!(tunwarden(lab, ["lock"])?.status.success());
        ipv6.await_more(20)?;
        let before = (seen("203.0.113.9")?, seen("2001:db8:9::9")?, held(lab)?);
        refuse()?;
        ipv4.await_more(20)?;
        ipv6.await_more(20)?;
        let after = (seen("203.0.113.9")?, seen("2001:db8:9::9")?, held(lab)?);
        assert_eq!(after, before, "closed by a lock");
        let verified = tunwarden(lab, ["verify"])?;
        ensure!(verified.status.success(), "a layer is gone: {}", verified.stdout);
        Ok(())
    })
}

#[test]
fn a_first_run_that_is_refused_leaves_no_table_behind_and_removes_no_foreign_table() -> Result<()> {
    with_lab(|lab| {
        let tables = || lab.host().succeed(["nft", "list", "tables"]);
        let refuse = || {
            let output = lab.host().run(typed("printf 'y\nno\n'"))?;
            ensure!(output.stdout.contains("not confirmed: the earlier state is restored"), "{output:?}");
            Ok(())
        };
        assert_eq!(tables()?, "", "a new machine");
        refuse()?;
        assert_eq!(tables()?, "", "after the first run: {}", lab.host().succeed(["nft", "list", "ruleset"])?);

        lab.host().succeed(["iptables", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE"])?;
        let mut asked = lab.host().spawn(typed("(echo y; sleep 2; echo no)"))?;
        asked.wait_for_line("Type yes within", SOON)?;
        // Rules that another program adds before the answer stay: in a new table, and in an existing one.
        for table in ["mangle", "nat"] {
            let rule = ["-A", "PREROUTING", "-s", "192.0.2.1", "-j", "ACCEPT"];
            lab.host().succeed(["iptables", "-w", "-t", table].into_iter().chain(rule))?;
        }
        asked.wait_for_line("not confirmed: the earlier state is restored", SOON)?;
        assert_eq!(tables()?, "table ip nat\ntable ip mangle\n");
        assert_eq!(chain_of(lab, "mangle", "PREROUTING")?, ["-A PREROUTING -s 192.0.2.1/32 -j ACCEPT"]);
        assert_eq!(chain_of(lab, "nat", "PREROUTING")?, ["-A PREROUTING -s 192.0.2.1/32 -j ACCEPT"]);
        assert_eq!(chain_of(lab, "nat", "POSTROUTING")?, ["-A POSTROUTING -j MASQUERADE"]);
        Ok(())
    })
}

fn chain_of(lab: &Lab, table: &str, chain: &str) -> Result<Vec<String>> {
    let listing = lab.host().succeed(["iptables", "-t", table, "-S", chain])?;
    Ok(listing.lines().filter(|line| line.starts_with("-A")).map(ToOwned::to_owned).collect())
}

#[test]
fn a_table_is_taken_away_only_while_it_is_empty() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        let remove = |chains: &[&str]| host.enter(|| Ok(remove_empty(Family::V4, "mangle", chains)?));
        let there = || Ok::<_, anyhow::Error>(host.succeed(["nft", "list", "tables"])?.contains("mangle"));
        host.succeed(["iptables", "-t", "mangle", "-A", "FORWARD", "-s", "192.0.2.1", "-j", "DROP"])?;
        ensure!(remove(&["FORWARD"]).is_err() && there()?, "somebody's rule was taken away");
        host.succeed(["iptables", "-t", "mangle", "-F"])?;
        host.succeed(["iptables", "-t", "mangle", "-N", "SOMEBODYS"])?;
        ensure!(remove(&["FORWARD"]).is_err() && there()?, "somebody's chain was taken away");
        let chains = host.succeed(["iptables", "-t", "mangle", "-S"])?;
        ensure!(chains.contains("-P FORWARD") && chains.contains("-N SOMEBODYS"), "half was taken: {chains}");
        host.succeed(["iptables", "-t", "mangle", "-X", "SOMEBODYS"])?;
        remove(&["FORWARD", "OUTPUT"])?;
        ensure!(!there()?, "it is still there");
        Ok(())
    })
}

/// Whether a process of the laboratory's host has a command line that matches.
fn running(lab: &Lab, pattern: &str) -> Result<bool> {
    Ok(lab.host().run(["pgrep", "-f", pattern])?.status.success())
}

/// Each backend of iptables shows only its own rules, and neither shows a table of nf_tables.
#[test]
fn rules_in_the_other_backend_are_read_and_a_table_of_nf_tables_is_named() -> Result<()> {
    with_lab(|lab| {
        let host = lab.host();
        host.succeed(["mount", "-t", "tmpfs", "tmpfs", "/usr/local/bin"])?;
        let legacy = host.succeed(["iptables", "--version"])?.contains("legacy");
        let (other, name) = match legacy {
            true => (Backend::Nft, "iptables-nft"),
            false => (Backend::Legacy, "iptables-legacy"),
        };
        for rule in ["-P OUTPUT DROP", "-A OUTPUT -o tun0 -p tcp --dport 443 -j ACCEPT"] {
            other.change(lab, "iptables", rule)?;
        }
        host.succeed(["nft", "add", "table", "inet", "mine"])?;
        let output = tunwarden(lab, ["init", "--yes"])?;
        ensure!(output.status.success(), "{} {}", output.stdout, output.stderr);
        for text in [
            &format!("{name} holds rules too"),
            "the nf_tables table inet mine",
            "carried over as tunnel.allow",
        ] {
            ensure!(output.stdout.contains(text), "{text}: {}", output.stdout);
        }
        let config = host.read(CONFIG)?;
        ensure!(config.contains("{ protocol = \"tcp\", ports = [443] }"), "{config}");
        ensure!(
            config.contains("interfaces = [\"tun0\"]") && config.contains("scope = \"known\""),
            "{config}"
        );
        Ok(())
    })
}

/// `ufw default deny outgoing` and one rule.
const UFW: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n:ufw-before-output - [0:0]\n\
    :ufw-user-output - [0:0]\n:ufw-skip-to-policy-output - [0:0]\n-A OUTPUT -j ufw-before-output\n\
    -A ufw-before-output -o lo -j ACCEPT\n-A ufw-before-output -j ufw-user-output\n-A ufw-skip-to-policy-output -j DROP\n\
    -A ufw-user-output -o tun0 -p tcp -m tcp --dport 443 -j ACCEPT\nCOMMIT\n";

#[test]
fn what_ufw_lets_out_is_carried_over_where_it_refuses_the_rest() -> Result<()> {
    with_lab(|lab| {
        lab.host().command(["iptables-restore"]).stdin(UFW).succeed()?;
        let output = tunwarden(lab, ["init", "--yes"])?;
        ensure!(output.status.success() && output.stdout.contains("ufw refuses what leaves"), "{output:?}");
        let config = lab.host().read(CONFIG)?;
        let allow = "allow = [{ protocol = \"tcp\", ports = [443] }]";
        ensure!(config.contains("interfaces = [\"tun0\"]") && config.contains(allow), "{config}");
        let tunnel = chain(lab, "iptables", "VPN_TUNNEL")?;
        ensure!(tunnel.iter().any(|rule| rule.contains("--dport 443")), "{tunnel:?}");
        ensure!(!tunnel.iter().any(|rule| rule.ends_with("-o tun0 -j ACCEPT")), "{tunnel:?}");
        Ok(())
    })
}
