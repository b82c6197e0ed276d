//! One input at least for each target, as an honest program writes it: the same each time.

use std::{fs, io::Cursor};

use aes::cipher::{KeyIvInit, StreamCipher};
use alloy_primitives::{Address, B256, LogData, U256, hex, keccak256};
use alloy_sol_types::SolError;
use image::{GrayImage, ImageFormat};
use k256::ecdsa::SigningKey;
use residual_classifier::{TrainConfig, onnx, parse_csv, train};
use residual_content::{BlockId, Codec};
use residual_fuzz::{
    AUTHORIZER, channels, dag_input, honest_dag, honest_index, honest_manifest, honest_wrapped_key,
    purse_config, sign, suite_json,
};
use residual_ledger::{SolEvent, contracts};
use residual_meter::{
    Charge, Escrow, Meter, Purse, Rules, SignedTickOpen, SignedVoucher, Tick, TickSeed, WindowPlan,
};
use residual_primitives::{
    Amount, AssetId, LicenceId,
    signed::{TickOpen, Voucher},
};
use residual_usage::{Lane, UsageFields, UsageRecord};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::vision;

pub(crate) type Seed = (&'static str, &'static str, Vec<u8>);

pub(crate) fn all() -> Vec<Seed> {
    let parts =
        [x402(), meter(), usage(), inference(), content(), ledger(), words(), classifier(), vision::all()];
    parts.into_iter().flatten().collect()
}

pub(crate) fn text(json: &Value) -> Vec<u8> {
    json.to_string().into_bytes()
}

fn x402() -> Vec<Seed> {
    let (word, address) = (B256::repeat_byte(0x51), Address::repeat_byte(0x52));
    let signature = hex::encode_prefixed([0x1b; 65]);
    let accepted = |scheme: &str| {
        json!({
            "scheme": scheme, "network": "eip155:84532", "amount": "1000", "asset": address, "payTo": address,
            "maxTimeoutSeconds": 60, "extra": { "name": "TestUSD", "version": "1", "assetTransferMethod": "eip3009" },
        })
    };
    let resource = json!({ "url": "http://127.0.0.1/v1/infer", "description": "digits", "mimeType": "application/json" });
    let extensions =
        json!({ "payment-identifier": { "info": { "required": false, "id": "pay_0123456789abcdef" } } });
    let payment = |scheme: &str, payload: Value| {
        text(&json!({
            "x402Version": 2, "resource": resource, "accepted": accepted(scheme), "payload": payload,
            "extensions": extensions,
        }))
    };
    let config = json!({
        "payer": address, "payerAuthorizer": address, "receiver": address, "receiverAuthorizer": address,
        "token": address, "withdrawDelay": 86_400, "salt": word,
    });
    let voucher = json!({ "channelId": word, "maxClaimableAmount": "1000", "signature": signature });
    let authorization =
        json!({ "validAfter": "0", "validBefore": "1800000000", "salt": word, "signature": signature });
    let batch = |kind: &str| json!({ "type": kind, "channelConfig": config, "voucher": voucher });
    let mut deposit = batch("deposit");
    deposit["deposit"] =
        json!({ "amount": "5000", "authorization": { "erc3009Authorization": authorization } });
    let mut refund = batch("refund");
    refund["amount"] = json!("7");
    let exact = json!({
        "signature": signature,
        "authorization": {
            "from": address, "to": address, "value": "1000", "validAfter": "0", "validBefore": "1800000000",
            "nonce": word,
        },
    });
    let required = json!({
        "x402Version": 2, "error": "payment required", "resource": resource,
        "accepts": [accepted("batch-settlement"), accepted("exact")], "extensions": extensions,
    });
    let settled = json!({
        "success": true, "payer": address, "transaction": "", "network": "eip155:84532", "amount": "",
        "extra": { "channelState": {
            "channelId": word, "balance": "5000", "totalClaimed": "0", "withdrawRequestedAt": 0, "refundNonce": "0",
        }, "chargedAmount": "1000" },
    });
    vec![
        ("x402", "deposit", payment("batch-settlement", deposit)),
        ("x402", "voucher", payment("batch-settlement", batch("voucher"))),
        ("x402", "refund", payment("batch-settlement", refund)),
        ("x402", "exact", payment("exact", exact)),
        ("x402", "required", text(&required)),
        ("x402", "settled", text(&settled)),
    ]
}

fn charge(request: u8, amount: u128, units: u32) -> Charge {
    Charge {
        request_id: B256::with_last_byte(request),
        request_digest: B256::repeat_byte(request),
        receiver: purse_config().receiver,
        token: purse_config().token,
        amount: Amount(amount),
        units,
        at_s: 1_800_000_000,
    }
}

fn signed_voucher(max: u128) -> SignedVoucher {
    let voucher = Voucher { channelId: channels().channel_id(&purse_config()), maxClaimableAmount: max };
    let Ok(signature) = sign(&channels().voucher_digest(&voucher));
    SignedVoucher { voucher, signature }
}

/// A meter that was paid in all three ways, and its second segment, which begins with a snapshot.
fn segments() -> [Vec<u8>; 2] {
    let dir = tempfile::tempdir().unwrap();
    let rules = Rules {
        receiver_authorizer: AUTHORIZER,
        unclaimed_caps: [(purse_config().token, Amount(1_000_000))].into(),
        min_withdraw_delay_s: 86_400,
        max_channels: 10,
    };
    let meter = Meter::open(dir.path(), channels(), rules).unwrap();
    let escrow = Escrow { balance: Amount(10_000), ..Escrow::default() };
    let channel_id =
        meter.open_channel(&purse_config(), escrow).map(|_| channels().channel_id(&purse_config())).unwrap();
    meter.submit(&signed_voucher(50), &charge(1, 42, 6)).unwrap().wait().unwrap();
    let preimage = B256::repeat_byte(9);
    let first = B256::new(Sha256::digest(preimage).into());
    let open = TickOpen {
        gateway: AUTHORIZER,
        channelId: channel_id,
        base: 42,
        unitPrice: 8,
        maxTicks: 2,
        root: B256::new(Sha256::digest(first).into()),
        termsHash: B256::repeat_byte(0x77),
    };
    let Ok(signature) = sign(&channels().tick_open_digest(&open));
    meter.submit_window(&SignedTickOpen { open, signature }, &signed_voucher(58)).unwrap().wait().unwrap();
    meter
        .submit_tick(&Tick { channel_id, index: 1, preimage: first }, &charge(2, 8, 4))
        .unwrap()
        .wait()
        .unwrap();
    meter
        .submit_exact(Address::repeat_byte(0x55), B256::repeat_byte(0x56), &charge(3, 10, 2))
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!(meter.write_off(channel_id, 1_800_000_009).unwrap(), Amount(50));
    meter.rotate(0).unwrap();
    meter.submit_tick(&Tick { channel_id, index: 2, preimage }, &charge(4, 8, 1)).unwrap().wait().unwrap();
    drop(meter);
    ["charges-0.log", "charges-1.log"].map(|name| {
        let bytes = fs::read(dir.path().join(name)).unwrap();
        let frames = bytes.chunks(256).rposition(|frame| frame.iter().any(|byte| *byte != 0)).unwrap() + 1;
        bytes[..256 * frames].to_vec()
    })
}

fn meter() -> Vec<Seed> {
    let segments = segments();
    let records = segments.each_ref().map(|segment| {
        segment[256..].chunks(256).flat_map(|frame| frame[16..240].to_vec()).collect::<Vec<_>>()
    });
    let signed = signed_voucher(1_000);
    let voucher = [
        purse_config().payerAuthorizer.as_slice(),
        signed.voucher.channelId.as_slice(),
        &signed.voucher.maxClaimableAmount.to_be_bytes(),
        &signed.signature,
    ]
    .concat();

    let dir = tempfile::tempdir().unwrap();
    let escrow = Escrow { balance: Amount(10_000), ..Escrow::default() };
    let mut purse = Purse::open(dir.path(), channels(), purse_config(), escrow).unwrap();
    purse.promise(Amount(50), sign).unwrap();
    let path = dir.path().join(format!("{}.purse", purse.channel_id()));
    let promised = fs::read(&path).unwrap();
    let plan = WindowPlan {
        base: Amount(50),
        unit_price: Amount(8),
        max_ticks: 4,
        terms_hash: B256::repeat_byte(0x77),
    };
    purse.open_window(&plan, &TickSeed::new([6; 32]), sign).unwrap();
    let window = fs::read(&path).unwrap();
    let tick = purse.tick().unwrap().to_text().into_bytes();

    let [first, second] = records;
    let [whole, next] = segments;
    vec![
        ("meter_records", "first", first),
        ("meter_records", "second", second),
        ("meter_segment", "first", whole),
        ("meter_segment", "second", next),
        ("voucher", "voucher", voucher),
        ("tick", "tick", tick),
        ("purse", "promised", promised),
        ("purse", "window", window),
    ]
}

fn usage() -> Vec<Seed> {
    let asset = AssetId::try_from(U256::from(7)).unwrap();
    let record = |index: u64, lane: Lane| {
        let is_use = lane != Lane::WrittenOff;
        let fields = UsageFields {
            gateway: Address::repeat_byte(1),
            epoch: 3,
            index,
            at_s: 1_800_000_000 + index,
            asset,
            lane,
            payer: Address::repeat_byte(2),
            source: B256::repeat_byte(4),
            token: Address::repeat_byte(3),
            units: if is_use { 2 } else { 0 },
            unit_price: Amount(if is_use { 21 } else { 0 }),
            amount: Amount(42),
            charged_total: Amount(42),
            request_id: B256::with_last_byte(index as u8),
            licence: (index == 1).then(|| LicenceId::new(asset, 1, 1)),
        };
        UsageRecord::new(fields).unwrap()
    };
    let records: Vec<_> = (0..).zip(Lane::ALL).map(|(index, lane)| record(index, lane)).collect();
    let write = |records: &[UsageRecord]| {
        residual_usage::write(84_532, Address::repeat_byte(1), 3, records.iter().copied()).unwrap().0
    };
    vec![
        ("usage_record", "voucher", records[0].encode().to_vec()),
        ("usage_record", "licensed-tick", records[1].encode().to_vec()),
        ("usage_record", "written-off", records[3].encode().to_vec()),
        ("usage_file", "empty", write(&[])),
        ("usage_file", "three", write(&records[..3])),
        ("usage_file", "written-off", write(&records)),
    ]
}

fn digits_model(hidden: &[usize]) -> Vec<u8> {
    let samples = parse_csv(include_bytes!("../../../examples/digits-a/digits.csv")).unwrap();
    let mut config = TrainConfig { hidden: hidden.to_vec(), ..TrainConfig::default() };
    config.schedule.epochs = 1;
    onnx::export(&train(&samples[..20], &config).unwrap())
}

/// A NumPy file, version 1.0, of 32-bit floats.
fn npy(shape: &str, count: usize) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(1f32.to_le_bytes().repeat(count));
    bytes
}

fn inference() -> Vec<Seed> {
    let picture = |format| {
        let picture = GrayImage::from_fn(8, 8, |x, y| image::Luma([(x * y * 4) as u8]));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let request = |kind: u8, body: Vec<u8>| [vec![kind], body].concat();
    let boxes = json!({
        "input": {
            "kind": "image", "width": 48, "height": 16, "channels": 3, "layout": "nchw", "scale": 0.003_921_568_627_45,
            "mean": [0.5], "std": [0.25], "resize": "letterbox",
        },
        "output": {
            "kind": "boxes", "labels": ["cat", "dog"], "layout": { "form": "columns" }, "score_threshold": 0.25,
            "iou_threshold": 0.45, "max_boxes": 300,
        },
    });
    let tensor =
        json!({ "input": { "kind": "tensor", "shape": [64] }, "output": { "kind": "tensor", "name": "y" } });
    vec![
        ("model_card", "digits.toml", include_bytes!("../../../examples/digits-model.toml").to_vec()),
        ("model_card", "boxes.json", text(&boxes)),
        ("model_card", "tensor.json", text(&tensor)),
        ("model_request", "json", request(0, text(&json!([vec![1; 64], vec![2; 64]])))),
        (
            "model_request",
            "shaped-json",
            request(0, text(&json!({ "shape": [1, 64], "data": vec![0.5; 64] }))),
        ),
        ("model_request", "npy", request(1, npy("(2, 64)", 128))),
        ("model_request", "png", request(2, picture(ImageFormat::Png))),
        ("model_request", "jpeg", request(3, picture(ImageFormat::Jpeg))),
        ("model", "digits", digits_model(&[4])),
    ]
}

fn content() -> Vec<Seed> {
    let id = BlockId::of(Codec::Raw, b"a leaf");
    let cid = [&[0xd8, 0x2a, 0x58, 0x25, 0x00][..], &id.to_bytes()].concat();
    vec![
        ("manifest", "three-files", honest_manifest().into_bytes()),
        ("index", "three-files", honest_index()),
        ("dag", "three-files", honest_dag()),
        ("dag", "file-node", deeper_dag()),
        ("names", "cid", id.to_bytes().to_vec()),
        ("names", "cid-in-cbor", cid),
        ("names", "cid-as-text", id.to_string().into_bytes()),
        ("names", "path", b"images/one.png".to_vec()),
        ("wrapped_key", "wrapped", honest_wrapped_key()),
    ]
}

/// A version whose data are two leaves under a node: the nodes as dag-pb has them, said field by field.
fn deeper_dag() -> Vec<u8> {
    let field = |tag: u8, bytes: &[u8]| [&[tag, bytes.len() as u8][..], bytes].concat();
    let link = |id: BlockId, name: &str, bytes: u8| {
        field(0x12, &[field(0x0a, &id.to_bytes()), field(0x12, name.as_bytes()), vec![0x18, bytes]].concat())
    };
    let leaf = BlockId::of(Codec::Raw, b"a leaf");
    let sizes = field(0x0a, &[8, 2, 0x18, 60, 0x20, 30, 0x20, 30]);
    let node = [link(leaf, "", 30), link(leaf, "", 30), sizes].concat();
    let data = link(BlockId::of(Codec::DagPb, &node), "data", 100);
    let directory = [data, link(leaf, "index", 50), field(0x0a, &[8, 1])].concat();
    dag_input([2, 60, 50], &[directory, node])
}

/// An account's file with hardly any work: PBKDF2 of one round.
fn keystore() -> Value {
    let (secret, salt, iv) = ([1; 32], [2; 32], [3; 16]);
    let mut derived = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(b"password", &salt, 1, &mut derived);
    let mut ciphertext = secret;
    let key: [u8; 16] = derived[..16].try_into().unwrap();
    ctr::Ctr128BE::<aes::Aes128>::new(&key.into(), &iv.into()).apply_keystream(&mut ciphertext);
    let mac = keccak256([&derived[16..], &ciphertext].concat());
    let key = SigningKey::from_slice(&secret).unwrap();
    json!({
        "version": 3,
        "id": "00000000-0000-4000-8000-000000000000",
        "address": hex::encode(Address::from_private_key(&key)),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": hex::encode(iv) },
            "ciphertext": hex::encode(ciphertext),
            "kdf": "pbkdf2",
            "kdfparams": { "c": 1, "prf": "hmac-sha256", "dklen": 32, "salt": hex::encode(salt) },
            "mac": hex::encode(mac),
        },
    })
}

fn ledger() -> Vec<Seed> {
    let event = |contract: u8, data: LogData| {
        let topics = data.topics().iter().flat_map(|topic| topic.0).collect::<Vec<_>>();
        [vec![contract, data.topics().len() as u8], topics, data.data.to_vec()].concat()
    };
    let address = Address::repeat_byte(5);
    let registered = contracts::Assets::Registered {
        assetId: U256::from(7),
        registrant: address,
        licenceIds: vec![U256::from(8) << 128],
        edges: vec![(U256::from(8) << 112) | U256::from(1000)],
        kind: 1,
        resaleBps: 0,
        salt: B256::ZERO,
    };
    let committed = contracts::Usage::Committed {
        gateway: address,
        epoch: 3,
        root: B256::repeat_byte(1),
        records: 2,
        file: B256::repeat_byte(2),
    };
    let not_offered =
        contracts::Licences::NotOffered { assetId: U256::from(7), termsId: B256::repeat_byte(3) };
    let mut much = keystore();
    much["crypto"]["kdf"] = json!("scrypt");
    much["crypto"]["kdfparams"] = json!({ "n": 1u64 << 40, "r": 8, "p": 1, "dklen": 32, "salt": "00" });
    vec![
        ("event", "registered", event(3, registered.encode_log_data())),
        ("event", "committed", event(10, committed.encode_log_data())),
        ("revert", "string", alloy_sol_types::Revert::from("no").abi_encode()),
        ("revert", "panic", alloy_sol_types::Panic::from(0x11).abi_encode()),
        ("revert", "not-offered", not_offered.abi_encode()),
        ("keystore", "pbkdf2", text(&keystore())),
        ("keystore", "too-much", text(&much)),
        ("deployment", "suite", text(&suite_json())),
    ]
}

fn words() -> Vec<Seed> {
    let terms = json!({
        "rights": "access,train,derive", "versions": "all-until-expiry", "reach": "child", "renewable": true,
        "transferable": true, "rates": [1000, 500, 250, 0], "derivations": 1, "period_s": 86_400, "supply_cap": 10,
        "price": "25000000", "currency": Address::with_last_byte(1), "eligibility_hook": Address::ZERO,
        "training_unit_price": "0", "inference_unit_price": "100", "legal_text": "CC-BY-4.0", "text_cid": "0x01",
    });
    let word = |text: &str| [&[6], text.as_bytes()].concat();
    vec![
        ("terms", "every-field", text(&terms)),
        ("ids", "asset", word("0x000102030405060708090a0b0c0d0e0f")),
        (
            "ids",
            "licence",
            word(&LicenceId::new(AssetId::try_from(U256::from(7)).unwrap(), 1, 1).to_string()),
        ),
        ("ids", "amount", word("12.5")),
        ("ids", "rights", word("access,commercial")),
        ("ids", "network", word("eip155:84532")),
    ]
}

fn classifier() -> Vec<Seed> {
    let row = [vec!["7"; 64].join(","), "3".to_owned()].join(",");
    vec![
        ("classifier_onnx", "one-layer", digits_model(&[1])),
        ("classifier_onnx", "two-layers", digits_model(&[2, 1])),
        ("digits_csv", "two", format!("{row}\n{row}\r\n").into_bytes()),
    ]
}
