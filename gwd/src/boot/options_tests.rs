//! Tests of the options.

use super::*;
use clap::CommandFactory as _;

fn resolve(arguments: &[&str]) -> Result<Resolved, OptionsError> {
    let all = ["gwd", "run"].iter().chain(arguments);
    match Cli::try_parse_from(all).unwrap().command {
        Command::Run(options) => options.resolve(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn command_line_overrides_file_overrides_default() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gwd.toml");
    std::fs::write(
            &path,
            "store = \"/srv\"\nkeep = 7\nworkers = 3\nlisten = [\"public=127.0.0.1:80\"]\npre-stop = \"200ms\"\n",
        )
        .unwrap();
    let config = path.to_str().unwrap();
    let resolved = resolve(&["--config", config, "--workers", "2"]).unwrap();
    assert_eq!(resolved.store, Path::new("/srv"));
    assert_eq!((resolved.keep, resolved.workers), (7, 2));
    assert_eq!(resolved.listen["public"], "127.0.0.1:80".parse().unwrap());
    assert_eq!(resolved.pre_stop.as_millis(), 200);
    assert_eq!(resolved.channel, "prod");
    assert!(!resolved.insecure_allow_unsigned);
    std::fs::write(&path, "stores = 1\n").unwrap();
    let error = resolve(&["--config", config]).unwrap_err();
    assert!(matches!(error, OptionsError::Input(why) if why.contains("stores")));
}

#[test]
fn drain_of_defaults_ends_within_30_seconds() {
    let resolved = resolve(&["--store", "/srv"]).unwrap();
    let drain = resolved.drain_timeout.max(resolved.websocket_drain);
    let sum = resolved.pre_stop + drain;
    assert!(
        sum.as_secs() < 30,
        "shutdown takes up to {sum:?}, but Kubernetes kills a pod \
after 30 s by default"
    );
}

#[test]
fn mistakes_are_reported() {
    for (arguments, message) in [
        ("", "--store is needed"),
        ("--store oci://x", "the repository is missing"),
        ("--store s3://x/y", "a folder, or"),
        ("--store s --registry-poll 5s", "has no registry"),
        ("--store oci://x/y --registry-poll 1ms", "at least 100ms"),
        ("--store s --listen public", "NAME=IP:PORT"),
        ("--store s --admin nowhere", "unix:PATH"),
        ("--store s --pre-stop soon", "not a duration"),
        (
            "--store s --access-log l --access-log-sample 2",
            "`2` is not between 0 and 1",
        ),
        (
            "--store s --access-log-sample 0.1",
            "name it with --access-log",
        ),
        (
            "--store s --access-log l --access-log-slow 1s",
            "needs --access-log-sample",
        ),
        ("--store s --workers 0", "at least 1"),
        ("--store s --memory much", "not a size"),
        ("--store s --memory 1MiB", "write 64MiB or more"),
        ("--store s --requests 0", "at least 1"),
        (
            "--store s --access-log l --access-log-size big",
            "not a size",
        ),
        (
            "--store s --access-log stdout --access-log-size 1MiB",
            "name the file",
        ),
        (
            "--store s --access-log l --access-log-keep 2",
            "--access-log-size",
        ),
    ] {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        match resolve(&arguments) {
            Err(OptionsError::Usage(why)) => assert!(why.contains(message), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
