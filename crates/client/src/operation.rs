//! Commands that move money, made safe to repeat.
//!
//! Before a transaction is sent, a record of the command says so. The same command after an interruption finds the
//! record and the transaction that was signed for it, and follows that one instead of making another; the same command
//! after a success is a new one.

use alloy_sol_types::SolCall;
use residual_ledger::{Account, Receipt, Sender, TransactError, Transaction};
use residual_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{Client, LedgerError, digest_of_parts};

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
    sender: Sender,
    place: String,
    record: Record,
}

impl Client {
    /// The operation of `account` that `parts` describe, all that distinguishes it from others.
    ///
    /// From here on the account is this process's alone, so that of two like commands at once the second begins when the
    /// first is done, and is a new one.
    pub(crate) async fn operation(
        &self,
        account: &Account,
        name: &str,
        parts: &[&[u8]],
    ) -> Result<Operation<'_>, LedgerError> {
        let sender = self.sender(account).await?;
        let chain_id = self.chain().id().to_be_bytes();
        let who = account.address();
        let all = [&[name.as_bytes(), &chain_id, who.as_slice()], parts].concat();
        let place = format!("operations/{name}-{:x}.json", digest_of_parts(&all));
        let record = self.home().read(&place)?.unwrap_or_default();
        Ok(Operation { client: self, sender, place, record })
    }
}

impl Operation<'_> {
    /// Whether an earlier try was interrupted after its transaction may have been sent.
    pub(crate) fn interrupted(&self) -> bool {
        self.record.sending
    }

    /// What tells this try apart from earlier ones that ended; the same after an interruption.
    pub(crate) fn intent(&self) -> B256 {
        digest_of_parts(&[self.place.as_bytes(), &self.record.done.to_be_bytes()])
    }

    /// Sends the command's transaction, or follows the one that an interrupted try has sent.
    pub(crate) async fn send<C: SolCall>(
        &mut self,
        contract: Address,
        call: &C,
    ) -> Result<Receipt, LedgerError> {
        if !self.record.sending {
            self.write(Record { sending: true, ..self.record })?;
        }
        let outcome = self.sender.send_once(self.intent(), &Transaction::call(contract, call)).await;
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
