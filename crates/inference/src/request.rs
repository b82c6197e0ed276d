//! Why a request is not answered, and whose fault that is.

use serde::Serialize;
use thiserror::Error;

use crate::json::JsonError;
use crate::npy::NpyError;
use crate::picture::PictureError;
use crate::program::RunError;
use crate::tensor::ConversionError;

/// What a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum MediaType {
    /// `image/png`
    Png,
    /// `image/jpeg`
    Jpeg,
    /// `application/json`: a tensor.
    Json,
    /// `application/x-npy`: a tensor as `numpy.save` writes it.
    Npy,
}

impl MediaType {
    /// By the value of `Content-Type`; its parameters are not looked at.
    pub fn from_mime(mime: &str) -> Option<Self> {
        let essence = mime.split(';').next().unwrap_or_default().trim();
        let types = [
            ("image/png", Self::Png),
            ("image/jpeg", Self::Jpeg),
            ("application/json", Self::Json),
            ("application/x-npy", Self::Npy),
        ];
        types.into_iter().find(|(name, _)| essence.eq_ignore_ascii_case(name)).map(|(_, media)| media)
    }
}

/// Whose fault it is that a request was not answered, as HTTP has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Fault {
    /// 400: the bytes are not what they are said to be.
    Malformed,
    /// 413: there is too much of it.
    TooLarge,
    /// 415: the model takes something else.
    MediaType,
    /// 422: understood, but it does not fit this model.
    Unfit,
    /// 500: the model's or ours, nothing the client can mend.
    Model,
}

/// Why a request is not answered.
#[derive(Debug, Error)]
pub enum RequestError {
    /// Longer than the limit.
    #[error("the request has {found} bytes; expected at most {limit}: send less at once")]
    TooLarge {
        /// Its length.
        found: usize,
        /// [`Limits::max_request_bytes`](crate::Limits::max_request_bytes).
        limit: usize,
    },
    /// A picture for a model of tensors.
    #[error("the model takes no pictures; send a tensor as application/json or application/x-npy")]
    TakesTensors,
    /// A bad picture.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// A bad tensor in JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A bad tensor in npy.
    #[error(transparent)]
    Npy(#[from] NpyError),
    /// A tensor of another shape.
    #[error(
        "expected a tensor of shape {expected:?}, or up to {max_rows} of them in a batch, found {found:?}"
    )]
    Shape {
        /// That of one row.
        expected: Vec<usize>,
        /// The most rows; 1 where the model takes no batches.
        max_rows: usize,
        /// That of the request.
        found: Vec<usize>,
    },
    /// A number that the model does not take.
    #[error(transparent)]
    Number(#[from] ConversionError),
    /// The model stopped.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The model gave numbers that are no answer.
    #[error("expected an answer as the model card says, but the model gave {found}; tell its publisher")]
    Unsound {
        /// What it gave.
        found: &'static str,
    },
}

impl RequestError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::TooLarge { .. } | Self::Picture(PictureError::TooLarge { .. }) => Fault::TooLarge,
            Self::TakesTensors => Fault::MediaType,
            Self::Picture(PictureError::Malformed { .. }) | Self::Json(_) | Self::Npy(_) => Fault::Malformed,
            Self::Picture(PictureError::Size { .. }) | Self::Shape { .. } | Self::Number(_) => Fault::Unfit,
            Self::Run(_) | Self::Unsound { .. } => Fault::Model,
        }
    }
}
