//! What a user sees and can do, with real programs: the agent on a private system bus, NetworkManager,
//! OpenVPN, and `tunwarden notify` in an ordinary user's session with a real notification daemon.

mod daemon;
mod forged;
mod indicator;
mod login;
mod loss;
