//! Tests that findings and bundles do not depend on the number or the order of threads.

use std::fmt::Write as _;

use gwc::assemble::assemble;
use model::compile::{self, Compiled};
use sources::parallel::with_threads;
use sources::project::files::Files;
use sources::syntax::Limits;

const APIS: usize = 24;

/// Files of a project whose APIs have different sizes and share a file. `wrong`: true to add
/// mistakes.
fn project(wrong: bool) -> Vec<(String, String)> {
    let mut gateway = String::from(
        "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:1\"}}}}\ndefaults: {upstream: u, security: upstream}\napis:\n",
    );
    let mut files = Vec::new();
    for api in 0..APIS {
        let _ = writeln!(
            gateway,
            "  a{api}: {{path: apis/{api}.yaml, overlays: [apis/{api}.over.yaml], mount: {{base_path: /a{api}}}}}"
        );
        let mut text = String::from("openapi: 3.1.0\ninfo: {title: t, version: v}\npaths:\n");
        for path in 0..1 + (api * 7) % 23 {
            let responses = if wrong && path % 5 == 3 {
                "{'2000': {description: d}}"
            } else {
                "{'200': {$ref: '../shared.yaml#/R'}}"
            };
            let _ = writeln!(
                text,
                "  /p{path}/{{id}}:\n    get:\n      parameters: [{{name: id, in: path, required: true, schema: {{$ref: 'own{}.yaml'}}}}]\n      responses: {responses}",
                api % 5
            );
        }
        files.push((format!("apis/{api}.yaml"), text));
        files.push((
            format!("apis/{api}.over.yaml"),
            "overlay: 1.0.0\ninfo: {title: o, version: v}\nactions: [{target: $.info, update: {description: d}}]\n".into(),
        ));
    }
    for own in 0..5 {
        let schema = if wrong {
            "{type: strin, default: 1}"
        } else {
            "{type: string}"
        };
        files.push((format!("apis/own{own}.yaml"), schema.to_owned()));
    }
    files.push((
        "shared.yaml".into(),
        "R: {description: d, headers: {H: {$ref: 'deep/h.yaml'}}}\n".into(),
    ));
    files.push(("deep/h.yaml".into(), "schema: {type: integer}\n".into()));
    files.push(("gateway.yaml".into(), gateway));
    files
}

/// All output of a compilation.
fn output_of(compiled: &Compiled) -> String {
    let mut text = String::new();
    for (_, file) in compiled.files.sources.iter() {
        let _ = writeln!(text, "{}", file.path());
    }
    for finding in &compiled.findings {
        let what = (
            finding.lint.code,
            finding.places,
            &finding.related,
            &finding.help,
        );
        let _ = writeln!(
            text,
            "{:?} {:?} {} {what:?}",
            finding.span, finding.level, finding.message
        );
    }
    if let Some(lowered) = &compiled.lowered {
        let bundle = assemble(lowered).expect("a bundle");
        let _ = writeln!(text, "{}", bundle.id());
    }
    text
}

#[test]
fn the_number_of_threads_changes_nothing() {
    for wrong in [false, true] {
        let run = |threads| {
            let files = Files::in_memory(project(wrong), Limits::default());
            let compile = || output_of(&compile::project(files, &Vec::new()));
            with_threads(threads, compile).expect("threads")
        };
        let alone = run(1);
        let found = alone.matches(" Error ").count();
        assert_eq!(alone.contains("sha256:"), !wrong, "{alone}");
        assert_eq!(found > 10, wrong, "{alone}");
        for threads in [2, 3, 8, 2, 3, 8] {
            assert_eq!(run(threads), alone, "{threads} threads");
        }
    }
}
