//! Operations at a path at which the gateway itself responds for a login (`redirect_path`,
//! `logout_path` of `kind: oidc`).

use std::collections::BTreeSet;

use bundle::ir::{self, Segment, Template};
use diag::{Diagnostic, Sink};
use policy::auth::Checked;
use vocab::lints::{LOGIN_PATH_MATCHED, LOGIN_PATH_OWNED};

use super::table::at_one_place;
use super::{Api, Settings, verifiers};

/// Reports each operation that no request can reach, because a login serves its path. Also reports
/// each path template that matches the path of a login.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    for verifier in verifiers::all(settings, apis) {
        let Checked::Oidc(login) = &verifier.value.checked else {
            continue;
        };
        let named = ir::Verify::Auth(verifier.value.name.clone());
        let uses = |api: &&Api| api.schemes.iter().any(|scheme| scheme.verify == named);
        let mounts = apis.iter().filter(uses).flat_map(|api| &api.mounts);
        let mounts: Vec<&ir::Mount> = mounts.map(|mount| &mount.value).collect();
        let paths = [Some(login.redirect_path()), login.logout_path()];
        for api in apis {
            let own = api.mounts.iter().map(|mount| &mount.value);
            let own: Vec<&ir::Mount> = own
                .filter(|own| mounts.iter().any(|mount| at_one_place(own, mount)))
                .collect();
            let operations = api
                .operations
                .iter()
                .filter(|operation| !operation.internal);
            let mut reported = BTreeSet::new();
            for operation in operations {
                let taken = own.iter().find_map(|mount| {
                    let template = operation.template.clone().behind(&mount.base_path);
                    let mut paths = paths.iter().flatten();
                    let path = paths.find(|path| matches(&template, path))?;
                    Some((*path, is_one_path(&template)))
                });
                let Some((path, is_owned)) = taken else {
                    continue;
                };
                // Report a template with parameters only once, even if it has several methods.
                if !is_owned && !reported.insert(operation.template.to_string()) {
                    continue;
                }
                let name = verifier.value.name.escape_debug();
                let (lint, message) = match is_owned {
                    true => (
                        &LOGIN_PATH_OWNED,
                        format!(
                            "the gateway itself handles requests to this path, as part of the login `{name}`"
                        ),
                    ),
                    false => (
                        &LOGIN_PATH_MATCHED,
                        format!(
                            "the gateway itself handles requests to `{path}`, as part of the login `{name}`"
                        ),
                    ),
                };
                sink.push(
                    Diagnostic::new(lint, operation.path_span, message)
                        .related(verifier.span, format!("`{name}` is defined here"))
                        .help("write another `redirect_path` or `logout_path` there"),
                );
            }
        }
    }
}

/// True if a template matches a path without escapes.
fn matches(template: &Template, path: &str) -> bool {
    let mut given = path.split('/').skip(1);
    let fits = template.segments().iter().all(|segment| {
        let given = given.next();
        given.is_some_and(|given| match segment {
            Segment::Literal(text) => *text == *given,
            Segment::Folded(text) => text.eq_ignore_ascii_case(given),
            Segment::Parameter(_) => !given.is_empty(),
            Segment::Pattern(pattern) => pattern.matches(given),
        })
    });
    fits && (template.is_prefix() || given.next().is_none())
}

/// True if a template matches only one path.
fn is_one_path(template: &Template) -> bool {
    let mut segments = template.segments().iter();
    !template.is_prefix() && segments.all(|segment| matches!(segment, Segment::Literal(_)))
}
