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
struct Day {
    notifier: Notifier,
    now: u64,
    actions: Vec<Action>,
}

impl Day {
    fn begin(status: Status) -> Self {
        Self::begin_told(Memory { welcomed: true, ..Memory::default() }, status)
    }

    fn begin_told(memory: Memory, status: Status) -> Self {
        let mut day = Self { notifier: Notifier::new(memory), now: START, actions: Vec::new() };
        day.agent(status);
        day
    }

    fn hear(&mut self, event: Event) {
        self.actions.extend(self.notifier.step(event, self.now));
    }

    fn agent(&mut self, status: Status) {
        self.hear(Event::Agent(Some(Box::new(status))));
    }

    fn lose(&mut self) {
        self.agent(lost_at(self.now));
        self.hear(Event::Lost);
    }

    fn back(&mut self) {
        let loss = self.notifier.status().and_then(|status| status.loss.clone());
        self.agent(Status { loss, ..status(State::Protected) });
    }

    fn see(&mut self) {
        if let Some(notice) = self.notifier.notice() {
            self.hear(Event::Shown(notice.topic));
        }
    }

    /// Lets time pass. The clock wakes the notifier at each time that it asked for.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + seconds;
        while let Some(moment) = self.notifier.next_moment().filter(|&moment| moment <= end) {
            self.now = moment.max(self.now);
            self.hear(Event::Clock);
        }
        self.now = end;
    }

    fn topic(&self) -> Option<Topic> {
        self.notifier.notice().map(|notice| notice.topic)
    }

    fn reads(&self) -> String {
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
    let mut day = Day::begin(never(status(State::Protected)));
    day.agent(never(lost_at(START)));
    day.hear(Event::Lost);
    let notice = day.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.buttons), (Topic::Lost, vec![Button::Details]));
    assert!(!day.notifier.indicator().buttons.contains(&Button::Reconnect));
    // The administrator has allowed reconnects again.
    day.agent(lost_at(START));
    assert!(day.notifier.notice().unwrap().buttons.contains(&Button::Reconnect));
    assert!(day.notifier.indicator().buttons.contains(&Button::Reconnect));
}

#[test]
fn a_loss_is_critical_names_the_vpn_and_the_reason_and_stays_until_it_is_back() {
    let mut day = Day::begin(status(State::Protected));
    assert_eq!(day.topic(), None, "all is well: nothing to see");
    day.lose();
    let notice = day.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.urgency, notice.stay), (Topic::Lost, Urgency::Critical, Stay::Resolved));
    assert_eq!(notice.buttons, [Button::Reconnect, Button::Details]);
    let read = day.reads();
    assert!(read.starts_with("VPN lost: home\nThe VPN program has ended."), "{read}");
    day.see();
    day.pass(3600);
    assert_eq!(day.reads(), read, "an hour later it still stands");
    day.back();
    assert_eq!(day.reads(), "Protected again\nEverything goes through home again.");
    day.pass(3600);
    assert_eq!(day.topic(), Some(Topic::News), "nobody has seen it yet");
    day.see();
    day.pass(8);
    assert_eq!(day.topic(), None);
}

#[test]
fn a_reason_is_known_by_its_code_and_not_by_its_sentence() {
    let told = |reason: &str, code| {
        let mut lost = lost_at(START);
        lost.loss = lost.loss.map(|loss| LastLoss { reason: reason.to_owned(), code, ..loss });
        let mut day = Day::begin(status(State::Protected));
        day.agent(lost);
        day.reads().contains("The VPN program has ended.")
    };
    assert!(told("a sentence that was put in other words", Some(Reason::ClientEnded)));
    assert!(!told("the VPN client has ended", None), "an agent without codes");
}

#[test]
fn a_vpn_that_its_user_ends_is_no_loss() {
    let mut day = Day::begin(status(State::Protected));
    day.agent(status(State::Locked));
    assert_eq!(day.topic(), None);
    day.lose();
    day.agent(Status { loss: Some(lost_at(START).loss.unwrap()), ..status(State::Locked) });
    assert_eq!(day.topic(), None, "the user has ended the VPN");
}

#[test]
fn ten_losses_in_a_minute_are_one_notice_with_the_count() {
    let mut day = Day::begin(status(State::Protected));
    for round in 1..=10 {
        day.lose();
        day.see();
        assert_eq!(day.topic(), Some(if round < 3 { Topic::Lost } else { Topic::Flapping }), "{round}");
        day.back();
        day.see();
        day.pass(5);
    }
    let notice = day.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.urgency), (Topic::Flapping, Urgency::Critical));
    assert!(day.reads().starts_with("VPN unstable: home\nIt was lost 10 times within a minute."));
    day.pass(60);
    assert_eq!(day.reads(), "VPN stable again\nhome has been connected for a minute.");
    day.see();
    day.pass(8);
    assert_eq!(day.topic(), None);
}

#[test]
fn an_unstable_vpn_that_stays_away_is_lost() {
    let mut day = Day::begin(status(State::Protected));
    for _ in 0..3 {
        day.lose();
        day.back();
    }
    day.lose();
    assert_eq!(day.topic(), Some(Topic::Flapping));
    day.pass(60);
    assert_eq!(day.topic(), Some(Topic::Lost));
}

#[test]
fn a_dismissed_notification_stays_away_until_the_next_event() {
    let mut day = Day::begin(status(State::Protected));
    day.lose();
    day.see();
    day.hear(Event::Closed(Topic::Lost, Closing::Dismissed));
    assert_eq!(day.topic(), None);
    day.agent(Status { loss: lost_at(START).loss, ..status(State::Connecting) });
    day.agent(lost_at(START));
    assert_eq!(day.topic(), None, "an attempt that failed is no other loss");
    day.back();
    day.lose();
    assert_eq!(day.topic(), Some(Topic::Lost));
}

#[test]
fn a_notification_that_may_not_have_been_seen_is_shown_again() {
    let mut day = Day::begin(status(State::Protected));
    day.lose();
    for closing in [Closing::Faded, Closing::Dismissed] {
        day.hear(Event::Closed(Topic::Lost, closing));
        assert_eq!(day.topic(), None, "no nagging");
        day.hear(Event::MayBeVisible);
        assert_eq!(day.topic(), Some(Topic::Lost), "{closing:?} need not mean seen");
    }
}

#[test]
fn the_button_reconnects_and_the_result_is_shown() {
    let mut day = Day::begin(status(State::Protected));
    day.lose();
    day.hear(Event::Pressed(Button::Reconnect));
    assert!(day.actions.contains(&Action::Ask(Button::Reconnect)));
    assert!(day.reads().starts_with("Connecting again: home"));
    let refusal = Refusal::Failed("no such connection".to_owned());
    day.hear(Event::Answered(Button::Reconnect, Err(refusal)));
    assert!(day.reads().contains("The VPN could not be connected.\nThe reason: no such connection"));
    day.see();
    day.pass(8);
    assert!(day.reads().starts_with("VPN lost: home"), "it still is");
    day.hear(Event::Pressed(Button::Reconnect));
    for _ in 0..2 {
        day.agent(Status { loss: lost_at(START).loss, ..status(State::Connecting) });
        day.agent(lost_at(START));
        assert!(day.reads().starts_with("Connecting again: home"), "the agent goes on trying");
    }
    day.hear(Event::Answered(Button::Reconnect, Ok(())));
    assert!(day.reads().starts_with("VPN lost: home"), "and has given up");
}

#[test]
fn details_are_added_to_the_notice_or_shown_alone() {
    let mut day = Day::begin(lost_at(START));
    day.hear(Event::Pressed(Button::Details));
    let notice = day.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.buttons), (Topic::Lost, vec![Button::Reconnect, Button::Blocked]));
    assert!(day.reads().contains("tunwarden status"));
    day.back();
    day.see();
    assert!(!day.reads().contains("tunwarden status"), "the next one is short again");

    let mut day = Day::begin(status(State::Protected));
    day.hear(Event::Pressed(Button::Details));
    assert!(day.reads().contains("VPN: home, through tun0"), "{}", day.reads());
    day.hear(Event::Closed(Topic::Details, Closing::Dismissed));
    assert_eq!(day.topic(), None);
}

#[test]
fn rules_that_are_not_in_force_come_before_everything_else() {
    let mut day = Day::begin(status(State::Protected));
    day.lose();
    day.agent(Status { enforcement: Enforcement::NotEnforced, ..lost_at(START) });
    day.hear(Event::Failed("iptables-restore: exit 4".to_owned()));
    let notice = day.notifier.notice().unwrap();
    assert_eq!((notice.topic, notice.urgency), (Topic::NotEnforced, Urgency::Critical));
    assert!(!day.reads().contains("iptables"), "no jargon unless asked for");
    day.hear(Event::Pressed(Button::Details));
    assert!(day.reads().contains("iptables-restore: exit 4"));
    assert_eq!(day.notifier.indicator().face, Face::Failed);
    day.agent(Status { enforcement: Enforcement::Enforced, ..lost_at(START) });
    assert_eq!(day.topic(), Some(Topic::Lost), "the next worst");
}

#[test]
fn a_pause_shows_its_end_and_a_notice_follows_it() {
    let mut day = Day::begin(status(State::Protected));
    day.agent(status(State::Paused));
    assert_eq!(day.topic(), Some(Topic::Paused(START + 300)));
    assert!(day.reads().contains("For 5 minutes everything leaves"), "{}", day.reads());
    assert_eq!(day.notifier.notice().unwrap().buttons, [Button::Resume]);
    day.hear(Event::Pressed(Button::Resume));
    assert!(day.actions.contains(&Action::Ask(Button::Resume)));
    day.agent(status(State::Locked));
    assert!(day.reads().starts_with("Protection is on again\nNothing leaves"));
}

#[test]
fn repairs_are_shown_and_repeated_repairs_are_called_a_fight() {
    let mut day = Day::begin(status(State::Protected));
    day.agent(Status { repairs: 1, ..status(State::Protected) });
    day.hear(Event::Repaired { by: Some("ufw".to_owned()) });
    assert!(
        day.reads().contains("ufw removed part of the protection. tunwarden restored"),
        "{}",
        day.reads()
    );
    day.see();
    day.pass(3600);
    assert_eq!(day.topic(), Some(Topic::Repaired), "until somebody has read it");
    for repairs in 2..=6 {
        day.agent(Status { repairs, ..status(State::Protected) });
        day.hear(Event::Repaired { by: Some("ufw".to_owned()) });
        day.pass(1);
    }
    assert!(day.reads().starts_with("ufw keeps removing the protection\ntunwarden restored it 5 times"));
    assert_eq!(day.notifier.notice().unwrap().urgency, Urgency::Critical);
    day.hear(Event::Closed(Topic::Repaired, Closing::Dismissed));
    assert_eq!(day.topic(), None);
}

#[test]
fn an_agent_that_has_ended_is_shown_and_one_that_restarts_is_not() {
    let mut day = Day::begin(status(State::Protected));
    day.hear(Event::Agent(None));
    assert_eq!(
        day.notifier.indicator().face,
        Face::Unknown,
        "nothing is claimed while the agent does not answer"
    );
    day.pass(3);
    assert_eq!(day.topic(), None);
    day.agent(status(State::Protected));
    day.pass(60);
    assert_eq!(day.topic(), None);
    day.hear(Event::Agent(None));
    day.pass(2);
    day.hear(Event::Agent(None));
    day.pass(3);
    assert_eq!(day.topic(), Some(Topic::Gone), "five seconds since it went");
    day.agent(status(State::Protected));
    assert!(day.reads().starts_with("tunwarden is running again"));
}
