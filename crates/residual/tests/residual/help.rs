//! What the help says, whole: every word of it is a promise.

use crate::support::command;

#[test]
fn the_help_of_every_command_is_as_it_was_read() {
    let temp = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for of in [
        "",
        "init",
        "up",
        "demo",
        "publish",
        "derive",
        "terms define",
        "terms offer",
        "terms withdraw",
        "show",
        "license",
        "get",
        "pay",
        "relay",
        "channel open",
        "channel top-up",
        "channel close",
        "channel list",
        "redeem",
        "sweep",
        "flow",
        "claim",
        "collect",
        "operator grant",
        "operator revoke",
        "operator show",
        "operator claim",
        "shares show",
        "shares transfer",
        "audit",
        "lint",
        "eval",
        "account new",
        "account import",
        "account list",
        "account fund",
        "completions",
    ] {
        let arguments: Vec<&str> = of.split_whitespace().collect();
        let output = command(temp.path(), &[&["help"], arguments.as_slice()].concat()).output().unwrap();
        assert!(output.status.success(), "help {of}");
        text += &format!("$ residual help {of}\n{}\n", String::from_utf8(output.stdout).unwrap());
    }
    insta::assert_snapshot!("help", text);
}
