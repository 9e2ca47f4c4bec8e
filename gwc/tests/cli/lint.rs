//! `gwc lint` as a user meets it.

use crate::project::Project;

#[test]
fn several_formats_in_one_run() {
    let project = Project::bare();
    project.edit(
        "orders.yaml",
        "operationId: getOrder",
        "operationId: listOrders",
    );
    let formats = [
        "human",
        "concise",
        "json",
        "jsonl",
        "sarif",
        "github",
        "gitlab",
        "junit",
        "checkstyle",
    ];
    let outputs: Vec<String> = formats
        .iter()
        .map(|format| format!("--output={format}=report.{format}"))
        .collect();
    let mut arguments = vec!["lint", "--format", "concise"];
    arguments.extend(outputs.iter().map(String::as_str));
    let ended = project.run(&arguments).with(1);
    assert!(
        ended.out.starts_with("orders.yaml:9:24: error[GW0320]: "),
        "{}",
        ended.out
    );
    assert_eq!(project.read("report.concise"), ended.out);
    for format in formats {
        let text = project.read(&format!("report.{format}"));
        assert!(
            text.contains("GW0320") || text.contains("duplicate-operation-id"),
            "{format}: {text}"
        );
    }
    let left: Vec<_> = std::fs::read_dir(project.path())
        .expect("a folder")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let project = Project::bare();
    project
        .run(&["lint", "--output", "json=missing/report.json"])
        .with(65)
        .says("cannot write `missing/report.json`");
    project
        .run(&["lint", "--output", "yaml=report"])
        .with(64)
        .says("`yaml` is no format");
    project
        .run(&["lint", "--output", "json"])
        .with(64)
        .says("FORMAT=FILE");
    project
        .run(&["lint", "--format", "yaml"])
        .with(64)
        .says("checkstyle");
}

#[test]
fn services_see_paths_from_the_working_folder() {
    let project = Project::bare();
    std::fs::create_dir(project.file("apis")).expect("a folder");
    project.write(
        "apis/a.yaml",
        "openapi: 3.0.3\ninfo: {title: t}\npaths: {}\n",
    );
    let ended = project
        .run(&["lint", "apis/a.yaml", "--format", "github"])
        .with(1);
    assert!(
        ended.out.starts_with("::error file=apis/a.yaml,line=2,"),
        "{}",
        ended.out
    );
    let both = ["lint", "apis/a.yaml", "orders.yaml", "--format"];
    project.run(&[&both[..], &["jsonl"]].concat()).with(1);
    project.run(&[&both[..], &["sarif"]].concat()).with(64);
}
