//! Tests of the notifier's pure middle. Events are its input, and the tests read what the user would see.

mod anything;
mod blocked;
mod check;
mod limit;
mod menu;
mod missed;
mod texts;
mod uncounted;
mod welcome;

use jiff::tz::TimeZone;

use super::*;
use crate::config::Reconnect;
use crate::status::{DockerStatus, Enforcement, LayerStatus, Status, TunnelStatus};
use crate::vpn::{LastLoss, Reason, State};

const START: u64 = 1_700_000_000;

fn status(state: State) -> Status {
    let tunnel = TunnelStatus {
        interface: "tun0".to_owned(),
        endpoint: None,
        source: "networkmanager".to_owned(),
        name: "home".to_owned(),
        since: START,
        carrying: true,
    };
    Status {
        version: "0".to_owned(),
        agent: true,
        state,
        since: START,
        enforcement: Enforcement::Enforced,
        pending: None,
        tunnels: if state == State::Protected { vec![tunnel] } else { Vec::new() },
        bootstrap: Vec::new(),
        pause: None,
        paused_until: (state == State::Paused).then_some(START + 300),
        repairs: 0,
        layers: vec![LayerStatus {
            name: "nftables".to_owned(),
            enforced: true,
            unknown: None,
            lacks: None,
            closed: false,
            owned: true,
        }],
        watch: None,
        fights: Vec::new(),
        reconnect: Some(Reconnect::Ask),
        loss: None,
        management: Vec::new(),
        left_out: Vec::new(),
        vpns: Vec::new(),
        vpns_left_out: 0,
        configuration: None,
        docker: DockerStatus::default(),
    }
}

fn lost_at(at: u64) -> Status {
    let loss = LastLoss {
        name: "home".to_owned(),
        uuid: None,
        interface: "tun0".to_owned(),
        reason: Reason::ClientEnded.to_string(),
        code: Some(Reason::ClientEnded),
        seen_by: Reason::ClientEnded.seen_by().to_owned(),
        at,
        held: true,
    };
    Status { loss: Some(loss), ..status(State::Lost) }
}

/// One notifier, with a clock and the actions that it has asked for.
struct TestNotifier {
    notifier: Notifier,
    now: u64,
    actions: Vec<Action>,
}

impl TestNotifier {
    fn begin(status: Status) -> Self {
        Self::begin_with(Memory { welcomed: true, ..Memory::default() }, status)
    }

    fn begin_with(memory: Memory, status: Status) -> Self {
        let mut test = Self { notifier: Notifier::new(memory), now: START, actions: Vec::new() };
        test.agent(status);
        test
    }

    fn send(&mut self, event: Event) {
        self.actions.extend(self.notifier.step(event, self.now));
    }

    fn agent(&mut self, status: Status) {
        self.send(Event::Agent(Some(Box::new(status))));
    }

    fn lose(&mut self) {
        self.agent(lost_at(self.now));
        self.send(Event::Lost);
    }

    fn back(&mut self) {
        let loss = self.notifier.status().and_then(|status| status.loss.clone());
        self.agent(Status { loss, ..status(State::Protected) });
    }

    fn mark_shown(&mut self) {
        if let Some(notice) = self.notifier.notice() {
            self.send(Event::Shown(notice.topic));
        }
    }

    /// Lets time pass. The clock wakes the notifier at each time that it asked for.
    fn advance(&mut self, seconds: u64) {
        let end = self.now + seconds;
        while let Some(moment) = self.notifier.next_moment().filter(|&moment| moment <= end) {
            self.now = moment.max(self.now);
            self.send(Event::Clock);
        }
        self.now = end;
    }

    fn topic(&self) -> Option<Topic> {
        self.notifier.notice().map(|notice| notice.topic)
    }

    fn text(&self) -> String {
        let words = Words::new("en", TimeZone::UTC);
        let notice = self.notifier.notice();
        notice.map_or_else(String::new, |notice| {
            format!("{}\n{}", words.say(&notice.title), words.lines(&notice.body))
        })
    }
}

#[test]
fn a_button_that_the_configuration_forbids_is_not_shown() {
    let never = |status: Status| Status { reconnect: Some(Reconnect::Never), ..status };
    let mut test = TestNotifier::begin(never(status(State::Protected)));
    test.agent(never(lost_at(START)));
    test.send(Event::Lost);
    let notice = test.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.buttons), (Topic::Lost, vec![Button::Details]));
    assert!(!test.notifier.indicator().buttons.contains(&Button::Reconnect));
    // The administrator has allowed reconnects again.
    test.agent(lost_at(START));
    assert!(test.notifier.notice().unwrap().buttons.contains(&Button::Reconnect));
    assert!(test.notifier.indicator().buttons.contains(&Button::Reconnect));
}

#[test]
fn a_loss_is_critical_names_the_vpn_and_the_reason_and_stays_until_it_is_back() {
    let mut test = TestNotifier::begin(status(State::Protected));
    assert_eq!(test.topic(), None, "all is well: nothing to see");
    test.lose();
    let notice = test.notifier.notice().unwrap();
    assert_eq!(
        (notice.topic, notice.urgency, notice.lifetime),
        (Topic::Lost, Urgency::Critical, Lifetime::UntilResolved)
    );
    assert_eq!(notice.buttons, [Button::Reconnect, Button::Details]);
    let read = test.text();
    assert!(read.starts_with("VPN lost: home\nThe VPN program has ended."), "{read}");
    test.mark_shown();
    test.advance(3600);
    assert_eq!(test.text(), read, "an hour later it still stands");
    test.back();
    assert_eq!(test.text(), "Protected again\nEverything goes through home again.");
    test.advance(3600);
    assert_eq!(test.topic(), Some(Topic::News), "nobody has seen it yet");
    test.mark_shown();
    test.advance(8);
    assert_eq!(test.topic(), None);
}

#[test]
fn a_reason_is_known_by_its_code_and_not_by_its_sentence() {
    let told = |reason: &str, code| {
        let mut lost = lost_at(START);
        lost.loss = lost.loss.map(|loss| LastLoss { reason: reason.to_owned(), code, ..loss });
        let mut test = TestNotifier::begin(status(State::Protected));
        test.agent(lost);
        test.text().contains("The VPN program has ended.")
    };
    assert!(told("a sentence that was put in other words", Some(Reason::ClientEnded)));
    assert!(!told("the VPN client has ended", None), "an agent without codes");
}

#[test]
fn a_vpn_that_its_user_ends_is_no_loss() {
    let mut test = TestNotifier::begin(status(State::Protected));
    test.agent(status(State::Locked));
    assert_eq!(test.topic(), None);
    test.lose();
    test.agent(Status { loss: Some(lost_at(START).loss.unwrap()), ..status(State::Locked) });
    assert_eq!(test.topic(), None, "the user has ended the VPN");
}

#[test]
fn ten_losses_in_a_minute_are_one_notice_with_the_count() {
    let mut test = TestNotifier::begin(status(State::Protected));
    for round in 1..=10 {
        test.lose();
        test.mark_shown();
        assert_eq!(test.topic(), Some(if round < 3 { Topic::Lost } else { Topic::Flapping }), "{round}");
        test.back();
        test.mark_shown();
        test.advance(5);
    }
    let notice = test.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.urgency), (Topic::Flapping, Urgency::Critical));
    assert!(test.text().starts_with("VPN unstable: home\nIt was lost 10 times within a minute."));
    test.advance(60);
    assert_eq!(test.text(), "VPN stable again\nhome has been connected for a minute.");
    test.mark_shown();
    test.advance(8);
    assert_eq!(test.topic(), None);
}

#[test]
fn an_unstable_vpn_that_stays_away_is_lost() {
    let mut test = TestNotifier::begin(status(State::Protected));
    for _ in 0..3 {
        test.lose();
        test.back();
    }
    test.lose();
    assert_eq!(test.topic(), Some(Topic::Flapping));
    test.advance(60);
    assert_eq!(test.topic(), Some(Topic::Lost));
}

#[test]
fn a_dismissed_notification_stays_away_until_the_next_event() {
    let mut test = TestNotifier::begin(status(State::Protected));
    test.lose();
    test.mark_shown();
    test.send(Event::Closed(Topic::Lost, Closing::Dismissed));
    assert_eq!(test.topic(), None);
    test.agent(Status { loss: lost_at(START).loss, ..status(State::Connecting) });
    test.agent(lost_at(START));
    assert_eq!(test.topic(), None, "an attempt that failed is no other loss");
    test.back();
    test.lose();
    assert_eq!(test.topic(), Some(Topic::Lost));
}

#[test]
fn a_notification_that_may_not_have_been_seen_is_shown_again() {
    let mut test = TestNotifier::begin(status(State::Protected));
    test.lose();
    for closing in [Closing::TimedOut, Closing::Dismissed] {
        test.send(Event::Closed(Topic::Lost, closing));
        assert_eq!(test.topic(), None, "no nagging");
        test.send(Event::MayBeVisible);
        assert_eq!(test.topic(), Some(Topic::Lost), "{closing:?} need not mean seen");
    }
}

#[test]
fn the_button_reconnects_and_the_result_is_shown() {
    let mut test = TestNotifier::begin(status(State::Protected));
    test.lose();
    test.send(Event::Pressed(Button::Reconnect));
    assert!(test.actions.contains(&Action::Ask(Button::Reconnect)));
    assert!(test.text().starts_with("Connecting again: home"));
    let refusal = Refusal::Failed("no such connection".to_owned());
    test.send(Event::Answered(Button::Reconnect, Err(refusal)));
    assert!(test.text().contains("The VPN could not be connected.\nThe reason: no such connection"));
    test.mark_shown();
    test.advance(8);
    assert!(test.text().starts_with("VPN lost: home"), "it still is");
    test.send(Event::Pressed(Button::Reconnect));
    for _ in 0..2 {
        test.agent(Status { loss: lost_at(START).loss, ..status(State::Connecting) });
        test.agent(lost_at(START));
        assert!(test.text().starts_with("Connecting again: home"), "the agent goes on trying");
    }
    test.send(Event::Answered(Button::Reconnect, Ok(())));
    assert!(test.text().starts_with("VPN lost: home"), "and has given up");
}

#[test]
fn details_are_added_to_the_notice_or_shown_alone() {
    let mut test = TestNotifier::begin(lost_at(START));
    test.send(Event::Pressed(Button::Details));
    let notice = test.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.buttons), (Topic::Lost, vec![Button::Reconnect, Button::Blocked]));
    assert!(test.text().contains("tunwarden status"));
    test.back();
    test.mark_shown();
    assert!(!test.text().contains("tunwarden status"), "the next one is short again");

    let mut test = TestNotifier::begin(status(State::Protected));
    test.send(Event::Pressed(Button::Details));
    assert!(test.text().contains("VPN: home, through tun0"), "{}", test.text());
    test.send(Event::Closed(Topic::Details, Closing::Dismissed));
    assert_eq!(test.topic(), None);
}

#[test]
fn rules_that_are_not_in_force_come_before_everything_else() {
    let mut test = TestNotifier::begin(status(State::Protected));
    test.lose();
    test.agent(Status { enforcement: Enforcement::NotEnforced, ..lost_at(START) });
    test.send(Event::Failed("iptables-restore: exit 4".to_owned()));
    let notice = test.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.urgency), (Topic::NotEnforced, Urgency::Critical));
    assert!(!test.text().contains("iptables"), "no jargon unless asked for");
    test.send(Event::Pressed(Button::Details));
    assert!(test.text().contains("iptables-restore: exit 4"));
    assert_eq!(test.notifier.indicator().state_icon, StateIcon::Failed);
    test.agent(Status { enforcement: Enforcement::Enforced, ..lost_at(START) });
    assert_eq!(test.topic(), Some(Topic::Lost), "the next worst");
}

#[test]
fn a_pause_shows_its_end_and_a_notice_follows_it() {
    let mut test = TestNotifier::begin(status(State::Protected));
    test.agent(status(State::Paused));
    assert_eq!(test.topic(), Some(Topic::Paused(START + 300)));
    assert!(test.text().contains("For 5 minutes everything leaves"), "{}", test.text());
    assert_eq!(test.notifier.notice().unwrap().buttons, [Button::Resume]);
    test.send(Event::Pressed(Button::Resume));
    assert!(test.actions.contains(&Action::Ask(Button::Resume)));
    test.agent(status(State::Locked));
    assert!(test.text().starts_with("Protection is on again\nNothing leaves"));
}

#[test]
fn repairs_are_shown_and_repeated_repairs_are_called_a_fight() {
    let mut test = TestNotifier::begin(status(State::Protected));
    test.agent(Status { repairs: 1, ..status(State::Protected) });
    test.send(Event::Repaired { by: Some("ufw".to_owned()) });
    assert!(
        test.text().contains("ufw removed part of the protection. tunwarden restored"),
        "{}",
        test.text()
    );
    test.mark_shown();
    test.advance(3600);
    assert_eq!(test.topic(), Some(Topic::Repaired), "until somebody has read it");
    for repairs in 2..=6 {
        test.agent(Status { repairs, ..status(State::Protected) });
        test.send(Event::Repaired { by: Some("ufw".to_owned()) });
        test.advance(1);
    }
    assert!(test.text().starts_with("ufw keeps removing the protection\ntunwarden restored it 5 times"));
    assert_eq!(test.notifier.notice().unwrap().urgency, Urgency::Critical);
    test.send(Event::Closed(Topic::Repaired, Closing::Dismissed));
    assert_eq!(test.topic(), None);
}

#[test]
fn an_agent_that_has_ended_is_shown_and_one_that_restarts_is_not() {
    let mut test = TestNotifier::begin(status(State::Protected));
    test.send(Event::Agent(None));
    assert_eq!(
        test.notifier.indicator().state_icon,
        StateIcon::Unknown,
        "nothing is claimed while the agent does not answer"
    );
    test.advance(3);
    assert_eq!(test.topic(), None);
    test.agent(status(State::Protected));
    test.advance(60);
    assert_eq!(test.topic(), None);
    test.send(Event::Agent(None));
    test.advance(2);
    test.send(Event::Agent(None));
    test.advance(3);
    assert_eq!(test.topic(), Some(Topic::Gone), "five seconds since it went");
    test.agent(status(State::Protected));
    assert!(test.text().starts_with("tunwarden is running again"));
}
