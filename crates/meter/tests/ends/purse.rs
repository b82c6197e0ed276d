//! The payer's end.

use std::fs;

use alloy_primitives::{Address, B256};
use proptest::prelude::*;
use residual_meter::{Escrow, OpenPurseError, PromiseError, Purse, SignatureError};
use residual_primitives::Amount;
use tempfile::tempdir;

use crate::parties::{Payer, channels, escrow, taken_away};

fn purse(dir: &std::path::Path, payer: &Payer, escrow: Escrow) -> Purse {
    Purse::open(dir, channels(), payer.config.clone(), escrow).unwrap()
}

/// CH-3: never more than the confirmed balance less the pending withdrawal.
#[test]
fn ch_3_promises_stay_within_the_confirmed_escrow() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut purse = purse(dir.path(), &payer, escrow(100));
    let first = purse.promise(Amount(60), |digest| payer.sign(digest)).unwrap();
    assert_eq!(first.max_claimable(), Amount(60));
    assert_eq!(channels().verify(&first, payer.config.payerAuthorizer), Ok(()));
    let beyond = purse.promise(Amount(41), |digest| payer.sign(digest));
    assert!(matches!(beyond, Err(PromiseError::BeyondEscrow { left: Amount(40), promised: Amount(60), .. })));

    purse.confirm(Escrow { pending_withdrawal: Amount(30), ..escrow(100) });
    assert_eq!(purse.left(), Amount(10));
    assert!(matches!(
        purse.promise(Amount(11), |digest| payer.sign(digest)),
        Err(PromiseError::BeyondEscrow { pending: Amount(30), .. })
    ));
    purse.confirm(Escrow { pending_withdrawal: Amount(90), ..escrow(100) });
    assert_eq!(purse.left(), Amount::ZERO, "a withdrawal below what is promised leaves nothing, not less");

    purse.confirm(escrow(1_000));
    assert_eq!(
        purse.promise(Amount(940), |digest| payer.sign(digest)).unwrap().max_claimable(),
        Amount(1_000)
    );
    assert!(matches!(
        purse.promise(Amount(u128::MAX), |digest| payer.sign(digest)),
        Err(PromiseError::BeyondEscrow { .. })
    ));
    assert!(matches!(purse.promise(Amount::ZERO, |digest| payer.sign(digest)), Err(PromiseError::Zero)));
}

#[test]
fn a_restart_goes_on_from_the_highest_promise() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut before = purse(dir.path(), &payer, escrow(100));
    let handed_out = before.promise(Amount(70), |digest| payer.sign(digest)).unwrap();
    drop(before);
    let mut after = purse(dir.path(), &payer, escrow(100));
    assert_eq!(after.highest(), Some(&handed_out));
    assert_eq!(after.left(), Amount(30));
    assert!(after.promise(Amount(31), |digest| payer.sign(digest)).is_err());
    assert_eq!(after.promise(Amount(30), |digest| payer.sign(digest)).unwrap().max_claimable(), Amount(100));
}

#[test]
fn a_purse_from_an_old_backup_does_not_promise_claimed_money_again() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut purse = purse(dir.path(), &payer, Escrow { total_claimed: Amount(80), ..escrow(100) });
    assert_eq!(purse.promised(), Amount(80));
    assert_eq!(purse.promise(Amount(5), |digest| payer.sign(digest)).unwrap().max_claimable(), Amount(85));
}

#[test]
fn a_signer_that_fails_or_is_another_changes_nothing() {
    let (dir, payer, other) = (tempdir().unwrap(), Payer::new(1), Payer::new(2));
    let mut purse = purse(dir.path(), &payer, escrow(100));
    let locked = purse.promise(Amount(10), |_| Err::<[u8; 65], _>("the account is locked"));
    assert!(matches!(locked, Err(PromiseError::Signer(_))));
    let foreign = purse.promise(Amount(10), |digest| other.sign(digest));
    assert!(matches!(foreign, Err(PromiseError::Signature(SignatureError::OtherSigner { .. }))));
    assert_eq!((purse.promised(), purse.highest()), (Amount::ZERO, None));
}

/// What cannot be kept is not handed out.
#[test]
fn a_promise_that_cannot_be_written_is_not_made() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut purse = purse(dir.path(), &payer, escrow(100));
    purse.promise(Amount(10), |digest| payer.sign(digest)).unwrap();
    let elsewhere = taken_away(dir.path());
    assert!(matches!(purse.promise(Amount(10), |digest| payer.sign(digest)), Err(PromiseError::File(_))));
    assert_eq!(purse.promised(), Amount(10));
    fs::rename(elsewhere, dir.path()).unwrap();
    assert_eq!(purse.promise(Amount(10), |digest| payer.sign(digest)).unwrap().max_claimable(), Amount(20));
}

#[test]
fn one_process_one_channel_with_a_key_of_its_own() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let open = |config| Purse::open(dir.path(), channels(), config, escrow(1));
    let first = open(payer.config.clone()).unwrap();
    assert!(matches!(open(payer.config.clone()), Err(OpenPurseError::File(_))));
    assert!(open(Payer::new(2).config).is_ok(), "another channel has a purse of its own");
    drop(first);
    assert!(open(payer.config.clone()).is_ok());
    let mut config = payer.config.clone();
    config.payerAuthorizer = Address::ZERO;
    assert!(matches!(open(config), Err(OpenPurseError::NoAuthorizer)));
}

/// Every flipped byte and every shorter file is found, as is the purse of another channel.
#[test]
fn a_damaged_purse_is_refused() {
    let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
    let mut whole = purse(dir.path(), &payer, escrow(100));
    whole.promise(Amount(70), |digest| payer.sign(digest)).unwrap();
    drop(whole);
    let path = dir.path().join(format!("{}.purse", payer.channel_id));
    let bytes = fs::read(&path).unwrap();
    let opens = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Purse::open(dir.path(), channels(), payer.config.clone(), escrow(100))
    };
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(matches!(opens(&flipped), Err(OpenPurseError::Damaged { .. })), "byte {at}");
        assert!(matches!(opens(&bytes[..at]), Err(OpenPurseError::Damaged { .. })), "length {at}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(opens(&longer), Err(OpenPurseError::Damaged { .. })));
    assert_eq!(opens(&bytes).unwrap().promised(), Amount(70));

    let other = Payer::new(2);
    fs::write(dir.path().join(format!("{}.purse", other.channel_id)), &bytes).unwrap();
    let found = Purse::open(dir.path(), channels(), other.config.clone(), escrow(100));
    assert!(matches!(found, Err(OpenPurseError::Damaged { channel, .. }) if channel == other.channel_id));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// CH-3 under any order of promises, ledger states and restarts: a voucher never exceeds what the ledger had
    /// confirmed when it was made, and never falls.
    #[test]
    fn ch_3_holds_in_any_history(steps in prop::collection::vec((0..3_u8, any::<u128>(), any::<u128>()), 1..24)) {
        let (dir, payer) = (tempdir().unwrap(), Payer::new(1));
        let mut now = escrow(1_000);
        let mut open = purse(dir.path(), &payer, now);
        let mut highest = Amount::ZERO;
        for (kind, a, b) in steps {
            match kind {
                0 => {
                    let amount = Amount(if b % 5 == 0 { a } else { a % 400 });
                    if let Ok(signed) = open.promise(amount, |digest: &B256| payer.sign(digest)) {
                        prop_assert!(signed.max_claimable() > highest);
                        prop_assert!(signed.max_claimable() <= now.covers());
                        highest = signed.max_claimable();
                    }
                }
                1 => {
                    now = Escrow {
                        balance: Amount(a % 5_000),
                        total_claimed: highest.min(Amount(a % 5_000)),
                        pending_withdrawal: Amount(if b % 5 == 0 { b } else { b % 1_000 }),
                    };
                    open.confirm(now);
                }
                _ => {
                    drop(open);
                    open = purse(dir.path(), &payer, now);
                }
            }
            prop_assert_eq!(open.promised(), highest);
        }
    }
}
