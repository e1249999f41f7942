//! The agent's object on the bus: methods and signals of [`Agent1`], and the properties of [`PROPERTIES`].
//!
//! It identifies the callers of `ReportTunnel` and `Why` before it decodes their arguments: these are texts of the
//! caller, and zbus decodes the arguments before it runs a method. The other methods have numbers or no arguments, and
//! everybody may read properties.

use std::collections::HashMap;
use std::fmt::Write;

use zbus::export::async_trait::async_trait;
use zbus::message::{Header, Message};
use zbus::names::{InterfaceName, MemberName};
use zbus::object_server::{DispatchResult, Interface, SignalEmitter};
use zbus::{BoxDBusError, Connection, ObjectServer, OwnedVariant, Variant, fdo};

use super::interface::Agent1;
use crate::sources::refusals::Blocked;
use crate::status::{Changes, PROPERTIES, Property};
use crate::system;

/// A function that counts something in the memory of refusals.
type Count = fn(&Blocked) -> u32;

/// The properties that the memory of refusals computes. They are not part of the status, because they may change with
/// each refused packet, and no signal reports that.
const COUNTS: [(&str, Count); 2] = [
    ("Blocked", |blocked| blocked.memory().count()),
    ("WaitingContainers", |blocked| blocked.waiting(system::now())),
];

/// The methods whose callers are identified first.
const REPORT: &str = "ReportTunnel";
const WHY: &str = "Why";

/// The agent's object.
pub(super) struct AgentObject(pub(super) Agent1);

impl AgentObject {
    fn value(&self, property: &Property) -> zbus::Result<OwnedVariant> {
        let value = property.value(&self.0.status.borrow());
        OwnedVariant::try_from(value)
    }

    fn count(&self, count: Count) -> zbus::Result<OwnedVariant> {
        OwnedVariant::try_from(Variant::from(count(&self.0.caller.blocked)))
    }
}

#[async_trait]
impl Interface for AgentObject {
    fn name() -> InterfaceName<'static> {
        Agent1::name()
    }

    async fn get(
        &self,
        property: &str,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> Option<Result<OwnedVariant, BoxDBusError>> {
        let value = match COUNTS.iter().find(|(name, _)| *name == property) {
            Some((_, count)) => self.count(*count),
            None => self.value(Property::named(property)?),
        };
        Some(value.map_err(|error| BoxDBusError::from(fdo::Error::from(error))))
    }

    async fn get_all(
        &self,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> fdo::Result<HashMap<String, OwnedVariant>> {
        let counts = COUNTS.iter().map(|(name, count)| (*name, self.count(*count)));
        let all = PROPERTIES.iter().map(|property| (property.name, self.value(property))).chain(counts);
        all.map(|(name, value)| Ok((name.to_owned(), value?))).collect()
    }

    // With `set_mut`, zbus would wait until every pending call is answered, and answer no other call until then.
    fn set<'call>(
        &'call self,
        property: &'call str,
        _: &'call Variant<'_>,
        _: &'call ObjectServer,
        _: &'call Connection,
        _: Option<&'call Header<'_>>,
        _: &'call SignalEmitter<'_>,
    ) -> DispatchResult<'call> {
        let count = COUNTS.iter().find(|(name, _)| *name == property).map(|(name, _)| *name);
        let Some(name) = count.or_else(|| Some(Property::named(property)?.name)) else {
            return DispatchResult::NotFound;
        };
        DispatchResult::Async(Box::pin(async move {
            Err(fdo::Error::PropertyReadOnly(format!("nobody can set {name}")).into())
        }))
    }

    async fn set_mut(
        &mut self,
        _: &str,
        _: &Variant<'_>,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> Option<Result<(), BoxDBusError>> {
        None
    }

    fn call<'call>(
        &'call self,
        server: &'call ObjectServer,
        connection: &'call Connection,
        message: &'call Message,
        name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        let is_report = name.as_str() == REPORT;
        if !is_report && name.as_str() != WHY {
            return self.0.call(server, connection, message, name);
        }
        DispatchResult::Async(Box::pin(async move {
            let header = message.header();
            let _pass = self.0.limiter.admit(&header)?;
            if is_report {
                self.0.reporter(&header, connection).await?;
            } else {
                self.0.asker_of_why(&header, connection).await?;
            }
            match self.0.call(server, connection, message, name) {
                DispatchResult::Async(answered) => answered.await,
                DispatchResult::NotFound | DispatchResult::RequiresMut => Ok(()),
            }
        }))
    }

    fn call_mut<'call>(
        &'call mut self,
        server: &'call ObjectServer,
        connection: &'call Connection,
        message: &'call Message,
        name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        self.0.call_mut(server, connection, message, name)
    }

    fn introspect_to_writer(&self, writer: &mut dyn Write, level: usize) {
        let mut text = String::new();
        self.0.introspect_to_writer(&mut text, level);
        let end = text.rfind(END).unwrap_or(text.len());
        text.insert_str(end, &self.introspect_properties());
        // Writing to a `String` never fails.
        let _ = writer.write_str(&text);
    }
}

/// The line of the introspection that ends the agent's interface.
const END: &str = "</interface>";

impl AgentObject {
    /// The properties in the form of the introspection.
    fn introspect_properties(&self) -> String {
        let status = self.0.status.borrow();
        let property = |property: &Property| {
            let (name, signature) = (property.name, property.value(&status).value_signature().to_string());
            let start = format!(r#"<property name="{name}" type="{signature}" access="read""#);
            match property.changes {
                Changes::Signalled => format!("{start}/>\n"),
                Changes::Never => format!("{start}>{CONSTANT}</property>\n"),
            }
        };
        let count = |(name, _): &(&str, _)| {
            format!("<property name=\"{name}\" type=\"u\" access=\"read\">{NOT_SIGNALLED}</property>\n")
        };
        PROPERTIES.iter().map(property).chain(COUNTS.iter().map(count)).collect()
    }
}

/// The annotation of a property whose changes no signal reports.
const NOT_SIGNALLED: &str =
    r#"<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="false"/>"#;

/// The annotation of a property that never changes.
const CONSTANT: &str =
    r#"<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="const"/>"#;
