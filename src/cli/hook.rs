//! `tunwarden hook`: what OpenVPN and NetworkManager call. Whatever happens, it exits 0: a hook that
//! fails ends the VPN.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::{client, complain};
use crate::bus::Fields;
use crate::hooks::{dispatcher, openvpn};
use crate::store::Store;
use crate::system::{self, process};
use crate::vpn::DatedReport;

/// How long the agent may take for its answer. The scripts in `hooks/` give this program 2 s; what is left
/// of them is for the file.
const PATIENCE: Duration = Duration::from_millis(1000);

#[derive(Debug, Subcommand)]
pub(super) enum Hook {
    /// OpenVPN's up and down: reads OpenVPN's environment.
    Openvpn {
        /// OpenVPN's own arguments; everything needed is in the environment.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _arguments: Vec<std::ffi::OsString>,
    },
    /// NetworkManager's dispatcher: an interface and an action.
    Dispatcher {
        /// Interface and action.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

pub(super) async fn run(hook: &Hook) -> ExitCode {
    let fields = match hook {
        Hook::Openvpn { .. } => openvpn::from_environment(std::env::vars_os()).map(Some),
        Hook::Dispatcher { arguments } => {
            Ok(dispatcher::fields(arguments, std::env::var_os("VPN_IP_IFACE").as_deref()))
        }
    };
    match fields {
        Ok(Some(fields)) => report(fields).await,
        Ok(None) => {}
        Err(error) => complain(&format!("tunwarden: this hook call was ignored: {error}")),
    }
    ExitCode::SUCCESS
}

async fn report(mut fields: Fields) {
    let at = system::boottime();
    fields.insert(openvpn::CALLED_AT.to_owned(), at.to_string());
    let sent = tokio::time::timeout(PATIENCE, client::report(fields.clone())).await;
    let why = match sent {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "it did not answer in time".to_owned(),
    };
    complain(&format!("tunwarden: the agent was not told: {why}"));
    // The agent reads it as soon as it can.
    let store = Store::default();
    if nix::unistd::geteuid().is_root()
        && Path::new(store.run()).is_dir()
        && let Ok(Some(mut report)) = openvpn::parse(&fields)
    {
        report.started = report.pid.and_then(process::started);
        if let Err(error) = store.leave_report(&DatedReport { at, report }) {
            complain(&format!(
                "tunwarden: this report is lost: {}; once that is mended, restart the VPN",
                crate::agent::describe(&error)
            ));
        }
    }
}
