//! The methods and signals of `org.tunwarden.Agent1`. A table of the status defines the properties: see
//! [`super::object`].

use std::collections::{BTreeMap, HashMap};

use tokio::sync::{Mutex, oneshot, watch};
use zbus::fdo;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedVariant, Variant, interface};

use super::blocked::{Written, written};
use super::caller;
use super::limiter::CallLimiter;
use super::why;
use super::{Caller, LONGEST_PAUSE, Request, Requester};
use crate::hooks::openvpn;
use crate::status::Status;
use crate::system::{self, process};
use crate::vpn::{DatedReport, PauseScope, Reporter};

/// The polkit action for opening everything.
const PAUSE_ACTION: &str = "org.tunwarden.agent1.pause";

/// The polkit action for bringing a VPN back.
const RECONNECT_ACTION: &str = "org.tunwarden.agent1.reconnect";

/// The polkit action for reading which packets of other users were refused.
const BLOCKED_ACTION: &str = "org.tunwarden.agent1.blocked";

/// The object on the bus.
pub(super) struct Agent1 {
    pub(super) caller: Caller,
    pub(super) status: watch::Receiver<Status>,
    pub(super) limiter: CallLimiter,
    /// Held while an answer of `Why` is computed. Two at once would need too much memory.
    pub(super) question: Mutex<()>,
}

#[interface(name = "org.tunwarden.Agent1")]
impl Agent1 {
    /// Opens everything for `seconds`. Asks polkit about the caller, unless that is root.
    async fn pause(
        &self,
        seconds: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        self.open(seconds, PauseScope::Everything, &header, connection).await.map(drop)
    }

    /// Opens for `seconds` what a sign-in at a captive portal needs: DNS and web pages of the host.
    /// Ends when the VPN is up. Authorized like `Pause`. Returns when it ends.
    #[zbus(out_args("until"))]
    async fn pause_portal(
        &self,
        seconds: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<u64> {
        self.open(seconds, PauseScope::Portal, &header, connection).await
    }

    /// Closes again at once. This needs no authorization.
    async fn resume(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        let _pass = self.limiter.admit(&header)?;
        let uid = caller::uid(connection, &header).await?;
        let _place = self.limiter.admit_user(uid)?;
        let asker = caller::asker(uid).await;
        self.asked(|answer| Request::Resume(asker, answer)).await
    }

    /// Reads the configuration again. A faulty one is refused, and the old one stays in force.
    async fn reload(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        let _pass = self.limiter.admit(&header)?;
        if caller::uid(connection, &header).await? != 0 {
            return Err(fdo::Error::AccessDenied("only root may reload the configuration".to_owned()));
        }
        self.asked(Request::Reload).await
    }

    /// Returns every difference between the kernel and the policy, one on each line.
    async fn verify(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<Vec<String>> {
        let _pass = self.limiter.admit(&header)?;
        let uid = caller::uid(connection, &header).await?;
        let _place = self.limiter.admit_user(uid)?;
        let asker = Requester { uid, name: None };
        self.asked(|answer| Request::Verify(asker, answer)).await
    }

    /// Brings the last VPN back through NetworkManager. First it restarts the VPN, then the VPN's network, then
    /// all networks. Answers at the end, which may take minutes.
    async fn reconnect(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        let _pass = self.limiter.admit(&header)?;
        let uid = caller::uid(connection, &header).await?;
        let _place = self.limiter.admit_user(uid)?;
        caller::authorize(connection, &header, (uid, RECONNECT_ACTION)).await?;
        self.asked(Request::Reconnect).await
    }

    /// Returns which packets were refused since this time, newest last, at most the newest 500 groups. An ordinary user
    /// gets only refusals of their own user id. All refusals need an authorization by polkit, which asks the user only
    /// if the caller allows questions.
    #[zbus(out_args("groups"))]
    async fn recently_blocked(
        &self,
        since: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<Vec<Written>> {
        let _pass = self.limiter.admit(&header)?;
        let uid = caller::uid(connection, &header).await?;
        let _place = self.limiter.admit_user(uid)?;
        let _reading = self.limiter.admit_reader(uid)?;
        let sees_all = caller::may(connection, &header, (uid, BLOCKED_ACTION)).await;
        let of = (!sees_all).then_some(uid);
        // The source of refusals waits while the memory is locked, so the answer is written after that.
        let groups = {
            let memory = self.caller.blocked.memory();
            if let Some(why) = memory.fault() {
                return Err(fdo::Error::Failed(format!("it is not known who is refused: {why}")));
            }
            memory.since(since, of, system::now())
        };
        Ok(groups.iter().map(written).collect())
    }

    /// Returns what the kernel would do with a packet to this destination now, and which rule of which program decides,
    /// as `tunwarden why --json` does. The options are `as`, a user by name or number, or `from`, a container or bridge.
    /// This shows the firewall's rules, so it needs an authorization by polkit.
    #[zbus(out_args("answer"))]
    async fn why(
        &self,
        destination: &str,
        options: HashMap<String, OwnedVariant>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<HashMap<String, OwnedVariant>> {
        // [`super::object::AgentObject`] has let the caller in.
        let uid = caller::uid(connection, &header).await?;
        let _place = self.limiter.admit_user(uid)?;
        let arguments = why::arguments(destination, &options, uid)?;
        let busy = |_| fdo::Error::LimitsExceeded("another question is being answered; ask again".to_owned());
        let _one = self.question.try_lock().map_err(busy)?;
        why::ask(&arguments).await
    }

    /// What OpenVPN's hooks call, with OpenVPN's own keys. [`super::object::AgentObject`] has
    /// let the caller in.
    async fn report_tunnel(
        &self,
        fields: BTreeMap<String, String>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        let (uid, reporter) = self.reporter(&header, connection).await?;
        let report = openvpn::parse(&fields).map_err(|error| {
            self.limiter.log_refused(uid, &format!("refused a report of user {uid}: {error}"));
            fdo::Error::InvalidArgs(error.to_string())
        })?;
        let Some(mut report) = report else { return Ok(()) };
        report.started = report.pid.and_then(process::started);
        let now = system::boottime();
        let at = openvpn::called_at(&fields).map_or(now, |at| at.min(now));
        let dated = DatedReport { at, report };
        let answer = self.caller.requests.ask(|answer| Request::Report(dated, reporter, answer)).await;
        answer.unwrap_or_else(|| Err(ENDING.to_owned())).map_err(|error| {
            self.limiter.log_refused(uid, &format!("refused a report of user {uid}: {error}"));
            fdo::Error::AccessDenied(error)
        })
    }

    /// The state changed.
    #[zbus(signal)]
    pub(super) async fn state_changed(
        emitter: &SignalEmitter<'_>,
        old: &str,
        new: &str,
        details: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn vpn_lost(
        emitter: &SignalEmitter<'_>,
        name: &str,
        interface: &str,
        reason: &str,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn repaired(
        emitter: &SignalEmitter<'_>,
        what: &str,
        by: HashMap<&str, Variant<'_>>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn enforcement_failed(emitter: &SignalEmitter<'_>, why: &str) -> zbus::Result<()>;
}

const ENDING: &str = "the agent is ending";

impl Agent1 {
    /// The caller's user id, and the role in which it reports.
    pub(super) async fn reporter(
        &self,
        header: &Header<'_>,
        connection: &Connection,
    ) -> fdo::Result<(u32, Reporter)> {
        let clients = self.caller.clients.borrow().clone();
        let (uid, reporter) = caller::reporter(connection, header, &clients).await?;
        let reporter = reporter.ok_or_else(|| {
            self.limiter
                .log_refused(uid, &format!("refused a report of user {uid} from outside every VPN client"));
            fdo::Error::AccessDenied("only root and a VPN client itself may report".to_owned())
        })?;
        Ok((uid, reporter))
    }

    /// The user id of a caller who may call `Why`. Polkit asks the user only if the caller allows that.
    pub(super) async fn asker_of_why(
        &self,
        header: &Header<'_>,
        connection: &Connection,
    ) -> fdo::Result<u32> {
        let uid = caller::uid(connection, header).await?;
        let _place = self.limiter.admit_user(uid)?;
        match caller::may(connection, header, (uid, BLOCKED_ACTION)).await {
            true => Ok(uid),
            false => Err(fdo::Error::AccessDenied(format!("polkit did not allow {BLOCKED_ACTION}"))),
        }
    }

    async fn asked<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Request,
    ) -> fdo::Result<T> {
        self.caller
            .requests
            .ask(request)
            .await
            .unwrap_or_else(|| Err(ENDING.to_owned()))
            .map_err(fdo::Error::Failed)
    }

    async fn open(
        &self,
        seconds: u64,
        scope: PauseScope,
        header: &Header<'_>,
        connection: &Connection,
    ) -> fdo::Result<u64> {
        if !(1..=LONGEST_PAUSE).contains(&seconds) {
            return Err(fdo::Error::InvalidArgs(format!(
                "a pause is 1 to {LONGEST_PAUSE} seconds, not {seconds}"
            )));
        }
        let _pass = self.limiter.admit(header)?;
        let uid = caller::uid(connection, header).await?;
        let _place = self.limiter.admit_user(uid)?;
        caller::authorize(connection, header, (uid, PAUSE_ACTION)).await?;
        let asker = caller::asker(uid).await;
        self.asked(|answer| Request::Pause(seconds, scope, asker, answer)).await
    }
}
