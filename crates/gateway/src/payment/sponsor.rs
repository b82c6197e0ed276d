//! How much gas a gateway gives for others: so much an hour for a payer, so much for all, and so much for one transaction.
//!
//! Gas is counted, not transactions: a payer with code of its own decides what its signature costs to check.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use residual_primitives::Address;

use crate::problem::Problem;

/// The most gas of one transaction for others; an honest deposit, transfer or refund takes half of it.
pub(crate) const GAS_MAX: u64 = 300_000;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How many payers' worth of gas there is for all.
const PAYERS: u64 = 100;

/// The gas that was given since the hour began.
#[derive(Debug)]
pub(crate) struct Sponsor {
    per_payer: u64,
    hour: Mutex<Hour>,
}

#[derive(Debug)]
struct Hour {
    began: Instant,
    all: u64,
    /// At most as many payers as transactions, of which each takes gas.
    by_payer: HashMap<Address, u64>,
}

impl Sponsor {
    pub(crate) fn new(per_payer: u64) -> Self {
        let hour = Hour { began: Instant::now(), all: 0, by_payer: HashMap::new() };
        Self { per_payer, hour: Mutex::new(hour) }
    }

    /// Counts the gas of one transaction for a payer.
    ///
    /// # Errors
    /// A problem that says when to come back, when there is not so much left this hour.
    pub(crate) fn take(&self, payer: Address, gas: u64) -> Result<(), Problem> {
        self.take_at(payer, gas, Instant::now())
    }

    fn take_at(&self, payer: Address, gas: u64, now: Instant) -> Result<(), Problem> {
        let mut hour = self.hour.lock().expect("nobody panics while counting");
        if now.duration_since(hour.began) >= HOUR {
            *hour = Hour { began: now, all: 0, by_payer: HashMap::new() };
        }
        let left = HOUR.saturating_sub(now.duration_since(hour.began));
        let given = hour.by_payer.get(&payer).copied().unwrap_or_default();
        let within = |given: u64, most: u64| given.checked_add(gas).filter(|sum| *sum <= most);
        let sums = within(given, self.per_payer).zip(within(hour.all, self.per_payer.saturating_mul(PAYERS)));
        let Some((of_payer, all)) = sums else {
            let detail = "expected fewer transactions at this gateway's expense, found that it has given its gas for this \
                          hour; deposit more at once, or open the channel with gas of your own";
            return Err(Problem::unavailable(detail, left));
        };
        hour.all = all;
        hour.by_payer.insert(payer, of_payer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payer_has_so_much_gas_an_hour_and_all_together_have_no_more() {
        let sponsor = Sponsor::new(200_000);
        let (start, one) = (Instant::now(), Address::repeat_byte(1));
        assert!(sponsor.take_at(one, 90_000, start).is_ok());
        assert!(sponsor.take_at(one, 110_001, start).is_err(), "too dear a transaction");
        assert!(sponsor.take_at(one, 110_000, start).is_ok(), "what was refused was not counted");
        assert!(sponsor.take_at(one, 1, start).is_err());
        assert!(sponsor.take_at(Address::repeat_byte(2), u64::MAX, start).is_err());
        for other in 0..198_u16 {
            let payer = Address::left_padding_from(&(other + 256).to_be_bytes());
            assert!(sponsor.take_at(payer, 100_000, start).is_ok(), "{other}");
        }
        assert!(sponsor.take_at(Address::repeat_byte(9), 1, start).is_err(), "all is used up");
        assert!(sponsor.take_at(one, 200_000, start + HOUR).is_ok());
    }
}
