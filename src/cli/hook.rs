//! `tunwarden hook`: called by OpenVPN and NetworkManager. It always exits with 0, because OpenVPN ends a VPN
//! whose hook fails.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::{client, warn};
use crate::bus::Fields;
use crate::hooks::{dispatcher, openvpn};
use crate::store::Store;
use crate::system::{self, process};
use crate::vpn::DatedReport;

/// How long the agent may take to answer. The scripts in `hooks/` stop this program after 2 s, so the rest of the time
/// is left for writing the file.
const TIMEOUT: Duration = Duration::from_millis(1000);

#[derive(Debug, Subcommand)]
pub(super) enum Hook {
    /// Called for OpenVPN's up and down events; reads OpenVPN's environment.
    Openvpn {
        /// OpenVPN's arguments. They are ignored: the environment says everything.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _arguments: Vec<std::ffi::OsString>,
    },
    /// Called by NetworkManager's dispatcher with an interface and an action.
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
        Err(error) => warn(&format!("tunwarden: this hook call was ignored: {error}")),
    }
    ExitCode::SUCCESS
}

async fn report(mut fields: Fields) {
    let at = system::boottime();
    fields.insert(openvpn::CALLED_AT.to_owned(), at.to_string());
    let sent = tokio::time::timeout(TIMEOUT, client::report(fields.clone())).await;
    let why = match sent {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "it did not answer within 1 s".to_owned(),
    };
    warn(&format!("tunwarden: the agent did not receive the report: {why}"));
    // The agent reads the file as soon as it can.
    let store = Store::default();
    if nix::unistd::geteuid().is_root()
        && Path::new(store.run()).is_dir()
        && let Ok(Some(mut report)) = openvpn::parse(&fields)
    {
        report.started = report.pid.and_then(process::started);
        if let Err(error) = store.store_report(&DatedReport { at, report }) {
            warn(&format!(
                "tunwarden: this report is lost: {}; once that is mended, restart the VPN",
                crate::agent::describe(&error)
            ));
        }
    }
}
