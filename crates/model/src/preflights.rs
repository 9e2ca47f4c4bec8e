//! Finding about CORS preflights that prevent the use of an operation's credential. `cors` allows
//! pages to call the operation, but its `headers` do not allow the field that carries the
//! credential. Browsers then never send the request (Fetch standard, *CORS protocol*).

use std::collections::BTreeMap;

use bundle::ir::{self, Link};
use diag::{Diagnostic, Sink, Span};
use policy::Checked;
use policy::auth::Place;
use policy::guard::cors;

use super::{Api, Defined, Operation, Settings};
use vocab::lints::CREDENTIAL_NOT_IN_PREFLIGHT;

/// Maximum number of operations shown in a message.
const SHOWN_MAX: usize = 3;

/// Keys of operations whose credential field a `cors` policy does not allow. Grouped by the source
/// location and name of the policy, and by the name of the field.
type Found<'m> = BTreeMap<(Span, &'m str, String), Vec<&'m str>>;

/// Reports each `cors` policy that does not allow a required field, with the operations that need
/// the field.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let mut found = Found::new();
    for api in apis {
        for operation in api.operations.iter().filter(|one| !one.internal) {
            for (policy, cors) in policies(settings, api, operation) {
                if let Some(field) = refused(api, &operation.security.value, cors) {
                    let key = (policy.span, &*policy.value.name, field);
                    found.entry(key).or_default().push(&operation.key);
                }
            }
        }
    }
    for ((span, name, field), keys) in found {
        let named: Vec<String> = keys
            .iter()
            .take(SHOWN_MAX)
            .map(|key| format!("`{key}`"))
            .collect();
        let more = match keys.len().saturating_sub(SHOWN_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        sink.push(
            Diagnostic::new(
                &CREDENTIAL_NOT_IN_PREFLIGHT,
                span,
                format!(
                    "pages cannot send the credential of {}{more}: `{name}` does not allow `{field}`",
                    named.join(", ")
                ),
            )
            .label("the response to a preflight lacks the field")
            .help(format!("write `headers: [{field}]` in `{name}`, beside those that are there")),
        );
    }
}

/// `cors` policies of an operation's chain.
fn policies<'m>(
    settings: &'m Settings,
    api: &'m Api,
    operation: &'m Operation,
) -> impl Iterator<Item = (&'m Defined<ir::Policy>, &'m cors::Checked)> {
    operation.chain.iter().filter_map(|link| {
        let (all, name) = match &link.value {
            Link::Authenticate => return None,
            Link::Shared(name) => (&settings.policies, name),
            Link::Own(name) => (&api.policies, name),
        };
        let policy = all.iter().find(|policy| policy.value.name == *name)?;
        match &policy.value.checked {
            Checked::Cors(cors) => Some((policy, cors)),
            _ => None,
        }
    })
}

/// First field of the requirement that the policy does not allow. `None` if the policy allows all
/// fields of at least one alternative.
fn refused(api: &Api, security: &ir::Security, cors: &cors::Checked) -> Option<String> {
    let lacks = |wanted: &ir::SchemeUse| {
        let mut schemes = api.schemes.iter();
        let scheme = schemes.find(|scheme| scheme.name == wanted.scheme)?;
        let field = match &scheme.place {
            Place::Header(name) => name.as_str(),
            Place::Authorization(_) => "authorization",
            Place::Query(_) | Place::Cookie(_) | Place::Certificate => return None,
        };
        (!cors.allows_field(field)).then(|| field.to_owned())
    };
    let alternatives = security.0.iter();
    let mut fields = alternatives.map(|one| one.0.iter().find_map(lacks));
    let first = fields.next()??;
    fields.all(|field| field.is_some()).then_some(first)
}
