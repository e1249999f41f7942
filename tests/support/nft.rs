//! Replaces the system's nft by a later version or by a fake.

use anyhow::{Result, ensure};
use tunwarden_lab::Lab;

/// Runs nft of Debian 13 in its own file tree, under the path of this system's nft. All writes go to a tmpfs
/// and are lost at the end.
const LATER: &str = r#"
    mkdir -p /run/lab/nft /run/lab/sbin
    mount -t tmpfs tmpfs /run/lab/nft
    cd /run/lab/nft
    mkdir upper work tree sbin sbin-work
    mount -t overlay -o "lowerdir=$1,upperdir=upper,workdir=work" overlay tree
    for shared in proc dev; do mount --rbind "/$shared" "tree/$shared"; done
    mount -t overlay -o lowerdir=/usr/sbin,upperdir=sbin,workdir=sbin-work overlay /usr/sbin
    rm /usr/sbin/nft
    printf '#!/bin/sh\nexec /usr/sbin/chroot /run/lab/nft/tree /usr/sbin/nft "$@"\n' >/usr/sbin/nft
    chmod 755 /usr/sbin/nft"#;

/// Gives the host nft 1.1. The kernel stays the same.
pub fn later(lab: &Lab) -> Result<()> {
    let cache = std::env::var("TUNWARDEN_LAB_CACHE");
    let tree = format!("{}/machine-trixie", cache.as_deref().unwrap_or("/var/cache/tunwarden-lab"));
    lab.host().succeed(["sh", "-euc", LATER, "sh", tree.as_str()])?;
    let version = lab.host().succeed(["nft", "--version"])?;
    ensure!(version.contains("v1.1"), "this is {version}");
    Ok(())
}

/// Replaces the host's nft by a shell script. The script finds the real one at `$real`.
pub fn fake(lab: &Lab, script: &str) -> Result<()> {
    fake_tool(lab, "nft", script)
}

/// Replaces one of the host's tools by a shell script, until `/usr/sbin` is unmounted. The script finds the
/// real one at `$real`.
pub fn fake_tool(lab: &Lab, tool: &str, script: &str) -> Result<()> {
    let place = "
        mkdir -p /run/lab/real
        fake=$(mktemp -d -p /run/lab)
        mkdir $fake/upper $fake/work
        cp /usr/sbin/$1 /run/lab/real/$1
        mount -t overlay -o lowerdir=/usr/sbin,upperdir=$fake/upper,workdir=$fake/work overlay /usr/sbin
        rm /usr/sbin/$1
        printf '#!/bin/sh\\nreal=/run/lab/real/%s\\n%s\\n' \"$1\" \"$2\" >/usr/sbin/$1
        chmod 755 /usr/sbin/$1";
    lab.host().succeed(["sh", "-euc", place, "sh", tool, script]).map(drop)
}
