//! Content: blocks by their CID, as the trustless gateways of IPFS serve them (`application/vnd.ipld.raw`).
//!
//! All blocks here are public: manifests are, and leaves and indexes are sealed. Whoever fetches one hashes it, so nothing
//! of this gateway need be believed; and a CID names its bytes for ever, so every answer may be kept.

use std::{ops::RangeInclusive, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use residual_client::{BlockId, BlockSource, StoreError};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    App,
    api::words,
    extract::{Named, Queried},
    problem::{Problem, ProblemBody},
};

const RAW: &str = "application/vnd.ipld.raw";

/// A CID names its bytes for ever.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// How a block is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// `raw`, which is also what is served without it.
    #[param(value_type = Option<words::RawFormat>)]
    format: Option<Format>,
}

/// What a request may say in its headers.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for the description; HTTP's own headers are read as HTTP has them")]
struct Conditions {
    /// One range of bytes, as `bytes=0-99`. Several are answered with all.
    #[param(required = false)]
    range: String,
    /// The CID in quotes, of a block that is there already.
    #[param(rename = "if-none-match", required = false)]
    if_none_match: String,
    /// The CID in quotes, of a block of which other bytes are there already.
    #[param(rename = "if-range", required = false)]
    if_range: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Raw,
}

/// What of a block is wanted.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    All,
    /// First and last byte.
    Some(RangeInclusive<usize>),
    /// Bytes that are not there.
    None,
}

/// Serves a block by its CID.
#[utoipa::path(
    method(get, head),
    path = "/v1/content/{cid}",
    operation_id = "get_block",
    tag = "content",
    params(
        ("cid" = words::Cid, Path, description = "The block's CID."),
        Wanted,
        Conditions,
    ),
    responses(
        (status = 200, description = "The block.", body = words::RawBlock, content_type = "application/vnd.ipld.raw"),
        (status = 206, description = "The part of the block.", body = words::RawBlock, content_type = "application/vnd.ipld.raw"),
        (status = 304, description = "The block is there already."),
        (status = 404, description = "The block is not here.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 416, description = "The block has no such bytes.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    method: Method,
    Named(id): Named<BlockId>,
    Queried(Wanted { format: None | Some(Format::Raw) }): Queried<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let blocks = app.blocks.clone();
    let block = tokio::task::spawn_blocking(move || blocks.get(&id)).await;
    let bytes = match block.map_err(|_| Problem::internal("the block could not be read; try again"))? {
        Ok(block) => block.into_bytes(),
        Err(StoreError::Missing { .. }) => {
            let detail =
                format!("expected a block that this gateway holds, found no {id}: ask another gateway");
            return Err(Problem::not_found(detail));
        }
        Err(error) => {
            tracing::error!(%error, "a block cannot be served");
            return Err(Problem::internal(
                "the block is here and cannot be read; tell the gateway's operator",
            ));
        }
    };
    let tag = format!("\"{id}\"");
    let mut answer = Response::builder()
        .header(header::CONTENT_TYPE, RAW)
        .header(header::ETAG, &tag)
        .header(header::CACHE_CONTROL, FOR_EVER)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.bin\""));
    if names(headers.get(header::IF_NONE_MATCH), &tag) {
        let answer = answer.status(StatusCode::NOT_MODIFIED).body(Body::empty());
        return Ok(answer.expect("a CID makes good headers"));
    }
    // A part is asked for by GET alone, and only of what the caller has the rest of (RFC 9110, 14.2 and 13.1.5).
    let ranged = method == Method::GET && headers.get(header::IF_RANGE).is_none_or(|have| *have == *tag);
    let part = if ranged { part(headers.get(header::RANGE), bytes.len()) } else { Part::All };
    let body = match part {
        Part::All => bytes,
        Part::Some(range) => {
            let place = format!("bytes {}-{}/{}", range.start(), range.end(), bytes.len());
            answer = answer.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, place);
            bytes[range].to_vec()
        }
        Part::None => {
            let detail = format!("expected bytes of a block of {}, found others", bytes.len());
            let place = format!("bytes */{}", bytes.len());
            let problem = Problem::range_not_satisfiable(detail).into_response();
            return Ok(([(header::CONTENT_RANGE, place)], problem).into_response());
        }
    };
    Ok(answer.header(header::CONTENT_LENGTH, body.len()).body(body.into()).expect("a CID makes good headers"))
}

/// Whether `If-None-Match` names the tag, or any.
fn names(header: Option<&HeaderValue>, tag: &str) -> bool {
    let tags = header.and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    tags.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

/// What a `Range` asks for of so many bytes (RFC 9110, 14.1.2). What cannot be read is as if it were not there.
fn part(header: Option<&HeaderValue>, length: usize) -> Part {
    let range = header.and_then(|range| range.to_str().ok()).and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.trim().split_once('-')) else { return Part::All };
    // Digits that pass any number are as good as the largest one.
    let number = |digits: &str| {
        let digits = Some(digits).filter(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()));
        digits.map(|digits| digits.parse().unwrap_or(usize::MAX))
    };
    let (first, last) = match (first, number(first), number(last)) {
        (_, Some(first), Some(last)) if first <= last => (first, last),
        (_, Some(first), None) if last.is_empty() => (first, usize::MAX),
        ("", None, Some(0)) => return Part::None,
        ("", None, Some(suffix)) => (length.saturating_sub(suffix), usize::MAX),
        _ => return Part::All,
    };
    if first >= length { Part::None } else { Part::Some(first..=last.min(length - 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_http_has_it() {
        let of = |range: &'static str| part(Some(&HeaderValue::from_static(range)), 10);
        assert_eq!(of("bytes=0-0"), Part::Some(0..=0));
        assert_eq!(of("bytes=2-"), Part::Some(2..=9));
        assert_eq!(of("bytes=2-99999999999999999999999"), Part::Some(2..=9));
        assert_eq!(of("bytes=-3"), Part::Some(7..=9));
        assert_eq!(of("bytes=-30"), Part::Some(0..=9));
        for none in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(of(none), Part::None, "{none}");
        }
        for ignored in
            ["bytes=5-2", "bytes=", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "0-1", "bytes=+1-2"]
        {
            assert_eq!(of(ignored), Part::All, "{ignored}");
        }
        assert_eq!(part(Some(&HeaderValue::from_static("bytes=0-")), 0), Part::None);
        assert_eq!(part(None, 10), Part::All);
    }

    #[test]
    fn a_tag_is_found_in_a_list() {
        let of = |tags: &'static str| names(Some(&HeaderValue::from_static(tags)), "\"a\"");
        for tags in ["\"a\"", "\"b\", \"a\"", "W/\"a\"", "*"] {
            assert!(of(tags), "{tags}");
        }
        for tags in ["", "a", "\"b\"", "\"a"] {
            assert!(!of(tags), "{tags}");
        }
    }
}
