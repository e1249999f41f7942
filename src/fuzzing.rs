//! The fuzzing targets: every parser of bytes that another program or a person writes, and the properties that each
//! result must have. Compiled only for tests and for the `fuzz` crate.
//!
//! A target panics if a property does not hold. The seeds in `fuzz/seeds`, and inputs that once made a target fail,
//! also run as unit tests.

mod firewall;
mod network;
mod refusals;
mod text;
mod vpn;

/// A target, and the name of its folder of seeds.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 17] = [
    ("bus", refusals::bus),
    ("config", text::config),
    ("docker", network::docker),
    ("hook", vpn::hook),
    ("hosts", text::hosts),
    ("iptables", firewall::iptables),
    ("management", vpn::management),
    ("netlink", network::netlink),
    ("nft", firewall::nft),
    ("nm_settings", vpn::nm_settings),
    ("openvpn_files", vpn::openvpn_files),
    ("refusals", refusals::refusals),
    ("resolver", network::resolver),
    ("script", text::script),
    ("wireguard_devices", vpn::wireguard_devices),
    ("wireguard_files", vpn::wireguard_files),
    ("words", text::words),
];

/// Checks a text for people or for a log: no character in it can move a terminal's cursor or begin a new line.
fn assert_plain(text: &str) {
    assert!(!text.chars().any(char::is_control), "a control character gets through: {text:?}");
}

/// Checks several lines of text for people or for a log.
fn assert_plain_lines(text: &str) {
    text.split('\n').for_each(assert_plain);
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test reads its seeds")]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The files of a folder below `fuzz/seeds`.
    fn entries(folder: &str) -> Vec<std::path::PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(folder);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn every_target_has_a_folder_of_seeds_and_every_folder_a_target() {
        let name = |path: std::path::PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        let folders: BTreeSet<String> = entries("").into_iter().map(name).collect();
        assert_eq!(folders, TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
    }

    #[test]
    fn every_seed_passes_its_target_whole_and_cut_short() {
        for (name, run) in TARGETS {
            let seeds = entries(name);
            assert!(!seeds.is_empty(), "{name} has no seed");
            for seed in seeds {
                let bytes = std::fs::read(&seed).unwrap();
                let step = (bytes.len() / 50).max(1);
                (0..bytes.len()).step_by(step).chain([bytes.len()]).for_each(|end| run(&bytes[..end]));
            }
        }
    }
}
