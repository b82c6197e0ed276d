//! Blocks, transactions and receipts in the shapes that the JSON-RPC serves.

use alloy_consensus::transaction::{Recovered, TxHashRef};
use alloy_consensus::{Receipt as ConsensusReceipt, ReceiptEnvelope, Sealed, Transaction as _, TxType};
use alloy_primitives::{Bloom, Log, LogData, U256};
use alloy_rpc_types_eth::{
    self as rpc, BlockTransactions, Header as RpcHeader, Log as RpcLog, TransactionReceipt,
};

use crate::store::{Block, Receipt, Transaction};

pub(crate) type RpcTransaction = rpc::Transaction<Transaction>;
pub(crate) type RpcBlock = rpc::Block<RpcTransaction>;

/// A receipt as consensus has it, with its logs in whatever shape.
pub(crate) fn envelope<T>(tx_type: TxType, receipt: &Receipt, logs: Vec<T>) -> ReceiptEnvelope<T> {
    let logs_bloom: Bloom = receipt.logs.iter().collect();
    let receipt = ConsensusReceipt {
        status: receipt.success.into(),
        cumulative_gas_used: receipt.cumulative_gas_used,
        logs,
    };
    ReceiptEnvelope::from_typed(tx_type, alloy_consensus::ReceiptWithBloom { receipt, logs_bloom })
}

pub(crate) fn header(block: &Block) -> RpcHeader {
    let sealed = Sealed::new_unchecked(block.header.clone(), block.hash);
    RpcHeader::from_consensus(sealed, Some(U256::ZERO), Some(U256::from(block.size)))
}

/// A block with its transactions whole, or by hash.
pub(crate) fn block(block: &Block, transactions: Vec<Recovered<Transaction>>, full: bool) -> RpcBlock {
    let transactions = if full {
        let whole = transactions.into_iter().enumerate();
        BlockTransactions::Full(whole.map(|(index, tx)| mined(tx, block, index as u64)).collect())
    } else {
        BlockTransactions::Hashes(transactions.iter().map(|tx| *tx.tx_hash()).collect())
    };
    RpcBlock {
        header: header(block),
        uncles: Vec::new(),
        transactions,
        withdrawals: Some(Default::default()),
    }
}

pub(crate) fn mined(tx: Recovered<Transaction>, block: &Block, index: u64) -> RpcTransaction {
    RpcTransaction {
        effective_gas_price: Some(tx.effective_gas_price(block.header.base_fee_per_gas)),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        block_timestamp: Some(block.header.timestamp),
        transaction_index: Some(index),
        inner: tx,
    }
}

/// A transaction that waits in the queue.
pub(crate) fn queued(tx: Recovered<Transaction>) -> RpcTransaction {
    RpcTransaction {
        effective_gas_price: Some(tx.max_fee_per_gas()),
        block_hash: None,
        block_number: None,
        block_timestamp: None,
        transaction_index: None,
        inner: tx,
    }
}

/// The logs of one transaction, with where they are.
pub(crate) fn logs<'a>(
    tx: &'a Recovered<Transaction>,
    receipt: &'a Receipt,
    block: &'a Block,
    index: u64,
) -> impl Iterator<Item = RpcLog> + 'a {
    receipt.logs.iter().zip(receipt.first_log..).map(move |(log, log_index)| RpcLog {
        inner: Log::<LogData>::clone(log),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(*tx.tx_hash()),
        transaction_index: Some(index),
        log_index: Some(log_index),
        removed: false,
    })
}

pub(crate) fn receipt(
    tx: &Recovered<Transaction>,
    receipt: &Receipt,
    block: &Block,
    index: u64,
) -> TransactionReceipt {
    TransactionReceipt {
        inner: envelope(tx.tx_type(), receipt, logs(tx, receipt, block, index).collect()),
        transaction_hash: *tx.tx_hash(),
        transaction_index: Some(index),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        gas_used: receipt.gas_used,
        effective_gas_price: tx.effective_gas_price(block.header.base_fee_per_gas),
        blob_gas_used: None,
        blob_gas_price: None,
        from: tx.signer(),
        to: tx.to(),
        contract_address: tx.is_create().then(|| tx.signer().create(tx.nonce())),
    }
}
