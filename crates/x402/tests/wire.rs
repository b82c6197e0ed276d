//! What peers send is read, and what they could never mean is refused; nothing they send can make it panic.
#![expect(clippy::unwrap_used, reason = "a helper of tests that fails is a failed test")]

use proptest::prelude::*;
use residual_primitives::{Address, Amount, B256, signed::ChannelConfig};
use residual_x402::{
    HeaderError, MAX_HEADER_BYTES, Network, PaymentPayload, PaymentRequired, SettleResponse, batch, decode,
    encode,
};
use serde_json::{Value, json};

/// As the stock client sends a voucher.
fn voucher() -> Value {
    json!({
        "x402Version": 2,
        "accepted": accepted(),
        "payload": {
            "type": "voucher",
            "channelConfig": config(),
            "voucher": {
                "channelId": B256::repeat_byte(9),
                "maxClaimableAmount": "3000",
                "signature": format!("0x{}", "ab".repeat(65)),
            },
        },
    })
}

fn accepted() -> Value {
    json!({
        "scheme": "batch-settlement",
        "network": "eip155:31337",
        "amount": "1000",
        "asset": Address::repeat_byte(5),
        "payTo": Address::repeat_byte(3),
        "maxTimeoutSeconds": 60,
        "extra": {
            "name": "Test USD",
            "version": "1",
            "receiverAuthorizer": Address::repeat_byte(4),
            "withdrawDelay": 86400,
            "minDeposit": "10000",
        },
    })
}

fn config() -> Value {
    json!({
        "payer": Address::repeat_byte(1),
        "payerAuthorizer": Address::repeat_byte(2),
        "receiver": Address::repeat_byte(3),
        "receiverAuthorizer": Address::repeat_byte(4),
        "token": Address::repeat_byte(5),
        "withdrawDelay": 86400,
        "salt": B256::ZERO,
    })
}

fn read(payload: &Value) -> PaymentPayload {
    decode(encode(payload).as_bytes(), "a payment").unwrap()
}

#[test]
fn a_stock_voucher_is_read() {
    let payment = read(&voucher());
    assert_eq!(payment.accepted.network, Network(31337));
    assert_eq!(payment.accepted.amount, Amount(1000));
    let batch::Payload::Voucher { channel_config, voucher } = payment.batch().unwrap() else {
        panic!("expected a voucher")
    };
    assert_eq!(voucher.max_claimable_amount, Amount(3000));
    let config = ChannelConfig::from(&channel_config);
    assert_eq!(batch::WireConfig::from(&config), channel_config);
    assert_eq!(config.withdrawDelay.to::<u64>(), 86400);
    assert!(payment.exact().is_err(), "no transfer");
}

#[test]
fn what_no_peer_means_is_refused() {
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut payload = voucher();
        change(&mut payload);
        let header = encode(&payload);
        decode::<PaymentPayload>(header.as_bytes(), "a payment").ok().and_then(|payment| payment.batch().ok())
    };
    assert!(broken(&|_| {}).is_some());
    assert!(broken(&|payload| payload["accepted"]["network"] = json!("solana:x")).is_none());
    assert!(broken(&|payload| payload["accepted"]["network"] = json!("eip155:01")).is_none());
    assert!(
        broken(&|payload| payload["accepted"]["amount"] = json!(1000)).is_none(),
        "a number loses digits"
    );
    assert!(broken(&|payload| payload["accepted"]["amount"] = json!("-1")).is_none());
    assert!(broken(&|payload| payload["payload"]["type"] = json!("claim")).is_none());
    assert!(
        broken(&|payload| payload["payload"]["channelConfig"]["withdrawDelay"] = json!(1_u64 << 40))
            .is_none()
    );
    assert!(broken(&|payload| payload["payload"]["channelConfig"]["payer"] = json!("0x12")).is_none());
    assert!(broken(&|payload| payload["payload"]["voucher"]["channelId"] = json!("0x12")).is_none());
    assert!(
        broken(&|payload| payload["payload"]["voucher"]["maxClaimableAmount"] = json!("9".repeat(40)))
            .is_none()
    );
}

#[test]
fn a_way_to_pay_is_recognised_whatever_was_added_to_it() {
    let asked = read(&voucher()).accepted;
    let mut sent = asked.clone();
    sent.extra.insert("channelState".to_owned(), json!({}));
    assert!(asked.is_accepted_by(&sent));
    sent.extra.insert("receiverAuthorizer".to_owned(), json!(Address::repeat_byte(7)));
    assert!(!asked.is_accepted_by(&sent));
    let mut cheaper = asked.clone();
    cheaper.amount = Amount(999);
    assert!(!asked.is_accepted_by(&cheaper));
}

#[test]
fn a_header_has_limits() {
    let long = "a".repeat(MAX_HEADER_BYTES + 1);
    assert!(matches!(decode::<Value>(long.as_bytes(), "x"), Err(HeaderError::TooLong { .. })));
    assert!(matches!(decode::<Value>(b"?", "x"), Err(HeaderError::Base64(_))));
    assert!(matches!(decode::<PaymentRequired>(b"e30=", "x"), Err(HeaderError::Json { .. })));
    let nested = encode(&Value::Null).into_bytes();
    assert!(decode::<Value>(&nested, "x").is_ok());
    let deep: String = "[".repeat(500) + &"]".repeat(500);
    let deep = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, deep);
    assert!(matches!(decode::<Value>(deep.as_bytes(), "x"), Err(HeaderError::Json { .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), flip in 0usize..4000, to: u8) {
        let _ = decode::<PaymentPayload>(&bytes, "a payment");
        // Near the real thing: one byte of the JSON changed.
        let mut json = serde_json::to_vec(&voucher()).unwrap();
        let at = flip % json.len();
        json[at] = to;
        let header = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &json);
        if let Ok(payment) = decode::<PaymentPayload>(header.as_bytes(), "a payment") {
            let _ = payment.batch();
            let _ = payment.exact();
        }
    }

    #[test]
    fn what_is_written_is_read_again(balance: u128, nonce: u64, charged: Option<u128>, at: u64) {
        let state = batch::ChannelState {
            channel_id: B256::repeat_byte(1),
            balance: Amount(balance),
            total_claimed: Amount(balance / 2),
            withdraw_requested_at: at,
            refund_nonce: nonce,
            charged_cumulative_amount: charged.map(Amount),
        };
        let answer = SettleResponse {
            success: true,
            error_reason: None,
            error_message: None,
            payer: Some(Address::repeat_byte(2)),
            transaction: String::new(),
            network: Network(1),
            amount: Some(String::new()),
            extra: batch::fields(&batch::SettleExtra { channel_state: state, charged_amount: Some(Amount(7)) }),
        };
        prop_assert_eq!(decode::<SettleResponse>(encode(&answer).as_bytes(), "an answer").unwrap(), answer);
    }
}
