//! Protection by a policy: the property of requests for which its kind refuses them.

/// Property of requests for which policies of a kind refuse them. Plans and lints derive from it
/// how they compare and report the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Number, rate or size of requests. Without the policy, more requests pass. Plans compare the
    /// limits of each caller.
    Limit,
    /// Address, claims or credentials of the caller. An operation with such a policy is not open to
    /// everyone.
    Caller,
    /// Origin of the page that sends the request.
    Page,
    /// Content of the request. Plans compare the settings by path: a setting that is removed, or a
    /// number that becomes higher, admits more requests.
    Content,
    /// Contract in the OpenAPI document.
    Contract,
    /// Any property: an external processor decides.
    Processor,
}

#[cfg(test)]
mod tests {
    use crate::{SOURCES, protecting, protection, refusals};

    use super::Protection;

    /// Kinds that refuse requests but protect nothing. They refuse a request if the operation has
    /// ended (`deprecation`), or if the redirect or rewrite is not possible.
    const WITHOUT_PROTECTION: [&str; 3] = ["deprecation", "redirect", "rewrite"];

    #[test]
    fn each_kind_that_refuses_says_what_it_protects() {
        for (kind, source) in SOURCES {
            let runtime = source.split("#[cfg(test)]").next().unwrap();
            // Limits refuse requests through `counter::Limit`. Its field `reject` contains the
            // refusal.
            let refuses = runtime.contains("Step::Reject(") || runtime.contains("reject: &");
            assert_eq!(refuses, !refusals(kind).is_empty(), "REFUSALS of {kind}");
            let protects = protection(kind).is_some() || WITHOUT_PROTECTION.contains(kind);
            assert!(protects || !refuses, "PROTECTION of {kind}");
        }
    }

    #[test]
    fn refusals_of_a_kind_have_statuses_of_errors() {
        for (kind, _) in SOURCES {
            let statuses = refusals(kind).iter().map(|reject| reject.status);
            let mut statuses = statuses.filter(|status| !(400..600).contains(status));
            assert_eq!(statuses.next(), None, "{kind}");
        }
    }

    #[test]
    fn kinds_of_a_protection_are_listed() {
        let kinds = |one| protecting(one).collect::<Vec<_>>();
        assert_eq!(
            kinds(Protection::Content),
            ["threat", "graphql_guard", "llm"]
        );
        let caller = ["ip_filter", "authorize", "forward_auth"];
        assert_eq!(kinds(Protection::Caller), caller);
        assert_eq!(kinds(Protection::Contract), ["validate"]);
    }
}
