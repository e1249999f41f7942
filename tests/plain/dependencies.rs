//! The Rust version that `Cargo.toml` names is the lowest that the dependencies allow. Clippy's lint
//! `incompatible_msrv` keeps our own code to it.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// `1.89` and `1.89.0` are the same version.
fn version(text: &str) -> Result<Vec<u32>> {
    let mut parts = text.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    parts.resize(3, 0);
    Ok(parts)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test starts programs")]
fn the_rust_version_is_the_lowest_that_the_dependencies_allow() -> Result<()> {
    let mut metadata = Command::new(env!("CARGO"));
    // Cargo has downloaded only the dependencies of this platform.
    let platform = format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH);
    metadata.args(["metadata", "--format-version=1", "--locked", "--offline", &platform]);
    let output = metadata.current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let (mut ours, mut needed) = (Vec::new(), Vec::new());
    for package in metadata["packages"].as_array().context("no packages")? {
        let Some(text) = package["rust_version"].as_str() else { continue };
        let name = package["name"].as_str().unwrap_or_default();
        match package["source"].is_null() {
            true => ours.push((version(text)?, name.to_owned())),
            false => needed.push((version(text)?, name.to_owned())),
        }
    }
    let (needed, by) = needed.into_iter().max().context("no dependencies")?;
    ensure!(!ours.is_empty(), "no package of ours names a version");
    for (version, name) in ours {
        ensure!(version == needed, "{name} names Rust {version:?}, and {by} needs {needed:?}");
    }
    Ok(())
}
