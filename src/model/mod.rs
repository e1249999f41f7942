//! Computes for all packets which of them the kernel's own rules let out. Pure: it reads nothing.
//!
//! `listing` is what the edge reads. `iptables`, `sets` and `nft` translate it into rules of one form (`rule`):
//! conditions on bits of a packet (`layout`), and an action. `evaluate` computes which packets pass a chain, as sets in
//! a `diagram`. `contract` says which packets may leave, and does not use `policy`. `proof` compares the two, and
//! `walk` follows one packet to name the rule that lets it out.
//!
//! A part that the model does not understand never counts as a refusal. Such a part may match or may not match, and the
//! proof must hold in both cases.

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
