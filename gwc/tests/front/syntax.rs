//! Tests that the YAML and JSON parsers give the same tree, with exact locations.

use diag::{FileId, Kind, NodeId, NodeRef, Sink, Sources, Tree};
use sources::syntax::{self, Limits};

/// Parsed text.
struct Parsed {
    sources: Sources,
    tree: Tree,
    root: Option<NodeId>,
    findings: Vec<diag::Diagnostic>,
}

fn parse(path: &str, text: &str) -> Parsed {
    let (mut sources, mut tree, mut sink) = (Sources::default(), Tree::default(), Sink::default());
    let file = sources.add(path, text);
    let root = syntax::parse(
        file,
        sources.file(file),
        &mut tree,
        &Limits::default(),
        &mut sink,
    );
    Parsed {
        sources,
        tree,
        root,
        findings: sink.into_sorted(),
    }
}

fn yaml(text: &str) -> Parsed {
    parse("a.yaml", text)
}

impl Parsed {
    /// Tree as compact text: `{a:1,b:["x"]}`.
    fn shown(&self) -> String {
        self.root
            .map_or("-".into(), |root| show(self.tree.at(root)))
    }

    /// Findings as `NAME LINE:COLUMN`.
    fn finding_lines(&self) -> Vec<String> {
        let line = |finding: &diag::Diagnostic| {
            let place = self.sources.position(finding.span);
            format!("{} {}:{}", finding.lint.name, place.line, place.column)
        };
        self.findings.iter().map(line).collect()
    }

    fn at(&self, path: &[&str]) -> NodeRef<'_> {
        let root = self.tree.at(self.root.expect("a root"));
        path.iter()
            .fold(root, |node, key| match key.parse::<usize>() {
                Ok(index) if node.is_list() => node.items().nth(index).expect("an item"),
                _ => node.get(key).expect("a key"),
            })
    }

    fn text(&self, path: &[&str]) -> &str {
        self.sources.text(self.at(path).span())
    }
}

fn show(node: NodeRef<'_>) -> String {
    match node.kind() {
        Kind::Null => "null".into(),
        Kind::Bool(truth) => truth.to_string(),
        Kind::Number(text) => text.to_string(),
        Kind::String(text) => format!("{text:?}"),
        Kind::List(_) => {
            let items: Vec<String> = node.items().map(show).collect();
            format!("[{}]", items.join(","))
        }
        Kind::Map(_) => {
            let entries: Vec<String> = node
                .entries()
                .map(|(entry, value)| format!("{}:{}", entry.key, show(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
    }
}

#[test]
fn equal_yaml_and_json_give_equal_trees() {
    let json = r#"{"a": [1, -2.5e3, true, null, "x\n\u00e9\ud83d\ude00\/"], "b": {"c": {}, "d": []}, "": "e"}"#;
    let block =
        "a:\n- 1\n- -2.5e3\n- true\n- null\n- \"x\\né😀/\"\nb:\n  c: {}\n  d: []\n\"\": e\n";
    let expected = r#"{a:[1,-2.5e3,true,null,"x\né😀/"],b:{c:{},d:[]},:"e"}"#;
    for (path, text) in [("a.json", json), ("a.yaml", json), ("a.yaml", block)] {
        let parsed = parse(path, text);
        assert_eq!(parsed.finding_lines(), Vec::<String>::new());
        assert_eq!(parsed.shown(), expected);
    }
}

#[test]
fn scalars_follow_the_core_schema() {
    let parsed = yaml(
        "[yes, no, on, y, 010, 1.10, 0x1F, ~, , 'null', \"1\", !!str 5, !!int \"5\", 2027-06-30]",
    );
    assert_eq!(parsed.finding_lines(), ["malformed-yaml 1:38"]);
    let parsed = yaml(
        "[yes, no, on, y, 010, 1.10, 0x1F, ~, 'null', \"1\", !!str 5, !!int \"5\", 2027-06-30]",
    );
    assert_eq!(
        parsed.shown(),
        r#"["yes","no","on","y",010,1.10,0x1F,null,"null","1","5",5,"2027-06-30"]"#
    );
    assert_eq!(yaml("").shown(), "null");
    assert_eq!(yaml("# only a comment\n").shown(), "null");
    assert_eq!(yaml("a:\nb:\n").shown(), "{a:null,b:null}");
    assert_eq!(
        yaml("200: ok\ntrue: x\n1.0: y\n").shown(),
        r#"{200:"ok",true:"x",1.0:"y"}"#
    );
}

#[test]
fn places_are_exact() {
    let text = "\u{feff}ä: 漢字\r\nb:\t'q''q'\r\nlist:\r\n  - {k: [1, \"zwei\"]}\r\n  - plain text # comment\r\nblock: |\r\n  one\r\n  two\r\n\r\nlast: x\r\n";
    let parsed = yaml(text);
    assert_eq!(parsed.finding_lines(), Vec::<String>::new());
    assert_eq!(parsed.text(&["ä"]), "漢字");
    assert_eq!(parsed.text(&["b"]), "'q''q'");
    assert_eq!(parsed.text(&["list", "0"]), "{k: [1, \"zwei\"]}");
    assert_eq!(parsed.text(&["list", "0", "k", "1"]), "\"zwei\"");
    assert_eq!(parsed.text(&["list", "1"]), "plain text");
    assert_eq!(parsed.text(&["block"]), "one\r\n  two");
    assert_eq!(parsed.text(&["last"]), "x");
    assert_eq!(
        parsed.text(&["list"]),
        "- {k: [1, \"zwei\"]}\r\n  - plain text"
    );
    let place = parsed.sources.position(parsed.at(&["ä"]).span());
    assert_eq!((place.line, place.column, place.end_column), (1, 4, 6));
    let root = parsed.at(&[]);
    assert!(parsed.sources.text(root.span()).starts_with("ä: "));
    assert!(parsed.sources.text(root.span()).ends_with("last: x"));
    for (entry, _) in root.entries() {
        assert_eq!(parsed.sources.text(entry.key_span), &*entry.key);
    }
}

#[test]
fn places_in_json_are_exact() {
    let parsed = parse("a.json", "\u{feff}{\"ä\": [1, {\"b\" : \"漢\\n\"}]}\n");
    assert_eq!(parsed.text(&["ä"]), "[1, {\"b\" : \"漢\\n\"}]");
    assert_eq!(parsed.text(&["ä", "1", "b"]), "\"漢\\n\"");
    let (entry, _) = parsed.at(&["ä", "1"]).entry("b").expect("the key");
    assert_eq!(parsed.sources.text(entry.key_span), "\"b\"");
    let place = parsed.sources.position(entry.key_span);
    assert_eq!((place.line, place.column), (1, 12));
}

#[test]
fn aliases_are_one_node() {
    let parsed = yaml("a: &x {n: [1]}\nb: *x\nc: [*x, *x]\n");
    assert_eq!(parsed.shown(), "{a:{n:[1]},b:{n:[1]},c:[{n:[1]},{n:[1]}]}");
    assert_eq!(parsed.at(&["a"]).id(), parsed.at(&["b"]).id());
    assert_eq!(parsed.at(&["a"]).id(), parsed.at(&["c", "1"]).id());
    let parsed = yaml("&k key: 1\nb: *k\n*k : 2\n");
    assert_eq!(parsed.finding_lines(), ["duplicate-map-key 3:1"]);
    assert_eq!(parsed.shown(), r#"{key:1,b:"key"}"#);
    // An anchor can be redefined; an alias refers to the nearest one before it.
    assert_eq!(yaml("- &x 1\n- *x\n- &x 2\n- *x\n").shown(), "[1,1,2,2]");
}

#[test]
fn merge_keys_merge() {
    let parsed = yaml(
        "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nc: {<<: *b, y: 9}\nd: {<<: [*b, *m], w: 0}\ne: {\"<<\": 1}\nf: {<<: {q: 1}}\n",
    );
    assert_eq!(parsed.finding_lines(), Vec::<String>::new());
    assert_eq!(show(parsed.at(&["c"])), "{y:9,x:1}");
    assert_eq!(show(parsed.at(&["d"])), "{w:0,x:1,y:2,z:4}");
    assert_eq!(show(parsed.at(&["e"])), "{<<:1}");
    assert_eq!(show(parsed.at(&["f"])), "{q:1}");
    assert_eq!(yaml("a: {<<: 1}").finding_lines(), ["bad-merge-key 1:9"]);
    assert_eq!(yaml("a: {<<: [1]}").finding_lines(), ["bad-merge-key 1:9"]);
}

#[test]
fn yaml_mistakes_are_reported_at_their_place() {
    for (text, expected) in [
        ("a: 1\nb: 2\na: 3\n", "duplicate-map-key 3:1"),
        ("&x {b: *x}\n", "cyclic-alias 1:8"),
        ("a: &x [1, [*x]]\n", "cyclic-alias 1:12"),
        ("a: *x\nb: &x 1\n", "unknown-anchor 1:4"),
        ("a: 1\n---\nb: 2\n", "several-documents 2:1"),
        ("{[a]: 1}\n", "complex-key 1:2"),
        ("? {a: 1}\n: 2\n", "complex-key 1:3"),
        ("a: \"x\n", "malformed-yaml 1:4"),
        ("a:\n\t- b\n", "malformed-yaml 2:1"),
        ("a: b: c\n", "malformed-yaml 1:4"),
        // Unclosed brackets, which the parser detects in different states.
        ("a: [1, 2\nb: 3\n", "malformed-yaml 1:4"),
        ("a: {x: 1, y: 2\nb: 3\n", "malformed-yaml 1:4"),
        ("a: {x: [1, \"]\", # ]\n 2\nb: 3\n", "malformed-yaml 1:8"),
        ("a: [\n  x: 1,\nb: 2\nc: 3\n", "malformed-yaml 1:4"),
        ("a:\n  - {b: 1\n  - {c: 2}\n", "malformed-yaml 2:5"),
        ("a: &x !!map {x: 1\nb: 2\n", "malformed-yaml 1:13"),
        ("a: {b: {c: 1}\nb: 2\n", "malformed-yaml 1:4"),
        ("a: [1, 2", "malformed-yaml 1:4"),
        // Missing commas inside closed brackets, and other errors.
        ("a:\n  - {b: 1,\n     c: 2 d: 3}\n", "malformed-yaml 3:12"),
        ("a: b[1\n c: 2\n", "malformed-yaml 2:2"),
        ("a: 'ä\u{0}'\n", "not-text 1:6"),
    ] {
        assert_eq!(yaml(text).finding_lines(), [expected], "{text:?}");
    }
    let two = yaml("{a: 1, a: 2, b: 3, b: 4}");
    assert_eq!(
        two.finding_lines(),
        ["duplicate-map-key 1:8", "duplicate-map-key 1:20"]
    );
    assert_eq!(two.shown(), "{a:1,b:3}");
    let related = &two.findings[0].related;
    assert_eq!(related.len(), 1);
    assert_eq!(two.sources.position(related[0].0).column, 2);
    assert_eq!(
        yaml("---\na: 1\n...\n").finding_lines(),
        Vec::<String>::new()
    );
    assert_eq!(yaml("%YAML 1.2\n---\na: 1\n").shown(), "{a:1}");
}

#[test]
fn json_mistakes_are_reported_at_their_place() {
    for (text, column, part) in [
        ("[1, 2,]", 6, "comma"),
        ("{\"a\": 1,}", 8, "comma"),
        ("[1 2]", 4, "expected `,` or `]`"),
        ("{\"a\" 1}", 6, "`:`"),
        ("{a: 1}", 2, "double quotes"),
        ("{'a': 1}", 2, "double quotes"),
        ("[\"abc]", 2, "not closed"),
        ("[\"a\nb\"]", 2, "not closed"),
        ("[\"a\\q\"]", 4, "escape"),
        ("[\"\\ud800\"]", 3, "surrogate"),
        ("[\"\\ud800\\u0041\"]", 3, "surrogate"),
        ("[\"\\udc00\"]", 3, "surrogate"),
        ("[\"\\u12g4\"]", 3, "four hexadecimal"),
        ("[\"\\u12", 3, "four hexadecimal"),
        ("[\"\\", 3, "escape"),
        ("[01]", 2, "number"),
        ("[1.]", 2, "number"),
        ("[-]", 2, "number"),
        ("[+1]", 2, "expected a value"),
        ("[NaN]", 2, "not JSON"),
        ("[True]", 2, "not JSON"),
        ("[1] // no", 5, "end of the file"),
        ("[", 2, "the file ends"),
        ("", 1, "the file ends"),
        ("[\"\u{1}\"]", 3, "control character"),
        ("{\"a\":1,\"a\":2}", 8, "twice"),
    ] {
        let parsed = parse("a.json", text);
        assert_eq!(parsed.findings.len(), 1, "{text:?}");
        let place = parsed.sources.position(parsed.findings[0].span);
        assert_eq!(
            place.column, column,
            "{text:?}: {}",
            parsed.findings[0].message
        );
        assert!(
            parsed.findings[0].message.contains(part),
            "{text:?}: {}",
            parsed.findings[0].message
        );
    }
    // Each span has the id of its file.
    assert_eq!(parse("a.json", "1").at(&[]).span().file, FileId(0));
}

#[test]
fn every_place_in_real_documents_holds_its_value() {
    let corpus = prerequisite::corpus::folder();
    for name in [
        "museum.yaml",
        "figma.yaml",
        "stripe.yaml",
        "xero_accounting.yaml",
        "discord.json",
    ] {
        let text = std::fs::read_to_string(corpus.join("specs").join(name)).expect("the document");
        let parsed = parse(name, &text);
        assert_eq!(parsed.finding_lines(), Vec::<String>::new(), "{name}");
        let mut checked = 0;
        for index in 0..parsed.tree.len() {
            let node = parsed
                .tree
                .at(NodeId(u32::try_from(index).expect("few nodes")));
            let written = parsed.sources.text(node.span());
            assert!(
                node.is_null() || !written.is_empty(),
                "{name}: {:?}",
                node.kind()
            );
            let fits = |value: &str, written: &str| {
                let plain = written == value;
                plain || written.starts_with(['"', '\'']) || written.contains('\n')
            };
            if let Some(value) = node.scalar_text() {
                assert!(fits(value, written), "{name}: {value:?} at {written:?}");
                checked += 1;
            }
            for (entry, value) in node.entries() {
                let key = parsed.sources.text(entry.key_span);
                assert!(fits(&entry.key, key), "{name}: {:?} at {key:?}", entry.key);
                let inside = node.span().start <= entry.key_span.start
                    && value.span().end <= node.span().end;
                assert!(inside, "{name}: {:?}", entry.key);
            }
        }
        assert!(checked > 100, "{name}");
    }
}

#[test]
fn block_scalar_at_the_end_has_no_final_line_break() {
    for (text, shown) in [
        ("a: |\n  x", r#"{a:"x"}"#),
        ("a: |+\n  x", r#"{a:"x"}"#),
        ("a: >\n  x\n  y", r#"{a:"x y"}"#),
        ("a: |\n  x\n", r#"{a:"x\n"}"#),
        ("a: |+\n  x\n\n", r#"{a:"x\n\n"}"#),
        ("a: |\n  x\n# end", r#"{a:"x\n"}"#),
    ] {
        assert_eq!(yaml(text).shown(), shown, "{text:?}");
    }
}
