//! Commands that move money, made safe to repeat.
//!
//! Before a transaction is sent, a record of the command says so. The same command after an interruption finds the
//! record and the transaction that was signed for it, and follows that one instead of making another; the same command
//! after a success is a new one.

use alloy_sol_types::SolCall;
use residual_ledger::{Account, Receipt, TransactError, Transaction};
use residual_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Client, HomeError, LedgerError};

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Record {
    /// How often this very command was carried out.
    done: u64,
    /// Whether one is under way whose outcome nobody was told.
    sending: bool,
}

/// One command and what is known of its earlier tries.
pub(crate) struct Operation<'a> {
    client: &'a Client,
    place: String,
    record: Record,
}

impl Client {
    /// The operation of `account` that `parts` describe, all that distinguishes it from others.
    pub(crate) fn operation(
        &self,
        account: Address,
        name: &str,
        parts: &[&[u8]],
    ) -> Result<Operation<'_>, HomeError> {
        let mut hash = Sha256::new();
        for part in
            [name.as_bytes(), &self.chain().id().to_be_bytes(), account.as_slice()].iter().chain(parts)
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let place = format!("operations/{name}-{:x}.json", B256::new(hash.finalize().into()));
        let record = self.home().read(&place)?.unwrap_or_default();
        Ok(Operation { client: self, place, record })
    }
}

impl Operation<'_> {
    /// Whether an earlier try was interrupted after its transaction may have been sent.
    pub(crate) fn interrupted(&self) -> bool {
        self.record.sending
    }

    /// What tells this try apart from earlier ones that ended; the same after an interruption.
    pub(crate) fn intent(&self) -> B256 {
        let mut hash = Sha256::new_with_prefix(self.place.as_bytes());
        hash.update(self.record.done.to_be_bytes());
        B256::new(hash.finalize().into())
    }

    /// Sends the command's transaction, or follows the one that an interrupted try has sent.
    pub(crate) async fn send<C: SolCall>(
        &mut self,
        account: &Account,
        contract: Address,
        call: &C,
    ) -> Result<Receipt, LedgerError> {
        if !self.record.sending {
            self.write(Record { sending: true, ..self.record })?;
        }
        let sender = self.client.sender(account)?;
        let outcome = sender.send_once(self.intent(), &Transaction::call(contract, call)).await;
        match outcome {
            Ok(receipt) => {
                self.write(Record { done: self.record.done + 1, sending: false })?;
                Ok(receipt)
            }
            Err(error) => {
                // Whoever repeats the command must look for the transaction unless it is certain that there is none.
                let certain = matches!(
                    error,
                    TransactError::Reverted { .. }
                        | TransactError::RevertedInBlock { .. }
                        | TransactError::InsufficientFunds { .. }
                        | TransactError::FeesAboveCap { .. }
                        | TransactError::NoBaseFee
                );
                if certain {
                    self.write(Record { sending: false, ..self.record })?;
                }
                Err(error.into())
            }
        }
    }

    fn write(&mut self, record: Record) -> Result<(), LedgerError> {
        self.client.home().write(&self.place, &record)?;
        self.record = record;
        Ok(())
    }
}
