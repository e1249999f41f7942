//! What each verb's help ends with: the verb at work. Man pages are made of the same text.

pub(super) const ALL: &str = "\
Examples:
  tunwarden status                    is this machine protected?
  sudo tunwarden init                 the first run: look, explain, write a configuration
  tunwarden doctor                    what is wrong, and how to mend it
  sudo tunwarden pause 5m             open for five minutes
  sudo tunwarden pause --for portal   sign in at a hotel's page
  sudo tunwarden release              give it all back";

pub(super) const INIT: &str = "\
Examples:
  sudo tunwarden init          explains first; undone after 60 s unless you confirm
  sudo tunwarden init --yes    asks nothing, for machines that nobody sits at";

pub(super) const DOCTOR: &str = "\
Examples:
  tunwarden doctor                                in your session: notifications are looked at too
  sudo tunwarden doctor                           as root: all of the firewall is
  sudo tunwarden doctor --json | jq .problems[].id
  sudo tunwarden doctor --bundle report.tar.gz    for a bug report; addresses and names are replaced

Exit: 0 nothing is wrong, or the archive is written; 1 something is wrong.";

pub(super) const AGENT: &str = "\
Examples:
  sudo systemctl start tunwarden           as usual
  sudo tunwarden agent --verbose           by hand, to see every event
  sudo systemctl reload tunwarden          SIGHUP: takes a new configuration over without a gap";

pub(super) const LOCK: &str = "\
Examples:
  sudo tunwarden lock                      closes now, whatever runs
  sudo tunwarden --config new.toml lock    with another configuration

Exit: 0 locked; 1 not.";

pub(super) const RELEASE: &str = "\
Examples:
  sudo tunwarden release          asks first
  sudo tunwarden release --yes    does not; for scripts

Exit: 0 released; 1 not.";

pub(super) const STATUS: &str = "\
Examples:
  tunwarden status                        for people; colours on a terminal, unless NO_COLOR is set
  tunwarden status --watch                stays, and changes in its place
  tunwarden status --json | jq .state     for programs
  tunwarden status >/dev/null || echo not protected

Exit: 0 protected; 3 not protected, still locked; 4 open: the rules are not in force, or it is paused;
5 unknown: this user cannot read the kernel's rules, and no agent answers. The same in JSON: verdict.";

pub(super) const CHECK: &str = "\
Examples:
  tunwarden check                         the system's configuration
  tunwarden --config new.toml check       another one, before it is put in its place

Exit: 0; 2 with each fault.";

pub(super) const RULES: &str = "\
Examples:
  tunwarden rules                                          the locked rules
  tunwarden rules --state protected --tunnel tun0 --endpoint 198.51.100.7:1194/udp
  tunwarden rules --format ip6tables | less                the other family";

pub(super) const VERIFY: &str = "\
Examples:
  sudo tunwarden verify || echo somebody has changed the rules

Exit: 0 the kernel holds the rules; 4 it did not, with each difference. The agent puts them right.";

pub(super) const PAUSE: &str = "\
Examples:
  sudo tunwarden pause 90s                opens everything; the kernel closes by itself
  sudo tunwarden pause 1h30m
  sudo tunwarden pause --for portal       DNS and web pages of this machine, until the VPN is up
  sudo tunwarden pause --for portal 3m

Exit: 0 open, and until when; 1 not.";

pub(super) const RESUME: &str = "\
Examples:
  tunwarden resume    everybody may close

Exit: 0 closed; 1 not.";

pub(super) const RECONNECT: &str = "\
Examples:
  tunwarden reconnect    answers when the VPN carries, or when nothing helped";

pub(super) const RELOAD: &str = "\
Examples:
  sudoedit /etc/tunwarden/config.toml && tunwarden check && sudo tunwarden reload

Exit: 0 in force; 2 refused, and the old one stays.";

pub(super) const NOTIFY: &str = "\
Examples:
  tunwarden notify &              by hand; it starts with every desktop session
  tunwarden notify --symbolic     pictures without colours in the panel";

pub(super) const LOG: &str = "\
Examples:
  tunwarden log                    everything, in a pager
  tunwarden log --follow           goes on; end it with Ctrl-C
  sudo tunwarden log --since -1h   the last hour; root reads the journal everywhere";

pub(super) const VERSION: &str = "\
Examples:
  tunwarden version    for a bug report";
