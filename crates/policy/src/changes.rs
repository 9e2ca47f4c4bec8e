//! Classes of changes: how a difference in a setting of a policy affects requests. gwc classifies
//! the changes of a plan with these tables.

/// Table of the settings of one kind of policy, with the effect of a difference in each setting.
#[derive(Debug)]
pub struct Changes {
    /// Id of the changes in plans, for rows without an id of their own.
    pub id: &'static str,
    /// Known settings. A setting without a row is reported in the class `changed`.
    pub rows: &'static [Row],
}

impl Changes {
    /// Table whose changes have the id `policy-changed`.
    #[must_use]
    pub const fn new(rows: &'static [Row]) -> Self {
        let id = "policy-changed";
        Self { id, rows }
    }

    /// Table of a policy that decides where requests go. Its changes have the id `traffic-moved`.
    #[must_use]
    pub const fn of_traffic(rows: &'static [Row]) -> Self {
        let id = "traffic-moved";
        Self { id, rows }
    }
}

/// Row of a table: how a difference in the settings at a path affects requests.
#[derive(Debug)]
pub struct Row {
    /// Path of the settings: keys, beginning at the top. `*` matches any one key.
    pub path: &'static [&'static str],
    /// Id of a change of a setting at this path in plans. Default: the id of the table.
    pub id: Option<&'static str>,
    /// Effect of a difference on requests.
    pub direction: Direction,
}

/// Direction of a setting: how a difference in its value affects requests.
#[derive(Clone, Copy, Debug)]
pub enum Direction {
    /// A greater value admits more requests. The field holds the value that applies if the setting
    /// is absent.
    More(Absent),
    /// A greater value admits fewer requests. The field holds the value that applies if the setting
    /// is absent.
    Less(Absent),
    /// Time for which a cached access decision stays valid: a greater value weakens access control.
    /// The field holds the value that applies if the setting is absent.
    Holds(Absent),
    /// The value decides which callers share a limit. Every change counts as looser, because
    /// neither direction is tighter.
    Either,
    /// Like [`Self::More`]. The field is the default. The value 0 disables the check.
    MoreOrOff(u128),
    /// The value ends exchanges when a credential expires, or removes a part of the request. Adding
    /// it strengthens access control, removing it weakens it.
    Protects,
    /// The value sends the client's identity to the upstream. Adding it is `incomparable`: the
    /// upstream may admit other clients. Removing it is `weaken`.
    Identifies,
    /// Form of a value in logs: `redact` hides more than `hash`, which hides more than no setting,
    /// and `keep` hides least. Hiding more strengthens protection, hiding less weakens it.
    Hides,
    /// The value decides which upstream gets traffic, or its share of the traffic.
    Moves,
    /// The value is part of a list of traffic shares. A change of the list is reported as one
    /// change.
    Shares,
    /// Names of response fields. Class `moved` if the difference affects a field that redirects
    /// clients.
    Names,
    /// Status of a response. Class `moved` if exactly one of the two values redirects clients.
    Status,
    /// Kinds of rewritten response fields. Class `moved` if `location` differs, `incomparable` if
    /// `cookies` differs: browsers send the cookies to other hosts or paths.
    Rewritten,
    /// Boolean setting, default `false`. `true` admits more requests: enabling it is `relax`.
    On,
    /// Boolean setting, default `false`. `true` admits fewer requests: enabling it is `tighten`.
    Off,
    /// Boolean setting, default `false`. `true` admits requests that are refused otherwise:
    /// enabling it is `weaken`.
    Opens,
    /// Boolean setting, default `false`. `true` admits requests that are refused otherwise, and
    /// changes paths before they are forwarded: enabling it is `weaken`, and disabling it is
    /// `incomparable`.
    Normalises,
    /// Boolean setting, default `false`. `true` serves requests that are refused otherwise:
    /// enabling it is `weaken`, and disabling it is `break`.
    Serves,
    /// Value on which clients depend, such as the status of an error response. Any change is
    /// `break`.
    Breaks,
    /// Set of values. Each additional value admits more requests. The field holds the set that
    /// applies if the setting is absent.
    Each(&'static [&'static str]),
    /// The setting decides about access. Plans report its differences in the comparison of access,
    /// not by this table.
    Access,
    /// Last day of service: a later day, or none, admits more requests.
    Until,
    /// Plans to whose consumers a limit applies. If absent, the limit applies to all callers. If
    /// the old and the new value both list plans, consumers are compared one by one.
    Callers,
    /// Cost of a request, as an expression. A cost that is proved to be never smaller is `tighten`,
    /// one that is never greater is `relax`. Without a proof, a change is `relax`.
    Costs,
    /// Name of the store of a limit's counters. A fleet counts together in a store, so that adding
    /// it is `tighten` and removing it is `relax`. Another name is `changed`: the place of the
    /// counters is compared by [`Self::Restarts`].
    Stored,
    /// Place of a limit's counters in its store. At another place the counters begin at zero, which
    /// is `relax`. Adding or removing the place together with the store is `changed`.
    Restarts,
    /// Behaviour of a limit while its store does not answer: `open` admits more requests than
    /// `local`, which is the default, and `local` more than `closed`.
    Outage,
    /// Any change of the value is reported in the class `changed`.
    Other,
}

/// Value that applies if a setting is absent.
#[derive(Clone, Copy, Debug)]
pub enum Absent {
    /// Number in milliseconds, bytes, parts per million or items.
    Is(u128),
    /// No limit.
    NoLimit,
    /// The default is not fixed, so the direction of a change is unknown.
    Unknown,
}

/// Creates the rows of a [`Changes`] table from lines of the form `"key"."key below" as "id":
/// direction;`. Without `as "id"`, changes have the id of the table.
#[macro_export]
macro_rules! change_rows {
    ($($($key:literal).+ $(as $id:literal)? : $direction:expr;)*) => {
        &[$($crate::changes::Row {
            path: &[$($key),+],
            id: $crate::change_rows!(@ $($id)?),
            direction: $direction,
        }),*]
    };
    (@ $id:literal) => { Some($id) };
    (@) => { None };
}
