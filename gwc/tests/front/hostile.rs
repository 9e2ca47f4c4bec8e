//! Texts made to hurt: every one ends soon, with a finding or a tree, and never with a panic.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use diag::{Sink, Sources, Tree};
use gwc::output::human;
use sources::syntax::{self, Limits};

use prerequisite::corpus;

use crate::project;

/// More than any of these takes in a test build on a slow machine; linear work is far below.
const SOON: Duration = Duration::from_secs(20);

fn names(path: &str, text: &str) -> Vec<&'static str> {
    let start = Instant::now();
    let (mut sources, mut tree, mut sink) = (Sources::default(), Tree::default(), Sink::default());
    let file = sources.add(path, text);
    syntax::parse(
        file,
        sources.file(file),
        &mut tree,
        &Limits::default(),
        &mut sink,
    );
    assert!(start.elapsed() < SOON, "{path}: {:?}", start.elapsed());
    let findings = sink.into_sorted();
    findings.iter().map(|finding| finding.lint.name).collect()
}

#[test]
fn depth_is_bounded() {
    for open in ["[", "{a: ", "- ", "[[[", "{", "? "] {
        let text = open.repeat(100_000);
        let names = names("a.yaml", &text);
        assert_eq!(names.len(), 1, "{open}: {names:?}");
    }
    assert_eq!(names("a.json", &"[".repeat(100_000)), ["too-large"]);
    assert_eq!(names("a.json", &"{\"a\":".repeat(100_000)), ["too-large"]);
    // Aliases of aliases nest deeper than any line does.
    let mut text = String::from("a0: &a0 []\n");
    for level in 1..300 {
        let _ = writeln!(text, "a{level}: &a{level} [*a{}]", level - 1);
    }
    assert_eq!(names("a.yaml", &text), ["too-large"]);
}

#[test]
fn aliases_are_bounded() {
    let mut text = String::from("a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for level in 1..40 {
        let before = level - 1;
        let list = vec![format!("*a{before}"); 9].join(", ");
        let _ = writeln!(text, "a{level}: &a{level} [{list}]");
    }
    assert_eq!(names("a.yaml", &text), ["alias-bomb"]);
    // Merge keys multiply as well.
    let mut text = String::from("base: &b {");
    for key in 0..2_000 {
        let _ = write!(text, "k{key}: 1, ");
    }
    text.push_str("}\n");
    for user in 0..2_000 {
        let _ = writeln!(text, "u{user}: {{<<: *b}}");
    }
    assert_eq!(names("a.yaml", &text), ["alias-bomb"]);
}

#[test]
fn long_texts_take_linear_time() {
    let line = format!("a: {}", "x".repeat(50 << 20));
    assert_eq!(names("a.yaml", &line), Vec::<&str>::new());
    assert_eq!(
        names("a.json", &format!("\"{}\"", &line[3..])),
        Vec::<&str>::new()
    );
    let keys: String = (0..200_000).map(|n| format!("k{n}: 1\n")).collect();
    assert_eq!(names("a.yaml", &keys), Vec::<&str>::new());
    let list = format!("[{}1]", "1,".repeat(500_000));
    assert_eq!(names("a.json", &list), Vec::<&str>::new());
    assert_eq!(names("a.yaml", &list), Vec::<&str>::new());
    assert_eq!(names("a.yaml", &"x".repeat((64 << 20) + 1)), ["too-large"]);
}

#[test]
fn binary_garbage_is_refused() {
    // A small generator; the sequence is the same in every run.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    for round in 0..2_000 {
        let length = usize::from(byte()) + 1;
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                let b = byte();
                if round % 2 == 0 {
                    b
                } else {
                    b"{}[]:,-?&*!|>'\"%@`# \n\tab1"[usize::from(b) % 25]
                }
            })
            .collect();
        for name in ["openapi.yaml", "openapi.json"] {
            let mut files = sources::project::files::Files::in_memory(
                [(name, bytes.clone())],
                Limits::default(),
            );
            let file = files.read(name).expect("in memory");
            let mut sink = Sink::default();
            files.report(file, &mut sink);
            let findings = sink.into_sorted();
            if files.root(file).is_none() {
                assert!(!findings.is_empty(), "{bytes:?}");
            }
            let report = gwc::output::Report {
                files: &files,
                folder: "",
                findings: &findings,
                environment: None,
                cost: None,
                fail_on: diag::Level::Error,
            };
            let _ = human::render(&report, human::Look::default());
            let _ = gwc::output::json::document(&report);
        }
    }
}

#[test]
fn bytes_that_are_not_utf8_have_a_place() {
    let bytes = b"a: 1\nb: \xe4\n".to_vec();
    let mut files =
        sources::project::files::Files::in_memory([("a.yaml", bytes)], Limits::default());
    let file = files.read("a.yaml").expect("in memory");
    let mut sink = Sink::default();
    files.report(file, &mut sink);
    let findings = sink.into_sorted();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].lint.name, "not-text");
    let place = files.sources.position(findings[0].span);
    assert_eq!((place.line, place.column, place.end_column), (2, 4, 5));
}

#[test]
fn mutations_of_a_real_document_never_panic() {
    let corpus = corpus::folder();
    let text = std::fs::read_to_string(corpus.join("specs/museum.yaml")).expect("museum");
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    let start = Instant::now();
    for _ in 0..300 {
        let mut changed = text.clone();
        for _ in 0..4 {
            let at = changed.floor_char_boundary(next(changed.len()));
            let to = changed.floor_char_boundary((at + next(40)).min(changed.len()));
            match next(4) {
                0 => changed.replace_range(at..to, ""),
                1 => changed.insert_str(
                    at,
                    ["{", "[", "]", "- ", "\n", "*a", "&a ", "$ref: '#/'\n"][next(8)],
                ),
                2 => {
                    let piece = changed[at..to].to_owned();
                    let place = changed.floor_char_boundary(next(changed.len()));
                    changed.insert_str(place, &piece);
                }
                _ => changed.truncate(to.max(10)),
            }
        }
        let linted = project::text(&changed);
        let _ = human::render(&linted.report(), human::Look::default());
    }
    assert!(start.elapsed() < SOON * 3, "{:?}", start.elapsed());
}

#[test]
fn references_that_loop_end() {
    let head =
        "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {}\ncomponents:\n  schemas:\n";
    // A chain of references, and one that closes on itself.
    let mut chain = String::from(head);
    for index in 0..60 {
        let _ = writeln!(
            chain,
            "    S{index}: {{$ref: '#/components/schemas/S{}'}}",
            index + 1
        );
    }
    let open = project::text(&format!("{chain}    S60: {{type: string}}\n"));
    assert_eq!(open.names(), Vec::<&str>::new());
    let closed = project::text(&format!(
        "{chain}    S60: {{$ref: '#/components/schemas/S0'}}\n"
    ));
    assert_eq!(closed.names(), ["reference-cycle"]);
    let mut long = String::from(head);
    for index in 0..20_000 {
        let _ = writeln!(
            long,
            "    S{index}: {{$ref: '#/components/schemas/S{}'}}",
            index + 1
        );
    }
    let long = project::text(&format!("{long}    S20000: {{type: string}}\n"));
    assert_eq!(long.names(), ["reference-cycle"]);
    // A pointer that goes through the reference it belongs to.
    let through = project::text(&format!(
        "{head}    A: {{$ref: '#/components/schemas/A/properties/x'}}\n"
    ));
    assert_eq!(through.names(), ["unresolved-reference"]);
    // Schemas that contain themselves are fine.
    let recursive = project::text(&format!(
        "{head}    A: {{type: object, properties: {{a: {{$ref: '#/components/schemas/A'}}}}}}\n"
    ));
    assert_eq!(recursive.names(), Vec::<&str>::new());
}

#[test]
fn many_findings_are_written_soon() {
    let mut text = String::from(
        "{\"openapi\": \"3.0.3\", \"info\": {\"title\": \"t\", \"version\": \"1\"}, \"paths\": {",
    );
    for index in 0..5_000 {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}\"/p{index}\": {{\"gte\": {{\"responses\": {{}}}}}}"
        );
    }
    text.push_str("}}");
    let linted = project::memory(&[("openapi.json", &text)]);
    assert_eq!(linted.findings.len(), 5_000);
    let start = Instant::now();
    let human = human::render(&linted.report(), human::Look::default());
    assert!(human.ends_with("5000 errors\n"));
    assert!(human.len() < 5_000 * 1_500, "{}", human.len());
    let json = gwc::output::json::document(&linted.report());
    assert_eq!(json["counts"]["error"], 5_000);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

/// A document of 3.1 in JSON with these schemas.
fn schemas(each: impl Iterator<Item = String>) -> String {
    let each: Vec<String> = each.collect();
    format!(
        "{{\"openapi\": \"3.1.0\", \"info\": {{\"title\": \"t\", \"version\": \"1\"}}, \"paths\": {{}}, \
\"components\": {{\"schemas\": {{{}}}}}}}",
        each.join(",")
    )
}

/// Each of these took seconds to minutes when somebody compared all with all.
#[test]
fn large_schemas_take_linear_time() {
    let reference = |to: usize| format!("{{\"$ref\": \"#/components/schemas/A{to}\"}}");
    let ring = schemas((0..4_000).map(|n| {
        format!(
            "\"A{n}\": {{\"type\": \"object\", \"required\": [\"x\"], \"properties\": {{\"x\": {}}}}}",
            reference((n + 1) % 4_000)
        )
    }));
    let chain = (0..100_000).map(|n| format!("\"A{n}\": {}", reference(n + 1)));
    let chain = schemas(chain.chain(["\"A100000\": {\"type\": \"string\"}".to_owned()]));
    let circle = schemas((0..50_000).map(|n| format!("\"A{n}\": {}", reference((n + 1) % 50_000))));
    let numbers: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    let unique = |last: &str| {
        let list = numbers.join(",");
        schemas(
            [format!(
                "\"A\": {{\"type\": \"array\", \"items\": {{}}, \"uniqueItems\": true, \"default\": [{list}{last}]}}"
            )]
            .into_iter(),
        )
    };
    let names: Vec<String> = (0..100_000)
        .map(|n| format!("\"n{}\"", n % 50_000))
        .collect();
    let doubled = format!(
        "\"A\": {{\"type\": \"string\", \"enum\": [{}]}}",
        names.join(",")
    );
    let properties: Vec<String> = (0..60_000).map(|n| format!("\"n{n}\": {{}}")).collect();
    let required = format!(
        "\"A\": {{\"type\": \"object\", \"required\": [{}], \"properties\": {{{}}}}}",
        names[..50_000].join(","),
        properties.join(",")
    );
    let cases = [
        ("ring", ring, vec!["endless-schema"]),
        ("chain", chain, vec!["reference-cycle"]),
        ("circle", circle, vec!["reference-cycle"]),
        ("unique", unique(""), vec![]),
        ("not unique", unique(",7.0"), vec!["value-outside-schema"]),
        (
            "doubled",
            schemas([doubled].into_iter()),
            vec!["duplicate-enum-value"; 21],
        ),
        ("required", schemas([required].into_iter()), vec![]),
    ];
    for (name, text, expected) in cases {
        let start = Instant::now();
        let linted = project::memory(&[("openapi.json", &text)]);
        let warnings = linted.findings.iter();
        let warnings = warnings.filter(|finding| finding.level >= diag::Level::Warn);
        let warnings: Vec<&str> = warnings.map(|finding| finding.lint.name).collect();
        assert_eq!(warnings, expected, "{name}");
        assert!(start.elapsed() < SOON / 4, "{name}: {:?}", start.elapsed());
    }
}

#[test]
fn templates_that_all_overlap_are_told_a_few_times_each() {
    // Each of eight segments is one literal or a parameter: nearly all overlap.
    let mut paths = String::new();
    for bits in 0..256_u32 {
        let parameters: Vec<u32> = (0..8).filter(|bit| bits & (1 << bit) != 0).collect();
        let path: String = (0..8)
            .map(|bit| match bits & (1 << bit) {
                0 => format!("/s{bit}"),
                _ => format!("/{{p{bit}}}"),
            })
            .collect();
        let list: Vec<String> = parameters
            .iter()
            .map(|bit| {
                format!("{{name: p{bit}, in: path, required: true, schema: {{type: string}}}}")
            })
            .collect();
        let _ = writeln!(
            paths,
            "  {path}:\n    parameters: [{}]\n    get: {{operationId: o{bits}, responses: {{\"200\": {{description: fine}}}}}}",
            list.join(", ")
        );
    }
    let document = format!("openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths:\n{paths}");
    let gateway = "version: 1\nname: s\napis: {a: {path: api.yaml}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream, timeout: 5s}\n";
    let files = [("gateway.yaml", gateway), ("api.yaml", &document)];
    let files = sources::project::files::Files::in_memory(files, Limits::default());
    let compiled = model::compile::project(files, &Vec::new());
    let mut each: std::collections::BTreeMap<diag::Span, usize> = std::collections::BTreeMap::new();
    let (mut all, mut counted) = (0, 0);
    for finding in &compiled.findings {
        if finding.lint.name == "ambiguous-template" {
            *each.entry(finding.span).or_default() += 1;
            let count = finding.message.strip_prefix("this path overlaps with ");
            match count.and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok()) {
                Some(count) => counted += count,
                None => all += 1,
            }
        }
    }
    assert!(each.values().all(|count| *count <= 6), "{each:?}");
    // Of two subsets of the eight parameters, neither within the other, by inclusion and
    // exclusion: (4^8 - 2 * 3^8 + 2^8) / 2.
    assert_eq!(all + counted, (65_536 - 2 * 6_561 + 256) / 2);
}
