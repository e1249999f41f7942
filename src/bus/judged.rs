//! The object on the bus, which knows its caller before it reads what a report says.
//!
//! The library decodes a call's arguments before it runs the method. The arguments of the other methods are
//! numbers, or there are none, and everybody may read properties; a report is text of the caller's.

use std::collections::HashMap;
use std::fmt::Write;

use zbus::export::async_trait::async_trait;
use zbus::message::{Header, Message};
use zbus::names::{InterfaceName, MemberName};
use zbus::object_server::{DispatchResult, Interface, SignalEmitter};
use zbus::{BoxDBusError, Connection, ObjectServer, OwnedVariant, Variant, fdo};

use super::interface::Agent1;

/// The method whose caller is judged first.
const REPORT: &str = "ReportTunnel";

/// The agent's object. All else is [`Agent1`]'s.
pub(super) struct Judged(pub(super) Agent1);

#[async_trait]
impl Interface for Judged {
    fn name() -> InterfaceName<'static> {
        Agent1::name()
    }

    async fn get(
        &self,
        property: &str,
        server: &ObjectServer,
        connection: &Connection,
        header: Option<&Header<'_>>,
        emitter: &SignalEmitter<'_>,
    ) -> Option<Result<OwnedVariant, BoxDBusError>> {
        self.0.get(property, server, connection, header, emitter).await
    }

    async fn get_all(
        &self,
        server: &ObjectServer,
        connection: &Connection,
        header: Option<&Header<'_>>,
        emitter: &SignalEmitter<'_>,
    ) -> fdo::Result<HashMap<String, OwnedVariant>> {
        self.0.get_all(server, connection, header, emitter).await
    }

    async fn set_mut(
        &mut self,
        property: &str,
        value: &Variant<'_>,
        server: &ObjectServer,
        connection: &Connection,
        header: Option<&Header<'_>>,
        emitter: &SignalEmitter<'_>,
    ) -> Option<Result<(), BoxDBusError>> {
        self.0.set_mut(property, value, server, connection, header, emitter).await
    }

    fn call<'call>(
        &'call self,
        server: &'call ObjectServer,
        connection: &'call Connection,
        message: &'call Message,
        name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        if name.as_str() != REPORT {
            return self.0.call(server, connection, message, name);
        }
        DispatchResult::Async(Box::pin(async move {
            let header = message.header();
            let _pass = self.0.gate.enter(&header)?;
            self.0.reporter(&header, connection).await?;
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
        self.0.introspect_to_writer(writer, level);
    }
}
