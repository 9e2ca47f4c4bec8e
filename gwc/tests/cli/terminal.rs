//! Output on a terminal: width of excerpts, colours, and progress. `script` (util-linux) provides
//! the terminal.

use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::project::Project;

/// Width of the narrow terminal, in columns.
const NARROW: usize = 40;

/// Creates a command that runs `gwc` in a terminal of [`NARROW`] columns.
pub(crate) fn on_terminal(project: &Project, arguments: &[&str]) -> Command {
    redirected(project, arguments, "")
}

/// Creates the command of [`on_terminal`] with a redirection of the shell.
fn redirected(project: &Project, arguments: &[&str], redirection: &str) -> Command {
    let mut words = vec![env!("CARGO_BIN_EXE_gwc")];
    words.extend(arguments);
    let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let line = format!("stty cols {NARROW} && {} {redirection}", words.join(" "));
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .current_dir(project.path())
        .env("GWC_ACTOR", "tester")
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Project with an error in a long line.
fn long_line() -> Project {
    let project = Project::bare();
    let description = "long ".repeat(60);
    project.edit(
        "gateway.yaml",
        "version: 1",
        &format!("version: 1\n# {description}\nnam: {{a: \"{description}\", b: c}}"),
    );
    project
}

#[test]
fn excerpts_fit_a_terminal_of_40_columns() {
    if !prerequisite::program("script") {
        return;
    }
    let project = long_line();
    let text = output(on_terminal(&project, &["lint"]).env("NO_COLOR", "1"));
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let is_excerpt = |line: &&&str| line.contains(['│', '·', '╭', '╰']);
    let excerpt: Vec<_> = lines.iter().filter(is_excerpt).collect();
    assert!(excerpt.len() > 3, "{text}");
    assert!(excerpt.iter().any(|line| line.ends_with('…')), "{text}");
    for line in lines {
        assert!(line.chars().count() <= NARROW, "`{line}` in\n{text}");
    }
}

#[test]
fn long_labels_wrap_on_a_narrow_terminal() {
    if !prerequisite::program("script") {
        return;
    }
    let project = Project::bare();
    project.edit("gateway.yaml", "apis: {orders", "apis:\n  {orders");
    project.edit(
        "gateway.yaml",
        "{upstream: orders,",
        "{security: upstream, upstream: orders,",
    );
    project.edit("orders.yaml", "security: [{key: []}]\n", "");
    let text = output(on_terminal(&project, &["lint"]).env("NO_COLOR", "1"));
    let label = text.lines().find(|line| line.contains("┤ under"));
    let label = label.unwrap_or_else(|| panic!("{text}"));
    assert!(!label.contains("security"), "{text}");
    for line in text.lines().map(str::trim_end) {
        assert!(line.chars().count() <= NARROW, "`{line}` in\n{text}");
    }
}

/// Checks that lines for [`NARROW`] columns are the lines of a pipe, broken between words.
#[track_caller]
fn assert_broken_between_words(narrow: &str, piped: &str) {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut rest = narrow.lines().map(|line| line.trim_end_matches('\r'));
    for whole in piped.lines() {
        let mut shown = Vec::new();
        let mut count = 0;
        while count == 0 || shown.len() < words(whole).len() {
            let line = rest
                .next()
                .unwrap_or_else(|| panic!("`{whole}` in\n{narrow}"));
            let is_one_word = words(line).len() == 1;
            assert_eq!(line, line.trim_end(), "trailing spaces in\n{narrow}");
            assert!(
                line.chars().count() <= NARROW || is_one_word,
                "`{line}` in\n{narrow}"
            );
            assert!(
                count == 0 || indent(line) > indent(whole),
                "`{line}` continues `{whole}` in\n{narrow}"
            );
            shown.extend(words(line));
            count += 1;
        }
        // Each identifier is whole.
        assert_eq!(shown, words(whole), "{narrow}");
    }
    assert_eq!(rest.next(), None, "{narrow}");
}

#[test]
fn plan_route_and_status_fit_40_columns() {
    if !prerequisite::program("script") {
        return;
    }
    let project = Project::released();
    project.edit("orders.yaml", "/orders/{id}", "/order/{id}");
    project.edit(
        "orders.yaml",
        "operationId: listOrders,",
        "operationId: listOrders, security: [], x-gateway: {public: true},",
    );
    let cases: [(&[&str], &str); 6] = [
        (&["plan"], "(orders/listOrders)"),
        (&["plan", "--all"], "(orders/getOrder)"),
        (
            &["route", "GET", "http://127.0.0.1:8080/orders"],
            "(orders/listOrders,",
        ),
        (
            &["route", "GET", "http://127.0.0.1:8080/order", "--all"],
            "(orders/getOrder,",
        ),
        (&["status"], "prod:"),
        (
            &["status", "--node", "http://127.0.0.1:1"],
            "http://127.0.0.1:1:",
        ),
    ];
    for (arguments, identifier) in cases {
        let piped = project.run(arguments).out;
        let has_identifier = piped.split_whitespace().any(|word| word == identifier);
        assert!(has_identifier, "{arguments:?}: {piped}");
        let is_long = |line: &str| line.chars().count() > NARROW;
        assert!(piped.lines().any(is_long), "{arguments:?}: {piped}");
        let mut command = redirected(&project, arguments, "2>/dev/null");
        let narrow = output(command.env("NO_COLOR", "1"));
        assert_broken_between_words(&narrow, &piped);
    }
}

#[test]
fn carets_are_below_their_text_at_40_columns() {
    if !prerequisite::program("script") {
        return;
    }
    let project = Project::released();
    project.edit("orders.yaml", "security: [{key: []}]", "security: [{}]");
    for arguments in [
        &["lint"][..],
        &["plan"],
        &["route", "GET", "http://127.0.0.1:8080/orders"],
    ] {
        let text = output(on_terminal(&project, arguments).env("NO_COLOR", "1"));
        let mut lines = text.lines().map(str::trim_end);
        let excerpt = lines.find(|line| line.ends_with("security: [{}]"));
        let excerpt = excerpt.unwrap_or_else(|| panic!("{arguments:?}: {text}"));
        let carets = lines.next().unwrap_or_default();
        let marked = excerpt.chars().zip(carets.chars());
        let marked = marked.filter(|(_, mark)| ['─', '┬'].contains(mark));
        let marked: String = marked.map(|(shown, _)| shown).collect();
        assert_eq!(marked, "{}", "{arguments:?}: {text}");
        // The help names the key, which is not broken at its hyphen.
        assert!(text.contains("`x-gateway:"), "{arguments:?}: {text}");
        for line in text.lines().map(str::trim_end) {
            let is_message = line.starts_with("error[") && line.contains("]: ");
            assert!(
                is_message || line.chars().count() <= NARROW,
                "`{line}` in\n{text}"
            );
        }
    }
}

#[test]
fn colors_are_for_terminals_without_no_color() {
    if !prerequisite::program("script") {
        return;
    }
    let project = long_line();
    let colored = |text: &str| text.contains("\u{1b}[");
    for arguments in [&["lint"][..], &["diff", "orders.yaml", "other.yaml"]] {
        let other = project.read("orders.yaml").replace("/orders", "/others");
        project.write("other.yaml", other);
        let plain = |variable: &str| {
            let mut command = on_terminal(&project, arguments);
            output(command.env("NO_COLOR", variable))
        };
        assert!(colored(&plain("")), "{arguments:?}: {}", plain(""));
        assert!(!colored(&plain("1")), "{arguments:?}: {}", plain("1"));
        let mut piped = Command::new(env!("CARGO_BIN_EXE_gwc"));
        let piped = piped.current_dir(project.path()).args(arguments);
        let text = output(piped.env_remove("NO_COLOR"));
        assert!(!text.is_empty() && !colored(&text), "{text}");
    }
}

/// True if a text contains a sequence that sets a colour or a style (SGR). The sequence that erases
/// the progress is another one.
fn has_style(text: &str) -> bool {
    let is_parameter = |c: char| c.is_ascii_digit() || c == ';';
    let mut sequences = text.split("\u{1b}[").skip(1);
    sequences.any(|rest| rest.trim_start_matches(is_parameter).starts_with('m'))
}

#[test]
fn commands_color_neither_pipes_nor_no_color() {
    if !prerequisite::program("script") {
        return;
    }
    let project = Project::released();
    project.edit("orders.yaml", "/orders/{id}", "/order/{id}");
    for arguments in [
        &["lint"][..],
        &["plan"],
        &["plan", "--all"],
        &["diff", "git:HEAD", "orders.yaml"],
        &["route", "GET", "http://127.0.0.1:8080/orders"],
        &["build"],
        &["history"],
        &["rules"],
        &["explain", "GW0512"],
        &["explain", "no-such-rule"],
        &["schema"],
        &["no-such-command"],
    ] {
        let mut piped = Command::new(env!("CARGO_BIN_EXE_gwc"));
        let piped = piped.current_dir(project.path()).args(arguments);
        let ended = piped.env_remove("NO_COLOR").output().expect("it runs");
        let text = [ended.stdout, ended.stderr].concat();
        let text = String::from_utf8(text).expect("UTF-8");
        assert!(
            !text.is_empty() && !has_style(&text),
            "{arguments:?}: {text}"
        );
        let text = output(on_terminal(&project, arguments).env("NO_COLOR", "1"));
        assert!(
            !text.is_empty() && !has_style(&text),
            "{arguments:?}: {text}"
        );
    }
}

#[test]
fn progress_is_shown_after_a_second_and_erased() {
    if !prerequisite::program("script") {
        return;
    }
    let project = Project::released();
    // The gateway accepts connections and does not respond.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let node = format!("http://{}", silent.local_addr().expect("an address"));
    let mut child = on_terminal(&project, &["status", "--node", &node])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stream = child.stdout.take().expect("a pipe");
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"gwc status: querying the gateways, 1s") {
        let read = stream.read(&mut byte).expect("it can be read");
        assert_eq!(read, 1, "no progress: {}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
    // The command continues as soon as its connection ends.
    drop(silent);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("UTF-8");
    child.wait().expect("it ends");
    let erased = rest.find("\r\u{1b}[2K").expect("the line is erased");
    assert!(rest[erased..].contains(&node), "{rest:?}");
    let mut piped = crate::project::command(project.path());
    let piped = crate::project::run(piped.arg("status")).with(0);
    assert!(!piped.err.contains("gwc status:"), "{}", piped.err);
}
