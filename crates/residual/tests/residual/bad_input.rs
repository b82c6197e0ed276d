//! Bad input gets a clear error with what to do, and changes nothing.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use residual_client::{ANY_PORT, Client, Place};
use serde_json::Value;

use crate::support::{
    PASSWORD, RESIDUAL, Town, assert_refused, command, examples, json, refused, relay, up, word,
};

#[test]
fn what_the_rules_refuse_changes_nothing() {
    let town = Town::new();
    let (asset, terms) = (town.asset.as_str(), town.commercial.as_str());
    let before = town.events();
    let nobody = "0x000000000000000000000000000000ff";
    town.refused(3, "registered on this ledger", &["pay", nobody, "1", "-a", "dev:1"]);
    town.refused(4, "expected 25 TUSD on 0x", &["license", asset, terms, "-a", "dev:5"]);
    let cheap = ["license", asset, terms, "--max-price", "24.99", "-a", "dev:5"];
    town.refused(4, "at most 24.99 TUSD, found 25 TUSD: agree to it with --max-price", &cheap);
    town.refused(2, "digits after the point", &["pay", asset, "0.0000001", "-a", "dev:1"]);
    town.refused(2, "above zero", &["pay", asset, "0", "-a", "dev:1"]);
    town.refused(2, "expected an account to act with", &["claim", asset]);
    town.refused(3, "residual account list", &["claim", asset, "-a", "nobody"]);
    town.refused(4, "at least 5 units", &["shares", "transfer", asset, "dev:3", "5", "-a", "dev:9"]);
    let file = town.temp.path().join("f");
    fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    let short = ["publish", file, "--name", "f", "--holder", "dev:1=999999", "-a", "dev:1"];
    town.refused(2, "sum to 1000000", &short);
    assert_eq!(town.events(), before, "nothing has changed on the ledger");
}

#[test]
fn a_licence_opens_what_it_grants_to_its_holder_and_nothing_else() {
    let town = Town::new();
    let licence = town.license(&town.commercial);
    let target = town.temp.path().join("stolen");
    let steal = ["get", &licence, target.to_str().unwrap(), "-a", "dev:3"];
    town.refused(4, "sign with the account that holds the licence", &steal);
    assert!(!target.exists(), "KEY-1: nothing was written for who holds no licence");

    let file = town.temp.path().join("f");
    fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    let twice = ["derive", file, "--name", "d", "--licence", &licence, "--licence", &licence, "-a", "dev:2"];
    town.refused(2, "twice", &twice);
    let research = town.license(&town.research);
    let before = town.events();
    let derive = ["derive", file, "--name", "d", "--licence", &research, "-a", "dev:2"];
    town.refused(4, "right", &derive);
    let of_another = ["derive", file, "--name", "d", "--licence", &licence, "-a", "dev:3"];
    town.refused(4, "licence of your own", &of_another);
    assert_eq!(town.events(), before);
}

#[test]
fn an_expired_licence_opens_and_derives_nothing_until_it_is_renewed() {
    let town = Town::new();
    let terms = town.temp.path().join("second.toml");
    let text = fs::read_to_string(examples("terms/commercial.toml")).unwrap();
    fs::write(&terms, format!("{text}period_s = 1\nrenewable = true\n")).unwrap();
    let terms = word(&town.json(&["terms", "define", terms.to_str().unwrap(), "-a", "dev:1"])["terms"]);
    town.json(&["terms", "offer", &town.asset, &terms, "-a", "dev:1"]);
    let licence = town.license(&terms);
    thread::sleep(Duration::from_millis(2_100));
    let target = town.temp.path().join("late");
    let get = ["get", &licence, target.to_str().unwrap(), "-a", "dev:2"];
    town.refused(4, "renew it", &get);
    assert!(!target.exists());
    let derive = ["derive", &examples("digits-b"), "--name", "d", "--licence", &licence, "-a", "dev:2"];
    town.refused(4, "xpired", &derive);
    town.json(&["license", "--renew", &licence, "--periods", "3", "-a", "dev:2"]);
    town.json(&get);
}

#[test]
fn rates_above_the_limits_are_refused_before_anything_is_sealed() {
    let town = Town::new();
    let work = examples("digits-b");
    let file = town.temp.path().join("greedy.toml");
    let before = town.events();
    for (line, says) in [
        ("rate_bps = 9001", "9000"),
        ("rate_bps = 70000", "70000"),
        ("price = \"-1\"", "-1"),
        ("rights = \"access,own\"", "own"),
        ("pricee = \"1\"", "pricee"),
    ] {
        let key = line.split(' ').next().unwrap();
        let text = fs::read_to_string(examples("terms/commercial.toml")).unwrap();
        let kept = text.lines().filter(|line| !line.starts_with(&format!("{key} ")));
        fs::write(&file, format!("{}\n{line}\n", kept.collect::<Vec<_>>().join("\n"))).unwrap();
        let publish = ["publish", &work, "--name", "b", "--terms", file.to_str().unwrap(), "-a", "dev:1"];
        town.refused(2, says, &publish);
    }
    let resale = ["publish", &work, "--name", "b", "--resale-bps", "10001", "-a", "dev:1"];
    town.refused(2, "10000", &resale);
    assert_eq!(town.events(), before);
}

#[test]
fn the_edges_of_one_work_may_not_take_more_than_the_limit_together() {
    let town = Town::new();
    let terms = town.temp.path().join("half.toml");
    let text = fs::read_to_string(examples("terms/commercial.toml")).unwrap();
    fs::write(&terms, text.replace("rate_bps = 1000", "rate_bps = 5000")).unwrap();
    let licences = ["one", "two"].map(|name| {
        let file = town.temp.path().join(name);
        fs::write(&file, name).unwrap();
        let [file, terms] = [&file, &terms].map(|path| path.to_str().unwrap());
        let published = town.json(&["publish", file, "--name", name, "--terms", terms, "-a", "dev:1"]);
        let (asset, terms) = (word(&published["asset"]), word(&published["terms"][0]));
        word(&town.json(&["license", &asset, &terms, "-a", "dev:2"])["licence"])
    });
    let before = town.events();
    let work = examples("digits-b");
    let derive =
        ["derive", &work, "--name", "d", "--licence", &licences[0], "--licence", &licences[1], "-a", "dev:2"];
    town.refused(4, "RatesAboveLimit", &derive);
    assert_eq!(town.events(), before);
}

#[test]
fn what_cannot_be_read_or_changes_under_the_reader_is_not_published() {
    let town = Town::new();
    let before = town.events();
    let publish = |path: &Path| {
        command(&town.data(), &["publish", path.to_str().unwrap(), "--name", "w", "-a", "dev:1"])
            .output()
            .unwrap()
    };
    assert_refused(&publish(Path::new("/nowhere/at/all")), 1, "cannot be read");
    assert_refused(&publish(&town.data()), 2, "whose keys nobody else may get");
    assert_refused(&publish(town.temp.path()), 2, "whose keys nobody else may get");
    let empty = town.temp.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join(".hidden"), "x").unwrap();
    assert_refused(&publish(&empty), 2, "but hidden ones");
    let folder = town.temp.path().join("linked");
    fs::create_dir(&folder).unwrap();
    symlink("/etc/hostname", folder.join("link")).unwrap();
    assert_refused(&publish(&folder), 1, "link");

    let growing = town.temp.path().join("growing");
    fs::write(&growing, vec![7; 48 << 20]).unwrap();
    let done = AtomicBool::new(false);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::OpenOptions::new().append(true).open(&growing).unwrap();
            while !done.load(Ordering::SeqCst) {
                file.write_all(b"more").unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        });
        let output = publish(&growing);
        done.store(true, Ordering::SeqCst);
        output
    });
    assert_refused(&output, 1, "changed");
    assert_eq!(town.events(), before);
    // Once it rests it can be published.
    assert!(publish(&growing).status.success());
}

#[test]
fn a_damaged_block_is_named_and_nothing_false_is_written() {
    let town = Town::new();
    let licence = town.license(&town.commercial);
    let mut blocks: Vec<_> = files_under(&town.data().join("blocks"));
    blocks.sort_by_key(|path| fs::metadata(path).unwrap().len());
    let largest = blocks.last().unwrap();
    let mut bytes = fs::read(largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut writable = fs::metadata(largest).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut writable, 0o600);
    fs::set_permissions(largest, writable).unwrap();
    fs::write(largest, &bytes).unwrap();
    let target = town.temp.path().join("got");
    let output =
        command(&town.data(), &["get", &licence, target.to_str().unwrap(), "-a", "dev:2"]).output().unwrap();
    assert_refused(&output, 6, largest.file_stem().unwrap().to_str().unwrap());
    let written = if target.exists() { files_under(&target) } else { Vec::new() };
    assert!(written.iter().all(|path| path.file_name().unwrap() != "digits.csv"), "{written:?}");

    bytes[middle] ^= 1;
    fs::write(largest, &bytes).unwrap();
    town.json(&["get", &licence, target.to_str().unwrap(), "-a", "dev:2"]);
    let original = fs::read(examples("digits-a/digits.csv")).unwrap();
    assert_eq!(fs::read(target.join("digits.csv")).unwrap(), original);
}

fn files_under(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_under(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_data_directory_of_another_kind_or_version_is_left_as_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    refused(&data, 3, "residual init", &["audit"]);
    fs::create_dir(&data).unwrap();
    fs::write(data.join("thesis.tex"), "mine").unwrap();
    refused(&data, 6, "choose an empty or a new directory", &["init", "--development"]);
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "it was left as it was");
    fs::remove_file(data.join("thesis.tex")).unwrap();

    json(&data, &["init", "--development"]);
    refused(&data, 2, "--development", &["init"]);
    fs::write(data.join("residual-home"), "7\n").unwrap();
    for arguments in [&["audit"][..], &["init", "--development"], &["up", "--development"]] {
        refused(&data, 6, "version 7, this program reads version 1", arguments);
    }
    fs::write(data.join("residual-home"), "1\n").unwrap();
    fs::write(data.join("deployment.json"), "{\"version\": 1}").unwrap();
    refused(&data, 5, "deployment.json", &["audit"]);
}

#[test]
fn a_password_that_protects_nothing_and_a_mistyped_address_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let without = |arguments: &[&str]| {
        command(&data, arguments).env("RESIDUAL_PASSWORD", "").stdin(Stdio::null()).output().unwrap()
    };
    assert_refused(&without(&["init"]), 2, "expected a password for the new key");
    json(&data, &["init"]);
    assert_refused(&without(&["account", "new", "ada"]), 2, "expected a password for the new key");
    let wrong = command(&data, &["account", "fund", "operator", "1", "-a", "operator"])
        .env("RESIDUAL_PASSWORD", "another")
        .output()
        .unwrap();
    assert_refused(&wrong, 4, "password");
    let mistyped = "0x15D34AAf54267DB7D7c367839AAf71A00a2C6A65";
    refused(&data, 2, "EIP-55", &["account", "fund", mistyped, "1", "-a", "operator"]);
    refused(&data, 2, "EIP-55", &["init", "--treasury", mistyped]);
    json(&data, &["account", "fund", &mistyped.to_lowercase(), "1", "-a", "operator"]);
}

#[test]
fn a_data_directory_in_use_by_who_does_not_answer_is_said_to_be() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    json(&data, &["init", "--development"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let holder = runtime.block_on(Client::open(&data, &Place::Own(Some(ANY_PORT)))).unwrap();
    json(&data, &["account", "list"]);
    let node = data.join("node.json");
    let answering = fs::read(&node).unwrap();
    fs::remove_file(&node).unwrap();
    refused(&data, 6, "in use by another command", &["account", "list"]);
    let mut silent: Value = serde_json::from_slice(&answering).unwrap();
    silent["rpc_url"] = "http://127.0.0.1:9".into();
    fs::write(&node, silent.to_string()).unwrap();
    refused(&data, 5, "127.0.0.1:9", &["account", "list"]);
    runtime.block_on(holder.close());
    json(&data, &["account", "list"]);
}

#[test]
fn a_ledger_that_goes_down_in_the_middle_is_an_unknown_outcome_that_repeating_resolves() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let (_node, url) = up(&data);
    let mut cut_short = 0;
    for chunks in [1, 3, 6, 10, 15, 21, 28] {
        let file = temp.path().join(format!("work-{chunks}"));
        fs::write(&file, vec![chunks as u8; 1_000]).unwrap();
        let name = format!("work {chunks}");
        let publish = ["publish", file.to_str().unwrap(), "--name", &name, "-a", "dev:1"];
        let output = command(&data, &publish).args(["--rpc-url", &relay(&url, chunks)]).output().unwrap();
        if !output.status.success() {
            assert_refused(&output, 5, "");
            cut_short += 1;
        }
        let published = json(&data, &publish);
        let again = json(&data, &publish);
        assert_eq!(published["asset"], again["asset"]);
        assert_eq!(json(&data, &["show", published["asset"].as_str().unwrap()])["versions"], 1);
    }
    assert!(cut_short >= 3, "the way was cut in the middle of some: {cut_short}");
    json(&data, &["audit"]);
}

/// A real full disk: a file system of so many kibibytes, which only this command sees.
fn on_a_disk_of(kibibytes: u32, disk: &Path, script: &str) -> std::process::Output {
    Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-ec"])
        .arg(format!(
            "mount -t tmpfs -o size={kibibytes}k none {disk}; export RESIDUAL_DATA_DIR={disk}/data; {script}",
            disk = disk.display()
        ))
        .env("RESIDUAL", RESIDUAL)
        .env("RESIDUAL_PASSWORD", PASSWORD)
        .output()
        .expect("unshare of util-linux")
}

#[test]
fn a_full_disk_is_said_to_be_and_what_was_there_stays() {
    let temp = tempfile::tempdir().unwrap();
    let disk = temp.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let work = temp.path().join("work");
    let noise: Vec<u8> = (0..6_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(&work, noise).unwrap();
    let script = format!(
        r#"
        "$RESIDUAL" init --development >&2
        "$RESIDUAL" publish {small} --name small -a dev:1 >&2
        dd if=/dev/zero of={disk}/ballast bs=1024 count=100000 2>/dev/null || true
        rm -f {disk}/none
        if "$RESIDUAL" publish {work} --name large -a dev:1 >&2; then exit 99; else code=$?; fi
        if "$RESIDUAL" account fund dev:2 1 -a dev:0 >&2; then :; fi
        rm {disk}/ballast
        "$RESIDUAL" publish {work} --name large -a dev:1 >&2
        "$RESIDUAL" publish {small} --name small -a dev:1 --json | grep -q '"transaction":null' || exit 98
        "$RESIDUAL" audit >&2
        exit $code
        "#,
        small = examples("digits-a"),
        disk = disk.display(),
        work = work.display(),
    );
    let output = on_a_disk_of(48 << 10, &disk, &script);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{error}");
    assert!(error.contains("No space left on device") && !error.contains("panicked"), "{error}");
    assert!(error.contains("every unit accounted for"), "{error}");
}
