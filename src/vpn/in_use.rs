//! Which endpoints may be reached while a VPN connects or protects.

use std::collections::BTreeSet;

use super::Allowance;
use super::claim::{Claim, Standing};
use super::known::Known;
use super::learned::LeftOut;
use crate::config::Scope;
use crate::net::Endpoint;

impl Known<'_> {
    /// The endpoints in use. If the server of a tunnel is not known, the routes past the tunnels show it: `auto`
    /// never opens every address while a VPN protects.
    pub(super) fn in_use(&self) -> Allowance {
        let mut allowance = self.of_claims(Standing::Carrying);
        if allowance.any && self.facts.config.bootstrap.scope == Scope::Auto {
            allowance.any = false;
            let shown = self.servers_by_routes();
            allowance.endpoints.extend(shown.into_iter().map(|endpoint| (endpoint, BTreeSet::new())));
        }
        allowance
    }

    /// Addresses to which a route of their own leads past the tunnels, on the bootstrap ports. A VPN client makes such
    /// a route to its server, because the server must not be reached through the tunnel.
    fn servers_by_routes(&self) -> BTreeSet<Endpoint> {
        let config = &self.facts.config;
        let ports = &config.bootstrap.ports;
        let addresses = self.facts.links.host_routes(config).into_iter();
        let at = |address| ports.iter().filter_map(move |&(by, port)| Endpoint::new(address, by, port).ok());
        addresses.flat_map(at).collect()
    }

    /// Tunnels that protect although nothing shows their servers, while no server at all is allowed.
    pub(super) fn serverless(&self) -> impl Iterator<Item = (String, LeftOut)> {
        let unknown = |claim: &&Claim| claim.standing == Standing::Carrying && claim.endpoints.is_empty();
        let any = self.claims.iter().any(|claim| unknown(&claim)) && {
            let in_use = self.in_use();
            let may_reach = !in_use.endpoints.is_empty() || !in_use.kernel.is_empty() || in_use.any;
            self.facts.config.bootstrap.scope == Scope::Auto && !may_reach
        };
        self.claims
            .iter()
            .filter(unknown)
            .filter(move |_| any)
            .map(|claim| (claim.name.clone(), LeftOut::NoServer))
    }

    /// The endpoints of the claims of this standing; every known endpoint if one of the claims has none.
    pub(super) fn of_claims(&self, standing: Standing) -> Allowance {
        let mut allowance = Allowance::default();
        for claim in self.claims.iter().filter(|claim| claim.standing == standing) {
            if claim.endpoints.is_empty() {
                return self.everything_known();
            }
            self.add_claim(&mut allowance, claim);
        }
        allowance
    }
}
