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
    let mut metadata: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(disagreements(&metadata)?, [""; 0]);

    // The control: each package of ours is compared.
    let packages = metadata["packages"].as_array_mut().context("no packages")?;
    let mut ours = 0;
    for package in packages.iter_mut().filter(|package| package["source"].is_null()) {
        package["rust_version"] = "1.0".into();
        ours += 1;
    }
    assert_eq!((ours, disagreements(&metadata)?.len()), (2, 2));
    Ok(())
}

/// Packages of ours that name another Rust version than the highest one of the dependencies.
fn disagreements(metadata: &Value) -> Result<Vec<String>> {
    let (mut ours, mut needed) = (Vec::new(), Vec::new());
    for package in metadata["packages"].as_array().context("no packages")? {
        let name = package["name"].as_str().unwrap_or_default();
        let text = package["rust_version"].as_str();
        if package["source"].is_null() {
            ours.push((version(text.with_context(|| format!("{name} names no Rust version"))?)?, name));
        } else if let Some(text) = text {
            needed.push((version(text)?, name));
        }
    }
    let (needed, by) = needed.into_iter().max().context("no dependencies")?;
    let wrong = ours.into_iter().filter(|(version, _)| *version != needed);
    let line = |(version, name)| format!("{name} names Rust {version:?}, and {by} needs {needed:?}");
    Ok(wrong.map(line).collect())
}
