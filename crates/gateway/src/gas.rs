//! What gas costs in the marketplace's currency: what is paid for others and to bring money home is weighed against it.

use std::sync::atomic::{AtomicU64, Ordering};

use residual_client::{Client, LedgerError, Person};
use residual_primitives::{Amount, U256};

/// The wei of a coin.
const COIN_WEI: u128 = 1_000_000_000_000_000_000;

/// What a gas costs, as the ledger said when it was last asked.
#[derive(Debug)]
pub(crate) struct GasPrice {
    /// Of a whole coin, in the currency's smallest unit.
    coin_price: Amount,
    /// Rounded down to what 64 bits hold, 18 coins a gas.
    wei_per_gas: AtomicU64,
}

impl GasPrice {
    /// For a coin of this price. Gas costs nothing before it was asked for.
    pub(crate) fn new(coin_price: Amount) -> Self {
        Self { coin_price, wei_per_gas: AtomicU64::new(0) }
    }

    /// Asks the ledger what gas costs now. Where a coin is worth nothing it need not be asked.
    pub(crate) async fn renew(&self, client: &Client, account: &Person) -> Result<(), LedgerError> {
        if self.coin_price > Amount::ZERO {
            self.set(client.wei_per_gas(account).await?);
        }
        Ok(())
    }

    fn set(&self, wei_per_gas: u128) {
        self.wei_per_gas.store(u64::try_from(wei_per_gas).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What so much gas costs, rounded up; the most that an amount says when it is more.
    pub(crate) fn of(&self, gas: u64) -> Amount {
        let wei = U256::from(gas) * U256::from(self.wei_per_gas.load(Ordering::Relaxed));
        let units = (wei * U256::from(self.coin_price.0)).div_ceil(U256::from(COIN_WEI));
        Amount(units.saturating_to())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gas_is_weighed_in_the_currency_and_rounded_up() {
        // 20,000 gas at 1 gwei are 2 * 10^13 wei; at 3,000 dollars of 6 decimals a coin, 6 cents.
        let price = GasPrice::new(Amount(3_000_000_000));
        assert_eq!(price.of(20_000), Amount::ZERO, "before it was asked for");
        price.set(1_000_000_000);
        assert_eq!(price.of(20_000), Amount(60_000));
        price.set(1);
        assert_eq!(price.of(20_000), Amount(1));
        let free = GasPrice::new(Amount::ZERO);
        free.set(u128::MAX);
        assert_eq!(free.of(u64::MAX), Amount::ZERO);
        let dear = GasPrice::new(Amount(u128::MAX));
        dear.set(u128::MAX);
        assert_eq!(dear.of(20_000), Amount(u128::MAX));
    }
}
