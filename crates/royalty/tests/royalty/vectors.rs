//! The golden vectors of the formula sheet, shared with the contracts.

use residual_primitives::{Amount, Bps};
use residual_royalty::{EdgeRates, Revenue, formula};
use serde_json::Value;

fn amount(value: &Value) -> Amount {
    value.as_str().unwrap().parse().unwrap()
}

fn bps(value: &Value) -> Bps {
    Bps::try_from(value.as_u64().unwrap()).unwrap()
}

fn rows<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    let rows = value[name].as_array().unwrap();
    assert!(!rows.is_empty(), "no vectors for {name}");
    rows
}

fn revenue(row: &Value) -> Revenue {
    Revenue::new(amount(&row["own"]), amount(&row["inherited"])).unwrap()
}

/// PAY-1, PAY-2: Rust computes the shared vectors to the unit.
#[test]
fn the_formula_sheet_meets_the_shared_vectors() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts/test/vectors/formula.json");
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for row in rows(&vectors, "fee") {
        assert_eq!(
            formula::protocol_fee(amount(&row["gross"]), bps(&row["feeBps"])),
            amount(&row["fee"]),
            "{row}"
        );
    }
    for row in rows(&vectors, "edge") {
        let rates = EdgeRates { all: bps(&row["allBps"]), child: bps(&row["childBps"]) };
        assert_eq!(formula::edge_owed(revenue(row), rates), amount(&row["owed"]), "{row}");
    }
    for row in rows(&vectors, "operator") {
        let owed = formula::operator_owed(amount(&row["net"]), bps(&row["operatorBps"]));
        assert_eq!(owed, amount(&row["owed"]), "{row}");
    }
    for row in rows(&vectors, "assets") {
        asset(row);
    }
}

fn asset(row: &Value) {
    let revenue = revenue(row);
    let list = |name: &str| row[name].as_array().unwrap().clone();
    let edges: Vec<_> = (list("edgesAllBps").iter().zip(&list("edgesChildBps")))
        .map(|(all, child)| EdgeRates { all: bps(all), child: bps(child) })
        .collect();
    let owed: Vec<_> = edges.iter().map(|edge| formula::edge_owed(revenue, *edge)).collect();
    assert_eq!(owed, list("edgesOwed").iter().map(amount).collect::<Vec<_>>(), "{row}");

    let tills: Vec<_> = (list("tillsNet").iter().zip(&list("tillsOperatorBps")))
        .map(|(net, rate)| (amount(net), bps(rate)))
        .collect();
    let operators: Vec<_> = tills.iter().map(|(net, rate)| formula::operator_owed(*net, *rate)).collect();
    assert_eq!(operators, list("operatorsOwed").iter().map(amount).collect::<Vec<_>>(), "{row}");

    let child: u16 = edges.iter().map(|edge| edge.child.get()).sum();
    let all: u16 = edges.iter().map(|edge| edge.all.get()).sum();
    assert_eq!(
        (u64::from(all + child), u64::from(child)),
        (row["ownRatesBps"].as_u64().unwrap(), row["inheritedRatesBps"].as_u64().unwrap(),)
    );
    let sums = EdgeRates { all: Bps::new(all).unwrap(), child: Bps::new(child).unwrap() };
    let to_operators = tills.iter().map(|(net, rate)| net.0 * u128::from(rate.get())).sum();
    assert_eq!(Amount(to_operators), amount(&row["toOperators"]));
    let shares =
        [formula::shares_of_own(revenue, sums, to_operators), formula::shares_of_inherited(revenue, sums)];
    let shares: Amount = shares.into_iter().sum();
    assert_eq!(shares, amount(&row["sharesOwed"]), "{row}");

    let parts: Amount = owed.into_iter().chain(operators).chain([shares, amount(&row["remainder"])]).sum();
    assert_eq!(parts, [revenue.own(), revenue.inherited()].into_iter().sum(), "{row}");
}
