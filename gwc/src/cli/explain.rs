//! Command `gwc explain`: shows the explanation of a diagnostic.

use diag::Lint;
use serde_json::json;

use super::say::{self, Format};
use model::exit::{Exit, Failure};
use openapi::lint::find::{self, find};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gwc explain GW0501")]
pub(super) struct Args {
    /// A code (GW0501) or a name (unknown-policy)
    code: String,
    /// Output format
    #[arg(long, default_value = "human")]
    format: Format,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(lint) = find(&args.code) else {
        let unknown = find::unknown(&args.code);
        let message = format!("{}; {}", unknown.message, unknown.hint);
        return Err(Failure::usage(message).into());
    };
    match args.format {
        Format::Human => say::result(&text(lint)),
        Format::Json => {
            let files = |sample: diag::diagnostic::Sample| {
                sample
                    .iter()
                    .map(|(file, text)| json!({"file": file, "text": text}))
                    .collect::<Vec<_>>()
            };
            say::json(&say::document(
                "explain/v1",
                "ok",
                json!({"code": lint.code, "name": lint.name, "level": openapi::lint::default_level(lint), "summary": lint.summary, "explain": lint.explain,
                       "bad": files(lint.bad), "good": files(lint.good)}),
            ));
        }
    }
    Ok(Exit::OK)
}

/// Page of a diagnostic, as in the terminal and the book.
fn text(lint: &Lint) -> String {
    let mut page = format!(
        "{} {} ({})\n{}\n\n{}\n",
        lint.code,
        lint.name,
        match openapi::lint::is_off_by_default(lint) {
            true => "off by default",
            false => lint.level.name(),
        },
        lint.summary,
        wrapped(lint.explain)
    );
    for (title, sample) in [("Has it:", lint.bad), ("Has it not:", lint.good)] {
        page.push_str(&format!("\n{title}\n"));
        for (file, text) in sample {
            page.push_str(&format!("\n  # {file}\n"));
            for line in text.lines() {
                page.push_str(&format!("  {line}\n"));
            }
        }
    }
    let name = lint.name;
    page.push_str(&if openapi::lint::hard::is_hard(lint) {
        "\nIt cannot be silenced: nothing could be built with it.\n".to_owned()
    } else if openapi::lint::is_off_by_default(lint) {
        let level = lint.level.name();
        format!("\nIt is a matter of taste, so that it is looked for only where somebody asks: `lint: {{{name}: {level}}}` in gateway.yaml, or `gwc lint --rule {name}={level}`.\n")
    } else {
        format!("\nIts level can be set: `lint: {{{name}: off}}` in gateway.yaml, or `gwc lint --rule {name}=off`.\n")
    });
    page
}

/// Wraps a paragraph to lines of at most 90 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + word.chars().count() >= 90 {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}
