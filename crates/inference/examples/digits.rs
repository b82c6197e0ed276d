//! Prints how long the digits model takes to load, and how many images and rows it answers in a second on one thread, so
//! that a gateway's latency can be put beside it.
//!
//! Usage: `cargo run --release -p residual-inference --example digits`

use std::error::Error;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use image::{GrayImage, ImageFormat, Luma};
use residual_classifier::{TrainConfig, onnx, parse_csv, train};
use residual_inference::{Limits, MediaType, ModelCard, Served};

const FOR: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let samples = parse_csv(&fs::read(examples.join("digits-a/digits.csv"))?)?;
    let onnx = onnx::export(&train(&samples, &TrainConfig::default())?);
    let card = ModelCard::from_toml(&fs::read_to_string(examples.join("digits-model.toml"))?)?;

    let start = Instant::now();
    let served = Served::load(&onnx, Some(&card), &Limits::default())?;
    println!("load: {:.2} ms for {} bytes", start.elapsed().as_secs_f64() * 1e3, onnx.len());

    let pixels = samples[0].pixels();
    let picture = GrayImage::from_fn(8, 8, |x, y| Luma([pixels[(8 * y + x) as usize].saturating_mul(15)]));
    let mut png = Vec::new();
    picture.write_to(&mut Cursor::new(&mut png), ImageFormat::Png)?;
    let row = serde_json::to_vec(pixels.as_slice())?;
    let rows = serde_json::to_vec(&vec![pixels.as_slice(); 64])?;
    for (name, body, media) in [
        ("one PNG", &png, MediaType::Png),
        ("one row of JSON", &row, MediaType::Json),
        ("64 rows of JSON", &rows, MediaType::Json),
    ] {
        let input = served.read(body, media)?;
        let (runs, taken) = repeat(|| served.answer(&input).map(drop))?;
        let each = taken.as_secs_f64() / f64::from(runs);
        let (whole, taken) = repeat(|| -> Result<(), Box<dyn Error>> {
            let answers = served.answer(&served.read(body, media)?)?;
            serde_json::to_vec(&answers)?;
            Ok(())
        })?;
        let all = taken.as_secs_f64() / f64::from(whole);
        let units = served.units(&input) as f64;
        println!(
            "{name}: the model {:.1} us ({:.0} inferences/s), with reading and JSON {:.1} us ({:.0}/s)",
            each * 1e6,
            units / each,
            all * 1e6,
            units / all
        );
    }
    Ok(())
}

/// How often something was done in [`FOR`], and how long that took.
fn repeat<E>(mut once: impl FnMut() -> Result<(), E>) -> Result<(u32, Duration), E> {
    let start = Instant::now();
    let mut times = 0;
    while start.elapsed() < FOR {
        once()?;
        times += 1;
    }
    Ok((times, start.elapsed()))
}
