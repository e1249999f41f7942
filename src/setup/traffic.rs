//! Collects allowed traffic from several rules.

use crate::config::{Traffic, TrafficRule};

/// Adds a kind of traffic; `None` means all traffic.
pub(super) fn add(traffic: &mut Option<Traffic>, new: Option<TrafficRule>) {
    match (new, &mut *traffic) {
        (None, _) => *traffic = Some(Traffic::Any),
        (Some(_), Some(Traffic::Any)) => {}
        (Some(rule), Some(Traffic::Listed(list))) => merge(list, rule),
        (Some(rule), None) => {
            let mut list = Vec::new();
            merge(&mut list, rule);
            *traffic = Some(Traffic::Listed(list));
        }
    }
}

/// Adds a rule to a list. All ports of one transport are in one rule, each once.
fn merge(list: &mut Vec<TrafficRule>, new: TrafficRule) {
    let TrafficRule::Ports(transport, ports) = new else {
        if !list.contains(&new) {
            list.push(new);
        }
        return;
    };
    let known = list.iter_mut().find_map(|rule| match rule {
        TrafficRule::Ports(same, known) if *same == transport => Some(known),
        TrafficRule::Ports(..) | TrafficRule::Icmp | TrafficRule::To(..) => None,
    });
    match known {
        // A rule without ports allows every port.
        Some(known) if known.is_empty() || ports.is_empty() => known.clear(),
        Some(known) => {
            for port in ports {
                if !known.contains(&port) {
                    known.push(port);
                }
            }
        }
        None => list.push(TrafficRule::Ports(transport, ports)),
    }
}
