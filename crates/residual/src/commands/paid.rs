//! `use`: paid calls of served models.

use std::{fs, io::Read, path::Path, time::Duration};

use residual_client::{Budget, PaidAnswer, Payer, RemoteGateway};
use residual_ledger::http::{self, HeaderValue, Method, Request, Url};
use residual_primitives::{Amount, AssetId, B256};
use serde_json::{Value, json};

use crate::{cli::Use, commands::Here, failure::Failure, output::Output};

/// The largest input that is sent, in bytes.
const INPUT_BYTES_MAX: u64 = 8 << 20;

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(150);

pub(super) async fn run(here: &Here<'_>, what: Use, output: &mut Output) -> Result<(), Failure> {
    let account = here.account()?;
    let budget = Budget { per_call: here.tokens(&what.max_price)?, total: here.tokens(&what.budget)? };
    let url = gateway(here, &what).await?.inference_url(what.asset);
    let http = http::client(CONNECT_TIMEOUT, TIMEOUT)
        .map_err(|error| Failure::Http { reason: error.to_string() })?;
    let payer = Payer::new(here.client, account.clone(), what.asset, budget, http.clone());
    if what.refund {
        let windows = Payer::new(here.client, account, what.asset, budget, http).in_windows(1);
        let refunded = [payer.refund(url.clone()).await?, windows.refund(url).await?];
        return gave_back(here, what.asset, refunded, output);
    }
    let payer = match what.window {
        Some(ticks) => payer.in_windows(ticks),
        None => payer,
    };
    let mut calls = Vec::new();
    let mut outcome = Ok(());
    for path in &what.inputs {
        match call(here, &payer, &url, path, output).await {
            Ok(call) => calls.push(call),
            Err(failure) => {
                outcome = Err(failure);
                break;
            }
        }
    }
    // What was paid for is shown also when a later call failed.
    if outcome.is_ok() || !calls.is_empty() {
        output.result(&json!({ "asset": what.asset, "calls": calls }), |_| {
            let paid = calls.iter().filter_map(|call| call["charged"].as_str()?.parse().ok()).sum();
            format!("{} calls, {} paid", calls.len(), here.show(paid))
        })?;
    }
    outcome
}

/// Says what came back from the channels.
fn gave_back(
    here: &Here<'_>,
    asset: AssetId,
    refunded: [Option<(B256, Amount)>; 2],
    output: &mut Output,
) -> Result<(), Failure> {
    let refunded: Vec<_> = refunded.into_iter().flatten().collect();
    let channels = refunded.iter().map(|(channel, amount)| json!({ "channel": channel, "refunded": amount }));
    let result = json!({ "asset": asset, "channels": channels.collect::<Vec<_>>() });
    output.result(&result, |_| {
        let lines = refunded.iter();
        let lines =
            lines.map(|(channel, amount)| format!("{} came back from channel {channel}", here.show(*amount)));
        let lines = lines.collect::<Vec<_>>().join("\n");
        if lines.is_empty() { "there is no channel with anything in it".to_owned() } else { lines }
    })?;
    Ok(())
}

/// The gateway that is asked.
async fn gateway(here: &Here<'_>, what: &Use) -> Result<RemoteGateway, Failure> {
    let (url, allow_http) = match &what.gateway {
        Some(url) => (url.clone(), what.allow_http),
        // A process of this machine, by whichever of its addresses.
        None => (here.client.running_gateway()?.ok_or(Failure::NoGateway)?, true),
    };
    Ok(here.client.gateway(&url, allow_http).await?)
}

/// One paid call.
async fn call(
    here: &Here<'_>,
    payer: &Payer<'_>,
    url: &Url,
    path: &Path,
    output: &mut Output,
) -> Result<Value, Failure> {
    let answered = payer.call(request(url, path)?).await?;
    told(here, path, answered, output).await
}

fn request(url: &Url, path: &Path) -> Result<Request, Failure> {
    let failed = |source| Failure::Input { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        fs::File::open(path)
            .and_then(|file| file.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(failed)?;
    }
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::InputTooLarge { path: path.to_owned(), max: INPUT_BYTES_MAX });
    }
    let media = match &bytes[..] {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, ..] => "image/jpeg",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "application/x-npy",
        _ => "application/json",
    };
    let mut request = Request::new(Method::POST, url.clone());
    request.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(media));
    *request.body_mut() = Some(bytes.into());
    Ok(request)
}

/// Says what came of one call.
async fn told(
    here: &Here<'_>,
    path: &Path,
    answered: PaidAnswer,
    output: &mut Output,
) -> Result<Value, Failure> {
    let PaidAnswer { response, charged, deposited, channel } = answered;
    let status = response.status();
    let body = http::body(response, ANSWER_BYTES_MAX).await;
    let paid = || match charged {
        Amount::ZERO => "nothing was charged".to_owned(),
        charged => format!("{} was charged", here.show(charged)),
    };
    let body = body.map_err(|error| Failure::AnswerLost { paid: paid(), reason: error.to_string() })?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        let detail = answer["detail"].as_str().unwrap_or("no reason was given").chars().take(500).collect();
        return Err(Failure::NotServed { status: status.as_u16(), paid: paid(), detail });
    }
    output.say(&format!("{}: {}, {}", path.display(), in_words(&answer), here.show(charged)))?;
    if deposited > Amount::ZERO {
        output.say(&format!(
            "   {} went into a channel; --refund has back what is left",
            here.show(deposited)
        ))?;
    }
    Ok(json!({
        "input": path,
        "charged": charged,
        "deposited": deposited,
        "channel": channel,
        "answers": answer["answers"],
    }))
}

/// An answer on one line: the likeliest class, the number of boxes, or what it is.
fn in_words(answer: &Value) -> String {
    let rows = answer["answers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let words = rows.iter().map(|row| {
        if let Some(best) = row["classes"].get(0) {
            let score = best["score"].as_f64().unwrap_or_default() * 100.0;
            return format!("{} ({score:.1}%)", best["label"].as_str().unwrap_or("?"));
        }
        match row["boxes"].as_array() {
            Some(boxes) => format!("{} boxes", boxes.len()),
            None => "a tensor; --json shows it".to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The asset and, behind `=`, the licence to serve it with.
pub(crate) fn serving(text: &str) -> Result<residual_gateway::Serving, String> {
    let (asset, licence) =
        text.split_once('=').map_or((text, None), |(asset, licence)| (asset, Some(licence)));
    let asset: AssetId = asset.parse().map_err(|error: residual_primitives::IdError| error.to_string())?;
    let licence = licence.map(str::parse).transpose();
    let licence = licence.map_err(|error: residual_primitives::IdError| error.to_string())?;
    Ok(residual_gateway::Serving { asset, licence })
}
