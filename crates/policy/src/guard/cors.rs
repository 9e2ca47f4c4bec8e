//! Lets pages of other origins call (the Fetch standard's CORS protocol).
//!
//! ```yaml
//! policies:
//!   web: {kind: cors, origins: ["https://app.example.org"], credentials: true}
//! ```
//! The gateway answers preflights; the origin is echoed, never `*` with credentials.

#[cfg(feature = "author")]
pub mod author {
    //! Shape, checks and findings of `kind: cors` settings.

    use diag::shape::{Field, Object, Rule, Shape};
    use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

    use crate::forms;

    /// The keys of `kind: cors`.
    pub static SHAPE: Object = Object {
        what: "who may call from a browser",
        fields: &[
            Field::required(
                "origins",
                Shape::Several(&Shape::Form(&forms::ORIGIN)),
                "Origins whose pages may call; `https://*.example.org` for those below a domain, `*` for all.",
            ),
            Field::optional(
                "methods",
                Shape::Several(&Shape::Form(&forms::METHOD_OR_ANY)),
                "Methods beside GET, HEAD and POST. Default: those of the path.",
            ),
            Field::optional(
                "headers",
                Shape::List(&Shape::Form(&forms::FIELD_OR_ANY)),
                "Fields that pages may send.",
            ),
            Field::optional(
                "expose",
                Shape::List(&Shape::Form(&forms::FIELD_OR_ANY)),
                "Fields of the response that pages may read.",
            ),
            Field::optional(
                "credentials",
                Shape::Bool,
                "Allow cookies and `Authorization`. Default: `false`.",
            ),
            Field::optional(
                "max_age",
                Shape::Duration,
                "Time for which a browser may cache a preflight response.",
            ),
            Field::optional(
                "private_network",
                Shape::Bool,
                "Allow public pages to call this gateway in a private network.",
            ),
        ],
        rules: &[Rule::Holds(check)],
    };

    /// Every origin, and credentials.
    pub static WILDCARD_WITH_CREDENTIALS: Lint = Lint {
        code: "GW0525",
        name: "wildcard-cors-with-credentials",
        level: Level::Error,
        summary: "every origin may call with the user's credentials",
        explain: "`*` with `credentials: true` would let every page in the world act for whoever looks at it, so browsers \
refuse the combination (Fetch §3.2.5), and gateways that get around it by echoing the origin open the door. `null` is \
the origin of sandboxed frames and files, which anybody can make. Name the origins.",
        bad: &[(
            "gateway.yaml",
            "version: 1\nname: s\npolicies: {web: {kind: cors, origins: [\"*\"], credentials: true}}\n",
        )],
        good: &[(
            "gateway.yaml",
            "version: 1\nname: s\npolicies: {web: {kind: cors, origins: [\"https://app.example.org\"], credentials: true}}\n",
        )],
    };

    fn check(node: NodeRef<'_>, sink: &mut Sink) {
        let credentials = node
            .get("credentials")
            .filter(|value| value.as_bool() == Some(true));
        let Some(credentials) = credentials else {
            return;
        };
        let origins = node.get("origins").into_iter().flat_map(NodeRef::items);
        for origin in origins.filter(|origin| matches!(origin.scalar_text(), Some("*" | "null"))) {
            let shown = origin.scalar_text().unwrap_or_default();
            sink.push(
                Diagnostic::new(
                    &WILDCARD_WITH_CREDENTIALS,
                    origin.span(),
                    format!("`{shown}` cannot stand beside `credentials: true`"),
                )
                .label("every page could call with the user's credentials")
                .related(credentials.span(), "credentials are allowed here")
                .help("name the origins, for instance `https://app.example.org`"),
            );
        }
    }
}
