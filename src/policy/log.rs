//! The kernel's lines about refused packets, which tell the agent whose packets are refused, and why.

/// What every line begins with. After it comes the word of a refusal.
pub const LOG_PREFIX: &str = "tunwarden-";

/// The NFLOG group of the lines: `tw` in ASCII.
pub const LOG_GROUP: u16 = 0x7477;

/// Maximum number of lines of one rule in a second, and at once. The kernel leaves out the rest.
pub const LOG_LIMIT: (u32, u32) = (20, 100);
