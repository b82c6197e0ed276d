//! One request at a time on a channel, and what the ledger said of it last.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use residual_client::ChannelView;
use residual_primitives::B256;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// How many channels are remembered before those that nobody uses are forgotten; they are read again when they come back.
const SEATS_MAX: usize = 100_000;

/// How many requests of a channel are worked on or wait; more are told to come back.
const TURNS_MAX: usize = 64;

/// A channel's place: held while a request of it is worked on. The view is the last confirmed one.
pub(crate) type Seat = Arc<Turn<Option<ChannelView>>>;

/// The places of all channels.
#[derive(Debug, Default)]
pub(crate) struct Seats(Mutex<HashMap<B256, Seat>>);

impl Seats {
    /// Waits for the turn of a channel; none when it does not come in time, or too many wait for it already.
    pub(crate) async fn turn(
        &self,
        channel: B256,
        within: Duration,
    ) -> Option<OwnedMutexGuard<Option<ChannelView>>> {
        let seat = self.of(channel);
        // One of them is the map's.
        if Arc::strong_count(&seat) > TURNS_MAX + 1 {
            return None;
        }
        tokio::time::timeout(within, seat.lock_owned()).await.ok()
    }

    /// The channel's place.
    pub(crate) fn of(&self, channel: B256) -> Seat {
        let mut seats = self.0.lock().expect("nobody panics while looking for a seat");
        if seats.len() >= SEATS_MAX {
            seats.retain(|_, seat| Arc::strong_count(seat) > 1);
        }
        seats.entry(channel).or_default().clone()
    }
}
