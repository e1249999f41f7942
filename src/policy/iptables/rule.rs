//! A rule in the words of iptables, as `iptables-save` prints it. So what was committed can be compared with
//! what the kernel holds.

use std::fmt;

use crate::net::Family;
use crate::policy::rule::IfMatch;
use crate::policy::well_known::ANSWER_SECONDS;
use crate::policy::{
    Answer, Asked, Direction, HopLimit, LOG_GROUP, LOG_LIMIT, LOG_PREFIX, Ported, Protocol, Rule, Tracked,
    Verdict,
};

impl Rule {
    fn protocol_name(&self) -> Option<&'static str> {
        Some(match (self.protocol?, self.family) {
            (Protocol::Transport(transport), _) => transport.as_str(),
            (Protocol::Icmp, Family::V4) => "icmp",
            (Protocol::Icmp, Family::V6) => "ipv6-icmp",
            (Protocol::Igmp, _) => "igmp",
            // iptables has no name for DCCP, and not every system has a file with the names.
            (Protocol::Ported(Ported::Dccp), _) => "33",
            (Protocol::Ported(ported), _) => ported.as_str(),
        })
    }

    fn hop_limit_words(&self, limit: HopLimit) -> String {
        let name = if self.family == Family::V4 { "ttl" } else { "hl" };
        match limit {
            HopLimit::Exactly(limit) => format!("-m {name} --{name}-eq {limit}"),
            HopLimit::Below(limit) => format!("-m {name} --{name}-lt {limit}"),
        }
    }

    /// Each family has its own list, because a list has one mask.
    fn asked_words(&self, asked: Asked) -> String {
        let mask = match self.family {
            Family::V4 => "255.255.255.255",
            Family::V6 => "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        };
        let list = Asked::list(self.family);
        match asked {
            Asked::Question => format!("-m recent --set --name {list} --mask {mask} --rsource"),
            Asked::Answer => {
                format!("-m recent --rcheck --seconds {ANSWER_SECONDS} --name {list} --mask {mask} --rdest")
            }
        }
    }

    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut push = |word: Option<String>| words.extend(word);
        // A network of every address is no match, and iptables-save prints none.
        let some = |net: &ipnet::IpNet| net.prefix_len() > 0;
        push(self.source.filter(some).map(|net| format!("-s {net}")));
        push(self.destination.filter(some).map(|net| format!("-d {net}")));
        push(self.input.as_ref().map(|input| format!("{}-i {}", input.not(), input.pattern)));
        push(self.output.as_ref().map(|output| format!("{}-o {}", output.not(), output.pattern)));
        push(self.protocol_name().map(|name| format!("-p {name}")));
        if let Some(Protocol::Transport(transport)) = self.protocol
            && (self.sport.is_some() || self.dport.is_some() || self.opens)
        {
            push(Some(format!("-m {transport}")));
            push(self.sport.map(|ports| format!("--sport {ports}")));
            push(self.dport.map(|ports| format!("--dport {ports}")));
            push(self.opens.then(|| "--tcp-flags FIN,SYN,RST,ACK SYN".to_owned()));
        }
        push(self.from_here.then(|| "-m addrtype --src-type LOCAL".to_owned()));
        push(self.either_dport.map(|[one, other]| format!("-m multiport --dports {one},{other}")));
        push(self.set.map(|set| format!("-m set --match-set {set} dst,dst")));
        push(self.icmp_type.map(|number| match self.family {
            Family::V4 => format!("-m icmp --icmp-type {number}"),
            Family::V6 => format!("-m icmp6 --icmpv6-type {number}"),
        }));
        push(self.hop_limit.map(|limit| self.hop_limit_words(limit)));
        push(self.asked.map(|asked| self.asked_words(asked)));
        push(self.mark.map(|mark| format!("-m mark --mark {mark:#x}")));
        push(self.owner.map(|uid| format!("-m owner --uid-owner {uid}")));
        push(self.tracked.map(|tracked| format!("-m conntrack {}", tracked_options(tracked))));
        // xt_time takes dates as UTC (iptables-extensions(8)).
        push((self.since.is_some() || self.until.is_some()).then(|| "-m time".to_owned()));
        push(self.since.map(|moment| format!("--datestart {}", date(moment))));
        push(self.until.map(|moment| format!("--datestop {}", date(moment))));
        words
    }
}

impl fmt::Display for Rule {
    /// The rule as `iptables-save` prints it, without the leading `-A CHAIN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for word in self.words() {
            write!(f, "{word} ")?;
        }
        match &self.verdict {
            Verdict::Accept => f.write_str("-j ACCEPT"),
            Verdict::Drop => f.write_str("-j DROP"),
            Verdict::Reject(answer) => {
                write!(f, "-j REJECT --reject-with {}", answer_word(*answer, self.family))
            }
            Verdict::Log(reason) => {
                let (rate, burst) = LOG_LIMIT;
                write!(f, "-m limit --limit {rate}/sec --limit-burst {burst} -j NFLOG ")?;
                write!(f, "--nflog-prefix {}{reason} --nflog-group {LOG_GROUP}", LOG_PREFIX)
            }
            Verdict::Return => f.write_str("-j RETURN"),
            Verdict::Jump(chain) => write!(f, "-j {chain}"),
            Verdict::Goto(chain) => write!(f, "-g {chain}"),
        }
    }
}

/// The value of `--reject-with`.
fn answer_word(answer: Answer, family: Family) -> &'static str {
    match (answer, family) {
        (Answer::Reset, _) => "tcp-reset",
        (Answer::Prohibited, Family::V4) => "icmp-admin-prohibited",
        (Answer::Prohibited, Family::V6) => "icmp6-adm-prohibited",
    }
}

fn date(moment: jiff::Timestamp) -> impl fmt::Display {
    moment.strftime("%Y-%m-%dT%H:%M:%S")
}

impl IfMatch {
    fn not(&self) -> &'static str {
        if self.negated { "! " } else { "" }
    }
}

/// The options of `-m conntrack`.
fn tracked_options(tracked: Tracked) -> String {
    match tracked {
        Tracked::Reply => "--ctstate RELATED,ESTABLISHED".to_owned(),
        Tracked::Known(direction) => format!("--ctstate RELATED,ESTABLISHED --ctdir {}", capitals(direction)),
        Tracked::Rewritten(direction, address, port) => {
            let port = port.map(|port| format!(" --ctorigdstport {port}")).unwrap_or_default();
            format!("--ctstate DNAT --ctorigdst {address}{port} --ctdir {}", capitals(direction))
        }
        Tracked::EstablishedReply => "--ctstate ESTABLISHED --ctdir REPLY".to_owned(),
        Tracked::New => "--ctstate NEW".to_owned(),
    }
}

fn capitals(direction: Direction) -> String {
    direction.as_str().to_uppercase()
}
