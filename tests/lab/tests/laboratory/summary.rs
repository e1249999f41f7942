//! What `scripts/test` prints at the end of all tests.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// As cargo and the tests print it: two targets that end, one that dies, and doc tests.
const LOG: &str = "\
     Running unittests src/lib.rs (target/debug/deps/tunwarden-1)
test net::port::tests::a ... ok
test result: ok. 301 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.2s
     Running tests/pause.rs (target/debug/deps/pause-1)
test held ... FAILED
test opened ... ok

failures:
---- held stdout ----
Error: not within 30s
    held

test result: FAILED. 7 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.00s
error: test failed, to rerun pass `--test pause`
     Running tests/agent.rs (target/debug/deps/agent-1)
test first ... ok
error: test failed, to rerun pass `--test agent`
Caused by: process didn't exit successfully (signal: 9, SIGKILL: kill)
   Doc-tests tunwarden
test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s
error: 2 targets failed:
    `--test pause`
    `--test agent`
";

fn summary(log: &str) -> Result<(bool, Vec<String>)> {
    let file = std::env::temp_dir().join(format!("tunwarden-summary-{}", std::process::id()));
    std::fs::write(&file, log)?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/test");
    let output = Command::new(script).arg("--summarise").arg(&file).output().context(script);
    std::fs::remove_file(&file)?;
    let output = output?;
    let said = String::from_utf8(output.stdout)?;
    Ok((output.status.success(), said.lines().filter(|line| !line.is_empty()).map(Into::into).collect()))
}

#[test]
fn every_failed_test_is_named_with_its_target_and_the_totals_stand_alone() -> Result<()> {
    let (success, lines) = summary(LOG)?;
    let expected = [
        "FAILED  tests/pause.rs: held",
        "FAILED  tests/agent.rs (it ended without a result)",
        "2 ignored",
        "311 passed, 2 failed",
    ];
    ensure!(!success && lines == expected, "{lines:#?}");

    let (good, _) = LOG.split_once("     Running tests/pause.rs").context("no such target")?;
    let (success, lines) = summary(good)?;
    ensure!(success && lines == ["2 ignored", "301 passed, 0 failed"], "{lines:#?}");
    Ok(())
}
