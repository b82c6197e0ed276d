//! The routes, one file a resource, and their description.

pub(crate) mod assets;
mod inference;

use std::sync::Arc;

use axum::{Router, http::Uri, routing::get};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, problem::Problem};

/// The whole description, without the routes.
#[derive(OpenApi)]
#[openapi(info(
    title = "Residual gateway",
    description = "Licences, keys, content, paid inference and usage of one marketplace.",
    license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
))]
struct Description;

fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(assets::list))
        .routes(routes!(assets::show))
        .routes(routes!(inference::price, inference::predict))
}

/// The description of the API (OpenAPI 3.1), as `/v1/openapi.json` serves it.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

pub(crate) fn routes(app: Arc<App>) -> Router {
    let (routes, description) = described().split_for_parts();
    let description = serde_json::to_string(&description).expect("the description is JSON");
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
