//! Random histories: what people may try, in the abstract.
//!
//! A step names assets, licences and accounts by a number that is taken modulo what there is when the step is carried
//! out, so that a history from which steps were removed is still a history. Most steps are meant to succeed; some are
//! not, since a refusal must be the same on both sides too.

use proptest::prelude::*;
use residual_royalty::MAX_REVENUE;

/// How many accounts act; the arbiter and the treasury come on top.
pub(crate) const ACTORS: u8 = 6;

/// One of what there is, modulo its number.
pub(crate) type Pick = u8;

/// Who takes a step that only one account may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    /// The one who may.
    Entitled,
    /// Anybody.
    Anybody(Pick),
}

/// How the shares of a new asset are split.
#[derive(Debug, Clone)]
pub(crate) enum Split {
    /// By weights; an account may stand there twice.
    Weights(Vec<(Pick, u16)>),
    /// Nobody gets anything.
    Nobody,
    /// The units sum to one less than they must.
    OneShort(Pick),
    /// The second holder gets no units.
    NothingFor(Pick),
    /// The holder is the zero address.
    Zero,
}

/// How long a licence lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Period {
    /// For ever.
    Perpetual,
    /// So many hours.
    Hours(u16),
    /// The longest that terms can say, which no clock can add to the present.
    Longest,
}

/// Who may hold a licence.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hook {
    None,
    Everybody,
    Nobody,
}

/// Terms in the abstract.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) derive: bool,
    pub(crate) child: bool,
    pub(crate) rates: [u16; 4],
    pub(crate) token: Pick,
    pub(crate) price: u128,
    pub(crate) period: Period,
    pub(crate) renewable: bool,
    pub(crate) transferable: bool,
    pub(crate) derivations: u8,
    pub(crate) cap: u8,
    pub(crate) hook: Hook,
}

/// Which till of an asset.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door {
    /// The one without an operator.
    Own,
    /// One that was granted before, if there is one.
    Granted(Pick),
    /// Any operator's.
    Any(Pick, u16),
}

/// A moment to which the clock is put forward.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// So many seconds from now.
    Later(u32),
    /// The expiry of a licence, and so many seconds after it.
    Expiry(Pick, i8),
    /// The end of a freeze, and so many seconds after it.
    FreezeEnd(Pick, i8),
}

/// How a licence is paid for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    /// By approval, the buyer agreeing to just the price.
    Exactly,
    /// By approval, the buyer agreeing to one unit less.
    OneLess,
    /// By a signature that somebody else brings.
    Signed,
}

/// Where money goes that is claimed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Where {
    Home,
    Account(Pick),
    Zero,
    /// Back into `Royalties`, as a gift to nobody.
    Royalties,
}

/// How many units of shares move.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Units {
    /// This part of what is held, in 255ths.
    Part(u8),
    /// One more than is held.
    TooMany,
}

/// Something that somebody tries.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Publish {
        by: Pick,
        split: Split,
        resale_bps: u16,
        offers: Vec<Shape>,
    },
    /// Buys what is missing, and registers under it. Parents may repeat, under different terms.
    Derive {
        by: Pick,
        parents: Vec<(Pick, Shape)>,
        split: Split,
        resale_bps: u16,
    },
    /// Registers under licences that were sold before, whoever holds them.
    Reuse {
        by: Who,
        licences: Vec<Pick>,
        in_order: bool,
        split: Split,
    },
    /// Registers what the account registered before.
    Again {
        asset: Pick,
    },
    Offer {
        asset: Pick,
        shape: Shape,
        by: Who,
    },
    /// Offers terms that were defined before, on whatever asset.
    OfferAgain {
        asset: Pick,
        terms: Pick,
        by: Who,
    },
    Withdraw {
        asset: Pick,
        offer: Pick,
        by: Who,
    },
    Buy {
        asset: Pick,
        offer: Pick,
        by: Pick,
        recipient: Pick,
        how: How,
    },
    BuyUnoffered {
        asset: Pick,
        terms: Pick,
        by: Pick,
    },
    Renew {
        licence: Pick,
        periods: u8,
        seconds: u8,
        by: Who,
    },
    Cancel {
        licence: Pick,
        by: Who,
    },
    PassLicence {
        licence: Pick,
        to: Where,
        by: Who,
    },
    PassControl {
        asset: Pick,
        to: Where,
        by: Who,
    },
    MoveShares {
        from: Pick,
        to: Where,
        batch: Vec<(Pick, Units)>,
    },
    MoveNothingOfNothing {
        from: Pick,
        to: Pick,
    },
    Pay {
        asset: Pick,
        kind: Pick,
        token: Pick,
        amount: u128,
        by: Pick,
    },
    PayUnregistered {
        token: Pick,
        amount: u128,
        by: Pick,
    },
    FillTill {
        asset: Pick,
        kind: Pick,
        door: Door,
        token: Pick,
        amount: u128,
        by: Pick,
    },
    Sweep {
        asset: Pick,
        kind: Pick,
        door: Door,
        token: Pick,
    },
    /// A marketplace pays the royalty that ERC-2981 names into the till that it names.
    Resell {
        asset: Pick,
        token: Pick,
        price: u128,
        by: Pick,
    },
    Flow {
        asset: Pick,
        token: Pick,
        kinds: u8,
    },
    /// All kinds of all assets in all tokens, children first or parents first.
    FlowAll {
        children_first: bool,
    },
    Claim {
        asset: Pick,
        token: Pick,
        by: Pick,
        to: Where,
    },
    ClaimAll,
    ClaimOperator {
        door: Pick,
        token: Pick,
        by: Who,
        to: Where,
    },
    ClaimAward {
        token: Pick,
        by: Pick,
        to: Where,
    },
    CollectFees {
        token: Pick,
    },
    Grant {
        asset: Pick,
        kind: Pick,
        operator: Pick,
        bps: u16,
        by: Who,
    },
    Revoke {
        door: Pick,
        by: Who,
    },
    Freeze {
        asset: Pick,
        by: Who,
    },
    Rule {
        asset: Pick,
        claimant: Option<Pick>,
        by: Who,
    },
    ReleaseDiverted {
        asset: Pick,
        token: Pick,
        to: Where,
        by: Who,
    },
    SetFee {
        bps: u16,
        by: Who,
    },
    List {
        token: Pick,
        listed: bool,
        by: Who,
    },
    SetTreasury {
        to: Where,
        by: Who,
    },
    SetArbiter {
        to: Where,
        by: Who,
    },
    Gift {
        token: Pick,
        amount: u128,
        by: Pick,
    },
    Wait(Moment),
}

/// A whole history.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// How many tokens are in use, 2 to 4; with all of them no other can be listed.
    pub(crate) tokens: u8,
    pub(crate) fee_bps: u16,
    pub(crate) steps: Vec<Step>,
    /// Which event of the finished history is tampered with.
    pub(crate) tampered: prop::sample::Index,
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![12 => Just(Who::Entitled), 1 => any::<Pick>().prop_map(Who::Anybody)]
}

fn destination() -> impl Strategy<Value = Where> {
    prop_oneof![
        10 => Just(Where::Home),
        4 => any::<Pick>().prop_map(Where::Account),
        1 => Just(Where::Zero),
        1 => Just(Where::Royalties),
    ]
}

/// For what cannot go to `Royalties`: it takes no ERC-1155 token.
fn account() -> impl Strategy<Value = Where> {
    prop_oneof![15 => any::<Pick>().prop_map(Where::Account), 1 => Just(Where::Zero)]
}

/// From nothing over one unit to more than an asset can earn.
fn money() -> impl Strategy<Value = u128> {
    prop_oneof![
        1 => Just(0u128),
        3 => Just(1),
        5 => 1u128..=30_000,
        5 => 1_000u128..=1_000_000_000_000,
        1 => MAX_REVENUE / 8..=MAX_REVENUE,
        1 => MAX_REVENUE - 2..=MAX_REVENUE / 20 * 21,
    ]
}

fn price() -> impl Strategy<Value = u128> {
    prop_oneof![2 => Just(0u128), 2 => Just(1), 4 => 1u128..=100_000, 4 => 1u128..=1_000_000_000, 1 => Just((1 << 88) - 1)]
}

fn rates() -> impl Strategy<Value = [u16; 4]> {
    prop_oneof![
        6 => prop_oneof![1u16..=40, 100u16..=1_500].prop_map(|rate| [rate; 4]),
        3 => prop::array::uniform4(prop_oneof![Just(0u16), 1u16..=1_500]),
        1 => prop_oneof![Just(0u16), Just(4_500), Just(9_000)].prop_map(|rate| [rate; 4]),
    ]
}

fn shape(derive: bool) -> impl Strategy<Value = Shape> {
    let period = prop_oneof![
        20 => Just(Period::Perpetual),
        12 => (1u16..=2_000).prop_map(Period::Hours),
        1 => Just(Period::Longest),
    ];
    let hook = prop_oneof![30 => Just(Hook::None), 2 => Just(Hook::Everybody), 1 => Just(Hook::Nobody)];
    let mostly = |number: std::ops::RangeInclusive<u8>| prop_oneof![3 => Just(0u8), 1 => number];
    (
        (rates(), any::<bool>(), any::<Pick>(), price(), period),
        (any::<bool>(), any::<bool>(), mostly(1..=2), mostly(1..=3), hook),
    )
        .prop_map(
            move |(
                (rates, child, token, price, period),
                (renewable, transferable, derivations, cap, hook),
            )| {
                let rates = if derive { rates } else { [0; 4] };
                Shape {
                    derive,
                    child,
                    rates,
                    token,
                    price,
                    period,
                    renewable,
                    transferable,
                    derivations,
                    cap,
                    hook,
                }
            },
        )
}

fn any_shape() -> impl Strategy<Value = Shape> {
    prop_oneof![2 => shape(true), 1 => shape(false)]
}

fn split() -> impl Strategy<Value = Split> {
    prop_oneof![
        24 => prop::collection::vec((any::<Pick>(), 1u16..=999), 1..=4).prop_map(Split::Weights),
        1 => Just(Split::Nobody),
        1 => any::<Pick>().prop_map(Split::OneShort),
        1 => any::<Pick>().prop_map(Split::NothingFor),
        1 => Just(Split::Zero),
    ]
}

fn door() -> impl Strategy<Value = Door> {
    prop_oneof![
        2 => Just(Door::Own),
        3 => any::<Pick>().prop_map(Door::Granted),
        1 => (any::<Pick>(), 1u16..=6_000).prop_map(|(operator, bps)| Door::Any(operator, bps)),
    ]
}

fn moment() -> impl Strategy<Value = Moment> {
    prop_oneof![
        3 => (1u32..=400_000).prop_map(Moment::Later),
        1 => (89 * 86_400u32..=91 * 86_400).prop_map(Moment::Later),
        2 => (any::<Pick>(), -1i8..=1).prop_map(|(licence, after)| Moment::Expiry(licence, after)),
        3 => (any::<Pick>(), -1i8..=1).prop_map(|(freeze, after)| Moment::FreezeEnd(freeze, after)),
    ]
}

fn resale() -> impl Strategy<Value = u16> {
    prop_oneof![20 => 0u16..=10_000, 1 => Just(10_001u16)]
}

/// What brings assets, licences and lineage about.
fn making() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<Pick>(), split(), resale(), prop::collection::vec(any_shape(), 0..=2))
            .prop_map(|(by, split, resale_bps, offers)| Step::Publish { by, split, resale_bps, offers }),
        10 => (any::<Pick>(), prop::collection::vec((any::<Pick>(), shape(true)), 1..=3), split(), resale())
            .prop_map(|(by, parents, split, resale_bps)| Step::Derive { by, parents, split, resale_bps }),
        3 => (who(), prop::collection::vec(any::<Pick>(), 1..=3), prop::bool::weighted(0.9), split())
            .prop_map(|(by, licences, in_order, split)| Step::Reuse { by, licences, in_order, split }),
        1 => any::<Pick>().prop_map(|asset| Step::Again { asset }),
        4 => (any::<Pick>(), any_shape(), who()).prop_map(|(asset, shape, by)| Step::Offer { asset, shape, by }),
        2 => (any::<Pick>(), any::<Pick>(), who()).prop_map(|(asset, terms, by)| Step::OfferAgain { asset, terms, by }),
        2 => (any::<Pick>(), any::<Pick>(), who()).prop_map(|(asset, offer, by)| Step::Withdraw { asset, offer, by }),
        8 => (any::<Pick>(), any::<Pick>(), any::<Pick>(), any::<Pick>(), prop_oneof![
                4 => Just(How::Exactly), 1 => Just(How::OneLess), 2 => Just(How::Signed),
            ]).prop_map(|(asset, offer, by, recipient, how)| Step::Buy { asset, offer, by, recipient, how }),
        1 => (any::<Pick>(), any::<Pick>(), any::<Pick>())
            .prop_map(|(asset, terms, by)| Step::BuyUnoffered { asset, terms, by }),
        4 => (any::<Pick>(), 0u8..=3, prop_oneof![9 => Just(0u8), 1 => Just(1)], who())
            .prop_map(|(licence, periods, seconds, by)| Step::Renew { licence, periods, seconds, by }),
        1 => (any::<Pick>(), who()).prop_map(|(licence, by)| Step::Cancel { licence, by }),
        1 => (any::<Pick>(), account(), who()).prop_map(|(licence, to, by)| Step::PassLicence { licence, to, by }),
        1 => (any::<Pick>(), account(), who()).prop_map(|(asset, to, by)| Step::PassControl { asset, to, by }),
    ]
}

/// What brings money in, up and out.
fn moving() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (any::<Pick>(), any::<Pick>(), any::<Pick>(), money(), any::<Pick>())
            .prop_map(|(asset, kind, token, amount, by)| Step::Pay { asset, kind, token, amount, by }),
        1 => (any::<Pick>(), money(), any::<Pick>())
            .prop_map(|(token, amount, by)| Step::PayUnregistered { token, amount, by }),
        10 => (any::<Pick>(), any::<Pick>(), door(), any::<Pick>(), money(), any::<Pick>())
            .prop_map(|(asset, kind, door, token, amount, by)| Step::FillTill { asset, kind, door, token, amount, by }),
        8 => (any::<Pick>(), any::<Pick>(), door(), any::<Pick>())
            .prop_map(|(asset, kind, door, token)| Step::Sweep { asset, kind, door, token }),
        3 => (any::<Pick>(), any::<Pick>(), 1u128..=10_000_000_000, any::<Pick>())
            .prop_map(|(asset, token, price, by)| Step::Resell { asset, token, price, by }),
        12 => (any::<Pick>(), any::<Pick>(), prop_oneof![9 => 1u8..=15, 1 => prop_oneof![Just(0u8), Just(16)]])
            .prop_map(|(asset, token, kinds)| Step::Flow { asset, token, kinds }),
        2 => any::<bool>().prop_map(|children_first| Step::FlowAll { children_first }),
        8 => (any::<Pick>(), any::<Pick>(), any::<Pick>(), destination())
            .prop_map(|(asset, token, by, to)| Step::Claim { asset, token, by, to }),
        1 => Just(Step::ClaimAll),
        4 => (any::<Pick>(), any::<Pick>(), who(), destination())
            .prop_map(|(door, token, by, to)| Step::ClaimOperator { door, token, by, to }),
        2 => (any::<Pick>(), any::<Pick>(), destination())
            .prop_map(|(token, by, to)| Step::ClaimAward { token, by, to }),
        2 => any::<Pick>().prop_map(|token| Step::CollectFees { token }),
        1 => (any::<Pick>(), money(), any::<Pick>()).prop_map(|(token, amount, by)| Step::Gift { token, amount, by }),
        8 => (any::<Pick>(), account(), prop::collection::vec(
                (any::<Pick>(), prop_oneof![8 => any::<u8>().prop_map(Units::Part), 1 => Just(Units::TooMany)]), 1..=3,
            )).prop_map(|(from, to, batch)| Step::MoveShares { from, to, batch }),
        1 => (any::<Pick>(), any::<Pick>()).prop_map(|(from, to)| Step::MoveNothingOfNothing { from, to }),
    ]
}

/// What changes whose money it is, what it costs, and what time it is.
fn governing() -> impl Strategy<Value = Step> {
    let bps = || prop_oneof![6 => 1u16..=5_000, 1 => Just(0u16), 1 => 5_001u16..=9_999];
    prop_oneof![
        8 => (any::<Pick>(), any::<Pick>(), any::<Pick>(), bps(), who())
            .prop_map(|(asset, kind, operator, bps, by)| Step::Grant { asset, kind, operator, bps, by }),
        2 => (any::<Pick>(), who()).prop_map(|(door, by)| Step::Revoke { door, by }),
        2 => (any::<Pick>(), who()).prop_map(|(asset, by)| Step::Freeze { asset, by }),
        3 => (any::<Pick>(), any::<Option<Pick>>(), who())
            .prop_map(|(asset, claimant, by)| Step::Rule { asset, claimant, by }),
        1 => (any::<Pick>(), any::<Pick>(), destination(), who())
            .prop_map(|(asset, token, to, by)| Step::ReleaseDiverted { asset, token, to, by }),
        2 => (prop_oneof![8 => 0u16..=500, 1 => Just(501u16)], who()).prop_map(|(bps, by)| Step::SetFee { bps, by }),
        2 => (any::<Pick>(), prop::bool::weighted(0.6), who())
            .prop_map(|(token, listed, by)| Step::List { token, listed, by }),
        1 => (account(), who()).prop_map(|(to, by)| Step::SetTreasury { to, by }),
        1 => (account(), who()).prop_map(|(to, by)| Step::SetArbiter { to, by }),
        6 => moment().prop_map(Step::Wait),
    ]
}

/// Histories of that many steps after the first asset.
pub(crate) fn histories(steps: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = History> {
    let step = prop_oneof![5 => making(), 12 => moving(), 5 => governing()];
    let tokens = prop_oneof![1 => 2u8..=4, 1 => Just(4u8)];
    (
        tokens,
        prop_oneof![1 => Just(0u16), 3 => 1u16..=500],
        prop::collection::vec(step, steps),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(tokens, fee_bps, steps, tampered)| History { tokens, fee_bps, steps, tampered })
}
