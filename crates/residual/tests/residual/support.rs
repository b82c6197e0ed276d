//! What the tests share: the binary as a person runs it, a running node, a small town with something to buy.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub(crate) const RESIDUAL: &str = env!("CARGO_BIN_EXE_residual");

pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) fn examples(place: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(place);
    path.to_str().unwrap().to_owned()
}

/// The binary in an environment of its own: nothing of the tester's settings reaches it.
pub(crate) fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(RESIDUAL);
    command
        .env_clear()
        .env("HOME", data_dir)
        .env("RESIDUAL_DATA_DIR", data_dir)
        .env("RESIDUAL_PASSWORD", PASSWORD)
        .args(arguments);
    command
}

/// What a command prints as JSON; it must succeed.
pub(crate) fn json(data_dir: &Path, arguments: &[&str]) -> Value {
    let output = command(data_dir, arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("expected one JSON object, found {error} in {}", String::from_utf8_lossy(&output.stdout))
    })
}

/// Makes sure that a command failed with this exit code, said this, and said nothing else.
pub(crate) fn assert_refused(output: &Output, code: i32, says: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(says), "expected {says:?}, found {error}");
    assert!(!error.contains("panicked"), "{error}");
    assert!(output.stdout.is_empty(), "nothing but the error is said");
}

/// Runs a command that must fail so.
pub(crate) fn refused(data_dir: &Path, code: i32, says: &str, arguments: &[&str]) {
    eprintln!("{arguments:?}");
    assert_refused(&command(data_dir, arguments).output().unwrap(), code, says);
}

pub(crate) fn word(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected a string, found {value}")).to_owned()
}

/// An amount as JSON has it.
pub(crate) fn units(value: &Value) -> u128 {
    word(value).parse().unwrap()
}

/// A process, killed when the test lets go of it.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    pub(crate) fn terminate(&mut self) {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(asked.success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already, which is what some tests are about.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running development node and where its JSON-RPC is.
pub(crate) fn up(data_dir: &Path) -> (Process, String) {
    let (process, served) = served(data_dir, &["--development"]);
    (process, word(&served["rpc_url"]))
}

/// A running node, and all that it says of where it serves what.
pub(crate) fn served(data_dir: &Path, arguments: &[&str]) -> (Process, Value) {
    let any_port = ["up", "--json", "--listen", "127.0.0.1:0"];
    let mut up = command(data_dir, &any_port);
    if !arguments.contains(&"--gateway-listen") {
        up.args(["--gateway-listen", "127.0.0.1:0"]);
    }
    let mut child = up.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let served = serde_json::from_str(&line).expect("the node says where it serves what");
    (Process(child), served)
}

/// A development data directory with a published asset and a buyer, dev:2, who has 100 TestUSD.
pub(crate) struct Town {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) asset: String,
    /// 25 TestUSD, perpetual, with the right to derive.
    pub(crate) commercial: String,
    /// 5 TestUSD, without the right to derive.
    pub(crate) research: String,
}

/// dev:1 publishes `digits-a` under the two terms.
pub(crate) fn publish_digits(data_dir: &Path) -> Value {
    let [commercial, research] = ["terms/commercial.toml", "terms/research.toml"].map(examples);
    let work = examples("digits-a");
    let terms = ["--terms", &commercial, "--terms", &research];
    json(data_dir, &[&["publish", &work, "--name", "digits-a", "-a", "dev:1"][..], &terms].concat())
}

impl Town {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        json(&data, &["init", "--development"]);
        let published = publish_digits(&data);
        json(&data, &["account", "fund", "dev:2", "100", "-a", "dev:0"]);
        Self {
            asset: word(&published["asset"]),
            commercial: word(&published["terms"][0]),
            research: word(&published["terms"][1]),
            temp,
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        json(&self.data(), arguments)
    }

    pub(crate) fn refused(&self, code: i32, says: &str, arguments: &[&str]) {
        refused(&self.data(), code, says, arguments);
    }

    /// dev:2 buys a licence of the asset.
    pub(crate) fn license(&self, terms: &str) -> String {
        word(&self.json(&["license", &self.asset, terms, "-a", "dev:2"])["licence"])
    }

    /// How many events the ledger has: the same number means that nothing happened.
    pub(crate) fn events(&self) -> u64 {
        self.json(&["audit"])["events"].as_u64().unwrap()
    }
}

/// anvil from npm, as `contracts/scripts/setup` installs it: a chain of somebody else's.
pub(crate) fn anvil(arguments: &[&str]) -> (Process, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    assert!(program.exists(), "{} is missing: run contracts/scripts/setup", program.display());
    let child = Command::new(program)
        .args(["--silent", "--port", &port.to_string()])
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(started.elapsed() < Duration::from_secs(30), "anvil answers in 30 s");
        thread::sleep(Duration::from_millis(20));
    }
    (process, format!("http://{address}"))
}

/// One JSON-RPC request.
pub(crate) fn ask(url: &str, method: &str, params: Value) -> Value {
    let address = url.strip_prefix("http://").unwrap();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let answer: Value = serde_json::from_str(body).unwrap();
    assert!(answer["error"].is_null(), "{method}: {answer}");
    answer["result"].clone()
}

/// A way to a node that carries so many chunks of requests and is cut then.
pub(crate) fn relay(target: &str, chunks: usize) -> String {
    let target: SocketAddr = target.strip_prefix("http://").unwrap().parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let left = Arc::new(AtomicUsize::new(chunks));
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(mut client), Ok(mut node)) = (client, TcpStream::connect(target)) else { return };
            let (mut answers, mut back) = (node.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut answers, &mut back));
            let left = left.clone();
            thread::spawn(move || {
                let mut chunk = [0; 1 << 16];
                while let Ok(read @ 1..) = client.read(&mut chunk) {
                    let carry =
                        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                    if carry.is_err() || node.write_all(&chunk[..read]).is_err() {
                        break;
                    }
                }
                // Either side is gone, or the way is cut: both ends hear of it.
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = node.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    url
}
