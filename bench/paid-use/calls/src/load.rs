//! The client: connections that each send their next request when the last is answered, as wrk does.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::Failure;

/// What is called, and how.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    host: String,
    head: String,
    body: String,
}

impl Target {
    /// `url` is `http://HOST:PORT/PATH`. A body is posted; without one it is a GET.
    pub(crate) fn new(url: &str, body: &str) -> Result<Self, Failure> {
        let (host, path) = url
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'))
            .ok_or_else(|| format!("expected http://HOST:PORT/PATH, found {url}"))?;
        let method = if body.is_empty() { "GET" } else { "POST" };
        let head = format!(
            "{method} /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        Ok(Self { host: host.to_owned(), head, body: body.to_owned() })
    }
}

/// One connection, kept alive.
pub(crate) struct Connection {
    target: Target,
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(target: &Target) -> Result<Self, Failure> {
        let stream = TcpStream::connect(&target.host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { target: target.clone(), stream: BufReader::new(stream) })
    }

    /// Sends one request and reads the whole answer; how long that took. Another status is an error.
    pub(crate) fn call(&mut self, payment: Option<&str>, expected: u16) -> Result<Duration, Failure> {
        let Target { head, body, .. } = &self.target;
        let payment = payment.map(|payment| format!("payment-signature: {payment}\r\n")).unwrap_or_default();
        let request = format!("{head}{payment}\r\n{body}");
        let start = Instant::now();
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (status, answer) = self.answer()?;
        let took = start.elapsed();
        if status != expected {
            let answer = String::from_utf8_lossy(&answer);
            return Err(format!("expected status {expected}, found {status}: {answer}").into());
        }
        Ok(took)
    }

    fn answer(&mut self) -> Result<(u16, Vec<u8>), Failure> {
        let status = self.line()?.split(' ').nth(1).unwrap_or_default().parse()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(": ") {
                None => break,
                Some(("content-length", value)) => length = value.parse()?,
                Some(("transfer-encoding", "chunked")) => chunked = true,
                Some(_) => {}
            }
        }
        let mut body = Vec::new();
        if !chunked {
            self.take(length, &mut body)?;
            return Ok((status, body));
        }
        loop {
            let size = usize::from_str_radix(&self.line()?, 16)?;
            self.take(size, &mut body)?;
            self.line()?;
            if size == 0 {
                return Ok((status, body));
            }
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("expected an answer, found the connection closed".into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn take(&mut self, bytes: usize, body: &mut Vec<u8>) -> Result<(), Failure> {
        let at = body.len();
        body.resize(at + bytes, 0);
        Ok(self.stream.read_exact(&mut body[at..])?)
    }
}

/// How long things took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
}

impl Quantiles {
    pub(crate) fn of(took: &[Duration]) -> Self {
        let mut sorted = took.to_vec();
        sorted.sort_unstable();
        let at = |per_mille: usize| {
            let index = sorted.len().saturating_sub(1) * per_mille / 1_000;
            sorted.get(index).map_or(0.0, |took| took.as_secs_f64() * 1e3)
        };
        Self { p50_ms: at(500), p99_ms: at(990), p999_ms: at(999) }
    }
}

/// What came of a closed loop.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Loop {
    pub(crate) connections: usize,
    pub(crate) requests: usize,
    pub(crate) requests_per_s: f64,
    #[serde(flatten)]
    pub(crate) took: Quantiles,
}

/// One thread and connection for each row, which sends that row's payments, one after the other.
pub(crate) fn closed_loop(target: &Target, rows: Vec<Vec<String>>) -> Result<Loop, Failure> {
    let connections = rows.len();
    let start = Barrier::new(connections + 1);
    let (took, whole) = thread::scope(|scope| {
        let workers: Vec<_> = rows
            .iter()
            .map(|row| {
                scope.spawn(|| {
                    let connection = Connection::open(target);
                    start.wait();
                    let mut connection = connection.map_err(|error| error.to_string())?;
                    let calls = row.iter().map(|payment| connection.call(Some(payment), 200));
                    calls.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
                })
            })
            .collect();
        start.wait();
        let begun = Instant::now();
        let mut took = Vec::new();
        for worker in workers {
            took.extend(worker.join().map_err(|_| "a connection's thread panicked")??);
        }
        Ok::<_, Failure>((took, begun.elapsed()))
    })?;
    let requests_per_s = took.len() as f64 / whole.as_secs_f64();
    Ok(Loop { connections, requests: took.len(), requests_per_s, took: Quantiles::of(&took) })
}
