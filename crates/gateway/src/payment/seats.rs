//! One request at a time on a channel, and what the ledger said of it last.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use residual_client::ChannelView;
use residual_primitives::B256;
use tokio::sync::Mutex as Turn;

/// How many channels are remembered before those that nobody uses are forgotten; they are read again when they come back.
const SEATS_MAX: usize = 100_000;

/// A channel's place: held while a request of it is worked on. The view is the last confirmed one.
pub(crate) type Seat = Arc<Turn<Option<ChannelView>>>;

/// The places of all channels.
#[derive(Debug, Default)]
pub(crate) struct Seats(Mutex<HashMap<B256, Seat>>);

impl Seats {
    /// The channel's place.
    pub(crate) fn of(&self, channel: B256) -> Seat {
        let mut seats = self.0.lock().expect("nobody panics while looking for a seat");
        if seats.len() >= SEATS_MAX {
            seats.retain(|_, seat| Arc::strong_count(seat) > 1);
        }
        seats.entry(channel).or_default().clone()
    }
}
