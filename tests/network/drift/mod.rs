//! What others do to the rules while an agent runs: seen at once, put right, and told with their name.
//!
//! How many packets leave meanwhile, and for how long, is printed; that none does afterwards is checked.

mod dormant;
mod fights;
mod flood;
mod flushes;
mod hanging;
mod owned;
mod quiet;
mod tools;
mod unprintable;

/// One layer, whose repair is to be seen.
const ONE: &str = "[firewall]\nlayers = [\"iptables\"]\nbackend = \"nft\"\n";
/// Both.
const BOTH: &str = "[firewall]\nlayers = [\"iptables\", \"nftables\"]\nbackend = \"nft\"\n";
