//! How often a use that was paid is done again for nothing: an answer may be lost on its way, and a model costs time.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use residual_primitives::B256;

use crate::problem::Problem;

/// How often a paid request may be repeated. Since the last restart: what it was repeated before is not remembered.
const REPEATS_MAX: u32 = 32;

/// How many uses are remembered that were repeated. To have one forgotten, so many others must be paid.
const USES_MAX: usize = 100_000;

/// The uses that were repeated.
#[derive(Debug, Default)]
pub(crate) struct Repeats(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    repeats: HashMap<B256, u32>,
    /// The longest known first.
    uses: VecDeque<B256>,
}

impl Repeats {
    /// Counts a repetition of what `payer` (a channel or an account) has paid under this name.
    ///
    /// # Errors
    /// A problem that says so, when it was repeated often enough.
    pub(crate) fn take(&self, payer: &[u8], request_id: B256) -> Result<(), Problem> {
        let paid_use = residual_client::digest_of_parts(&[payer, request_id.as_slice()]);
        let mut counted = self.0.lock().expect("nobody panics while counting");
        if let Some(repeats) = counted.repeats.get_mut(&paid_use) {
            if *repeats >= REPEATS_MAX {
                let detail = format!(
                    "expected a paid request to be repeated at most {REPEATS_MAX} times, found it repeated as often; \
                     pay for another"
                );
                return Err(Problem::conflict(detail)
                    .named("repeated-too-often", "It was repeated as often as one payment allows"));
            }
            *repeats += 1;
            return Ok(());
        }
        if counted.uses.len() >= USES_MAX
            && let Some(longest) = counted.uses.pop_front()
        {
            counted.repeats.remove(&longest);
        }
        counted.uses.push_back(paid_use);
        counted.repeats.insert(paid_use, 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_paid_use_is_repeated_so_often_and_a_payers_others_are_its_own() {
        let repeats = Repeats::default();
        let (one, other) = (B256::repeat_byte(1), B256::repeat_byte(2));
        for _ in 0..REPEATS_MAX {
            assert!(repeats.take(b"payer", one).is_ok());
        }
        assert!(repeats.take(b"payer", one).is_err());
        assert!(repeats.take(b"payer", other).is_ok());
        assert!(repeats.take(b"another", one).is_ok());
        for use_ in 0..USES_MAX as u64 {
            let name = B256::left_padding_from(&use_.to_be_bytes());
            assert!(repeats.take(b"many", name).is_ok());
        }
        assert!(repeats.take(b"payer", one).is_ok(), "so many others were paid meanwhile");
        let counted = repeats.0.into_inner().unwrap();
        assert_eq!((counted.repeats.len(), counted.uses.len()), (USES_MAX, USES_MAX));
    }
}
