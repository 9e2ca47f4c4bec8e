//! Tests of YAML errors: gwc reports each mistake at its cause, with a correction.

use diag::{FileId, Sink, Sources, Tree};
use sources::syntax::{self, Limits};

/// First finding of a text as `LINE:COLUMN-COLUMN MESSAGE; help: HELP`, and the line of its related
/// location.
fn finding(text: &str) -> (String, Option<u32>) {
    let (mut sources, mut tree, mut sink) = (Sources::default(), Tree::default(), Sink::default());
    let file: FileId = sources.add("a.yaml", text);
    let source = sources.file(file);
    let _root = syntax::parse(file, source, &mut tree, &Limits::default(), &mut sink);
    let findings = sink.into_sorted();
    let Some(finding) = findings.first() else {
        return (String::new(), None);
    };
    let place = sources.position(finding.span);
    let help = finding.help.as_deref().unwrap_or("none");
    let related = finding.related.first();
    let related = related.map(|(span, _)| sources.position(*span).line);
    let (line, from, to) = (place.line, place.column, place.end_column);
    let message = &finding.message;
    (
        format!("{line}:{from}-{to} {message}; help: {help}"),
        related,
    )
}

/// Cases: text, expected finding, line of the related place.
const CASES: &[(&str, &str, Option<u32>)] = &[
    // Mistakes in indentation.
    (
        "info:\n  title: t\n   version: 1\n",
        "3:4-14 the indentation (3 spaces) matches no line above; help: indent it by 0 or by 2",
        Some(2),
    ),
    (
        "info:\n    title: t\n  version: 1\n",
        "3:3-13 the indentation (2 spaces) matches no line above; help: indent it by 0 or by 4",
        Some(2),
    ),
    (
        "a:\n  - name: x\n   in: y\n",
        "3:4-9 the indentation (3 spaces) matches no line above; help: indent it by 2 or by 4",
        Some(2),
    ),
    // Mistakes in quoting.
    (
        "a: \"3.1.0\nb:\n  c: \"t\"\n",
        "1:4-5 this `\"` is not closed; help: write \"3.1.0\"",
        Some(2),
    ),
    (
        "a: 'it\n",
        "1:4-5 this `'` is not closed; help: write 'it'",
        Some(2),
    ),
    (
        "a: 'it's'\n",
        "1:8-10 there is text after the closing `'`; help: write `''` for a quote in the string: \
'it''s'",
        None,
    ),
    (
        "a: \"x\" y\n",
        "1:7-9 there is text after the closing `\"`; help: write `\\\"` for a quote in the string: \
\"x\\\" y\"",
        None,
    ),
    (
        "a: \"\\d+\"\n",
        "1:5-7 `\\d` is not an escape of a string in double quotes; help: write `\\\\d`, or put \
the string in single quotes",
        None,
    ),
    // Mistakes in brackets.
    (
        "a: [1, 2\nb: 3\n",
        "1:4-5 this `[` is not closed; help: add `]`",
        Some(2),
    ),
    (
        "a: {x: 1\nb: 3\n",
        "1:4-5 this `{` is not closed; help: add `}`",
        Some(2),
    ),
    (
        "a: [1, 2\n",
        "1:4-5 this `[` is not closed; help: add `]`",
        None,
    ),
    (
        "a: [1]]\n",
        "1:7-8 this `]` has no matching `[`; help: remove it, or put the string in quotes",
        None,
    ),
    (
        "a: {x: 1 y: 2}\n",
        "1:11-12 a `,` or `}` is missing in front of this; help: none",
        None,
    ),
    // Tabs.
    (
        "a:\n\tb: 1\n",
        "2:1-2 a tab indents this line; help: indent with spaces",
        None,
    ),
    (
        "a:\n  b: 1\n\tc: 2\n",
        "3:1-2 a tab indents this line; help: indent with spaces",
        None,
    ),
    // Characters that are reserved in YAML.
    (
        "a: {{ value }}\n",
        "1:4-15 `{{ value }}` is not in quotes; help: a value that begins with `{` is a map; write \"{{ value }}\"",
        None,
    ),
    (
        "a: {{host}}/x # the host\n",
        "1:4-14 `{{host}}/x` is not in quotes; help: a value that begins with `{` is a map; write \"{{host}}/x\"",
        None,
    ),
    (
        "a: @foo/bar\n",
        "1:4-12 a string without quotes cannot begin with `@`; help: write \"@foo/bar\"",
        None,
    ),
    (
        "a: `foo`\n",
        "1:4-9 a string without quotes cannot begin with a backtick; help: write \"`foo`\"",
        None,
    ),
    (
        "a: %foo\n",
        "1:4-8 a string without quotes cannot begin with `%`; help: write \"%foo\"",
        None,
    ),
    (
        "a: >=1\n",
        "1:4-7 a string without quotes cannot begin with `>`; help: write \">=1\"",
        None,
    ),
    (
        "a: * b\n",
        "1:4-7 a string without quotes cannot begin with `*`; help: write \"* b\"",
        None,
    ),
    // Unresolved merge conflicts.
    (
        "a:\n  x: 1\n<<<<<<< HEAD\n  y: 2\n=======\n  y: 3\n>>>>>>> other\n",
        "3:1-13 unresolved merge conflict of Git; help: keep one side, and remove the lines with `<<<<<<<`, `=======` and `>>>>>>>`",
        None,
    ),
    // Values that begin with a comment.
    (
        "a: #fff\nb: 1\n",
        "1:4-8 `a` has no value: `#` begins a comment; help: write \"#fff\"",
        None,
    ),
    (
        "a: \"x\"#y\n",
        "1:7-9 `#` begins a comment only after a space; help: write a space in front of `#`, or \
put the whole string in quotes",
        None,
    ),
    ("a: # nothing yet\nb: 1\n", "", None),
    ("a: #fff\n  b: 1\n", "", None),
    // Colons in values.
    (
        "summary: Note: this is\n",
        "1:10-23 `Note: this is` contains `: ` and is not in quotes; help: write \"Note: this is\"",
        None,
    ),
    (
        "a: 1\nb:2\nc: 3\n",
        "2:1-4 there is no space after the colon of `b:2`; help: write `b: 2`",
        None,
    ),
    (
        "a: 1\nb\nc: 2\n",
        "2:1-2 `b` is a key without a colon; help: write `b:`, or indent it as a part of the text above",
        None,
    ),
    (
        "# reviewed\n[]\n# one\n- {a: 1}\n",
        "2:1-3 `[]` is an empty list, and items follow it; help: replace `[]` by the list",
        None,
    ),
    (
        "tags: - a\n",
        "1:7-8 a list item cannot be on the line of its key; help: begin a new line in front of \
`-`, or put the string in quotes",
        None,
    ),
];

#[test]
fn a_yaml_error_is_reported_at_its_cause() {
    let mut wrong = Vec::new();
    for (text, expected, line) in CASES {
        let found = finding(text);
        if (found.0.as_str(), found.1) != (*expected, *line) {
            wrong.push(format!(
                "{text:?}\n  found    {found:?}\n  expected {expected:?} {line:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
