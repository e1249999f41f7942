//! What the machine answers: what is true now, and what the sources are to watch.

use std::collections::BTreeSet;

use super::machine::timestamp;
use super::{
    Detours, DockerReport, LeftOut, Link, LinkKind, Listening, Machine, ManagementSocket, Pause, PauseScope,
    Report, Reporter, Situation, SocketState, State, TunnelId,
};
use crate::config::Config;
use crate::net::IfName;

impl Machine {
    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.facts.config
    }

    /// What is true now: all that the rules follow from.
    pub fn situation(&self) -> Situation {
        let (links, docker, config) = (&self.facts.links, &self.facts.docker, &self.facts.config);
        let row = if self.state() == State::Paused { self.state_without_pause() } else { self.state() };
        let pause = self.pause();
        let situation = Situation {
            state: self.state(),
            paused_until: pause.and_then(|pause| timestamp(pause.until)),
            paused_from: pause.and_then(|pause| timestamp(pause.from)),
            pause_scope: pause.map(|pause| pause.scope).unwrap_or_default(),
            portal_uplinks: self.portal_uplinks(),
            bootstrap: self.known().allowance(row),
            resolvers: self.resolvers(),
            question_mark: self.question_mark(),
            tunnels: self.claims.tunnels(&self.facts),
            tunnel_networks: links.tunnel_networks(config),
            tunnel_addresses: links.tunnel_addresses(config),
            further_tunnels: self.further_tunnels(),
            exact_tunnels: links.exact_tunnels.clone(),
            named_tunnels: self.claims.named_tunnels(&self.facts),
            uplinks: links.uplinks(config),
            wires: links.wires(config),
            unnamed_wires: links.unnamed_wires(config),
            ppp_links: links.ppp_links(config),
            pppoe: links.pppoe(config),
            known_uplinks: links.known_uplinks(),
            connection_links: self.connection_links(),
            bridges: links.other_bridges(config),
            shut_out: links.shut_out(config),
            published: docker.proxied(config),
            forwarded: Vec::new(),
            networks: docker.accesses(links, config),
            ipv4_bridges: docker.ipv4_bridges(links, config),
            ipv6_bridges: docker.ipv6_bridges(links, config),
        };
        let forwarded = docker.forwarded(config, &situation.open_tunnel_addresses());
        Situation { forwarded, ..situation }
    }

    /// Whether a session of PPPoE would count: there is a link of PPP that is no tunnel.
    pub fn counts_pppoe(&self) -> bool {
        !self.facts.links.ppp_links(&self.facts.config).is_empty()
    }

    /// The reports of root that still stand, so that the next agent can take them in.
    pub fn reports(&self) -> Vec<Report> {
        self.claims.reports()
    }

    /// Whether the machine accepts a report: every report of root, and from another process only what the
    /// VPN client of that tunnel may report.
    pub fn may_report(&self, report: &Report, reporter: &Reporter) -> bool {
        let Reporter::Client(lineage) = reporter else { return true };
        let report = &self.known().with_transport_of_files(report);
        let allowed = self.known().allowance(self.state_without_pause()).endpoints;
        self.claims.may_report(report, lineage, |server| allowed.contains_key(server))
    }

    /// The processes of VPN clients: what descends from one may report that its tunnel is lost, and that it is back.
    pub fn clients(&self) -> BTreeSet<u32> {
        self.claims.clients()
    }

    /// The management sockets that the agent connects to.
    pub fn management_sockets(&self) -> Vec<ManagementSocket> {
        self.facts.sockets.all().keys().cloned().collect()
    }

    /// Every management socket, and whether the agent is connected to its client.
    pub fn socket_states(&self) -> impl Iterator<Item = (&ManagementSocket, &SocketState)> {
        self.facts.sockets.all().iter()
    }

    /// The links of WireGuard devices that count, to be read. Not the device of an ordinary user's program.
    pub fn wireguard_links(&self) -> Vec<Link> {
        let links = &self.facts.links;
        let of_root = |link: &&Link| !links.may_be_users(link);
        let may_be = |link: &&Link| matches!(link.kind, LinkKind::WireGuard | LinkKind::Tunnel);
        links.exact().filter(of_root).filter(may_be).cloned().collect()
    }

    /// The tunnels whose servers are silent, for the next agent.
    pub fn silent_tunnels(&self) -> BTreeSet<TunnelId> {
        self.claims.silent_tunnels()
    }

    /// The servers to listen for now.
    pub fn listening(&self) -> Vec<Listening> {
        self.claims.listening(&self.facts)
    }

    /// Which servers have to be reached past a dead tunnel.
    pub fn detours(&self) -> Detours {
        self.claims.detours(&self.facts)
    }

    /// What the status shows of Docker; `None` while it does not answer.
    pub fn docker(&self) -> Option<DockerReport> {
        // While no VPN protects, no port is forwarded.
        let protects = self.protects() && !self.facts.config.docker.forwarded.is_empty();
        let tunnels = if protects { self.situation().open_tunnel_addresses() } else { BTreeSet::new() };
        self.facts.docker.report(&self.facts.links, &self.facts.config, &tunnels)
    }

    /// The pause, while there is one.
    pub fn pause(&self) -> Option<Pause> {
        self.outcome.pause()
    }

    /// Whether a VPN protects, also during a pause.
    pub fn protects(&self) -> bool {
        self.state_without_pause() == State::Protected
    }

    /// The uplinks by which an answer from a portal can come.
    fn portal_uplinks(&self) -> Vec<IfName> {
        match self.pause() {
            Some(Pause { scope: PauseScope::Portal, .. }) => self.facts.links.ways_out(&self.facts.config),
            Some(Pause { scope: PauseScope::Everything, .. }) | None => Vec::new(),
        }
    }

    /// What is not used of VPNs that count, each with its name for people.
    pub fn left_out(&self) -> BTreeSet<(String, LeftOut)> {
        self.derived.left_out.union(&self.derived.without_effect).cloned().collect()
    }
}
