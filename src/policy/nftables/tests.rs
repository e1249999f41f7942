//! What the tables hold.

use super::*;
use crate::config::Config;
use crate::policy::{Owners, last_resort, ruleset};
use crate::vpn::{PppoeSession, Situation, Wire};

fn chains(ruleset: &Ruleset) -> Vec<NftChain> {
    tables(ruleset).into_iter().flat_map(|table| table.chains).collect()
}

#[test]
fn the_policy_of_every_chain_is_drop() {
    let mut situation = Situation::default();
    situation.wires.push(Wire { interface: "eth0".parse().unwrap(), index: 2 });
    for ruleset in [last_resort(), ruleset(&Config::default(), &Owners::from([0]), &situation)] {
        for chain in chains(&ruleset) {
            assert!(
                chain.base.is_none_or(|base| base.to_string().ends_with("policy drop;")),
                "{}",
                chain.name
            );
            let open = chain.rules.iter().filter(|rule| rule.to_string() == "accept").count();
            assert_eq!(open, usize::from(chain.name == "forward"), "{}", chain.name);
        }
    }
}

#[test]
fn every_jump_leads_to_a_chain_that_is_there() {
    let situation = Situation::default();
    for ruleset in [last_resort(), ruleset(&Config::default(), &Owners::from([0]), &situation)] {
        for table in tables(&ruleset) {
            for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
                let rule = rule.to_string();
                let mut words = rule.split(' ').rev();
                let (to, how) = (words.next(), words.next());
                if matches!(how, Some("jump" | "goto")) {
                    assert!(table.chains.iter().any(|chain| Some(chain.name.as_str()) == to), "{rule}");
                }
            }
        }
    }
}

/// The chains that packets reach from this hook.
fn reached(chains: &[NftChain], hook: Hook) -> Vec<String> {
    let at_hook = chains.iter().filter(|chain| chain.base.as_ref().is_some_and(|base| base.hook == hook));
    let mut names: Vec<String> = at_hook.map(|chain| chain.name.clone()).collect();
    let mut next = 0;
    while let Some(name) = names.get(next).cloned() {
        for rule in chains.iter().filter(|chain| chain.name == name).flat_map(|chain| &chain.rules) {
            if let NftVerdict::Jump(to) | NftVerdict::Goto(to) = &rule.verdict
                && !names.contains(to)
            {
                names.push(to.clone());
            }
        }
        next += 1;
    }
    names
}

#[test]
fn only_what_this_machine_itself_sends_makes_answers_come_in() {
    let config = "[lan]\nservices = [\"ws-discovery\", \"localsend\", \"kde-connect\"]\n";
    let config = Config::parse(config, "test.toml").unwrap();
    let uplink = crate::vpn::Uplink {
        interface: "eth0".parse().unwrap(),
        addresses: vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
        prefixes: vec!["10.0.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()],
        on_link: Vec::new(),
    };
    let mut situation = Situation { uplinks: vec![uplink], ..Situation::default() };
    situation.wires.push(Wire { interface: "eth0".parse().unwrap(), index: 2 });
    let [inet, netdev] = tables(&ruleset(&config, &Owners::from([0]), &situation));
    let with = |hook: Hook, words: &str| {
        let chains = if hook == Hook::Egress { &netdev.chains } else { &inet.chains };
        let reached = reached(chains, hook);
        let rules =
            chains.iter().filter(|chain| reached.contains(&chain.name)).flat_map(|chain| &chain.rules);
        rules.map(ToString::to_string).filter(|rule| rule.contains(words)).collect::<Vec<_>>()
    };
    // IPv4 has mDNS with two hop limits, SSDP and the three services; IPv6 has mDNS twice, two groups of SSDP, WS-Discovery.
    assert_eq!(with(Hook::Output, "update @").len(), 6 + 5, "{:#?}", with(Hook::Output, "update @"));
    for hook in [Hook::Input, Hook::Forward, Hook::Egress] {
        assert_eq!(with(hook, "update @"), [""; 0], "{hook:?}");
    }
    let answers = with(Hook::Input, "@VPN_ASKED");
    assert_eq!(answers.len(), 5 + 5, "{answers:#?}");
    for answer in answers {
        let is_narrow = answer.starts_with("ip saddr 10.0.0.0/24 iifname \"eth0\" udp sport ")
            || answer.starts_with("ip6 saddr fd00::/64 iifname \"eth0\" udp sport ");
        assert!(is_narrow && answer.contains("udp dport 32768-60999"), "{answer}");
    }
}

#[test]
fn pppoe_opens_the_kernel_s_own_session_and_packets_only_where_its_link_leads_out() {
    let chain = |situation: &Situation, name: &str| {
        let rules = chains(&ruleset(&Config::default(), &Owners::from([0]), situation));
        let chain = rules.into_iter().filter(|chain| chain.name == name);
        chain.flat_map(|chain| chain.rules).map(|rule| rule.to_string()).collect::<Vec<_>>()
    };
    let mut situation = Situation::default();
    situation.wires.push(Wire { interface: "ppp0".parse().unwrap(), index: 2 });
    situation.ppp_links.push("dsl".parse().unwrap());
    assert_eq!(chain(&situation, "VPN_PPPOE_SESSIONS"), ["drop"], "a name, and a link without a session");
    situation.pppoe.push(PppoeSession {
        interface: "eth0".parse().unwrap(),
        id: 0x0102,
        peer: [2, 0, 0, 0, 0, 0x17],
    });
    let session = "oifname \"eth0\" @ll,0,48 0x020000000017 @ll,112,32 0x11000102 goto VPN_PPP";
    assert_eq!(chain(&situation, "VPN_PPPOE_SESSIONS"), [session, "drop"]);
    let behind_tag = session.replace("112", "144") + "_TAGGED";
    assert_eq!(chain(&situation, "VPN_PPPOE_SESSIONS_TAGGED"), [&behind_tag, "drop"]);
    assert_eq!(chain(&situation, "VPN_PPP").len(), 2, "what sets up the link, and no packet");
    situation.wires.push(Wire { interface: "dsl".parse().unwrap(), index: 3 });
    assert_eq!(chain(&situation, "VPN_PPP").len(), 4);
}
