//! Tests that the locations of findings are correct for every kind of source, and that carets are
//! printed below them.
//!
//! In the table, « and » enclose the token to which the finding must point. The tests count line
//! and column independently, and compare them with the JSON output and the printed output.

use gwc::output::{Report, human, json};
use model::compile::{self, Compiled};
use sources::project::files::Files;
use sources::syntax::Limits;

struct Case {
    what: &'static str,
    name: &'static str,
    /// Files by path. The first file is the document. Without a gateway.yaml, the test generates
    /// one.
    texts: &'static [(&'static str, &'static str)],
    environment: Option<&'static str>,
}

const HEAD: &str = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n";

const CASES: &[Case] = &[
    Case {
        what: "YAML",
        name: "unknown-field",
        texts: &[(
            "api.yaml",
            "HEADpaths: {}\ntags:\n  - name: a\n    «sumary2»: b\n",
        )],
        environment: None,
    },
    Case {
        what: "YAML with CRLF, BOM, a tab, wide characters and a comment",
        name: "unknown-value",
        texts: &[(
            "api.yaml",
            "\u{feff}HEAD# 漢字 😀\r\npaths: {}\r\ncomponents:\r\n  schemas:\r\n    漢字é😀:\t{description: \"ä😀\", \"type\":\t«'strin'»} # ü\r\n",
        )],
        environment: None,
    },
    Case {
        what: "JSON with CRLF, BOM, tabs, wide characters and escapes",
        name: "unknown-value",
        texts: &[(
            "api.json",
            "\u{feff}{\"openapi\": \"3.1.0\",\r\n\t\"info\": {\"title\": \"\\u00e9漢😀\", \"version\": \"1\"},\r\n\t\"paths\": {},\r\n\t\"components\": {\"schemas\": {\"漢字\": {\"description\": \"\\ud83d\\ude00\", \"type\":\t«\"strin\"»}}}\r\n}\r\n",
        )],
        environment: None,
    },
    Case {
        what: "a reference into another file, by an escaped name",
        name: "unknown-value",
        texts: &[
            (
                "api.yaml",
                "HEADpaths: {}\ncomponents: {schemas: {A: {$ref: 'parts/%C3%A4.json#/a~1b/c%7E0d'}}}\n",
            ),
            (
                "parts/ä.json",
                "{\"a/b\": {\n  \"c~d\": {\"type\": «\"strin\"»}}}\n",
            ),
        ],
        environment: None,
    },
    Case {
        what: "a reference of the wrong kind",
        name: "wrong-reference-kind",
        texts: &[(
            "api.yaml",
            "HEADpaths: {/a: {get: {parameters: [{$ref: «'#/components/schemas/A'»}], responses: {'200': {description: ok}}}}}\ncomponents: {schemas: {A: {type: string}}}\n",
        )],
        environment: None,
    },
    Case {
        what: "an anchor whose value stands in two places",
        name: "unknown-value",
        texts: &[(
            "api.yaml",
            "HEADpaths: {}\nx-one: &one {description: 漢, type: «strin»}\ncomponents: {schemas: {A: *one, B: *one}}\n",
        )],
        environment: None,
    },
    Case {
        what: "a merge key",
        name: "unknown-value",
        texts: &[(
            "api.yaml",
            "HEADpaths: {}\nx-one: &one {type: «strin»}\ncomponents: {schemas: {A: {<<: *one, description: d}}}\n",
        )],
        environment: None,
    },
    Case {
        what: "a key that is an alias",
        name: "unknown-field",
        texts: &[(
            "api.yaml",
            "HEADpaths: {}\nx-key: &key sumary2\ntags: [{name: a, «*key» : b}]\n",
        )],
        environment: None,
    },
    Case {
        what: "an overlay in JSON with tabs",
        name: "unknown-value",
        texts: &[
            (
                "api.yaml",
                "HEADpaths: {}\ncomponents: {schemas: {A: {description: d}}}\n",
            ),
            (
                "over.json",
                "{\"overlay\": \"1.0.0\", \"info\": {\"title\": \"漢\", \"version\": \"1\"},\r\n\t\"actions\": [{\"target\": \"$.components.schemas.*\",\r\n\t\t\"update\": {\"type\": «\"strin\"»}}]}\r\n",
            ),
        ],
        environment: None,
    },
    Case {
        what: "a document's value under an overlay that changed its neighbour",
        name: "unknown-value",
        texts: &[
            (
                "api.yaml",
                "HEADpaths: {}\ncomponents: {schemas: {A: {type: «strin»}}}\n",
            ),
            (
                "over.yaml",
                "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions: [{target: $.components.schemas.A, update: {description: d}}]\n",
            ),
        ],
        environment: None,
    },
    Case {
        what: "an environment's patch",
        name: "unit-missing",
        texts: &[
            ("api.yaml", "HEADpaths: {}\n"),
            (
                "prod.yaml",
                "\u{feff}# 漢字\r\ndefaults: {timeout:\t«5», max_body: 1MiB}\r\n",
            ),
        ],
        environment: Some("prod"),
    },
    Case {
        what: "a name in a patch that only the patched project could have",
        name: "unknown-upstream",
        texts: &[
            ("api.yaml", "HEADpaths: {}\n"),
            ("prod.yaml", "defaults:\n  upstream: «nowhere-at-all»\n"),
        ],
        environment: Some("prod"),
    },
    Case {
        what: "a variable's value",
        name: "bad-value",
        texts: &[
            (
                "api.yaml",
                "HEADx-gateway: {defaults: {timeout: \"${var:WAIT}\"}}\npaths: {}\n",
            ),
            (
                "gateway.yaml",
                "GATEWAYenvironments:\n  prod: {vars: {WAIT: «\"5 parsecs\"»}}\n",
            ),
        ],
        environment: Some("prod"),
    },
];

/// Files without the marks, and the marked location: path, start and end byte.
fn unmarked(case: &Case) -> (Vec<(String, String)>, (String, usize, usize)) {
    let of = |name: &str| case.texts.iter().any(|(path, _)| *path == name);
    let document = case.texts[0].0;
    let overlay = case.texts.iter().map(|(path, _)| *path);
    let overlay = overlay
        .filter(|path| path.starts_with("over"))
        .collect::<Vec<_>>();
    let gateway = format!(
        "version: 1\nname: s\nupstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\n\
defaults: {{upstream: u, security: upstream}}\napis: {{a: {{path: {document}, overlays: [{}]}}}}\n",
        overlay.join(", ")
    );
    let mut texts = Vec::new();
    let mut at = None;
    for (path, text) in case.texts {
        let text = text.replace("HEAD", HEAD).replace("GATEWAY", &gateway);
        let start = text.find('«');
        let text = text.replace('«', "");
        if let (Some(start), Some(end)) = (start, text.find('»')) {
            at = Some(((*path).to_owned(), start, end));
        }
        texts.push(((*path).to_owned(), text.replace('»', "")));
    }
    if !of("gateway.yaml") {
        let patch = if of("prod.yaml") {
            "environments: {prod: {patch: prod.yaml}}\n"
        } else {
            ""
        };
        texts.push(("gateway.yaml".to_owned(), format!("{gateway}{patch}")));
    }
    (texts, at.expect("a token is marked"))
}

/// Line and column of a byte, from 1. A byte order mark has no column, and a tab has one column.
fn position(text: &str, byte: usize) -> (u64, u64) {
    let before = text[..byte].trim_start_matches('\u{feff}');
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    (line as u64, column as u64)
}

fn report(compiled: &Compiled) -> Report<'_> {
    Report {
        files: &compiled.files,
        folder: "",
        findings: &compiled.findings,
        environment: None,
        cost: None,
        fail_on: diag::Level::Error,
    }
}

#[test]
fn findings_point_at_what_was_written() {
    for case in CASES {
        let (texts, (path, start, end)) = unmarked(case);
        let text = &texts.iter().find(|(name, _)| *name == path).expect("it").1;
        let files = Files::in_memory(
            texts
                .iter()
                .map(|(path, text)| (path.as_str(), text.as_str())),
            Limits::default(),
        );
        let compiled =
            compile::project_in(files, &Vec::new(), case.environment).expect("it is known");
        let document = json::document(&report(&compiled));
        let findings = document["findings"].as_array().expect("findings");
        let found: Vec<_> = findings
            .iter()
            .filter(|finding| finding["name"] == case.name)
            .collect();
        assert_eq!(found.len(), 1, "{}: {findings:#?}", case.what);
        let at = |line: &str, column: &str| {
            let number = |key: &str| found[0][key].as_u64().expect("a number");
            (number(line), number(column))
        };
        assert_eq!(found[0]["file"], path.as_str(), "{}", case.what);
        assert_eq!(at("line", "column"), position(text, start), "{}", case.what);
        assert_eq!(
            at("end_line", "end_column"),
            position(text, end),
            "{}",
            case.what
        );
        let human = human::render(&report(&compiled), human::Look::default());
        let under = carets(&human, &text[start..end]);
        assert!(under.is_ok(), "{}: {under:?}\n{human}", case.what);
    }
}

/// Checks that the line below the token underlines exactly the token.
fn carets(human: &str, token: &str) -> Result<(), String> {
    let width = |text: &str| -> usize { text.chars().map(columns).sum() };
    let lines: Vec<&str> = human.lines().collect();
    let mut seen = String::from("no line holds the token");
    for pair in lines.windows(2) {
        let [line, below] = pair else { continue };
        let is_source = line.contains(" │ ") && below.contains(" · ");
        if !is_source {
            continue;
        }
        for (at, _) in line.match_indices(token) {
            let start = below.find(['─', '┬', '▲', '╭', '╰']);
            let marks = start.map(|start| {
                let marks = below[start..].trim_end();
                let marks: String = marks.chars().take_while(|c| "─┬".contains(*c)).collect();
                (width(&below[..start]), marks.chars().count())
            });
            let expected = (width(&line[..at]), width(token));
            if marks == Some(expected) {
                return Ok(());
            }
            seen = format!("{marks:?} instead of {expected:?}");
        }
    }
    Err(seen)
}

/// Width of a character on a terminal, for the characters in the table.
fn columns(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' => 2,
        '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}' | '\u{1f300}'..='\u{1f9ff}' => 2,
        _ => 1,
    }
}
