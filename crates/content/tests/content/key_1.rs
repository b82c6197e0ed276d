//! KEY-1: no licence (absent, expired, other asset, version not granted, wrong signer, replayed nonce), no key.

use std::{
    collections::HashMap,
    error::Error,
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::support::Account;
use alloy_sol_types::{Eip712Domain, SolStruct};
use residual_content::{
    BuyerKey, KeyBinding, KeyCommitment, KeyRelease, Keyring, KeyringError, KeyringRelease, KeyringSecret,
    LicenceBook, LicenceFacts, ManifestSigner, ReleaseError, Released, SignedKeyRequest, WrapError,
};
use residual_primitives::{
    Address, AssetId, B256, LicenceId, Rights, U256,
    signed::{KeyRequest, licences_domain},
};

/// A ledger said by hand.
#[derive(Default)]
struct Book {
    licences: Mutex<HashMap<LicenceId, LicenceFacts>>,
    commitments: Mutex<HashMap<(AssetId, u32), KeyCommitment>>,
}

impl LicenceBook for &Book {
    fn licence(&self, id: LicenceId) -> Result<Option<LicenceFacts>, Box<dyn Error + Send + Sync>> {
        Ok(self.licences.lock().unwrap().get(&id).cloned())
    }

    fn key_commitment(
        &self,
        id: LicenceId,
        version: u32,
    ) -> Result<Option<KeyCommitment>, Box<dyn Error + Send + Sync>> {
        Ok(self.commitments.lock().unwrap().get(&(id.asset(), version)).copied())
    }
}

const GATEWAY: Address = Address::repeat_byte(7);

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn domain() -> Eip712Domain {
    licences_domain(31_337, Address::repeat_byte(8))
}

/// An asset with two versions, and a buyer whose licence grants the first.
struct Scene {
    directory: tempfile::TempDir,
    keyring: Keyring,
    book: Book,
    holder: Account,
    buyer: BuyerKey,
    licence: LicenceId,
}

impl Scene {
    fn new() -> Self {
        let asset: AssetId = "9".parse().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let keyring =
            Keyring::open(directory.path().join("keys"), KeyringSecret::from_bytes([1; 32])).unwrap();
        let book = Book::default();
        for version in 1..=2 {
            let key = keyring.version_key_or_new(asset, version).unwrap();
            book.commitments.lock().unwrap().insert((asset, version), key.commitment(asset));
        }
        let holder = Account::new(0x22);
        let licence = LicenceId::new(asset, 1, 1);
        let facts = LicenceFacts {
            holder: holder.publisher(),
            rights: Rights::ACCESS,
            expires_at_s: None,
            versions: 1..=1,
        };
        book.licences.lock().unwrap().insert(licence, facts);
        Self { directory, keyring, book, holder, buyer: BuyerKey::random(), licence }
    }

    fn release(&self) -> KeyringRelease<'_, &Book> {
        KeyringRelease::open(
            &self.keyring,
            &self.book,
            domain(),
            GATEWAY,
            self.directory.path().join("nonces"),
        )
        .unwrap()
    }

    fn request(&self) -> KeyRequest {
        KeyRequest {
            licenceId: self.licence.to_u256(),
            version: 1,
            hpkePublicKey: self.buyer.public(),
            nonce: B256::repeat_byte(1),
            expiry: now_s() + 300,
            gateway: GATEWAY,
        }
    }

    fn ask(&self, request: KeyRequest) -> Result<Released, ReleaseError> {
        let signature = self.holder.sign_digest(request.eip712_signing_hash(&domain()));
        self.release().release(&SignedKeyRequest { request, signature })
    }

    fn change(&self, change: impl FnOnce(&mut LicenceFacts)) {
        change(self.book.licences.lock().unwrap().get_mut(&self.licence).unwrap());
    }
}

#[test]
fn key_1_the_holder_of_a_licence_gets_the_key_of_the_version_it_grants() {
    let scene = Scene::new();
    let Ok(Released::Key(wrapped)) = scene.ask(scene.request()) else { panic!("no key") };
    let asset = scene.licence.asset();
    let key_commitment = scene.book.commitments.lock().unwrap()[&(asset, 1)];
    let binding = KeyBinding { licence: scene.licence, version: 1, key_commitment };
    let key = scene.buyer.unwrap(&wrapped, &binding).unwrap();
    assert_eq!(key.expose(), scene.keyring.version_key(asset, 1).unwrap().expose());
}

#[test]
fn key_1_without_a_licence_that_grants_it_there_is_no_key() {
    type Case = (fn(&Scene, &mut KeyRequest), fn(&ReleaseError) -> bool);
    let cases: [Case; 12] = [
        (
            |scene, r| r.licenceId = LicenceId::new(scene.licence.asset(), 1, 2).to_u256(),
            |e| matches!(e, ReleaseError::NoLicence { .. }),
        ),
        (
            |_, r| r.licenceId = LicenceId::new("8".parse().unwrap(), 1, 1).to_u256(),
            |e| matches!(e, ReleaseError::NoLicence { .. }),
        ),
        (|_, r| r.licenceId = U256::from(5), |e| matches!(e, ReleaseError::NotALicence { .. })),
        (
            |scene, _| scene.change(|facts| facts.expires_at_s = Some(now_s())),
            |e| matches!(e, ReleaseError::Expired { .. }),
        ),
        (
            |scene, _| scene.change(|facts| facts.holder = Address::ZERO),
            |e| matches!(e, ReleaseError::Signer { .. }),
        ),
        (
            |scene, _| scene.change(|facts| facts.rights = Rights::TRAIN),
            |e| matches!(e, ReleaseError::NoAccess { .. }),
        ),
        (|_, r| r.version = 2, |e| matches!(e, ReleaseError::VersionNotGranted { .. })),
        (
            |scene, r| {
                scene.change(|facts| facts.versions = 1..=u32::MAX);
                r.version = 3;
            },
            |e| matches!(e, ReleaseError::VersionNotGranted { .. }),
        ),
        (|_, r| r.gateway = Address::ZERO, |e| matches!(e, ReleaseError::OtherGateway { .. })),
        (|_, r| r.expiry = now_s(), |e| matches!(e, ReleaseError::Expiry { .. })),
        (|_, r| r.expiry = now_s() + 700, |e| matches!(e, ReleaseError::Expiry { .. })),
        (
            |_, r| r.hpkePublicKey = B256::ZERO,
            |e| matches!(e, ReleaseError::Wrap(WrapError::PublicKey { .. })),
        ),
    ];
    for (at, (change, is_expected)) in cases.iter().enumerate() {
        let scene = Scene::new();
        let mut request = scene.request();
        change(&scene, &mut request);
        let error = scene.ask(request).unwrap_err();
        assert!(is_expected(&error), "case {at}: {error}");
    }
}

#[test]
fn key_1_a_signature_by_another_in_another_domain_or_altered_is_refused() {
    let scene = Scene::new();
    let request = scene.request();
    let digest = request.eip712_signing_hash(&domain());
    let mut flipped = scene.holder.sign_digest(digest);
    flipped[3] ^= 1;
    let other_chain = request.eip712_signing_hash(&licences_domain(1, Address::repeat_byte(8)));
    for signature in [
        Account::new(0x33).sign_digest(digest),
        flipped,
        [0; 65],
        [0xff; 65],
        scene.holder.sign_digest(other_chain),
    ] {
        let refused = scene.release().release(&SignedKeyRequest { request: request.clone(), signature });
        assert!(matches!(refused, Err(ReleaseError::Signer { .. })));
    }
}

#[test]
fn key_1_a_nonce_serves_one_request_also_after_a_restart() {
    let scene = Scene::new();
    scene.change(|facts| facts.versions = 1..=2);
    let request = scene.request();
    let first = scene.ask(request.clone()).unwrap();
    // Each `ask` opens the release anew.
    assert_eq!(scene.ask(request.clone()).unwrap(), first, "an identical request gets identical bytes");
    for other in [
        KeyRequest { version: 2, ..request.clone() },
        KeyRequest { hpkePublicKey: BuyerKey::random().public(), ..request.clone() },
        KeyRequest { expiry: request.expiry + 1, ..request.clone() },
    ] {
        assert!(matches!(scene.ask(other), Err(ReleaseError::NonceUsed { .. })));
    }
    scene.ask(KeyRequest { nonce: B256::repeat_byte(2), version: 2, ..request }).unwrap();
}

#[test]
fn a_refused_request_uses_up_no_nonce_and_expired_nonces_are_forgotten() {
    let scene = Scene::new();
    scene.ask(KeyRequest { version: 2, ..scene.request() }).unwrap_err();
    scene.ask(scene.request()).unwrap();
    let nonces = scene.directory.path().join("nonces");
    let count = || std::fs::read_dir(&nonces).unwrap().count();
    assert_eq!(count(), 1);
    let file = std::fs::read_dir(&nonces).unwrap().next().unwrap().unwrap().path();
    let mut record = std::fs::read(&file).unwrap();
    record[..8].copy_from_slice(&(now_s() - 1).to_be_bytes());
    std::fs::write(&file, record).unwrap();
    scene.release();
    assert_eq!(count(), 0);
}

/// A gateway and its owner's commands have the same nonces.
#[test]
fn processes_that_forget_the_same_nonces_at_once_do_not_disturb_one_another() {
    let scene = Scene::new();
    let nonces = scene.directory.path().join("nonces");
    std::fs::create_dir(&nonces).unwrap();
    for round in 0..10 {
        for i in 0..200 {
            let record = [&(now_s() - 1).to_be_bytes()[..], &[0; 32]].concat();
            std::fs::write(nonces.join(format!("{round}-{i}")), record).unwrap();
        }
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    scene.release();
                });
            }
        });
        assert_eq!(std::fs::read_dir(&nonces).unwrap().count(), 0);
    }
}

#[test]
fn a_key_that_is_not_here_or_not_the_registered_one_is_not_released() {
    let scene = Scene::new();
    let asset = scene.licence.asset();
    scene.book.commitments.lock().unwrap().insert((asset, 1), KeyCommitment(B256::ZERO));
    assert!(matches!(scene.ask(scene.request()), Err(ReleaseError::OtherKey { .. })));
    scene.change(|facts| facts.versions = 1..=5);
    scene.book.commitments.lock().unwrap().insert((asset, 5), KeyCommitment(B256::ZERO));
    let refused = scene.ask(KeyRequest { version: 5, ..scene.request() });
    assert!(matches!(refused, Err(ReleaseError::Keyring(KeyringError::Missing { .. }))));
}
