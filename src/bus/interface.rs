//! `org.tunwarden.Agent1`, as design and introspection have it.

use std::collections::{BTreeMap, HashMap};

use tokio::sync::{oneshot, watch};
use zbus::fdo;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, Variant, interface};

use super::caller;
use super::dict::{
    Dict, Nested, bootstrap_dict, configuration_dict, docker_dict, fight_dict, left_out_dict, loss_dict,
    management_dict, tunnel_dict,
};
use super::gate::Gate;
use super::{Asker, Caller, LONGEST_PAUSE, Request};
use crate::config::Reconnect;
use crate::hooks::openvpn;
use crate::status::{LayerStatus, Status, Watch};
use crate::system::{self, process};
use crate::vpn::{DatedReport, PauseScope, Reporter};

/// The polkit action for opening everything.
const PAUSE_ACTION: &str = "org.tunwarden.agent1.pause";

/// The polkit action for bringing a VPN back.
const RECONNECT_ACTION: &str = "org.tunwarden.agent1.reconnect";

/// The object on the bus.
pub(super) struct Agent1 {
    pub(super) caller: Caller,
    pub(super) status: watch::Receiver<Status>,
    pub(super) gate: Gate,
}

#[interface(name = "org.tunwarden.Agent1")]
impl Agent1 {
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> String {
        self.status.borrow().version.clone()
    }

    #[zbus(property)]
    fn state(&self) -> String {
        self.status.borrow().state.to_string()
    }

    #[zbus(property)]
    fn since(&self) -> u64 {
        self.status.borrow().since
    }

    #[zbus(property)]
    fn enforced(&self) -> bool {
        self.status.borrow().enforced()
    }

    /// What may leave this machine now: `protected`, `locked`, `open` or `unknown`.
    #[zbus(property)]
    fn verdict(&self) -> &'static str {
        self.status.borrow().verdict().as_str()
    }

    /// Why the rules of an earlier state are in force, or why it is not known which are; empty when the
    /// rules of this state are in force.
    #[zbus(property)]
    fn pending(&self) -> String {
        self.status.borrow().pending.clone().unwrap_or_default()
    }

    #[zbus(property)]
    fn tunnels(&self) -> Vec<Dict> {
        self.status.borrow().tunnels.iter().map(tunnel_dict).collect()
    }

    #[zbus(property)]
    fn bootstrap(&self) -> Vec<Dict> {
        self.status.borrow().bootstrap.iter().map(bootstrap_dict).collect()
    }

    #[zbus(property)]
    fn paused_until(&self) -> u64 {
        self.status.borrow().paused_until.unwrap_or_default()
    }

    #[zbus(property)]
    fn pause_scope(&self) -> String {
        scope_word(&self.status.borrow()).to_owned()
    }

    #[zbus(property)]
    fn docker(&self) -> Nested {
        docker_dict(&self.status.borrow().docker)
    }

    #[zbus(property)]
    fn layers(&self) -> Vec<Dict> {
        self.status.borrow().layers.iter().map(LayerStatus::dict).collect()
    }

    #[zbus(property)]
    fn loss(&self) -> Dict {
        loss_dict(self.status.borrow().loss.as_ref())
    }

    /// Which configuration is in force: `source`, `path`, and `fault` if the file is refused.
    #[zbus(property)]
    fn configuration(&self) -> Dict {
        configuration_dict(self.status.borrow().configuration.as_ref())
    }

    /// VPNs of which something cannot be used: `name`, `reason`, `remedy`.
    #[zbus(property)]
    fn left_out(&self) -> Vec<Dict> {
        self.status.borrow().left_out.iter().map(left_out_dict).collect()
    }

    /// Who brings a lost VPN back: `ask`, `auto` or `never`, as `vpn.reconnect` says.
    #[zbus(property)]
    fn reconnect_policy(&self) -> &'static str {
        policy_word(&self.status.borrow())
    }

    /// Where plain OpenVPN clients are heard, or are not.
    #[zbus(property)]
    fn management(&self) -> Vec<Dict> {
        self.status.borrow().management.iter().map(management_dict).collect()
    }

    #[zbus(property)]
    fn repairs(&self) -> u32 {
        self.status.borrow().repairs
    }

    /// How changes that others make to the kernel's tables are seen: `netfilter` or `slow`.
    #[zbus(property)]
    fn watch(&self) -> &'static str {
        self.status.borrow().watch.map_or("", Watch::as_str)
    }

    /// Who takes the rules away again and again: `program`, and `count` in the last minute.
    #[zbus(property)]
    fn fights(&self) -> Vec<Dict> {
        self.status.borrow().fights.iter().map(fight_dict).collect()
    }

    /// Opens everything for `seconds`. Asks polkit about the caller, unless that is root.
    async fn pause(
        &self,
        seconds: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        self.open(seconds, PauseScope::Everything, &header, connection).await.map(drop)
    }

    /// Opens for `seconds` what signing in at a captive portal takes: DNS and web pages of the host.
    /// Ends when the VPN is up. Judged as `Pause`; says when it ends.
    #[zbus(out_args("until"))]
    async fn pause_portal(
        &self,
        seconds: u64,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<u64> {
        self.open(seconds, PauseScope::Portal, &header, connection).await
    }

    /// Closes again at once. Tightening never asks.
    async fn resume(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        let _pass = self.gate.enter(&header)?;
        let asker = caller::asker(connection, &header).await?;
        self.asked(|answer| Request::Resume(asker, answer)).await
    }

    /// Reads the configuration anew; a bad one is refused and the old one stays.
    async fn reload(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        let _pass = self.gate.enter(&header)?;
        if caller::uid(connection, &header).await? != 0 {
            return Err(fdo::Error::AccessDenied("only root may reload the configuration".to_owned()));
        }
        self.asked(Request::Reload).await
    }

    /// Every difference between the kernel and the policy, a line each.
    async fn verify(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<Vec<String>> {
        let _pass = self.gate.enter(&header)?;
        let asker = Asker { uid: caller::uid(connection, &header).await?, name: None };
        self.asked(|answer| Request::Verify(asker, answer)).await
    }

    /// Brings the VPN back that was there last, through NetworkManager: the VPN; if that does not help
    /// its network; if that does not help all networks. Answers at the end, which may take minutes.
    async fn reconnect(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        let _pass = self.gate.enter(&header)?;
        caller::authorize(connection, &header, RECONNECT_ACTION).await?;
        self.asked(Request::Reconnect).await
    }

    /// What OpenVPN's hooks call, with OpenVPN's own keys. [`super::judged::Judged`] has let the caller in.
    async fn report_tunnel(
        &self,
        fields: BTreeMap<String, String>,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        let (uid, reporter) = self.reporter(&header, connection).await?;
        let report = openvpn::parse(&fields).map_err(|error| {
            self.gate.complain(uid, &format!("refused a report of user {uid}: {error}"));
            fdo::Error::InvalidArgs(error.to_string())
        })?;
        let Some(mut report) = report else { return Ok(()) };
        report.started = report.pid.and_then(process::started);
        let now = system::boottime();
        let at = openvpn::called_at(&fields).map_or(now, |at| at.min(now));
        let dated = DatedReport { at, report };
        let answer = self.caller.ask(|answer| Request::Report(dated, reporter, answer)).await;
        answer.unwrap_or_else(|| Err(ENDING.to_owned())).map_err(|error| {
            self.gate.complain(uid, &format!("refused a report of user {uid}: {error}"));
            fdo::Error::AccessDenied(error)
        })
    }

    /// The state changed. (The name `state_changed` is taken: it is the property's.)
    #[zbus(signal, name = "StateChanged")]
    pub(super) async fn announce_state(
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
    /// The caller's user id, and as whom it reports.
    pub(super) async fn reporter(
        &self,
        header: &Header<'_>,
        connection: &Connection,
    ) -> fdo::Result<(u32, Reporter)> {
        let clients = self.status.borrow().clients.clone();
        let (uid, reporter) = caller::reporter(connection, header, &clients).await?;
        let reporter = reporter.ok_or_else(|| {
            self.gate.complain(uid, &format!("refused a report of user {uid} from outside every VPN client"));
            fdo::Error::AccessDenied("only root and a VPN client itself may report".to_owned())
        })?;
        Ok((uid, reporter))
    }

    async fn asked<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Request,
    ) -> fdo::Result<T> {
        self.caller.ask(request).await.unwrap_or_else(|| Err(ENDING.to_owned())).map_err(fdo::Error::Failed)
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
        let _pass = self.gate.enter(header)?;
        caller::authorize(connection, header, PAUSE_ACTION).await?;
        let asker = caller::asker(connection, header).await?;
        self.asked(|answer| Request::Pause(seconds, scope, asker, answer)).await
    }
}

/// The properties that differ between two statuses, as `PropertiesChanged` carries them.
pub(super) fn changed(old: &Status, new: &Status) -> HashMap<&'static str, Variant<'static>> {
    let mut changed = HashMap::new();
    let mut put = |name, differs: bool, value: Variant<'static>| {
        if differs {
            changed.insert(name, value);
        }
    };
    let tunnels: Vec<Dict> = new.tunnels.iter().map(tunnel_dict).collect();
    let bootstrap: Vec<Dict> = new.bootstrap.iter().map(bootstrap_dict).collect();
    put("State", old.state != new.state, Variant::from(new.state.as_str()));
    put("Since", old.since != new.since, Variant::from(new.since));
    put("Enforced", old.enforced() != new.enforced(), Variant::from(new.enforced()));
    put("Verdict", old.verdict() != new.verdict(), Variant::from(new.verdict().as_str()));
    put("Pending", old.pending != new.pending, Variant::from(new.pending.clone().unwrap_or_default()));
    put("Tunnels", old.tunnels != new.tunnels, Variant::from(tunnels));
    put("Bootstrap", old.bootstrap != new.bootstrap, Variant::from(bootstrap));
    put(
        "PausedUntil",
        old.paused_until != new.paused_until,
        Variant::from(new.paused_until.unwrap_or_default()),
    );
    put("PauseScope", old.pause != new.pause, Variant::from(scope_word(new)));
    put("Docker", old.docker != new.docker, Variant::from(docker_dict(&new.docker)));
    let layers: Vec<Dict> = new.layers.iter().map(LayerStatus::dict).collect();
    put("Layers", old.layers != new.layers, Variant::from(layers));
    put("Loss", old.loss != new.loss, Variant::from(loss_dict(new.loss.as_ref())));
    put(
        "Configuration",
        old.configuration != new.configuration,
        Variant::from(configuration_dict(new.configuration.as_ref())),
    );
    let left_out: Vec<Dict> = new.left_out.iter().map(left_out_dict).collect();
    put("LeftOut", old.left_out != new.left_out, Variant::from(left_out));
    put("ReconnectPolicy", old.reconnect != new.reconnect, Variant::from(policy_word(new)));
    let management: Vec<Dict> = new.management.iter().map(management_dict).collect();
    put("Management", old.management != new.management, Variant::from(management));
    let fights: Vec<Dict> = new.fights.iter().map(fight_dict).collect();
    put("Watch", old.watch != new.watch, Variant::from(new.watch.map_or("", Watch::as_str)));
    put("Fights", old.fights != new.fights, Variant::from(fights));
    put("Repairs", old.repairs != new.repairs, Variant::from(new.repairs));
    changed
}

fn policy_word(status: &Status) -> &'static str {
    status.reconnect.map_or("", Reconnect::as_str)
}

fn scope_word(status: &Status) -> &'static str {
    status.pause.map_or("", |pause| pause.scope.as_str())
}
