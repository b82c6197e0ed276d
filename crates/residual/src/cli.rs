//! The grammar of the command line. What a word means is decided by `client`; here it is only read.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use residual_gateway::Serving;
use residual_primitives::{Address, AssetId, AssetKind, B256, LicenceId, RevenueKind, TermsId};
use residual_vision::Format;

/// The marketplace for AI datasets and models in which use keeps paying.
#[derive(Debug, Parser)]
#[command(name = "residual", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage or input; 3 not there; 4 refused by the rules of the ledger or a licence;\n5 the ledger cannot be reached or an outcome is unknown (repeat the command); 6 the data directory or disk; 7 the audit found a difference;\n8 the dataset has blockers."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes. A flag outdoes the environment, which outdoes the configuration file.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The data directory [default: the user's data folder, then `residual`]
    #[arg(long, global = true, env = "RESIDUAL_DATA_DIR", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    /// A configuration file [default: `residual.toml` in the data directory, if it is there]
    #[arg(long, global = true, env = "RESIDUAL_CONFIG", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// JSON-RPC of a node of the ledger [default: the one that the data directory was made for]
    #[arg(long, global = true, env = "RESIDUAL_RPC_URL", hide_env_values = true)]
    pub(crate) rpc_url: Option<String>,
    /// The account that acts: a name in `residual account list`, or dev:0 to dev:9 in development mode
    #[arg(long, short, global = true, env = "RESIDUAL_ACCOUNT", hide_env_values = true)]
    pub(crate) account: Option<String>,
    /// A file whose first line is the account's password [default: RESIDUAL_PASSWORD, else it is asked for]
    #[arg(long, global = true, env = "RESIDUAL_PASSWORD_FILE", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
    /// One JSON object on the standard output instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a data directory: with an embedded ledger, or for a chain behind --rpc-url
    Init(Init),
    /// Run a node until interrupted: the embedded ledger, served as JSON-RPC on loopback, and a gateway; for a chain behind
    /// a JSON-RPC the gateway alone
    Up(Up),
    /// Watch real data earn: the whole loop on a fresh embedded ledger, and its audit
    Demo(Demo),
    /// Seal a folder, store it and register it as an asset; a dataset of images is checked first, as `lint` does
    Publish(Publish),
    /// Register a work made from licensed ones; their owners will share its revenue for ever
    Derive(Derive),
    /// Terms: define, offer, withdraw
    #[command(subcommand)]
    Terms(Terms),
    /// Show an asset, terms or a licence
    Show(Show),
    /// Buy or renew a licence, or sign for one without gas
    License(License),
    /// Fetch, verify and decrypt what a licence opens
    Get(Get),
    /// Call a model that a gateway serves, and pay for it by the call (x402)
    Use(Use),
    /// What gateways recorded of each use: list, prove, fetch
    #[command(subcommand)]
    Usage(Usage),
    /// Pay an asset directly
    Pay(Pay),
    /// Carry a payment that another signed to the ledger, and pay its gas
    Relay {
        /// What `--sign` printed; - for the standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Prepaid channels to an asset's inference tills
    #[command(subcommand)]
    Channel(Channel),
    /// Redeem received vouchers and bring the money into the asset's revenue
    Redeem(Revenue),
    /// Bring what lies in an asset's tills into its revenue
    Sweep(Revenue),
    /// Carry what an asset owes to its parents
    Flow(Revenue),
    /// Take what your shares of an asset have earned
    Claim(Revenue),
    /// Sweep, flow along the whole lineage, and claim: all that brings your money home
    Collect(Collect),
    /// Who serves an asset and has a part of what comes in by that: grant, revoke, show, claim
    #[command(subcommand)]
    Operator(Operator),
    /// Shares of an asset: show, transfer
    #[command(subcommand)]
    Shares(Shares),
    /// Recompute every payout from public records
    Audit,
    /// Say what is wrong with a dataset of images, where, and what to do; nothing leaves this machine
    #[command(
        after_help = "Read are COCO, YOLO, Pascal VOC, CVAT, LabelMe, Create ML, DOTA and folders of classes. \nBlockers keep a dataset from being published: then the exit code is 8, else it is 0 whatever else is found."
    )]
    Lint(Lint),
    /// Say how good detections are on a dataset of images: pycocotools' figures to the last bit, and what they hide
    Eval(Eval),
    /// Accounts: new, list, import, fund
    #[command(subcommand)]
    Account(Account),
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Use the ten well-known development accounts, whose keys everybody has; on this machine only
    #[arg(long)]
    pub(crate) development: bool,
    /// With --rpc-url: a currency of the marketplace, by its token's address; repeatable, prices are said in the first
    #[arg(long = "currency", value_name = "TOKEN", value_parser = residual_client::parse_address, conflicts_with = "deployment")]
    pub(crate) currencies: Vec<Address>,
    /// With --rpc-url: join the marketplace of this deployment file instead of making one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) deployment: Option<PathBuf>,
    /// The protocol fee in basis points, at most 500
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=500), conflicts_with = "deployment")]
    pub(crate) fee_bps: u16,
    /// Who gets the protocol fee [default: the operator]
    #[arg(long, value_name = "ADDRESS", value_parser = residual_client::parse_address, conflicts_with = "deployment")]
    pub(crate) treasury: Option<Address>,
    /// Who may freeze an asset's revenue during a dispute [default: the operator]
    #[arg(long, value_name = "ADDRESS", value_parser = residual_client::parse_address, conflicts_with = "deployment")]
    pub(crate) arbiter: Option<Address>,
    /// Who may change the parameters, each after two days [default: the operator]
    #[arg(long, value_name = "ADDRESS", value_parser = residual_client::parse_address, conflicts_with = "deployment")]
    pub(crate) governor: Option<Address>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Where the embedded ledger's JSON-RPC listens; a loopback address
    #[arg(long, env = "RESIDUAL_LISTEN", hide_env_values = true, default_value = "127.0.0.1:8545")]
    pub(crate) listen: SocketAddr,
    /// Where the gateway's HTTP listens; port 0 is any that is free
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "RESIDUAL_GATEWAY_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:8402"
    )]
    pub(crate) gateway_listen: SocketAddr,
    /// An origin whose web pages may do more than read through the gateway, as https://market.example; repeatable
    #[arg(long = "gateway-origin", value_name = "ORIGIN")]
    pub(crate) gateway_origins: Vec<String>,
    /// A proxy in front of the gateway, whose word is taken for whom it speaks for (Forwarded, X-Forwarded-For); repeatable
    #[arg(long = "trusted-proxy", value_name = "ADDRESS")]
    pub(crate) trusted_proxies: Vec<IpAddr>,
    /// A model that the gateway serves, paid by the call: with the publisher's keys if they are here, else
    /// ASSET=LICENCE with a licence of the gateway's account; repeatable
    #[arg(long = "serve", value_name = "ASSET[=LICENCE]", value_parser = crate::commands::serving)]
    pub(crate) serve: Vec<Serving>,
    /// The gateway that gives key and content of what is served under a licence, as its publisher's
    /// [default: this data directory]
    #[arg(long, value_name = "URL", requires = "serve")]
    pub(crate) content_from: Option<String>,
    /// Take an http:// gateway that is not on this machine
    #[arg(long, requires = "content_from")]
    pub(crate) allow_http: bool,
    /// The URL that callers know the gateway by [default: what each caller calls it]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// How long payers of the channels that are asked for wait to take money back, in seconds: 900 to 2592000
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(900..=2_592_000))]
    pub(crate) withdraw_delay_s: u64,
    /// Your part of what the served models earn, in basis points, out of what their owners' shares keep; their controllers
    /// must grant it to the gateway's account (`residual operator grant`)
    #[arg(long, value_name = "BPS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=5_000))]
    pub(crate) operator_bps: u16,
    /// What a whole coin of the chain costs, in whole tokens: vouchers are claimed when they are worth 50 times their gas,
    /// and calls that cost less than the gas of a transfer are paid by channels alone [default: 0 on an embedded ledger]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) coin_price: Option<String>,
    /// The most that may be charged and not claimed on the ledger yet, over all channels, in whole tokens: what you can lose
    /// while it is out of reach; calls beyond it are refused until more is claimed
    #[arg(long, value_name = "TOKENS", default_value = "1000000")]
    pub(crate) unclaimed_cap: String,
    /// How often is looked which vouchers are due, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) settle_every_s: u64,
    /// Publish the examples, train the demo's models on them, and serve the better one; in development mode
    #[arg(long)]
    pub(crate) demo: bool,
    /// With --demo: where the examples lie
    #[arg(long, default_value = "examples", value_hint = ValueHint::DirPath, requires = "demo")]
    pub(crate) examples: PathBuf,
    /// If the data directory is new, make it in development mode
    #[arg(long)]
    pub(crate) development: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Use {
    /// The model
    pub(crate) asset: AssetId,
    /// Inputs, a call each: PNG, JPEG, npy or JSON; - for the standard input
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "refund")]
    pub(crate) inputs: Vec<PathBuf>,
    /// The gateway that serves it [default: that of this data directory, while it runs]
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<String>,
    /// Take an http:// gateway that is not on this machine
    #[arg(long, requires = "gateway")]
    pub(crate) allow_http: bool,
    /// The most that one call may cost, in whole tokens
    #[arg(long, value_name = "TOKENS", default_value = "0.1")]
    pub(crate) max_price: String,
    /// The most that the channels may ever hold or promise, in whole tokens
    #[arg(long, value_name = "TOKENS", default_value = "5")]
    pub(crate) budget: String,
    /// Sign once for so many calls, 1 to 1024, and pay each by a tick; a gateway that cheats could take that many
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) window: Option<u32>,
    /// Have back what is left in the channels instead
    #[arg(long, conflicts_with_all = ["inputs", "window"])]
    pub(crate) refund: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Usage {
    /// Each use of an asset in the published epochs that are here
    List {
        /// The asset
        asset: AssetId,
    },
    /// Prove one record: that it is what its gateway committed to on the ledger
    Verify {
        /// The gateway's account
        gateway: String,
        /// Its epoch
        epoch: u64,
        /// The record's place in the epoch
        #[arg(value_name = "RECORD")]
        index: u64,
    },
    /// Fetch what a gateway has published and is not here, as it committed to it
    Fetch {
        /// Where the gateway answers
        url: String,
        /// The gateway's account
        gateway: String,
        /// Take an http:// gateway that is not on this machine
        #[arg(long)]
        allow_http: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where the examples lie
    #[arg(long, default_value = "examples", value_hint = ValueHint::DirPath)]
    pub(crate) examples: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Lint {
    /// The dataset's folder, or one annotation file, of which then only the annotations are looked at
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// coco, labelme, createml, cvat, voc, dota, yolo or image-folder [default: told by the content]
    #[arg(long)]
    pub(crate) format: Option<Format>,
    /// The licence that the data stands under, as an SPDX id [default: what the folder says]
    #[arg(long, value_name = "SPDX")]
    pub(crate) data_licence: Option<String>,
    /// Write the report as a page too, with pictures of the worst findings
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// What is there: a file of COCO annotations, or a dataset's folder in any format
    #[arg(long, value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) gt: PathBuf,
    /// What was detected: a file of COCO results, or a folder in a format that has scores
    #[arg(long, value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) dt: PathBuf,
    /// What is compared
    #[arg(long, value_enum, default_value = "boxes")]
    pub(crate) kind: Compared,
    /// Which images count: all, or those with a detection, for results on a part of the dataset
    #[arg(long, value_enum, default_value = "all")]
    pub(crate) images: CountedImages,
    /// One split of the dataset [default: all, each split as a slice as well]
    #[arg(long)]
    pub(crate) split: Option<String>,
    /// How far off each keypoint may be, in parts of the object's size, with commas [default: those of COCO's 17]
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    pub(crate) sigmas: Option<Vec<f64>>,
    /// From which overlap on a detection is of an object, where classes are taken for each other
    #[arg(long, value_name = "IOU", default_value_t = 0.5)]
    pub(crate) confusion_overlap: f64,
    /// From which score on a detection counts, where classes are taken for each other
    #[arg(long, value_name = "SCORE", default_value_t = 0.25)]
    pub(crate) confusion_score: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Compared {
    Boxes,
    Masks,
    Keypoints,
    /// Oriented boxes
    Oriented,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CountedImages {
    All,
    Detected,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CutProfile {
    /// Chunks of one size: lengths stay private
    Fixed,
    /// Content-defined chunks: a new version stores only what changed
    Cdc,
}

/// What a publication says of the work.
#[derive(Debug, Args)]
pub(crate) struct Work {
    /// The folder or file to publish
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// Its public name
    #[arg(long)]
    pub(crate) name: String,
    /// Its public description
    #[arg(long, default_value = "")]
    pub(crate) description: String,
    /// dataset or model
    #[arg(long, default_value = "dataset")]
    pub(crate) kind: AssetKind,
    /// Who holds its shares, as ACCOUNT=UNITS; the units must sum to 1000000 [default: you, all of them]
    #[arg(long = "holder", value_name = "ACCOUNT=UNITS")]
    pub(crate) holders: Vec<String>,
    /// A TOML file of terms to offer at once; repeatable
    #[arg(long = "terms", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) terms: Vec<PathBuf>,
    /// Royalty on resales, in basis points
    #[arg(long, default_value_t = 0)]
    pub(crate) resale_bps: u16,
    /// How the content is cut
    #[arg(long, value_enum, default_value = "fixed")]
    pub(crate) profile: CutProfile,
    /// The licence that a dataset's data stands under, as an SPDX id; public [default: what the folder says]
    #[arg(long, value_name = "SPDX")]
    pub(crate) data_licence: Option<String>,
    /// The format that a dataset's annotations are checked in [default: told by the content; see `residual lint`]
    #[arg(long)]
    pub(crate) format: Option<Format>,
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    #[command(flatten)]
    pub(crate) work: Work,
    /// Publish as a new version of this asset instead; its holders, offers and kind stay as they are
    #[arg(long, value_name = "ASSET", conflicts_with_all = ["holders", "terms", "resale_bps", "kind"])]
    pub(crate) version_of: Option<AssetId>,
}

#[derive(Debug, Args)]
pub(crate) struct Derive {
    #[command(flatten)]
    pub(crate) work: Work,
    /// A licence with the right to derive, one or more for each parent; repeatable
    #[arg(long = "licence", required = true, value_name = "LICENCE")]
    pub(crate) licences: Vec<LicenceId>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Terms {
    /// Write terms down on the ledger
    Define {
        /// A TOML file of terms
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Offer terms on your asset
    Offer {
        /// The asset
        asset: AssetId,
        /// The terms
        terms: TermsId,
    },
    /// Take an offer back; licences sold under it stay
    Withdraw {
        /// The asset
        asset: AssetId,
        /// The terms
        terms: TermsId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// An asset (0x and 32 digits) or a licence (0x and 64 digits); terms with --terms
    #[arg(required_unless_present = "terms")]
    pub(crate) id: Option<String>,
    /// Show these terms
    #[arg(long, conflicts_with = "id")]
    pub(crate) terms: Option<TermsId>,
}

#[derive(Debug, Args)]
pub(crate) struct License {
    /// The asset
    #[arg(required_unless_present = "renew")]
    pub(crate) asset: Option<AssetId>,
    /// The terms
    #[arg(required_unless_present = "renew")]
    pub(crate) terms: Option<TermsId>,
    /// Who gets the licence [default: you]
    #[arg(long)]
    pub(crate) recipient: Option<String>,
    /// The most you agree to pay, in whole tokens [default: the price now]
    #[arg(long)]
    pub(crate) max_price: Option<String>,
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// Renew this licence by --periods instead
    #[arg(long, conflicts_with_all = ["asset", "terms", "recipient", "max_price", "sign"])]
    pub(crate) renew: Option<LicenceId>,
    /// How many periods to renew by
    #[arg(long, default_value_t = 1, requires = "renew")]
    pub(crate) periods: u32,
}

/// Signing instead of sending.
#[derive(Debug, Args)]
pub(crate) struct Signing {
    /// Only sign, without gas: print what `residual relay` carries to the ledger (EIP-3009)
    #[arg(long)]
    pub(crate) sign: bool,
    /// How long what was signed may be relayed, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, requires = "sign")]
    pub(crate) valid_for: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Your licence
    pub(crate) licence: LicenceId,
    /// Where the files go
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) target: PathBuf,
    /// Which version [default: the newest that the licence opens]
    #[arg(long)]
    pub(crate) version: Option<u16>,
    /// Put the version's files in the place of others that are in the way
    #[arg(long)]
    pub(crate) replace: bool,
    /// The gateway that has blocks and keys [default: those of this data directory]
    #[arg(long, value_name = "URL")]
    pub(crate) gateway: Option<String>,
    /// Take an http:// gateway that is not on this machine, though anybody on the way sees what is asked of it
    #[arg(long, requires = "gateway")]
    pub(crate) allow_http: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pay {
    /// The asset
    pub(crate) asset: AssetId,
    /// How much, in whole tokens
    pub(crate) amount: String,
    /// What for: licence, training, inference or resale
    #[arg(long, default_value = "inference")]
    pub(crate) kind: RevenueKind,
    /// Pay into the asset's till of that kind, to be swept later
    #[arg(long)]
    pub(crate) till: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    /// Open a channel and prepay it
    Open {
        /// The asset
        asset: AssetId,
        /// How much, in whole tokens
        amount: String,
        /// Who may redeem your vouchers: the gateway that serves the asset
        #[arg(long)]
        gateway: String,
        /// Pay into this operator's till of the asset instead of the asset's own: an account's name or address
        #[arg(long, value_name = "ACCOUNT", requires = "operator_bps")]
        operator: Option<String>,
        /// The operator's part of what comes through its till, in basis points, 1 to 5000
        #[arg(long, value_name = "BPS", value_parser = clap::value_parser!(u16).range(1..=5_000), requires = "operator")]
        operator_bps: Option<u16>,
        /// How long you wait to take money back, in seconds: 900 to 2592000
        #[arg(long, default_value_t = 86_400)]
        withdraw_delay_s: u64,
        #[command(flatten)]
        signing: Signing,
    },
    /// Prepay more
    TopUp {
        /// The channel
        channel: B256,
        /// How much, in whole tokens
        amount: String,
        #[command(flatten)]
        signing: Signing,
    },
    /// Take back what was never promised: first asks, then, after the delay, repeat it to receive
    Close {
        /// The channel
        channel: B256,
        /// Ask for what was promised and not claimed as well; the gateway may claim it first
        #[arg(long)]
        unclaimed: bool,
    },
    /// Your channels and what is left in them
    List,
}

#[derive(Debug, Args)]
pub(crate) struct Revenue {
    /// The asset
    pub(crate) asset: AssetId,
}

#[derive(Debug, Args)]
pub(crate) struct Collect {
    /// One asset and its lineage [default: every asset in which you hold shares]
    pub(crate) asset: Option<AssetId>,
}

/// An operator's part of an asset's revenue of one kind.
#[derive(Debug, Args)]
pub(crate) struct OperatorsPart {
    /// The asset
    pub(crate) asset: AssetId,
    /// Who serves it: an account's name or address; a gateway's is in its `/v1/gateway`
    pub(crate) operator: String,
    /// The part, in basis points, 1 to 5000 and at most what the shares keep
    #[arg(long, value_name = "BPS", value_parser = clap::value_parser!(u16).range(1..=5_000))]
    pub(crate) bps: u16,
    /// Of which revenue: licence, training, inference or resale
    #[arg(long, default_value = "inference")]
    pub(crate) kind: RevenueKind,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    /// Grant an operator a part of what is paid through its own till of your asset; parents are owed the same as without
    Grant(OperatorsPart),
    /// Take a grant back; what was swept until then stays the operator's
    Revoke(OperatorsPart),
    /// What an operator has been granted, and what that brought
    Show {
        /// An account's name or address
        operator: String,
        /// One asset [default: all of them]
        #[arg(long)]
        asset: Option<AssetId>,
    },
    /// Take what your tills brought you as an operator
    Claim {
        /// One asset [default: all of them]
        asset: Option<AssetId>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Shares {
    /// Who holds an asset
    Show {
        /// The asset
        asset: AssetId,
    },
    /// Give units to another; what they earned so far stays yours
    Transfer {
        /// The asset
        asset: AssetId,
        /// Who gets them
        to: String,
        /// How many of the 1000000 units
        units: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Make an account and keep its key encrypted in the data directory
    New {
        /// Its name: 1 to 64 of a-z, 0-9, - and _
        name: String,
    },
    /// Take in a private key from the standard input, 0x and 64 digits
    Import {
        /// Its name: 1 to 64 of a-z, 0-9, - and _
        name: String,
    },
    /// The accounts, and what they hold
    List,
    /// On an embedded ledger: give an account gas and test dollars
    Fund {
        /// An account's name or address
        to: String,
        /// Test dollars
        #[arg(default_value = "1000")]
        amount: String,
    },
}
