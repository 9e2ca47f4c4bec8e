//! Object `fields` of the access log line: values that policies of the kind `log_fields` select.

use engine::{ChainStep, LoggedForms, RouteRef};
use policy::logged::SecretParameters;
use policy::traffic::log_fields::HiddenValues;
use policy::{Cx, Filter, RequestHead};

use super::line::key;
use crate::telemetry::access_log::{hidden_decoded, write_text};

/// Adds the object, if a field has a value. `secret`: query parameters of the bundle's security
/// schemes. `forms`: parts of the request that the log hides.
pub(super) fn write(
    out: &mut Vec<u8>,
    route: &RouteRef<'_>,
    (head, secret, forms): (&RequestHead, &SecretParameters, &LoggedForms<'_>),
    cx: &Cx<'_>,
) {
    let policies = route.treatment.chain.iter().filter_map(|step| match step {
        ChainStep::Filter(_, filter) => match &**filter {
            Filter::LogFields(fields) => Some(fields),
            _ => None,
        },
        ChainStep::Authenticate | ChainStep::Strip | ChainStep::RemoveParameters => None,
    });
    let mut path = None;
    let mut is_first = true;
    for policy in policies {
        let path = path.get_or_insert_with(|| route.path_parameters(head.path()));
        let values = HiddenValues {
            secret,
            parameters: forms.parameters,
            path: &forms.path,
            hides_query: forms.hides_query,
            redacted: &route.treatment.redacted,
        };
        for field in policy.fields((head, path), values, cx) {
            if is_first {
                key(out, "fields");
            }
            // Names consist of letters, digits and `_`.
            out.extend_from_slice(if is_first { b"{\"" } else { b",\"" });
            is_first = false;
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b"\":");
            write_text(&field.shown(hidden_decoded), out);
        }
    }
    if !is_first {
        out.push(b'}');
    }
}
