//! LED-2: receipts, gas, logs, reverts and state agree with anvil on the same random transactions.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod support;

use std::collections::BTreeSet;

use alloy_consensus::{TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use residual_local_ledger::BASE_FEE;
use serde_json::{Value, json};
use support::{
    Anvil, Client, Unsigned, deploying, development_ledger, key, number, sign_hash, signed, transaction,
};

/// Histories that are compared, each from its own seed; a seed that ever failed stays in the list.
const SEEDS: [u64; 3] = [1, 2, 3];
/// Replaces them, to look further: any list of numbers with commas.
const SEEDS_VARIABLE: &str = "LED_2_SEEDS";
const TRANSACTIONS: usize = 300;
/// Slots that programs write; few, so that they collide.
const SLOTS: u64 = 6;

/// Random code, a list of steps that each leave the stack as it was.
struct Program<'a> {
    code: Vec<u8>,
    rng: &'a mut StdRng,
    targets: &'a [Address],
}

impl Program<'_> {
    fn op(&mut self, op: u8) {
        self.code.push(op);
    }

    fn push(&mut self, value: U256) {
        let bytes = value.to_be_bytes_trimmed_vec();
        self.op(0x5f + bytes.len() as u8);
        self.code.extend(bytes);
    }

    fn push_u64(&mut self, value: u64) {
        self.push(U256::from(value));
    }

    fn push_random(&mut self) {
        match self.rng.random_range(0..9) {
            0 => self.push_u64(0),
            1 => {
                let word: [u8; 32] = self.rng.random();
                self.push(U256::from_be_bytes(word));
            }
            2 => self.push(U256::MAX),
            3 => {
                self.push_u64(0);
                self.op(0x35); // CALLDATALOAD
            }
            // What surrounds the call, with the gas left: it tells of every unit used before.
            4 => {
                let op = *[0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3a, 0x3d].choose(self.rng).unwrap();
                self.op(op);
            }
            5 => {
                let op = *[0x41, 0x43, 0x45, 0x46, 0x47, 0x48, 0x4a, 0x59, 0x5a].choose(self.rng).unwrap();
                self.op(op);
            }
            6 => {
                self.push_slot();
                self.op(0x54); // SLOAD
            }
            _ => {
                let small = self.rng.random_range(0..100);
                self.push_u64(small);
            }
        }
    }

    fn push_slot(&mut self) {
        let slot = self.rng.random_range(0..SLOTS);
        self.push_u64(slot);
    }

    fn push_target(&mut self) {
        let target = match self.rng.random_range(0..10) {
            // Precompiles and their neighbours; 0x100 is P-256.
            0 if self.rng.random_ratio(1, 10) => Address::left_padding_from(&[1, 0]),
            0 => Address::left_padding_from(&[self.rng.random_range(0..0x13)]),
            1 => Address::repeat_byte(self.rng.random_range(0xd0..0xd4)),
            _ => *self.targets.choose(self.rng).unwrap(),
        };
        self.push(U256::from_be_slice(target.as_slice()));
    }

    /// A place in memory and a length, the length on top.
    fn push_range(&mut self) {
        let (length, at) = (self.rng.random_range(0..200), self.rng.random_range(0..300));
        self.push_u64(length);
        self.push_u64(at);
    }

    /// Stores what is on top of the stack.
    fn keep(&mut self) {
        self.push_slot();
        self.op(0x55); // SSTORE
    }

    fn step(&mut self) {
        match self.rng.random_range(0..19) {
            0 | 1 => {
                self.push_random();
                self.keep();
            }
            2 => {
                self.push_random();
                self.push_slot();
                self.op(0x5d); // TSTORE
                self.push_slot();
                self.op(0x5c); // TLOAD
                self.keep();
            }
            3 => {
                self.push_random();
                let at = self.rng.random_range(0..300);
                self.push_u64(at);
                self.op(0x52); // MSTORE
            }
            4 | 5 => {
                let topics = self.rng.random_range(0..=4);
                (0..topics).for_each(|_| self.push_random());
                self.push_range();
                self.op(0xa0 + topics);
            }
            6 => {
                self.push_range();
                self.op(0x20); // KECCAK256
                self.keep();
            }
            7 => {
                self.push_random();
                self.push_random();
                self.push_random();
                let op = *[0x08, 0x09].choose(self.rng).unwrap();
                self.op(op);
                self.keep();
            }
            8 | 9 => {
                self.push_random();
                self.push_random();
                let ops =
                    [1, 2, 3, 4, 5, 6, 7, 0x0a, 0x0b, 0x10, 0x12, 0x14, 0x16, 0x18, 0x1a, 0x1b, 0x1c, 0x1d];
                let op = *ops.choose(self.rng).unwrap();
                self.op(op);
                self.keep();
            }
            10 => {
                self.push_random();
                self.op(0x1e); // CLZ
                self.keep();
            }
            11 => {
                self.push_target();
                let op = *[0x31, 0x3b, 0x3f].choose(self.rng).unwrap(); // BALANCE, EXTCODESIZE, EXTCODEHASH
                self.op(op);
                self.keep();
            }
            12 => {
                self.push_range();
                let to = self.rng.random_range(0..300);
                self.push_u64(to);
                // MCOPY, CALLDATACOPY, CODECOPY, and RETURNDATACOPY, which halts past the end.
                let op = *[0x5e, 0x37, 0x39, 0x3e].choose(self.rng).unwrap();
                self.op(op);
            }
            13..=15 => self.call(),
            16 => self.create(),
            17 => {
                // Skips what follows if the first word of the input is not zero.
                self.push_u64(0);
                self.op(0x35);
                let skip = self.code.len() + 4;
                let mut rest = Program { code: vec![0; skip], rng: &mut *self.rng, targets: self.targets };
                rest.step();
                let rest = rest.code.split_off(skip);
                let end = (skip + rest.len()) as u16;
                self.code.push(0x61);
                self.code.extend(end.to_be_bytes());
                self.op(0x57); // JUMPI
                self.code.extend(rest);
                self.op(0x5b); // JUMPDEST
            }
            _ => {
                // A copy of some contract's code into memory.
                self.push_range();
                self.push_u64(0);
                self.push_target();
                self.op(0x3c); // EXTCODECOPY
            }
        }
    }

    fn call(&mut self) {
        let op = *[0xf1, 0xf1, 0xf2, 0xf4, 0xfa].choose(self.rng).unwrap();
        self.push_range();
        self.push_range();
        if op == 0xf1 || op == 0xf2 {
            let value = *[0, 0, 1, 1_000_000].choose(self.rng).unwrap();
            self.push_u64(value);
        }
        self.push_target();
        if self.rng.random() {
            self.op(0x5a); // GAS
        } else {
            let gas = self.rng.random_range(0..100_000);
            self.push_u64(gas);
        }
        self.op(op);
        self.keep();
    }

    fn create(&mut self) {
        let child = match self.rng.random_range(0..5) {
            0 => vec![0x33, 0xff],       // SELFDESTRUCT to its maker, in its own transaction
            1 => vec![0x5f, 0x5f, 0xfd], // REVERT
            2 => vec![0xfe],             // INVALID
            3 => deploying(&[0xef]),     // code that may not be deployed
            _ => deploying(&[0x5a, 0x5f, 0x55, 0x00]), // SSTORE (0, GAS)
        };
        let mut word = [0; 32];
        word[..child.len()].copy_from_slice(&child);
        self.push(U256::from_be_bytes(word));
        self.push_u64(0);
        self.op(0x52);
        let second = self.rng.random();
        if second {
            let salt = self.rng.random_range(0..3);
            self.push_u64(salt);
        }
        self.push_u64(child.len() as u64);
        self.push_u64(0);
        let value = self.rng.random_range(0..2);
        self.push_u64(value);
        self.op(if second { 0xf5 } else { 0xf0 });
        self.keep();
    }

    fn end(&mut self) {
        match self.rng.random_range(0..10) {
            0 => {
                self.push_range();
                self.op(0xfd); // REVERT
            }
            1 => self.op(0xfe),
            2 => {
                self.push_target();
                self.op(0xff); // SELFDESTRUCT
            }
            3 => {
                let loop_to = self.code.len() as u64;
                self.op(0x5b);
                self.push_u64(loop_to);
                self.op(0x56); // JUMP, for ever
            }
            4..=6 => {
                self.push_range();
                self.op(0xf3); // RETURN
            }
            _ => self.op(0x00),
        }
    }

    fn random(rng: &mut StdRng, targets: &[Address]) -> Vec<u8> {
        let mut program = Program { code: Vec::new(), rng, targets };
        for _ in 0..program.rng.random_range(1..10) {
            program.step();
        }
        program.end();
        program.code
    }
}

/// A history under way on both.
struct Pair {
    ours: Client,
    theirs: Client,
    chain_id: u64,
    rng: StdRng,
    nonces: [u64; 3],
    /// Every address that may hold something.
    known: Vec<Address>,
    blocks: u64,
    failed: u64,
    logged: u64,
}

impl Pair {
    async fn both(
        &self,
        method: &'static str,
        params: Value,
    ) -> (Result<Value, Value>, Result<Value, Value>) {
        (self.ours.ask(method, params.clone()).await, self.theirs.ask(method, params).await)
    }

    async fn same(&self, method: &'static str, params: Value) -> Value {
        match self.both(method, params.clone()).await {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, theirs, "{method} {params}: ours, theirs");
                ours
            }
            other => panic!("{method} {params}: {other:?}"),
        }
    }

    fn access_list(&mut self) -> AccessList {
        let items = (0..self.rng.random_range(0..3)).map(|_| AccessListItem {
            address: *self.known.choose(&mut self.rng).unwrap(),
            storage_keys: (0..self.rng.random_range(0..3)).map(B256::with_last_byte).collect(),
        });
        AccessList(items.collect())
    }

    /// Mostly good authorizations; also of the wrong nonce or chain, which are skipped, and for any chain.
    fn authorizations(&mut self, sender: usize) -> Vec<SignedAuthorization> {
        let count = self.rng.random_range(1..3);
        (0..count)
            .map(|_| {
                let signer = self.rng.random_range(0..3);
                // The sender's own nonce has gone up by one when the list is looked at.
                let next = self.nonces[signer] + u64::from(signer == sender);
                let nonce = if self.rng.random_ratio(1, 4) { next + 1 } else { next };
                let chain_id = *[self.chain_id, self.chain_id, 0, 1].choose(&mut self.rng).unwrap();
                let address = *self.known.choose(&mut self.rng).unwrap();
                let authorization = Authorization { chain_id: U256::from(chain_id), address, nonce };
                let signature = sign_hash(&key(signer), authorization.signature_hash());
                authorization.into_signed(signature)
            })
            .collect()
    }

    fn random_transaction(&mut self) -> (usize, Unsigned) {
        let sender = self.rng.random_range(0..3);
        let (chain_id, nonce) = (self.chain_id, self.nonces[sender]);
        let (to, input): (TxKind, Bytes) = match self.rng.random_range(0..10) {
            0..=2 => {
                let code = Program::random(&mut self.rng, &self.known);
                let init = if self.rng.random_ratio(1, 4) { code } else { deploying(&code) };
                (TxKind::Create, init.into())
            }
            3 => (TxKind::Call(Address::repeat_byte(self.rng.random_range(0xd0..0xd4))), Bytes::new()),
            _ => {
                let mut input = vec![0; self.rng.random_range(0..100)];
                if self.rng.random() {
                    self.rng.fill(&mut input[..]);
                }
                (TxKind::Call(*self.known.choose(&mut self.rng).unwrap()), input.into())
            }
        };
        let gas_limit = match self.rng.random_range(0..8) {
            // Enough for what a transaction costs before it runs, which anvil does not check.
            0 | 1 => self.rng.random_range(130_000..250_000),
            _ => self.rng.random_range(300_000..2_000_000),
        };
        let value = U256::from(*[0, 0, 1, 12_345_678].choose(&mut self.rng).unwrap());
        let tip = *[0, 0, 1, 3_000_000_000].choose(&mut self.rng).unwrap();
        let (gas_price, access_list) = (u128::from(BASE_FEE) + tip, self.access_list());
        let max_fee_per_gas = gas_price + self.rng.random_range(0..2u128) * 1_000_000_000;
        let tx = match (self.rng.random_range(0..5), to) {
            (0, to) => {
                TxLegacy { chain_id: Some(chain_id), nonce, gas_price, gas_limit, to, value, input }.into()
            }
            (1, to) => {
                TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input }.into()
            }
            (2, TxKind::Call(to)) => {
                let authorization_list = self.authorizations(sender);
                TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas: tip,
                    to,
                    value,
                    access_list,
                    authorization_list,
                    input,
                }
                .into()
            }
            (_, to) => TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas: tip,
                to,
                value,
                access_list,
                input,
            }
            .into(),
        };
        (sender, tx)
    }

    /// Sends one to both; true if both took it.
    async fn send(&mut self, raw: &Bytes) -> bool {
        self.theirs.get("anvil_setNextBlockBaseFeePerGas", json!([format!("{BASE_FEE:#x}")])).await;
        match self.both("eth_sendRawTransaction", json!([raw])).await {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, theirs);
                self.blocks += 1;
                true
            }
            (Err(ours), Err(theirs)) => {
                assert_eq!(ours["code"].is_i64(), theirs["code"].is_i64(), "{ours} {theirs}");
                false
            }
            other => panic!("one took {raw}, the other not: {other:?}"),
        }
    }

    /// Gives an account money without running its code: by a contract that destroys itself as it is made.
    async fn fund(&mut self, account: Address) {
        let init = [&[0x73], account.as_slice(), &[0xff]].concat();
        let nonce =
            number(&self.ours.get("eth_getTransactionCount", json!([key(3).address(), "latest"])).await);
        let mut tx = transaction(self.chain_id, nonce, TxKind::Create, 0, init);
        tx.value = U256::from(10u128.pow(18));
        let raw = signed(tx.into(), &key(3));
        assert!(self.send(&raw).await, "the bank is rich");
        self.compare_receipt(&raw).await;
    }

    async fn compare_receipt(&mut self, raw: &Bytes) {
        let ours = self.ours.receipt(keccak256(raw)).await;
        let theirs = self.theirs.awaited_receipt(keccak256(raw)).await;
        for field in [
            "type",
            "status",
            "gasUsed",
            "cumulativeGasUsed",
            "effectiveGasPrice",
            "logsBloom",
            "from",
            "to",
            "contractAddress",
            "transactionHash",
            "transactionIndex",
            "blockNumber",
        ] {
            assert_eq!(ours[field], theirs[field], "{field} of {ours}\nand {theirs}");
        }
        let logs = |receipt: &Value| -> Vec<Value> {
            let logs = receipt["logs"].as_array().unwrap().iter();
            logs.map(|l| json!([l["address"], l["topics"], l["data"], l["logIndex"], l["removed"]])).collect()
        };
        assert_eq!(logs(&ours), logs(&theirs));
        self.failed += u64::from(ours["status"] == "0x0");
        self.logged += u64::from(!logs(&ours).is_empty());
        if let Some(created) = ours["contractAddress"].as_str()
            && ours["status"] == "0x1"
        {
            self.known.push(created.parse().unwrap());
        }
    }

    /// Authorizations and borrowed code that creates move the nonces of senders, too.
    async fn follow_nonces(&mut self) {
        for account in 0..3 {
            let nonce = self.same("eth_getTransactionCount", json!([key(account).address(), "latest"])).await;
            self.nonces[account] = number(&nonce);
        }
    }

    /// A call that is not a transaction: the same output, or the same revert data.
    async fn compare_call(&mut self) {
        let to = *self.known.choose(&mut self.rng).unwrap();
        let mut input = [0; 40];
        self.rng.fill(&mut input);
        let call =
            json!({ "from": key(0).address(), "to": to, "gas": "0xf4240", "input": Bytes::from(input) });
        let at = format!("{:#x}", self.blocks);
        match self.both("eth_call", json!([call, at])).await {
            (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{call}"),
            (Err(ours), Err(theirs)) if ours["code"] == 3 => {
                assert_eq!(ours["data"], theirs["data"], "{call}")
            }
            (Err(ours), Err(theirs)) => assert_ne!(theirs["code"], 3, "{call}: {ours} {theirs}"),
            other => panic!("{call} at {at}: {other:?}"),
        }
    }

    async fn compare_state(&self, at: u64) {
        let at = format!("{at:#x}");
        let mut known: BTreeSet<Address> = self.known.iter().copied().collect();
        known.extend((0xd0..0xd4).map(Address::repeat_byte));
        known.insert(Address::ZERO);
        for address in known {
            self.same("eth_getBalance", json!([address, at])).await;
            self.same("eth_getTransactionCount", json!([address, at])).await;
            let code = self.same("eth_getCode", json!([address, at])).await;
            if code != "0x" {
                for slot in 0..SLOTS {
                    self.same("eth_getStorageAt", json!([address, format!("{slot:#x}"), at])).await;
                }
            }
        }
    }
}

async fn compare(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = development_ledger(dir.path()).await;
    let anvil = Anvil::start(ledger.chain_id()).await;
    let mut pair = Pair {
        ours: Client::new(&ledger.rpc_url()),
        theirs: Client::new(&anvil.url),
        chain_id: ledger.chain_id(),
        rng: StdRng::seed_from_u64(seed),
        nonces: [0; 3],
        known: (0..3).map(|account| key(account).address()).collect(),
        blocks: 0,
        failed: 0,
        logged: 0,
    };
    let mut refused = 0;
    for round in 0..TRANSACTIONS {
        println!("seed {seed} round {round}");
        let (sender, tx) = pair.random_transaction();
        let raw = signed(tx, &key(sender));
        if pair.send(&raw).await {
            pair.compare_receipt(&raw).await;
            pair.follow_nonces().await;
        } else {
            // Mostly because the code that an account borrowed gave its money away.
            refused += 1;
            pair.fund(key(sender).address()).await;
        }
        pair.compare_call().await;
    }
    for at in [pair.blocks, pair.blocks / 2, pair.blocks / 3, 1] {
        pair.compare_state(at).await;
    }
    let Pair { blocks, failed, logged, .. } = pair;
    println!(
        "seed {seed}: {blocks} agree; of them {failed} failed, {logged} logged; {refused} were refused by both"
    );
    let (some, most) = (blocks / 10, blocks / 2);
    assert!((some..most).contains(&failed) && logged > some, "the programs are to do something");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn led_2_random_transactions_do_the_same_as_on_anvil() {
    let seeds = match std::env::var(SEEDS_VARIABLE) {
        Ok(list) => list.split(',').map(|seed| seed.trim().parse().expect("a number")).collect(),
        Err(_) => SEEDS.to_vec(),
    };
    for seed in seeds {
        compare(seed).await;
    }
}
