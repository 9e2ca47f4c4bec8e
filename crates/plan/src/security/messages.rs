//! Comparison of requirements on messages: validation modes, and policies that check content.

use std::collections::BTreeMap;

use policy::Protection;
use policy::declared::{Settings, Value};

use super::{Access, Difference, Verdict, schemas};

/// Validation modes, weakest first.
const MODES: [&str; 3] = ["off", "log", "block"];

/// Reason why a change of these policies has no witness.
const REFUSED_ONLY: &str =
    "only a request that a limit or rule of these policies refuses would show the change";

/// Compares the validation modes for requests and responses.
pub(super) fn validation(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let each = [
        ("request", "validate.request", "request-validation-changed"),
        (
            "response",
            "validate.response",
            "response-validation-changed",
        ),
    ];
    let each = each.into_iter().flat_map(|(side, subject, id)| {
        let [was, is] = [old, new].map(|access| Checks::of(access, side));
        let covers =
            |one: &Checks, other: &Checks| other.heads <= one.heads && other.bodies <= one.bodies;
        let shown = (was.describe(), is.describe());
        let verdict = Verdict::of(covers(&was, &is), covers(&is, &was));
        super::one("validation", verdict, id, subject, shown)
    });
    each.collect()
}

/// Modes in which messages are validated, as indices in [`MODES`].
struct Checks {
    /// Mode for the status or the parameters.
    heads: usize,
    /// Mode for bodies. The responses of an operation with `stream: true` are not read.
    bodies: usize,
}

impl Checks {
    fn of(access: &Access<'_>, side: &str) -> Self {
        let heads = mode(access, side);
        let streams = access
            .route
            .is_some_and(|route| route.treatment.forwarding.stream);
        let bodies = match side == "response" && streams {
            true => 0,
            false => heads,
        };
        Self { heads, bodies }
    }

    fn describe(&self) -> String {
        match self.bodies == self.heads {
            true => MODES[self.heads].to_owned(),
            false => format!(
                "{}, but bodies are not checked, because the operation streams",
                MODES[self.heads]
            ),
        }
    }
}

/// Values of the setting for query parameters that an operation does not describe, weakest first.
const UNDECLARED: [&str; 3] = ["allow", "strip", "reject"];

/// Compares the handling of query parameters that the operation does not describe.
pub(super) fn undeclared(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let (was, is) = (undeclared_of(old), undeclared_of(new));
    let shown = [(old, &was), (new, &is)].map(|(access, one)| match &one.open {
        Some(name) => format!(
            "{}, which has no effect because the parameter {name} accepts every name",
            UNDECLARED[written_undeclared(access)]
        ),
        None => UNDECLARED[one.rank].to_owned(),
    });
    let (was, is) = (was.rank, is.rank);
    let shown = shown.into();
    super::one(
        "validation",
        Verdict::of(is <= was, was <= is),
        "undeclared-params-changed",
        "undeclared_params",
        shown,
    )
}

/// Effective handling of query parameters that the operation does not describe.
pub(super) struct EffectiveUndeclared {
    /// Index in [`UNDECLARED`].
    rank: usize,
    /// Index in [`UNDECLARED`] of the setting as written in the configuration.
    written: usize,
    /// Name of a parameter whose description covers every name, so that the setting has no effect.
    /// `None`: the setting has effect.
    open: Option<String>,
}

impl EffectiveUndeclared {
    /// True if requests with undescribed parameters are refused.
    pub(super) fn refuses(&self) -> bool {
        UNDECLARED[self.rank] == "reject"
    }

    /// True if a described parameter covers every name. Then only those names count as undescribed
    /// that some servers read as the name of a different described parameter.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// True if undescribed parameters are refused or removed.
    pub(super) fn is_limited(&self) -> bool {
        self.written > 0
    }

    /// True if undescribed parameters are removed.
    pub(super) fn removes(&self) -> bool {
        UNDECLARED[self.written] == "strip"
    }
}

/// Handling of undescribed query parameters in an operation's settings, as an index in
/// [`UNDECLARED`].
fn written_undeclared(access: &Access<'_>) -> usize {
    let settings = access.route.map(|route| route.treatment.settings());
    let word = settings
        .as_ref()
        .and_then(|all| all.text(&["undeclared_params"]));
    let mut all = UNDECLARED.iter();
    all.position(|one| Some(*one) == word).unwrap_or(0)
}

/// Effective handling of undescribed query parameters. `allow` if a parameter describes every name.
pub(super) fn undeclared_of(access: &Access<'_>) -> EffectiveUndeclared {
    let rank = written_undeclared(access);
    let cone = (rank > 0).then(|| schemas::described(access)).flatten();
    let open = cone.and_then(|cone| validator::describes_every_name(&cone).map(str::to_owned));
    EffectiveUndeclared {
        rank: if open.is_some() { 0 } else { rank },
        written: rank,
        open,
    }
}

/// True if requests that do not match their description are refused.
pub(super) fn blocks(access: &Access<'_>) -> bool {
    MODES[mode(access, "request")] == "block"
}

/// True if responses that do not match their description are replaced.
pub(super) fn blocks_responses(access: &Access<'_>) -> bool {
    MODES[mode(access, "response")] == "block"
}

/// Strictest mode that the operation or one of its policies sets for requests or responses
/// (`side`), as an index in [`MODES`].
fn mode(access: &Access<'_>, side: &str) -> usize {
    let rank = |settings: &Settings, path: &[&str]| {
        let word = settings.text(path);
        MODES
            .iter()
            .position(|mode| Some(*mode) == word)
            .unwrap_or(0)
    };
    let own = access
        .route
        .map(|route| rank(&route.treatment.settings(), &["validate", side]));
    let policies = access.policies("validate");
    let policies = policies.iter().map(|(_, settings)| rank(settings, &[side]));
    policies.chain(own).max().unwrap_or(0)
}

/// Compares the limits and rules that all policies of a kind set together, for each kind that
/// refuses messages because of their content ([`Protection::Content`]). If no policy sets a limit
/// or rule any more, the new side admits more. If the two sides have different policies, the new
/// side also admits more if the lowest value of a limit is higher. If they have the same policies,
/// the comparison of policy definitions reports changed values (`relax`, `tighten`).
pub(super) fn guards(old: &Access<'_>, new: &Access<'_>) -> Vec<Difference> {
    let each = policy::protecting(Protection::Content).flat_map(|kind| {
        let (was, is) = (Guard::of(old, kind), Guard::of(new, kind));
        let verdict = Verdict::of(was.covers(&is), is.covers(&was));
        let id = super::presence_id(
            (was.names.is_empty(), is.names.is_empty()),
            ["guard-added", "guard-removed", "guard-changed"],
        );
        let shown = match id {
            "guard-changed" => (was.only_here(&is), is.only_here(&was)),
            _ => (was.describe(), is.describe()),
        };
        let mut found = super::one("guards", verdict, id, kind, shown);
        for one in &mut found {
            one.why_none = Some(REFUSED_ONLY);
        }
        found
    });
    each.collect()
}

/// Policies of one kind in a chain that refuse messages.
struct Guard<'a> {
    names: Vec<&'a str>,
    /// Paths of the settings that the policies have: limits and rules. A limit has the lowest of
    /// its values, for comparison and for display. A rule has one more part for each format that
    /// its policy scans, because the scan looks for the rule only in these formats.
    parts: BTreeMap<String, Option<(u128, String)>>,
}

impl<'a> Guard<'a> {
    fn of(access: &Access<'a>, kind: &str) -> Self {
        let policies = access.policies(kind).into_iter();
        let refusing: Vec<(&str, Settings)> = policies
            .filter(|(_, one)| one.text(&["mode"]) != Some("log"))
            .collect();
        let mut parts: BTreeMap<String, Option<(u128, String)>> = BTreeMap::new();
        for (_, settings) in &refusing {
            for one in settings.iter().filter(|one| one.path != ["mode"]) {
                let limit = match &one.value {
                    Value::One(scalar) => scalar
                        .amount()
                        .map(|(amount, _)| (amount, scalar.to_string())),
                    _ => None,
                };
                let path = one.path.join(".");
                let in_formats = formats(settings).filter(|_| one.path[0] == "rules");
                let in_formats = in_formats.map(|format| format!("{path} in {format}"));
                for part in in_formats.chain([path.clone()]) {
                    let known = parts.entry(part).or_insert(limit.clone());
                    if limit < *known {
                        *known = limit.clone();
                    }
                }
            }
        }
        Self {
            names: refusing.iter().map(|(name, _)| *name).collect(),
            parts,
        }
    }

    /// True if these policies refuse all requests that the policies of the other side refuse.
    fn covers(&self, other: &Self) -> bool {
        let has_same_names = self.names == other.names;
        other.parts.iter().all(|(path, theirs)| {
            let own = self.parts.get(path);
            own.is_some_and(|own| has_same_names || amount(own) <= amount(theirs))
        })
    }

    fn describe(&self) -> String {
        match self.names[..] {
            [] => "none".to_owned(),
            _ => self.names.join(", "),
        }
    }

    /// Describes the policies of this side, with the limits and rules that the other side lacks.
    fn only_here(&self, other: &Self) -> String {
        let is_lower = |path: &str, own: &Option<(u128, String)>| {
            let theirs = other.parts.get(path);
            theirs.is_none_or(|theirs| amount(own) < amount(theirs))
        };
        let own = self.parts.iter().filter(|(path, own)| is_lower(path, own));
        let own = own.map(|(path, own)| match own {
            Some((_, shown)) => format!("{path} {shown}"),
            None => path.clone(),
        });
        let own: Vec<String> = own.collect();
        match own.is_empty() {
            true => self.describe(),
            false => format!("{} with {}", self.describe(), own.join(", ")),
        }
    }
}

/// Formats of bodies that a `threat` policy with these settings scans.
fn formats(settings: &Settings) -> impl Iterator<Item = &'static str> {
    let scans = |format: &&str| settings.iter().any(|one| one.path[0] == *format);
    ["json", "xml"].into_iter().filter(scans)
}

/// Value of a limit. `None` for a rule.
fn amount(limit: &Option<(u128, String)>) -> Option<u128> {
    limit.as_ref().map(|(amount, _)| *amount)
}
