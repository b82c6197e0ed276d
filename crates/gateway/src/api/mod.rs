//! The routes, one file a resource, and their description.

mod about;
pub(crate) mod assets;
mod channels;
mod content;
mod facilitator;
mod inference;
mod keys;
mod licences;
mod payouts;
mod quotes;
mod terms;
mod usage;
mod windows;
mod words;

use std::sync::Arc;

use axum::{Router, http::Uri, routing::get};
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder, path::Operation},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    problem::{Problem, ProblemBody},
};

/// The whole description, without the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Residual gateway",
        description = "Licences, keys, content, paid inference and usage of one marketplace.\n\nErrors are problem details (RFC 9457), whose `type` names the kind. Every answer has the request's id as `x-request-id`, the caller's own if one was sent. Any page of the web may GET; other methods are for pages of the marketplace's own origins. Every GET can be a HEAD.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(words::RawFormat))
)]
struct Description;

fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(about::show))
        .routes(routes!(assets::list))
        .routes(routes!(assets::show))
        .routes(routes!(inference::price, inference::predict))
        .routes(routes!(facilitator::supported))
        .routes(routes!(facilitator::verify))
        .routes(routes!(facilitator::settle))
        .routes(routes!(assets::versions))
        .routes(routes!(terms::offered))
        .routes(routes!(terms::show))
        .routes(routes!(licences::list))
        .routes(routes!(licences::show))
        .routes(routes!(quotes::make))
        .routes(routes!(keys::request))
        .routes(routes!(content::show))
        .routes(routes!(channels::show))
        .routes(routes!(windows::show, windows::open))
        .routes(routes!(windows::close))
        .routes(routes!(payouts::list))
        .routes(routes!(usage::list))
        .routes(routes!(usage::epoch))
}

/// The statuses that any request may get, and what they say.
const ANY: &[(u16, &str)] = &[
    (400, "The request is not what it should be."),
    (408, "The request took too long."),
    (429, "Too many requests of one caller; `retry-after` says when to go on."),
    (500, "A fault of the gateway."),
    (503, "Not now: too many requests at once, or the ledger does not answer."),
];

/// Those that a request with a body may get beside them.
const WITH_BODY: &[(u16, &str)] = &[
    (413, "The body is too large."),
    (415, "The body is no JSON by its content type."),
    (422, "The body is JSON, and makes no sense here."),
];

/// The description of the API (OpenAPI 3.1), as `/v1/openapi.json` serves it.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    complete(described().into_openapi())
}

/// Adds what every operation has in common.
fn complete(mut description: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for path in description.paths.paths.values_mut() {
        if let (Some(get), Some(head)) = (&path.get, &mut path.head) {
            // One function answers both, and an id is one operation's.
            head.operation_id = get.operation_id.as_ref().map(|id| format!("{id}_head"));
        }
        let methods = [&mut path.get, &mut path.head, &mut path.post];
        for operation in methods.into_iter().filter_map(Option::as_mut) {
            let with_body = WITH_BODY.iter().filter(|_| operation.request_body.is_some());
            let statuses: Vec<_> = ANY.iter().chain(with_body).collect();
            for (status, means) in statuses {
                add(operation, *status, means);
            }
        }
    }
    let components = description.components.get_or_insert_default();
    components.schemas.insert(ProblemBody::name().into(), ProblemBody::schema());
    description
}

/// Adds a problem to what an operation may answer, unless the operation says itself what that status means.
fn add(operation: &mut Operation, status: u16, means: &str) {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build();
    let problem: Response =
        ResponseBuilder::new().description(means).content("application/problem+json", body).build();
    operation.responses.responses.entry(status.to_string()).or_insert(RefOr::T(problem));
}

pub(crate) fn routes(app: Arc<App>) -> Router {
    let (routes, description) = described().split_for_parts();
    let description = serde_json::to_string(&complete(description)).expect("the description is JSON");
    let describe =
        get(move || async move { ([(axum::http::header::CONTENT_TYPE, "application/json")], description) });
    routes
        .route("/v1/openapi.json", describe)
        .fallback(|uri: Uri| async move {
            Problem::not_found(format!("expected a path of /v1/openapi.json, found {}", uri.path()))
        })
        .method_not_allowed_fallback(|| async {
            Problem::method_not_allowed("expected a method that /v1/openapi.json lists for this path")
        })
        .with_state(app)
}
