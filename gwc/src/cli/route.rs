//! Command `gwc route`: shows which operation a request matches, and how the gateway handles it.

use std::net::IpAddr;
use std::path::Path;

use serde_json::Value;

use super::limits::LimitOptions;
use super::options::StoreOptions;
use super::range_files::RangeOptions;
use super::revocations::{self, InForce};
use super::say::{self, Context, Format};
use super::side::{self, Read};
use crate::release::{self, links};
use ::plan::ask::{self, Assumption, Oracle, Question};
use ::plan::report::Origin;
use ::plan::route::request::{self, RequestText};
use ::plan::route::{
    Answer, Credential, GivenCredentials, RouteRequest, answer, carry, human, json,
};
use ::plan::{Side, witness};
use model::compile::Input;
use model::exit::{Exit, Failure};
use policy::auth::mtls::Source;

const EXAMPLES: &str = "Examples:
  gwc route GET http://api.example.org/orders/7
  gwc route GET \
/orders/7 --credential key=valid       as a caller with a valid key
  gwc route POST /orders -H \
'X-Key: secret' --format json
  gwc route GET /orders --assume ask=allow             with the \
answer of a service that a policy asks
  gwc route GET /orders -H 'X-Key: secret' --revoked \
9f86d081…    as if the key were revoked
  gwc route GET /orders --all                          all \
settings, and routes that nearly match
  gwc route GET /orders --bundle 3f2a9c81              a \
bundle of the store
  gwc route GET /orders --bundle git:main              the sources of a \
revision
  gwc route --witness 4be0c1d29a77 plan.json           the request that a line of a plan \
shows";

/// Arguments of `gwc route`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "gwc route [OPTIONS] METHOD URL\n       gwc route [OPTIONS] --witness FINGERPRINT PLAN"
)]
pub(super) struct Args {
    /// Method and URL, or method and path if the host does not matter; with --witness, a plan
    /// written by `gwc plan -o`
    #[arg(value_name = "METHOD URL", num_args = 1..=2)]
    words: Vec<String>,
    /// A request field; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Assume a valid or a forged credential of a security scheme; may be given several times
    #[arg(long, value_name = "SCHEME=valid|forged")]
    credential: Vec<Credential>,
    /// Assumed answer to a policy that asks another service, such as `forward_auth`: `allow`,
    /// `deny` or `outage`; or to a verifier with keys or secrets that gwc does not have: `valid` or
    /// `forged`; may be given several times
    #[arg(long, value_name = "NAME=ANSWER")]
    assume: Vec<Assumption>,
    /// Address of the sender
    #[arg(long, default_value = "203.0.113.1", value_name = "ADDRESS")]
    peer: IpAddr,
    /// Listener that receives the request [default: by the scheme, address and port of the URL]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Use a bundle of the store, a one-file bundle, or the sources of a revision, instead of the
    /// sources here
    #[arg(long, value_name = "ID|FILE|git:REV")]
    bundle: Option<String>,
    /// The store, instead of `release.store`
    #[arg(long, value_name = "DIR|oci://HOST/REPOSITORY")]
    store: Option<std::path::PathBuf>,
    /// The sha256 of a credential that counts as revoked, beside those of the store's newest
    /// revocation list; may be given several times
    #[arg(long, value_name = "SHA256", conflicts_with = "witness")]
    revoked: Vec<String>,
    /// Replay the request of the change with this fingerprint in a plan
    #[arg(long, value_name = "FINGERPRINT", conflicts_with_all = ["header", "credential"])]
    witness: Option<String>,
    #[command(flatten)]
    ranges: RangeOptions,
    /// Show every value, and routes that nearly match
    #[arg(long)]
    all: bool,
    /// Output format of the answer
    #[arg(long, default_value = "human")]
    format: Format,
    #[command(flatten)]
    pub(super) limits: LimitOptions,
}

impl super::Arguments for Args {
    fn limits(&self) -> Option<&LimitOptions> {
        Some(&self.limits)
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let wanted = request_to_explain(args)?;
    let read = read(args, context)?;
    let side = &read.side;
    let gateway = &side.lowered.gateway;
    let gateway = match args.credential.is_empty() && args.witness.is_none() {
        true => std::borrow::Cow::Borrowed(gateway),
        false => {
            let sets = witness::RoleSets::of([gateway]);
            std::borrow::Cow::Owned(witness::with_witness(gateway, &sets))
        }
    };
    let ranges = args.ranges.read(&side.lowered.gateway)?;
    let id = side.bundle.to_string();
    let oracle = Oracle::with_ranges(&gateway, &id, &ranges).map_err(|error| {
        Failure::new(
            Exit::BUG,
            "bug",
            format!("sources that compile cannot be built, which is a bug in gwc: {error}"),
        )
    })?;
    for assumption in &args.assume {
        if let Some(why) = ask::fault(&gateway, assumption) {
            return Err(Failure::usage(format!("--assume: {why}")).into());
        }
    }
    let (mut question, others) = question(&wanted, args, (&oracle, side))?;
    if !args.credential.is_empty() {
        let request = route_request(args, side, &oracle, &question);
        match carry(request, &args.credential, &GivenCredentials::default()) {
            Ok(Some(carried)) => question = carried,
            Ok(None) => {
                say::note("note: no operation matches the request, so `--credential` is ignored")
            }
            Err(why) => return Err(Failure::usage(format!("--credential: {why}")).into()),
        }
    }
    let mut answer = answer(route_request(args, side, &oracle, &question));
    for other in others {
        let listener = &oracle.snapshot().listeners()[other].name;
        let question = Question {
            listener: other,
            ..question.clone()
        };
        let there = ::plan::route::answer(route_request(args, side, &oracle, &question));
        if !is_same_decision(&answer, &there) {
            say::note(&format!(
                "note: the listener `{}` is assumed, but `{listener}` would decide differently; select one with --listener",
                answer.listener
            ));
        }
    }
    if args.witness.is_none() {
        let named = args.revoked.iter();
        let named = named.map(|text| revocations::credential("--revoked", text));
        let revoked = InForce::of(
            &named.collect::<anyhow::Result<Vec<_>>>()?,
            &at(args),
            context,
        );
        if !revoked.hashes.is_empty() {
            let oracle = oracle.with_revoked(revoked.hashes.iter().map(|one| *one.as_bytes()));
            let refused = ::plan::route::answer(route_request(args, side, &oracle, &question));
            if refused.reason != answer.reason {
                let why = format!("a credential of the request is revoked ({})", revoked.list);
                answer = refused;
                answer.why = Some(why);
            }
        }
    }
    match args.format {
        Format::Json => say::json(&say::document("route/v1", "ok", json::document(&answer))),
        Format::Human => say::report(&human::render(&answer, &read.folder)),
    }
    Ok(Exit::OK)
}

/// True if two listeners handle a request in the same way.
fn is_same_decision(one: &Answer, other: &Answer) -> bool {
    let upstream = |answer: &Answer| answer.upstream.as_ref().map(|one| one.name.clone());
    (one.decision, one.status, one.reason) == (other.decision, other.status, other.reason)
        && one.operation == other.operation
        && upstream(one) == upstream(other)
}

fn route_request<'a>(
    args: &'a Args,
    side: &'a Side,
    oracle: &'a Oracle,
    question: &'a Question,
) -> RouteRequest<'a> {
    RouteRequest {
        side,
        oracle,
        question,
        assumptions: &args.assume,
        all: args.all,
    }
}

fn at(args: &Args) -> StoreOptions {
    StoreOptions {
        store: args.store.clone(),
        channel: None,
        trust: None,
    }
}

/// Request whose handling is explained, from the command line or from the witness of a change.
struct RequestToExplain {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    listener: Option<String>,
    certificates: Vec<(Source, String)>,
    /// Body of the request, if it is known.
    body: Option<String>,
}

fn request_to_explain(args: &Args) -> anyhow::Result<RequestToExplain> {
    match (&args.witness, args.words.as_slice()) {
        (Some(fingerprint), [plan]) => of_plan(Path::new(plan), fingerprint),
        (Some(_), _) => {
            Err(Failure::usage("--witness needs one plan: write --witness FINGERPRINT plan.json").into())
        }
        (None, [method, url]) => Ok(RequestToExplain {
            method: method.clone(),
            url: url.clone(),
            headers: fields(&args.header)?,
            listener: args.listener.clone(),
            certificates: Vec::new(),
            body: None,
        }),
        (None, _) => Err(Failure::usage(
            "a method and a URL are needed: write `gwc route GET http://HOST/PATH`, or a path alone",
        )
        .into()),
    }
}

fn fields(lines: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let field = |line: &String| {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| Failure::usage(format!("`-H {line}`: write NAME: VALUE")))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    lines.iter().map(field).collect()
}

/// Reads a plan, and returns the witness of the change with this fingerprint.
fn of_plan(path: &Path, fingerprint: &str) -> anyhow::Result<RequestToExplain> {
    let input = |code: &str, message: String| Failure::new(Exit::INPUT, code, message);
    let shown = say::path(path);
    links::check(path)?;
    let text = std::fs::read_to_string(path)
        .map_err(|error| input("no-such-file", format!("cannot read {shown}: {error}")))?;
    let plan: Value = serde_json::from_str(&text)
        .ok()
        .filter(|plan: &Value| plan["schema"] == "plan/v1")
        .ok_or_else(|| {
            input(
                "bad-plan",
                format!("{shown} is not a plan; write one with `gwc plan -o plan.json`"),
            )
        })?;
    let changes = plan["changes"].as_array().into_iter().flatten();
    let mut named = changes.filter(|change| {
        let known = change["fingerprint"].as_str().unwrap_or_default();
        fingerprint.len() >= 6 && known.starts_with(fingerprint)
    });
    let Some(change) = named.next() else {
        let wrong = format!(
            "no line of {shown} has the fingerprint `{}`; write six or more of its digits, as the plan shows them",
            fingerprint.escape_debug()
        );
        return Err(Failure::usage(wrong).into());
    };
    let witness = &change["witness"];
    let (Some(method), Some(url)) = (witness["method"].as_str(), witness["url"].as_str()) else {
        let why = change["why_none"]
            .as_str()
            .unwrap_or("the change does not concern requests");
        return Err(Failure::usage(format!("that change has no example request: {why}")).into());
    };
    let headers = witness["headers"].as_object().into_iter().flatten();
    let headers =
        headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let listener = change["listeners"]
        .as_array()
        .and_then(|all| all.first()?.as_str());
    Ok(RequestToExplain {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: headers.collect(),
        listener: listener.map(str::to_owned),
        certificates: certificates(&witness["facts"]["credentials"]),
        body: witness["facts"]["body"].as_str().map(str::to_owned),
    })
}

/// Client certificates among the credentials of a witness.
fn certificates(credentials: &Value) -> Vec<(Source, String)> {
    let all = credentials.as_array().into_iter().flatten();
    let shown = all.filter_map(|one| {
        let certificate = one.get("certificate")?;
        let from = certificate["from"].as_str()?;
        let sources = [Source::Connection, Source::Field];
        let source = sources.into_iter().find(|one| one.name() == from)?;
        let names = certificate["names"].as_array()?.iter();
        let names: Vec<&str> = names.filter_map(Value::as_str).collect();
        Some((source, names.join("\n")))
    });
    shown.collect()
}

/// Reads the version that handles the request: the version of `--bundle`, otherwise the local
/// sources.
fn read(args: &Args, context: &Context) -> anyhow::Result<Read> {
    let at = at(args);
    if let Some(name) = &args.bundle {
        return side::one(name, &at, context);
    }
    match context.input(None)? {
        Input::Document(path) => {
            say::note(&format!(
                "note: {} is a document without a project: its mount, upstream and verifiers are assumed",
                say::path(&path)
            ));
            side::one(&path.to_string_lossy(), &at, context)
        }
        Input::Project(root) => Ok(Read {
            side: side::side_of(context.compile_to_ask()?)?,
            origin: Origin::default(),
            folder: say::seen_folder(&root),
            notes: Vec::new(),
            disk: Some(root),
        }),
    }
}

/// Builds the request to explain. Also returns the indices of the other listeners that match the
/// URL equally well.
fn question(
    wanted: &RequestToExplain,
    args: &Args,
    (oracle, side): (&Oracle, &Side),
) -> anyhow::Result<(Question, Vec<usize>)> {
    let written = RequestText {
        method: &wanted.method,
        url: &wanted.url,
        headers: &wanted.headers,
        listener: args.listener.as_deref().or(wanted.listener.as_deref()),
    };
    let received = request::read(written, &side.lowered.gateway, oracle.snapshot());
    let received = received.map_err(Failure::usage)?;
    if let Some(note) = &received.note {
        say::note(&format!("note: {note}"));
    }
    let question = Question {
        listener: received.listener,
        request: received.request,
        peer: args.peer,
        certificates: wanted.certificates.clone(),
        body: wanted.body.clone().map(String::into_bytes),
        unix_s: match &args.witness {
            Some(_) => witness::AT_S,
            None => release::now().unix_s(),
        },
    };
    Ok((question, received.others))
}
