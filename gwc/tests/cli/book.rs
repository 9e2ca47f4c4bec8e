//! Tests that the commands in the documentation pages about plans and routes run as written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::git::{commit, git};
use crate::project::{Project, command, run};

/// Commands of a page in code blocks marked `<!-- run -->`, each as a list of words.
fn commands(page: &str) -> Vec<Vec<String>> {
    let path = format!("{}/../docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(path).expect("the page is there");
    let blocks = page.split("<!-- run -->\n```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    lines
        .map(|line| {
            // Splits a line at blanks, except inside double quotes.
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

/// Creates a released project in Git, on a branch with a change that needs an acknowledgement to
/// pass.
fn branch() -> Project {
    let project = Project::new();
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
    project.apply("first").with(0);
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
    // The example in the page is a valid acknowledgement file.
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
    project.write("reviewed.yaml", "[]\n");
    follow(&project, "plan.md", 3);
}

#[test]
fn the_page_on_routes_runs_as_it_is_written() {
    let project = branch();
    project.run(&["build", "-o", "shop.tar"]).with(0);
    follow(&project, "route.md", 9);
}

#[test]
fn the_page_on_invariants_runs_as_it_is_written() {
    let project = Project::bare();
    let gateway = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{gateway}invariants: [rules.yaml]\n"),
    );
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/invariants.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let (_, rest) = page
        .split_once("<!-- file rules.yaml -->\n```yaml\n")
        .expect("a file");
    project.write("rules.yaml", rest.split("```").next().expect("it ends"));
    follow(&project, "invariants.md", 1);
    // Change the project so that its operations satisfy the invariants of the page.
    project.edit(
        "orders.yaml",
        "security: [{key: []}]",
        "security: [{key: []}, {}]",
    );
    project
        .run(&["lint"])
        .with(1)
        .contains("violates the invariant");
}

#[test]
fn the_page_on_tests_runs_as_it_is_written() {
    let project = Project::bare();
    let gateway = project.read("gateway.yaml");
    project.write("gateway.yaml", format!("{gateway}tests: [tests/*.yaml]\n"));
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tests.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let (_, rest) = page
        .split_once("<!-- file tests/orders.yaml -->\n```yaml\n")
        .expect("a file");
    fs::create_dir(project.path().join("tests")).expect("there is room");
    project.write(
        "tests/orders.yaml",
        rest.split("```").next().expect("it ends"),
    );
    follow(&project, "tests.md", 5);
}

#[test]
fn the_page_on_pull_requests_runs_as_it_is_written() {
    follow(&branch(), "ci.md", 7);
}

/// Commands of the steps in a workflow or page, in order (`run` keys).
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

/// Jobs of a workflow: name and text.
fn jobs(workflow: &str) -> Vec<(String, String)> {
    let (_, jobs) = workflow.split_once("\njobs:\n").expect("there are jobs");
    let mut found: Vec<(String, String)> = Vec::new();
    for line in jobs.lines() {
        let name = line
            .strip_prefix("  ")
            .and_then(|line| line.strip_suffix(':'));
        match name.filter(|name| !name.starts_with(' ')) {
            Some(name) => found.push((name.to_owned(), String::new())),
            None => {
                if let Some((_, text)) = found.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
    }
    found
}

/// Folder of a simulated CI runner, with its tools and its temporary folder.
struct Runner {
    folder: tempfile::TempDir,
}

impl Runner {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        Self { folder }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Runs steps as GitHub does, until one fails. Returns the exit code.
    fn run(&self, folder: &Path, steps: &[String], environment: &[(&str, &str)]) -> i32 {
        let program = Path::new(env!("CARGO_BIN_EXE_gwc"));
        let path = format!(
            "{}:{}:{}",
            self.folder.path().display(),
            program.parent().expect("it has a folder").display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let output = self.file("output");
        fs::write(&output, "").expect("there is room");
        let mut log = String::new();
        for step in steps {
            let outputs = fs::read_to_string(&output).expect("it is there");
            let code = outputs.lines().find_map(|line| line.strip_prefix("code="));
            let ended = run(Command::new("bash")
                .args(["-e", "-o", "pipefail", "-c", step])
                .current_dir(folder)
                .env("PATH", &path)
                .env("RUNNER_TEMP", self.folder.path())
                .env("GITHUB_PATH", self.file("path"))
                .env("GITHUB_OUTPUT", &output)
                .env("GWC_URL", "")
                .env("GWC_SHA256", "")
                .env("ENVIRONMENTS", "")
                .env("BASE", "HEAD")
                .env("CODE", code.unwrap_or_default())
                .env("GWC_ACTOR", "runner")
                .envs(environment.iter().copied()));
            log += &ended.out;
            fs::write(self.file("log"), &log).expect("there is room");
            if ended.code != 0 {
                return ended.code;
            }
        }
        0
    }

    /// Reads the comment with the plan that the last run wrote.
    fn comment(&self) -> String {
        fs::read_to_string(self.file("gwc-plan/comment.md")).expect("it is there")
    }

    /// Reads the standard output of the last run.
    fn log(&self) -> String {
        fs::read_to_string(self.file("log")).expect("it is there")
    }
}

/// Reads the workflow that `gwc init` writes.
fn workflow() -> String {
    written("workflows/gateway.yaml")
}

/// Reads a file below `.github` that `gwc init` writes.
fn written(file: &str) -> String {
    let folder = tempfile::tempdir().expect("there is room");
    run(command(folder.path()).args(["init", "shop"])).with(0);
    let file = folder.path().join("shop/.github").join(file);
    fs::read_to_string(file).expect("init wrote it")
}

/// Reads a file of the actions in this repository.
fn action(file: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/github");
    fs::read_to_string(Path::new(folder).join(file)).expect("it is there")
}

fn steps_of(workflow: &str, job: &str) -> Vec<String> {
    let jobs = jobs(workflow);
    let (_, text) = jobs.iter().find(|(name, _)| name == job).expect("the job");
    steps(text)
}

#[test]
fn workflow_plans_before_its_gates_decide() {
    let check = steps_of(&workflow(), "check");
    let project = branch();
    git(
        project.path(),
        &["update-ref", "refs/remotes/origin/main", "main"],
    );
    let runner = Runner::new();
    let base = [("BASE", "refs/remotes/origin/main")];
    assert_eq!(runner.run(project.path(), &check, &base), 0);
    let posted = runner.comment();
    assert!(posted.contains("### Gateway plan: changes"), "{posted}");
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    assert_eq!(runner.run(project.path(), &check, &base), 1);
    let posted = runner.comment();
    assert!(posted.contains("### Gateway plan: blocked"), "{posted}");
    // After the acknowledgement line of the comment is added to the file, the change passes.
    let line = posted
        .lines()
        .find(|line| line.starts_with("- {fingerprint"));
    let line = line
        .expect("a line")
        .replace("WHY", "why")
        .replace("WHO", "ann");
    project.write("reviewed.yaml", format!("{line}\n"));
    assert_eq!(runner.run(project.path(), &check, &base), 0);
}

#[test]
fn workflow_counts_the_requests_of_its_log() {
    let project = branch();
    let reference = ["update-ref", "refs/remotes/origin/main", "main"];
    git(project.path(), &reference);
    let runner = Runner::new();
    let log = runner.file("access log");
    fs::write(&log, "{\"http_method\": \"GET\", \"path\": \"/orders\"}\n").expect("there is room");
    let log = log.display().to_string();
    let check = steps_of(&workflow(), "check");
    let base = ("BASE", "refs/remotes/origin/main");
    for (path, count) in [(log.as_str(), 1), ("", 0)] {
        assert_eq!(
            runner.run(project.path(), &check, &[base, ("LOG", path)]),
            0
        );
        let comment = runner.comment();
        assert_eq!(comment.matches("logs: ").count(), count, "{comment}");
    }
}

#[test]
fn workflow_plans_every_environment() {
    let project = branch();
    project.write("test.yaml", "defaults: {timeout: 9s}\n");
    project.write("live.yaml", "defaults: {timeout: 8s}\n");
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{text}environments: {{test: {{patch: test.yaml}}, live: {{patch: live.yaml}}}}\n"),
    );
    commit(&project, "environments");
    git(
        project.path(),
        &["update-ref", "refs/remotes/origin/main", "HEAD"],
    );
    project.write("live.yaml", "defaults: {timeout: 7s}\n");
    let runner = Runner::new();
    let environment = [
        ("BASE", "refs/remotes/origin/main"),
        ("ENVIRONMENTS", "test live"),
    ];
    let check = steps_of(&workflow(), "check");
    assert_eq!(runner.run(project.path(), &check, &environment), 0);
    let comment = runner.comment();
    assert_eq!(comment.matches("<!-- gwc plan -->").count(), 1, "{comment}");
    assert_eq!(comment.matches("8s → 7s").count(), 1, "{comment}");
}

#[test]
fn harmless_changes_hide_no_weakened_environment() {
    let project = branch();
    let text = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{text}environments: {{test: {{vars: {{}}}}, live: {{patch: live.yaml}}}}\n"),
    );
    project.write("live.yaml", "defaults: {timeout: 8s}\n");
    commit(&project, "environments");
    git(
        project.path(),
        &["update-ref", "refs/remotes/origin/main", "HEAD"],
    );
    let header = |index: usize| format!("X-{index}: {{schema: {{type: string}}}}");
    let headers: Vec<String> = (0..700).map(header).collect();
    project.edit(
        "orders.yaml",
        "operationId: listOrders, responses: {\"200\": {",
        &format!(
            "operationId: listOrders, responses: {{\"200\": {{headers: {{{}}}, ",
            headers.join(", ")
        ),
    );
    project.write(
        "live.yaml",
        "listeners: {public: {address: \"127.0.0.1:8080\", trusted_proxies: [10.0.0.0/8]}}\n",
    );
    let runner = Runner::new();
    let environment = [
        ("BASE", "refs/remotes/origin/main"),
        ("ENVIRONMENTS", "test live"),
    ];
    let check = steps_of(&workflow(), "check");
    assert_eq!(runner.run(project.path(), &check, &environment), 1);
    // The script of the comment workflow cuts a text of more than 64,000 characters.
    let comment = runner.comment();
    assert!(comment.chars().count() <= 64_000, "{}", comment.len());
    assert!(comment.contains("**weaken**"), "{comment}");
    assert!(comment.contains(" more_"), "{comment}");
    // The log has the changes that the comment leaves out.
    let log = runner.log();
    for index in [0, 350, 699] {
        let header = format!("header x-{index}: nothing");
        assert!(log.contains(&header), "{header}");
    }
}

#[test]
fn workflow_releases_main() {
    let project = Project::new();
    let runner = Runner::new();
    let store = runner.file("store");
    let key = project.read("keys/release.pem");
    let environment = [
        ("STORE", store.to_str().expect("a name")),
        ("GWC_KEY", key.as_str()),
        ("GITHUB_SHA", "abc"),
    ];
    let apply = steps_of(&workflow(), "apply");
    assert_eq!(runner.run(project.path(), &apply, &environment), 0);
    project
        .run(&["history", "--store", environment[0].1])
        .with(0)
        .contains("merged abc");
}

/// Removes the indentation of a step's first line from all lines.
fn unindented(step: &str) -> String {
    let column = step.len() - step.trim_start().len();
    let lines = step.lines().map(|line| line.get(column..).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Checks that each action in a file has the hash of a commit.
fn check_pins(text: &str) {
    for line in text.lines().filter(|line| line.contains("uses:")) {
        let (_, pin) = line.split_once('@').expect("a version");
        let hash = pin.split(' ').next().unwrap_or_default();
        assert!(
            hash.len() == 40 && hash.bytes().all(|b| b.is_ascii_hexdigit()),
            "{line}"
        );
    }
    // Texts of a pull request must reach a shell only through variables.
    for step in steps(text) {
        assert!(!step.contains("${{"), "{step}");
    }
}

#[test]
fn workflow_trusts_no_pull_request() {
    let workflow = workflow();
    check_pins(&workflow);
    let jobs = jobs(&workflow);
    let names: Vec<&str> = jobs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["check", "apply"]);
    for (name, text) in &jobs {
        assert_eq!(text.matches("actions/checkout@").count(), 1);
        assert_eq!(text.matches("persist-credentials: false").count(), 1);
        // Jobs that process a pull request must have no write permission.
        assert!(!text.contains(": write"), "{name}");
        assert_eq!(text.contains("secrets."), name == "apply", "{name}");
        assert_eq!(
            text.contains("github.event_name == 'push'"),
            name == "apply"
        );
        for step in steps(text) {
            assert!(!step.contains("> comment.md"), "{step}");
        }
    }
    assert!(workflow.contains("\npermissions: {}\n"), "{workflow}");
}

#[test]
fn comment_workflow_runs_no_foreign_code() {
    let workflow = written("workflows/gateway-comment.yaml");
    check_pins(&workflow);
    assert!(workflow.contains("\npermissions: {}\n"), "{workflow}");
    let rights = workflow.lines().map(str::trim);
    let rights: Vec<&str> = rights
        .filter(|line| line.ends_with(": write") || line.ends_with(": read"))
        .collect();
    let least = ["actions: read", "contents: read", "pull-requests: write"];
    assert_eq!(rights, least);
    // The workflow must check out only files of the default branch, and run only the script of that
    // branch.
    let of_default = "ref: ${{ github.event.repository.default_branch }}";
    assert_eq!(workflow.matches("actions/checkout@").count(), 1);
    assert_eq!(workflow.matches(of_default).count(), 1);
    assert!(workflow.contains("persist-credentials: false"));
    assert_eq!(
        steps(&workflow),
        [r#"python3 .github/gateway/comment.py "$RUNNER_TEMP/gwc-plan/comment.md""#]
    );
    assert!(workflow.contains("workflows: [gateway]"), "{workflow}");
}

#[test]
fn actions_have_the_steps_of_the_workflows() {
    let check = action("plan/action.yml");
    check_pins(&check);
    let own: Vec<String> = steps(&check).iter().map(|step| unindented(step)).collect();
    let steps_of_workflow = steps_of(&workflow(), "check");
    let expected: Vec<String> = steps_of_workflow
        .iter()
        .map(|step| unindented(step))
        .collect();
    assert_eq!(own, expected);
    let upload = |text: &str| {
        let (_, rest) = text.split_once("uses: actions/upload-artifact").unwrap();
        let rest = rest.split("- name").next().unwrap();
        rest.lines()
            .map(|line| line.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(upload(&check), upload(&workflow()));
    let comment = action("comment/action.yml");
    check_pins(&comment);
    assert!(comment.contains("default: gwc-plan"));
    assert!(steps(&comment)[0].contains("$GITHUB_ACTION_PATH/comment.py"));
    assert_eq!(action("comment/comment.py"), written("gateway/comment.py"));
}

#[test]
fn workflow_gets_the_gwc_that_it_names() {
    let steps = steps_of(&workflow(), "check");
    let get = &steps[..1];
    let runner = Runner::new();
    let program = runner.file("program");
    fs::write(&program, "#!/bin/sh\necho it\n").expect("there is room");
    let curl = runner.file("curl");
    // Replacement for `curl`: copies a file instead of downloading.
    let script = format!("#!/bin/sh\ncp '{}' \"$8\"\n", program.display());
    fs::write(&curl, script).expect("there is room");
    fs::set_permissions(&curl, fs::Permissions::from_mode(0o755)).expect("it may be run");
    let sha256 = bundle::digest::Digest::of(&fs::read(&program).expect("it is there")).hex();
    let nowhere = tempfile::tempdir().expect("there is room");
    let get = |sha256: &str| {
        let environment = [
            ("GWC_URL", "https://example.org/gwc"),
            ("GWC_SHA256", sha256),
        ];
        runner.run(nowhere.path(), get, &environment)
    };
    assert_eq!(get(&sha256), 0);
    assert!(
        fs::read_to_string(runner.file("path"))
            .expect("it is there")
            .contains("/bin")
    );
    assert_ne!(get(&"0".repeat(64)), 0);
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
