//! Operations at a path at which the gateway itself responds for a login (`redirect_path`,
//! `logout_path` of `kind: oidc`), and logins that share such a path or their cookie.

use std::collections::BTreeSet;

use bundle::ir::{self, Segment, Template};
use diag::{Diagnostic, Sink};
use policy::auth::{Checked, oidc};
use vocab::lints::{LOGIN_PATH_MATCHED, LOGIN_PATH_OWNED};
use vocab::verifier_lints::LOGIN_CONFLICT;

use super::table::at_one_place;
use super::{Api, Defined, Settings, verifiers};

/// Reports each operation that no request can reach, because a login serves its path. Also reports
/// each path template that matches the path of a login.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    for verifier in verifiers::all(settings, apis) {
        let Checked::Oidc(login) = &verifier.value.checked else {
            continue;
        };
        let mounts = mounts_of(verifier, apis);
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

/// Mounts of the APIs that use a verifier.
fn mounts_of<'a>(verifier: &Defined<ir::Verifier>, apis: &'a [Api]) -> Vec<&'a ir::Mount> {
    let named = ir::Verify::Auth(verifier.value.name.clone());
    let uses = |api: &&Api| api.schemes.iter().any(|scheme| scheme.verify == named);
    let mounts = apis.iter().filter(uses).flat_map(|api| &api.mounts);
    mounts.map(|mount| &mount.value).collect()
}

/// Reports each pair of logins that share a path or a cookie at one listener and host, unless they
/// accept each other's sessions.
pub(super) fn check_conflicts(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    let mut seen: Vec<(&Defined<ir::Verifier>, &oidc::Checked, Vec<&ir::Mount>)> = Vec::new();
    for verifier in verifiers::all(settings, apis) {
        let Checked::Oidc(login) = &verifier.value.checked else {
            continue;
        };
        let mounts = mounts_of(verifier, apis);
        for (first, other, others) in &seen {
            let mut pairs = mounts
                .iter()
                .flat_map(|own| others.iter().map(move |one| (own, one)));
            let Some((shared, help)) = shared(login, other) else {
                continue;
            };
            if !pairs.any(|(own, one)| at_one_place(own, one)) {
                continue;
            }
            let [name, earlier] =
                [verifier, first].map(|one| one.value.name.escape_debug().to_string());
            sink.push(
                Diagnostic::new(
                    &LOGIN_CONFLICT,
                    verifier.span,
                    format!("the logins `{earlier}` and `{name}` share {shared} on one host"),
                )
                .related(first.span, format!("`{earlier}` is defined here"))
                .help(help),
            );
        }
        seen.push((verifier, login, mounts));
    }
}

/// Path or cookie that two logins must not share on one host, and the help for the user. `None` if
/// there is no conflict.
fn shared(login: &oidc::Checked, other: &oidc::Checked) -> Option<(String, &'static str)> {
    let [own, others] = [login, other].map(|login| {
        let logout = login.logout_path().map(|path| ("logout_path", path));
        std::iter::once(("redirect_path", login.redirect_path())).chain(logout)
    });
    let has_same_sessions = login.has_same_sessions(other);
    let others: Vec<_> = others.collect();
    let path = own.clone().find_map(|(key, path)| {
        let mut same = others.iter().filter(|(_, other)| *other == path);
        let (theirs, _) = same.find(|(theirs, _)| !has_same_sessions || *theirs != key)?;
        Some(match *theirs == key {
            true => format!("the `{key}` `{}`", path.escape_debug()),
            false => format!("the path `{}`", path.escape_debug()),
        })
    });
    let cookie = || {
        let is_same = are_one_cookie(login.cookie(), other.cookie());
        let [a, b] = [login.cookie(), other.cookie()];
        let whole = if b.len() < a.len() { b } else { a };
        let text = format!("the cookie `{}`", whole.escape_debug());
        (is_same && !has_same_sessions)
            .then_some((text, "write another `session.cookie` in one of them"))
    };
    path.map(|path| {
        (
            path,
            "write another `redirect_path` or `logout_path` in one of them",
        )
    })
    .or_else(cookie)
}

/// True if two sessions share a cookie: their names are equal without letter case, or one is the
/// name of a part of the other (`NAME.1`).
fn are_one_cookie(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let is_part = |part: &str, whole: &str| {
        let rest = part.strip_prefix(whole);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    is_part(&one, &other) || is_part(&other, &one)
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
