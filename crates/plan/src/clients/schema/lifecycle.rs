//! Lifecycle of properties: `deprecated`, `x-sunset` and `x-stability-level`. The notice period is
//! compared later, because it depends on the API.

use bundle::ir::Value;
use model::source_map::stability_rank;
use serde_json::Value as Json;

use super::Pair;
use super::object::{flag, push};

/// Compares the lifecycles of a property that both sides have.
pub(super) fn compare(pair: &mut Pair<'_>, name: &str, (old, new): (&Value, &Value)) {
    let [was, is] = [old, new].map(|one| flag(pair, one, "deprecated"));
    let sunset = |one| text(pair, one, "x-sunset");
    let found = match (was, is, sunset(new)) {
        (false, true, Some(new)) => {
            let values = (json(sunset(old)), json(Some(new)));
            Some(("deprecated-with-sunset", "x-sunset", values))
        }
        (false, true, None) => Some(("deprecated", "deprecated", (was.into(), is.into()))),
        (true, false, _) => Some(("reactivated", "deprecated", (was.into(), is.into()))),
        (true, true, _) | (false, false, _) => None,
    };
    if let Some((what, keyword, values)) = found {
        let id = format!("{}-property-{what}", pair.role.direction());
        push(pair, &id, name, keyword, values);
    }
    stability(pair, name, (old, new));
}

/// Compares the stability levels. Reports nothing for an unknown level, because it has no rank.
fn stability(pair: &mut Pair<'_>, name: &str, (old, new): (&Value, &Value)) {
    let direction = pair.role.direction();
    let [was, is] = [old, new].map(|one| text(pair, one, "x-stability-level"));
    let ranks = [&was, &is].map(|level| stability_rank(level.as_deref()));
    let [Some(before), Some(after)] = ranks else {
        return;
    };
    let what = match before.cmp(&after) {
        std::cmp::Ordering::Less => "increased",
        std::cmp::Ordering::Equal => return,
        std::cmp::Ordering::Greater => "decreased",
    };
    let id = format!("{direction}-property-stability-{what}");
    push(pair, &id, name, "x-stability-level", (json(was), json(is)));
}

fn text(pair: &Pair<'_>, schema: &Value, key: &str) -> Option<Box<str>> {
    match pair.joint.at(schema).get(key) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

fn json(text: Option<Box<str>>) -> Json {
    text.map_or(Json::Null, |text| String::from(text).into())
}
