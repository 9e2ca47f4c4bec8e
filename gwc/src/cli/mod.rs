//! Command line, one file per command. A command reads its arguments, calls the library and writes
//! the result to standard output. All other output goes to standard error.

mod advice;
mod apply;
mod build;
mod claim;
mod completions;
mod diff;
mod environments;
mod expiry;
mod explain;
mod fleet;
mod gc;
mod history;
mod init;
mod inspect;
mod keygen;
mod limits;
mod lint;
mod movement;
mod options;
mod plan;
mod planned;
mod rehearsal;
mod replace;
mod reproduce;
mod review;
mod revoke;
mod rollback;
mod route;
mod rules;
mod say;
mod schema;
mod settle;
mod side;
mod sign;
mod status;
mod strip;
mod target;
mod troubles;
mod trust;
mod verify;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use model::exit::{self, Exit};

/// Compiles OpenAPI documents that carry `x-gateway` extensions into signed gateway bundles.
#[derive(Debug, Parser)]
#[command(name = "gwc", version, propagate_version = true, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    /// Folder of the project [default: the nearest one above the working folder]
    #[arg(long, global = true, value_name = "DIR")]
    project: Option<PathBuf>,
    /// The environment of gateway.yaml; `plan` and `diff` compare each by default, other
    /// commands take the project without one
    #[arg(long, global = true, value_name = "NAME")]
    env: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  gwc init shop --from openapi.yaml    start a project
  gwc lint                             check it
  gwc lint openapi.yaml                check one document without a project
  gwc plan                             compare it with what the channel runs
  gwc apply --key keys/release.pem     release it
  gwc rollback                         go back to the version before

Exit codes: 0 done, 1 findings, 2 changes, 3 stale plan, 4 verification failed, 5 roll-out
failed, 64 usage, 65 input, 69 unreachable, 70 a bug of ours.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a project: gateway.yaml, one API, a CI workflow
    Init(init::Args),
    /// Make a key pair, and its entry in the trust file
    Keygen(keygen::Args),
    /// Check the project, or single OpenAPI documents; never touches the network
    Lint(lint::Args),
    /// Explain a diagnostic: what, why, a bad and a good sample
    Explain(explain::Args),
    /// List every rule with its level
    Rules(rules::Args),
    /// Print a JSON Schema for editors
    Schema(schema::Args),
    /// Compile to an unsigned bundle and print its id
    Build(build::Args),
    /// Compare with what the channel runs, and say what would change
    Plan(plan::Args),
    /// Compare any two versions by meaning: files, folders, bundles, Git revisions
    Diff(diff::Args),
    /// Sign where a bundle came from
    Sign(sign::Args),
    /// Check every statement about a bundle, and say how to do it with openssl
    Verify(verify::Args),
    /// Say what is in a bundle: routes, policies, upstreams, digests, signatures
    Inspect(inspect::Args),
    /// Plan, sign, publish and move the channel
    Apply(apply::Args),
    /// Move the channel back to an earlier bundle
    Rollback(rollback::Args),
    /// List the channel's records: who, when, why
    History(history::Args),
    /// Say what the channel and each gateway run
    Status(status::Args),
    /// Fail if a gateway runs another bundle than the channel names
    Drift(status::Args),
    /// Put a bundle, a credential or a signing key on the list of what must never count again
    Revoke(revoke::Args),
    /// Remove bundles that no channel's newer history needs
    Gc(gc::Args),
    /// Change the trust file
    Trust(trust::Args),
    /// Say which operation owns a request, and what happens to it
    Route(route::Args),
    /// Print the public OpenAPI document, without the gateway's keys
    Strip(strip::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

impl Command {
    /// Options for read limits and for the base revision whose ignore rules apply. None for
    /// commands without these options.
    fn limits(&self) -> Option<&limits::LimitOptions> {
        Some(match self {
            Self::Lint(args) => &args.limits,
            Self::Build(args) => &args.limits,
            Self::Plan(args) => &args.limits,
            Self::Diff(args) => &args.limits,
            Self::Apply(args) => &args.limits,
            Self::Route(args) => &args.limits,
            Self::Strip(args) => &args.limits,
            _ => return None,
        })
    }

    /// The first path that it reads instead of the project of the working folder.
    fn document(&self) -> Option<&std::path::Path> {
        match self {
            Self::Lint(args) => args.paths.first().map(PathBuf::as_path),
            Self::Strip(args) => args.path.as_deref(),
            _ => None,
        }
    }

    /// True if the command reads an existing gateway.yaml.
    fn reads_project(&self) -> bool {
        !matches!(
            self,
            Self::Init(_)
                | Self::Explain(_)
                | Self::Rules(_)
                | Self::Schema(_)
                | Self::Completions(_)
        )
    }
}

/// Runs the program with these arguments (the first is its name) and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = wants_json(&arguments);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let help = !error.use_stderr();
            let _ = error.print();
            if !help && json {
                say::error_document(
                    "usage",
                    error.to_string().lines().next().unwrap_or_default(),
                    Exit::USAGE,
                );
            }
            return if help { Exit::OK } else { Exit::USAGE };
        }
    };
    let needless = match (&cli.project, &cli.env) {
        _ if cli.command.reads_project() => None,
        (_, Some(_)) => Some(", so that it has no environment: leave --env out"),
        (Some(_), None) => Some(": leave --project out"),
        (None, None) => None,
    };
    if let Some(needless) = needless {
        let message = format!("this command reads no project{needless}");
        say::error(
            &exit::Failure::usage(message).into(),
            Exit::USAGE,
            "usage",
            json,
        );
        return Exit::USAGE;
    }
    let limits = cli.command.limits().cloned().unwrap_or_default();
    let mut context = say::Context {
        project: cli.project,
        environment: cli.env,
        limits: limits.limits(),
        levels: Vec::new(),
        base: None,
    };
    if let Some(base) = &limits.base {
        match side::base(base, cli.command.document(), &context) {
            Ok(commit) => context.base = Some(commit),
            Err(error) => {
                let (exit, code) = exit::of(&error);
                say::error(&error, exit, &code, json);
                return exit;
            }
        }
    }
    let result = match cli.command {
        Command::Init(args) => init::run(&args),
        Command::Keygen(args) => keygen::run(&args, &context),
        Command::Sign(args) => sign::run(&args, &context),
        Command::Verify(args) => verify::run(&args, &context),
        Command::Inspect(args) => inspect::run(&args, &context),
        Command::Apply(args) => apply::run(&args, &context),
        Command::Rollback(args) => rollback::run(&args, &context),
        Command::History(args) => history::run(&args, &context),
        Command::Status(args) => status::run(&args, &context, status::Command::Status),
        Command::Drift(args) => status::run(&args, &context, status::Command::Drift),
        Command::Revoke(args) => revoke::run(&args, &context),
        Command::Gc(args) => gc::run(&args, &context),
        Command::Trust(args) => trust::run(&args, &context),
        Command::Lint(args) => lint::run(&args, &context),
        Command::Explain(args) => explain::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Build(args) => build::run(&args, &context),
        Command::Plan(args) => plan::run(&args, &context),
        Command::Diff(args) => diff::run(&args, &context),
        Command::Route(args) => route::run(&args, &context),
        Command::Strip(args) => strip::run(&args, &context),
        Command::Completions(args) => completions::run(&args),
    };
    result.unwrap_or_else(|error| {
        let (exit, code) = exit::of(&error);
        say::error(&error, exit, &code, json);
        exit
    })
}

/// True if the arguments select JSON output, so that a failure is written as JSON too.
fn wants_json(arguments: &[OsString]) -> bool {
    let text: Vec<_> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy())
        .collect();
    text.iter().any(|argument| argument == "--format=json")
        || text
            .windows(2)
            .any(|pair| pair[0] == "--format" && pair[1] == "json")
}
