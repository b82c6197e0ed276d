//! What gateways committed to: where the logs of `Usage` are, and their typed form.
//!
//! A node that leaves a log out is told by the gap, but for a gateway's last epochs: whoever must know that there is no
//! further one asks `Usage.roots` for it.

use alloy_primitives::Address;
use alloy_rpc_types_eth::Log;
use alloy_sol_types::SolEvent;

use crate::{contracts::Usage, deploy::Deployment, events::EventError, logs::LogQuery};

/// The logs of what one gateway committed to, in the order of its epochs.
#[must_use]
pub fn commitments_of(suite: &Deployment, gateway: Address) -> LogQuery {
    LogQuery {
        addresses: vec![suite.usage.address],
        events: vec![Usage::Committed::SIGNATURE_HASH],
        indexed: [vec![gateway.into_word()], Vec::new(), Vec::new()],
    }
}

/// Reads one of those logs.
///
/// # Errors
/// [`EventError::NotOfContract`].
pub fn read_commitment(suite: &Deployment, log: &Log) -> Result<Usage::Committed, EventError> {
    let refused = |reason: String| EventError::NotOfContract {
        contract: suite.usage.address,
        reason,
        transaction: log.transaction_hash.unwrap_or_default(),
    };
    if log.address() != suite.usage.address {
        return Err(refused(format!("a log of {}", log.address())));
    }
    Usage::Committed::decode_raw_log(log.topics(), &log.data().data)
        .map_err(|error| refused(error.to_string()))
}
