//! Examples and exit statuses at the end of each command's help. The man pages contain the same text.

pub(super) const ALL: &str = "\
Examples:
  tunwarden status                    is this machine protected?
  sudo tunwarden init                 first run: look, explain, write a configuration
  tunwarden doctor                    what is wrong, and how to fix it
  sudo tunwarden pause 5m             open everything for five minutes
  sudo tunwarden pause --for portal   sign in at a hotel's login page
  sudo tunwarden release              remove all rules of tunwarden";

pub(super) const INIT: &str = "\
Examples:
  sudo tunwarden init          explains first; undone after 60 s unless you confirm
  sudo tunwarden init --yes    asks nothing, for machines without a user in front of them";

pub(super) const DOCTOR: &str = "\
Examples:
  tunwarden doctor                                in your session: checks notifications too
  sudo tunwarden doctor                           as root: checks the whole firewall
  sudo tunwarden doctor --json | jq .problems[].id
  sudo tunwarden doctor --bundle report.tar.gz    for a bug report; addresses and names are replaced

Exit: 0 no problem was found, or the archive is written; 1 at least one problem was found.";

pub(super) const AGENT: &str = "\
Examples:
  sudo systemctl start tunwarden           the usual way
  sudo tunwarden agent --verbose           by hand, to see every event
  sudo systemctl reload tunwarden          puts a new configuration in force without a gap";

pub(super) const LOCK: &str = "\
Examples:
  sudo tunwarden lock                      closes now, with or without an agent
  sudo tunwarden --config new.toml lock    with another configuration

Exit: 0 locked; 1 not locked.";

pub(super) const RELEASE: &str = "\
Examples:
  sudo tunwarden release          asks first
  sudo tunwarden release --yes    does not ask; for scripts

Exit: 0 released; 1 not released.";

pub(super) const STATUS: &str = "\
Examples:
  tunwarden status                        for people; colours on a terminal, unless NO_COLOR is set
  tunwarden status --watch                keeps running and shows every change
  tunwarden status --json | jq .state     for programs
  tunwarden status >/dev/null || echo not protected

Exit: 0 protected; 3 not protected, but locked; 4 open: the rules are not in force, or tunwarden is
paused; 5 unknown: this user cannot read the kernel's rules, and no agent answers. In JSON, the key
`verdict` says the same.";

pub(super) const CHECK: &str = "\
Examples:
  tunwarden check                         the system's configuration
  tunwarden --config new.toml check       another file, before you install it

Exit: 0 no fault; 2 at least one fault, each is shown.";

pub(super) const RULES: &str = "\
Examples:
  tunwarden rules                                          the locked rules
  tunwarden rules --state protected --tunnel tun0 --endpoint 198.51.100.7:1194/udp
  tunwarden rules --format ip6tables | less                the rules for IPv6";

pub(super) const VERIFY: &str = "\
Examples:
  sudo tunwarden verify || echo the rules were changed

Exit: 0 the kernel holds the rules; 4 it does not, each difference is shown. A running agent repairs them.";

pub(super) const PROVE: &str = "\
Examples:
  sudo tunwarden prove                                   in words, with what it takes for granted
  sudo tunwarden prove --json | jq .computed.counterexamples
  sudo tunwarden prove --report machine.html             one page of HTML to read and keep
  sudo tunwarden prove --live                            also send probes, none of which can leave

It reads the rules of every program, and changes and sends nothing. With --live it sends real packets to
documentation addresses as you and as root, while a net behind all rules drops them on every link. Without that
net it sends nothing. docs/proof.md explains what it shows.

Exit: 0 proven; 4 a packet leaves, or a probe would have left: it is shown, with what to do; 1 it could not be
shown, and why. While tunwarden is paused, nothing can be shown.";

pub(super) const WHY: &str = "\
Examples:
  sudo tunwarden why 203.0.113.9                     a web page, from a program of yours
  sudo tunwarden why 203.0.113.9:53/udp --as root
  sudo tunwarden why 10.0.0.5:631 --from nextcloud   from a container of Docker; or the name of its bridge
  sudo tunwarden why 203.0.113.9 10.0.0.5 --json     an object a line

It asks for the first packet of a connection and sends nothing. The rules of every program count: the answer may be that
ufw refuses it, and not tunwarden.

Exit: 0 it goes to the tunnel, the LAN, a VPN server or this machine; 3 refused; 4 it would leave in clear; 5 a
rule that decides is not known. Of several destinations the highest one counts, and 4 before 5.";

pub(super) const BLOCKED: &str = "\
Examples:
  tunwarden blocked                    what your own programs were refused in the last hour
  sudo tunwarden blocked               what everybody was refused, containers too
  sudo tunwarden blocked --follow      as it happens
  sudo tunwarden blocked --since 10m --json | jq '.[].reason'

Exit: 0 if the list is complete; 1 if the agent does not answer, or the kernel sends it no refusals.";

pub(super) const PAUSE: &str = "\
Examples:
  sudo tunwarden pause 90s                opens everything; the kernel closes after 90 s
  sudo tunwarden pause 1h30m
  sudo tunwarden pause --for portal       DNS and web pages of this machine, until the VPN is up
  sudo tunwarden pause --for portal 3m

Exit: 0 open, the end is shown; 1 not open.";

pub(super) const RESUME: &str = "\
Examples:
  tunwarden resume    closes now; no password is needed

Exit: 0 closed; 1 not closed.";

pub(super) const RECONNECT: &str = "\
Examples:
  tunwarden reconnect    ends when the VPN is up again, or when every attempt has failed";

pub(super) const RELOAD: &str = "\
Examples:
  sudoedit /etc/tunwarden/config.toml && tunwarden check && sudo tunwarden reload

Exit: 0 the new configuration is in force; 2 refused, the old configuration stays in force.";

pub(super) const SET: &str = "\
Examples:
  tunwarden set                                      every key and its value
  sudo tunwarden set lan.allow=false                 nothing is sent to the local network
  sudo tunwarden set docker.published_ports=none vpn.reconnect=auto
  sudo tunwarden set 'input.allow=[{ protocol = \"tcp\", ports = [22], from = \"192.168.0.0/16\" }]'
  tunwarden set --dry-run 'vpn.connections=[\"office\"]'

All of the given keys are changed or none of them. Comments and order of the file stay; a comment inside a list that is
replaced does not.

Exit: 0 in force, nothing to change, or no agent runs; 1 it needs root, or the file cannot be written; 2 refused. The
file then has its old text.";

pub(super) const NOTIFY: &str = "\
Examples:
  tunwarden notify &              by hand; it starts with every desktop session
  tunwarden notify --replace      after an upgrade: the new version shows them
  tunwarden notify --symbolic     an indicator without colours in the panel
  tunwarden notify --details      what the entry in the menu of applications does";

pub(super) const LOG: &str = "\
Examples:
  tunwarden log                    everything, in a pager
  tunwarden log --follow           shows new entries too; end it with Ctrl-C
  sudo tunwarden log --since -1h   the last hour; root can always read the journal";

pub(super) const VERSION: &str = "\
Examples:
  tunwarden version    for a bug report";
