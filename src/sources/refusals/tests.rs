//! Lines that were lost, and senders that no longer exist.

use super::*;
use crate::vpn::State;

#[test]
fn an_overrun_is_counted_and_reported_once() {
    let blocked = Blocked::default();
    assert_eq!(of_overruns(blocked.memory().take_overruns()), None);
    blocked.memory().overrun();
    let said = of_overruns(blocked.memory().take_overruns());
    assert!(said.is_some_and(|said| said.starts_with("once in the last minute")));
    (0..3).for_each(|_| blocked.memory().overrun());
    let said = of_overruns(blocked.memory().take_overruns());
    assert!(said.is_some_and(|said| said.starts_with("3 times in the last minute")));
    assert_eq!(blocked.memory().take_overruns(), 0);
}

#[test]
fn the_journal_gets_counts_by_reason_and_destinations_only_if_the_configuration_says_so() {
    let blocked = Blocked::default();
    assert_eq!(of_minute(&blocked, true, 100), [""; 0], "nothing was refused");
    let refuse = |port, now| {
        let refused = refusal(&line(port, 1000), &mut Links::default()).unwrap();
        blocked.memory().take(&refused, &Facts::default(), &Containers::default(), now);
    };
    (0..3).for_each(|_| refuse(4000, 100));
    assert_eq!(of_minute(&blocked, false, 101), ["refused in the last minute: no-vpn 3"]);
    assert_eq!(of_minute(&blocked, true, 102), [""; 0], "once for each minute");
    refuse(4000, 103);
    let told = "refused: a program of user 1000 to 203.0.113.9 port 443 protocol 17, 4 times: no-vpn";
    assert_eq!(of_minute(&blocked, true, 104), ["refused in the last minute: no-vpn 1", told]);
}

/// What the journal gets, in place of the journal.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        system::lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(system::lock(&self.0).clone()).unwrap()
    }
}

#[tokio::test]
async fn the_journal_gets_the_counts_in_each_period() {
    let written = Written::default();
    let writer = written.clone();
    let journal = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _journal = tracing::subscriber::set_default(journal);
    let blocked = Blocked::default();
    let (facts, received) = watch::channel(Facts::default());
    let refuse = || {
        let refused = refusal(&line(4000, 1000), &mut Links::default()).unwrap();
        blocked.memory().take(&refused, &Facts::default(), &Containers::default(), system::now());
    };
    let refusals = async {
        for (count, journal) in [(3, false), (2, true)] {
            facts.send_replace(Facts { journal, ..Facts::default() });
            let before = written.text().len();
            (0..count).for_each(|_| refuse());
            let counts = format!("refused in the last minute: no-vpn {count}");
            while !written.text()[before..].contains(&counts) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(written.text().contains("203.0.113.9"), journal, "{}", written.text());
        }
    };
    tokio::select! {
        said = tokio::time::timeout(MINUTE, refusals) => said.expect("the journal gets nothing"),
        never = say_counts_each(Duration::from_millis(1), &blocked, &received) => match never {},
    }
}

/// A line about a datagram from a port of this machine.
fn line(from: u16, uid: u32) -> Line {
    let [high, low] = from.to_be_bytes();
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 203, 0, 113, 9];
    packet.extend([high, low, 0x01, 0xbb, 0, 8, 0, 0]);
    Line { prefix: format!("{LOG_PREFIX}no-vpn"), hook: 3, uid: Some(uid), packet, ..Line::default() }
}

#[tokio::test]
async fn a_program_that_is_gone_is_listed_by_its_user_without_a_unit() {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, uid) = (socket.local_addr().unwrap().port(), nix::unistd::getuid().as_raw());
    drop(socket);
    let blocked = Blocked::default();
    let inputs = Inputs {
        facts: watch::channel(Facts::default()).1,
        containers: watch::channel(Containers::default()).1,
    };
    let foreign = Line { prefix: "another program".to_owned(), ..line(port, uid) };
    let cut = Line { packet: vec![0x45, 0], ..line(port, uid) };
    take(&blocked, &inputs, &[foreign, cut, line(port, uid)], &mut Names::default()).await;
    let all = blocked.memory().since(0, None, system::now());
    let who: Vec<_> = all.iter().map(|group| group.key.who.clone()).collect();
    assert_eq!(who, [crate::blocked::Who::Program(Some(uid), None)]);
}

#[test]
fn the_containers_that_wait_are_counted_again_as_soon_as_the_state_changes() {
    let blocked = Blocked::default();
    blocked.memory().begin(State::Lost, 100);
    let refused = Refused {
        at: RefusedAt::Forward,
        reason: Refusal::VpnLost,
        ..refusal(&line(4000, 1000), &mut Links::default()).unwrap()
    };
    for _ in 0..3 {
        blocked.memory().take(&refused, &Facts::default(), &Containers::default(), 100);
    }
    assert_eq!(blocked.waiting(100), 1);
    blocked.memory().begin(State::Protected, 100);
    assert_eq!(blocked.waiting(100), 0, "in the same second");
}
