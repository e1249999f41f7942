//! What a WireGuard device says of itself: the mark on its packets, where its peers are, and whether they answer.
//!
//! The kernel, or the program of a userspace device, changes a peer's endpoint when root sets it and when a packet that
//! the peer has authenticated comes from another address. Neither proves that the new address may be reached: see
//! `servers.rs`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::machine::{Absorbed, Servers};
use super::{Link, Machine};
use crate::net::{Endpoint, OwnKey, PeerKey};

/// A WireGuard device, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireGuardDevice {
    /// The index of its link.
    pub index: u32,
    /// The mark that it puts on its packets.
    pub mark: Option<NonZeroU32>,
    /// Its private key.
    pub own: Option<OwnKey>,
    /// Where each of its peers is; `None` where it does not know that.
    pub peers: BTreeMap<PeerKey, Option<Endpoint>>,
    /// What it sent and received.
    pub traffic: Traffic,
}

/// What a device exchanges with the peers that have its default route; with all of them if none has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// The last handshake.
    pub handshake: Handshake,
    /// Number of bytes that were sent.
    pub sent: u64,
    /// Number of bytes that came and were authenticated.
    pub received: u64,
}

/// When the last handshake was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Handshake {
    /// There was none.
    #[default]
    Never,
    /// At this time, in nanoseconds since the epoch.
    At(u128),
    /// This many nanoseconds before the reading, as boringtun says it.
    Ago(u128),
}

/// A moment in 2001, in seconds since the epoch: no handshake was before it. A device that gives a smaller number is
/// boringtun's, and the number is the age of the handshake.
const FIRST_TIME: u64 = 1_000_000_000;

/// Two times that differ by less are of the same handshake, in nanoseconds: GotaTun computes the time again at each
/// reading.
const SAME_HANDSHAKE: u128 = 1_000_000_000;

impl Handshake {
    /// From the time that a device gives.
    pub fn given(seconds: u64, nanoseconds: u64) -> Self {
        let time = u128::from(seconds) * 1_000_000_000 + u128::from(nanoseconds);
        match time {
            0 => Self::Never,
            _ if seconds < FIRST_TIME => Self::Ago(time),
            _ => Self::At(time),
        }
    }

    /// The later one of two handshakes of one reading.
    pub(crate) fn latest(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, one) | (one, Self::Never) => one,
            (Self::At(one), Self::At(other)) => Self::At(one.max(other)),
            (Self::Ago(one), Self::Ago(other)) => Self::Ago(one.min(other)),
            (Self::At(_), Self::Ago(_)) | (Self::Ago(_), Self::At(_)) => self,
        }
    }

    /// Whether there was a handshake since an earlier reading.
    fn is_after(self, before: Self) -> bool {
        match (before, self) {
            (_, Self::Never) | (Self::At(_), Self::Ago(_)) | (Self::Ago(_), Self::At(_)) => false,
            (Self::Never, Self::At(_) | Self::Ago(_)) => true,
            (Self::At(before), Self::At(now)) => now.abs_diff(before) >= SAME_HANDSHAKE,
            (Self::Ago(before), Self::Ago(now)) => now < before,
        }
    }
}

/// How long a session without a handshake lasts, in seconds (`REJECT_AFTER_TIME` of WireGuard's protocol): packets
/// that were sent for longer without an answer are lost.
pub(super) const HANDSHAKE_TIMEOUT: u64 = 180;

/// Maximum time between two readings that counts as time in which packets were sent, in seconds. More proves nothing:
/// the device was idle, or the agent was stopped.
const MAX_INTERVAL: u64 = 10;

/// Every device that was read, by the index of its link.
#[derive(Debug, Clone, Default)]
pub(super) struct Devices(BTreeMap<u32, Watched>);

#[derive(Debug, Clone)]
struct Watched {
    device: WireGuardDevice,
    /// When it was read, in seconds for which the machine was awake.
    read: u64,
    /// For how many seconds packets were sent and none came.
    unanswered: u64,
}

/// What follows from the readings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Readings {
    /// Whether a mark or a peer is different.
    pub(super) has_moved: bool,
    /// Devices whose peers do not answer.
    pub(super) silent: Vec<u32>,
    /// Devices whose peers have answered since the reading before.
    pub(super) answered: Vec<u32>,
}

impl Machine {
    /// Takes in what devices do, as it was after the machine was awake for this number of seconds.
    pub(super) fn absorb_devices(&mut self, devices: Vec<WireGuardDevice>, awake: u64, now: u64) -> Absorbed {
        let readings = self.facts.devices.take(devices, awake);
        let endings = self.claims.take_readings(&readings, &self.facts, now);
        let servers = if readings.has_moved { Servers::Changed } else { Servers::AsBefore };
        if readings.has_moved {
            self.claims.find_servers(&self.facts);
        }
        Absorbed { endings, servers, ..Absorbed::default() }
    }
}

impl Devices {
    /// Takes in every device, as it is after the machine was awake for this number of seconds.
    pub(super) fn take(&mut self, devices: Vec<WireGuardDevice>, awake: u64) -> Readings {
        let mut before = std::mem::take(&mut self.0);
        let mut readings = Readings::default();
        for device in devices {
            let index = device.index;
            let old = before.remove(&index);
            readings.has_moved |= old.as_ref().is_none_or(|old| !old.device.is_placed_like(&device));
            let unanswered = old.map_or(0, |old| match old.device.traffic.until(&device.traffic) {
                Exchange::Answered => {
                    readings.answered.push(index);
                    0
                }
                Exchange::Idle => old.unanswered,
                Exchange::Unanswered => {
                    let interval = awake.saturating_sub(old.read).min(MAX_INTERVAL);
                    old.unanswered.saturating_add(interval)
                }
            });
            if unanswered >= HANDSHAKE_TIMEOUT {
                readings.silent.push(index);
            }
            self.0.insert(index, Watched { device, read: awake, unanswered });
        }
        readings.has_moved |= !before.is_empty();
        readings
    }

    /// The device of a link.
    pub(super) fn of(&self, link: &Link) -> Option<&WireGuardDevice> {
        self.0.get(&link.index).map(|watched| &watched.device)
    }
}

/// What happened between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exchange {
    Idle,
    Unanswered,
    Answered,
}

impl Traffic {
    fn until(&self, later: &Self) -> Exchange {
        if later.handshake.is_after(self.handshake) || self.received != later.received {
            Exchange::Answered
        } else if self.sent != later.sent {
            Exchange::Unanswered
        } else {
            Exchange::Idle
        }
    }
}

impl WireGuardDevice {
    fn is_placed_like(&self, other: &Self) -> bool {
        self.mark == other.mark && self.peers == other.peers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reading of a device whose last handshake was this many minutes after a certain time.
    fn reading(handshake: u64, sent: u64, received: u64) -> Vec<WireGuardDevice> {
        at(Handshake::given(FIRST_TIME + 60 * handshake, 0), sent, received)
    }

    fn at(handshake: Handshake, sent: u64, received: u64) -> Vec<WireGuardDevice> {
        let traffic = Traffic { handshake, sent, received };
        vec![WireGuardDevice { index: 3, mark: None, own: None, peers: BTreeMap::new(), traffic }]
    }

    /// Packets are sent and nothing comes, from one time to another, read every five seconds.
    fn send(devices: &mut Devices, from: u64, to: u64) -> Option<u64> {
        let mut times = (from..=to).step_by(5);
        times.find(|&awake| !devices.take(reading(1, awake, 7), awake).silent.is_empty())
    }

    #[test]
    fn a_peer_that_answers_nothing_for_three_minutes_is_silent() {
        let mut devices = Devices::default();
        assert_eq!(send(&mut devices, 1_000, 2_000), Some(1_180));
        // A handshake or data begins the time again.
        for (handshake, received) in [(2, 7), (1, 8)] {
            let mut devices = Devices::default();
            assert_eq!(send(&mut devices, 1_000, 1_175), None);
            let readings = devices.take(reading(handshake, 2_000, received), 1_176);
            assert_eq!((readings.answered, readings.silent), (vec![3], vec![]));
            devices.take(reading(1, 2_001, 7), 1_177);
            assert_eq!(send(&mut devices, 1_180, 1_400), Some(1_360));
        }
    }

    #[test]
    fn the_same_handshake_in_the_words_of_each_program_is_no_answer() {
        let silent_after = |handshake: fn(u64) -> Handshake| {
            let mut devices = Devices::default();
            let mut times = (1_000..2_000).step_by(5);
            times.find(|&awake| !devices.take(at(handshake(awake), awake, 7), awake).silent.is_empty())
        };
        // The kernel and wireguard-go, GotaTun, and boringtun.
        assert_eq!(silent_after(|_| Handshake::given(FIRST_TIME, 5)), Some(1_180));
        assert_eq!(
            silent_after(|awake| Handshake::given(FIRST_TIME, awake * 999_983 % 900_000_000)),
            Some(1_180)
        );
        assert_eq!(silent_after(|awake| Handshake::given(awake - 990, 7)), Some(1_180));
        // Each makes a new one every two minutes.
        assert_eq!(silent_after(|awake| Handshake::given(FIRST_TIME + awake / 120 * 120, 5)), None);
        assert_eq!(silent_after(|awake| Handshake::given(awake % 120, 7)), None);
        assert_eq!(silent_after(|_| Handshake::given(0, 0)), Some(1_180), "there was none");
    }

    #[test]
    fn the_latest_handshake_of_the_peers_counts() {
        let (never, ago, at) = (Handshake::Never, Handshake::Ago, Handshake::At);
        for (one, other, latest) in
            [(never, ago(7), ago(7)), (ago(7), ago(9), ago(7)), (at(7), at(9), at(9)), (at(7), never, at(7))]
        {
            assert_eq!((one.latest(other), other.latest(one)), (latest, latest));
        }
    }

    #[test]
    fn neither_idle_time_nor_sleep_nor_a_stopped_agent_is_a_silence() {
        let mut devices = Devices::default();
        devices.take(reading(1, 1, 1), 0);
        for awake in (0..100_000).step_by(5) {
            assert_eq!(devices.take(reading(1, 1, 1), awake), Readings::default());
        }
        // One packet after a long time, and one reading long after the one before.
        for (place, awake) in [200_000, 300_000, 400_000].into_iter().enumerate() {
            let sent = 2 + u64::try_from(place).unwrap();
            assert_eq!(devices.take(reading(1, sent, 1), awake), Readings::default());
        }
        // The counters begin again with the device: that is no answer of the other one.
        let mut other = reading(0, 0, 0);
        other[0].index = 4;
        assert_eq!(devices.take(other, 400_005).answered, [0; 0]);
    }
}
