//! The seeds: what honest programs write, committed so that libFuzzer begins with it, and what was found since. Each is
//! shown to its target, and each target takes at least one; so none is left that its format has outrun.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod honest;
mod vision;

use std::{collections::BTreeSet, fs, path::PathBuf};

use residual_fuzz::TARGETS;

fn seeds() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/seeds"))
}

fn names_in(path: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path))
        .expect("the directory is committed");
    entries
        .map(|entry| entry.expect("it is listed").file_name().into_string().expect("it is ASCII"))
        .collect()
}

#[test]
fn what_honest_programs_write_is_what_is_committed() {
    let write = std::env::var_os("RESIDUAL_WRITE_SEEDS").is_some();
    for (target, name, bytes) in honest::all() {
        let path = seeds().join(target).join(name);
        if write {
            fs::create_dir_all(seeds().join(target)).expect("the tree can be written");
            fs::write(&path, &bytes).expect("the tree can be written");
        }
        let committed = fs::read(&path).unwrap_or_default();
        assert!(
            committed == bytes,
            "{} is not what is written today: after a change of the format, run RESIDUAL_WRITE_SEEDS=1 fuzz/run --replay",
            path.display()
        );
    }
}

#[test]
fn every_seed_is_shown_to_its_target_and_every_target_takes_one() {
    for (name, target) in TARGETS {
        let mut taken = 0;
        for entry in fs::read_dir(seeds().join(name)).expect("every target has seeds") {
            let path = entry.expect("it is listed").path();
            println!("{}", path.display());
            taken += usize::from(target(&fs::read(path).expect("it is read")));
        }
        assert!(taken > 0, "{name} takes none of its seeds");
    }
}

#[test]
fn every_target_has_a_program_and_seeds_and_there_are_no_others() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in("seeds"), targets);
    let programs = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names_in("targets"), programs);
}
