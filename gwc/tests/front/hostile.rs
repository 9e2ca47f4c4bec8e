//! Tests of hostile inputs: gwc processes each input within a time limit and without a panic, and
//! returns a finding or a tree.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use diag::{Sink, Sources, Tree};
use gwc::output::human;
use sources::project::files::Files;
use sources::syntax::{self, Limits};

use prerequisite::corpus;

use crate::project;

/// Number of small texts that have the same total length as one large text.
const PARTS: usize = 16;

/// Maximum ratio of the time for a large text to the time for [`PARTS`] small ones. The ratio is 1
/// for linear work, and 16 for quadratic work.
const RATIO_MAX: u32 = 6;

/// Minimum time for a comparison. Shorter times are too inaccurate.
const TIME_MIN: Duration = Duration::from_millis(10);

/// Checks that the time for a text grows linearly with its size. Compares the time for one text of
/// `size` with the total time for [`PARTS`] texts of `size / PARTS`. Each time is the shortest of
/// up to three runs.
fn takes_linear_time(name: &str, size: usize, run: impl Fn(usize) -> Duration) {
    let (mut small, mut large) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        let parts = (0..PARTS).map(|_| run(size / PARTS));
        small = small.min(parts.sum());
        large = large.min(run(size));
        if large <= small.max(TIME_MIN) * RATIO_MAX {
            return;
        }
    }
    panic!("{name}: {small:?} for {PARTS} small texts, {large:?} for one of their size");
}

/// Time to parse a text. The text must have no findings.
fn time_of_names(path: &str, text: &str) -> Duration {
    let start = Instant::now();
    assert_eq!(names(path, text), Vec::<&str>::new(), "{path}");
    start.elapsed()
}

fn names(path: &str, text: &str) -> Vec<&'static str> {
    let (mut sources, mut tree, mut sink) = (Sources::default(), Tree::default(), Sink::default());
    let file = sources.add(path, text);
    syntax::parse(
        file,
        sources.file(file),
        &mut tree,
        &Limits::default(),
        &mut sink,
    );
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
    // Aliases of aliases expand to a depth of 300, although no line is nested.
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
    // Merge keys multiply values, too.
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
fn callbacks_are_bounded() {
    // One callback with 8 expressions, whose 8 methods each lead to the same callback three times.
    let below = "callbacks: {a: {$ref: '#/components/callbacks/C'}, b: {$ref: '#/components/callbacks/C'}, c: {$ref: '#/components/callbacks/C'}}";
    let document = |expressions: usize, methods: &[&str]| {
        let operation = |method: &str, at: usize| {
            format!(
                "{method}: {{operationId: o{at}, {below}, responses: {{\"200\": {{description: d}}}}}}"
            )
        };
        let methods: Vec<String> = methods
            .iter()
            .enumerate()
            .map(|(at, method)| operation(method, at))
            .collect();
        let expressions: Vec<String> = (0..expressions)
            .map(|at| format!("'{{$request.body#/u{at}}}': {{$ref: '#/components/pathItems/P'}}"))
            .collect();
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths: {{/a: {{get: {{operationId: x, {below}, \
             responses: {{\"200\": {{description: d}}}}}}}}}}\ncomponents:\n  pathItems: {{P: {{{}}}}}\n  \
             callbacks: {{C: {{{}}}}}\n",
            methods.join(", "),
            expressions.join(", ")
        )
    };
    let gateway = "version: 1\nname: s\napis: {a: {path: api.yaml}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream}\n";
    let methods = [
        "get", "put", "post", "delete", "options", "head", "patch", "trace",
    ];
    for (text, expected) in [
        (document(8, &methods), true),
        (document(1, &["post"]), false),
    ] {
        let files = [("gateway.yaml", gateway), ("api.yaml", &*text)];
        let compiled =
            model::compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
        let mut findings = compiled.findings.iter();
        assert_eq!(findings.any(|one| one.lint.name == "too-large"), expected);
    }
}

#[test]
fn long_texts_take_linear_time() {
    let line = |bytes: usize| format!("a: {}", "x".repeat(bytes));
    takes_linear_time("a long line", 50 << 20, |bytes| {
        time_of_names("a.yaml", &line(bytes))
    });
    takes_linear_time("a long string", 50 << 20, |bytes| {
        time_of_names("a.json", &format!("\"{}\"", &line(bytes)[3..]))
    });
    takes_linear_time("keys", 200_000, |count| {
        let keys: String = (0..count).map(|n| format!("k{n}: 1\n")).collect();
        time_of_names("a.yaml", &keys)
    });
    for path in ["a.json", "a.yaml"] {
        takes_linear_time(path, 500_000, |count| {
            time_of_names(path, &format!("[{}1]", "1,".repeat(count)))
        });
    }
    assert_eq!(names("a.yaml", &"x".repeat((64 << 20) + 1)), ["too-large"]);
}

#[test]
fn binary_garbage_is_refused() {
    // A small random number generator, with the same sequence in every run.
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
            let mut files = Files::in_memory([(name, bytes.clone())], Limits::default());
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
    let mut files = Files::in_memory([("a.yaml", bytes)], Limits::default());
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
    let lint = |text: &str| {
        let start = Instant::now();
        let linted = project::text(text);
        let _ = human::render(&linted.report(), human::Look::default());
        start.elapsed()
    };
    let (mut original, mut mutated) = (Duration::ZERO, Duration::ZERO);
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
        original += lint(&text);
        mutated += lint(&changed);
    }
    assert!(mutated < original * 10, "{original:?} {mutated:?}");
}

#[test]
fn long_and_circular_references_end() {
    let head =
        "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {}\ncomponents:\n  schemas:\n";
    // Test a long chain of references, and a cycle.
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
    // A JSON pointer that passes through the reference that contains it.
    let through = project::text(&format!(
        "{head}    A: {{$ref: '#/components/schemas/A/properties/x'}}\n"
    ));
    assert_eq!(through.names(), ["unresolved-reference"]);
    // Recursive schemas are valid.
    let recursive = project::text(&format!(
        "{head}    A: {{type: object, properties: {{a: {{$ref: '#/components/schemas/A'}}}}}}\n"
    ));
    assert_eq!(recursive.names(), Vec::<&str>::new());
}

#[test]
fn many_findings_are_written_in_linear_time() {
    takes_linear_time("findings", 5_000, |count| {
        let mut text = String::from(
            "{\"openapi\": \"3.0.3\", \"info\": {\"title\": \"t\", \"version\": \"1\"}, \"paths\": {",
        );
        for index in 0..count {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(
                text,
                "{comma}\"/p{index}\": {{\"gte\": {{\"responses\": {{}}}}}}"
            );
        }
        text.push_str("}}");
        let linted = project::memory(&[("openapi.json", &text)]);
        assert_eq!(linted.findings.len(), count);
        let start = Instant::now();
        let human = human::render(&linted.report(), human::Look::default());
        assert!(human.ends_with(&format!("{count} errors\n")));
        assert!(human.len() < count * 1_500, "{}", human.len());
        let json = gwc::output::json::document(&linted.report());
        assert_eq!(json["counts"]["error"], count);
        start.elapsed()
    });
}

#[test]
fn many_consumers_take_linear_time() {
    const GATEWAY: &str = "version: 1\nname: s\napis: {s: {path: api.yaml}}\n\
        upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9\"}}}}\n\
        consumers_file: consumers.json\ndefaults: {upstream: u, security: upstream}\n";
    const DOCUMENT: &str = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths: {}\n";
    takes_linear_time("consumers", 40_000, |count| {
        let consumers: Vec<String> = (0..count)
            .map(|index| {
                format!("\"consumer-{index}\": {{\"keys\": [{{\"sha256\": \"{index:064x}\"}}]}}")
            })
            .collect();
        let consumers = format!("{{{}}}", consumers.join(","));
        let files = [
            ("gateway.yaml", GATEWAY),
            ("api.yaml", DOCUMENT),
            ("consumers.json", &*consumers),
        ];
        let files = Files::in_memory(files, Limits::default());
        let start = Instant::now();
        let compiled = model::compile::project(files, &Vec::new());
        let time = start.elapsed();
        let read = compiled.findings.iter();
        let wrong = read.filter(|one| one.level == diag::Level::Error);
        assert_eq!(wrong.count(), 0);
        time
    });
}

/// OpenAPI 3.1 document in JSON with these schemas.
fn schemas(each: impl Iterator<Item = String>) -> String {
    let each: Vec<String> = each.collect();
    format!(
        "{{\"openapi\": \"3.1.0\", \"info\": {{\"title\": \"t\", \"version\": \"1\"}}, \"paths\": {{}}, \
\"components\": {{\"schemas\": {{{}}}}}}}",
        each.join(",")
    )
}

/// Reference to the schema with this number.
fn reference(to: usize) -> String {
    format!("{{\"$ref\": \"#/components/schemas/A{to}\"}}")
}

/// Document with schemas in a ring: each schema requires a property whose schema is the next one,
/// and the last refers to the first.
fn ring(size: usize) -> String {
    schemas((0..size).map(|n| {
        format!(
            "\"A{n}\": {{\"type\": \"object\", \"required\": [\"x\"], \"properties\": {{\"x\": {}}}}}",
            reference((n + 1) % size)
        )
    }))
}

fn chain(size: usize) -> String {
    let chain = (0..size).map(|n| format!("\"A{n}\": {}", reference(n + 1)));
    schemas(chain.chain([format!("\"A{size}\": {{\"type\": \"string\"}}")]))
}

fn circle(size: usize) -> String {
    schemas((0..size).map(|n| format!("\"A{n}\": {}", reference((n + 1) % size))))
}

/// Document with a schema whose items must be unique, and whose default is a list of different
/// numbers followed by `last`.
fn numbers(size: usize, last: &str) -> String {
    let numbers: Vec<String> = (0..size).map(|n| n.to_string()).collect();
    let list = numbers.join(",");
    schemas(
        [format!(
            "\"A\": {{\"type\": \"array\", \"items\": {{}}, \"uniqueItems\": true, \"default\": [{list}{last}]}}"
        )]
        .into_iter(),
    )
}

/// Document with a schema whose `enum` contains each value twice.
fn doubled(size: usize) -> String {
    let names: Vec<String> = (0..size)
        .map(|n| format!("\"n{}\"", n % (size / 2)))
        .collect();
    let list = names.join(",");
    schemas(
        [format!(
            "\"A\": {{\"type\": \"string\", \"enum\": [{list}]}}"
        )]
        .into_iter(),
    )
}

/// Document with a schema of many properties, most of them required.
fn required(size: usize) -> String {
    let names: Vec<String> = (0..size).map(|n| format!("\"n{n}\"")).collect();
    let properties: Vec<String> = names.iter().map(|name| format!("{name}: {{}}")).collect();
    schemas(
        [format!(
            "\"A\": {{\"type\": \"object\", \"required\": [{}], \"properties\": {{{}}}}}",
            names[..size / 6 * 5].join(","),
            properties.join(",")
        )]
        .into_iter(),
    )
}

/// Test case: name, size, function that creates a document of a size, and names of the expected
/// findings.
type Case = (
    &'static str,
    usize,
    fn(usize) -> String,
    &'static [&'static str],
);

/// Each of these cases would take seconds to minutes if gwc compared all pairs.
#[test]
fn large_schemas_take_linear_time() {
    let cases: [Case; 7] = [
        ("ring", 4_000, ring, &["endless-schema"]),
        ("chain", 100_000, chain, &["reference-cycle"]),
        ("circle", 50_000, circle, &["reference-cycle"]),
        ("unique", 100_000, |size| numbers(size, ""), &[]),
        (
            "not unique",
            100_000,
            |size| numbers(size, ",7.0"),
            &["value-outside-schema"],
        ),
        ("doubled", 100_000, doubled, &["duplicate-enum-value"; 21]),
        ("required", 60_000, required, &[]),
    ];
    for (name, size, document, expected) in cases {
        takes_linear_time(name, size, |size| {
            let text = document(size);
            let start = Instant::now();
            let linted = project::memory(&[("openapi.json", &text)]);
            let time = start.elapsed();
            let warnings = linted.findings.iter();
            let warnings = warnings.filter(|finding| finding.level >= diag::Level::Warn);
            let warnings: Vec<&str> = warnings.map(|finding| finding.lint.name).collect();
            assert_eq!(warnings, expected, "{name}");
            time
        });
    }
}

#[test]
fn overlapping_templates_are_reported_a_few_times() {
    // Each of eight segments is a literal or a parameter, so nearly all templates overlap.
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
    let files = Files::in_memory(files, Limits::default());
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
    // Number of pairs of subsets of eight parameters in which neither subset contains the other, by
    // inclusion and exclusion: (4^8 - 2 * 3^8 + 2^8) / 2.
    assert_eq!(all + counted, (65_536 - 2 * 6_561 + 256) / 2);
}

/// The test has no time limit of its own: without a bound in gwc, it would take hours.
#[test]
fn redacted_values_of_recursive_schemas_are_bounded() {
    let (count, operations) = (100, 50);
    let names = || (0..count).map(|number| format!("a{number}"));
    let members: Vec<String> = names()
        .map(|name| format!("{name}: {{$ref: '#/components/schemas/{name}'}}"))
        .collect();
    let members = members.join(", ");
    let mut document = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n".to_owned();
    // Each schema is used by two operations, and must have one finding.
    for (number, name) in names()
        .take(operations)
        .chain(names().take(operations))
        .enumerate()
    {
        let _ = writeln!(
            document,
            "  /p{number}: {{post: {{requestBody: {{content: {{application/json: {{schema: \
{{$ref: '#/components/schemas/{name}'}}}}}}}}, responses: {{\"200\": {{description: fine}}}}}}}}"
        );
    }
    document.push_str("components:\n  schemas:\n");
    for name in names() {
        let _ = writeln!(
            document,
            "    {name}: {{properties: {{{members}, mail: {{$ref: '#/components/schemas/mail'}}}}}}"
        );
    }
    document.push_str("    mail: {type: string, x-gateway: {redact: true}}\n");
    let gateway = "version: 1\nname: s\napis: {a: {path: api.yaml}}\n\
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\ndefaults: {upstream: u, security: upstream, timeout: 5s}\n";
    let files = [("gateway.yaml", gateway), ("api.yaml", &document)];
    let files = Files::in_memory(files, Limits::default());
    let compiled = model::compile::project(files, &Vec::new());
    let findings = compiled.findings.iter();
    let cut = findings.filter(|one| one.lint.name == "too-many-redacted-values");
    assert_eq!(cut.count(), operations);
}
