//! What the tables hold.

use super::*;
use crate::config::Config;
use crate::policy::{Owners, last_resort, ruleset};
use crate::vpn::{Situation, Wire};

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

#[test]
fn a_link_of_ppp_opens_pppoe_by_its_kind_and_packets_only_where_it_leads_out() {
    let session = |situation: &Situation| {
        let rules = chains(&ruleset(&Config::default(), &Owners::from([0]), situation));
        let pppoe = rules.into_iter().filter(|chain| chain.name == "VPN_PPPOE");
        pppoe.flat_map(|chain| chain.rules).filter(|rule| rule.to_string().contains("0x1100")).count()
    };
    let mut situation = Situation::default();
    situation.wires.push(Wire { interface: "ppp0".parse().unwrap(), index: 2 });
    assert_eq!(session(&situation), 0, "by its name");
    situation.ppp_links.push("dsl".parse().unwrap());
    assert_eq!(session(&situation), 1, "what sets up the link, and no packet");
    situation.wires.push(Wire { interface: "dsl".parse().unwrap(), index: 3 });
    assert_eq!(session(&situation), 3);
}
