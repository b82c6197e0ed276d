//! How much gas a gateway gives for others: so many transactions an hour for a payer, and so many for all.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use residual_primitives::Address;

use crate::problem::Problem;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How many payers' worth of transactions there are for all.
const PAYERS: u32 = 100;

/// What was carried since the hour began.
#[derive(Debug)]
pub(crate) struct Sponsor {
    per_payer: u32,
    hour: Mutex<Hour>,
}

#[derive(Debug)]
struct Hour {
    began: Instant,
    all: u32,
    /// At most as many payers as transactions.
    by_payer: HashMap<Address, u32>,
}

impl Sponsor {
    pub(crate) fn new(per_payer: u32) -> Self {
        let hour = Hour { began: Instant::now(), all: 0, by_payer: HashMap::new() };
        Self { per_payer, hour: Mutex::new(hour) }
    }

    /// Counts one transaction for a payer.
    ///
    /// # Errors
    /// A problem that says when to come back, when there is no more this hour.
    pub(crate) fn take(&self, payer: Address) -> Result<(), Problem> {
        self.take_at(payer, Instant::now())
    }

    fn take_at(&self, payer: Address, now: Instant) -> Result<(), Problem> {
        let mut hour = self.hour.lock().expect("nobody panics while counting");
        if now.duration_since(hour.began) >= HOUR {
            *hour = Hour { began: now, all: 0, by_payer: HashMap::new() };
        }
        let left = HOUR.saturating_sub(now.duration_since(hour.began));
        let carried = hour.by_payer.get(&payer).copied().unwrap_or_default();
        if carried >= self.per_payer || hour.all >= self.per_payer.saturating_mul(PAYERS) {
            let detail = "expected fewer transactions at this gateway's expense, found as many as it carries in an hour; \
                          deposit more at once, or open the channel with gas of your own";
            return Err(Problem::unavailable(detail, left));
        }
        hour.all += 1;
        hour.by_payer.insert(payer, carried + 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payer_has_so_many_an_hour_and_all_together_have_no_more() {
        let sponsor = Sponsor::new(2);
        let (start, one) = (Instant::now(), Address::repeat_byte(1));
        assert!(sponsor.take_at(one, start).is_ok());
        assert!(sponsor.take_at(one, start).is_ok());
        assert!(sponsor.take_at(one, start).is_err());
        for other in 0..198_u16 {
            let payer = Address::left_padding_from(&(other + 256).to_be_bytes());
            assert!(sponsor.take_at(payer, start).is_ok(), "{other}");
        }
        assert!(sponsor.take_at(Address::repeat_byte(9), start).is_err(), "all is used up");
        assert!(sponsor.take_at(one, start + HOUR).is_ok());
    }
}
