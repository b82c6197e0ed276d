//! What a node answers, and the files of an account and a deployment.

use std::{fs, sync::LazyLock};

use alloy_primitives::{Address, B256, Bytes, Log as InnerLog, LogData};
use residual_ledger::{
    Log, Revert, SolEvent,
    deploy::Deployment,
    events,
    keystore::{Keystore, KeystoreError, MEMORY_MAX, Password, ROUNDS_MAX},
    usage,
};
use serde_json::{Value, json};

use crate::memory::within;

/// A marketplace at made-up addresses, which are the numbers from 1 on.
static SUITE: LazyLock<Deployment> =
    LazyLock::new(|| serde_json::from_value(suite_json()).expect("these are the fields of a deployment"));

/// The file of that marketplace.
#[must_use]
pub fn suite_json() -> Value {
    let names = [
        "deployer",
        "timelock",
        "assets",
        "shares",
        "licences",
        "royalties",
        "channels",
        "eip3009Collector",
        "transferCollector",
        "usage",
        "testUsd",
    ];
    let mut suite = json!({
        "version": 1,
        "chainId": 84_532,
        "block": { "number": 1, "hash": B256::ZERO },
        "listed": [Address::with_last_byte(11)],
    });
    for (name, number) in names.iter().zip(1..) {
        suite[name] = json!({ "address": Address::with_last_byte(number), "codeHash": B256::ZERO });
    }
    suite
}

/// The first byte is the last of the contract's address, the second how many topics there are; then these, and the data.
pub fn event(bytes: &[u8]) -> bool {
    let Some((&[contract, topics], rest)) = bytes.split_first_chunk() else { return false };
    let (words, data) = rest.split_at(rest.len().min(32 * usize::from(topics % 5)));
    let topics = words.chunks_exact(32).map(B256::from_slice).collect();
    let log = |topics, data| Log {
        inner: InnerLog {
            address: Address::with_last_byte(contract),
            data: LogData::new_unchecked(topics, data),
        },
        ..Log::default()
    };
    let given = log(topics, Bytes::copy_from_slice(data));
    let taken = within(bytes, 64, || events::read(&SUITE, &given)).is_ok_and(|event| event.is_some());
    if let Ok(committed) = within(bytes, 64, || usage::read_commitment(&SUITE, &given)) {
        let (topics, data) = committed.encode_log_data().split();
        let again = usage::read_commitment(&SUITE, &log(topics, data)).expect("what is encoded decodes");
        assert_eq!(again.encode_log_data(), committed.encode_log_data());
    }
    taken
}

/// What a call that was refused gives back: kept as it came, and told in a message that a person reads.
pub fn revert(bytes: &[u8]) -> bool {
    // The table of all errors is made when the first selector is looked up.
    static TABLE: LazyLock<Revert> = LazyLock::new(|| Revert::from_data(Bytes::from_static(&[0; 4])));
    assert_eq!(TABLE.name(), "");
    within(bytes, 512, || {
        let revert = Revert::from_data(Bytes::copy_from_slice(bytes));
        assert_eq!(revert.data()[..], *bytes);
        let message = revert.to_string();
        assert!(message.len() <= 16 << 10, "{} bytes of message", message.len());
        !revert.name().is_empty()
    })
}

/// A deployment's file: what is read is read again from how it is written.
pub fn deployment(bytes: &[u8]) -> bool {
    let Ok(read) = within(bytes, 64, || serde_json::from_slice::<Deployment>(bytes)) else { return false };
    let json = serde_json::to_vec(&read).expect("a deployment is JSON");
    assert_eq!(serde_json::from_slice::<Deployment>(&json).expect("what is written is read"), read);
    true
}

/// An account's file, with the password `password`. What asks for more work than is given to a file is refused before any
/// is done; what asks for much, yet less, is not tried.
pub fn keystore(bytes: &[u8]) -> bool {
    let dir =
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("there is room for files");
    let keystore = Keystore::open(dir.path()).expect("the directory is there");
    fs::write(dir.path().join("one.json"), bytes).expect("the directory can be written");
    let Ok(address) = within(bytes, 256, || keystore.address("one")) else { return false };
    let Some(work) = asked_work(bytes) else { return false };
    if work == Work::Much {
        return false;
    }
    let opened = within(bytes, 1024, || keystore.unlock("one", &Password::new("password".to_owned())));
    match opened {
        Ok(account) => assert_eq!((account.address(), work), (address, Work::Little)),
        Err(KeystoreError::WrongPassword { .. }) => {
            assert_eq!(work, Work::Little);
            return false;
        }
        Err(KeystoreError::Corrupt { .. }) => return false,
        Err(other) => panic!("{other}"),
    }
    true
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Little,
    Much,
    TooMuch,
}

/// What the file asks for; none when that cannot be told without reading it as `ledger` does.
fn asked_work(bytes: &[u8]) -> Option<Work> {
    let file: Value = serde_json::from_slice(bytes).ok()?;
    let asked = &file["crypto"]["kdfparams"];
    let number = |name: &str| asked[name].as_u64();
    let work = match file["crypto"]["kdf"].as_str()? {
        "scrypt" => {
            let memory = 128u128 * u128::from(number("n")?) * u128::from(number("r")?);
            let lanes = number("p")?;
            if memory > MEMORY_MAX.into() || lanes > 16 {
                Work::TooMuch
            } else if memory <= 64 << 10 {
                Work::Little
            } else {
                Work::Much
            }
        }
        "pbkdf2" => match number("c")? {
            0..=1000 => Work::Little,
            more if more > ROUNDS_MAX.into() => Work::TooMuch,
            _ => Work::Much,
        },
        _ => return None,
    };
    Some(work)
}
