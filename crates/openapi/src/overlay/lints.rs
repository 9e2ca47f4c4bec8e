//! Lints on overlays: GW040x.

use diag::{Level, Lint};

/// Lints in the order of their codes.
pub const LINTS: &[&Lint] = &[
    &MALFORMED_OVERLAY,
    &INVALID_TARGET,
    &OVERLAY_MATCHES_NOTHING,
    &OVERLAY_APPENDS_LIST,
    &OVERLAY_MISMATCH,
    &OVERLAY_DOES_NOTHING,
    &OVERLAY_OF_ANOTHER,
];

/// Sample of a document with one path and an overlay with one action.
macro_rules! overlay {
    ($($action:literal),+) => {
        &[
            (
                "openapi.yaml",
                "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths:\n  /a:\n    get:\n      summary: old\n\
\x20     security: [{key: []}]\n      responses: {'200': {description: ok}}\n\
components: {securitySchemes: {key: {type: apiKey, in: header, name: k}}}\n",
            ),
            (
                "overlay.yaml",
                concat!("overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nactions:\n", $($action),+),
            ),
        ]
    };
}

/// A file that is not an overlay.
pub static MALFORMED_OVERLAY: Lint = Lint {
    code: "GW0401",
    name: "malformed-overlay",
    level: Level::Error,
    summary: "an overlay that does not follow the Overlay specification",
    explain: "An overlay is a map with `overlay: 1.0.0` (or 1.1.0), `info` with `title` and \
`version`, and a list of `actions`. Each action has a `target`, and an `update` or `remove: true`. \
Other fields begin with `x-`.",
    bad: overlay!("  - {target: $.info, updates: {title: new}, update: {title: new}}\n"),
    good: overlay!("  - {target: $.info, update: {title: new}}\n"),
};

/// A target that is not a valid JSONPath.
pub static INVALID_TARGET: Lint = Lint {
    code: "GW0402",
    name: "invalid-target",
    level: Level::Error,
    summary: "a target that is not a JSONPath, or takes too many steps",
    explain: "Targets are JSONPath as of RFC 9535. Write a name with other characters than \
letters, digits and `_` in brackets and quotes: `$.paths['/orders/{id}'].get`. The targets of an \
overlay take at most 200,000,000 steps, and those of all overlays of a run 500,000,000. A step is \
a value that a target visits. If a filter contains a query at `$` that selects several values, \
these are visited again for each value that the filter tests. A comparison with a regular \
expression takes 200 steps. The paths of the values that a target can select have at most \
100,000,000 names and indexes together. A list of selectors such as `['get', 'post']` must contain \
each name only once, and no backslash.",
    bad: overlay!("  - {target: $.paths./a, update: {summary: new}}\n"),
    good: overlay!("  - {target: \"$.paths['/a']\", update: {summary: new}}\n"),
};

/// A target that matches nothing.
pub static OVERLAY_MATCHES_NOTHING: Lint = Lint {
    code: "GW0403",
    name: "overlay-matches-nothing",
    level: Level::Warn,
    summary: "an overlay's target that matches nothing",
    explain: "The action has no effect. Most often the document changed and the overlay was not \
updated, so a rule of the gateway may be missing.",
    bad: overlay!("  - {target: \"$.paths['/b'].get\", update: {summary: new}}\n"),
    good: overlay!("  - {target: \"$.paths['/a'].get\", update: {summary: new}}\n"),
};

/// An update that appends to a list of `security` or `policies`.
pub static OVERLAY_APPENDS_LIST: Lint = Lint {
    code: "GW0404",
    name: "overlay-appends-list",
    level: Level::Error,
    summary: "an overlay that appends to an existing `security` or `policies` list",
    explain: "An overlay's update concatenates lists, so an update of `security` adds an alternative: it admits more \
callers where its author most likely wanted fewer. Set `security` in `x-gateway`, where it replaces, append policies \
with `+policies`, or remove the old list with an action of its own first.",
    bad: overlay!("  - {target: \"$.paths['/a'].get\", update: {security: [{}]}}\n"),
    good: overlay!(
        "  - {target: \"$.paths['/a'].get.security\", remove: true}\n",
        "  - {target: \"$.paths['/a'].get\", update: {security: [{key: []}]}}\n"
    ),
};

/// An update whose type differs from that of the target.
pub static OVERLAY_MISMATCH: Lint = Lint {
    code: "GW0405",
    name: "overlay-mismatch",
    level: Level::Error,
    summary: "an update whose type differs from its target's",
    explain: "Maps are merged into maps, lists are appended to lists, and scalars replace scalars. \
A list cannot be merged into a map; to replace the list by another kind of value, remove the old \
value first. The values that a target selects must be all maps, all lists or all scalars, because \
one update cannot apply to different kinds.",
    bad: overlay!("  - {target: \"$.paths['/a'].get\", update: {summary: [new]}}\n"),
    good: overlay!("  - {target: \"$.paths['/a'].get\", update: {summary: new}}\n"),
};

/// An action that changes nothing.
pub static OVERLAY_DOES_NOTHING: Lint = Lint {
    code: "GW0406",
    name: "overlay-does-nothing",
    level: Level::Warn,
    summary: "an action, or a part of one, that changes nothing",
    explain: "An action needs an `update`, `remove: true` or (from Overlay 1.1) a `copy`; without \
one of these it has no effect. Beside `remove: true` the other two have no effect.",
    bad: overlay!("  - {target: \"$.paths['/a'].get\", description: later}\n"),
    good: overlay!("  - {target: \"$.paths['/a'].get\", update: {summary: new}}\n"),
};

/// An overlay whose `extends` names another document.
pub static OVERLAY_OF_ANOTHER: Lint = Lint {
    code: "GW0407",
    name: "overlay-of-another",
    level: Level::Warn,
    summary: "an overlay that extends another document than the one it is applied to",
    explain: "`extends` names the document that an overlay was written for, relative to the \
overlay's own file. gateway.yaml names the document to which the overlay is applied; if the two \
differ, one of them is most likely a mistake. A URL is not compared: nothing is fetched.",
    bad: &[
        (
            "openapi.yaml",
            "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {}\n",
        ),
        (
            "overlay.yaml",
            "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nextends: orders.yaml\nactions:\n  - {target: $.info, update: {title: new}}\n",
        ),
    ],
    good: &[
        (
            "openapi.yaml",
            "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {}\n",
        ),
        (
            "overlay.yaml",
            "overlay: 1.0.0\ninfo: {title: o, version: \"1\"}\nextends: ./openapi.yaml\nactions:\n  - {target: $.info, update: {title: new}}\n",
        ),
    ],
};
