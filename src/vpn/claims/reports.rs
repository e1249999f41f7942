//! How the reports of OpenVPN's hooks change the claims.

use std::collections::BTreeSet;

use super::Claims;
use crate::net::Endpoint;
use crate::vpn::claim::{Claim, Claimant, Ending, Standing};
use crate::vpn::{Lineage, Reason, Report, ReportKind};

impl Claims {
    /// Takes in a report that a hook has sent as root. Returns the protection that has ended.
    pub(in crate::vpn) fn take_root_report(&mut self, report: &Report, now: u64) -> Option<Ending> {
        // The `down` of a process that is gone may come after the `up` of the next.
        let is_late = |claim: &Claim| report.kind != ReportKind::Up && claim.is_another_process(report);
        let hook = |claim: &Claim| {
            claim.claimant == Claimant::Hook
                && claim.interface.as_ref() == Some(&report.interface)
                && !is_late(claim)
        };
        let place = self.list.iter().position(hook);
        match (report.kind, place) {
            (ReportKind::Up, place) => {
                self.take_up(report, place, now);
                None
            }
            (ReportKind::DownAsked, Some(place)) => {
                self.ended_links.extend(self.list[place].index);
                Some(self.list.remove(place).end(None))
            }
            (ReportKind::DownLost, Some(place)) => self.list[place].fail(Reason::ClientRestarts, now),
            (ReportKind::DownAsked | ReportKind::DownLost, None) => None,
        }
    }

    fn take_up(&mut self, report: &Report, place: Option<usize>, now: u64) {
        // If a hook and the management socket of one client both report, the hook's claim stays: it names
        // the interface itself.
        let of_socket = |claim: &Claim| {
            let own = report.pid.is_some() && claim.pid == report.pid;
            own && matches!(claim.claimant, Claimant::Management { .. })
        };
        let place = place.or_else(|| self.list.iter().position(of_socket));
        let old = place.map(|place| self.list.remove(place));
        self.list.retain(|claim| !of_socket(claim));
        let (name, interface) = (report.interface.to_string(), Some(report.interface.clone()));
        let mut claim = Claim::new(Claimant::Hook, name, interface, report.servers(), now);
        claim.pid = report.pid;
        claim.started = report.started;
        // `route-up` and `up` of one client report the same tunnel, each a part of what is known about it.
        if let Some(old) = old.filter(|old| old.pid == report.pid && !old.is_another_process(report)) {
            claim.users = old.users;
            claim.unit = old.unit;
            if claim.endpoints.is_empty() {
                claim.endpoints = old.endpoints;
            }
        }
        self.list.push(claim);
    }

    /// The servers of a hook's tunnel.
    pub(in crate::vpn) fn servers_of_hook(&self, report: &Report) -> BTreeSet<Endpoint> {
        let own = |claim: &&Claim| {
            claim.claimant == Claimant::Hook && claim.interface.as_ref() == Some(&report.interface)
        };
        self.list.iter().rev().find(own).map(|claim| claim.endpoints.clone()).unwrap_or_default()
    }

    /// Whether the machine accepts a report of another user than root. The process must descend from the VPN
    /// client of that tunnel. It may report that the tunnel is lost, and that it is back with a server that
    /// is allowed at that moment.
    pub(in crate::vpn) fn may_report(
        &self,
        report: &Report,
        lineage: &Lineage,
        is_allowed: impl Fn(&Endpoint) -> bool,
    ) -> bool {
        let mut claims = self.list.iter().filter(|claim| claim.is_of(lineage));
        match report.kind {
            ReportKind::DownAsked | ReportKind::DownLost => {
                claims.any(|claim| claim.interface.as_ref() == Some(&report.interface))
            }
            ReportKind::Up => {
                let named = report.servers();
                let servers = |claim: &Claim| {
                    let own = || claim.endpoints.iter().all(&is_allowed);
                    named.iter().any(&is_allowed) || named.is_empty() && own()
                };
                let own: Vec<&Claim> = claims.filter(|claim| claim.is_reported_by(report)).collect();
                own.len() == 1 && own.into_iter().all(servers)
            }
        }
    }

    /// Takes in a report of another user than root, which may name these servers.
    pub(in crate::vpn) fn take_client_report(
        &mut self,
        report: &Report,
        lineage: &Lineage,
        servers: &BTreeSet<Endpoint>,
        now: u64,
    ) -> Vec<Ending> {
        let mut endings = Vec::new();
        for claim in self.list.iter_mut().filter(|claim| claim.is_of(lineage)) {
            match report.kind {
                ReportKind::DownAsked | ReportKind::DownLost => {
                    if claim.interface.as_ref() == Some(&report.interface) {
                        endings.extend(claim.fail(Reason::ClientRestarts, now));
                    }
                }
                ReportKind::Up if claim.is_reported_by(report) => {
                    if !servers.is_empty() {
                        claim.endpoints.clone_from(servers);
                    }
                    claim.heard = report.endpoint;
                    // Without `persist-tun` its link is another one of the same name.
                    claim.index = None;
                    claim.is_of_client = true;
                    claim.set_standing(Standing::Coming, now);
                }
                ReportKind::Up => {}
            }
        }
        endings
    }
}
