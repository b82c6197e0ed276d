//! What the tests of the ledger share: accounts, signed transactions, a few lines of assembler, the peers.
#![expect(dead_code, reason = "each test binary uses a part of it")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use alloy_consensus::{
    EthereumTypedTransaction, SignableTransaction, Signed, TxEip1559, TxEip4844, TxEnvelope,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_provider::{Provider, ProviderBuilder, RootProvider};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use residual_local_ledger::{BASE_FEE, Config, LocalLedger};
use serde_json::{Value, json};

/// Keys of the first development accounts.
const KEYS: [&str; 4] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
];

pub(crate) fn key(account: usize) -> PrivateKeySigner {
    KEYS[account].parse().expect("a key in hex")
}

/// A development ledger on a free port.
pub(crate) async fn development_ledger(dir: &std::path::Path) -> LocalLedger {
    let config = Config { development: true, ..Config::default() };
    LocalLedger::open(dir, config).await.expect("the ledger opens")
}

/// Where the whole workspace is built at once, reqwest has no TLS of its own and asks the process for one, even for HTTP.
pub(crate) fn install_tls() {
    // A second installation is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client of any JSON-RPC server over HTTP.
#[derive(Clone)]
pub(crate) struct Client(RootProvider);

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        install_tls();
        Self(ProviderBuilder::default().connect_http(url.parse().expect("a URL")))
    }

    /// The result, or the error as `{code, message, data}`.
    pub(crate) async fn ask(&self, method: &'static str, params: Value) -> Result<Value, Value> {
        match self.0.raw_request::<Value, Value>(method.into(), params).await {
            Ok(result) => Ok(result),
            Err(e) => match e.as_error_resp() {
                Some(e) => Err(json!({ "code": e.code, "message": e.message, "data": e.data })),
                None => Err(json!({ "transport": e.to_string() })),
            },
        }
    }

    pub(crate) async fn get(&self, method: &'static str, params: Value) -> Value {
        self.ask(method, params.clone()).await.unwrap_or_else(|e| panic!("{method} {params}: {e}"))
    }

    pub(crate) async fn send(&self, raw: &Bytes) -> Result<B256, Value> {
        let hash = self.ask("eth_sendRawTransaction", json!([raw])).await?;
        Ok(serde_json::from_value(hash).expect("a hash"))
    }

    pub(crate) async fn receipt(&self, hash: B256) -> Value {
        self.get("eth_getTransactionReceipt", json!([hash])).await
    }

    /// The receipt, once there is one: anvil acknowledges before it makes the block.
    pub(crate) async fn awaited_receipt(&self, hash: B256) -> Value {
        loop {
            match self.receipt(hash).await {
                // Asking without a pause keeps anvil from making the block.
                Value::Null => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
                receipt => return receipt,
            }
        }
    }

    /// Sends and expects success.
    pub(crate) async fn send_ok(&self, raw: &Bytes) -> Value {
        let hash = self.send(raw).await.expect("the transaction is taken");
        let receipt = self.receipt(hash).await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }
}

/// The number in a JSON-RPC quantity.
pub(crate) fn number(quantity: &Value) -> u64 {
    let text = quantity.as_str().unwrap_or_else(|| panic!("a quantity, not {quantity}"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("a quantity in hex")
}

pub(crate) fn address(value: &Value) -> Address {
    serde_json::from_value(value.clone()).expect("an address")
}

pub(crate) type Unsigned = EthereumTypedTransaction<TxEip4844>;

/// Signs and encodes.
pub(crate) fn signed(tx: Unsigned, key: &PrivateKeySigner) -> Bytes {
    let envelope: TxEnvelope = match tx {
        EthereumTypedTransaction::Legacy(mut tx) => finish(&mut tx, key).into(),
        EthereumTypedTransaction::Eip2930(mut tx) => finish(&mut tx, key).into(),
        EthereumTypedTransaction::Eip1559(mut tx) => finish(&mut tx, key).into(),
        EthereumTypedTransaction::Eip7702(mut tx) => finish(&mut tx, key).into(),
        EthereumTypedTransaction::Eip4844(_) => panic!("the ledger takes no blobs"),
    };
    envelope.encoded_2718().into()
}

fn finish<T: SignableTransaction<Signature> + Clone>(tx: &mut T, key: &PrivateKeySigner) -> Signed<T> {
    let signature = key.sign_transaction_sync(tx).expect("a local key signs");
    tx.clone().into_signed(signature)
}

/// Signs what is not a transaction.
pub(crate) fn sign_hash(key: &PrivateKeySigner, hash: B256) -> Signature {
    key.sign_hash_sync(&hash).expect("a local key signs")
}

/// A plain EIP-1559 transaction.
pub(crate) fn transaction(
    chain_id: u64,
    nonce: u64,
    to: TxKind,
    value: u64,
    input: impl Into<Bytes>,
) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 1_000_000,
        max_fee_per_gas: u128::from(BASE_FEE) * 2,
        max_priority_fee_per_gas: 0,
        to,
        value: U256::from(value),
        access_list: Default::default(),
        input: input.into(),
    }
}

/// Init code that deploys `runtime`, at most 65,535 bytes.
pub(crate) fn deploying(runtime: &[u8]) -> Vec<u8> {
    let length = u16::try_from(runtime.len()).expect("short code").to_be_bytes();
    // PUSH2 length, DUP1, PUSH1 11, PUSH0, CODECOPY, PUSH0, RETURN
    let mut code = vec![0x61, length[0], length[1], 0x80, 0x60, 0x0a, 0x5f, 0x39, 0x5f, 0xf3];
    code.extend_from_slice(runtime);
    code
}

/// A contract that counts its calls in slot 0 and logs the count with the given topic.
pub(crate) fn counter(topic: u8) -> Vec<u8> {
    let runtime = [
        0x5f, 0x54, 0x60, 0x01, 0x01, // count + 1
        0x80, 0x5f, 0x55, // slot 0 = it
        0x5f, 0x52, // memory 0 = it
        0x60, topic, 0x60, 0x20, 0x5f, 0xa1, // LOG1 (0, 32, topic)
        0x00,
    ];
    deploying(&runtime)
}

/// The program of a peer that `tests/peers/setup` installs.
pub(crate) fn peer(name: &str) -> PathBuf {
    let modules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/peers/node_modules");
    let path = modules.join(format!("@foundry-rs/{name}-linux-amd64/bin/{name}"));
    assert!(path.exists(), "{} is missing: run crates/local-ledger/tests/peers/setup", path.display());
    path
}

/// An anvil process, killed when dropped.
pub(crate) struct Anvil {
    process: Child,
    pub(crate) url: String,
}

impl Anvil {
    /// Starts one with the rules of the ledger and its chain id.
    pub(crate) async fn start(chain_id: u64) -> Self {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let process = Command::new(peer("anvil"))
            .args(["--silent", "--hardfork", "osaka", "--gas-limit", "60000000", "--enable-tx-gas-limit"])
            .args(["--base-fee", &BASE_FEE.to_string(), "--chain-id", &chain_id.to_string()])
            .args(["--port", &port.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("anvil starts");
        let anvil = Self { process, url: format!("http://127.0.0.1:{port}") };
        let client = Client::new(&anvil.url);
        let up = async {
            while client.ask("eth_chainId", json!([])).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), up).await.expect("anvil answers in 30 s");
        anvil
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It is gone already if it crashed, which the test that used it has noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
