//! Tests of the script that posts a plan on GitHub, with a simulated REST interface of GitHub.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::git::{commit, git};
use crate::project::{Ended, Project, run};

const MARKER: &str = "<!-- gwc plan -->";
const BOT: &str = "github-actions[bot]";
const TOKEN: &str = "token-of-the-job";

/// State of the simulated GitHub: one repository `o/r` with pull requests and comments.
#[derive(Default)]
struct State {
    pulls: Vec<Value>,
    /// Comments on pull request 7.
    comments: Vec<Value>,
    /// Requests, as `METHOD PATH`.
    requests: Vec<String>,
    /// Heads of the next responses, which replace the usual responses. Empty: the usual response.
    failures: VecDeque<&'static str>,
}

struct Hub {
    state: Arc<Mutex<State>>,
    url: String,
    folder: tempfile::TempDir,
}

impl Hub {
    /// Starts the simulated GitHub with pull request 7, whose head commit is the commit of the run.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                answer(&stream, &mut shared.lock().unwrap());
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let hub = Self { state, url, folder };
        hub.change(|state| state.pulls.push(pull(7, "abc", 2)));
        hub
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// Runs the script for a comment with this text, in a run of the event `pull_request`.
    fn post(&self, text: &[u8]) -> Ended {
        self.post_about(text, "pull_request")
    }

    fn post_about(&self, text: &[u8], event: &str) -> Ended {
        let file = |name: &str| self.folder.path().join(name);
        std::fs::write(file("comment.md"), text).unwrap();
        let event = json!({"workflow_run": {
            "event": event, "head_sha": "abc", "head_branch": "open",
            "head_repository": {"id": 2, "owner": {"login": "ann"}},
        }});
        std::fs::write(file("event.json"), event.to_string()).unwrap();
        let script = "../deploy/github/comment/comment.py";
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        run(Command::new("python3")
            .arg("-B")
            .arg(script)
            .arg(file("comment.md"))
            .env("GITHUB_API_URL", &self.url)
            .env("GITHUB_REPOSITORY", "o/r")
            .env("GITHUB_EVENT_PATH", file("event.json"))
            .env("GH_TOKEN", TOKEN)
            .env("GWC_RETRY_S", "0")
            .env_remove("GWC_COMMENT_AUTHOR")
            .stdin(Stdio::null()))
    }

    /// Posts a text, and returns the only comment of the bot.
    fn posted(&self, text: &[u8]) -> String {
        self.post(text).with(0);
        self.change(|state| {
            let mut own = state
                .comments
                .iter()
                .filter(|one| one["user"]["login"] == BOT);
            let body = own.next().unwrap()["body"].as_str().unwrap().to_owned();
            assert!(own.next().is_none(), "one comment");
            body
        })
    }

    /// Requests with write methods since the last call.
    fn writes(&self) -> Vec<String> {
        let all = self.change(|state| std::mem::take(&mut state.requests));
        let writes = all.into_iter().filter(|one| !one.starts_with("GET "));
        writes.collect()
    }
}

/// Pull request with this number, head commit and id of the head repository.
fn pull(number: u64, sha: &str, repository: u64) -> Value {
    json!({"number": number, "head": {"sha": sha, "repo": {"id": repository}},
           "base": {"repo": {"full_name": "o/r"}}})
}

/// Answers one request in the same way as GitHub.
fn answer(stream: &TcpStream, state: &mut State) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    assert!(
        head.contains(&format!("Authorization: Bearer {TOKEN}")),
        "{head}"
    );
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    state.requests.push(format!("{method} {target}"));
    let (status, answer) = match state.failures.pop_front() {
        Some(status) if !status.is_empty() => (status, json!({"message": "::error::no"})),
        _ => ("200 OK", result(state, method, target, &body)),
    };
    let answer = answer.to_string();
    let length = answer.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let mut stream = stream;
    let _gone = stream.write_all((head + &answer).as_bytes());
}

fn result(state: &mut State, method: &str, target: &str, body: &[u8]) -> Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let text = || serde_json::from_slice::<Value>(body).unwrap()["body"].clone();
    let too_long = |text: &Value| text.as_str().unwrap().chars().count() > 65_536;
    match (method, path.strip_prefix("/repos/o/r").unwrap()) {
        ("GET", "/pulls") => {
            assert!(query.contains("state=open&head=ann%3Aopen"), "{query}");
            state.pulls.clone().into()
        }
        ("GET", "/issues/7/comments") => {
            let number = query.split("&page=").nth(1).unwrap();
            let page: usize = number.parse().unwrap();
            let all = state.comments.chunks(100).nth(page - 1);
            all.unwrap_or_default().to_vec().into()
        }
        ("POST", "/issues/7/comments") => {
            let id = 1_000 + state.comments.len();
            assert!(!too_long(&text()));
            state
                .comments
                .push(json!({"id": id, "user": {"login": BOT}, "body": text()}));
            json!({"id": id})
        }
        ("PATCH", path) => {
            let id: u64 = path
                .strip_prefix("/issues/comments/")
                .unwrap()
                .parse()
                .unwrap();
            assert!(!too_long(&text()));
            let mut comments = state.comments.iter_mut();
            comments.find(|one| one["id"] == id).unwrap()["body"] = text();
            json!({"id": id})
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn first_comment_is_written_and_then_rewritten() {
    if !prerequisite::program("python3") {
        return;
    }
    let hub = Hub::start();
    // Comments of another user that also have the marker fill the first pages.
    let other = |id: u64| json!({"id": id, "user": {"login": "eve"}, "body": MARKER});
    hub.change(|state| state.comments.extend((0..250).map(other)));
    let text = |what: &str| format!("{MARKER}\n### Gateway plan: {what}\n");
    assert_eq!(hub.posted(text("changes").as_bytes()), text("changes"));
    assert_eq!(hub.writes(), ["POST /repos/o/r/issues/7/comments"]);
    hub.change(|state| state.comments.extend((300..350).map(other)));
    assert_eq!(hub.posted(text("blocked").as_bytes()), text("blocked"));
    assert_eq!(hub.writes(), ["PATCH /repos/o/r/issues/comments/1250"]);
    let ended = hub.post(text("blocked").as_bytes()).with(0);
    assert_eq!(ended.out, "the comment on pull request 7 is up to date\n");
    assert_eq!(hub.writes(), [""; 0]);
}

#[test]
fn pull_request_is_found_by_its_commit() {
    if !prerequisite::program("python3") {
        return;
    }
    let hub = Hub::start();
    // Pull requests that do not match the run: 8 has another head commit, 9 has its head in another
    // repository, and 10 has its base in another repository.
    let mut elsewhere = pull(10, "abc", 2);
    elsewhere["base"]["repo"]["full_name"] = json!("o/other");
    let others = vec![pull(8, "abd", 2), pull(9, "abc", 3), elsewhere];
    hub.change(|state| state.pulls = others);
    hub.post(b"text").with(0).contains("nothing to post");
    hub.post_about(b"text", "push")
        .with(0)
        .contains("not about a pull request");
    hub.post(b" \n").with(0).contains("has no plan");
    assert_eq!(hub.writes(), [""; 0]);
    hub.change(|state| state.pulls.push(pull(7, "abc", 2)));
    assert_eq!(hub.posted(b"text"), format!("{MARKER}\ntext"));
}

#[test]
fn errors_of_github_are_repeated_or_reported() {
    if !prerequisite::program("python3") {
        return;
    }
    let reported = [
        (
            "403 Forbidden",
            "GitHub answers 403: the job needs the permission `pull-requests: write`",
        ),
        ("404 Not Found", "GitHub answers 404"),
        // The script must not send the token to another host.
        (
            "302 Found\r\nLocation: http://127.0.0.1:9/",
            "GitHub answers 302",
        ),
    ];
    for (status, message) in reported {
        let hub = Hub::start();
        // The third request writes the comment.
        hub.change(|state| state.failures.extend(["", "", status]));
        let ended = hub.post(b"text").with(1);
        assert_eq!(ended.out, format!("the comment is not posted: {message}\n"));
        assert_eq!(ended.err, "");
        assert_eq!(hub.writes().len(), 1, "{status}");
    }
    let repeated = [
        "500 Internal Server Error",
        "502 Bad Gateway",
        "429 Too Many Requests\r\nRetry-After: 0",
        "403 Forbidden\r\nX-RateLimit-Remaining: 0",
    ];
    for status in repeated {
        let hub = Hub::start();
        hub.change(|state| state.failures.extend([status, "", "", status]));
        assert_eq!(hub.posted(b"text"), format!("{MARKER}\ntext"));
        assert_eq!(hub.writes().len(), 2, "{status}");
    }
    let hub = Hub::start();
    hub.change(|state| state.failures.extend(["503 Service Unavailable"; 9]));
    hub.post(b"text").with(1).contains("GitHub answers 503");
    assert_eq!(hub.change(|state| state.requests.len()), 4);
    let mut hub = Hub::start();
    // Port 9 (discard) of this machine has no server.
    hub.url = "http://127.0.0.1:9".to_owned();
    hub.post(b"text")
        .with(1)
        .contains("GitHub cannot be reached");
}

#[test]
fn comment_beyond_the_limit_is_cut() {
    if !prerequisite::program("python3") {
        return;
    }
    let hub = Hub::start();
    let line = "- `a` 😀 is new\n".repeat(6_000);
    let text = format!("{MARKER}\n<details><summary>x</summary>\n\n```yaml\n{line}```\n");
    let posted = hub.posted(text.as_bytes());
    let count = posted.chars().count();
    assert!((60_000..=65_536).contains(&count), "{count}");
    let end = "is new\n```\n\n</details>\n\n\n_The rest does not fit here: the job's log has the whole plan._\n";
    assert!(posted.ends_with(end), "{}", &posted[posted.len() - 200..]);
}

/// A line of the artifact could take hours, if steps looked at it again and again.
#[test]
fn line_of_a_megabyte_is_cut_at_once() {
    if !prerequisite::program("python3") {
        return;
    }
    let hub = Hub::start();
    for begin in ["://", "www.", "`` ` ", "](http://", "[", "@", "<b>"] {
        let line = format!("{} `x`", begin.repeat((1 << 20) / begin.len() - 16));
        let posted = hub.posted(line.as_bytes());
        assert!(posted.contains("does not fit here"), "{begin}");
    }
}

#[test]
fn markup_of_a_pull_request_is_disabled() {
    if !prerequisite::program("python3") {
        return;
    }
    let hub = Hub::start();
    // The pull request controls the whole text of the comment.
    let text = "<script>a</script> <img src=x> @ann &#64;bob ![i](http://t/i) ``\n\u{1b}[31m\u{202e}\u{200b}\r::error::x\n\
        `@in-code` \\`@ann` `\n`` @ann ``\n<details><summary>s</summary>\n[x](https://g/@a/b)\n\n```\n@fenced <b>\n````\n@ann\n";
    let expected = "&lt;script>a&lt;/script> &lt;img src=x> @<!-- -->ann &amp;#64;bob !\\[i](http://t/i) &#96;&#96;\n&#91;31m::error::x\n\
        `@in-code` &#92;`@ann` &#96;\n`` @ann ``\n<details><summary>s</summary>\n[x](https://g/%40a/b)\n\n```\n@fenced <b>\n````\n@<!-- -->ann\n";
    assert_eq!(hub.posted(text.as_bytes()), format!("{MARKER}\n{expected}"));
    // Inside an HTML block, which ends at an empty line, backticks do not begin code.
    let block = "<details>`<img src=x>` `@ann`\n`@bob`\n\n`@code`\n\n> <sub>`@ann`\n\n<!-- gwc plan --> `<h1>`\n`@ann`\n";
    let expected = "<details>&#96;&lt;img src=x>&#96; &#96;@<!-- -->ann&#96;\n&#96;@<!-- -->bob&#96;\n\n`@code`\n\n\
        > <sub>&#96;@<!-- -->ann&#96;\n\n<!-- gwc plan --> &#96;&lt;h1>&#96;\n&#96;@<!-- -->ann&#96;\n";
    assert_eq!(
        hub.posted(block.as_bytes()),
        format!("{MARKER}\n{expected}")
    );
    // A space that CommonMark does not count as blank does not end the block.
    let block = "<details>\n\u{a0}\n`@ann <img src=x>`\n \n`@code`\n";
    let expected = "<details>\n\u{a0}\n&#96;@<!-- -->ann &lt;img src=x>&#96;\n \n`@code`\n";
    assert_eq!(
        hub.posted(block.as_bytes()),
        format!("{MARKER}\n{expected}")
    );
    // Bytes that are not UTF-8 or text become replacement characters.
    assert_eq!(hub.posted(b"a\xff\x00b"), format!("{MARKER}\na\u{fffd}b"));
}

/// Tildes would open a fence in which the backticks of the next one are text.
#[test]
fn tildes_open_no_fence() {
    if !prerequisite::program("python3") {
        return;
    }
    let hub = Hub::start();
    for (before, expected) in [
        ("~~~", "&#126;&#126;&#126;"),
        ("> ~~~~ x", "> &#126;&#126;&#126;&#126; x"),
        ("- a\n  ~~~", "- a\n  &#126;&#126;&#126;"),
    ] {
        let text = format!("{before}\n\n```\n~~~\n<img src=x> @ann\n```\n`~` @ann");
        let expected =
            format!("{MARKER}\n{expected}\n\n```\n~~~\n<img src=x> @ann\n```\n`~` @<!-- -->ann");
        assert_eq!(hub.posted(text.as_bytes()), expected, "{before}");
    }
}

#[test]
fn links_take_no_backtick_of_code() {
    if !prerequisite::program("python3") {
        return;
    }
    let hub = Hub::start();
    for (text, expected) in [
        // An address becomes a link, up to the next space or `<` (GFM 6.9).
        ("a http://e/`<i @x>`", "a http://e/<!-- -->`<i @x>`"),
        ("WWW.e.test/)`<i @x>`", "WWW.e.test/)<!-- -->`<i @x>`"),
        ("[a](https://e/)`<i @x>`", "[a](https://e/)<!-- -->`<i @x>`"),
        ("http://e/ `@x` www.e", "http://e/ `@x` www.e"),
        ("a@e.test`<i @x>`", "a@<!-- -->e.test`<i @x>`"),
        // The destination and the title of a link may contain a backtick.
        ("[a](e`x) <i @x> `", "&#91;a]&#40;e`x) <i @x> `"),
        ("[a](e \"`x\") <i @x> `", "&#91;a]&#40;e \"`x\") <i @x> `"),
        ("[a](http://e`x) `", "&#91;a]&#40;http://e<!-- -->`x) `"),
    ] {
        let expected = format!("{MARKER}\n{expected}");
        assert_eq!(hub.posted(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn definitions_of_a_pull_request_are_text() {
    if !prerequisite::program("python3") {
        return;
    }
    let hub = Hub::start();
    for (text, expected) in [
        // A footnote could hold an HTML block, in which a backtick begins no code.
        (
            "[^1]: <details>\n    `<img src=x> @ann`",
            "&#91;^1]: <details>\n    `<img src=x> @ann`",
        ),
        ("> - [a]: /settings", "> - &#91;a]: /settings"),
        ("[a`]: /b`", "&#91;a`]: /b`"),
        ("<br>a\n# b\n[a]: /b", "<br>a\n# b\n&#91;a]: /b"),
        ("> [!NOTE]\n- [ ] a", "> &#91;!NOTE]\n- &#91; ] a"),
        // Links that gwc writes stay.
        ("- [`a`](https://g/b) [c]", "- [`a`](https://g/b) [c]"),
        // Only an empty line ends an HTML block, not a second marker.
        (
            "<details>\n<!-- gwc plan -->\n`<img src=x> @ann`",
            "<details>\n<!-- gwc plan -->\n&#96;&lt;img src=x> @<!-- -->ann&#96;",
        ),
    ] {
        let expected = format!("{MARKER}\n{expected}");
        assert_eq!(hub.posted(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn table_of_a_pull_request_is_text() {
    if !prerequisite::program("python3") {
        return;
    }
    let hub = Hub::start();
    // In a cell of a table, `|` ends a code span. Without its second line, a table is a paragraph.
    let cell = "| `x|@octocat ![x](http://e/i) <img src=x>` |";
    let table =
        |second: &str| format!("{MARKER}\n| a | b |\n{second}\n{cell}\n\n> a\n> :-\n> `b|@c`\n");
    let expected = format!(
        "{MARKER}\n| a | b |\n&#124;---&#124; &#58;-- &#124;\n{cell}\n\n> a\n> &#58;-\n> `b|@c`\n"
    );
    assert_eq!(hub.posted(table("|---| :-- |").as_bytes()), expected);
    // A rule and code stay.
    let text = format!("{MARKER}\na\n\n---\n\n```\n|---|\n```\n");
    assert_eq!(hub.posted(text.as_bytes()), text);
}

#[test]
fn texts_of_documents_change_no_comment() {
    if !prerequisite::program("python3") {
        return;
    }
    let project = Project::bare();
    git(project.path(), &["init", "-q", "-b", "main"]);
    commit(&project, "one");
    let hostile = "@everyone <img src=x onerror=alert(1)> ``` </details> `@ann` ::set-output name=a::b ::error::no \\e[31m \\u202e --> ![i](http://t/i) &#64;bob";
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        &format!("operationId: listOrders, summary: \"{hostile}\", description: \"a\\n\\n```\\n{hostile}\\n\","),
    );
    project.edit(
        "orders.yaml",
        "/orders/{id}:",
        "\"/orders/@ann/<b>/```/{id}\":",
    );
    let plan = project.run(&["plan", "--against", "git:main", "--format", "markdown"]);
    let plan = plan.with(0).out;
    assert!(plan.contains("@ann"), "{plan}");
    let hub = Hub::start();
    // gwc has already put all texts of the project into Markdown code, so the script does not
    // change the plan.
    assert_eq!(hub.posted(plan.as_bytes()), plan);
    for text in ["\u{1b}", "\u{202e}", "\r"] {
        assert!(!plan.contains(text), "{plan}");
    }
    // No line of a document begins a workflow command in the job's log.
    assert!(!plan.lines().any(|line| line.trim_start().starts_with("::")));
    let count = |tag: &str| plan.lines().filter(|line| line.starts_with(tag)).count();
    assert_eq!(count("<details>"), count("</details>"), "{plan}");
}

/// Asserts that an output begins no command of a CI system. `is_github`: lines that begin with `::`
/// are gwc's own commands.
#[track_caller]
fn has_no_command(text: &str, is_github: bool) {
    let mut lines = text.split(['\n', '\r']);
    let command = lines.find(|line| {
        let own = ["::error ", "::warning ", "::notice "];
        let is_own = is_github && own.iter().any(|own| line.starts_with(own));
        line.trim_start().starts_with("::") && !is_own
            || line.contains("##[")
            || line.contains("##vso[")
    });
    assert_eq!(command, None, "{text}");
}

#[test]
fn texts_of_documents_are_no_commands_of_the_log() {
    let project = Project::bare();
    git(project.path(), &["init", "-q", "-b", "main"]);
    project.edit(
        "orders.yaml",
        "title: Orders",
        "title: \"::stop-commands::x\"",
    );
    commit(&project, "one");
    // The excerpt of a finding, names in findings, a long name that the excerpt's note breaks into
    // lines, and texts of the plan.
    let hostile = "##[error]a ##vso[task.prependpath]b";
    let long = format!("{}::stop-commands::tok", "x".repeat(89));
    let before = project.read("orders.yaml");
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        &format!(
            "operationId: \"{hostile}\", sumary: \"{hostile}\", \"{hostile}\": 1, \
             parameters: [{{$ref: \"#/components/parameters/{long}1\"}}],"
        ),
    );
    for format in [
        "human",
        "concise",
        "github",
        "json",
        "jsonl",
        "sarif",
        "gitlab",
        "junit",
        "checkstyle",
    ] {
        let lint = project.run(&["lint", "--format", format]);
        let text = format!("{}{}", lint.out, lint.err);
        assert!(text.contains("task.prependpath"), "{format}: {text}");
        has_no_command(&text, format == "github");
        if matches!(format, "json" | "sarif" | "gitlab") {
            let read: Value = serde_json::from_str(&lint.out).expect("JSON");
            // SARIF escapes brackets in messages.
            let read = read.to_string().replace("\\\\[", "[").replace("\\\\]", "]");
            assert!(read.contains(hostile), "{format}: {text}");
        }
    }
    project.write("orders.yaml", before);
    project.edit(
        "orders.yaml",
        "title: \"::stop-commands::x\"",
        "title: plain",
    );
    for format in ["human", "json", "markdown", "html", "github"] {
        let plan = project.run(&["plan", "--against", "git:main", "--format", format]);
        let text = format!("{}{}", plan.out, plan.err);
        assert!(text.contains("stop-commands"), "{format}: {text}");
        has_no_command(&text, format == "github");
    }
}

#[test]
fn inspected_texts_are_printable() {
    let project = Project::bare();
    project.edit(
        "gateway.yaml",
        "consumers:\n",
        "consumers:\n  noisy: {metadata: {note: \"x\\n::error::y\\e]0;pwn\\a\\u202e\"}}\n",
    );
    let built = project.run(&["build", "-o", "b.tar"]).with(0);
    assert!(!built.out.is_empty());
    let shown = project.run(&["inspect", "b.tar"]).with(0).out;
    assert!(shown.contains("pwn"), "{shown}");
    has_no_command(&shown, false);
    for c in ['\u{1b}', '\u{7}', '\u{202e}'] {
        assert!(!shown.contains(c), "{shown}");
    }
}
