//! Alternatives of a security requirement that are never used, because every request that satisfies
//! such an alternative also satisfies an earlier one.

use diag::{Diagnostic, Sink};
use openapi::spec::Requirement;
use vocab::security_lints::UNREACHABLE_ALTERNATIVE;

/// Reports each alternative that is never used, once. Reports no alternative after an empty one,
/// because gwd still checks the credentials that a request carries.
pub(super) fn check(requirements: &[Requirement], sink: &mut Sink) {
    for (index, later) in requirements.iter().enumerate() {
        let mut earlier = requirements[..index].iter();
        let Some(first) = earlier.find(|first| !first.schemes.is_empty() && covers(first, later))
        else {
            continue;
        };
        let repeats = covers(later, first);
        let message = match repeats {
            true => "this alternative occurs twice",
            false => {
                "this alternative has no effect: every request that satisfies it also satisfies an earlier one"
            }
        };
        sink.push(
            Diagnostic::new(&UNREACHABLE_ALTERNATIVE, later.span, message)
                .related(first.span, "this alternative admits requests that satisfy both")
                .help(match repeats {
                    true => "remove it",
                    false => "remove it, or put it first, so that it identifies the caller of requests with all its credentials",
                }),
        );
    }
}

/// True if a request that satisfies `other` also satisfies `one`.
fn covers(one: &Requirement, other: &Requirement) -> bool {
    one.schemes.iter().all(|(name, scopes)| {
        other.schemes.iter().any(|(known, more)| {
            let has = |scope: &String| more.iter().any(|other| other.value == *scope);
            known.value == name.value && scopes.iter().all(|scope| has(&scope.value))
        })
    })
}
