//! The agent's signals as another program on the bus receives them, in order of arrival.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use tokio::sync::oneshot;
use tunwarden_lab::{SystemBus, wait_for};
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Address, MatchRule, Message, MessageStream, OwnedVariant};

use super::SOON;

const NAME: &str = "org.tunwarden.Agent1";

/// One signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusSignal {
    /// `StateChanged` from, to.
    State(String, String),
    /// `VpnLost` with name, interface and reason.
    Lost(String, String, String),
    /// `Repaired` with the missing parts, and the program that removed them if the signal names it.
    Repaired(String, Option<String>),
    /// `PropertiesChanged` of the agent's own interface: names and values, printed.
    Properties(BTreeMap<String, String>),
    /// Any other, by its name.
    Other(String),
}

/// A subscription. It ends when it is dropped. After a restart of the bus a test needs a new one.
pub struct Signals {
    heard: Arc<Mutex<Vec<BusSignal>>>,
    over: Option<oneshot::Sender<()>>,
    listener: Option<JoinHandle<Result<()>>>,
}

impl Signals {
    /// Starts to receive signals.
    ///
    /// # Errors
    /// When the bus cannot be reached.
    pub fn listen(bus: &SystemBus) -> Result<Self> {
        let address: Address = bus.address().as_str().try_into()?;
        let heard = Arc::<Mutex<Vec<BusSignal>>>::default();
        let (over, end) = oneshot::channel();
        let (ready, subscribed) = std::sync::mpsc::channel();
        let notes = Arc::clone(&heard);
        let listener = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let connection = Builder::address(address).build().await?;
                let rule = MatchRule::builder().msg_type(Type::Signal).sender(NAME).build()?;
                let stream = MessageStream::for_match_rule(rule, &connection, NonZero::new(4096)).await?;
                let _ = ready.send(());
                tokio::select! {
                    () = note(stream, &notes) => Ok(()),
                    _ = end => Ok(()),
                }
            })
        });
        if subscribed.recv().is_err() {
            return listener.join().unwrap_or_else(|_| bail!("panicked")).and_then(|()| bail!("ended"));
        }
        Ok(Self { heard, over: Some(over), listener: Some(listener) })
    }

    /// All signals so far.
    pub fn so_far(&self) -> Vec<BusSignal> {
        lock(&self.heard).clone()
    }

    /// Every change of state so far, as `old -> new`.
    pub fn states(&self) -> Vec<String> {
        let state = |heard| match heard {
            BusSignal::State(old, new) => Some(format!("{old} -> {new}")),
            BusSignal::Lost(..)
            | BusSignal::Repaired(..)
            | BusSignal::Properties(_)
            | BusSignal::Other(_) => None,
        };
        self.so_far().into_iter().filter_map(state).collect()
    }

    /// Every loss so far: name, interface, reason.
    pub fn losses(&self) -> Vec<(String, String, String)> {
        let loss = |heard| match heard {
            BusSignal::Lost(name, interface, reason) => Some((name, interface, reason)),
            BusSignal::State(..)
            | BusSignal::Repaired(..)
            | BusSignal::Properties(_)
            | BusSignal::Other(_) => None,
        };
        self.so_far().into_iter().filter_map(loss).collect()
    }

    /// Every repair so far: what was missing, and which program removed it.
    pub fn repairs(&self) -> Vec<(String, Option<String>)> {
        let repair = |heard| match heard {
            BusSignal::Repaired(what, by) => Some((what, by)),
            BusSignal::State(..) | BusSignal::Lost(..) | BusSignal::Properties(_) | BusSignal::Other(_) => {
                None
            }
        };
        self.so_far().into_iter().filter_map(repair).collect()
    }

    /// Waits for the `count`th change to a state. All earlier signals of the agent have arrived then.
    ///
    /// # Errors
    /// When it does not come.
    pub fn wait_for(&self, state: &str, count: usize) -> Result<()> {
        let changes =
            || self.so_far().into_iter().filter(|h| matches!(h, BusSignal::State(_, new) if new == state));
        let came = wait_for(&format!("change {count} to {state} on the bus"), SOON * 3, || {
            Ok((changes().count() >= count).then_some(()))
        });
        came.with_context(|| format!("heard: {:?}", self.so_far()))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn lock(heard: &Mutex<Vec<BusSignal>>) -> MutexGuard<'_, Vec<BusSignal>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn note(mut stream: MessageStream, heard: &Mutex<Vec<BusSignal>>) {
    while let Some(Ok(message)) = stream.next().await {
        let read = read(&message).unwrap_or_else(|error| BusSignal::Other(format!("unreadable: {error:#}")));
        lock(heard).push(read);
    }
}

fn read(message: &Message) -> Result<BusSignal> {
    let (header, body) = (message.header(), message.body());
    let member = header.member().context("no member")?.to_string();
    let interface = header.interface().context("no interface")?.to_string();
    type Dict = HashMap<String, OwnedVariant>;
    Ok(match (interface.as_str(), member.as_str()) {
        (NAME, "StateChanged") => {
            let (old, new, _): (String, String, Dict) = body.deserialize()?;
            BusSignal::State(old, new)
        }
        (NAME, "VpnLost") => {
            let (name, interface, reason) = body.deserialize()?;
            BusSignal::Lost(name, interface, reason)
        }
        (NAME, "Repaired") => {
            let (what, mut by): (String, Dict) = body.deserialize()?;
            let program = by.remove("program").map(String::try_from).transpose();
            BusSignal::Repaired(what, program.context("program is no text")?)
        }
        ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
            let (of, changed, invalidated): (String, Dict, Vec<String>) = body.deserialize()?;
            if of != NAME || !invalidated.is_empty() {
                bail!("PropertiesChanged of {of}, {invalidated:?} without a value");
            }
            let shown = changed.into_iter().map(|(name, value)| (name, value.to_string()));
            BusSignal::Properties(shown.collect())
        }
        (NAME, _) => BusSignal::Other(member),
        (_, _) => BusSignal::Other(format!("{interface}.{member}")),
    })
}
