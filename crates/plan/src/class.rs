//! Sections and classes of changes.

use vocab::checks::Level;

/// Section of a plan. Plans list sections in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Access: requests that are newly admitted or refused.
    Security,
    /// Release rules: changes of gates, acknowledgements, lint levels, channel, store and other
    /// rules.
    Rules,
    /// Routing: which operation handles which requests.
    Routing,
    /// Contract of the API: changes that clients see.
    Breaking,
    /// Handling of requests by the gateway.
    Policy,
    /// Upstreams of requests.
    Upstream,
    /// Descriptions, summaries and other prose.
    Docs,
}

/// Class of a change (plan.md, *Classes*).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// At least one request that was refused is now admitted.
    Weaken,
    /// At least one request is newly admitted and another is newly refused.
    Incomparable,
    /// Requests that were not served are now open to some callers.
    Expose,
    /// A new consumer or credential.
    Grant,
    /// The release rules differ (gates, acknowledgements, lint levels and others).
    Rules,
    /// At least one request that was admitted is now refused.
    Strengthen,
    /// Requests are newly served.
    Added,
    /// Requests are no longer served.
    Removed,
    /// Clients that follow the old contract fail.
    Break,
    /// Requests are served by another operation or upstream than before.
    Moved,
    /// An operation no longer serves any request, because other operations serve its requests. Or
    /// an operation serves requests again.
    Shadowed,
    /// A limit admits more requests.
    Relax,
    /// A limit admits fewer requests.
    Tighten,
    /// Any other difference in behaviour.
    Changed,
    /// Difference in prose only.
    Doc,
}

impl Section {
    /// All sections, in the order of a plan.
    pub const ALL: [Self; 7] = [
        Self::Security,
        Self::Rules,
        Self::Routing,
        Self::Breaking,
        Self::Policy,
        Self::Upstream,
        Self::Docs,
    ];

    /// Lower-case name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Rules => "rules",
            Self::Routing => "routing",
            Self::Breaking => "breaking",
            Self::Policy => "policy",
            Self::Upstream => "upstream",
            Self::Docs => "docs",
        }
    }
}

impl Class {
    /// Class of a contract difference that has this level.
    pub(crate) fn of_level(level: Level) -> Self {
        match level {
            Level::Error => Self::Break,
            Level::Warn | Level::Info => Self::Changed,
        }
    }

    /// All classes, in the order of a plan.
    pub const ALL: [Self; 15] = [
        Self::Weaken,
        Self::Incomparable,
        Self::Expose,
        Self::Grant,
        Self::Rules,
        Self::Strengthen,
        Self::Added,
        Self::Removed,
        Self::Break,
        Self::Moved,
        Self::Shadowed,
        Self::Relax,
        Self::Tighten,
        Self::Changed,
        Self::Doc,
    ];

    /// All classes, the worst for callers and operators first: those of the level `error`, then
    /// `warn`, then `info`.
    pub const WORST_FIRST: [Self; 15] = [
        Self::Weaken,
        Self::Incomparable,
        Self::Break,
        Self::Removed,
        Self::Expose,
        Self::Grant,
        Self::Moved,
        Self::Rules,
        Self::Shadowed,
        Self::Strengthen,
        Self::Tighten,
        Self::Relax,
        Self::Changed,
        Self::Added,
        Self::Doc,
    ];

    /// Name of the class in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Weaken => "weaken",
            Self::Incomparable => "incomparable",
            Self::Expose => "expose",
            Self::Grant => "grant",
            Self::Rules => "rules",
            Self::Strengthen => "strengthen",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Break => "break",
            Self::Moved => "moved",
            Self::Shadowed => "shadowed",
            Self::Relax => "relax",
            Self::Tighten => "tighten",
            Self::Changed => "changed",
            Self::Doc => "doc",
        }
    }

    /// Severity of the class for reviewers: `error`, `warn` or `info`.
    #[must_use]
    pub fn level(self) -> &'static str {
        match self {
            Self::Weaken | Self::Incomparable | Self::Break => "error",
            Self::Expose
            | Self::Grant
            | Self::Rules
            | Self::Removed
            | Self::Moved
            | Self::Shadowed => "warn",
            Self::Strengthen
            | Self::Added
            | Self::Relax
            | Self::Tighten
            | Self::Changed
            | Self::Doc => "info",
        }
    }
}
