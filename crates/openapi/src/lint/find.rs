//! Lookup of rules by code, by name, or by another linter's name.

use diag::{Lint, suggest};

/// Returns the rule with a code (`GW0355`) or a name.
#[must_use]
pub fn find(word: &str) -> Option<&'static Lint> {
    all().find(|lint| lint.name == word || lint.code.eq_ignore_ascii_case(word))
}

/// Message and suggestion for a name that is not the name of a rule.
pub struct Unknown {
    /// Message that the rule is unknown.
    pub message: String,
    /// Help: the probable rule, or where to find the rules.
    pub hint: String,
    /// Name of the rule that the user probably meant. `None` if several or none are likely.
    pub meant: Option<&'static str>,
}

/// Creates the message and a suggestion for an unknown rule name.
#[must_use]
pub fn unknown(word: &str) -> Unknown {
    let message = format!("there is no rule `{}`", suggest::shown(word));
    if let Some((ours, remark)) = of_other_linter(word) {
        let quoted: Vec<String> = ours.iter().map(|name| format!("`{name}`")).collect();
        return Unknown {
            message,
            hint: match ours {
                [] => format!("gwc has no such rule: {remark}"),
                _ => format!("gwc's name of the rule is {}", quoted.join(", ")),
            },
            meant: match ours {
                [only] => Some(only),
                _ => None,
            },
        };
    }
    let meant = suggest::nearest(word, all().map(|lint| lint.name));
    Unknown {
        message,
        hint: match meant {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`gwc rules` lists them".to_owned(),
        },
        meant,
    }
}

/// Rules of gwc that correspond to a rule of another linter, with a remark. `None` for an unknown
/// name. Always `None` without the feature `others`.
fn of_other_linter(word: &str) -> Option<(&'static [&'static str], &'static str)> {
    #[cfg(feature = "others")]
    {
        let mut rows = super::others::SETS.iter().flat_map(|set| set.rows);
        let row = rows.find(|(theirs, ..)| *theirs == word);
        row.map(|(_, ours, remark)| (*ours, *remark))
    }
    #[cfg(not(feature = "others"))]
    {
        let _unused = word;
        None
    }
}

/// Iterates over all rules.
pub fn all() -> impl Iterator<Item = &'static Lint> {
    super::ALL.iter().copied().flatten().copied()
}
