//! A call that was not served: a 402 with what is asked for, or another problem.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use residual_client::LedgerError;
use residual_x402::{PAYMENT_REQUIRED, PaymentRequired, encode};

use crate::problem::Problem;

/// Why a paid call was not served. Nothing was charged for it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It must be paid, or paid otherwise.
    Unpaid {
        /// What is asked for.
        required: Box<PaymentRequired>,
        /// Why, for people.
        detail: String,
    },
    /// Something else.
    Problem(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        Self::Problem(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Unpaid { required, detail } => {
                let mut response = Problem::payment_required(detail).into_response();
                let headers = response.headers_mut();
                let value = HeaderValue::from_str(&encode(&*required)).expect("base64 is a header value");
                headers.insert(PAYMENT_REQUIRED, value);
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
        }
    }
}
