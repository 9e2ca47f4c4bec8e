//! The pages about plans and routes run as they are written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::git::{commit, git};
use crate::project::{Project, command, run};

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
    project.write(
        ".gitignore",
        "*.pem\n/releases/\n/public/\n/elsewhere/\nplan.json\n",
    );
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

/// What each step of a workflow runs, in order: the `run` of a page or a file.
fn steps(text: &str) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    let mut block: Option<usize> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        if let Some(column) = block {
            if indent > column || line.is_empty() {
                let step = steps.last_mut().expect("a step has begun");
                step.push_str(line);
                step.push('\n');
                continue;
            }
            block = None;
        }
        match line.trim_start().strip_prefix("run: ") {
            Some("|") => {
                steps.push(String::new());
                block = Some(indent);
            }
            Some(one) => steps.push(one.to_owned()),
            None => {}
        }
    }
    steps
}

/// Runs steps as GitHub does, until one fails: the code, and the comment that was written.
fn job(project: &Project, steps: &[String]) -> (i32, Option<String>) {
    let tools = project.file("elsewhere");
    fs::create_dir_all(&tools).expect("there is room");
    let gh = tools.join("gh");
    // In place of GitHub: `gh pr comment NUMBER --body-file FILE …`.
    let script = "#!/bin/sh\n[ \"$1 $2 $3 $4\" = 'pr comment 7 --body-file' ] && cp \"$5\" elsewhere/posted.md\n";
    fs::write(&gh, script).expect("there is room");
    fs::set_permissions(&gh, fs::Permissions::from_mode(0o755)).expect("it may be run");
    let _ = fs::remove_file(tools.join("posted.md"));
    let program = Path::new(env!("CARGO_BIN_EXE_gwc"));
    let folder = program.parent().expect("it has a folder");
    let path = format!(
        "{}:{}:{}",
        tools.display(),
        folder.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = tools.join("output");
    fs::write(&output, "").expect("there is room");
    let mut code = 0;
    for step in steps {
        let said = fs::read_to_string(&output).expect("it is there");
        let said = said.trim().strip_prefix("code=").unwrap_or_default();
        let ended = run(Command::new("bash")
            .args(["-e", "-c", step])
            .current_dir(project.path())
            .env("PATH", &path)
            .env("BASE", "main")
            .env("PULL", "7")
            .env("CODE", said)
            .env("GITHUB_OUTPUT", &output));
        code = ended.code;
        if code != 0 {
            break;
        }
    }
    (code, fs::read_to_string(tools.join("posted.md")).ok())
}

/// The steps comment in each case, and end as the gates say.
fn check_job(steps: &[String]) {
    let project = branch();
    git(
        project.path(),
        &["update-ref", "refs/remotes/origin/main", "main"],
    );
    let (code, comment) = job(&project, steps);
    assert_eq!(code, 0);
    let comment = comment.expect("a comment");
    assert!(comment.contains("### Gateway plan: changes"), "{comment}");
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    let (code, comment) = job(&project, steps);
    assert_eq!(code, 1);
    let comment = comment.expect("the one that trips a gate needs it most");
    assert!(comment.contains("### Gateway plan: blocked"), "{comment}");
    let review: serde_json::Value =
        serde_json::from_str(&project.read("review.json")).expect("the same run wrote it");
    let by = review["gates"][0]["by"][0].as_str().expect("one");
    project.write(
        "reviewed.yaml",
        format!("- {{fingerprint: \"{by}\", reason: why, by: ann}}\n"),
    );
    assert_eq!(job(&project, steps).0, 0);
}

#[test]
fn the_steps_of_a_pull_request_comment_always_and_then_decide() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ci.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let (_, rest) = page.split_once("<!-- steps -->\n```yaml\n").expect("steps");
    let steps = steps(rest.split("```").next().expect("they end"));
    assert_eq!(steps.len(), 3, "{steps:?}");
    check_job(&steps);
}

#[test]
fn the_workflow_that_init_writes_does_the_same() {
    let folder = tempfile::tempdir().expect("there is room");
    run(command(folder.path()).args(["init", "shop"])).with(0);
    let workflow = folder.path().join("shop/.github/workflows/gateway.yaml");
    let workflow = fs::read_to_string(workflow).expect("init wrote it");
    assert!(workflow.contains("fetch-depth: 0"), "{workflow}");
    let steps = steps(&workflow);
    assert_eq!(steps[..2], ["gwc lint", "gwc build"]);
    check_job(&steps);
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
