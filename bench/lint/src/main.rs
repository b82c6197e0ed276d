//! Measures the look at images, and the search among their hashes: `make FOLDER COUNT`, then `measure FOLDER`.

use std::{
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use image::{DynamicImage, codecs::jpeg::JpegEncoder, imageops::FilterType};
use rayon::prelude::*;
use residual_vision::{
    Dataset, Findings, Folder, Image, Limits,
    images::{HashIndex, PerceptualHash},
    lint::images::check,
};
use serde_json::json;

const ROUNDS: usize = 3;
/// Hashes that are searched, and images whose eight variants are searched for.
const HASHES: u64 = 1_000_000;
const QUERIES: u64 = 1_000;
/// In how many bits images that look alike differ, as the linter has it.
const RADIUS: u32 = 10;

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", folder, count] => make(Path::new(folder), count.parse().expect("COUNT is a number")),
        ["measure", folder] => measure(Path::new(folder)),
        _ => panic!("expected `make FOLDER COUNT` or `measure FOLDER`"),
    }
}

/// Parts of the photographs, 640x480, as JPEG of quality 90: no two the same.
fn make(folder: &Path, count: usize) {
    let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/photos/images");
    let mut photos: Vec<PathBuf> =
        fs::read_dir(photos).expect("photographs").map(|one| one.unwrap().path()).collect();
    photos.sort();
    let photos: Vec<DynamicImage> =
        photos.iter().map(|path| image::open(path).expect("a photograph")).collect();
    fs::create_dir_all(folder).expect("a folder");
    (0..count).into_par_iter().for_each(|number| {
        let photo = &photos[number % photos.len()];
        let spread =
            |salt: u64, below: u32| (mixed(number as u64 * 8 + salt) % u64::from(below.max(1))) as u32;
        let percent = 60 + spread(0, 40);
        let (width, height) = (photo.width() * percent / 100, photo.height() * percent / 100);
        let (x, y) = (spread(1, photo.width() - width), spread(2, photo.height() - height));
        let part =
            photo.crop_imm(x, y, width, height).resize_exact(640, 480, FilterType::CatmullRom).to_rgb8();
        let mut bytes = Vec::new();
        part.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 90)).expect("a JPEG");
        fs::write(folder.join(format!("{number:05}.jpg")), bytes).expect("room");
    });
}

fn measure(path: &Path) {
    let limits = Limits::default();
    let mut findings = Findings::new(limits.findings_per_rule);
    let folder = Folder::list(path, &limits, &mut findings).expect("the folder that was made");
    let files: Vec<String> = folder.files().map(|(file, _)| file.to_owned()).collect();
    let images = files.iter().map(|file| Image { file: file.clone(), ..Image::default() });
    let dataset = Dataset { images: images.collect(), ..Dataset::default() };

    let decode = || {
        files.par_iter().for_each(|file| {
            let bytes = fs::read(path.join(file)).expect("a file that was made");
            black_box(image::load_from_memory(&bytes).expect("a JPEG"));
        });
    };
    let lint = || {
        let mut findings = Findings::new(limits.findings_per_rule);
        let facts = check(&folder, &dataset, &limits, &|_, _| {}, &mut findings);
        assert_eq!(facts.iter().count(), files.len());
    };
    // In turns, so that what else the machine does falls on both; the best of each.
    let (mut decoding, mut linting) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        decoding = decoding.min(timed(decode));
        linting = linting.min(timed(lint));
    }
    let rate = |time: Duration| files.len() as f64 / time.as_secs_f64();

    let index = HashIndex::new((0..HASHES).map(mixed).collect());
    let queries: Vec<u64> = (0..QUERIES)
        .flat_map(|query| {
            PerceptualHash { coarse: mixed(query * 977) ^ 0x1010_0000_0001, fine: [0; 4] }.variants()
        })
        .map(|variant| variant.coarse)
        .collect();
    let search = || {
        let found = index.search(&queries, RADIUS, 64, |_, _| true);
        assert!(found.chunks(8).all(|variants| variants.iter().any(|hits| !hits.is_empty())));
    };
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let (mut on_one, mut on_all) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        on_one = on_one.min(timed(|| alone.install(search)));
        on_all = on_all.min(timed(search));
    }
    let figures = json!({
        "images": files.len(), "threads": rayon::current_num_threads(),
        "decode_per_s": rate(decoding), "lint_per_s": rate(linting),
        "search_1_thread_ms": on_one.as_secs_f64() * 1e3, "search_ms": on_all.as_secs_f64() * 1e3,
    });
    println!("{figures}");
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The finaliser of SplitMix64.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
