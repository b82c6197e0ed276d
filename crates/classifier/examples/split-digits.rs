//! Deals the UCI digits into three equal, stratified thirds: digits-a, digits-b and digits-held-out.
//!
//! `zcat digits.csv.gz | cargo run --release -p residual-classifier --example split-digits -- examples`
//! writes `examples/<third>/digits.csv`. `examples/README.md` says where the file comes from.

use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::{env, fs, io};

use residual_classifier::{MAX_CSV_BYTES, parse_csv};

const THIRDS: [&str; 3] = ["digits-a", "digits-b", "digits-held-out"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os().nth(1).ok_or("usage: split-digits <folder> < digits.csv")?;
    let mut csv = String::new();
    io::stdin().take(MAX_CSV_BYTES as u64 + 1).read_to_string(&mut csv)?;

    // Sorted by digit (rows of one digit stay in order) and then dealt in turn, every third gets the same number of
    // rows, and of each digit the same number but for one.
    let mut rows: Vec<(usize, u8)> =
        parse_csv(csv.as_bytes())?.iter().map(|sample| sample.label()).enumerate().collect();
    rows.sort_by_key(|&(_, label)| label);
    let mut third_of = vec![0; rows.len()];
    for (turn, (row, _)) in rows.into_iter().enumerate() {
        third_of[row] = turn % THIRDS.len();
    }

    for (third, name) in THIRDS.iter().enumerate() {
        let lines = csv.lines().zip(&third_of).filter(|&(_, &of)| of == third);
        let text: String = lines.flat_map(|(line, _)| [line, "\n"]).collect();
        let folder = Path::new(&folder).join(name);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("digits.csv"), text)?;
    }
    Ok(())
}
