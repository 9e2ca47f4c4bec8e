//! Tests of rollbacks: which state is restored, and which state must stay (release.md §7).
//! Withdrawn credentials, rotated secrets and moved addresses must stay. One test uses a fleet in
//! which one node has a hold.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use e2e::client::Connection;
use e2e::gateway::{Gateway, Options};
use e2e::project::{Ended, Project};
use e2e::upstream::{Answer, Upstream};
use e2e::{binaries, wait};
use serde_json::{Value, json};

const KEY: [&str; 4] = ["--key", "keys/release.pem", "--reason", "a test"];

fn document(scheme: bool) -> String {
    let security = if scheme {
        "security: [{key: []}]\ncomponents: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}}\n"
    } else {
        ""
    };
    format!(
        "openapi: 3.1.0\ninfo: {{title: rollbacks, version: \"1\"}}\n{security}paths:\n  \
         /a: {{get: {{operationId: a, responses: {{}}}}}}\n"
    )
}

fn release(project: &Project, gateway: &str) -> String {
    project.write("gateway.yaml", gateway);
    project.apply()
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.expect("cp can be run").success());
}

fn gwc(project: &Project, command: &[&str]) -> Ended {
    project.gwc(&[command, &KEY[..], &["--yes"]].concat())
}

fn status_of(gwd: &Gateway, fields: &str) -> u16 {
    gwd.ask(&format!("GET /a HTTP/1.1\nhost: h{fields}")).status
}

fn sha256(text: &str) -> String {
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("printf %s {text} | openssl dgst -sha256 -r"))
        .output()
        .expect("openssl can be run");
    let text = String::from_utf8(output.stdout).expect("hex");
    text[..64].to_owned()
}

#[test]
fn rollback_keeps_a_withdrawn_credential_at_401() {
    let upstream = Upstream::start();
    let (old, new) = (sha256("old-key"), sha256("new-key"));
    let gateway = |keys: &[&String], version: u32| {
        let keys: Vec<String> = keys
            .iter()
            .map(|key| format!("{{sha256: {key}}}"))
            .collect();
        format!(
            "version: 1\nname: rollbacks\napis: {{s: {{path: openapi.yaml}}}}\n\
             auth: {{keys: {{kind: api_key}}}}\nconsumers: {{acme: {{keys: [{}]}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             defaults: {{upstream: u, timeout: {version}s}}\n",
            keys.join(", "),
            upstream.url()
        )
    };
    let project = Project::with(&gateway(&[&old, &new], 5), &document(true));
    project.keygen();
    let first = project.apply();
    let state = project.path("state");
    let options = Options::of(&project).state(&state);
    let mut gwd = options.start();
    let asks = |gwd: &Gateway| {
        ["old-key", "new-key"].map(|key| status_of(gwd, &format!("\nx-key: {key}")))
    };
    assert_eq!(asks(&gwd), [200, 200]);
    let second = release(&project, &gateway(&[&new], 6));
    gwd.wait_bundle(&second);
    assert_eq!(asks(&gwd), [401, 200]);
    // The plan lists the credentials that would become valid again, and the command that revokes
    // them. Run this command.
    let back = gwc(&project, &["rollback"]);
    let text = back.succeeds().stdout.clone();
    let at = text.find("SECURITY").unwrap_or_else(|| panic!("{text}"));
    assert!(
        text[at..].contains("1 credential withdrawn since"),
        "{text}"
    );
    let command = format!("gwc revoke --credential {old}");
    assert!(text[at..].contains(&command), "{text}");
    gwd.wait_bundle(&first);
    assert_eq!(asks(&gwd), [200, 200], "no record withdraws it");
    gwc(&project, &["revoke", "--credential", &old]).succeeds();
    wait::until("the list is in force", || {
        gwd.notify();
        (asks(&gwd) == [401, 200]).then_some(())
    });
    // The credential stays revoked after rollbacks, releases and a restart.
    let third = release(&project, &gateway(&[&old, &new], 7));
    gwd.wait_bundle(&third);
    assert_eq!(asks(&gwd), [401, 200]);
    let again = gwc(&project, &["rollback"]);
    assert!(
        !again.succeeds().stdout.contains("withdrawn since"),
        "{again}"
    );
    gwd.wait_bundle(&first);
    assert_eq!(asks(&gwd), [401, 200]);
    gwd.stop();
    let gwd = options.start();
    assert_eq!(asks(&gwd), [401, 200]);
}

#[test]
fn rollback_uses_the_newest_secret_without_its_file() {
    let upstream =
        Upstream::scripted(|seen| Answer::ok(seen.header("x-token").unwrap_or("none").to_owned()));
    let project = Project::with("", &document(false));
    let secrets = project.path("secrets");
    std::fs::create_dir(&secrets).expect("a folder");
    let token = secrets.join("token");
    std::fs::write(&token, "one").expect("a secret");
    let gateway = |edits: &str, version: u32| {
        format!(
            "version: 1\nname: rollbacks\napis: {{s: {{path: openapi.yaml}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             policies: {{edit: {{kind: headers, request: {{set: {{x-token: \"{edits}\"}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream, policies: [edit], timeout: {version}s}}\n",
            upstream.url()
        )
    };
    let reference = format!("${{file:{}}}", token.display());
    project.write("gateway.yaml", gateway(&reference, 5));
    project.keygen();
    let first = project.apply();
    let gwd = Options::of(&project)
        .arguments(&["--secret-dir", &secrets.display().to_string()])
        .start();
    let sees = || gwd.ask("GET /a HTTP/1.1\nhost: h").text();
    assert_eq!(sees(), "one");
    let second = release(&project, &gateway("nothing", 6));
    gwd.wait_bundle(&second);
    assert_eq!(sees(), "nothing");
    // Rotate the secret while another version runs.
    std::fs::write(&token, "two").expect("a secret");
    gwc(&project, &["rollback"]).succeeds();
    gwd.wait_bundle(&first);
    wait::until("the value, not the one of then", || {
        (sees() == "two").then_some(())
    });
    let third = release(&project, &gateway("something", 7));
    gwd.wait_bundle(&third);
    std::fs::remove_file(&token).expect("it is there");
    wait::until("gwd has seen that it is gone", || {
        let bundles = gwd.admin_ask("GET", "/v1/bundles", &Value::Null).json();
        let mut known = bundles["bundles"].as_array()?.iter();
        let back = known.find(|known| known["bundle"] == first.as_str())?;
        (back["ready"] == json!(false)).then_some(())
    });
    gwc(&project, &["rollback"]).succeeds();
    gwd.wait_bundle(&first);
    assert_eq!(sees(), "two", "the last value stays");
}

#[test]
fn after_a_rollback_a_listener_is_where_it_was() {
    let upstream = Upstream::start();
    let ports: Vec<u16> = (0..2)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
        .map(|free| free.local_addr().expect("an address").port())
        .collect();
    let gateway = |port: u16| {
        format!(
            "version: 1\nname: rollbacks\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:{port}\"}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream}}\n",
            upstream.url()
        )
    };
    let project = Project::with(&gateway(ports[0]), &document(false));
    project.keygen();
    let first = project.apply();
    let gwd = Options::of(&project).listeners(&[]).start();
    let answers = |port: u16| {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Connection::open(address)
            .and_then(|mut connection| connection.ask("GET /a HTTP/1.1\nhost: h"))
            .is_ok_and(|response| response.status == 200)
    };
    assert!(answers(ports[0]));
    let second = release(&project, &gateway(ports[1]));
    gwd.wait_bundle(&second);
    assert!(answers(ports[1]));
    // Each worker closes a listener on its own.
    let closed = |port: u16| {
        wait::until("no gateway runs there any more", || {
            (!answers(port)).then_some(())
        })
    };
    closed(ports[0]);
    // gwd keeps the address bound as long as a version in memory uses the address.
    let taken = TcpListener::bind(("127.0.0.1", ports[0]));
    assert!(taken.is_err(), "a rollback never binds");
    gwc(&project, &["rollback"]).succeeds();
    gwd.wait_bundle(&first);
    assert!(answers(ports[0]));
    closed(ports[1]);
}

/// Options that pass the addresses of these gateways to gwc.
fn nodes(fleet: &[Gateway]) -> Vec<String> {
    let names = fleet
        .iter()
        .map(|gwd| format!("unix:{}", gwd.admin().display()));
    names.flat_map(|name| ["--node".to_owned(), name]).collect()
}

#[test]
fn fleet_with_a_node_on_hold_converges() {
    let upstream = Upstream::start();
    let gateway = |version: u32| {
        format!(
            "version: 1\nname: rollbacks\napis: {{s: {{path: openapi.yaml}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream, timeout: {version}s}}\n",
            upstream.url()
        )
    };
    let project = Project::with(&gateway(5), &document(false));
    project.keygen();
    project.apply();
    let fleet: Vec<Gateway> = (0..3).map(|_| Options::of(&project).start()).collect();
    let nodes = nodes(&fleet);
    let run = |command: &[&str]| {
        let more: Vec<&str> = nodes.iter().map(String::as_str).collect();
        project.gwc(&[command, &more[..]].concat())
    };
    let apply = |version: u32, timeout: &str, more: &[&str]| {
        project.write("gateway.yaml", gateway(version));
        run(&[&["apply", "--yes", "--wait", timeout], &KEY[..], more].concat())
    };
    let ended = apply(6, "20s", &["--require-rollback"]);
    let text = ended.succeeds().stdout.clone();
    assert!(text.contains("all 3 gateways are ready for it"), "{text}");
    assert!(text.contains("every gateway runs"), "{text}");
    run(&["drift"]).exits(0);
    let admin = format!("unix:{}", fleet[1].admin().display());
    let gwd = |command: &[&str]| {
        let mut gwd = Command::new(binaries::gwd());
        Ended::of(gwd.args(command).args(["--admin", &admin]))
    };
    gwd(&["rollback", "--sticky"]).succeeds();
    let drift = run(&["drift"]);
    drift.exits(1);
    assert!(drift.stdout.contains("differs from the channel"), "{drift}");
    assert_eq!(drift.stdout.matches("on HOLD").count(), 1, "{drift}");
    run(&["status"]).exits(0);
    let blocked = apply(7, "1s", &[]);
    blocked.exits(5);
    assert!(blocked.stderr.contains("gwd resume"), "{blocked}");
    let over = apply(7, "1s", &["--over-hold"]);
    over.exits(5);
    assert!(over.stderr.contains("not every gateway followed"), "{over}");
    gwd(&["resume"]).succeeds();
    wait::until("they agree", || {
        (run(&["drift"]).code == Some(0)).then_some(())
    });
    // The history shows which nodes run which record: three records, and one node that was rolled
    // back separately.
    let history = run(&["history", "--format", "json"]);
    let document = history.succeeds().json();
    let ran = |at: usize| -> BTreeSet<String> {
        let nodes = document["records"][at]["ran"].as_array();
        let nodes = nodes.unwrap_or_else(|| panic!("{document:#}"));
        let names = nodes.iter().filter_map(|ran| ran["node"].as_str());
        names.map(str::to_owned).collect()
    };
    assert_eq!([ran(0).len(), ran(1).len(), ran(2).len()], [3, 3, 3]);
}

#[test]
fn older_store_is_reported_and_a_merge_fixes_it() {
    let upstream = Upstream::start();
    let gateway = |version: u32| {
        format!(
            "version: 1\nname: rollbacks\napis: {{s: {{path: openapi.yaml}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream, timeout: {version}s}}\n",
            upstream.url()
        )
    };
    let project = Project::with(&gateway(5), &document(false));
    project.keygen();
    project.apply();
    copy(&project.path("releases"), &project.path("older"));
    let fleet = [Options::of(&project).start(), Options::of(&project).start()];
    let second = release(&project, &gateway(6));
    fleet.iter().for_each(|gwd| gwd.wait_bundle(&second));
    std::fs::remove_dir_all(project.path("releases")).expect("it is there");
    std::fs::rename(project.path("older"), project.path("releases")).expect("it is there");
    wait::until("the gateways report the replay", || {
        fleet.iter().for_each(Gateway::notify);
        let is_replayed = |gwd: &Gateway| gwd.status()["last_error"]["reason"] == "replayed";
        fleet.iter().all(is_replayed).then_some(())
    });
    let nodes = nodes(&fleet);
    let apply = |more: &[&str]| {
        project.write("gateway.yaml", gateway(7));
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        project.gwc(&[&["apply", "--yes"], &KEY[..], more, &nodes[..]].concat())
    };
    let refused = apply(&[]);
    refused.exits(4);
    assert!(refused.stderr.contains("gwc apply --merge"), "{refused}");
    for gwd in &fleet {
        assert_eq!(gwd.status()["bundle"], second.as_str());
    }
    // The store lost the bundle that the gateways run, so no plan shows what changes for them.
    let uncompared = apply(&["--merge"]);
    uncompared.exits(4);
    assert!(
        uncompared.stderr.contains("--merge-uncompared"),
        "{uncompared}"
    );
    let merged = apply(&["--merge", "--merge-uncompared", "--wait", "20s"]);
    assert!(merged.succeeds().stdout.contains("serial 3"), "{merged}");
    project.gwc(&["history"]).succeeds();
}

#[test]
fn older_store_is_refused_without_the_newest_record() {
    let upstream = Upstream::start();
    let gateway = |version: u32| {
        format!(
            "version: 1\nname: rollbacks\napis: {{s: {{path: openapi.yaml}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream, timeout: {version}s}}\n",
            upstream.url()
        )
    };
    let project = Project::with(&gateway(5), &document(false));
    project.keygen();
    project.apply();
    copy(&project.path("releases"), &project.path("older"));
    let second = release(&project, &gateway(6));
    let state = project.path("state");
    let options = Options::of(&project).state(&state);
    let gwd = options.start();
    gwd.wait_bundle(&second);
    gwd.stops_clean();
    std::fs::remove_dir_all(state.join("channels")).expect("it is there");
    std::fs::create_dir(state.join("channels")).expect("the folder is writable");
    let newest = project.path("releases");
    std::fs::rename(&newest, project.path("newest")).expect("it is there");
    std::fs::rename(project.path("older"), &newest).expect("it is there");
    // The record of the last good bundle is lost as well, so that no bundle may run.
    let mut refused = options.spawn();
    assert_eq!(refused.wait_end(), Some(4), "{}", refused.log());
    let log = refused.log();
    for text in [
        "record 2 of gwd.json is missing",
        "state-damaged",
        "replayed",
    ] {
        assert!(log.contains(text), "{text}: {log}");
    }
    // The store that has the record again is accepted.
    std::fs::remove_dir_all(&newest).expect("it is there");
    std::fs::rename(project.path("newest"), &newest).expect("it is there");
    let gwd = options.start();
    gwd.wait_bundle(&second);
    assert!(gwd.status()["last_error"].is_null(), "{:#}", gwd.status());
}

#[test]
fn record_of_another_channel_is_not_lost() {
    let upstream = Upstream::start();
    let gateway = |channel: &str, timeout_s: u32| {
        format!(
            "version: 1\nname: rollbacks\napis: {{s: {{path: openapi.yaml}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             release: {{store: releases, channel: {channel}}}\n\
             defaults: {{upstream: u, security: upstream, timeout: {timeout_s}s}}\n",
            upstream.url()
        )
    };
    let project = Project::with(&gateway("staging", 5), &document(false));
    project.keygen();
    project.apply();
    let second = release(&project, &gateway("staging", 6));
    let state = project.path("state");
    let prod = Options::of(&project).state(&state);
    let gwd = prod.clone().channel("staging").start();
    gwd.wait_bundle(&second);
    gwd.stops_clean();
    // gwd.json names record 2, which is that of `staging`. The channel `prod` has only record 1.
    let own = release(&project, &gateway("prod", 7));
    let gwd = prod.start();
    gwd.wait_bundle(&own);
    assert!(gwd.status()["last_error"].is_null(), "{:#}", gwd.status());
    gwd.stops_clean();
    // Records that `prod` loses afterwards are lost, whatever `staging` has.
    copy(&project.path("releases"), &project.path("older"));
    let own = release(&project, &gateway("prod", 8));
    let gwd = prod.start();
    gwd.wait_bundle(&own);
    gwd.stops_clean();
    std::fs::remove_dir_all(state.join("channels").join("prod")).expect("it is there");
    let newest = project.path("releases");
    std::fs::rename(&newest, project.path("newest")).expect("it is there");
    std::fs::rename(project.path("older"), &newest).expect("it is there");
    let mut refused = prod.spawn();
    assert_eq!(refused.wait_end(), Some(4), "{}", refused.log());
    let log = refused.log();
    assert!(log.contains("record 2 of gwd.json is missing"), "{log}");
}
