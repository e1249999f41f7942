//! Which notice to show: at most one, the most severe first. Pure.

use super::checking::Checking;
use super::event::{BlockedLine, Button, Check, Checked, Portal, Refusal, Topic};
use super::keys::Key;
use super::machine::{Loss, News, Notifier, Presence, Repairs};
use super::notice::{Lifetime, Notice, StateIcon, Text, Urgency};
use crate::config::Reconnect;
use crate::status::{Enforcement, Status, Verdict};
use crate::vpn::{LastLoss, PauseScope, State};

/// Maximum number of VPNs whose faults the details name.
const MAX_LEFT_OUT: usize = 2;

impl Notifier {
    /// The notice to show now.
    pub fn notice(&self) -> Option<Notice> {
        let notice = self.candidates().into_iter().find(|notice| !self.is_hidden(notice.topic))?;
        Some(self.with_blocked(self.with_details(notice)))
    }

    /// Notices about everything that is not resolved, the most severe first.
    pub(super) fn candidates(&self) -> Vec<Notice> {
        let mut found = Vec::new();
        if self.detailed == Some(Topic::Details) {
            found.push(notice(Topic::Details, self.state_icon(), Text::new(Key::DetailTitle), Vec::new()));
        }
        if let Some(refused @ News::Refused(..)) = self.news.as_ref().map(|news| &news.what) {
            found.push(self.of_news(refused));
        }
        found.extend(self.of_agent());
        found.extend(self.of_pause());
        let flapping = self.of_flapping();
        let quiet = flapping.is_none();
        found.extend(flapping);
        found.extend(self.loss.as_ref().map(|loss| self.of_loss(loss)));
        let news = self.news.as_ref().map(|news| &news.what).filter(|news| quiet && self.is_still_true(news));
        found.extend(news.map(|news| self.of_news(news)));
        found.extend(self.missed.as_ref().map(|loss| self.of_missed(loss)));
        found.extend(self.of_uncounted());
        found.extend(self.repaired.as_ref().map(|repairs| self.of_repairs(repairs)));
        found.extend(self.of_portal());
        found.extend(self.of_welcome());
        if let Checking::Done(check) = &self.check {
            found.push(self.of_check(check));
        }
        // It is the last one, so that the list hides no notice about the protection.
        found.extend(self.blocked.as_ref().map(|lines| {
            notice(Topic::Blocked, self.state_icon(), Text::new(Key::BlockedTitle), of_blocked(lines))
        }));
        found
    }

    /// The notice about a missing agent, or about rules that are not in force.
    fn of_agent(&self) -> Option<Notice> {
        match &self.agent {
            Presence::Absent { told: true, .. } => {
                let body = vec![Text::new(Key::GoneBody), Text::new(Key::GoneHint)];
                Some(notice(Topic::Gone, StateIcon::Unknown, Text::new(Key::GoneTitle), body))
            }
            Presence::Present(status) => {
                let (title, body) = match status.enforcement {
                    Enforcement::Enforced => return None,
                    Enforcement::NotEnforced => {
                        (Key::FailedTitle, vec![Text::new(Key::FailedBody), Text::new(Key::FailedRetry)])
                    }
                    Enforcement::Closed => {
                        let body = [vec![Text::new(Key::ClosedBody)], self.leaves(Key::StillClosed)].concat();
                        (Key::ClosedTitle, body)
                    }
                    Enforcement::Unknown(_) => {
                        (Key::UnreadTitle, vec![Text::new(Key::UnreadBody), Text::new(Key::FailedRetry)])
                    }
                };
                let notice = notice(Topic::NotEnforced, self.state_icon(), Text::new(title), body);
                Some(critical(notice, &[Button::Details]))
            }
            Presence::Unknown | Presence::Absent { .. } => None,
        }
    }

    /// The sentences about what may leave now: `closed` only if the kernel holds rules that let nothing out, followed
    /// by what those rules do not stop.
    pub(super) fn leaves(&self, closed: Key) -> Vec<Text> {
        let (sentence, limit) = match self.status().map(|status| (status.verdict(), status.holds_wires())) {
            Some((Verdict::Protected | Verdict::Locked, true)) => (closed, None),
            Some((Verdict::Protected | Verdict::Locked, false)) => (closed, Some(Key::WiresOpen)),
            Some((Verdict::Open, _)) => (Key::FailedBody, None),
            Some((Verdict::Unknown, _)) | None => (Key::UnreadBody, None),
        };
        [Some(sentence), limit].into_iter().flatten().map(Text::new).collect()
    }

    fn of_pause(&self) -> Option<Notice> {
        let paused = |status: &&Status| status.state == State::Paused && status.enforced();
        let status = self.status().filter(paused)?;
        let until = status.paused_until.unwrap_or_default();
        if status.pause.is_some_and(|pause| pause.scope == PauseScope::Portal) {
            let title = Text::new(Key::PortalTitle).moment("until", until);
            let body = vec![Text::new(Key::PortalBody)];
            return Some(Notice {
                buttons: vec![Button::Resume],
                ..notice(Topic::Paused(until), StateIcon::Paused, title, body)
            });
        }
        // Half a minute more or less does not matter to a user.
        let minutes = (until.saturating_sub(status.since) + 30) / 60;
        let body = vec![Text::new(Key::PausedBody).count("minutes", minutes.max(1))];
        let title = Text::new(Key::PausedTitle).moment("until", until);
        Some(Notice {
            buttons: vec![Button::Resume],
            ..notice(Topic::Paused(until), StateIcon::Paused, title, body)
        })
    }

    fn of_flapping(&self) -> Option<Notice> {
        let count = self.flapping()?;
        let loss = self.status().and_then(|status| status.loss.as_ref());
        let title = Text::new(Key::FlappingTitle).word("name", loss.map_or("", |loss| &loss.name));
        let mut body = vec![Text::new(Key::FlappingBody).count("count", count)];
        body.extend(self.leaves(Key::StillClosed));
        body.extend(loss.and_then(why));
        Some(critical(notice(Topic::Flapping, StateIcon::Lost, title, body), &[Button::Details]))
    }

    fn of_loss(&self, loss: &Loss) -> Notice {
        let name = loss.what.as_ref().map_or("", |what| &what.name);
        let connecting = self.status().is_some_and(|status| status.state == State::Connecting);
        if connecting || loss.reconnecting {
            let title = match name {
                "" => Text::new(Key::StateConnecting),
                name => Text::new(Key::ReconnectingTitle).word("name", name),
            };
            let body = self.leaves(Key::StillClosed);
            return Notice {
                buttons: vec![Button::Details],
                ..notice(Topic::Lost, StateIcon::Connecting, title, body)
            };
        }
        let title = match name {
            "" => Text::new(Key::StateLost),
            name => Text::new(Key::LostTitle).word("name", name),
        };
        let mut body: Vec<Text> = loss.what.iter().filter_map(why).collect();
        body.extend(self.leaves(Key::LostBody));
        body.extend(self.uncounted_lines());
        if self.waiting > 0 {
            body.push(Text::new(Key::Waiting).count("count", self.waiting.into()));
        }
        let mut offered = Vec::new();
        if self.offers_reconnect() {
            offered.push(Button::Reconnect);
        }
        if self.portal == Portal::Found {
            body.extend([Text::new(Key::PortalFoundTitle), Text::new(Key::PortalFoundBody)]);
            offered.push(Button::PausePortal);
        }
        offered.push(Button::Details);
        critical(notice(Topic::Lost, StateIcon::Lost, title, body), &offered)
    }

    /// The notice about a captive portal. It offers to open what a sign-in needs. Nothing is opened before the user
    /// presses the button.
    fn of_portal(&self) -> Option<Notice> {
        let waits = |status: &&Status| matches!(status.state, State::Locked | State::Connecting);
        let status = self.status().filter(waits).filter(|_| self.portal == Portal::Found)?;
        let closed = status.verdict().is_closed();
        let body = vec![Text::new(Key::PortalFoundBody)];
        let notice = notice(Topic::Portal, self.state_icon(), Text::new(Key::PortalFoundTitle), body);
        closed.then(|| Notice { buttons: vec![Button::PausePortal, Button::Details], ..notice })
    }

    fn of_check(&self, check: &Check) -> Notice {
        // What the agent reads now has priority over what was computed before.
        let is_closed = self.status().is_some_and(|status| status.verdict().is_closed());
        let (title, state_icon) = match check.result {
            Checked::Proven if is_closed => (Key::CheckProven, self.state_icon()),
            Checked::Open => (Key::CheckOpen, StateIcon::Failed),
            Checked::Proven | Checked::NotShown => (Key::CheckNotShown, self.state_icon()),
        };
        let body = vec![Text::new(Key::CheckReport).word("file", &check.report), Text::new(Key::CheckHint)];
        let notice = notice(Topic::Checked, state_icon, Text::new(title), body);
        match check.result {
            Checked::Open => critical(notice, &[]),
            Checked::Proven | Checked::NotShown => notice,
        }
    }

    /// Whether to offer the user a reconnect.
    pub(super) fn offers_reconnect(&self) -> bool {
        self.status().is_none_or(|status| status.reconnect != Some(Reconnect::Never))
    }

    fn of_news(&self, news: &News) -> Notice {
        let (state_icon, title, body) = match news {
            News::Back(name) if name.is_empty() => {
                (StateIcon::Protected, Key::BackTitle, vec![Text::new(Key::ResumedProtected)])
            }
            News::Back(name) => {
                (StateIcon::Protected, Key::BackTitle, vec![Text::new(Key::BackBody).word("name", name)])
            }
            News::Steady(name) => {
                (StateIcon::Protected, Key::SteadyTitle, vec![Text::new(Key::SteadyBody).word("name", name)])
            }
            News::Resumed(State::Protected) => {
                (StateIcon::Protected, Key::ResumedTitle, vec![Text::new(Key::ResumedProtected)])
            }
            News::Resumed(State::Locked | State::Connecting | State::Lost | State::Paused) => {
                (StateIcon::Locked, Key::ResumedTitle, self.leaves(Key::ResumedLocked))
            }
            News::InForce => (self.state_icon(), Key::InForceTitle, self.leaves(Key::InForceBody)),
            News::Returned => (self.state_icon(), Key::ReturnedTitle, vec![Text::new(Key::ReturnedBody)]),
            News::Refused(button, refusal) => {
                let what = match button {
                    Button::Reconnect | Button::Connect(_) | Button::Details => Key::RefusedReconnect,
                    Button::Blocked => Key::RefusedBlocked,
                    Button::Pause(_) | Button::PausePortal => Key::RefusedPause,
                    Button::Resume => Key::RefusedResume,
                    Button::Journal => Key::RefusedJournal,
                    Button::Check => Key::RefusedCheck,
                };
                let why = match refusal {
                    Refusal::NotAllowed => Text::new(Key::NotAllowed),
                    Refusal::NotRunning => Text::new(Key::NotRunning),
                    Refusal::Own(key) => Text::new(*key),
                    Refusal::Failed(why) => Text::new(Key::RefusedWhy).word("why", why),
                };
                (self.state_icon(), Key::RefusedTitle, vec![Text::new(what), why])
            }
        };
        Notice { lifetime: Lifetime::Brief, ..notice(Topic::News, state_icon, Text::new(title), body) }
    }

    /// Whether the sentence for this news is still true.
    fn is_still_true(&self, news: &News) -> bool {
        let verdict = self.status().map(Status::verdict);
        match news {
            News::Back(_) | News::Resumed(State::Protected) => verdict == Some(Verdict::Protected),
            News::Resumed(_) => verdict == Some(Verdict::Locked),
            News::InForce => verdict.is_some_and(Verdict::is_closed),
            News::Steady(_) | News::Returned | News::Refused(..) => true,
        }
    }

    fn of_missed(&self, loss: &LastLoss) -> Notice {
        let mut body = vec![Text::new(Key::MissedBody).word("name", &loss.name).moment("at", loss.at)];
        body.extend(match self.status().is_some_and(|status| status.verdict().is_closed()) {
            true if loss.held => self.leaves(Key::MissedClosed),
            true | false => vec![Text::new(Key::MissedOpen)],
        });
        body.extend(why(loss));
        notice(Topic::Missed, self.state_icon(), Text::new(Key::MissedTitle), body)
    }

    fn of_repairs(&self, repairs: &Repairs) -> Notice {
        if let Some(count) = self.fight() {
            let title = match &repairs.by {
                Some(program) => Text::new(Key::FightByTitle).word("program", program),
                None => Text::new(Key::FightTitle),
            };
            let body = vec![Text::new(Key::FightBody).count("count", count)];
            return critical(notice(Topic::Repaired, StateIcon::Failed, title, body), &[Button::Details]);
        }
        let body = match &repairs.by {
            Some(program) => Text::new(Key::RepairedByBody).word("program", program),
            None => Text::new(Key::RepairedBody),
        };
        let body = vec![body.count("count", repairs.count)];
        let title = Text::new(Key::RepairedTitle);
        Notice { buttons: vec![Button::Details], ..notice(Topic::Repaired, self.state_icon(), title, body) }
    }

    /// The notice with details, if the user has asked for them.
    fn with_details(&self, mut notice: Notice) -> Notice {
        if self.detailed != Some(notice.topic) {
            return notice;
        }
        notice.buttons.retain(|button| *button != Button::Details);
        notice.buttons.push(Button::Blocked);
        if let Some(status) = self.status() {
            let details = self.details(status).into_iter();
            let new: Vec<Text> = details.filter(|line| !notice.body.contains(line)).collect();
            notice.body.extend(new);
        }
        notice.body.push(Text::new(Key::DetailHint));
        notice
    }

    /// The notice with the list of refusals, if the user has asked for the list and the notice has room for it.
    fn with_blocked(&self, mut notice: Notice) -> Notice {
        let has_room = !matches!(notice.topic, Topic::Blocked | Topic::News);
        if let Some(lines) = self.blocked.as_ref().filter(|_| has_room) {
            notice.body.push(Text::new(Key::BlockedTitle));
            notice.body.extend(of_blocked(lines));
        }
        notice
    }

    fn details(&self, status: &Status) -> Vec<Text> {
        let mut lines = vec![Text::new(Key::DetailSince).moment("at", status.since)];
        let lost = self.loss.as_ref().and_then(|loss| loss.what.as_ref());
        lines.extend(lost.map(|loss| Text::new(Key::LostSince).moment("at", loss.at)));
        for tunnel in &status.tunnels {
            let line = Text::new(Key::DetailTunnel).word("name", &tunnel.name);
            lines.push(line.word("interface", &tunnel.interface));
            let server = tunnel.endpoint.as_ref().map(ToString::to_string);
            lines.extend(server.map(|server| Text::new(Key::DetailServer).word("server", &server)));
        }
        if status.tunnels.is_empty() {
            lines.push(Text::new(Key::NoTunnel));
        }
        // As two sentences: a long one would lose its end, which says what to do.
        for one in status.left_out.iter().take(MAX_LEFT_OUT) {
            let sentences = [format!("{}: {}", one.name, one.reason), one.remedy.clone()];
            lines.extend(sentences.map(|why| Text::new(Key::DetailWhy).word("why", &why)));
        }
        if status.repairs > 0 {
            lines.push(Text::new(Key::DetailRepairs).count("count", status.repairs.into()));
        }
        if !status.enforced() && !self.why.is_empty() {
            lines.push(Text::new(Key::DetailWhy).word("why", &self.why));
        }
        lines
    }
}

fn notice(topic: Topic, state_icon: StateIcon, title: Text, body: Vec<Text>) -> Notice {
    Notice {
        topic,
        urgency: Urgency::Normal,
        lifetime: Lifetime::UntilResolved,
        state_icon,
        title,
        body,
        buttons: Vec::new(),
    }
}

fn critical(notice: Notice, buttons: &[Button]) -> Notice {
    Notice { urgency: Urgency::Critical, buttons: buttons.to_vec(), ..notice }
}

/// The sentence for the reason of a loss; `None` for a reason that this version does not know.
fn why(loss: &LastLoss) -> Option<Text> {
    loss.code.map(|reason| Text::new(Key::of_reason(reason)))
}

/// Lines about refused packets. They have no button that opens anything.
fn of_blocked(lines: &[BlockedLine]) -> Vec<Text> {
    let line = |line: &BlockedLine| {
        let why = line.reason.map_or(Key::BlockedUnknown, Key::of_refusal);
        let text = match &line.who {
            Some(who) => Text::new(Key::BlockedBy).word("who", who),
            None => Text::new(Key::BlockedLine),
        };
        text.word("destination", &line.destination).count("count", line.count).sentence("why", why)
    };
    let mut body: Vec<Text> = lines.iter().map(line).collect();
    if body.is_empty() {
        body.push(Text::new(Key::BlockedNothing));
    }
    body.push(Text::new(Key::BlockedHint));
    body
}
