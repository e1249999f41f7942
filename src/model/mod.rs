//! What the kernel's own listing lets out, computed for all packets. Pure: it reads nothing.
//!
//! `listing` is what the edge reads. `iptables`, `sets` and `nft` make rules of it, in the one form of `rule`:
//! conditions on bits of a packet (`layout`), and an action. `evaluate` computes which packets pass a chain, as sets in
//! a `diagram`. `contract` says which may leave, without a look at `policy`. `proof` compares the two, and `walk`
//! follows one packet to name the rule that lets it out.
//!
//! What is not understood is never taken for a refusal. It counts both ways: it may match and may not, and so it can
//! make no proof.

mod contract;
mod counterexample;
mod diagram;
mod evaluate;
mod frames;
mod iptables;
mod layout;
mod listing;
mod nft;
mod proof;
mod question;
mod rule;
mod sets;
mod walk;
mod whose;
mod writes;

pub use contract::{Contract, Part, Sender, Users};
pub use counterexample::Counterexample;
pub use evaluate::{ChainError, LinkFacts};
pub use iptables::ListingError;
pub use listing::{Listing, ReadError, Saved};
pub use nft::{Message, NftError};
pub use proof::{ASSUMPTIONS, Cell, Machine, Outcome, Proof, Prover, Row};
pub use question::{Answer, Question, SentBy, Verdict, Way};
pub use rule::{Rules, Tool};
pub use walk::Decision;

#[cfg(test)]
mod tests;
