//! Tests of the output formats of plans: every format, names with markup, and very large plans.

use bundle::digest::Digest;
use model::acknowledge::Acknowledgement;
use model::source_map::Place;
use plan::report::{Report, Subject};
use plan::review::{Review, State};
use plan::{
    Change, Class, OperationRef, Outcome, Plan, ResponseExample, Section, Witness,
    WitnessCredential, github, html, human, json, markdown,
};
use serde_json::Value;

/// Name with the special characters of every format.
const HOSTILE: &str = "`x` ``` | a <script>alert(1)</script> </details> @everyone #1 [l](javascript:x) ![i](http://h/i)\n## head\r\n::error::no\u{1b}[31m\u{202e}";

fn operation(key: &str) -> OperationRef {
    OperationRef {
        key: key.to_owned(),
        id: None,
        method: "GET".to_owned(),
        path: format!("/{key}"),
        mount: "default".to_owned(),
        host: String::new(),
        api: "a".to_owned(),
    }
}

fn change(class: Class, section: Section, name: &str) -> Change {
    let mut change = Change::new(
        section,
        class,
        "security-requirement-changed",
        "security",
        name.into(),
        "anyone".into(),
    )
    .of(operation(name))
    .named();
    change.source_new = Some(Place {
        file: format!("apis/{name}.yaml"),
        line: 3,
        column: 5,
    });
    change
}

fn made(changes: Vec<Change>) -> Plan {
    Plan {
        old: Some(Digest::of(b"old")),
        new: Digest::of(b"new"),
        environments: Default::default(),
        no_op: changes.is_empty(),
        changes,
        schemas: Default::default(),
        missing: Vec::new(),
        logs: Vec::new(),
        notes: Vec::new(),
        bugs: Vec::new(),
        too_large: Vec::new(),
        steps: 0,
        stages: plan::stages::Stages::default(),
    }
}

fn review(plan: &Plan, gates: &[&str], given: Vec<Acknowledgement>) -> Review {
    let gates = gates.iter().map(|gate| (*gate).to_owned()).collect();
    Review::new(plan, gates, Some("reviewed.yaml".into()), given, 1_000)
}

/// HTML elements that the page may contain.
const TAGS: [&str; 34] = [
    "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "header", "h1", "p", "main",
    "table", "caption", "thead", "tbody", "tr", "th", "td", "nav", "a", "section", "h2", "small",
    "ul", "li", "span", "strong", "code", "div", "del", "ins", "details", "summary", "pre",
];

/// Renders a plan in every format.
fn written(plan: &Plan, review: &Review) -> [String; 5] {
    let subject = Subject {
        channel: Some("prod".into()),
        serial: Some(12),
        folder: "shop/".into(),
        ..Subject::default()
    };
    let report = Report {
        plan,
        subject: &subject,
        review,
    };
    let document = json::document(&report);
    fits(&document);
    [
        human::render(&report, human::Look::default()),
        markdown::render(&report),
        github::render(&report),
        document.to_string(),
        html::render(&report),
    ]
}

fn fits(document: &Value) {
    let schemas = gwc::schemas::all();
    let (_, schema) = schemas
        .iter()
        .find(|(name, _)| *name == "plan")
        .expect("it is published");
    let validator = jsonschema::validator_for(schema).expect("the schema is one");
    let wrong: Vec<String> = validator
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Removes code spans and fenced blocks from a Markdown text. Panics if one of them is not closed.
fn outside_code(text: &str) -> String {
    let mut out = String::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find('`') {
            out.push_str(&rest[..at]);
            let run = rest[at..].chars().take_while(|c| *c == '`').count();
            let body = &rest[at + run..];
            // A code span ends at a run of backticks of the same length.
            let mut from = 0;
            let end = loop {
                let start = body[from..].find('`').map(|found| from + found);
                let start = start.unwrap_or_else(|| panic!("a span is open in {line}"));
                let length = body[start..].chars().take_while(|c| *c == '`').count();
                if length == run {
                    break start + length;
                }
                from = start + length;
            };
            rest = &body[end..];
        }
        out.push_str(rest);
        out.push('\n');
    }
    assert!(!fenced, "a block is open");
    out
}

#[test]
fn every_format_of_a_small_plan_equals_its_file() {
    let mut opened = change(Class::Weaken, Section::Security, "listOrders");
    opened.old = "header x-key by keys".into();
    opened.source_old = opened.source_new.clone();
    opened.witness = Some(Witness {
        listener: "public".into(),
        method: "GET".into(),
        url: "http://gateway/listOrders".into(),
        headers: Vec::new(),
        credentials: Vec::new(),
        peer: None,
        body: None,
        response: None,
        old: Outcome::Refused { status: 401 },
        new: Outcome::Served {
            operation: "a/listOrders".into(),
            upstream: Some("u".into()),
        },
    });
    let exposed = change(Class::Expose, Section::Security, "export");
    let mut slower = change(Class::Relax, Section::Policy, "getOrder");
    slower.subject = "timeout".into();
    (slower.old, slower.new) = ("5s".into(), "6s".into());
    slower.operations = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let mut plan = made(vec![opened, exposed, slower]);
    plan.missing.push("source");
    let accepted = Acknowledgement {
        reason: Some("it is meant".into()),
        by: Some("ann".into()),
        until: Some((2_000, "2030-01-31".into())),
        place: Some(Place {
            file: "reviewed.yaml".into(),
            line: 7,
            column: 3,
        }),
        ..entry(&plan.changes[1])
    };
    let idle = Acknowledgement {
        fingerprint: "0".repeat(32),
        ..accepted.clone()
    };
    let review = review(&plan, &["weaken", "expose", "move"], vec![accepted, idle]);
    let written = written(&plan, &review);
    for (name, text) in [
        "human.txt",
        "comment.md",
        "annotations.txt",
        "plan.json",
        "page.html",
    ]
    .iter()
    .zip(&written)
    {
        let text = if *name == "plan.json" {
            let document: Value = serde_json::from_str(text).unwrap();
            serde_json::to_string_pretty(&document).unwrap() + "\n"
        } else {
            text.clone()
        };
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/plan/written")
            .join(name);
        if std::env::var_os("GWC_UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == text,
            "tests/plan/written/{name} is stale: run with GWC_UPDATE=1\n{text}"
        );
    }
}

#[test]
fn place_that_was_written_last_is_not_repeated() {
    let changes = [("x", "first"), ("y", "first"), ("z", "second")];
    let changes = changes.map(|(name, file)| {
        let mut change = change(Class::Weaken, Section::Security, name);
        // Changes of access with equal values would be one line.
        change.new = name.into();
        change.source_new = Some(Place {
            file: format!("{file}.yaml"),
            line: 3,
            column: 5,
        });
        change
    });
    let plan = made(changes.into());
    let [human, comment, _, _, page] = written(&plan, &review(&plan, &[], Vec::new()));
    for text in [human, comment, page] {
        for place in ["first.yaml:3:5", "second.yaml:3:5"] {
            assert_eq!(text.matches(place).count(), 1, "{place} in\n{text}");
        }
    }
}

#[test]
fn notes_displace_no_result_of_the_logs() {
    let mut plan = made(vec![change(Class::Weaken, Section::Security, "x")]);
    plan.logs = vec!["logs: 1 of 2 requests".to_owned()];
    plan.notes = vec!["n".repeat(1_400); 20];
    let [human, comment, annotations, json, page] = written(&plan, &review(&plan, &[], Vec::new()));
    for text in [human, comment, annotations, json, page] {
        assert_eq!(text.matches("logs: 1 of 2 requests").count(), 1, "{text}");
    }
}

/// Witness with two fields, two credentials, and a body of this length.
fn witness(body_bytes: usize) -> Witness {
    let credential = |scheme: &str, state, scopes: &[&str], roles: &[&str]| WitnessCredential {
        scheme: scheme.to_owned(),
        state,
        scopes: scopes.iter().map(|one| (*one).to_owned()).collect(),
        roles: roles.iter().map(|one| (*one).to_owned()).collect(),
        certificate: None,
    };
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Witness {
        listener: "public".into(),
        method: "POST".into(),
        url: "http://gateway/orders?kind=a".into(),
        headers: vec![field("x-version", "2"), field("x-note", HOSTILE)],
        credentials: vec![
            credential("bearer by tokens", "valid", &["read", "write"], &["admin"]),
            credential("header x-key", "forged", &[], &[]),
        ],
        peer: None,
        body: Some("b".repeat(body_bytes)),
        response: Some(ResponseExample {
            status: 206,
            headers: vec![field("x-page", HOSTILE)],
            body: Some(("text/csv".to_owned(), "c".repeat(body_bytes))),
        }),
        old: Outcome::Refused { status: 403 },
        new: Outcome::Refused { status: 404 },
    }
}

#[test]
fn witness_is_whole_in_every_format() {
    for body_bytes in [300, 5_000] {
        let mut opened = change(Class::Weaken, Section::Security, "listOrders");
        opened.witness = Some(witness(body_bytes));
        let plan = made(vec![opened]);
        let [human, comment, annotations, document, page] =
            written(&plan, &review(&plan, &["weaken"], Vec::new()));
        let body = match body_bytes {
            300 => format!(" with the body {} at", "b".repeat(300)),
            _ => " with a body of 5000 bytes (`--format json` has it) at".to_owned(),
        };
        let response = match body_bytes {
            300 => format!(
                " with content-type: text/csv with the body {}:",
                "c".repeat(300)
            ),
            _ => " with content-type: text/csv with a body of 5000 bytes (`--format json` has it):"
                .to_owned(),
        };
        for text in [&human, &comment, &annotations, &page] {
            for part in [
                "POST http://gateway/orders?kind=a with x-version: 2 with x-note: `x`",
                "with a valid credential (bearer by tokens; scopes read, write; roles admin)",
                "with a forged credential (header x-key)",
                &body,
                "at listener public, the upstream responds 206 with x-page: `x`",
                &response,
            ] {
                assert!(text.contains(part), "{part} in\n{text}");
            }
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text}");
        }
        let seen = outside_code(&comment);
        assert!(
            !seen.contains("<script") && !seen.contains("## head"),
            "{seen}"
        );
        assert!(document.contains(&"b".repeat(body_bytes)));
        assert!(document.contains(&"c".repeat(body_bytes)));
    }
}

#[test]
fn names_from_sources_are_text_in_every_format() {
    let mut hostile = change(Class::Weaken, Section::Security, HOSTILE);
    hostile.subject = HOSTILE.into();
    let grant = Change::new(
        Section::Security,
        Class::Grant,
        "consumer-added",
        HOSTILE,
        Value::Null,
        HOSTILE.into(),
    )
    .named();
    let plan = made(vec![hostile, grant]);
    let ack = Acknowledgement {
        fingerprint: plan.changes[1].fingerprint.clone(),
        reason: Some(HOSTILE.into()),
        by: Some(HOSTILE.into()),
        ..Acknowledgement::default()
    };
    let [human, comment, annotations, _, page] =
        written(&plan, &review(&plan, &["weaken", "grant"], vec![ack]));
    for text in [&human, &comment, &annotations, &page] {
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text}");
    }
    assert_eq!(
        human.matches("::error").count(),
        human.matches("::error::no").count()
    );
    assert!(
        !human
            .lines()
            .any(|line| line.starts_with("##") || line.starts_with("::")),
        "{human}"
    );
    let seen = outside_code(&comment);
    for dangerous in [
        "<script",
        "@everyone",
        "javascript",
        "## head",
        "http://h",
        "|",
        "[l]",
    ] {
        assert!(!seen.contains(dangerous), "{dangerous} in\n{seen}");
    }
    assert_eq!(
        seen.matches("<details>").count(),
        seen.matches("</details>").count()
    );
    assert_eq!(seen.matches("</details>").count(), 1);
    let commands = annotations
        .lines()
        .filter(|line| line.starts_with("::"))
        .count();
    assert_eq!(commands, 2, "{annotations}");
    let tags = page.split('<').skip(1);
    let tags = tags.map(|tag| {
        tag.trim_start_matches('/')
            .split(['>', ' '])
            .next()
            .unwrap()
    });
    let unknown: Vec<&str> = tags.filter(|tag| !TAGS.contains(tag)).collect();
    assert!(unknown.is_empty(), "{unknown:?} in\n{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[test]
fn ten_thousand_changes_are_one_comment_with_its_head() {
    let name = |index: usize| format!("an-operation-with-a-rather-long-name-{index:05}-🐘");
    let classes = [
        (Class::Weaken, Section::Security),
        (Class::Added, Section::Routing),
        (Class::Relax, Section::Policy),
        (Class::Changed, Section::Upstream),
        (Class::Doc, Section::Docs),
    ];
    // Changes of access with equal values would be one line.
    let apart = |class: Class, section: Section, index: usize| Change {
        new: format!("new of {}", name(index)).into(),
        ..change(class, section, &name(index))
    };
    let changes: Vec<Change> = classes
        .iter()
        .flat_map(|(class, section)| (0..2_000).map(|index| apart(*class, *section, index)))
        .collect();
    let plan = made(changes);
    let review = review(&plan, &["weaken"], Vec::new());
    let [human, comment, annotations, document, page] = written(&plan, &review);
    assert!(
        comment.len() <= markdown::BYTES_MAX,
        "{} bytes",
        comment.len()
    );
    assert!(
        comment.len() > markdown::BYTES_MAX * 9 / 10,
        "{} bytes",
        comment.len()
    );
    // The page has no maximum size: it lists every line of the other sections.
    assert!(page.matches("<li class=\"").count() >= 8_000);
    let seen = outside_code(&comment);
    assert_eq!(seen.matches("<details>").count(), 5);
    assert_eq!(seen.matches("</details>").count(), 5);
    let head = comment.split("<details>").next().unwrap();
    assert!(
        head.contains("**2000** weaken") && head.contains("is tripped by 2000 changes"),
        "{head}"
    );
    for change in plan.changes.iter().take(200) {
        assert!(head.contains(&change.fingerprint));
    }
    assert!(head.contains("and 1800 more"), "{head}");
    let before_note = comment.split("changes left out here").next().unwrap();
    let left_out: usize = before_note
        .rsplit('_')
        .next()
        .unwrap()
        .trim()
        .parse()
        .expect("a number");
    let shown = comment.matches("\n- `").count() - 30;
    assert_eq!(shown + left_out, 10_000);
    // The terminal output shows twenty changes of a class and counts the others.
    assert!(
        human.lines().count() < 400,
        "{} lines",
        human.lines().count()
    );
    assert!(human.contains("… and 1980 more weaken"), "{human}");
    for (kind, count) in [("::error ", 10), ("::warning ", 0), ("::notice ", 10)] {
        assert_eq!(
            annotations
                .lines()
                .filter(|line| line.starts_with(kind))
                .count(),
            count,
            "{kind}"
        );
    }
    assert!(
        annotations.contains("9980 changes without an annotation"),
        "{annotations}"
    );
    assert!(document.len() > 1_000_000);
}

#[test]
fn wide_names_and_long_values_stay_below_the_limit() {
    for (letters, length) in [("a", 3_000), ("🐘", 3_000), ("`", 500), ("``` ", 500)] {
        let changes = (0..60).map(|index| {
            let mut change = change(
                Class::Weaken,
                Section::Security,
                &format!("{index}{}", letters.repeat(length)),
            );
            change.subject = letters.repeat(length);
            change
        });
        let plan = made(changes.collect());
        let [_, comment, ..] = written(&plan, &review(&plan, &["weaken"], Vec::new()));
        assert!(
            comment.len() <= markdown::BYTES_MAX,
            "{letters}: {} bytes",
            comment.len()
        );
        outside_code(&comment);
    }
}

/// Acknowledgement entry for a change, as in the file.
fn entry(change: &Change) -> Acknowledgement {
    Acknowledgement {
        fingerprint: change.fingerprint.clone(),
        kind: Some(change.id.to_owned()),
        operation: Some(change.about()),
        ..Acknowledgement::default()
    }
}

#[test]
fn acknowledgement_with_equal_first_digits_is_unused() {
    let changes: Vec<Change> = (0..2)
        .map(|index| change(Class::Weaken, Section::Security, &format!("o{index}")))
        .collect();
    let digits = |last: char| format!("{}{last}", "ab".repeat(16).split_at(31).0);
    let mut twins = changes;
    twins[0].fingerprint = digits('1');
    twins[1].fingerprint = digits('2');
    let plan = made(twins);
    let reviewed = |fingerprint: String| {
        let ack = Acknowledgement {
            fingerprint,
            ..Acknowledgement::default()
        };
        review(&plan, &["weaken"], vec![ack])
    };
    let one = reviewed(digits('2'));
    assert_eq!(one.given[0].1, State::Used);
    assert_eq!(one.stopping(&plan), [digits('1')]);
    for other in [digits('3'), digits('1')[..12].to_owned()] {
        let none = reviewed(other);
        assert_eq!(none.given[0].1, State::Unused);
        assert_eq!(none.stopping(&plan).len(), 2);
    }
}

#[test]
fn acknowledgement_of_another_kind_is_mismatched() {
    let plan = made(vec![change(Class::Weaken, Section::Security, "health")]);
    let right = entry(&plan.changes[0]);
    assert_eq!(right.fingerprint.len(), 32);
    let reviewed = |ack: Acknowledgement| review(&plan, &["weaken"], vec![ack]);
    assert_eq!(reviewed(right.clone()).given[0].1, State::Used);
    for wrong in [
        Acknowledgement {
            kind: Some("operation-exposed".into()),
            ..right.clone()
        },
        Acknowledgement {
            operation: Some("shop/heapDump".into()),
            ..right
        },
    ] {
        let reviewed = reviewed(wrong);
        assert_eq!(reviewed.given[0].1, State::Mismatched);
        assert_eq!(reviewed.stopping(&plan).len(), 1);
    }
}

#[test]
fn each_gate_trips_on_its_classes_and_on_no_other() {
    let expected = [
        ("weaken", &["weaken", "incomparable"][..]),
        ("expose", &["expose"]),
        ("grant", &["grant"]),
        ("relax", &["relax"]),
        ("remove", &["removed"]),
        ("move", &["moved"]),
        ("break", &["removed", "break"]),
        ("rules", &["rules"]),
    ];
    assert_eq!(plan::review::GATES, expected.map(|(gate, _)| gate));
    for (gate, classes) in expected {
        for class in Class::ALL {
            let plan = made(vec![change(class, Section::Security, "o")]);
            let trips = !review(&plan, &[gate], Vec::new()).tripped(&plan).is_empty();
            assert_eq!(
                trips,
                classes.contains(&class.name()),
                "{gate} on {}",
                class.name()
            );
        }
    }
}
