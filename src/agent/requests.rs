//! What callers on the bus, and SIGHUP, ask of the loop.

use sd_notify::NotifyState;

use super::owners::owners;
use super::{Agent, describe};
use crate::bus::{Answer, Request, Verified};
use crate::effects::reconnect::Reach;
use crate::effects::systemd::notify;
use crate::firewall::Firewall;
use crate::policy;
use crate::vpn::{Event, Reporter};

/// Why a report of a process other than root's was refused.
const NOT_YOURS: &str = "the VPN client of this tunnel may report the loss of the tunnel, and its return; \
                         this call comes from another process, or reports something else";

impl Agent {
    pub(super) async fn answer(&mut self, request: Request) {
        match request {
            Request::Pause(seconds, scope, by, answer) => {
                let result = self.pause(seconds, scope, by).await;
                let _ = answer.send(result);
            }
            Request::Resume(by, answer) => {
                let result = self.resume(by).await;
                let _ = answer.send(result);
            }
            Request::Reload(answer) => {
                let result = self.reload().await;
                let _ = answer.send(result);
            }
            Request::Verify(by, answer) => self.looks.want(by.uid, answer),
            Request::Reconnect(answer) => match self.machine.comeback() {
                Ok(comeback) if self.machine.carries(&comeback) => {
                    let _ = answer.send(Ok(()));
                }
                Ok(comeback) => self.bring_back(comeback, Reach::Everything, Some(answer)),
                Err(error) => {
                    let _ = answer.send(Err(error.to_string()));
                }
            },
            Request::Report(dated, reporter, answer) => {
                if !self.machine.may_report(&dated.report, &reporter) {
                    let _ = answer.send(Err(NOT_YOURS.to_owned()));
                    return;
                }
                match reporter {
                    Reporter::Root => self.take_root_report(dated),
                    Reporter::Client(_) => {
                        tracing::info!("{reporter} reports {}", dated.report);
                        self.take(Event::Report(dated.report, reporter));
                    }
                }
                // OpenVPN waits for its hook: it goes on before the rules have moved.
                let _ = answer.send(Ok(()));
                self.enforce().await;
            }
        }
    }

    pub(super) fn in_force(&self) -> Answer {
        match self.applied {
            Some(_) => Ok(()),
            None => Err("the rules could not be put in force; see: journalctl -u tunwarden".to_owned()),
        }
    }

    pub(super) async fn reload_on_signal(&mut self) {
        // `Type=notify-reload` waits for the time as well (sd_notify(3)).
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(_) => notify(&[NotifyState::Reloading]),
        }
        if let Err(error) = self.reload().await {
            tracing::error!("the configuration was refused, the old one stays in force:\n{error}");
        }
        notify(&[NotifyState::Ready]);
    }

    async fn reload(&mut self) -> Answer {
        let written = match (self.load)() {
            Ok(written) => written,
            Err(faults) => {
                self.configuration.refuse(&faults);
                self.tell().await;
                return Err(faults.to_string());
            }
        };
        self.configuration.accept(&written);
        let config = written.config;
        self.owners = owners(&config);
        if config.firewall != self.machine.config().firewall {
            self.firewall.disown().await;
            self.firewall = Firewall::of_agent(&config.firewall);
            self.applied = None;
        }
        tracing::info!("the configuration was read anew");
        self.take(Event::Config(Box::new(config)));
        self.enforce().await;
        self.in_force()
    }

    /// One look for everybody who waits for one.
    pub(super) async fn look_for_all(&mut self) {
        let waiting = self.looks.take();
        let result = self.verify().await;
        tracing::debug!("looked at the kernel for {} callers", waiting.len());
        for answer in waiting {
            let _ = answer.send(result.clone());
        }
    }

    /// Compares, and puts right what differs.
    async fn verify(&mut self) -> Verified {
        let ruleset = policy::ruleset(self.machine.config(), &self.owners, &self.machine.situation());
        let lines = self.firewall.differences(&ruleset).await.map_err(|error| describe(&error))?;
        if !lines.is_empty() {
            tracing::warn!("the kernel did not hold the rules: {}", lines.join("; "));
            self.look = true;
            self.enforce().await;
        }
        Ok(lines)
    }
}
