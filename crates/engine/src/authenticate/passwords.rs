//! Check of passwords with slow hashes. gwd computes the hash on another thread, so the check is an
//! [`Effect`].
//!
//! For an unknown user name, the same computation runs as for a wrong password. The time of a
//! refusal therefore does not reveal which users exist.

use policy::Cx;
use policy::ask::{Answer, AskId, Effect};
use policy::password::{Check, PASSWORD_MAX};

use super::{Outcome, VerifiedCredential};
use crate::credentials::{Password, Passwords};

/// Outcome for the credential `user:password`, if no fast hash (SHA-256) matches it.
pub(super) fn outcome(passwords: &Passwords, pair: &[u8], cx: &Cx<'_>) -> Outcome {
    let (Some(decoy), Some(colon)) = (&passwords.decoy, pair.iter().position(|b| *b == b':'))
    else {
        return Outcome::Invalid;
    };
    let (user, password) = (&pair[..colon], &pair[colon + 1..]);
    if password.len() > PASSWORD_MAX {
        return Outcome::Invalid;
    }
    let named = std::str::from_utf8(user).ok();
    let own = named.and_then(|user| passwords.users.get(user));
    let mut own = own.into_iter().flatten();
    let mut usable = own.by_ref().filter(|one| is_usable(one, cx)).peekable();
    if usable.peek().is_none() {
        return match password_result(Check::decoy(user, decoy, password), cx) {
            Ok(_) => Outcome::Invalid,
            Err(reason) => reason.into(),
        };
    }
    for one in usable {
        match password_result(Check::new(&one.sha256, &one.hash, password), cx) {
            Ok(false) => {}
            Ok(true) => {
                return Outcome::Satisfied(Some(VerifiedCredential {
                    sha256: one.sha256,
                    ends_s: one.owner.not_after.unwrap_or(u64::MAX),
                    consumer: Some(one.owner.consumer),
                    token: None,
                    proved: None,
                    signed: None,
                    session: None,
                }));
            }
            Err(reason) => return reason.into(),
        }
    }
    Outcome::Invalid
}

fn is_usable(password: &Password, cx: &Cx<'_>) -> bool {
    let in_time = password.owner.not_after.is_none_or(|end| cx.unix_s < end);
    in_time && !cx.revoked.contains(&password.sha256)
}

/// Reason why there is no result of a password check.
enum NotChecked {
    Ask(Box<Effect>),
    /// gwd could not perform the check ([`Outcome::Unchecked`]).
    Outage,
}

impl From<NotChecked> for Outcome {
    fn from(reason: NotChecked) -> Self {
        match reason {
            NotChecked::Ask(effect) => Self::Ask(effect),
            NotChecked::Outage => Self::Unchecked,
        }
    }
}

/// Result of a password check.
fn password_result(check: Check, cx: &Cx<'_>) -> Result<bool, NotChecked> {
    match cx.answers.get(&AskId::of_password(&check)) {
        None => Err(NotChecked::Ask(Box::new(Effect::Password(Box::new(check))))),
        Some(Answer::Http(answered)) => Ok(answered.status.is_success()),
        Some(
            Answer::Outage(_)
            | Answer::Fetched
            | Answer::Counted(_)
            | Answer::Examined(_)
            | Answer::Permit(_)
            | Answer::Processed(_),
        ) => Err(NotChecked::Outage),
    }
}
