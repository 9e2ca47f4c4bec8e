//! Live view of a progressive release: `gwc release status --watch`.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::nodes::Gateway;
use crate::project::{Ended, Project};
use crate::steps::{begun, gateway, node, with};
use crate::terminal::on_terminal;

/// Gateway whose guard compares, with this number of requests.
fn comparing(bundle: &str, requests: u64) -> Gateway {
    let inside = gateway(&node(bundle, true), bundle, 3);
    say(&inside, "testing", requests);
    inside
}

fn say(gateway: &Gateway, result: &str, requests: u64) {
    let before = json!({"requests": 4_000, "events": 3});
    let after = json!({"requests": requests, "events": 2});
    let refusals = json!({"before": before, "after": after,
        "reasons": {"no_route": {"before": 0, "after": 9}, "over_limit": {"before": 4, "after": 0}}});
    let guard =
        json!({"result": result, "left_s": 252, "requests": requests, "refusals": refusals});
    gateway.say("rollout", json!({"guard": guard}));
}

/// Waits until the gateway has answered two more requests: the second one began after the call.
fn wait_for_reading(gateway: &Gateway) {
    let count = || gateway.requests.lock().unwrap().len();
    let before = count();
    while count() < before + 2 {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `watch`. Meanwhile, the guard counts more requests, then passes, and the release ends.
fn watched<T: Send>(
    (project, inside): (&Project, &Gateway),
    watch: impl FnOnce() -> T + Send,
) -> T {
    thread::scope(|scope| {
        let watching = scope.spawn(watch);
        wait_for_reading(inside);
        say(inside, "testing", 130);
        wait_for_reading(inside);
        say(inside, "passed", 200);
        wait_for_reading(inside);
        inside.say("rollout", Value::Null);
        with(project, "promote", &["--to-all"]).with(0);
        watching.join().unwrap()
    })
}

#[test]
fn watch_in_a_pipe_writes_changed_lines() {
    let (project, _, bundle) = begun();
    let inside = comparing(&bundle, 120);
    let status = ["release", "status", "--watch", "--node", &*inside.at];
    let ended: Ended = watched((&project, &inside), || project.run(&status));
    let ended = ended.with(0);
    let lines: Vec<&str> = ended.out.lines().collect();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert!(
        lines.iter().all(|line| line.starts_with("20")),
        "{lines:#?}"
    );
    let texts = [
        "step 1 of 3: 5% of the gateways, since",
        "steps: [5%], 50%, all",
        "guard testing (4m 12s left; ",
        "refusals 2 of 120, before 3 of 4000; reasons: no_route 9)",
        "guard passed",
        "no progressive release: all gateways since",
    ];
    for text in texts {
        assert_eq!(count(text), 1, "`{text}` in {lines:#?}");
    }
    assert_eq!(
        count("guard testing"),
        1,
        "other numbers are no change: {lines:#?}"
    );
}

#[test]
fn watch_in_json_writes_one_document_a_line() {
    let (project, _, bundle) = begun();
    let inside = comparing(&bundle, 120);
    let node = ["--watch", "--format", "json", "--node", &*inside.at];
    let status = [&["release", "status"], &node[..]].concat();
    let ended = watched((&project, &inside), || project.run(&status)).with(0);
    let documents = ended.out.lines().map(serde_json::from_str::<Value>);
    let documents: Vec<Value> = documents.map(Result::unwrap).collect();
    assert!(
        documents
            .iter()
            .all(|it| it["schema"] == "release-status/v1")
    );
    let guards = documents.iter().map(|it| {
        let guard = &it["nodes"][0]["guard"];
        (guard["result"].clone(), guard["requests"].clone())
    });
    let mut guards: Vec<(Value, Value)> = guards.collect();
    guards.dedup();
    let expected = [("testing", 120), ("testing", 130), ("passed", 200)];
    assert_eq!(
        guards[..3],
        expected.map(|(result, count)| (json!(result), json!(count)))
    );
    let first = &documents[0];
    assert_eq!(
        (&first["rollout"]["step"], &first["steps"]),
        (&json!(1), &json!(["5%", "50%"]))
    );
    assert_eq!(documents[documents.len() - 1]["rollout"], Value::Null);
}

#[test]
fn watch_on_a_terminal_redraws_the_lines() {
    if !prerequisite::program("script") {
        return;
    }
    let (project, _, bundle) = begun();
    let inside = comparing(&bundle, 120);
    let status = ["release", "status", "--watch", "--node", &*inside.at];
    let text = watched((&project, &inside), || {
        let output = on_terminal(&project, &status).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    // Each state begins with the cursor in the first row of the state before it.
    let states: Vec<&str> = text.split("\u{1b}[J").collect();
    assert!(states.len() > 3, "{text:?}");
    for pair in states.windows(2) {
        let (shown, up) = pair[0].rsplit_once("\u{1b}[").unwrap();
        let rows: usize = up.strip_suffix('F').unwrap().parse().unwrap();
        assert_eq!(shown.lines().count(), rows, "{text:?}");
    }
    let last = states[states.len() - 1];
    assert!(last.contains("no progressive release"), "{text:?}");
    for line in text.lines() {
        let line = line.rsplit("\u{1b}[J").next().unwrap_or(line).trim_end();
        assert!(line.chars().count() <= 40, "`{line}` in {text:?}");
    }
}
