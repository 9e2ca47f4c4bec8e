//! Tests of real documents with one random edit: the compiler ends, never panics, and reports only
//! locations inside the files.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use diag::Diagnostic;
use gwc::output::human::Look;
use gwc::output::{Report, concise, human};
use model::compile::{self, Compiled, Input, Options};
use sources::project::files::Files;
use sources::syntax::Limits;

use prerequisite::corpus;

/// Maximum time to compile a document. The largest document takes less, even on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Reproducible random number generator (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).expect("31 bits") % sides
    }
}

/// Documents of the corpus that consist of one file.
fn documents(corpus: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = ["specs", "broken", "conformance", "history", "oasdiff"]
        .iter()
        .map(|folder| corpus.join(folder))
        .collect();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_dir() && !path.ends_with("digitalocean") {
                waiting.push(path);
            } else if matches!(ending, Some("yaml" | "yml" | "json")) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Makes one random edit. Returns the text and a description of the edit.
fn edited(text: &str, dice: &mut Dice) -> (String, String) {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    if lines.is_empty() {
        return (text.to_owned(), "nothing".into());
    }
    let at = dice.roll(lines.len());
    let line = lines[at].clone();
    let colon = line.find(": ").or_else(|| line.find(":\n"));
    let did = match (dice.roll(3), colon) {
        (0, Some(colon)) => {
            let key: String = line[..colon].chars().rev().collect();
            let key = key.trim_start_matches(['"', '\'']);
            lines[at] = line.replacen(
                &key.chars().rev().collect::<String>(),
                &format!("{}x", key.chars().rev().collect::<String>()),
                1,
            );
            "renamed a key"
        }
        (1, Some(colon)) => {
            const VALUES: &[&str] = &[
                "[]",
                "{}",
                "7",
                "null",
                "\"x\"",
                "true",
                "[{}]",
                "-1.5",
                "&a [*a]",
                "{$ref: '#'}",
                "*a",
                "''",
            ];
            let comma = if line.trim_end().ends_with(',') {
                ","
            } else {
                ""
            };
            let value = VALUES[dice.roll(VALUES.len())];
            lines[at] = format!("{}: {value}{comma}\n", &line[..colon]);
            "changed a value's type"
        }
        _ => {
            lines.remove(at);
            "removed a line"
        }
    };
    (
        lines.concat(),
        format!("{did} at line {}: {}", at + 1, line.trim_end()),
    )
}

/// Compiles a document of 2,900 files, with `text` in place of the file `path`.
fn compiled_in(root: &Path, document: &str, path: &str, text: &str) -> Compiled {
    let options = Options {
        texts: [(path.to_owned(), text.into())].into(),
        ..Options::default()
    };
    compile::compile(&Input::Document(root.join(document)), options).expect("the folder is there")
}

fn compiled(name: &str, text: &str) -> Compiled {
    // Compile as a project, so that a bundle is built if there are no errors.
    const GATEWAY: &str = "version: 1\nname: s\nupstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}\n\
        defaults: {upstream: u, security: upstream}\napis: {a: {path: \"";
    let gateway = format!("{GATEWAY}{name}\"}}}}\n");
    let files = [("gateway.yaml", gateway.as_str()), (name, text)];
    compile::project(Files::in_memory(files, Limits::default()), &Vec::new())
}

/// Locations of a finding that are outside of all files.
fn outside(compiled: &Compiled, finding: &Diagnostic) -> Vec<String> {
    let files = compiled.files.sources.iter().count();
    let related = finding.related.iter().map(|(span, _)| *span);
    let fixes = finding.fix.iter().map(|edit| edit.span);
    std::iter::once(finding.span)
        .chain(related)
        .chain(fixes)
        .filter(|span| {
            let inside = (span.file.0 as usize) < files && {
                let text = compiled.files.sources.file(span.file).text();
                text.get(span.start as usize..span.end as usize).is_some()
            };
            !inside
        })
        .map(|span| format!("{}: {span:?}", finding.lint.name))
        .collect()
}

/// Kinds of findings in a document, or a description of the compiler's failure.
fn judge(path: &Path, text: &str) -> Result<Vec<&'static str>, String> {
    let name = path.file_name().expect("a name").to_string_lossy();
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '_'
            }
        })
        .collect();
    watched(true, || compiled(&name, text))
}

/// Compiles with a time limit. `whole`: true if a bundle must be built when there are no errors.
fn watched(whole: bool, compile: impl FnOnce() -> Compiled) -> Result<Vec<&'static str>, String> {
    let start = Instant::now();
    let run = catch_unwind(AssertUnwindSafe(|| {
        let compiled = compile();
        let report = Report {
            files: &compiled.files,
            folder: "",
            findings: &compiled.findings,
            environment: None,
            cost: None,
            fail_on: diag::Level::Error,
        };
        let length = concise::render(&report).len() + human::render(&report, Look::default()).len();
        let outside: Vec<String> = compiled
            .findings
            .iter()
            .flat_map(|finding| outside(&compiled, finding))
            .collect();
        let stuck = whole && compiled.lowered.is_none() && !compiled.has_errors();
        let names = compiled.findings.iter().map(|finding| finding.lint.name);
        let names: Vec<_> = names.collect();
        (length, outside, stuck, names)
    }));
    let took = start.elapsed();
    match run {
        Err(_) => Err("a panic".into()),
        Ok((_, outside, ..)) if !outside.is_empty() => Err(format!("places outside: {outside:?}")),
        Ok((_, _, true, _)) => Err("nothing was built and nothing is wrong".into()),
        Ok(_) if took > TIME_MAX => Err(format!("it took {took:?}")),
        Ok((.., names)) => Ok(names),
    }
}

#[test]
fn one_random_edit_never_breaks_the_compiler() {
    let corpus = corpus::folder();
    let full = prerequisite::is_full();
    let given = std::env::var("GWC_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| since.as_secs())
    };
    let seed: u64 = given.unwrap_or_else(|| if full { now() } else { 20_261_120 });
    eprintln!("GWC_TEST_SEED={seed}");
    let documents = documents(&corpus);
    assert!(documents.len() > 300, "only {} documents", documents.len());
    let mut dice = Dice(seed | 1);
    let mut wrong = Vec::new();
    let mut kinds = BTreeSet::new();
    for _ in 0..if full { 2_000 } else { 200 } {
        let path = &documents[dice.roll(documents.len())];
        let bytes = std::fs::read(path).expect("the document is there");
        let (text, did) = edited(&String::from_utf8_lossy(&bytes), &mut dice);
        match judge(path, &text) {
            Ok(names) => kinds.extend(names),
            Err(why) => wrong.push(format!("{}: {did}: {why}", path.display())),
        }
    }
    assert!(
        wrong.is_empty(),
        "GWC_TEST_SEED={seed}\n{}",
        wrong.join("\n")
    );
    assert!(kinds.len() > 20, "the edits hurt too little: {kinds:?}");
}

#[test]
fn random_edit_of_one_of_many_files_never_panics() {
    let corpus = corpus::folder();
    let full = prerequisite::is_full();
    let root = corpus.join("specs/digitalocean/specification");
    let document = "DigitalOcean-public.v2.yaml";
    let mut names = Vec::new();
    let mut waiting = vec![root.clone()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yml") {
                names.push(path);
            }
        }
    }
    names.sort();
    assert!(names.len() > 1_000, "only {} files", names.len());
    let mut dice = Dice(20_261_121);
    let mut wrong = Vec::new();
    for _ in 0..if full { 60 } else { 4 } {
        let path = &names[dice.roll(names.len())];
        let text = std::fs::read_to_string(path).expect("the file is there");
        let (text, did) = edited(&text, &mut dice);
        let name = path.strip_prefix(&root).expect("it is inside");
        let name = name.to_string_lossy().into_owned();
        if let Err(why) = watched(false, || compiled_in(&root, document, &name, &text)) {
            wrong.push(format!("{name}: {did}: {why}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
