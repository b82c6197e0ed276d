//! Everything that can go wrong, once each to an exit code (the table is in the help and the README).

use std::{io, path::PathBuf};

use residual_client::{
    AccountError, AuditError, ChannelError, ClientError, DeployError, EpochError, ExtractError, FetchError,
    GatewayError, GetError, HomeError, KeyError, LedgerError, LicenseError, PayError, PublishError,
    RelayError, ReleaseError, ServeError, SpendError, StoreError, TransferError, UsageError, is_refusal,
};
use residual_gateway::{ServiceError, StartError};
use residual_primitives::{AmountError, RateError};
use residual_vision::{EvaluateError, HealthError};

use crate::{config::ConfigError, demo::DemoError, terms_file::TermsFileError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    TermsFile(#[from] TermsFileError),
    #[error(transparent)]
    Amount(#[from] AmountError),
    #[error(transparent)]
    Rate(#[from] RateError),
    #[error("expected --holder ACCOUNT=UNITS with whole units, found {found:?}")]
    Holder { found: String },
    #[error(
        "expected an account to act with: give one with --account, RESIDUAL_ACCOUNT or `account` in residual.toml"
    )]
    NoAccount,
    #[error("expected an asset id (0x and 32 digits) or a licence id (0x and 64 digits), found {found:?}")]
    NoId { found: String },
    #[error(
        "expected a private key as 0x and 64 hexadecimal digits on the standard input, found something else"
    )]
    NoKey,
    #[error(
        "expected --rpc-url with --currency or --deployment, found none: an embedded ledger has its own currency"
    )]
    NoRpcUrl,
    #[error(
        "expected a data directory that was made for a chain behind --rpc-url, found none, or one with an embedded ledger: leave \
         --rpc-url out, or make one first with `residual init --rpc-url`"
    )]
    NothingToServe,
    #[error("signed payment {file}: {reason}; expected what `--sign` printed")]
    Signed { file: String, reason: String },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("expected a gateway: name one with --gateway, or let `residual up` run in this data directory")]
    NoGateway,
    #[error(transparent)]
    Remote(#[from] GatewayError),
    #[error("expected to set up HTTP, found: {reason}")]
    Http { reason: String },
    #[error("the answer broke off ({reason}), and {paid}: repeat the call")]
    AnswerLost { paid: String, reason: String },
    #[error("input {}: {source}", path.display())]
    Input {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("input {}: expected at most {max} bytes, found more: send less at once", path.display())]
    InputTooLarge { path: PathBuf, max: u64 },
    #[error("the gateway did not serve the call ({status}), and {paid}: {detail}")]
    NotServed { status: u16, paid: String, detail: String },
    #[error(
        "expected development mode for --demo, found a data directory made without it: use another with --data-dir"
    )]
    DemoElsewhere,
    #[error(transparent)]
    Spend(#[from] SpendError),
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Gateway(#[from] StartError),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    License(#[from] LicenseError),
    #[error(transparent)]
    Pay(#[from] PayError),
    #[error(transparent)]
    Get(#[from] GetError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Health(#[from] HealthError),
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    #[error("expected --{option} from 0 to 1, found {found}")]
    OutsideUnit { option: &'static str, found: f64 },
    #[error("expected --sigmas over 0, found {found}")]
    Sigma { found: f64 },
    #[error("{} in the way of publishing: the report says where, and what to do", blockers(*.count))]
    Blockers { count: u64 },
    #[error("cannot write {}: {source}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// Wrong usage or input.
pub(crate) const USAGE: u8 = 2;
const FAILED: u8 = 1;
const NOT_THERE: u8 = 3;
const REFUSED: u8 = 4;
const LEDGER: u8 = 5;
const HOME: u8 = 6;
const DIFFERENCE: u8 = 7;
const BLOCKERS: u8 = 8;

fn blockers(count: u64) -> String {
    if count == 1 { "1 blocker".to_owned() } else { format!("{count} blockers") }
}

impl Failure {
    /// The exit code, as the help says.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::TermsFile(_)
            | Self::Amount(_)
            | Self::Rate(_)
            | Self::Holder { .. }
            | Self::NoAccount
            | Self::NoId { .. }
            | Self::NoRpcUrl
            | Self::NothingToServe
            | Self::NoGateway
            | Self::Input { .. }
            | Self::InputTooLarge { .. }
            | Self::DemoElsewhere
            | Self::Signed { .. }
            | Self::OutsideUnit { .. }
            | Self::Sigma { .. }
            | Self::NoKey => USAGE,
            Self::Client(error) => client(error),
            Self::Gateway(error) => match error {
                StartError::Listen { .. } => FAILED,
                StartError::NoCoinPrice => USAGE,
                StartError::Gas(error) => ledger(error),
                StartError::Blocks(_) => HOME,
                StartError::Token(_) => LEDGER,
                StartError::Meter(error) => channel(error),
                StartError::Log(error) => epoch(error),
                StartError::Service(ServiceError::Serve(error)) => serve(error),
                StartError::Service(_) => REFUSED,
            },
            Self::Remote(error) => gateway(error),
            Self::Http { .. } => FAILED,
            Self::AnswerLost { .. } => LEDGER,
            Self::NotServed { .. } => REFUSED,
            Self::Spend(error) => spend(error),
            Self::Usage(error) => usage(error),
            Self::Home(error) => home(error),
            Self::Account(error) => account(error),
            Self::Publish(error) => publish(error),
            Self::License(error) => license(error),
            Self::Pay(error) => pay(error),
            Self::Get(error) => get(error),
            Self::Channel(error) => channel(error),
            Self::Relay(error) => match error {
                RelayError::OtherChain { .. } | RelayError::Expired { .. } => REFUSED,
                RelayError::Home(error) => home(error),
                RelayError::Ledger(error) => ledger(error),
            },
            Self::Transfer(error) => match error {
                TransferError::Nothing => USAGE,
                TransferError::TooFew { .. } => REFUSED,
                TransferError::Home(error) => home(error),
                TransferError::Ledger(error) => ledger(error),
            },
            Self::Audit(error) => match error {
                AuditError::Difference(_) | AuditError::NotAccounted | AuditError::Usage(_) => DIFFERENCE,
                AuditError::Ledger(error) => ledger(error),
            },
            Self::Demo(_) | Self::Output(_) | Self::Write { .. } => FAILED,
            Self::Health(error) => match error {
                HealthError::Folder(_) | HealthError::Detect(_) => USAGE,
            },
            Self::Evaluate(EvaluateError::Engine(_)) => FAILED,
            Self::Evaluate(_) => USAGE,
            Self::Blockers { .. } => BLOCKERS,
            Self::Ledger(error) => ledger(error),
        }
    }
}

fn home(error: &HomeError) -> u8 {
    match error {
        HomeError::Missing { .. } => NOT_THERE,
        _ => HOME,
    }
}

fn client(error: &ClientError) -> u8 {
    match error {
        ClientError::Home(error) => home(error),
        ClientError::Account(error) => account(error),
        ClientError::DevelopmentMode { .. }
        | ClientError::OtherLedger { .. }
        | ClientError::NoCurrency
        | ClientError::NoDeployment { .. } => USAGE,
        ClientError::Unfinished { .. }
        | ClientError::GatewayRuns
        | ClientError::InUse { .. }
        | ClientError::Ledger(_) => HOME,
        ClientError::Deploy(DeployError::Transact { source, .. }) if is_refusal(source) => REFUSED,
        ClientError::Silent { .. }
        | ClientError::Connect(_)
        | ClientError::Deploy(_)
        | ClientError::Deployment(_) => LEDGER,
        ClientError::Call(error) => ledger(error),
    }
}

fn serve(error: &ServeError) -> u8 {
    match error {
        ServeError::NotAModel { .. } | ServeError::OtherAsset { .. } => USAGE,
        ServeError::NoAccess { .. }
        | ServeError::NoRight { .. }
        | ServeError::NotHeld { .. }
        | ServeError::Ended { .. }
        | ServeError::NoPrice { .. } => REFUSED,
        ServeError::Get(error) => get(error),
        ServeError::Open(_) | ServeError::Keyring(_) | ServeError::Store(_) => HOME,
        ServeError::Ledger(error) => ledger(error),
    }
}

fn spend(error: &SpendError) -> u8 {
    match error {
        SpendError::Stream => USAGE,
        SpendError::Http { .. } | SpendError::Header(_) | SpendError::NoPrice => LEDGER,
        SpendError::NoWay { .. }
        | SpendError::OtherPayee { .. }
        | SpendError::Delay { .. }
        | SpendError::TooDear { .. }
        | SpendError::Budget { .. }
        | SpendError::Refused { .. }
        | SpendError::NoRefund { .. }
        | SpendError::Dishonest { .. }
        | SpendError::NoWindows
        | SpendError::OtherTerms { .. }
        | SpendError::Window(_)
        | SpendError::Resume(_) => REFUSED,
        SpendError::Standing(_) => LEDGER,
        SpendError::Promise(_) | SpendError::Tick(_) => HOME,
        SpendError::Channel(error) => channel(error),
        SpendError::Home(error) => home(error),
        SpendError::Ledger(error) => ledger(error),
    }
}

fn usage(error: &UsageError) -> u8 {
    match error {
        UsageError::NotHere { .. } | UsageError::NoRecord { .. } | UsageError::NotCommitted { .. } => {
            NOT_THERE
        }
        UsageError::OtherRoot { .. } | UsageError::NotProven { .. } | UsageError::File { .. } => DIFFERENCE,
        UsageError::Record(_) | UsageError::Write(_) => FAILED,
        UsageError::Home(error) => home(error),
        UsageError::Ledger(error) => ledger(error),
    }
}

fn account(error: &AccountError) -> u8 {
    match error {
        AccountError::Unknown { .. } => NOT_THERE,
        AccountError::Password(_)
        | AccountError::NoPassword
        | AccountError::PasswordsDiffer
        | AccountError::Address(_) => USAGE,
        AccountError::Development(_) | AccountError::Keystore(_) | AccountError::NoGas { .. } => REFUSED,
        AccountError::Home(error) => home(error),
        AccountError::Ledger(error) => ledger(error),
    }
}

fn publish(error: &PublishError) -> u8 {
    match error {
        PublishError::Name { .. }
        | PublishError::Units { .. }
        | PublishError::NoUnits { .. }
        | PublishError::LicenceTwice { .. }
        | PublishError::FileName(_)
        | PublishError::DataDirectory { .. }
        | PublishError::Empty { .. }
        | PublishError::Check(_)
        | PublishError::Terms(_) => USAGE,
        PublishError::Changed { .. }
        | PublishError::NotHolder { .. }
        | PublishError::NoRightToDerive { .. }
        | PublishError::LicenceExpired { .. }
        | PublishError::NoDerivationsLeft { .. } => REFUSED,
        PublishError::Blockers { .. } => BLOCKERS,
        PublishError::Home(error) => home(error),
        PublishError::Store(_) | PublishError::Keyring(_) | PublishError::Open(_) => HOME,
        PublishError::Ledger(error) => ledger(error),
        PublishError::Tree(_)
        | PublishError::Seal(_)
        | PublishError::Manifest(_)
        | PublishError::Path { .. } => FAILED,
    }
}

fn license(error: &LicenseError) -> u8 {
    match error {
        LicenseError::UnknownTerms { .. } | LicenseError::NotOffered { .. } => NOT_THERE,
        LicenseError::PriceAboveMax { .. }
        | LicenseError::NothingToSign
        | LicenseError::NotRenewable { .. } => REFUSED,
        LicenseError::Pay(error) => pay(error),
        LicenseError::Home(error) => home(error),
        LicenseError::Ledger(error) => ledger(error),
    }
}

fn pay(error: &PayError) -> u8 {
    match error {
        PayError::Nothing => USAGE,
        PayError::InsufficientFunds { .. } | PayError::NoAuthorizations { .. } => REFUSED,
        PayError::Home(error) => home(error),
        PayError::Ledger(error) => ledger(error),
    }
}

fn get(error: &GetError) -> u8 {
    match error {
        GetError::VersionNotGranted { .. } => REFUSED,
        GetError::Key(error) => key(error),
        GetError::Gateway(error) => gateway(error),
        GetError::Fetch(FetchError::Store(StoreError::Missing { .. } | StoreError::Remote { .. })) => LEDGER,
        GetError::Fetch(FetchError::Store(StoreError::Full { .. } | StoreError::Io { .. })) => HOME,
        GetError::Fetch(_) => FAILED,
        GetError::Open(_) | GetError::Store(_) => HOME,
        GetError::Extract(ExtractError::Read(_) | ExtractError::Full { .. }) => HOME,
        GetError::Extract(_) | GetError::Wrap(_) => FAILED,
        GetError::Ledger(error) => ledger(error),
    }
}

fn key(error: &KeyError) -> u8 {
    match error {
        KeyError::NotFinal { .. } => LEDGER,
        KeyError::Release(ReleaseError::NoLicence { .. }) => NOT_THERE,
        KeyError::Release(_) => REFUSED,
        KeyError::Keyring(_) => HOME,
        KeyError::Home(error) => home(error),
        KeyError::Ledger(error) => ledger(error),
    }
}

fn gateway(error: &GatewayError) -> u8 {
    match error {
        GatewayError::Address { .. } | GatewayError::OtherMarketplace { .. } => USAGE,
        error if error.is_refusal() => REFUSED,
        GatewayError::Unreachable { .. } | GatewayError::Refused { .. } | GatewayError::Malformed { .. } => {
            LEDGER
        }
        GatewayError::Http(_) => FAILED,
    }
}

fn channel(error: &ChannelError) -> u8 {
    match error {
        ChannelError::WithdrawDelay { .. } => USAGE,
        ChannelError::Unknown { .. } => NOT_THERE,
        ChannelError::NothingLeft { .. } | ChannelError::NotPayer { .. } | ChannelError::Serve(_) => REFUSED,
        ChannelError::Purse(_) | ChannelError::Meter(_) | ChannelError::Commit(_) => HOME,
        ChannelError::Epoch(error) => epoch(error),
        ChannelError::Deposit(error) => pay(error),
        ChannelError::Home(error) => home(error),
        ChannelError::Ledger(error) => ledger(error),
    }
}

fn epoch(error: &EpochError) -> u8 {
    match error {
        EpochError::Usage(error) => usage(error),
        EpochError::Ledger(error) => ledger(error),
        EpochError::Rotate(_) | EpochError::Segment(_) | EpochError::Log(_) | EpochError::File(_) => HOME,
    }
}

fn ledger(error: &LedgerError) -> u8 {
    match error {
        LedgerError::UnknownAsset { .. }
        | LedgerError::UnknownLicence { .. }
        | LedgerError::UnknownVersion { .. } => NOT_THERE,
        LedgerError::Home(error) => home(error),
        LedgerError::Journal(_) => HOME,
        LedgerError::ActsAsGateway { .. } => USAGE,
        error if error.is_refusal() => REFUSED,
        _ => LEDGER,
    }
}
