//! Tests of invisible characters: gwc refuses them in names, and escapes them in output.

use crate::git::{commit, committed};
use crate::project::{PLAN_TEXT_FORMATS, Project, unescaped};

/// U+200B, U+00AD, U+061C, U+2060, bidirectional controls and C1, as YAML escapes them.
const ESCAPES: [&str; 8] = [
    "\\u200b", "\\u00ad", "\\u061c", "\\u2060", "\\u202e", "\\u2066", "\\u0085", "\\u009b",
];

#[test]
fn name_with_an_invisible_character_is_refused() {
    for escape in ESCAPES {
        for (old, new) in [
            ("operationId: listOrders,", "operationId: \"listOrders@\","),
            ("  /orders:\n", "  \"/ord@ers\":\n"),
            ("name: id, in: path", "name: \"i@d\", in: path"),
            (
                "operationId: listOrders,",
                "operationId: listOrders, tags: [\"a@\"],",
            ),
            ("security: [{key: []}]", "security: [{key: [\"sc@ope\"]}]"),
            (
                "operationId: listOrders,",
                "operationId: listOrders, x-gateway: {match: {headers: {\"x-a@\": {exact: a}}}},",
            ),
        ] {
            let project = Project::bare();
            project.edit("orders.yaml", old, &new.replace('@', escape));
            let ended = project.run(&["lint"]);
            assert_eq!(ended.code, 1, "{new}, {escape}: {ended:?}");
            let code = escape[2..].to_uppercase();
            assert!(
                ended.out.contains("GW0744") && ended.out.contains(&format!("U+{code}")),
                "{new}, {escape}: {ended:?}"
            );
            // The rule cannot be disabled.
            let silent = project.run(&["lint", "--rule", "invisible-character=off"]);
            assert_ne!(silent.code, 0, "{silent:?}");
        }
        let project = Project::bare();
        let text = project.read("gateway.yaml");
        project.write(
            "gateway.yaml",
            format!("{text}required: {{allow_public: [\"orders/{escape}a\"]}}\n"),
        );
        project.run(&["lint"]).with(1).contains("GW0744");
    }
}

#[test]
fn blank_character_in_a_name_is_refused() {
    for escape in [
        "\\u00a0", "\\u034f", "\\u115f", "\\u1160", "\\u2003", "\\u2800", "\\u3000", "\\u3164",
        "\\ufe0f", "\\uffa0",
    ] {
        for name in ["list@Orders", "listOrders@"] {
            let project = Project::bare();
            let new = format!("operationId: \"{}\",", name.replace('@', escape));
            project.edit("orders.yaml", "operationId: listOrders,", &new);
            let code = escape[2..].to_uppercase();
            project
                .run(&["lint"])
                .with(1)
                .contains("GW0744")
                .contains(&format!("U+{code}"));
        }
    }
    // An emoji in a tag's name has a variation selector, which is allowed.
    let project = Project::bare();
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, tags: [\"\\u26a0\\ufe0f orders\"],",
    );
    let ended = project.run(&["lint"]);
    assert!(!ended.out.contains("GW0744"), "{ended:?}");
}

#[test]
fn formats_for_programs_escape_invisible_characters() {
    let project = committed();
    let texts = ESCAPES.concat();
    project.write(
        "tests.yaml",
        format!("- {{name: t, request: GET /orders, expect: {{reason: \"a{texts}b\"}}}}\n"),
    );
    let gateway = project.read("gateway.yaml");
    project.write("gateway.yaml", format!("{gateway}tests: [tests.yaml]\n"));
    commit(&project, "two");
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        &format!("operationId: listOrders, summary: \"a{texts}b\","),
    );
    let seen = |c: char| !matches!(c, '\n' | '\t') && diag::text::is_invisible(c);
    let mut checked = 0;
    for (arguments, formats) in [
        (
            &["plan", "--against", "git:main"][..],
            &["json", "jsonl", "sarif", "gitlab"][..],
        ),
        (&["lint"], &["json", "jsonl", "sarif", "gitlab"]),
        (&["test"], &["json", "tap", "junit"]),
    ] {
        for format in formats {
            let ended = project.run(&[arguments, &["--format", format]].concat());
            assert!(
                !ended.out.contains(seen),
                "{arguments:?} {format}: {:?}",
                ended.out
            );
            let is_whole = ESCAPES.iter().all(|escape| ended.out.contains(escape));
            checked += usize::from(is_whole);
        }
    }
    // The texts are in both formats of the plan and in the results of tests.
    assert!(checked >= 2, "{checked}");
    let tap = project.run(&["test", "--format", "tap"]).out;
    assert!(tap.contains("\\\\u{202e}"), "{tap}");
}

#[test]
fn invisible_character_in_a_text_is_shown_escaped() {
    let project = committed();
    let summary: String = ESCAPES.concat();
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        &format!("operationId: listOrders, summary: \"a{summary}b\","),
    );
    for format in PLAN_TEXT_FORMATS {
        let ended = project
            .run(&["plan", "--against", "git:main", "--format", format])
            .with(0);
        for escape in ESCAPES {
            let hex = escape[2..].trim_start_matches('0');
            assert!(
                unescaped(&ended.out).contains(&format!("\\u{{{hex}}}")),
                "{format}, {escape}: {}",
                ended.out
            );
        }
        let seen = |c: char| !matches!(c, '\n' | '\t') && diag::text::is_invisible(c);
        assert!(!ended.out.contains(seen), "{format}: {:?}", ended.out);
    }
}
