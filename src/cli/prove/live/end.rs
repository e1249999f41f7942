//! Finds out where a probe ended, from the counters of the net. Pure.

use nix::errno::Errno;

use super::send::Sent;
use crate::netfilter::probe_tables::Redirected;

/// Where a probe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli::prove) enum End {
    /// The kernel refused it when it was sent.
    AtSend(Errno),
    /// An IP filter dropped it.
    InFilter,
    /// A chain on the link dropped it.
    OnLink,
    /// There was no route, or the link is down.
    NoRoute(Errno),
    /// It went into this tunnel, and the net dropped it there.
    Tunnel(String),
    /// It went to a link that does not lead out, or to this machine itself.
    Inside,
    /// It reached the net on this link. The contract lists such packets.
    Listed(String),
    /// It reached the net on this link: without the net it would have left.
    Fault(String),
    /// It is not known where it ended, for this reason.
    NotKnown(String),
}

/// What it means if a probe reaches a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reached {
    Wire(String),
    Tunnel(String),
    Inside,
}

impl End {
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::AtSend(_) | Self::InFilter | Self::OnLink)
    }
}

/// Where a probe ended. The counters of the net have priority over the error that the sender got.
pub(super) fn end(sent: &Sent, groups: &[(Reached, Vec<String>)]) -> End {
    let Sent { probe, error, progress } = sent;
    if let Some((reached, _)) = progress.caught.and_then(|group| groups.get(group)) {
        return match reached {
            Reached::Wire(link) => End::Fault(link.clone()),
            Reached::Tunnel(link) => End::Tunnel(link.clone()),
            Reached::Inside => End::Inside,
        };
    }
    let not_known = |why: &str| End::NotKnown(why.to_owned());
    let is_inside = progress.delivered || progress.turned == Some(Redirected::ThisMachine);
    match progress.turned {
        Some(Redirected::Elsewhere) => {
            return not_known(
                "a rule gave it another destination, and it passed every filter of IP; the net dropped it there",
            );
        }
        Some(Redirected::ThisMachine) | None if is_inside => return End::Inside,
        Some(Redirected::ThisMachine) | None if progress.seen => return End::OnLink,
        Some(Redirected::ThisMachine) | None if progress.passed => {
            return not_known("it passed every filter, and came to no link: no neighbour answers");
        }
        Some(Redirected::ThisMachine) | None => {}
    }
    match error {
        _ if probe.origin.container.is_some() && progress.entered => End::InFilter,
        Some(
            errno @ (Errno::ENETUNREACH
            | Errno::EHOSTUNREACH
            | Errno::ENETDOWN
            | Errno::ENODEV
            | Errno::ENXIO
            | Errno::EINVAL
            | Errno::EADDRNOTAVAIL),
        ) => End::NoRoute(*errno),
        _ if probe.origin.container.is_some() => not_known("it did not come out of its container"),
        Some(errno @ (Errno::EPERM | Errno::EACCES | Errno::ENOBUFS | Errno::ECONNREFUSED)) => {
            End::AtSend(*errno)
        }
        Some(other) => not_known(other.desc()),
        None if probe.how.is_routed() => End::InFilter,
        None => not_known("the kernel took it, and it came to no link"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::origin::Origin;
    use super::super::probe::{How, Probe};
    use super::*;
    use crate::netfilter::probe_tables::Progress;

    fn end_of(how: How, error: Option<Errno>, progress: Progress) -> End {
        of(Origin::program(0, None), how, error, progress)
    }

    fn of(origin: Origin, how: How, error: Option<Errno>, progress: Progress) -> End {
        let to = "203.0.113.9:53".parse().unwrap();
        let probe = Probe { how, origin: Arc::new(origin), to, on: None, tag: [0; 16] };
        let link_groups =
            [Reached::Wire("eth0".to_owned()), Reached::Tunnel("tun0".to_owned()), Reached::Inside];
        let link_groups = link_groups.map(|place| (place, Vec::new()));
        end(&Sent { probe, error, progress }, &link_groups)
    }

    fn seen(passed: bool, seen: bool, caught: Option<usize>) -> Progress {
        Progress { passed, seen, caught, ..Progress::default() }
    }

    #[test]
    fn a_probe_that_the_tables_caught_is_no_refusal_even_if_its_sender_got_an_error() {
        for error in [None, Some(Errno::ENOBUFS), Some(Errno::EPERM)] {
            let caught = |group| end_of(How::Udp, error, seen(true, true, Some(group)));
            assert_eq!(caught(0), End::Fault("eth0".to_owned()));
            assert_eq!(caught(1), End::Tunnel("tun0".to_owned()));
            assert_eq!(caught(2), End::Inside);
            assert_eq!(end_of(How::Frame, error, seen(false, true, None)), End::OnLink);
        }
    }

    #[test]
    fn what_is_not_known_is_no_refusal() {
        for (how, error, progress) in [
            (How::Udp, None, seen(true, false, None)),
            (How::Frame, None, seen(false, false, None)),
            (How::Udp, Some(Errno::EIO), seen(false, false, None)),
            // A rule changed its address and its port.
            (How::Tcp, None, Progress { turned: Some(Redirected::Elsewhere), ..Progress::default() }),
        ] {
            let end = end_of(how, error, progress);
            assert!(matches!(end, End::NotKnown(_)), "{end:?}");
        }
        let no_route = end_of(How::Udp, Some(Errno::ENETUNREACH), Progress::default());
        assert_eq!(no_route, End::NoRoute(Errno::ENETUNREACH));
        let refused = end_of(How::Udp, Some(Errno::EPERM), Progress::default());
        assert_eq!(refused, End::AtSend(Errno::EPERM));
        assert_eq!(end_of(How::Tcp, None, Progress::default()), End::InFilter);
    }

    #[test]
    fn only_what_came_out_of_its_container_can_be_refused_here() {
        let of = |error, progress| of(Origin::of_test_container(), How::Udp, error, progress);
        let entered = Progress { entered: true, ..Progress::default() };
        assert_eq!(of(None, entered), End::InFilter);
        assert_eq!(of(None, Progress { delivered: true, ..entered }), End::Inside);
        assert_eq!(of(None, Progress { seen: true, passed: true, ..entered }), End::OnLink);
        let leaves = Progress { seen: true, passed: true, caught: Some(0), ..entered };
        assert_eq!(of(None, leaves), End::Fault("eth0".to_owned()));
        for error in [None, Some(Errno::EPERM)] {
            let end = of(error, Progress::default());
            assert!(matches!(end, End::NotKnown(_)), "{end:?}");
        }
    }
}
