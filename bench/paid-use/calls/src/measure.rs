//! Starts what is measured, has vouchers signed ahead, and takes the figures, those to be compared right after each other.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Failure,
    load::{Connection, Loop, Quantiles, Target, closed_loop},
    serve::Stand,
    world::place,
};

/// Calls of each kind in a round of latencies, and rounds.
const LATENCIES: usize = 1_000;
const LATENCY_ROUNDS: usize = 5;
/// Connections, and calls of each in a round: ours, and the peer's, which are slower.
const LOADS: [(usize, usize, usize); 3] = [(1, 1_000, 150), (8, 250, 40), (32, 100, 15)];
const LOAD_ROUNDS: usize = 3;
/// Bytes of a charge in the log.
const FRAME: usize = 256;

/// Everything that was taken over HTTP.
#[derive(Debug, Serialize)]
pub(crate) struct Served {
    pub(crate) latency: Vec<Latency>,
    pub(crate) loads: Vec<Load>,
}

/// One round of calls that follow each other on one connection each.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    pub(crate) disk: Quantiles,
    pub(crate) echo: Quantiles,
    pub(crate) asked: Quantiles,
    pub(crate) unpaid: Quantiles,
    pub(crate) paid: Quantiles,
}

/// One round of closed loops of the same number of connections.
#[derive(Debug, Serialize)]
pub(crate) struct Load {
    pub(crate) echo: Loop,
    pub(crate) unpaid: Loop,
    pub(crate) paid: Loop,
    pub(crate) peer: Loop,
    /// Flushes of the whole process for a thousand paid calls.
    pub(crate) syncs_per_1000: f64,
    /// Processor time of a call in the server's process, in milliseconds.
    pub(crate) unpaid_cpu_ms: f64,
    pub(crate) paid_cpu_ms: f64,
    pub(crate) peer_cpu_ms: f64,
}

/// The 1-minute load average.
pub(crate) fn load_average() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

/// A process that was started here, and ends with its input.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("expected a pipe to read from")?);
        Ok(Self { child, input, output })
    }

    fn line<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    fn ask<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        self.input.as_mut().ok_or("expected a pipe to write to")?.write_all(b"\n")?;
        self.line()
    }

    /// What it has had of the processors, in milliseconds.
    fn cpu_ms(&self) -> Result<f64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let [user, system] = [11, 12].map(|at| fields.get(at).and_then(|field| field.parse::<f64>().ok()));
        // The kernel counts hundredths of a second here, whatever its own tick is.
        Ok((user.zip(system).map(|(user, system)| user + system)).ok_or("expected processor times")? * 10.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        // It was told to end; how it does is no figure.
        let _ = self.child.wait();
    }
}

/// Payments that were signed ahead, by channel.
struct Payments(Vec<VecDeque<String>>);

impl Payments {
    fn sign(url: &str, body: &str, rpc_url: &str, counts: &[usize]) -> Result<Self, Failure> {
        let output = Command::new("node")
            .arg(place("bench/paid-use/prepare.mjs"))
            .args([url, body])
            .args(counts.iter().map(usize::to_string))
            .env("RESIDUAL_RPC_URL", rpc_url)
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("payments were not signed: {}", output.status).into());
        }
        let mut rows = vec![VecDeque::new(); counts.len()];
        for line in io::Cursor::new(output.stdout).lines() {
            let line = line?;
            let (channel, payment) = line.split_once('\t').ok_or("expected a channel and a payment")?;
            rows.get_mut(channel.parse::<usize>()?)
                .ok_or("expected a channel of ours")?
                .push_back(payment.to_owned());
        }
        Ok(Self(rows))
    }

    fn next(&mut self, channel: usize) -> Result<String, Failure> {
        Ok(self.0[channel].pop_front().ok_or("expected more payments to be signed ahead")?)
    }

    /// So many of each of the first channels.
    fn take(&mut self, channels: usize, calls: usize) -> Result<Vec<Vec<String>>, Failure> {
        (0..channels).map(|channel| (0..calls).map(|_| self.next(channel)).collect()).collect()
    }
}

/// How many payments each channel needs when the calls of a row are `calls`.
fn counts(calls: impl Fn(&(usize, usize, usize)) -> usize, first: usize) -> Vec<usize> {
    let most = LOADS.iter().map(|(connections, ..)| *connections).max().unwrap_or_default();
    let of = |channel: usize| {
        let rows = LOADS.iter().filter(|(connections, ..)| channel < *connections);
        let loads: usize = rows.map(|row| calls(row) * LOAD_ROUNDS).sum();
        loads + if channel == 0 { first } else { 0 }
    };
    (0..most).map(of).collect()
}

/// Measures on the disk of `dir`.
pub(crate) fn served(dir: &Path) -> Result<Served, Failure> {
    let world = dir.join("served");
    std::fs::create_dir(&world)?;
    let mut ours = Process::start(Command::new(std::env::current_exe()?).arg("serve").arg(&world))?;
    let stand: Stand = ours.line()?;
    let node = |script: &str| {
        let mut command = Command::new("node");
        command.arg(place("bench/paid-use").join(script)).env("RESIDUAL_RPC_URL", &stand.rpc_url);
        command
    };
    let mut peer = Process::start(&mut node("peer.mjs"))?;
    let peer_url: String = peer.line()?;
    eprintln!("signing vouchers ahead");
    let ahead = counts(|(_, ours, _)| *ours, LATENCIES * LATENCY_ROUNDS);
    let mut payments = Payments::sign(&stand.paid, &stand.body, &stand.rpc_url, &ahead)?;
    eprintln!("latencies");
    let mut latency = Vec::new();
    for _ in 0..LATENCY_ROUNDS {
        latency.push(latencies(&stand, &mut payments, dir)?);
    }
    // The peer asks the ledger again for a channel that it has not asked for in five minutes, so its come late.
    let mut peer_payments = Payments::sign(&peer_url, "", &stand.rpc_url, &counts(|(.., peer)| *peer, 0))?;
    eprintln!("closed loops");
    let mut loads = Vec::new();
    for _ in 0..LOAD_ROUNDS {
        for (connections, calls, peer_calls) in LOADS {
            let rows = payments.take(connections, calls)?;
            let free = Target::new(&stand.unpaid, &stand.body)?;
            let echo = closed_loop(&Target::new(&stand.echo, &stand.body)?, rows.clone())?;
            let (unpaid, unpaid_cpu_ms) = with_cpu(&ours, || closed_loop(&free, rows.clone()))?;
            let syncs: u64 = ours.ask()?;
            let target = Target::new(&stand.paid, &stand.body)?;
            let (paid, paid_cpu_ms) = with_cpu(&ours, || closed_loop(&target, rows))?;
            let syncs = ours.ask::<u64>()? - syncs;
            let rows = peer_payments.take(connections, peer_calls)?;
            let target = Target::new(&peer_url, "")?;
            let (sold, peer_cpu_ms) = with_cpu(&peer, || closed_loop(&target, rows))?;
            loads.push(Load {
                syncs_per_1000: syncs as f64 * 1e3 / paid.requests as f64,
                echo,
                unpaid,
                paid,
                peer: sold,
                unpaid_cpu_ms,
                paid_cpu_ms,
                peer_cpu_ms,
            });
        }
    }
    Ok(Served { latency, loads })
}

/// A closed loop and what each of its calls took of the server's processor time, in milliseconds.
fn with_cpu(server: &Process, run: impl FnOnce() -> Result<Loop, Failure>) -> Result<(Loop, f64), Failure> {
    let before = server.cpu_ms()?;
    let done = run()?;
    let each = (server.cpu_ms()? - before) / done.requests as f64;
    Ok((done, each))
}

/// One after the other: a flush of the disk, an echo, a price that is asked for, an unpaid call, a paid call. All are sent
/// the same bytes, but for the price, which is asked for without a payment.
fn latencies(stand: &Stand, payments: &mut Payments, dir: &Path) -> Result<Latency, Failure> {
    let connect = |url: &str| Connection::open(&Target::new(url, &stand.body)?);
    let (mut echo, mut unpaid) = (connect(&stand.echo)?, connect(&stand.unpaid)?);
    let (mut asked, mut paid) = (connect(&stand.paid)?, connect(&stand.paid)?);
    let disk = File::create(dir.join("disk"))?;
    disk.write_all_at(&vec![0; FRAME * LATENCIES], 0)?;
    disk.sync_all()?;
    let mut took: [Vec<Duration>; 5] = Default::default();
    for n in 0..LATENCIES {
        let payment = payments.next(0)?;
        let start = Instant::now();
        disk.write_all_at(&[1; FRAME], (n * FRAME) as u64)?;
        disk.sync_data()?;
        took[0].push(start.elapsed());
        took[1].push(echo.call(Some(&payment), 200)?);
        took[2].push(asked.call(None, 402)?);
        took[3].push(unpaid.call(Some(&payment), 200)?);
        took[4].push(paid.call(Some(&payment), 200)?);
    }
    let [disk, echo, asked, unpaid, paid] = took.map(|took| Quantiles::of(&took));
    Ok(Latency { disk, echo, asked, unpaid, paid })
}
