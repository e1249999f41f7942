//! The rules in the kernel of the laboratory's host, for both variants of iptables.

use anyhow::{Result, ensure};
use tunwarden_lab::Lab;

use super::tunwarden;

/// The tools of both families. Every check runs once for each.
pub const FAMILIES: [&str; 2] = ["iptables", "ip6tables"];

/// The variant of iptables, and the layers that hold tunwarden's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Nft,
    Legacy,
    /// tunwarden's rules are in iptables only.
    IptablesAlone,
    /// tunwarden's rules are in nftables only.
    NftablesAlone,
}

/// Refuses one kind of socket to a command and its children, with a seccomp filter: a kernel without this kind does the
/// same. The words after it: the family, the protocol or `any`, the error, and the command.
pub const REFUSING_SOCKETS: [&str; 3] = [
    "perl",
    "-e",
    r#"
        use POSIX;
        my %calls = (x86_64 => [41, 157], aarch64 => [198, 167]);
        my %numbers = (AF_INET6 => 10, AF_NETLINK => 16, NETLINK_NETFILTER => 12,
            EAFNOSUPPORT => 97, EPROTONOSUPPORT => 93);
        my ($socket, $prctl) = @{$calls{(POSIX::uname())[4]}};
        my ($family, $protocol, $error) = map { $_ eq "any" ? undef : $numbers{$_} // die $_ } splice @ARGV, 0, 3;
        my @asked = ([0, $socket], [16, $family], defined $protocol ? [32, $protocol] : ());
        my $left = 2 * @asked;
        my @filter = map { ([0x20, 0, 0, $$_[0]], [0x15, 0, ($left -= 2) + 1, $$_[1]]) } @asked;
        push @filter, [0x06, 0, 0, 0x00050000 | $error], [0x06, 0, 0, 0x7fff0000];
        my $filter = join "", map { pack("SCCL", @$_) } @filter;
        my $program = pack("Sx6P", scalar(@filter), $filter);
        syscall($prctl, 38, 1, 0, 0, 0) == 0 or die "no new privileges: $!";
        syscall($prctl, 22, 2, $program, 0, 0) == 0 or die "filter: $!";
        exec @ARGV or die "$ARGV[0]: $!"
    "#,
];

/// Refuses a command and its children to send more bytes at once than the word after it says, as a kernel does that has
/// no room for them (EMSGSIZE). The command follows. It is a seccomp filter.
pub const REFUSING_LONG_MESSAGES: [&str; 3] = [
    "perl",
    "-e",
    r#"
        use POSIX;
        my %calls = (x86_64 => [44, 157], aarch64 => [206, 167]);
        my ($sendto, $prctl) = @{$calls{(POSIX::uname())[4]}};
        my @filter = ([0x20, 0, 0, 0], [0x15, 0, 3, $sendto], [0x20, 0, 0, 32], [0x25, 0, 1, shift @ARGV],
            [0x06, 0, 0, 0x00050000 | 90], [0x06, 0, 0, 0x7fff0000]);
        my $filter = join "", map { pack("SCCL", @$_) } @filter;
        my $program = pack("Sx6P", scalar(@filter), $filter);
        syscall($prctl, 38, 1, 0, 0, 0) == 0 or die "no new privileges: $!";
        syscall($prctl, 22, 2, $program, 0, 0) == 0 or die "filter: $!";
        exec @ARGV or die "$ARGV[0]: $!"
    "#,
];

impl Backend {
    fn word(self) -> &'static str {
        match self {
            Self::Nft | Self::IptablesAlone | Self::NftablesAlone => "nft",
            Self::Legacy => "legacy",
        }
    }

    /// A configuration with this backend.
    pub fn config(self, more: &str) -> String {
        let layers = match self {
            Self::Nft | Self::Legacy => "",
            Self::IptablesAlone => "layers = [\"iptables\"]\n",
            Self::NftablesAlone => "layers = [\"nftables\"]\n",
        };
        format!("{more}\n[firewall]\nbackend = \"{}\"\n{layers}", self.word())
    }

    /// The program of a family: `iptables-nft`, or with a suffix such as `-save`.
    pub fn tool(self, family: &str, suffix: &str) -> String {
        format!("{family}-{}{suffix}", self.word())
    }

    /// One change by another program, for example `-A OUTPUT -j ACCEPT`.
    pub fn change(self, lab: &Lab, family: &str, words: &str) -> Result<()> {
        let tool = self.tool(family, "");
        lab.host().succeed([tool.as_str(), "-w"].into_iter().chain(words.split(' '))).map(drop)
    }

    /// Loads the rules of another program and keeps the existing ones.
    pub fn restore(self, lab: &Lab, family: &str, text: &str) -> Result<()> {
        let tool = self.tool(family, "-restore");
        lab.host().command([tool.as_str(), "--noflush"]).stdin(text).succeed().map(drop)
    }

    /// All rules of one family, without comments and counters.
    pub fn saved(self, lab: &Lab, family: &str) -> Result<Vec<String>> {
        let text = lab.host().succeed([self.tool(family, "-save")])?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Ok(lines.map(|line| line.split(" [").next().unwrap_or(line).to_owned()).collect())
    }

    /// One table of a family.
    pub fn table(self, lab: &Lab, family: &str, table: &str) -> Result<Vec<String>> {
        let saved = self.saved(lab, family)?;
        let tables = saved.split(|line| line == "COMMIT");
        let wanted = tables.filter(|lines| lines.first().is_some_and(|first| first[1..] == *table));
        Ok(wanted.flatten().cloned().collect())
    }

    /// All rules of both families.
    pub fn all_saved(self, lab: &Lab) -> Result<Vec<String>> {
        Ok([self.saved(lab, FAMILIES[0])?, self.saved(lab, FAMILIES[1])?].concat())
    }

    /// The rules of one chain of filter, in order.
    pub fn chain(self, lab: &Lab, family: &str, chain: &str) -> Result<Vec<String>> {
        let listing = lab.host().succeed([self.tool(family, "").as_str(), "-w", "-S", chain])?;
        Ok(listing.lines().filter(|line| line.starts_with("-A")).map(ToOwned::to_owned).collect())
    }

    /// Locks with this configuration. Returns what the command printed.
    pub fn lock(self, lab: &Lab, config: &str) -> Result<String> {
        lab.host().file("/etc/tunwarden/config.toml", &self.config(config))?;
        let output = tunwarden(lab, ["lock"])?;
        ensure!(output.status.success(), "lock: {} {}", output.status, output.stderr);
        Ok(output.stdout + &output.stderr)
    }
}
