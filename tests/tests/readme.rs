//! Tests of the documentation. The README's commands run as written, every command line in the
//! documents exists, and the examples work.

#[path = "readme/schema.rs"]
mod schema;

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::binaries::{self, workspace};
use e2e::client::Connection;
use e2e::corpus;
use e2e::markdown::{marked, matches};
use e2e::project::{Ended, Project};
use e2e::upstream::Upstream;
use e2e::wait;
use serde_json::Value;

/// Maximum duration of one block of the README.
const BLOCK: Duration = Duration::from_secs(60);

// --- the README, as a reader follows it

/// OpenAPI document that the test uses to follow the README.
struct Subject {
    /// Name of the document in `tests/corpus`.
    document: &'static str,
    /// Path of an operation that requires a credential.
    path: &'static str,
    /// curl argument that adds a credential to a request.
    argument: &'static str,
    /// Request field that contains the credential.
    field: &'static str,
}

#[test]
fn the_readme_runs_as_it_is_written() {
    follow(&Subject {
        document: "museum.yaml",
        path: "/museum-hours",
        argument: "--user me:secret",
        field: "Authorization: Basic YTpi",
    });
}

#[test]
fn the_readme_runs_with_petstore() {
    follow(&Subject {
        document: "petstore.yaml",
        path: "/store/inventory",
        argument: "--header api_key:secret",
        field: "api_key: other",
    });
}

#[test]
fn the_readme_runs_with_stripe() {
    follow(&Subject {
        document: "stripe.yaml",
        path: "/v1/balance",
        argument: "--user me:secret",
        field: "Authorization: Basic YTpi",
    });
}

/// Runs the marked blocks of the README with a document.
fn follow(subject: &Subject) {
    let readme = read("README.md");
    let blocks = marked(&readme);
    let kinds: Vec<&str> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert!(
        kinds.contains(&"serve") && kinds.iter().filter(|kind| **kind == "run").count() >= 3,
        "the README lost its marked blocks: {kinds:?}"
    );
    let reader = Reader::new(subject.document);
    let upstream = Upstream::start();
    let mut gateway = None;
    assert!(kinds.contains(&"shows"), "{kinds:?}");
    for (kind, block) in blocks {
        let block = block
            .replace("/museum-hours", subject.path)
            .replace("--user me:secret", subject.argument);
        match kind {
            "run" => reader.run(&at_port_of(gateway.as_ref(), &block)),
            // The output in the README belongs to `museum.yaml`, so skip the block for other
            // documents.
            "shows" if subject.document != "museum.yaml" => {}
            // The block shows a part of the output of the commands above. `…` matches any text.
            "shows" => {
                let output = reader.output_of("block");
                let mut rest = output.lines();
                for line in block.lines() {
                    assert!(
                        rest.any(|shown| matches(line, shown)),
                        "`{line}` is not in the output, or not in this order:\n{output}"
                    );
                }
            }
            "serve" => gateway = Some(Served::start(&reader, &block)),
            other => panic!("the README has an unknown mark `<!-- {other} -->`"),
        }
        // As the README instructs its readers, write the service's address into gateway.yaml.
        let project = reader.folder().join("gateway.yaml");
        if let Ok(text) = std::fs::read_to_string(&project) {
            let changed = text.replace("127.0.0.1:9000", &upstream.address().to_string());
            std::fs::write(&project, changed).expect("the project can be written");
        }
    }
    let gateway = gateway.expect("a gateway is served");
    let line = format!("GET {} HTTP/1.1\nhost: a", subject.path);
    let open = gateway.ask(&format!("{line}\n{}", subject.field));
    assert_eq!(open, 200, "{}", gateway.log());
    let closed = gateway.ask(&line);
    assert_eq!(closed, 401, "{}", gateway.log());
    // Three requests reach the service: the reader's request, the request after the rollback, and
    // the request with the credential above. The gateway refuses the reader's request to the
    // removed path.
    let served: Vec<_> = upstream.take();
    assert_eq!(served.len(), 3, "{served:?}");
    gateway.stop();
}

/// Block of commands, adapted to the running gateway: requests go to the port that the system
/// chose.
fn at_port_of(gateway: Option<&Served<'_>>, block: &str) -> String {
    let Some(gateway) = gateway else {
        return block.to_owned();
    };
    let address = gateway.address.to_string();
    let line = |line: &str| {
        if line.starts_with("curl ") {
            line.replace("127.0.0.1:8080", &address)
        } else {
            line.to_owned()
        }
    };
    block.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Simulated reader, with a document and the installed programs.
struct Reader {
    home: Project,
}

impl Reader {
    fn new(document: &str) -> Self {
        let home = Project::new();
        home.write("openapi.yaml", corpus::text(document));
        home.write("where", home.root().display().to_string());
        home.write("bin/.keep", "");
        for program in [binaries::gwc(), binaries::gwd()] {
            let name = program.file_name().expect("programs have names");
            symlink(program, home.path("bin").join(name)).expect("links can be made");
        }
        Self { home }
    }

    /// Working folder of the reader's shell after the last block.
    fn folder(&self) -> PathBuf {
        let text = String::from_utf8(self.home.read("where")).expect("a path in UTF-8");
        PathBuf::from(text.trim())
    }

    fn shell(&self, script: &str, name: &str) -> Child {
        let file = |kind: &str| File::create(self.home.path(&format!("{name}.{kind}")));
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new("sh")
            .args(["-c", script])
            .current_dir(self.folder())
            .env(
                "PATH",
                format!("{}:{path}", self.home.path("bin").display()),
            )
            .env("NO_COLOR", "1")
            .env("GWC_ACTOR", "the reader")
            .stdin(Stdio::null())
            .stdout(file("out").expect("a file can be made"))
            .stderr(file("err").expect("a file can be made"))
            .spawn()
            .expect("there is a shell")
    }

    fn output_of(&self, name: &str) -> String {
        ["out", "err"]
            .map(|kind| self.home.read(&format!("{name}.{kind}")))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .join("--- standard error\n")
    }

    fn run(&self, block: &str) {
        let at = self.home.path("where");
        let script = format!("set -eu\n{block}\npwd > '{}'\n", at.display());
        let mut child = self.shell(&script, "block");
        let ended = wait::within(BLOCK, || child.try_wait().expect("it is our child"));
        if ended.is_none() {
            let _ended_now = child.kill();
        }
        assert!(
            ended.is_some_and(|status| status.success()),
            "{ended:?}\n{block}\n{}",
            self.output_of("block")
        );
    }
}

/// Running gateway of the README, on a port that the system chose.
struct Served<'r> {
    reader: &'r Reader,
    child: Child,
    address: std::net::SocketAddr,
}

impl<'r> Served<'r> {
    fn start(reader: &'r Reader, block: &str) -> Self {
        let command = block.trim();
        assert_eq!(
            command.lines().count(),
            1,
            "one command is served: {command}"
        );
        // `exec` replaces the shell by gwd, so that the child's process id is gwd's process id.
        let script = format!("exec {command} --listen public=127.0.0.1:0 --pre-stop 0s");
        let mut child = reader.shell(&script, "gateway");
        let admin = option(command, "--admin").and_then(|at| at.strip_prefix("unix:"));
        let admin = reader.folder().join(admin.expect("a unix socket"));
        let address = wait::within(wait::WAIT_MAX, || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("gwd ended with {status}\n{}", reader.output_of("gateway"));
            }
            let mut connection = Connection::open_unix(&admin).ok()?;
            let status = connection.ask("GET /v1/status HTTP/1.1\nhost: gwd").ok()?;
            status.json()["listeners"]["public"].as_str()?.parse().ok()
        });
        let Some(address) = address else {
            let _ended_now = child.kill();
            panic!("gwd does not serve\n{}", reader.output_of("gateway"));
        };
        Self {
            reader,
            child,
            address,
        }
    }

    fn ask(&self, request: &str) -> u16 {
        let mut connection = Connection::open(self.address).expect("gwd accepts");
        let response = connection.ask(request);
        response
            .unwrap_or_else(|error| panic!("no response: {error}\n{}", self.log()))
            .status
    }

    fn log(&self) -> String {
        self.reader.output_of("gateway")
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.is_ok_and(|sent| sent.success()), "kill -TERM {pid}");
        let ended = wait::within(wait::WAIT_MAX, || {
            self.child.try_wait().expect("it is our child")
        });
        assert!(
            ended.is_some_and(|status| status.success()),
            "{ended:?}\n{}",
            self.log()
        );
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        // Ignore errors: the process may have ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn the_taste_of_the_vocabulary_lints_clean() {
    let readme = read("README.md");
    let project = Project::new();
    let mut files = 0;
    for block in readme.split("```yaml\n").skip(1) {
        let text = block.split("```").next().unwrap_or_default();
        let name = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# "))
            .and_then(|line| line.split(':').next())
            .expect("a block begins with its file's name");
        project.write(name, text);
        files += 1;
    }
    assert_eq!(files, 2);
    project.write("apis/orders.yaml", include_str!("readme/orders.yaml"));
    let linted = project.gwc(&["lint", "--fail-on", "info"]);
    linted.succeeds();
}

// --- every command line that is shown

#[test]
fn every_command_line_that_is_shown_exists() {
    let mut shown = 0;
    let mut wrong = Vec::new();
    for file in documents() {
        for line in command_lines(&read(&file)) {
            shown += 1;
            if let Err(why) = exists(&line) {
                wrong.push(format!("{file}: `{line}`: {why}"));
            }
        }
    }
    assert!(shown > 30, "only {shown} command lines were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_line_that_does_not_exist_is_noticed() {
    for line in [
        "gwc lnt",
        "gwc lint --colour",
        "gwd rollback -z",
        "gwc trust roof",
        "gwd run --stoer x",
    ] {
        assert!(exists(line).is_err(), "{line}");
    }
    for line in ["gwc trust floor --channel prod", "gwd rollback -1 --sticky"] {
        assert_eq!(exists(line), Ok(()), "{line}");
    }
}

#[test]
fn every_command_helps_with_examples() {
    for program in ["gwc", "gwd"] {
        let overview = help(program, &[]);
        let commands = overview.split("Commands:\n").nth(1).expect("commands");
        let commands = commands
            .lines()
            .take_while(|line| !line.is_empty())
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help");
        let pages = tempfile::tempdir().expect("a temporary folder can be made");
        let folder = pages.path().display().to_string();
        run(program, &["man", "--folder", &folder]).succeeds();
        let mut count = 0;
        for name in commands {
            let text = help(program, &[name]);
            let page = std::fs::read_to_string(pages.path().join(format!("{program}-{name}.1")));
            assert!(
                page.is_ok_and(|page| page.contains(".SH SYNOPSIS")),
                "{program} {name}"
            );
            assert!(text.contains("Example"), "{program} {name}:\n{text}");
            assert!(
                text.contains(&format!("  {program} {name}"))
                    || text.contains(&format!(" {program} {name}")),
                "{program} {name} has no example of its own:\n{text}"
            );
            count += 1;
        }
        assert!(count > 8, "{overview}");
        let page = run(program, &["man"]);
        assert!(page.succeeds().stdout.contains(".SH SYNOPSIS"), "{page}");
        for shell in ["bash", "zsh", "fish"] {
            let script = run(program, &["completions", shell]);
            assert!(script.succeeds().stdout.contains(program), "{script}");
        }
    }
}

/// Markdown documents for users.
fn documents() -> Vec<String> {
    let docs = workspace().join("docs");
    let mut files: Vec<String> = docs
        .read_dir()
        .expect("there are docs")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    files.push("README.md".to_owned());
    files.push("examples/README.md".to_owned());
    files.sort();
    files
}

/// Lines that call gwc or gwd, from code blocks and code spans.
fn command_lines(text: &str) -> Vec<String> {
    let is_call = |line: &str| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("gwc" | "gwd"))
            && words.next().is_some_and(|word| {
                word.starts_with('-') || word.starts_with(|c: char| c.is_ascii_lowercase())
            })
    };
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            let line = line.trim().trim_start_matches("$ ");
            let line = line.split(" #").next().unwrap_or_default().trim();
            if is_call(line) {
                found.push(line.to_owned());
            }
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.filter(|span| is_call(span)).map(str::to_owned));
        }
    }
    found
}

/// Checks that the help of the subcommand lists every option of a command line.
fn exists(line: &str) -> Result<(), String> {
    let mut words = line.split_whitespace().peekable();
    let program = words.next().unwrap_or_default();
    let mut path: Vec<&str> = Vec::new();
    let mut text = help(program, &path);
    while let Some(name) = words.peek().filter(|_| text.contains("\nCommands:\n")) {
        if name.starts_with('-') {
            break;
        }
        if !text
            .lines()
            .any(|line| line.split_whitespace().next() == Some(*name))
        {
            return Err(format!("there is no `{name}`"));
        }
        path.push(name);
        words.next();
        text = help(program, &path);
    }
    let known: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || ",=[".contains(c))
        .filter(|word| word.starts_with('-'))
        .collect();
    for word in words {
        let option = word.split('=').next().unwrap_or_default();
        let is_number = option
            .trim_start_matches('-')
            .starts_with(|c: char| c.is_ascii_digit());
        if option.starts_with('-') && !is_number && !known.contains(&option) {
            return Err(format!("there is no `{option}`"));
        }
    }
    Ok(())
}

fn help(program: &str, path: &[&str]) -> String {
    let mut arguments = path.to_vec();
    arguments.push("--help");
    run(program, &arguments).succeeds().stdout.clone()
}

fn run(program: &str, arguments: &[&str]) -> Ended {
    let path = match program {
        "gwc" => binaries::gwc(),
        _ => binaries::gwd(),
    };
    Ended::of(Command::new(path).args(arguments).env("NO_COLOR", "1"))
}

// --- the examples

const EXAMPLES: [&str; 2] = ["museum", "orders"];

#[test]
fn the_examples_lint_clean_build_and_route() {
    let acme = "X-Key: acme-key-of-the-example";
    // Output of `printf %s USER:PASSWORD | base64`.
    let guide = "Authorization: Basic Z3VpZGU6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==";
    let picker = "Authorization: Basic d2FyZWhvdXNlOnBpY2tpbmctZXhhbXBsZQ==";
    let requests: [(&str, &[&str], &str, &str); 6] = [
        (
            "museum",
            &["GET", "http://127.0.0.1:8080/museum-hours", "-H", guide],
            "forward",
            "museum/getMuseumHours",
        ),
        (
            "museum",
            &["GET", "http://127.0.0.1:8080/museum-hours"],
            "reject",
            "museum/getMuseumHours",
        ),
        (
            "orders",
            &["POST", "http://127.0.0.1:8080/v1/orders", "-H", acme],
            "forward",
            "orders/placeOrder",
        ),
        (
            "orders",
            &[
                "GET",
                "http://partners.example.org/orders/7",
                "--listener",
                "public",
                "-H",
                acme,
            ],
            "forward",
            "orders/getOrder",
        ),
        (
            "orders",
            &["GET", "http://127.0.0.1:8080/v1/health"],
            "forward",
            "orders/health",
        ),
        (
            "orders",
            &[
                "GET",
                "http://127.0.0.1:8081/stock/items/7",
                "--listener",
                "inside",
                "-H",
                picker,
            ],
            "forward",
            "stock/getItem",
        ),
    ];
    for example in EXAMPLES {
        let project = copied(example);
        project.gwc(&["lint", "--fail-on", "info"]).succeeds();
        project.build();
        for (_, arguments, decision, key) in requests.iter().filter(|(of, ..)| *of == example) {
            let mut command = vec!["route", "--format", "json"];
            command.extend(*arguments);
            let ended = project.gwc(&command);
            let answer = ended.succeeds().json();
            assert_eq!(answer["decision"], *decision, "{ended}");
            assert_eq!(answer["operation"]["key"], *key, "{ended}");
        }
    }
}

#[test]
fn each_file_of_the_examples_says_its_schema() {
    for example in EXAMPLES {
        let root = workspace().join("examples").join(example);
        for path in files(&root) {
            let text = std::fs::read_to_string(&path).expect("examples are text");
            let first = text.lines().next().unwrap_or_default();
            let schema = first.strip_prefix("# yaml-language-server: $schema=");
            let schema =
                schema.unwrap_or_else(|| panic!("{} begins with `{first}`", path.display()));
            let folder = path.parent().expect("files lie in folders");
            assert!(
                schema.starts_with("https://") || folder.join(schema).is_file(),
                "{}: there is no {schema}",
                path.display()
            );
        }
    }
}

#[test]
fn the_museum_is_a_copy() {
    let copy = read("examples/museum/apis/museum.yaml");
    let own: Vec<&str> = copy
        .lines()
        .skip_while(|line| line.starts_with('#'))
        .collect();
    let specs = read("specs/museum.yaml");
    assert!(own.into_iter().eq(specs.lines()));
}

/// Copies the source files of an example into a new project.
fn copied(example: &str) -> Project {
    let root = workspace().join("examples").join(example);
    let project = Project::new();
    for path in files(&root) {
        let relative = path.strip_prefix(&root).expect("below its root");
        let relative = relative.to_str().expect("names in UTF-8");
        project.write(
            relative,
            std::fs::read(&path).expect("examples can be read"),
        );
    }
    project
}

/// Source files of an example. Leaves out the store and keys that running the example creates.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in root.read_dir().expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|name| name == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn yaml(text: &str) -> Value {
    serde_yaml_ng::from_str(text).unwrap_or_else(|error| panic!("not YAML: {error}\n{text}"))
}

fn read(relative: &str) -> String {
    let path = workspace().join(relative);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Value of an option in a command line.
fn option<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let mut words = line.split_whitespace();
    words.find(|word| *word == name)?;
    words.next()
}
