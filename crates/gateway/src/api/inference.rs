//! Paid calls of served models.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use residual_inference::{Answers, Fault, Input, MediaType, RequestError, Served};
use residual_meter::Tick;
use residual_primitives::{Amount, AssetId};
use residual_x402::{PAYMENT_RESPONSE, PAYMENT_SIGNATURE, SettleResponse, encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    App,
    api::words,
    extract::{Body, Named},
    payment::{self, Call, Outcome, Refusal},
    problem::{Problem, ProblemBody},
    service::Service,
};

const NPY: &str = "application/x-npy";

/// How every PNG begins.
const PNG: [u8; 4] = [0x89, b'P', b'N', b'G'];

/// What a call gave.
#[derive(Debug, Serialize, ToSchema)]
struct Predicted {
    /// The model.
    #[schema(value_type = words::Asset)]
    asset: AssetId,
    /// Its version.
    version: u32,
    /// One answer for each image or row that was sent: classes with their scores, boxes in pixels, or a tensor.
    #[schema(value_type = Vec<Object>)]
    answers: Answers,
}

/// The channel was settled and what was left given back.
#[derive(Debug, Serialize, ToSchema)]
struct Refunded {
    /// For people.
    message: &'static str,
}

/// Asks what a call costs; or, with a refund in the payment header, has back what is left in a channel.
#[utoipa::path(
    get,
    path = "/v1/assets/{asset}/inference",
    operation_id = "price_of_call",
    tag = "inference",
    params(
        ("asset" = words::Asset, Path, description = "The model."),
        ("payment-signature" = Option<String>, Header, description = "An x402 v2 refund, base64 of its JSON."),
    ),
    responses(
        (status = 200, description = "What was left is given back.", body = Refunded, headers(("payment-response" = String, description = "What was given back."))),
        (status = 402, description = "It is to be paid, or paid otherwise.", body = ProblemBody, content_type = "application/problem+json",
            headers(("payment-required" = String, description = "What is asked for: base64 of JSON (x402 v2)."))),
        (status = 404, description = "No such model is served here.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 405, description = "A payment, and nothing to be served: POST an input.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The payment or its name was used for another request, or this one was repeated too often: the problem's type says which.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn price(
    State(app): State<Arc<App>>,
    Named(asset): Named<AssetId>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let service = app.service(asset)?;
    let call = call(&app, service, 1, &uri, &headers, &[])?;
    let work = async move {
        Err::<Response, _>(Problem::method_not_allowed("POST an input to be served; nothing was charged"))
    };
    let outcome = payment::paid(&app, call, headers.get(PAYMENT_SIGNATURE), work).await?;
    Ok(answer(outcome, |response| response))
}

/// Calls a model, paid by x402 v2 or by a tick of a window: without a payment the answer is 402 and says what is asked for.
#[utoipa::path(
    post,
    path = "/v1/assets/{asset}/inference",
    operation_id = "call_model",
    tag = "inference",
    params(
        ("asset" = words::Asset, Path, description = "The model."),
        ("payment-signature" = Option<String>, Header, description = "An x402 v2 payment, base64 of its JSON."),
        ("residual-tick" = Option<String>, Header, description = "Instead, the next tick of a window, for a call of one unit: `<channel>; <index>; <preimage>`, the first and the last 0x and 64 hexadecimal digits, the index from 1."),
    ),
    request_body(
        description = "An image (PNG, JPEG), a tensor (npy), or JSON with `image` (base64) or `tensor` (nested numbers).",
        content((CallBody = "application/json"), (words::File = "image/png"), (words::File = "image/jpeg"), (words::File = "application/x-npy")),
    ),
    responses(
        (status = 200, description = "The answers, as JSON or by `accept: application/x-npy` as npy.", body = Predicted, headers(("payment-response" = String, description = "What was paid."))),
        (status = 402, description = "It is to be paid, or paid otherwise.", body = ProblemBody, content_type = "application/problem+json",
            headers(("payment-required" = String, description = "What is asked for: base64 of JSON (x402 v2)."))),
        (status = 404, description = "No such model is served here.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The payment or its name was used for another request, this one was repeated too often, or it is not the window's next tick: the problem's type says which.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn predict(
    State(app): State<Arc<App>>,
    Named(asset): Named<AssetId>,
    uri: Uri,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Refusal> {
    let service = app.service(asset)?;
    let sent = sent(headers.get(header::CONTENT_TYPE), &body)?;
    let model = Arc::clone(&service.model);
    // An image is one unit whatever is in it, and is looked at when it is paid; a tensor must be read to be counted.
    let (input, units) = match sent {
        Sent::Image(bytes, media) => (Asked::Image(bytes, media), 1),
        Sent::Tensor(bytes, media) => {
            let read = app.queue.work({
                let model = Arc::clone(&model);
                move || model.read(&bytes, media)
            });
            let input = read.await?.map_err(|error| refused(&error))?;
            let units = u32::try_from(model.units(&input));
            let too_many = |_| Problem::unprocessable("expected fewer than 2^32 rows in a call");
            (Asked::Tensor(input), units.map_err(too_many)?)
        }
    };
    let call = call(&app, service, units, &uri, &headers, &body)?;
    let work = run(Arc::clone(&app), model, input);
    let outcome = match (headers.get(Tick::HEADER), headers.get(PAYMENT_SIGNATURE)) {
        (None, payment) => payment::paid(&app, call, payment, work).await?,
        (Some(tick), None) => payment::ticked(&app, call, tick, work).await?,
        (Some(_), Some(_)) => {
            let detail = "expected one payment, found a tick and another; send one of them";
            return Err(Problem::invalid(detail).into());
        }
    };
    let npy = headers.get(header::ACCEPT).is_some_and(|accept| accept == NPY);
    Ok(answer(outcome, |answers| written(service, answers, npy)))
}

/// A call as JSON: one of the two.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "only its description is of use")]
struct CallBody {
    /// An image, PNG or JPEG, as base64.
    image: Option<String>,
    /// Nested lists of numbers, or `{"shape": [...], "data": [...]}`.
    #[schema(value_type = Option<Object>)]
    tensor: Option<()>,
}

/// JSON that was sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum JsonBody<'a> {
    /// An image, PNG or JPEG, as base64.
    #[serde(borrow)]
    Image(Cow<'a, str>),
    /// Nested lists of numbers, or `{"shape": [...], "data": [...]}`.
    #[serde(borrow)]
    Tensor(&'a RawValue),
}

/// The bytes of what was sent, not looked into.
enum Sent {
    Image(Bytes, MediaType),
    Tensor(Bytes, MediaType),
}

/// What is asked of the model.
enum Asked {
    Image(Bytes, MediaType),
    Tensor(Input),
}

fn sent(media: Option<&HeaderValue>, body: &Bytes) -> Result<Sent, Problem> {
    let mime = media.and_then(|media| media.to_str().ok()).unwrap_or_default();
    match MediaType::from_mime(mime) {
        Some(media @ (MediaType::Png | MediaType::Jpeg)) => return Ok(Sent::Image(body.clone(), media)),
        Some(MediaType::Npy) => return Ok(Sent::Tensor(body.clone(), MediaType::Npy)),
        Some(MediaType::Json) => {}
        None => {
            let expected = "image/png, image/jpeg, application/json or application/x-npy";
            return Err(Problem::unsupported_media_type(format!(
                "expected Content-Type {expected}, found {mime:?}"
            )));
        }
    }
    let expected = "expected {\"image\": base64 of a PNG or JPEG} or {\"tensor\": nested numbers}, found";
    let json = serde_json::from_slice(body);
    match json.map_err(|error| Problem::invalid(format!("{expected} something else: {error}")))? {
        JsonBody::Tensor(numbers) => {
            Ok(Sent::Tensor(Bytes::copy_from_slice(numbers.get().as_bytes()), MediaType::Json))
        }
        JsonBody::Image(text) => {
            let image = STANDARD.decode(text.as_bytes());
            let image = image.map_err(|error| Problem::invalid(format!("{expected} no base64: {error}")))?;
            let media = if image.starts_with(&PNG) { MediaType::Png } else { MediaType::Jpeg };
            Ok(Sent::Image(image.into(), media))
        }
    }
}

async fn run(app: Arc<App>, model: Arc<Served>, asked: Asked) -> Result<Answers, Problem> {
    let answers = app.queue.work(move || match asked {
        Asked::Tensor(input) => model.answer(&input),
        Asked::Image(bytes, media) => model.answer(&model.read(&bytes, media)?),
    });
    answers.await?.map_err(|error| refused(&error))
}

/// What is to be paid for a call.
fn call(
    app: &App,
    service: &Service,
    units: u32,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Call, Problem> {
    let price = payment::price_of(service.unit_price, units);
    let price: Amount =
        price.ok_or_else(|| Problem::unprocessable("expected a call below 2^128 units in price"))?;
    let text = |name| headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    let parts: [&[u8]; 5] = [
        &service.asset.to_be_bytes(),
        &service.version.to_be_bytes(),
        text(header::CONTENT_TYPE),
        text(header::ACCEPT),
        body,
    ];
    Ok(Call {
        url: app.url_of(uri, headers),
        description: format!("{}, version {}: one prediction", service.name, service.version),
        receiver: service.receiver,
        unit_price: service.unit_price,
        units,
        price,
        terms: service.terms.0,
        digest: residual_client::digest_of_parts(&parts),
        discovery: Arc::clone(&service.discovery),
    })
}

fn answer<T>(outcome: Outcome<T>, write: impl FnOnce(T) -> Response) -> Response {
    let (mut response, paid) = match outcome {
        Outcome::Served(answer, paid) => (write(answer), paid),
        Outcome::Refunded(paid) => {
            (Json(Refunded { message: "what was left in the channel is given back" }).into_response(), paid)
        }
    };
    response.headers_mut().insert(PAYMENT_RESPONSE, receipt(&paid));
    response
}

fn receipt(paid: &SettleResponse) -> HeaderValue {
    HeaderValue::from_str(&encode(paid)).expect("base64 is a header value")
}

fn written(service: &Service, answers: Answers, npy: bool) -> Response {
    if npy {
        return ([(header::CONTENT_TYPE, NPY)], Bytes::from(answers.to_npy())).into_response();
    }
    Json(Predicted { asset: service.asset, version: service.version, answers }).into_response()
}

fn refused(error: &RequestError) -> Problem {
    match error.fault() {
        Fault::Malformed => Problem::invalid(error),
        Fault::TooLarge => Problem::too_large(error),
        Fault::MediaType => Problem::unsupported_media_type(error),
        Fault::Unfit => Problem::unprocessable(error),
        Fault::Model => {
            tracing::error!(%error, "the model failed");
            Problem::internal("the model failed at this input; nothing was charged")
        }
    }
}
