//! Computes from the rules which senders may send where: a table for people.

use super::case::Case;
use super::{Machine, Prover};
use crate::model::contract::{Contract, Part, Sender};
use crate::model::diagram::{Diagram, Logic, Set};
use crate::model::evaluate::{Bounds, Time};
use crate::model::rule::Rules;
use crate::net::Family;

/// Whether packets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// No such destination exists now.
    Absent,
    /// No packet passes.
    Refused,
    /// Something that the model does not know may let one pass.
    Unknown,
    /// Some packets pass.
    Passes,
}

impl Cell {
    /// The word for it, in JSON and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "none",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Passes => "passes",
        }
    }
}

/// Where the packets of one sender may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Who sends them. [`Sender::Raw`] stands for every raw sender.
    pub sender: Sender,
    /// Through a tunnel.
    pub tunnel: Cell,
    /// To the LAN.
    pub lan: Cell,
    /// To VPN servers, outside the tunnel.
    pub server: Cell,
    /// What the link itself needs: ARP, DHCP, neighbours.
    pub link: Cell,
    /// To sign in at a captive portal, during a pause for it.
    pub portal: Cell,
    /// Everywhere else, outside the tunnel.
    pub elsewhere: Cell,
}

impl Row {
    fn new(sender: Sender) -> Self {
        let none = Cell::Absent;
        Self { sender, tunnel: none, lan: none, server: none, link: none, portal: none, elsewhere: none }
    }

    fn of(&mut self, part: Part) -> &mut Cell {
        match part {
            Part::Server => &mut self.server,
            Part::Lan => &mut self.lan,
            Part::Link => &mut self.link,
            Part::Portal => &mut self.portal,
        }
    }
}

impl Prover {
    /// Which packets pass now, by who sends them and where to.
    ///
    /// # Errors
    /// It cannot be computed. The text is for people.
    pub fn survey(
        &mut self,
        rules: &[(Family, Rules)],
        machine: &Machine,
        contract: &Contract<'_>,
    ) -> Result<Vec<Row>, String> {
        let mut rows = [Sender::Local, Sender::Forwarded, Sender::Raw].map(Row::new).to_vec();
        for (family, rules) in rules {
            let family = *family;
            let of_tunnels = machine.tunnels.iter().filter_map(|name| machine.link(name)).flat_map(|out| {
                let case = move |sender| Case { family, sender, out: Some(out), time: Time::Now };
                [Sender::Local, Sender::Forwarded, Sender::Raw].map(case)
            });
            for case in of_tunnels {
                self.logic.make_room();
                let leaves = case.leaves(&mut self.logic, rules, machine)?;
                case.unless_full(&self.logic, ())?;
                let cell = cell(&self.logic, leaves);
                raise(&mut row(&mut rows, case.sender).tunnel, cell);
            }
            for case in machine.cases(family) {
                let case = Case { time: Time::Now, ..case };
                self.logic.make_room();
                let leaves = case.leaves(&mut self.logic, rules, machine)?;
                let row = row(&mut rows, case.sender);
                self.of_uplink(&case, leaves, (machine, contract), row)?;
            }
        }
        Ok(rows)
    }

    /// Divides what leaves on an uplink by the parts of the contract.
    fn of_uplink(
        &mut self,
        case: &Case<'_>,
        leaves: Bounds<Set>,
        (machine, contract): (&Machine, &Contract<'_>),
        row: &mut Row,
    ) -> Result<(), String> {
        let logic = &mut self.logic;
        let parts = contract.parts(case.family, case.sender, case.name());
        let mut rest = leaves;
        for part in [Part::Server, Part::Link, Part::Lan, Part::Portal] {
            let mut listed = Bounds { surely: logic.none(), maybe: logic.none() };
            // The union of many lists at once is made for the addresses of a set, so these are added one after the
            // other.
            for (_, one) in parts.iter().filter(|(of, _)| *of == part) {
                let one = case.of(logic, machine, std::slice::from_ref(one));
                listed.surely = logic.or(listed.surely, one.surely);
                listed.maybe = logic.or(listed.maybe, one.maybe);
            }
            let passes = Bounds {
                surely: logic.and(rest.surely, listed.surely),
                maybe: logic.and(rest.maybe, listed.maybe),
            };
            rest = Bounds {
                surely: logic.without(rest.surely, listed.maybe),
                maybe: logic.without(rest.maybe, listed.surely),
            };
            raise(row.of(part), cell(logic, passes));
        }
        raise(&mut row.elsewhere, cell(logic, rest));
        case.unless_full(logic, ())
    }
}

fn row(rows: &mut [Row], sender: Sender) -> &mut Row {
    let place = match sender {
        Sender::Local => 0,
        Sender::Forwarded => 1,
        Sender::Raw | Sender::Frame => 2,
    };
    &mut rows[place]
}

fn raise(cell: &mut Cell, other: Cell) {
    *cell = (*cell).max(other);
}

fn cell(logic: &Diagram, leaves: Bounds<Set>) -> Cell {
    match (leaves.surely == logic.none(), leaves.maybe == logic.none()) {
        (false, _) => Cell::Passes,
        (true, false) => Cell::Unknown,
        (true, true) => Cell::Refused,
    }
}
