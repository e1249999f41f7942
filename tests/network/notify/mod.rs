//! What a person sees and can do, with real parts: the agent on a private system bus, NetworkManager
//! and OpenVPN, and `tunwarden notify` in an ordinary user's session with a real notification daemon.

mod daemon;
mod forged;
mod indicator;
mod login;
mod loss;
