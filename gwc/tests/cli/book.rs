//! The pages about plans and routes run as they are written.

use std::fs;

use crate::git::{commit, git};
use crate::project::Project;

/// The commands of a page that are marked to be run.
fn commands(page: &str) -> Vec<Vec<String>> {
    let path = format!("{}/../docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(path).expect("the page is there");
    let blocks = page.split("<!-- run -->\n```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    lines
        .map(|line| {
            // Words, and one in double quotes.
            let words = line
                .split('"')
                .enumerate()
                .flat_map(|(index, part)| match index % 2 {
                    1 => vec![part.to_owned()],
                    _ => part.split_whitespace().map(str::to_owned).collect(),
                });
            words.collect()
        })
        .collect()
}

/// A released shop in Git, on a branch with a change that needs an acknowledgement.
fn branch() -> Project {
    let project = Project::released();
    project.write(".gitignore", "*.pem\n/releases/\n/public/\nplan.json\n");
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{text}acknowledge: reviewed.yaml\n"),
    );
    project.write("reviewed.yaml", "[]\n");
    git(project.path(), &["init", "-q", "-b", "main"]);
    commit(&project, "one");
    git(project.path(), &["checkout", "-qb", "open"]);
    project.edit(
        "orders.yaml",
        "operationId: getOrder,",
        "operationId: getOrder, summary: Get an order,",
    );
    project.change("6s");
    project
}

#[test]
fn the_page_on_plans_runs_as_it_is_written() {
    let project = branch();
    // The acknowledgement file that is shown is one.
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/plan.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let (_, rest) = page
        .split_once("<!-- file reviewed.yaml -->\n```yaml\n")
        .expect("a file");
    project.write("reviewed.yaml", rest.split("```").next().expect("it ends"));
    let ended = project.run(&["plan"]).with(0);
    assert!(
        ended
            .err
            .contains("reviewed.yaml:2:3: warning: no change has"),
        "{}",
        ended.err
    );
    follow(&project, "plan.md", 3);
}

#[test]
fn the_page_on_routes_runs_as_it_is_written() {
    let project = branch();
    project.run(&["build", "-o", "shop.tar"]).with(0);
    follow(&project, "route.md", 8);
}

#[test]
fn the_page_on_pull_requests_runs_as_it_is_written() {
    follow(&branch(), "ci.md", 7);
}

fn follow(project: &Project, page: &str, count: usize) {
    let commands = commands(page);
    assert_eq!(commands.len(), count, "{commands:?}");
    for command in commands {
        assert_eq!(command[0], "gwc", "{command:?}");
        let words: Vec<&str> = command[1..].iter().map(String::as_str).collect();
        project.run(&words).with(0);
    }
}
