//! Keys at rest: a directory of files in web3 secret storage, version 3, as other wallets read and write it.
//!
//! Owns the files and their encryption. Refuses to keep a key or a password in memory longer than a call, to write a
//! key that is not encrypted, to overwrite one, and to be made to spend more time or memory than [`MEMORY_MAX`] and
//! [`ROUNDS_MAX`] say by a file that asks for it.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use aes::cipher::{KeyIvInit, StreamCipher};
use alloy_primitives::{Address, B128, B256, Keccak256};
use residual_durable as durable;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::account::Account;

/// The longest file that is read, in bytes; one that is written has about 600.
const FILE_MAX: u64 = 64 << 10;
/// The longest name of an account, in bytes.
const NAME_MAX: usize = 64;
/// scrypt's work for new keys: 2^17 blocks of 1 KiB, 128 MiB (OWASP, password storage).
const LOG_N: u8 = 17;
const BLOCK_R: u32 = 8;
const PARALLEL_P: u32 = 1;
/// The most memory that a file may ask scrypt for, in bytes: a table of 512 MiB and what the lanes need besides.
pub const MEMORY_MAX: u64 = 513 << 20;
/// The most rounds that a file may ask PBKDF2 for.
pub const ROUNDS_MAX: u32 = 10_000_000;
/// The most lanes that a file may ask scrypt for, one after the other.
const LANES_MAX: u32 = 16;

type Aes128Ctr = ctr::Ctr128BE<aes::Aes128>;

/// A password: wiped when dropped, and printed by nothing.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes the password over. An empty one is one as well; whether it will do is the caller's to say.
    #[must_use]
    pub fn new(password: String) -> Self {
        Self(Zeroizing::new(password))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// Why a keystore does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// A name that could lead out of the directory, or is none.
    #[error("expected an account's name of 1 to 64 lower-case letters, digits, - or _, found {found:?}")]
    Name {
        /// The name, cut to 80 characters.
        found: String,
    },
    /// The name is taken.
    #[error("expected a free name, found an account {name:?} in {}; choose another", dir.display())]
    Exists {
        /// The name.
        name: String,
        /// The keystore.
        dir: PathBuf,
    },
    /// No account has the name.
    #[error("expected an account {name:?} in {}, found none; list the accounts or create it", dir.display())]
    Unknown {
        /// The name.
        name: String,
        /// The keystore.
        dir: PathBuf,
    },
    /// The password opens another key or none, or the file was changed.
    #[error("{}: expected its password, found another one, or the file was changed", path.display())]
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
    /// The file is not web3 secret storage as this program reads it.
    #[error("{}: expected web3 secret storage version 3, found {reason}; restore it from a backup", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk or its permissions.
    #[error("{}: {source}; the keystore's directory must be there to read and write", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A directory of encrypted keys, one file an account, readable by their owner only.
#[derive(Debug, Clone)]
pub struct Keystore {
    dir: PathBuf,
}

impl Keystore {
    /// Opens the directory, or makes it.
    ///
    /// # Errors
    /// [`KeystoreError::Io`].
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, KeystoreError> {
        let dir = dir.into();
        match durable::make_dir(&dir) {
            Ok(()) => Ok(Self { dir }),
            Err(source) => Err(KeystoreError::Io { path: dir, source }),
        }
    }

    /// Whether there is an account of that name. Only the name is looked for: a damaged file, this account's or
    /// another's, is not in the way. What cannot be a name is none.
    ///
    /// # Errors
    /// [`KeystoreError::Io`].
    pub fn contains(&self, name: &str) -> Result<bool, KeystoreError> {
        match self.path(name) {
            Ok(path) => path.try_exists().map_err(|source| KeystoreError::Io { path, source }),
            Err(_) => Ok(false),
        }
    }

    /// The address of one account, whose file alone is read. It is what the file says; [`Self::unlock`] makes sure.
    ///
    /// # Errors
    /// [`KeystoreError::Unknown`], [`KeystoreError::Name`], [`KeystoreError::Corrupt`] or [`KeystoreError::Io`].
    pub fn address(&self, name: &str) -> Result<Address, KeystoreError> {
        Ok(self.read(name)?.address)
    }

    /// The names of all accounts and their addresses, by name. The addresses are what the files say; [`Self::unlock`]
    /// makes sure. For one account ask [`Self::address`]: a damaged file of another is in the way here.
    ///
    /// # Errors
    /// When the directory or a file in it cannot be read.
    pub fn list(&self) -> Result<Vec<(String, Address)>, KeystoreError> {
        let io = |source| KeystoreError::Io { path: self.dir.clone(), source };
        let mut accounts = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(io)? {
            let file_name = entry.map_err(io)?.file_name();
            let name = file_name.to_str().and_then(|name| name.strip_suffix(".json"));
            if let Some(name) = name.filter(|name| is_name(name)) {
                accounts.push((name.to_owned(), self.read(name)?.address));
            }
        }
        accounts.sort();
        Ok(accounts)
    }

    /// Writes an account's key under a name, encrypted with the password; whole and durable or not at all.
    ///
    /// Takes about a third of a second and 128 MiB.
    ///
    /// # Errors
    /// [`KeystoreError::Name`], [`KeystoreError::Exists`] or [`KeystoreError::Io`].
    pub fn store(&self, name: &str, account: &Account, password: &Password) -> Result<(), KeystoreError> {
        let path = self.path(name)?;
        let io = |source| KeystoreError::Io { path: path.clone(), source };
        let sealed = Sealed::seal(account, password);
        let json = serde_json::to_vec_pretty(&sealed).expect("the file's form has string keys only");
        if durable::write_new(&path, &json).map_err(io)? {
            Ok(())
        } else {
            Err(KeystoreError::Exists { name: name.to_owned(), dir: self.dir.clone() })
        }
    }

    /// Makes a new account and writes its key under a name; see [`Self::store`].
    ///
    /// # Errors
    /// As [`Self::store`].
    pub fn create(&self, name: &str, password: &Password) -> Result<Account, KeystoreError> {
        let account = Account::generate();
        self.store(name, &account, password)?;
        Ok(account)
    }

    /// Decrypts an account's key.
    ///
    /// # Errors
    /// [`KeystoreError::Unknown`], [`KeystoreError::WrongPassword`], [`KeystoreError::Corrupt`] and others.
    pub fn unlock(&self, name: &str, password: &Password) -> Result<Account, KeystoreError> {
        let path = self.path(name)?;
        self.read(name)?.open(password).map_err(|fault| match fault {
            Fault::Password => KeystoreError::WrongPassword { path },
            Fault::File(reason) => KeystoreError::Corrupt { path, reason },
        })
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeystoreError> {
        if is_name(name) {
            Ok(self.dir.join(name).with_extension("json"))
        } else {
            Err(KeystoreError::Name { found: name.chars().take(80).collect() })
        }
    }

    fn read(&self, name: &str) -> Result<Sealed, KeystoreError> {
        let path = self.path(name)?;
        let json = match read_bounded(&path) {
            Ok(json) => json,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                return Err(KeystoreError::Unknown { name: name.to_owned(), dir: self.dir.clone() });
            }
            Err(source) => return Err(KeystoreError::Io { path, source }),
        };
        let sealed = json.ok_or_else(|| format!("more than {FILE_MAX} bytes"));
        let sealed = sealed.and_then(|json| serde_json::from_slice(&json).map_err(|error| error.to_string()));
        sealed.map_err(|reason| KeystoreError::Corrupt { path, reason })
    }
}

fn is_name(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(allowed)
}

/// The file's bytes, or none when it is longer than a key's file can be.
fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= FILE_MAX).then_some(bytes))
}

/// Why a file does not open.
enum Fault {
    Password,
    File(String),
}

/// The file's form: <https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage>.
#[derive(Serialize, Deserialize)]
struct Sealed {
    version: u8,
    id: String,
    /// Bare hexadecimal digits, as other wallets write it.
    #[serde(with = "bare_hex")]
    address: Address,
    crypto: Crypto,
}

#[derive(Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    #[serde(with = "bare_hex")]
    ciphertext: B256,
    #[serde(flatten)]
    kdf: Kdf,
    #[serde(with = "bare_hex")]
    mac: B256,
}

#[derive(Serialize, Deserialize)]
struct CipherParams {
    #[serde(with = "bare_hex")]
    iv: B128,
}

/// How the password becomes a key.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kdf", content = "kdfparams", rename_all = "lowercase")]
enum Kdf {
    Scrypt {
        n: u64,
        r: u32,
        p: u32,
        dklen: usize,
        #[serde(with = "bare_hex")]
        salt: Vec<u8>,
    },
    Pbkdf2 {
        c: u32,
        prf: String,
        dklen: usize,
        #[serde(with = "bare_hex")]
        salt: Vec<u8>,
    },
}

impl Kdf {
    fn derive(&self, password: &Password) -> Result<Zeroizing<[u8; 32]>, Fault> {
        let refuse = |reason: String| Err(Fault::File(reason));
        let mut derived = Zeroizing::new([0; 32]);
        match self {
            Self::Scrypt { dklen, .. } | Self::Pbkdf2 { dklen, .. } if *dklen != derived.len() => {
                return refuse(format!("a derived key of {dklen} bytes instead of 32"));
            }
            Self::Scrypt { n, r, p, salt, .. } => {
                // One table of n blocks, and a block for each lane and one to work in; all of 128 r bytes.
                let blocks = n.saturating_add(u64::from(*p)).saturating_add(1);
                let memory = blocks.saturating_mul(u64::from(*r)).saturating_mul(128);
                if !n.is_power_of_two() || *n < 2 || memory > MEMORY_MAX || *p > LANES_MAX {
                    return refuse(format!("scrypt with n = {n}, r = {r}, p = {p}, which is not allowed"));
                }
                let params = scrypt::Params::new(n.trailing_zeros() as u8, *r, *p);
                let params = params.map_err(|error| Fault::File(error.to_string()))?;
                scrypt::scrypt(password.0.as_bytes(), salt, &params, &mut *derived)
                    .map_err(|error| Fault::File(error.to_string()))?;
            }
            Self::Pbkdf2 { c, prf, salt, .. } => {
                if prf != "hmac-sha256" || !(1..=ROUNDS_MAX).contains(c) {
                    return refuse(format!("PBKDF2 with {prf} and {c} rounds, which is not allowed"));
                }
                pbkdf2::pbkdf2_hmac::<Sha256>(password.0.as_bytes(), salt, *c, &mut *derived);
            }
        }
        Ok(derived)
    }
}

impl Sealed {
    fn seal(account: &Account, password: &Password) -> Self {
        let salt: [u8; 32] = rand::random();
        let iv: B128 = B128::new(rand::random());
        let kdf = Kdf::Scrypt { n: 1 << LOG_N, r: BLOCK_R, p: PARALLEL_P, dklen: 32, salt: salt.to_vec() };
        let derived = kdf.derive(password).ok().expect("the parameters for new keys are allowed");
        let mut secret = account.secret();
        apply_cipher(&derived, iv, &mut secret);
        let ciphertext = B256::from(*secret);
        let mac = mac(&derived, ciphertext);
        Self {
            version: 3,
            id: random_uuid(),
            address: account.address(),
            crypto: Crypto {
                cipher: "aes-128-ctr".to_owned(),
                cipherparams: CipherParams { iv },
                ciphertext,
                kdf,
                mac,
            },
        }
    }

    fn open(&self, password: &Password) -> Result<Account, Fault> {
        if self.version != 3 || self.crypto.cipher != "aes-128-ctr" {
            return Err(Fault::File(format!(
                "version {} with cipher {:?}",
                self.version, self.crypto.cipher
            )));
        }
        let derived = self.crypto.kdf.derive(password)?;
        if mac(&derived, self.crypto.ciphertext) != self.crypto.mac {
            return Err(Fault::Password);
        }
        let mut secret = Zeroizing::new(self.crypto.ciphertext.0);
        apply_cipher(&derived, self.crypto.cipherparams.iv, &mut secret);
        let account = Account::from_secret(&secret).map_err(|error| Fault::File(error.to_string()))?;
        // The code does not cover the vector, so a changed one shows only here.
        if account.address() == self.address {
            Ok(account)
        } else {
            Err(Fault::File(format!("the key of {} in a file of {}", account.address(), self.address)))
        }
    }
}

fn apply_cipher(derived: &[u8; 32], iv: B128, secret: &mut [u8; 32]) {
    let mut key = Zeroizing::new([0; 16]);
    key.copy_from_slice(&derived[..16]);
    Aes128Ctr::new((&*key).into(), (&iv.0).into()).apply_keystream(secret);
}

fn mac(derived: &[u8; 32], ciphertext: B256) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(&derived[16..]);
    hasher.update(ciphertext);
    hasher.finalize()
}

/// A UUID of version 4 (RFC 9562).
fn random_uuid() -> String {
    let random = (rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let digits = format!("{random:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

/// Hexadecimal digits without `0x`, as web3 secret storage has them; with it they are read as well.
mod bare_hex {
    use alloy_primitives::hex;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: AsRef<[u8]>, S: Serializer>(
        bytes: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: for<'a> TryFrom<&'a [u8]>,
        D: Deserializer<'de>,
    {
        let digits = String::deserialize(deserializer)?;
        let bytes = hex::decode(&digits).map_err(de::Error::custom)?;
        T::try_from(&bytes)
            .map_err(|_| de::Error::custom(format!("{} bytes in the wrong place", bytes.len())))
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    /// The vectors of the format's definition; their address is that of their secret.
    const VECTORS: [&str; 2] = [
        r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2",
        "kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256",
        "salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
        "mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
        "address":"008aeeda4d805471df9b2a5b0f38a0c3bcba786b","id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#,
        r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt",
        "kdfparams":{"dklen":32,"n":262144,"p":8,"r":1,
        "salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
        "mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},
        "address":"008aeeda4d805471df9b2a5b0f38a0c3bcba786b","id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#,
    ];

    #[test]
    fn the_formats_own_vectors_open() {
        for vector in VECTORS {
            let sealed: Sealed = serde_json::from_str(vector).expect("a vector");
            let Ok(account) = sealed.open(&password("testpassword")) else {
                panic!("expected the vector to open")
            };
            let secret = hex!("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d");
            assert_eq!(*account.secret(), secret);
            assert!(matches!(sealed.open(&password("testpassworD")), Err(Fault::Password)));
        }
    }

    #[test]
    fn a_key_survives_its_file_and_only_its_password_opens_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let keystore = Keystore::open(dir.path().join("keys")).expect("opens");
        let account = keystore.create("alice", &password("right")).expect("stores");
        assert_eq!(keystore.list().expect("lists"), [("alice".to_owned(), account.address())]);

        let again = Keystore::open(dir.path().join("keys")).expect("opens again");
        assert_eq!(again.unlock("alice", &password("right")).expect("unlocks").secret(), account.secret());
        let wrong = again.unlock("alice", &password("wrong")).expect_err("another password");
        assert!(matches!(wrong, KeystoreError::WrongPassword { .. }), "{wrong}");
        let taken =
            again.store("alice", &Account::generate(), &password("right")).expect_err("the name is taken");
        assert!(matches!(taken, KeystoreError::Exists { .. }), "{taken}");
        let unknown = again.unlock("bob", &password("right")).expect_err("nobody");
        assert!(matches!(unknown, KeystoreError::Unknown { .. }), "{unknown}");
        for name in ["", "../alice", "Alice", "a/b", "a.json", &"a".repeat(65)] {
            let error = again.unlock(name, &password("right")).expect_err("not a name");
            assert!(matches!(error, KeystoreError::Name { .. }), "{error}");
        }
    }

    #[test]
    fn a_damaged_file_is_in_the_way_of_no_other_account() {
        let dir = tempfile::tempdir().expect("a directory");
        let keystore = Keystore::open(dir.path()).expect("opens");
        fs::write(dir.path().join("alice.json"), VECTORS[0]).expect("writes");
        fs::write(dir.path().join("broken.json"), "{").expect("writes");
        let vectors_address = alloy_primitives::address!("008aeeda4d805471df9b2a5b0f38a0c3bcba786b");
        assert_eq!(keystore.address("alice").expect("reads"), vectors_address);
        keystore.unlock("alice", &password("testpassword")).expect("unlocks");
        for (name, there) in
            [("alice", true), ("broken", true), ("bob", false), ("../alice", false), ("", false)]
        {
            assert_eq!(keystore.contains(name).expect("looks"), there, "{name}");
        }
        let broken = keystore.address("broken").expect_err("is damaged");
        assert!(matches!(broken, KeystoreError::Corrupt { .. }), "{broken}");
        let unknown = keystore.address("bob").expect_err("is not there");
        assert!(matches!(unknown, KeystoreError::Unknown { .. }), "{unknown}");
        let none = keystore.address("../alice").expect_err("is not a name");
        assert!(matches!(none, KeystoreError::Name { .. }), "{none}");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_a_key() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let keystore = Keystore::open(dir.path().join("keys")).expect("opens");
        keystore.create("alice", &password("right")).expect("stores");
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode(&dir.path().join("keys/alice.json")), 0o600);
        assert_eq!(mode(&dir.path().join("keys")), 0o700);
    }

    #[test]
    fn a_changed_or_greedy_file_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let keystore = Keystore::open(dir.path()).expect("opens");
        let scrypt = |n: u64, r: u32, p: u32| {
            let vector = VECTORS[1].replace("262144", &n.to_string());
            vector.replace("\"p\":8,\"r\":1", &format!("\"p\":{p},\"r\":{r}"))
        };
        let faults = [
            ("n", VECTORS[1].replace("262144", "262145")),
            ("memory", VECTORS[1].replace("262144", "1099511627776")),
            ("lanes", VECTORS[1].replace("\"p\":8", "\"p\":4000000000")),
            ("blocks", scrypt(2, 1 << 21, 16)),
            ("block", scrypt(2, 1 << 21, 1)),
            ("rounds", VECTORS[0].replace("262144", "4000000000")),
            ("dklen", VECTORS[0].replace("\"dklen\":32", "\"dklen\":64")),
            ("version", VECTORS[0].replace("\"version\":3", "\"version\":4")),
            ("cipher", VECTORS[0].replace("aes-128-ctr", "aes-256-gcm")),
            ("kdf", VECTORS[0].replace("\"pbkdf2\"", "\"argon2\"")),
            ("iv", VECTORS[0].replace("6087dab2", "6087dab3")),
            ("short", VECTORS[0].replace("5318b4d5", "")),
            ("cut", VECTORS[0][..300].to_owned()),
            ("long", format!("{}{}", VECTORS[0], " ".repeat(FILE_MAX as usize))),
        ];
        for (name, json) in faults {
            fs::write(dir.path().join(format!("{name}.json")), json).expect("writes");
            let error = keystore.unlock(name, &password("testpassword")).expect_err(name);
            assert!(matches!(error, KeystoreError::Corrupt { .. }), "{name}: {error}");
        }
    }
}
