//! Translates the instructions of a rule of nf_tables into conditions and actions.

use super::attributes::{Attributes, Malformed};
use super::register::{Compare, Load, Order, Registers};
use super::set::Set;
use crate::model::layout::Field;
use crate::model::rule::{Action, Bit, Match, Way};
use crate::model::writes::{Write, Written};
use crate::net::Family;

/// One rule of the kernel as rules of the model: a map to verdicts becomes one rule for each element.
type Found = Vec<(Vec<Match>, Action)>;

/// A rule of the kernel.
pub(super) struct Read {
    pub(super) found: Found,
    /// What the rule writes, and after how many matches of each rule.
    pub(super) writes: Vec<Written>,
}

/// Reads the instructions of a rule, for packets of one family.
pub(super) fn read<'s>(
    family: Family,
    on_link: bool,
    list: &Attributes<'_>,
    sets: &dyn Fn(&str) -> Option<&'s Set>,
) -> Result<Read, Malformed> {
    let (registers, matches, writes) = (Registers::default(), Vec::new(), Vec::new());
    let mut program = Program { family, on_link, registers, matches, writes, fills: false };
    for instruction in list.values() {
        let parts = Attributes::of(instruction)?;
        if let Some(found) = program.step(&parts.text(1)?, &parts.nested(2)?, sets)? {
            return Ok(Read { found, writes: program.writes });
        }
    }
    Ok(Read { found: vec![(program.matches, Action::Continue)], writes: program.writes })
}

/// The content of a register into which the mark of the connection was loaded.
const CONNECTION_MARK: &str = "ct key 3";

struct Program {
    family: Family,
    on_link: bool,
    registers: Registers,
    matches: Vec<Match>,
    writes: Vec<Written>,
    /// Whether the rule puts the packet into a set. A full set ends the rule.
    fills: bool,
}

impl Program {
    /// Takes one instruction; returns the whole rule if this instruction ends it.
    fn step<'s>(
        &mut self,
        name: &str,
        body: &Attributes<'_>,
        sets: &dyn Fn(&str) -> Option<&'s Set>,
    ) -> Result<Option<Found>, Malformed> {
        self.written(name, body)?;
        let register = |kind| body.number(kind).map(Option::unwrap_or_default);
        match name {
            "meta" if body.find(3).is_none() => self.meta(register(1)?, register(2)?),
            "payload" if body.find(5).is_none() => {
                let place = [register(2)?, register(3)?, register(4)?];
                self.payload(register(1)?, place);
            }
            "exthdr" if body.find(7).is_none() => self.extension(body)?,
            "ct" if body.find(4).is_none() => {
                let direction = body.find(3).and_then(|bytes| bytes.first().copied());
                self.connection(register(1)?, register(2)?, direction);
            }
            "bitwise" => self.bitwise(body)?,
            "byteorder" => {
                let size = usize::try_from(register(5)?).map_err(|_| Malformed)?;
                let load = self.registers.get(register(1)?).swapped(size);
                self.registers.put(register(2)?, load);
            }
            "cmp" => {
                let value = body.nested(3)?.find(1).ok_or(Malformed)?;
                let load = self.compared(register(1)?, value.len());
                self.matches.push(load.compare(Compare::of(register(2)?)?, value));
            }
            "range" => self.range(body)?,
            "dynset" if is_plain_update(body)? => self.fills = true,
            "lookup" => return self.lookup(body, sets),
            "immediate" => match body.nested(2)?.find(2) {
                Some(verdict) => return Ok(verdict_of(verdict)?.map(|action| self.ended(action))),
                None => self.registers.put(register(1)?, Load::Unknown("a constant".to_owned())),
            },
            "reject" => return Ok(Some(self.ended(Action::Drop))),
            "masq" | "redir" | "nat" => return Ok(Some(self.ended(Action::Accept))),
            // These instructions change the packet or what is known about it, or they count it.
            "meta" | "payload" | "exthdr" | "ct" | "counter" | "log" | "notrack" | "last" | "dup" => {}
            "queue" | "synproxy" | "tproxy" | "fwd" | "flow_offload" => {
                return Ok(Some(self.ended(Action::Unknown(name.to_owned()))));
            }
            "target" => {
                let name = format!("-j {}", body.text(1)?);
                return Ok(Some(self.ended(Action::Unknown(name))));
            }
            other => {
                let name = if other == "match" { format!("-m {}", body.text(1)?) } else { other.to_owned() };
                self.matches.push(Match::Unknown(name));
                self.registers.forget();
            }
        }
        Ok(None)
    }

    /// Notes what an instruction writes.
    fn written(&mut self, name: &str, body: &Attributes<'_>) -> Result<(), Malformed> {
        let number = |kind| body.number(kind).map(Option::unwrap_or_default);
        let writes = match name {
            "masq" => vec![Write::LinkSource],
            "redir" | "tproxy" => vec![Write::Destination],
            // `NFT_NAT_SNAT`
            "nat" if number(1)? == 0 => vec![Write::Source],
            "nat" => vec![Write::Destination],
            "notrack" => vec![Write::Tracking],
            "synproxy" | "fwd" => vec![Write::Anything],
            // `NFTA_PAYLOAD_SREG`: it writes to the packet.
            "payload" if body.find(5).is_some() => vec![Write::Anything],
            "target" => Write::of_target(&body.text(1)?, &[]),
            // `NFT_META_MARK`
            "meta" if body.find(3).is_some() && number(2)? == 3 => {
                match self.registers.get(number(3)?) == Load::Unknown(CONNECTION_MARK.to_owned()) {
                    true => vec![Write::MarkOfConnection],
                    false => vec![Write::Mark],
                }
            }
            // `NFT_CT_MARK`
            "ct" if body.find(4).is_some() && number(2)? == 3 => vec![Write::ConnectionMark],
            _ => Vec::new(),
        };
        let after = self.matches.len();
        self.writes.extend(writes.into_iter().map(|write| Written { write, after }));
        Ok(())
    }

    /// If the rule accepts its packets, a full set makes no difference: the packets may still pass. For any other rule,
    /// the result is unknown.
    fn may_end(&mut self) {
        if std::mem::take(&mut self.fills) {
            self.matches.push(Match::Unknown("a set that may be full".to_owned()));
        }
    }

    fn ended(&mut self, action: Action) -> Found {
        if action != Action::Accept {
            self.may_end();
        }
        vec![(std::mem::take(&mut self.matches), action)]
    }

    /// The value that a comparison of this length (in bytes) reads. It may be in several registers.
    fn compared(&self, register: u32, length: usize) -> Load {
        let mut loads = self.registers.from(register, length);
        if loads.len() == 1 {
            return loads.remove(0);
        }
        let bits = loads.into_iter().map(|load| match load {
            Load::Bits(bits) if bits.len() % 32 == 0 => Some(bits),
            Load::Bits(_) | Load::Name(_) | Load::Kind(_) | Load::Time(_) | Load::Unknown(_) => None,
        });
        let bits: Option<Vec<Vec<Bit>>> = bits.collect();
        bits.map_or_else(|| Load::Unknown("several values".to_owned()), |bits| Load::Bits(bits.concat()))
    }

    /// `NFT_META_…`
    fn meta(&mut self, register: u32, key: u32) {
        let load = match key {
            1 => Load::field(Field::DeclaredType),
            3 => Load::number(Field::Mark),
            6 => Load::Name(Way::In),
            7 => Load::Name(Way::Out),
            9 => Load::number(Field::OutType),
            10 => {
                self.matches.push(Match::is(Field::Socket, 1));
                Load::number(Field::User)
            }
            15 => {
                let number: u8 = match (self.on_link, self.family) {
                    (true, _) => 5,
                    (false, Family::V4) => 2,
                    (false, Family::V6) => 10,
                };
                Load::Bits((0..8).map(|at| Bit::Known(number >> (7 - at) & 1 == 1)).collect())
            }
            16 => {
                self.matches.push(Match::is(Field::Parsed, 1));
                Load::field(Field::Protocol)
            }
            26 => Load::Kind(Way::In),
            27 => Load::Kind(Way::Out),
            30 => Load::Time(Order::Machine),
            key => Load::Unknown(format!("meta key {key}")),
        };
        self.registers.put(register, load);
    }

    /// `NFT_CT_…`
    fn connection(&mut self, register: u32, key: u32, direction: Option<u8>) {
        let first_destination =
            |bits| Load::Bits((0..bits).map(|at| Bit::Of(Field::FirstDestination, at)).collect());
        // A packet without a connection has only a state. The kernel ends the rule for every other key.
        if key != 0 {
            self.matches.extend(Match::tracked());
        }
        let load = match (key, direction) {
            (0, _) => Load::number(Field::State),
            (1, _) => Load::field(Field::Direction),
            (2, _) => Load::number(Field::Status),
            (12, Some(0)) => Load::field(Field::FirstPort),
            (20, Some(0)) => first_destination(32),
            (22, Some(0)) => first_destination(128),
            (key, _) => Load::Unknown(format!("ct key {key}")),
        };
        self.registers.put(register, load);
    }

    fn range(&mut self, body: &Attributes<'_>) -> Result<(), Malformed> {
        let number = |kind| body.number(kind).map(Option::unwrap_or_default);
        let ends = [body.nested(3)?, body.nested(4)?];
        let [first, last] = [ends[0].find(1).ok_or(Malformed)?, ends[1].find(1).ok_or(Malformed)?];
        let inside = self.registers.get(number(1)?).between([first, last]);
        match number(2)? {
            0 => self.matches.extend(inside),
            _ => self.matches.push(Match::Any(vec![inside]).not()),
        }
        Ok(())
    }

    /// Bytes of a header: its number, the first byte, and how many.
    fn payload(&mut self, register: u32, [base, offset, length]: [u32; 3]) {
        let known = match base {
            0 => Some((Field::Frame, 26, vec![Match::is(Field::FrameRead, 1)])),
            1 if self.family == Family::V4 => Some((Field::Network, 20, Vec::new())),
            1 => Some((Field::Network, 40, Vec::new())),
            // In a later fragment the kernel (5.17) reads nothing there.
            2 => {
                let whole = Match::later_fragment(self.family).not();
                let readable = vec![Match::is(Field::Parsed, 1), Match::is(Field::PortRead, 1), whole];
                Some((Field::Transport, 20, readable))
            }
            _ => None,
        };
        let load = match known {
            Some((field, bytes, readable)) if offset.saturating_add(length) <= bytes => {
                self.matches.extend(readable);
                let bits = offset * 8..(offset + length) * 8;
                Load::Bits(bits.map(|at| Bit::Of(field, u16::try_from(at).unwrap_or(u16::MAX))).collect())
            }
            Some(_) | None => {
                self.matches.push(Match::Unknown(format!("payload {base} {offset} {length}")));
                Load::Unknown("bytes of the packet".to_owned())
            }
        };
        self.registers.put(register, load);
    }

    /// Headers of IPv6 for fragments (44) and for routing (43).
    fn extension(&mut self, body: &Attributes<'_>) -> Result<(), Malformed> {
        let number = |kind| body.number(kind).map(Option::unwrap_or_default);
        let header = body.find(2).and_then(|bytes| bytes.first().copied()).unwrap_or_default();
        let present = |field| {
            let zeros = [Bit::Known(false); 7];
            Load::Bits([&zeros[..], &[Bit::Of(field, 0)]].concat())
        };
        let load = match (number(6)?, header, number(3)?, number(4)?, number(5)?) {
            (0, 43, _, _, 1) => present(Field::RoutingHeader),
            (0, 44, _, _, 1) => present(Field::FragmentHeader),
            (0, 44, 2, 2, 0) => {
                self.matches.push(Match::is(Field::FragmentHeader, 1));
                Load::field(Field::FragmentOffset)
            }
            _ => {
                self.matches.push(Match::Unknown(format!("extension header {header}")));
                Load::Unknown("an extension header".to_owned())
            }
        };
        self.registers.put(number(1)?, load);
        Ok(())
    }

    fn bitwise(&mut self, body: &Attributes<'_>) -> Result<(), Malformed> {
        let number = |kind| body.number(kind).map(Option::unwrap_or_default);
        let load = match (number(6)?, body.nested(4)?.find(1), body.nested(5)?.find(1)) {
            (0, Some(mask), Some(change)) => self.compared(number(1)?, mask.len()).masked(mask, change),
            _ => Load::Unknown("a shifted value".to_owned()),
        };
        self.registers.put(number(2)?, load);
        Ok(())
    }

    fn lookup<'s>(
        &mut self,
        body: &Attributes<'_>,
        sets: &dyn Fn(&str) -> Option<&'s Set>,
    ) -> Result<Option<Found>, Malformed> {
        self.may_end();
        let number = |kind| body.number(kind).map(Option::unwrap_or_default);
        let Some(set) = sets(&body.set_name([1, 4])?) else { return Err(Malformed) };
        let loads = self.registers.from(number(2)?, set.key_length);
        let alternatives = set.alternatives(&loads);
        let maps = alternatives.iter().any(|(_, data)| data.is_some());
        match body.number(3)? {
            // `NFT_REG_VERDICT`
            Some(0) if maps => {
                let mut found = Vec::new();
                for (matches, data) in alternatives {
                    let data = data.ok_or(Malformed)?;
                    let verdict = Attributes::of(&data)?.find(2).ok_or(Malformed)?;
                    let matches = [self.matches.clone(), matches].concat();
                    found.push((matches, verdict_of(verdict)?.unwrap_or(Action::Continue)));
                }
                // For a packet that matches no element, the rule ends here.
                Ok(Some(found))
            }
            Some(register) if register != 0 => {
                self.matches.push(Match::Any(alternatives.into_iter().map(|(matches, _)| matches).collect()));
                self.registers.put(register, Load::Unknown("a value of a map".to_owned()));
                Ok(None)
            }
            Some(_) | None => {
                let found = Match::Any(alternatives.into_iter().map(|(matches, _)| matches).collect());
                // `NFT_LOOKUP_F_INV`
                self.matches.push(if number(5)? & 1 == 1 { found.not() } else { found });
                Ok(None)
            }
        }
    }
}

/// Whether an instruction only adds a value to a set: it is not inverted, and has no further condition.
fn is_plain_update(dynset: &Attributes<'_>) -> Result<bool, Malformed> {
    let flags = dynset.number(9)?.unwrap_or_default();
    Ok(flags == 0 && dynset.find(7).is_none() && dynset.find(10).is_none())
}

/// A verdict; `None` for the verdict that continues with the rule.
fn verdict_of(bytes: &[u8]) -> Result<Option<Action>, Malformed> {
    let verdict = Attributes::of(bytes)?;
    let code = verdict.number(1)?.ok_or(Malformed)?.cast_signed();
    Ok(Some(match code {
        0 => Action::Drop,
        1 => Action::Accept,
        // `NFT_CONTINUE`, and `NFT_BREAK`, which ends the rule.
        -1 => return Ok(None),
        -2 => Action::Continue,
        -3 => Action::Jump(verdict.text(2)?),
        -4 => Action::Goto(verdict.text(2)?),
        -5 => Action::Return,
        other => Action::Unknown(format!("verdict {other}")),
    }))
}
