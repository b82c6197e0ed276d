//! What the tests share: chains to talk to, and a way to them that can be cut.
#![expect(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod anvil;

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use alloy_primitives::{B256, U256};
use residual_ledger::{
    Address, Chain, Config, Receipt, Sender, Transaction,
    contracts::{Contract, TestUSD, genesis_alloc},
    deploy,
};
use residual_local_ledger::{Genesis, GenesisAccount, LocalLedger};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// An embedded ledger with the canonical contracts.
pub(crate) async fn embedded(dir: &Path) -> LocalLedger {
    let account = |code| GenesisAccount { nonce: 1, code, ..GenesisAccount::default() };
    let accounts = genesis_alloc().into_iter().map(|(address, code)| (address, account(code))).collect();
    let config = residual_local_ledger::Config {
        genesis: Genesis { accounts },
        development: true,
        ..residual_local_ledger::Config::default()
    };
    LocalLedger::open(dir, config).await.expect("the ledger opens")
}

pub(crate) fn development(url: impl Into<String>) -> Config {
    Config { development: true, ..Config::embedded(url) }
}

pub(crate) async fn connect(ledger: &LocalLedger) -> Chain {
    Chain::connect(development(ledger.rpc_url())).await.expect("connects")
}

/// A sender of one of the development accounts.
pub(crate) fn sender(chain: &Chain, index: u32) -> Sender {
    chain.sender(chain.development_account(index).expect("development mode"))
}

pub(crate) async fn test_usd(sender: &Sender) -> Address {
    deploy::create2(sender, Contract::TestUSD, B256::ZERO, &[]).await.expect("is created").address
}

pub(crate) fn mint(token: Address, to: Address, amount: u64) -> Transaction {
    Transaction::call(token, &TestUSD::mintCall { to, amount: U256::from(amount) })
}

pub(crate) fn transfer(token: Address, to: Address, value: u64) -> Transaction {
    Transaction::call(token, &TestUSD::transferCall { to, value: U256::from(value) })
}

pub(crate) async fn tokens_of(chain: &Chain, token: Address, account: Address) -> u64 {
    chain.call(token, &TestUSD::balanceOfCall { account }).await.expect("a balance").to()
}

/// What the token logged as moved, in order.
pub(crate) fn moved(receipt: &Receipt, token: Address) -> Vec<u64> {
    receipt.events::<TestUSD::Transfer>(token).map(|event| event.value.to()).collect()
}

/// What becomes of a request that carries a signed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It never arrives.
    LostBefore,
    /// It arrives; the answer does not come back.
    LostAfter,
}

/// A way to a node that can be cut, and that can lose a transaction's request or its answer.
pub(crate) struct Relay {
    address: SocketAddr,
    open: watch::Sender<bool>,
    fates: Arc<[AtomicUsize; 2]>,
}

impl Relay {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (open, state) = watch::channel(true);
        let fates = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let shared = fates.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, state.clone(), shared.clone()));
            }
        });
        Self { address, open, fates }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Ends all connections and takes no more.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }

    /// Gives the next transactions a fate.
    pub(crate) fn lose(&self, transactions: usize, fate: Fate) {
        self.fates[fate as usize].store(transactions, Ordering::SeqCst);
    }

    /// How many transactions still have that fate before them.
    pub(crate) fn left_to_lose(&self, fate: Fate) -> usize {
        self.fates[fate as usize].load(Ordering::SeqCst)
    }
}

async fn carry(
    mut client: TcpStream,
    target: SocketAddr,
    mut open: watch::Receiver<bool>,
    fates: Arc<[AtomicUsize; 2]>,
) {
    if !*open.borrow_and_update() {
        return;
    }
    let exchange = async {
        let mut node = TcpStream::connect(target).await?;
        // Each direction a chunk at a time, so that a request can be seen before it goes on.
        let (mut request, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = client.read(&mut request) => {
                    let chunk = &request[..read?];
                    if chunk.is_empty() {
                        return Ok(());
                    }
                    if chunk.windows(22).any(|window| window == b"eth_sendRawTransaction") {
                        if take_one(&fates[Fate::LostBefore as usize]) {
                            return Ok(());
                        }
                        if take_one(&fates[Fate::LostAfter as usize]) {
                            node.write_all(chunk).await?;
                            // The node has carried it out when it begins to answer.
                            let _answered = node.read(&mut answer).await?;
                            return Ok(());
                        }
                    }
                    node.write_all(chunk).await?;
                }
                read = node.read(&mut answer) => {
                    let chunk = &answer[..read?];
                    if chunk.is_empty() {
                        return Ok(());
                    }
                    client.write_all(chunk).await?;
                }
            }
        }
        #[expect(unreachable_code, reason = "names the error's type")]
        std::io::Result::Ok(())
    };
    // Either end may go away at any time; the tests look at what the client makes of it.
    tokio::select! {
        _ = exchange => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

fn take_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}

/// What a node between answers instead of the one behind it.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A result.
    Result(Value),
    /// A JSON-RPC error.
    Error(i64, &'static str),
    /// An HTTP status and its text.
    Http(u16, &'static str),
}

/// What a node between makes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Twist {
    /// The node behind answers.
    Pass,
    /// The node behind never sees it.
    Instead(Reply),
    /// The node behind carries it out, and its answer is not told.
    After(Reply),
}

type Rule = Box<dyn FnMut(&str, &Value) -> Twist + Send>;

/// A node that lies between the client and another one, by a rule on the method and the parameters of each request.
pub(crate) struct Between {
    address: SocketAddr,
    rule: Arc<Mutex<Rule>>,
    sendings: Arc<AtomicUsize>,
}

impl Between {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_, _| Twist::Pass)));
        let sendings = Arc::new(AtomicUsize::new(0));
        let shared = (rule.clone(), sendings.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (rule, sendings) = shared.clone();
                // A client may go away at any time; the tests look at what it makes of the answers.
                tokio::spawn(async move { answer(client, target, &rule, &sendings).await });
            }
        });
        Self { address, rule, sendings }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on by this rule.
    pub(crate) fn twist(&self, rule: impl FnMut(&str, &Value) -> Twist + Send + 'static) {
        *self.rule.lock().expect("no rule panics") = Box::new(rule);
    }

    /// From now on without lies.
    pub(crate) fn mend(&self) {
        self.twist(|_, _| Twist::Pass);
    }

    /// How often a transaction was sent so far.
    pub(crate) fn sendings(&self) -> usize {
        self.sendings.load(Ordering::SeqCst)
    }
}

async fn answer(
    mut client: TcpStream,
    target: SocketAddr,
    rule: &Mutex<Rule>,
    sendings: &AtomicUsize,
) -> std::io::Result<()> {
    let request: Value = serde_json::from_slice(&read_body(&mut client).await?)?;
    let method = request["method"].as_str().unwrap_or_default();
    if method == "eth_sendRawTransaction" {
        sendings.fetch_add(1, Ordering::SeqCst);
    }
    let twist = (*rule.lock().expect("no rule panics"))(method, &request["params"]);
    let truth = match &twist {
        Twist::Instead(_) => Vec::new(),
        Twist::Pass | Twist::After(_) => post(target, &request).await?,
    };
    let wrap = |key: &str, value: Value| json!({ "jsonrpc": "2.0", "id": request["id"], key: value });
    let (status, body) = match twist {
        Twist::Pass => (200, truth),
        Twist::Instead(reply) | Twist::After(reply) => match reply {
            Reply::Result(value) => (200, wrap("result", value).to_string().into_bytes()),
            Reply::Error(code, message) => {
                let error = json!({ "code": code, "message": message });
                (200, wrap("error", error).to_string().into_bytes())
            }
            Reply::Http(status, text) => (status, text.as_bytes().to_vec()),
        },
    };
    write_message(&mut client, &format!("HTTP/1.1 {status} told"), &body).await
}

async fn post(node: SocketAddr, request: &Value) -> std::io::Result<Vec<u8>> {
    let mut node = TcpStream::connect(node).await?;
    write_message(&mut node, "POST / HTTP/1.1\r\nhost: localhost", request.to_string().as_bytes()).await?;
    read_body(&mut node).await
}

/// What a node says to one request.
pub(crate) async fn result_of(node: SocketAddr, method: &str, params: Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = post(node, &request).await.expect("an answer");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    answer["result"].clone()
}

async fn write_message(stream: &mut TcpStream, first_line: &str, body: &[u8]) -> std::io::Result<()> {
    let rest = "content-type: application/json\r\nconnection: close\r\ncontent-length:";
    stream.write_all(format!("{first_line}\r\n{rest} {}\r\n\r\n", body.len()).as_bytes()).await?;
    stream.write_all(body).await
}

/// The body of an HTTP message of known length.
async fn read_body(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let mut chunk = vec![0; 1 << 16];
        let read = stream.read(&mut chunk).await?;
        message.extend_from_slice(&chunk[..read]);
        let head = message.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&message[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|length| length.trim().parse().ok()).expect("a length");
            if message.len() >= head + 4 + length {
                return Ok(message[head + 4..head + 4 + length].to_vec());
            }
        }
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
