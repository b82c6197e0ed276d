//! A node of another make: anvil, a real EVM whose history can be taken back.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use residual_ledger::{
    Chain, Config,
    contracts::{CREATE2_PROXY, CREATE2_PROXY_CODE, genesis_alloc},
    http,
};
use serde_json::{Value, json};

/// An anvil process, killed when dropped.
pub(crate) struct Anvil {
    process: Child,
    http: http::Client,
    pub(crate) url: String,
}

impl Anvil {
    /// Starts one; with `by_hand` it makes a block only when told to.
    pub(crate) async fn start(by_hand: bool) -> Self {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let program = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
        assert!(program.exists(), "{} is missing: run contracts/scripts/setup", program.display());
        let process = Command::new(program)
            .args(["--silent", "--port", &port.to_string()])
            .args(by_hand.then_some("--no-mining"))
            .stdout(Stdio::null())
            .spawn()
            .expect("anvil starts");
        let http = http::client(Duration::from_secs(5), Duration::from_secs(60)).expect("a client");
        let anvil = Self { process, http, url: format!("http://127.0.0.1:{port}") };
        let end = Instant::now() + Duration::from_secs(30);
        while anvil.answer("eth_chainId", json!([])).await.is_err() {
            assert!(Instant::now() < end, "anvil answers in 30 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anvil
    }

    async fn answer(&self, method: &str, params: Value) -> Result<Value, http::Error> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let post = self.http.post(&self.url).header("content-type", "application/json").body(body);
        let bytes = post.send().await?.bytes().await?;
        Ok(serde_json::from_slice(&bytes).expect("an answer is JSON"))
    }

    pub(crate) async fn ask(&self, method: &str, params: Value) -> Value {
        let mut answer = self.answer(method, params).await.unwrap_or_else(|e| panic!("{method}: {e}"));
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", json!([blocks])).await;
    }

    /// Puts there what public chains have: the deployment proxy, and the contracts that stock clients look for.
    pub(crate) async fn furnish(&self) {
        for (address, code) in genesis_alloc() {
            self.ask("anvil_setCode", json!([address, code])).await;
        }
    }

    /// A connection, on a chain that has the deployment proxy as public ones do.
    pub(crate) async fn connect(&self, config: Config) -> Chain {
        self.ask("anvil_setCode", json!([CREATE2_PROXY, CREATE2_PROXY_CODE])).await;
        Chain::connect(Config { development: true, url: self.url.clone(), ..config }).await.expect("connects")
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It is gone already if it crashed, which the test that used it has noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
