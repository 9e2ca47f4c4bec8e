//! Command `gwc explain`: explains a diagnostic, a reason of the gateway's own errors, a kind of
//! change in plans, or a check of client contracts.

use diag::{Lint, suggest};
use serde_json::{Value, json};

use super::say::{self, Format};
use ::plan::ids as kinds;
use model::exit::{Exit, Failure};
use openapi::lint::find::{self, find};
use vocab::checks;
use vocab::reasons::{self, Reason};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  gwc explain GW0501
  gwc explain errors          reasons of the gateway's own errors, and where they can be set
  gwc explain rate_limited
  gwc explain operation-exposed   a kind of change in plans")]
pub(super) struct Args {
    /// A code (GW0501) or a name (unknown-policy) of a diagnostic, `errors`, one reason of it, or
    /// a kind of change in plans
    code: String,
    /// Output format
    #[arg(long, default_value = "human")]
    format: Format,
}

impl super::Arguments for Args {
    fn reads_project(&self) -> bool {
        false
    }
}

pub(super) fn run(args: &Args, _: &say::Context) -> anyhow::Result<Exit> {
    if args.code == "errors" {
        explain_errors(args.format);
        return Ok(Exit::OK);
    }
    if let Some(reason) = reasons::find(&args.code) {
        match args.format {
            Format::Human => say::result(&reason_text(reason)),
            Format::Json => say::json(&say::document("explain/v1", "ok", reason_json(reason))),
        }
        return Ok(Exit::OK);
    }
    if let Some(check) = checks::of(&args.code) {
        let (level, direction) = (check.level.name(), check.direction);
        match args.format {
            Format::Human => say::result(&format!(
                "{} ({level})\n{}\n\nA check of the contract with API clients, in the section BREAKING of plans.\n",
                check.id, check.means
            )),
            Format::Json => {
                let fields = json!({"name": check.id, "level": level, "direction": direction, "summary": check.means});
                say::json(&say::document("explain/v1", "ok", fields));
            }
        }
        return Ok(Exit::OK);
    }
    if let Some(kind) = kinds::ALL.iter().find(|kind| kind.id == args.code) {
        match args.format {
            Format::Human => say::result(&format!(
                "{}\n{}\n\nA kind of change, in the section {} of plans.\n",
                kind.id,
                kind.means,
                kind.section.name().to_uppercase()
            )),
            Format::Json => {
                let section = kind.section.name();
                let fields = json!({"name": kind.id, "section": section, "summary": kind.means});
                say::json(&say::document("explain/v1", "ok", fields));
            }
        }
        return Ok(Exit::OK);
    }
    let Some(lint) = find(&args.code) else {
        let unknown = find::unknown(&args.code);
        let codes = reasons::ALL.iter().map(|reason| reason.code);
        let near = suggest::nearest(&args.code, codes.chain(["errors"]));
        if let Some(near) = near.filter(|_| unknown.meant.is_none()) {
            let message = format!("{}; did you mean `{near}`?", unknown.message);
            return Err(Failure::usage(message).into());
        }
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

/// Writes the error reasons, which are the keys of `errors`.
fn explain_errors(format: Format) {
    match format {
        Format::Human => {
            let mut page =
                "Reasons of the gateway's own errors: keys of `errors` in gateway.yaml, \
and `code` of problem\ndocuments, logs and metrics. `errors` of a document accepts only the \
reasons of routes.\n"
                    .to_owned();
            for (of_route, title) in [(true, "Of routes:"), (false, "Before a route is selected:")]
            {
                page.push_str(&format!("\n{title}\n"));
                let reasons = reasons::ALL.iter().filter(|one| one.of_route == of_route);
                for Reason {
                    code,
                    status,
                    means,
                    ..
                } in reasons
                {
                    page.push_str(&format!("  {code:<26} {status}  {means}\n"));
                }
            }
            page.push_str(
                "\nerrors:\n  rate_limited: {status: 503, body: \"{}\", content_type: application/json}\n",
            );
            say::result(&page);
        }
        Format::Json => {
            let all: Vec<Value> = reasons::ALL.iter().map(reason_json).collect();
            let fields = json!({"name": "errors", "reasons": all});
            say::json(&say::document("explain/v1", "ok", fields));
        }
    }
}

fn reason_json(reason: &Reason) -> Value {
    json!({"code": reason.code, "status": reason.status, "summary": reason.means,
           "of_route": reason.of_route})
}

fn reason_text(reason: &Reason) -> String {
    let Reason {
        code,
        status,
        means,
        of_route,
    } = reason;
    let place = match of_route {
        true => "gateway.yaml or of a document's `x-gateway`",
        false => "gateway.yaml",
    };
    format!(
        "{code}: {means}\n\nStatus {status}. `errors` of {place} can set another status and a body:\n\n\
errors:\n  {code}: {{status: {status}, body: \"{{}}\", content_type: application/json}}\n"
    )
}

/// Renders a diagnostic's page, as in the terminal and the generated documentation.
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
    for (title, sample) in [("With this finding:", lint.bad), ("Without it:", lint.good)] {
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
        "\nThis rule cannot be silenced, because its findings prevent a build.\n".to_owned()
    } else if openapi::lint::is_off_by_default(lint) {
        let level = lint.level.name();
        format!("\nThis rule is a matter of taste and off by default. To turn it on: `lint: \
{{{name}: {level}}}` in gateway.yaml, or `gwc lint --rule {name}={level}`.\n")
    } else {
        format!("\nTo set its level: `lint: {{{name}: off}}` in gateway.yaml, or `gwc lint --rule {name}=off`.\n")
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
