//! The table and the raw figures.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    Failure,
    gas::Gas,
    load::Loop,
    measure::{Latency, Load, Served},
};

/// What `paid-use-checks` has printed, built as this workspace builds and as cargo does by itself.
#[derive(Debug, Serialize)]
pub(crate) struct Checks {
    same_profile: Rates,
    customary: Rates,
}

#[derive(Debug, Serialize, Deserialize)]
struct Rates {
    checks: BTreeMap<String, f64>,
    charged: BTreeMap<String, f64>,
}

impl Checks {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path)?;
        let rates = text.lines().map(serde_json::from_str).collect::<Result<Vec<Rates>, _>>()?;
        let [same_profile, customary] =
            <[Rates; 2]>::try_from(rates).map_err(|_| "expected two lines of checks")?;
        Ok(Self { same_profile, customary })
    }
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// The load of the machine over the last minute, before and after.
    pub(crate) load: [f64; 2],
    pub(crate) checks: Checks,
    pub(crate) served: Served,
    pub(crate) gas: Vec<Gas>,
}

pub(crate) fn print(figures: &Figures) -> Result<(), Failure> {
    let [before, after] = figures.load;
    println!("load average {before:.2} before, {after:.2} after\n");
    checks(&figures.checks);
    latency(&figures.served.latency)?;
    loads(&figures.served.loads)?;
    gas(&figures.gas);
    println!("\n{}", serde_json::to_string(figures)?);
    Ok(())
}

fn checks(checks: &Checks) {
    println!("| checks a second, one core | rate | ratio |\n|---|---|---|");
    let of = |rates: &Rates, name: &str| rates.checks.get(name).copied().unwrap_or(f64::NAN);
    let own = |name: &str| of(&checks.same_profile, name);
    let (bare, ours, tick) = (own("libsecp256k1"), own("voucher"), own("tick"));
    let row = |what: &str, rate: f64, ratio: String| println!("| {what} | {rate:.0} | {ratio} |");
    row("libsecp256k1, key and digest known", bare, "1".to_owned());
    row("voucher, key known", ours, format!("{:.0}% of it", 100.0 * ours / bare));
    let metered = own("voucher_by_the_meter");
    row("voucher, judged by the meter too", metered, format!("{:.0}% of it", 100.0 * metered / bare));
    let recovered = own("voucher_by_recovery");
    row("voucher, key recovered", recovered, format!("{:.0}% of it", 100.0 * recovered / bare));
    let peer = own("tap_core_receipt");
    row("tap_core 6.0.2 receipt", peer, format!("ours is {:.1} of it", ours / peer));
    let peer = of(&checks.customary, "tap_core_receipt");
    let ours = of(&checks.customary, "voucher");
    row("the same at cargo's own optimisation", peer, format!("ours is {:.1} of it", ours / peer));
    row("SHA-256 of 32 bytes", own("sha256_of_32_bytes"), String::new());
    row("tick, judged by the meter", tick, format!("{:.1} of a million", tick / 1e6));
    let charged = |name| checks.same_profile.charged.get(name).copied().unwrap_or(f64::NAN);
    let wall = charged("ticks_per_s");
    row("tick, charged and written to memory", wall, format!("{:.1} of a million", wall / 1e6));
    let cpu = charged("ticks_per_cpu_s");
    row("the same, for a second of processor time", cpu, format!("{:.1} of a million", cpu / 1e6));
}

fn latency(rounds: &[Latency]) -> Result<(), Failure> {
    let by = |of: fn(&Latency) -> f64| {
        let mut sorted: Vec<&Latency> = rounds.iter().collect();
        sorted.sort_by(|one, other| of(one).total_cmp(&of(other)));
        sorted
    };
    let quiet = by(|round| round.disk.p99_ms);
    let [quietest, .., busiest] = &quiet[..] else { return Err("expected rounds".into()) };
    for (which, round) in [("quietest", quietest), ("busiest", busiest)] {
        println!(
            "\n| one by one, {which} round (by the disk's p99), ms | p50 | p99 | p99.9 |\n|---|---|---|---|"
        );
        let row =
            |what: &str, of: [f64; 3]| println!("| {what} | {:.3} | {:.3} | {:.3} |", of[0], of[1], of[2]);
        let three = |of: crate::load::Quantiles| [of.p50_ms, of.p99_ms, of.p999_ms];
        row("the disk's fdatasync", three(round.disk));
        row("echo, bare axum", three(round.echo));
        row("the price is asked (402)", three(round.asked));
        row("the same inference, unpaid, bare axum", three(round.unpaid));
        row("paid", three(round.paid));
        let (paid, unpaid) = (three(round.paid), three(round.unpaid));
        row("added by the payment", [0, 1, 2].map(|at| paid[at] - unpaid[at]));
    }
    Ok(())
}

/// The best round of each row, which other work on the machine disturbed least.
fn loads(loads: &[Load]) -> Result<(), Failure> {
    println!(
        "\n| connections | subject | requests/s | p50 ms | p99 ms | processor ms a call | fsyncs per 1,000 |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut connections: Vec<usize> = loads.iter().map(|load| load.paid.connections).collect();
    connections.dedup();
    connections.truncate(3);
    for connections in connections {
        let best = |of: fn(&Load) -> &Loop| {
            let rows = loads.iter().filter(|load| load.paid.connections == connections);
            rows.max_by(|one, other| of(one).requests_per_s.total_cmp(&of(other).requests_per_s))
        };
        let row = |what: &str,
                   of: fn(&Load) -> &Loop,
                   cpu: fn(&Load) -> Option<f64>,
                   syncs: fn(&Load) -> Option<f64>| {
            let load = best(of).ok_or("expected rounds")?;
            let Loop { requests_per_s, took, .. } = of(load);
            let shown = |figure: Option<f64>, digits: usize| {
                figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
            };
            println!(
                "| {connections} | {what} | {requests_per_s:.0} | {:.2} | {:.2} | {} | {} |",
                took.p50_ms,
                took.p99_ms,
                shown(cpu(load), 3),
                shown(syncs(load), 0)
            );
            Ok::<f64, Failure>(*requests_per_s)
        };
        row("echo", |load| &load.echo, |_| None, |_| None)?;
        let unpaid = row("unpaid inference", |load| &load.unpaid, |load| Some(load.unpaid_cpu_ms), |_| None)?;
        let paid = row(
            "paid, durable",
            |load| &load.paid,
            |load| Some(load.paid_cpu_ms),
            |load| Some(load.syncs_per_1000),
        )?;
        let peer = row(
            "stock x402 server, in memory",
            |load| &load.peer,
            |load| Some(load.peer_cpu_ms),
            |_| Some(0.0),
        )?;
        println!(
            "| {connections} | ratios | paid is {:.1} of the peer, {:.2} of unpaid | | | | |",
            paid / peer,
            paid / unpaid
        );
    }
    Ok(())
}

fn gas(rows: &[Gas]) {
    println!(
        "\n| calls a channel and claim | claim | settle and sweep | usage commit | all, per million calls |"
    );
    println!("|---|---|---|---|---|");
    for gas in rows {
        println!(
            "| {} | {} | {} | {} | {:.0} (claim alone {:.0}) |",
            gas.calls_a_channel,
            gas.claim,
            gas.settle_and_sweep,
            gas.usage_commit,
            gas.per_million(gas.all()),
            gas.per_million(gas.claim)
        );
    }
}
