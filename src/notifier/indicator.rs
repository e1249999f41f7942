//! What the indicator in the panel shows. Pure.

use super::event::{Button, OfferedVpn};
use super::keys::Key;
use super::machine::Notifier;
use super::notice::{StateIcon, Text};
use super::uncounted;
use crate::status::{Enforcement, Status, VpnStatus};
use crate::vpn::State;

/// The lengths of the pauses in the menu, in minutes.
const PAUSES: [u64; 3] = [5, 30, 60];
/// Maximum number of VPNs in the menu.
const MAX_CONNECT: usize = 5;
/// Maximum number of tunnels that do not count in the menu.
const MAX_UNCOUNTED: usize = 2;

/// The indicator and its menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indicator {
    /// The icon.
    pub state_icon: StateIcon,
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
        let state_icon = self.state_icon();
        let enforcement = self.status().map(|status| status.enforcement);
        let title = Text::new(match state_icon {
            StateIcon::Locked if enforcement == Some(Enforcement::Closed) => Key::StateClosed,
            StateIcon::Unknown if enforcement.is_some() => Key::StateUnread,
            StateIcon::Protected => Key::StateProtected,
            StateIcon::Connecting => Key::StateConnecting,
            StateIcon::Locked => Key::StateLocked,
            StateIcon::Lost => Key::StateLost,
            StateIcon::Failed => Key::StateFailed,
            StateIcon::Paused => Key::StatePaused,
            StateIcon::Unknown => Key::StateUnknown,
        });
        let Some(status) = self.status() else {
            let lines = vec![Text::new(Key::GoneHint)];
            return Indicator { state_icon, title, lines, buttons: vec![Button::Journal] };
        };
        let mut lines = Vec::new();
        match status.tunnels.first() {
            Some(tunnel) => lines
                .push(Text::new(Key::Tunnel).word("name", &tunnel.name).word("interface", &tunnel.interface)),
            // The title already says that there is no VPN.
            None if state_icon == StateIcon::Locked => {}
            None => lines.push(Text::new(Key::NoTunnel)),
        }
        lines.extend(uncounted::lines(status).take(MAX_UNCOUNTED));
        lines.push(Text::new(Key::Since).moment("at", status.since));
        lines.extend(status.paused_until.map(|until| Text::new(Key::Until).moment("until", until)));
        lines.extend(self.minutes_left.map(|left| Text::new(Key::Left).count("minutes", left)));
        if status.repairs > 0 {
            lines.push(Text::new(Key::DetailRepairs).count("count", status.repairs.into()));
        }
        Indicator { state_icon, title, lines, buttons: self.menu(status.state) }
    }

    /// The buttons of the menu.
    fn menu(&self, state: State) -> Vec<Button> {
        let mut buttons = Vec::new();
        if matches!(state, State::Locked | State::Lost) && self.offers_reconnect() && !self.names_every_vpn()
        {
            buttons.push(Button::Reconnect);
        }
        buttons.extend(self.connectable().into_iter().map(Button::Connect));
        match state {
            State::Paused => buttons.push(Button::Resume),
            State::Locked | State::Lost | State::Connecting | State::Protected => {
                buttons.extend(PAUSES.map(Button::Pause));
            }
        }
        // At a captive portal the VPN cannot be connected yet.
        if matches!(state, State::Locked | State::Lost | State::Connecting) {
            buttons.push(Button::PausePortal);
        }
        buttons.extend([Button::Check, Button::Blocked, Button::Details, Button::Journal]);
        buttons
    }

    /// The VPNs of NetworkManager that count and that the user can connect now.
    pub(super) fn connectable(&self) -> Vec<OfferedVpn> {
        let status = self.status().filter(|status| {
            self.offers_reconnect() && matches!(status.state, State::Locked | State::Lost | State::Paused)
        });
        let Some(status) = status else { return Vec::new() };
        let lost = self.loss.as_ref().and_then(|loss| loss.what.as_ref());
        let is_lost = |vpn: &VpnStatus| {
            lost.is_some_and(|lost| match &lost.uuid {
                Some(_) => lost.uuid == vpn.uuid,
                None => lost.name == vpn.name,
            })
        };
        let mut found: Vec<OfferedVpn> = Vec::new();
        for vpn in status.vpns.iter().filter(|vpn| vpn.counts && vpn.fault.is_none()) {
            let is_up = status.tunnels.iter().any(|tunnel| tunnel.name == vpn.name);
            // The button `Reconnect` connects the lost VPN.
            if let Some(uuid) = vpn.uuid.clone().filter(|_| !is_up && !is_lost(vpn)) {
                let same = status.vpns.iter().take_while(|one| one.uuid.as_ref() != Some(&uuid));
                let name = match same.filter(|one| one.uuid.is_some() && one.name == vpn.name).count() {
                    0 => vpn.name.clone(),
                    before => format!("{} ({})", vpn.name, before + 1),
                };
                found.push(OfferedVpn { name, uuid });
            }
        }
        found.truncate(MAX_CONNECT);
        found
    }

    /// Whether the menu has an entry for every VPN. Then `Reconnect` would only repeat one of them.
    fn names_every_vpn(&self) -> bool {
        let offered = self.connectable().len();
        let has_all = |status: &Status| {
            status.vpns_left_out == 0 && status.vpns.iter().filter(|vpn| vpn.counts).count() == offered
        };
        self.loss.is_none() && offered > 0 && self.status().is_some_and(has_all)
    }

    /// The icon for the state. It never shows more protection than the kernel holds.
    pub(super) fn state_icon(&self) -> StateIcon {
        match self.status() {
            None => StateIcon::Unknown,
            Some(status) => match (status.enforcement, status.state) {
                (Enforcement::NotEnforced, _) => StateIcon::Failed,
                (Enforcement::Unknown(_), _) => StateIcon::Unknown,
                (Enforcement::Closed, State::Lost) => StateIcon::Lost,
                (Enforcement::Closed, _) => StateIcon::Locked,
                (Enforcement::Enforced, State::Protected) => StateIcon::Protected,
                (Enforcement::Enforced, State::Connecting) => StateIcon::Connecting,
                (Enforcement::Enforced, State::Locked) => StateIcon::Locked,
                (Enforcement::Enforced, State::Lost) => StateIcon::Lost,
                (Enforcement::Enforced, State::Paused) => StateIcon::Paused,
            },
        }
    }
}
