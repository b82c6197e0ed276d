//! The contracts on the embedded ledger and the reference model, held against each other.
//!
//! Random histories are carried out on both: the same events must be written, the same things refused for the same
//! reasons, and every balance must be equal to the unit. Then the audit reads the ledger's own logs.

mod calls;
mod history;
mod refusals;
mod run;
mod scenarios;
mod steps;
mod views;
mod world;

use proptest::{
    prelude::prop,
    test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner},
};
use residual_primitives::Amount;
use residual_royalty::{Place, audit};

use crate::{
    run::{Audited, Checked, Run},
    steps::{History, Split, Step},
};

/// Histories that are tried unless `PROPTEST_CASES` says how many.
const CASES: u32 = 40;

/// As long may a failing history be made shorter, in milliseconds.
const SHRINKING_MAX_MS: u32 = 30_000;

fn config() -> Config {
    let persistence = FileFailurePersistence::Direct("tests/agreement.proptest-regressions");
    let mut config = Config {
        failure_persistence: Some(Box::new(persistence)),
        max_shrink_iters: 2_000,
        max_shrink_time: SHRINKING_MAX_MS,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Carries a history out and audits it.
async fn live(history: &History) -> Checked<()> {
    let mut run = Run::begin(history.tokens.into(), history.fee_bps).await;
    let everybody = (0..steps::ACTORS).map(|holder| (holder, 100 + 37 * u16::from(holder)));
    let split = Split::Weights(everybody.collect());
    run.take(&Step::Publish { by: 0, split, resale_bps: 500, offers: Vec::new() }).await?;
    for step in &history.steps {
        run.take(step).await?;
    }
    let honest = run.audit().await?;
    tampering_is_named(&run, &honest, history.tampered)?;
    println!("{} operations, {} refused, {} events", run.tried, run.refused, honest.entries.len());
    run.world.close().await;
    Ok(())
}

/// AUD-1: one unit more in one event, and the audit names that event or one that follows from it, or at the latest a
/// balance: a gift to `Royalties` can cover for a payment that is made up.
fn tampering_is_named(run: &Run, honest: &Audited, at: prop::sample::Index) -> Checked<()> {
    let mut forged = honest.entries.clone();
    let amounts = forged
        .iter_mut()
        .enumerate()
        .filter_map(|(number, entry)| history::amount_of(&mut entry.event).map(|amount| (number, amount)));
    let mut amounts: Vec<_> = amounts.collect();
    if amounts.is_empty() {
        return Ok(());
    }
    let at = at.index(amounts.len());
    let (number, amount) = &mut amounts[at];
    let number = *number;
    **amount = Amount(amount.0 + 1);
    let not_before = |named: Place| (named.block, named.log_index) >= (honest.entries[number].place.block, 0);
    match audit(run.auditor(), &forged, honest.now_s, Some(&honest.closing)) {
        Err(difference) if difference.place.is_none_or(not_before) => Ok(()),
        Err(difference) => {
            Err(format!("event {number} was forged, and another place is named: {difference}"))
        }
        Ok(_) => Err(format!("event {number} was forged, and nothing is named: {:?}", forged[number])),
    }
}

/// PAY-1, PAY-2, PAY-4, PAY-5, PAY-8, LIN-1, LIN-2, ACC-1, AUD-1: contracts and model agree on random histories.
#[test]
fn contracts_and_model_agree_to_the_unit() {
    let runtime = runtime();
    let mut runner = TestRunner::new(config());
    let outcome = runner.run(&steps::histories(60..=200), |history| {
        runtime.block_on(live(&history)).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, history)) => panic!("{reason}\nin {history:?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}
