//! What the indicator in the panel shows. Pure.

use super::event::Button;
use super::keys::Key;
use super::machine::Notifier;
use super::notice::{Face, Text};
use crate::status::Enforcement;
use crate::vpn::State;

/// The indicator and its menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indicator {
    /// The icon.
    pub face: Face,
    /// The state, in a few words.
    pub title: Text,
    /// Further facts, one per line.
    pub lines: Vec<Text>,
    /// The buttons that are useful in this state.
    pub buttons: Vec<Button>,
}

impl Notifier {
    /// What the indicator shows now.
    pub fn indicator(&self) -> Indicator {
        let face = self.face();
        let enforcement = self.status().map(|status| status.enforcement);
        let title = Text::new(match face {
            Face::Locked if enforcement == Some(Enforcement::Closed) => Key::StateClosed,
            Face::Unknown if enforcement.is_some() => Key::StateUnread,
            Face::Protected => Key::StateProtected,
            Face::Connecting => Key::StateConnecting,
            Face::Locked => Key::StateLocked,
            Face::Lost => Key::StateLost,
            Face::Failed => Key::StateFailed,
            Face::Paused => Key::StatePaused,
            Face::Unknown => Key::StateUnknown,
        });
        let Some(status) = self.status() else {
            return Indicator { face, title, lines: vec![Text::new(Key::GoneHint)], buttons: Vec::new() };
        };
        let mut lines = Vec::new();
        match status.tunnels.first() {
            Some(tunnel) => lines
                .push(Text::new(Key::Tunnel).word("name", &tunnel.name).word("interface", &tunnel.interface)),
            // The title already says that there is no VPN.
            None if face == Face::Locked => {}
            None => lines.push(Text::new(Key::NoTunnel)),
        }
        lines.push(Text::new(Key::Since).moment("at", status.since));
        lines.extend(status.paused_until.map(|until| Text::new(Key::Until).moment("until", until)));
        if status.repairs > 0 {
            lines.push(Text::new(Key::DetailRepairs).count("count", status.repairs.into()));
        }
        let buttons = match status.state {
            State::Locked | State::Lost if !self.offers_reconnect() => {
                vec![Button::Pause, Button::Blocked, Button::Details]
            }
            State::Locked | State::Lost => {
                vec![Button::Reconnect, Button::Pause, Button::Blocked, Button::Details]
            }
            State::Connecting | State::Protected => vec![Button::Pause, Button::Blocked, Button::Details],
            State::Paused => vec![Button::Resume, Button::Blocked, Button::Details],
        };
        Indicator { face, title, lines, buttons }
    }

    /// The icon for the state. It never shows more protection than the kernel holds.
    pub(super) fn face(&self) -> Face {
        match self.status() {
            None => Face::Unknown,
            Some(status) => match (status.enforcement, status.state) {
                (Enforcement::NotEnforced, _) => Face::Failed,
                (Enforcement::Unknown(_), _) => Face::Unknown,
                (Enforcement::Closed, State::Lost) => Face::Lost,
                (Enforcement::Closed, _) => Face::Locked,
                (Enforcement::Enforced, State::Protected) => Face::Protected,
                (Enforcement::Enforced, State::Connecting) => Face::Connecting,
                (Enforcement::Enforced, State::Locked) => Face::Locked,
                (Enforcement::Enforced, State::Lost) => Face::Lost,
                (Enforcement::Enforced, State::Paused) => Face::Paused,
            },
        }
    }
}
