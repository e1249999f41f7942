//! The part of the computation that `doctor` uses: a packet that leaves, and what others would let out without
//! tunwarden.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Read, read, words};
use crate::config::Config;
use crate::doctor::{Leak, Proof};
use crate::model::{Contract, Counterexample, Outcome, Prover};
use crate::store::Store;

/// How long `doctor` waits for the computation. It takes less than a second on a desktop.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Computes for `doctor`, which continues without an answer after [`TIMEOUT`]. A computation that takes longer ends
/// with the process.
pub(in crate::cli) async fn look(config: &Config, store: &Store) -> Proof {
    let whole = async {
        let read = read(config, store).await.map_err(|error| format!("{error:#}"))?;
        let (done, answer) = oneshot::channel();
        let config = config.clone();
        std::thread::spawn(move || drop(done.send(compute(&read, &config))));
        answer.await.map_err(|_| "the computation has failed".to_owned())
    };
    match timeout(TIMEOUT, whole).await {
        Ok(Ok(proof)) => proof,
        Ok(Err(why)) => Proof::unknown(why),
        Err(_) => Proof::unknown(format!("the computation took longer than {} s", TIMEOUT.as_secs())),
    }
}

fn compute(read: &Read, config: &Config) -> Proof {
    let Read { rules, machine, situation, users, .. } = read;
    let contract = Contract { config, situation, now: machine.now, users };
    let mut prover = Prover::default();
    let (leaks, why) = match prover.prove(rules, machine, &contract).outcome {
        Outcome::Proven => (Vec::new(), Vec::new()),
        Outcome::Leaves(packets) => (packets.iter().map(leak).collect(), Vec::new()),
        Outcome::NotShown(reasons) => (Vec::new(), reasons),
    };
    let others = prover.others(rules, machine, &contract);
    let others = others.iter().filter_map(|packet| Some(format!("{}: {packet}", words::decided(packet)?)));
    Proof { leaks, others: others.collect(), unknown: why }
}

fn leak(packet: &Counterexample) -> Leak {
    Leak { packet: packet.to_string(), remedy: packet.remedy() }
}
