//! Other programs change the rules while an agent runs. The agent sees this at once, repairs the rules, and
//! reports the program's name.
//!
//! The tests print how many packets leave before the repair, and for how long. They check that no packet
//! leaves after it.

mod copies;
mod dormant;
mod fights;
mod flood;
mod flushes;
mod hanging;
mod owned;
mod quiet;
mod tools;
mod unprintable;

/// One layer, so that a test can see its repair.
const ONE: &str = "[firewall]\nlayers = [\"iptables\"]\nbackend = \"nft\"\n";
/// Both layers.
const BOTH: &str = "[firewall]\nlayers = [\"iptables\", \"nftables\"]\nbackend = \"nft\"\n";
