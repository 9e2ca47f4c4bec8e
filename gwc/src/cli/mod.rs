//! Command line, with one file per command. A command reads its arguments, calls the library and
//! writes its result to standard output. All other output goes to standard error.

mod abort;
mod advice;
mod apply;
mod approvals;
mod approve;
mod break_baseline;
mod build;
mod changelog;
mod channels;
mod claim;
mod comparison;
mod completions;
mod copy;
mod diff;
mod drift;
mod effects;
mod environments;
mod expiry;
mod explain;
mod fleet;
mod freeze;
mod gc;
mod guards;
mod history;
mod init;
mod inspect;
mod keygen;
mod limits;
mod links;
mod lint;
mod live;
mod logs;
mod lsp;
mod man;
mod many;
mod movement;
mod options;
mod plan;
mod planned;
mod progress;
mod promote;
mod pull;
mod push;
mod range_files;
mod registries;
mod rehearsal;
mod release;
mod repairs;
mod replace;
mod replay;
mod reproduce;
mod review;
mod revocations;
mod revoke;
mod revoked_lists;
mod rollback;
mod rollout;
mod route;
mod rules;
mod saves;
mod say;
mod schema;
mod side;
mod sign;
mod status;
mod steps;
mod strip;
mod target;
mod terminal;
mod test;
mod troubles;
mod trust;
mod verify;
mod watch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::release::stores;
use model::environment::Scope;
use model::exit::{self, Exit};

/// Compiles OpenAPI documents that carry `x-gateway` extensions into signed gateway bundles.
#[derive(Debug, Parser)]
#[command(name = "gwc", version, propagate_version = true, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    /// Folder of the project [default: the nearest one above the working folder]
    #[arg(long, global = true, value_name = "DIR")]
    project: Option<PathBuf>,
    /// The environment of gateway.yaml; `plan` and `diff` compare each by default, other commands
    /// use the project without an environment
    #[arg(long, global = true, value_name = "NAME")]
    env: Option<String>,
    #[command(flatten)]
    registries: registries::RegistryOptions,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  gwc init shop --from openapi.yaml    start a project
  gwc lint                             check it
  gwc lint openapi.yaml                check one document without a project
  gwc plan                             compare it with what the channel runs
  gwc apply --key keys/release.pem     release it
  gwc rollback --key keys/release.pem  go back to the previous version

Exit codes: 0 done, 1 findings, 2 changes, 3 stale plan, 4 verification failed, 5 roll-out
failed, 64 usage, 65 input, 69 unreachable, 70 a bug in gwc.";

/// Defines the enum of the commands and their dispatch, with one row per command.
macro_rules! commands {
    ($($(#[$doc:meta])* $variant:ident($module:ident),)*) => {
        #[derive(Debug, Subcommand)]
        enum Command {
            $($(#[$doc])* $variant($module::Args),)*
        }

        impl Command {
            fn arguments(&self) -> &dyn Arguments {
                match self {
                    $(Self::$variant(args) => args,)*
                }
            }

            /// Name of the command on the command line.
            fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($module),)*
                }
            }

            fn run(&self, context: &say::Context) -> anyhow::Result<Exit> {
                match self {
                    $(Self::$variant(args) => $module::run(args, context),)*
                }
            }
        }
    };
}

commands! {
    /// Start a project: gateway.yaml, one API, a CI workflow
    Init(init),
    /// Make a key pair, and its entry in the trust file
    Keygen(keygen),
    /// Check the project, or single OpenAPI documents; never uses the network
    Lint(lint),
    /// Explain a rule: its meaning, its reason, and an example with and without the finding
    Explain(explain),
    /// List every rule with its level
    Rules(rules),
    /// Print a JSON Schema for editors
    Schema(schema),
    /// Serve an editor: findings, completion, hover, definitions, renaming
    Lsp(lsp),
    /// Compile to an unsigned bundle and print its id
    Build(build),
    /// Compare with what the channel runs, and show what would change
    Plan(plan),
    /// Compare any two versions by meaning: files, folders, bundles, Git revisions
    Diff(diff),
    /// List the changes between two versions that API clients see
    Changelog(changelog),
    /// Compare how two versions handle logged requests
    Replay(replay),
    /// Sign a statement of where a bundle came from
    Sign(sign),
    /// Verify the signed statements about a bundle, and print openssl commands that do the same
    Verify(verify),
    /// Show what is in a bundle: routes, policies, upstreams, digests, signatures
    Inspect(inspect),
    /// Sign an approval of the channel's next change, for `gwc apply` by another owner
    Approve(approve),
    /// Plan, sign, publish and move the channel
    Apply(apply),
    /// Move a progressive release to its next step, or to all gateways
    Promote(promote),
    /// End a progressive release: move the channel back to the bundle before it
    Abort(abort),
    /// Show the state of a progressive release
    Release(release),
    /// Move the channel back to an earlier bundle
    Rollback(rollback),
    /// List the channel's records with signer, time and reason
    History(history),
    /// Show what the channel and each gateway run
    Status(status),
    /// Fail if a gateway runs another bundle than the channel names
    Drift(drift),
    /// Revoke a bundle, a credential or a signing key for good
    Revoke(revoke),
    /// Remove bundles that no channel's newer history needs
    Gc(gc),
    /// Copy the project's store to other folders or registries
    Push(push),
    /// Copy another folder or registry to the project's store
    Pull(pull),
    /// Change the trust file
    Trust(trust),
    /// Show which operation a request matches, and how the gateway handles it
    Route(route),
    /// Run the project's tests: requests and the decisions that are expected
    Test(test),
    /// Lint and plan after each save, and let a local gateway serve the result
    Watch(watch),
    /// Print the public OpenAPI document, without the gateway's keys
    Strip(strip),
    /// Print a completion script for a shell
    Completions(completions),
    /// Print or write manual pages
    Man(man),
}

/// Properties of a command's arguments that are needed before the command runs.
trait Arguments {
    /// True if the command reads an existing gateway.yaml.
    fn reads_project(&self) -> bool {
        true
    }

    /// Options for limits on source files, and for the base revision whose ignore rules apply.
    /// `None` for commands without these options.
    fn limits(&self) -> Option<&limits::LimitOptions> {
        None
    }

    /// First path on the command line, for commands that may read a document instead of the
    /// project. Otherwise `None`.
    fn document(&self) -> Option<&Path> {
        None
    }
}

/// Runs a command line and returns the exit code. The first argument is the program's name.
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
    stores::set_registries(cli.registries.settings());
    let arguments = cli.command.arguments();
    let needless = match (&cli.project, &cli.env) {
        _ if arguments.reads_project() => None,
        (_, Some(_)) => Some(", so it has no environment; omit --env"),
        (Some(_), None) => Some("; omit --project"),
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
    let limits = arguments.limits().cloned().unwrap_or_default();
    let mut context = say::Context {
        project: cli.project,
        environment: cli.env,
        scope: Scope::Every,
        limits: limits.limits(),
        levels: Vec::new(),
        base: None,
    };
    if let Some(base) = &limits.base {
        match side::base(base, arguments.document(), &context) {
            Ok(commit) => context.base = Some(commit),
            Err(error) => {
                let (exit, code) = exit::of(&error);
                say::error(&error, exit, &code, json);
                return exit;
            }
        }
    }
    let running = progress::start(cli.command.name());
    let result = cli.command.run(&context);
    drop(running);
    result.unwrap_or_else(|error| {
        let (exit, code) = exit::of(&error);
        say::error(&error, exit, &code, json);
        exit
    })
}

/// True if the arguments select JSON output, so that failures are also written as JSON.
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
