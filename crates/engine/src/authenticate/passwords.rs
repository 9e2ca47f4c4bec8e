//! Check of passwords with slow hashes. gwd computes the hash on another thread, so the check is an
//! [`Effect`].
//!
//! Each refusal computes the same number of hashes: as many as the user with the most passwords
//! has. The time of a refusal therefore reveals neither which users exist, nor how many passwords
//! they have.

use policy::Cx;
use policy::ask::{AskId, CheckResult, Effect};
use policy::password::{Check, PASSWORD_MAX};

use super::{Outcome, VerifiedCredential};
use crate::credentials::{Password, Passwords};

/// Outcome for the credential `user:password`, if no fast hash (SHA-256) matches it.
pub(super) fn outcome(passwords: &Passwords, pair: &[u8], cx: &Cx<'_>) -> Outcome {
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else {
        return Outcome::Invalid;
    };
    let (user, password) = (&pair[..colon], &pair[colon + 1..]);
    if password.len() > PASSWORD_MAX {
        return Outcome::Invalid;
    }
    let named = std::str::from_utf8(user).ok();
    let own = named.and_then(|user| passwords.users.get(user));
    let own = own.into_iter().flatten();
    let mut usable = own.filter(|one| is_usable(one, cx));
    for (index, decoy) in passwords.decoys.iter().enumerate() {
        let one = usable.next();
        let check = match one {
            Some(one) => Check::new(&one.sha256, &one.hash, password),
            None => Check::decoy(user, index, decoy, password),
        };
        match (password_result(check, cx), one) {
            (Err(reason), _) => return reason.into(),
            (Ok(true), Some(one)) => {
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
            (Ok(_), _) => {}
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
    match cx.answers.check_result(&AskId::of_password(&check)) {
        CheckResult::Pending => Err(NotChecked::Ask(Box::new(Effect::Password(Box::new(check))))),
        CheckResult::Computed(is_valid) => Ok(is_valid),
        CheckResult::Unavailable => Err(NotChecked::Outage),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use bundle::ir;
    use policy::ask::{Answer, Answered};
    use policy::{Limits, Revoked};

    use super::*;
    use crate::credentials::Credentials;

    const HASHES: [&str; 3] = [
        "$argon2id$v=19$m=7168,t=1,p=1$c2FsdHNhbHQ$XmHe4YTGjByNV82+uKdjKgxks2mo39jqBGxKaFKoIhs",
        "$argon2id$v=19$m=7168,t=1,p=1$c2FsdHNhbHQ$OjCu/Ra38mQD3qMPwDG45sgk9/8C4EGXylhzlI7hReU",
        "$argon2id$v=19$m=7168,t=1,p=1$c2FsdHNhbHQ$UrHxcsqamq9qXqajlGVW7I5hNgEQNeKIU2VfpEI1X3U",
    ];

    /// Consumer with these passwords, each with an optional end of validity (Unix time, seconds).
    fn consumer(user: &str, passwords: &[(&str, Option<u64>)]) -> ir::Consumer {
        let basic = passwords.iter().map(|(hash, not_after)| {
            let password = ir::Password {
                user: user.into(),
                argon2id: (*hash).into(),
            };
            ir::Credential {
                sha256: password.sha256(),
                not_after: *not_after,
                password: Some(password),
            }
        });
        ir::Consumer {
            name: user.into(),
            keys: Vec::new(),
            basic: basic.collect(),
            declared: policy::declared::Settings::default(),
            groups: Vec::new(),
            metadata: policy::declared::Settings::default(),
            certificates: Vec::new(),
            plan: None,
            tokens: Vec::new(),
            claims: policy::declared::Settings::default(),
        }
    }

    /// Number of different hashes that a login with a wrong password computes.
    fn hashes(passwords: &Passwords, pair: &str) -> usize {
        let limits = Limits::new(1, std::hash::RandomState::new);
        let revoked = Revoked::default();
        let mut cx = Cx::new(0, 1_000, [127, 0, 0, 1].into(), &limits, &revoked);
        let mut effects = BTreeSet::new();
        while let Outcome::Ask(effect) = outcome(passwords, pair.as_bytes(), &cx) {
            assert!(effects.insert(effect.id().to_bytes()), "asked twice");
            let wrong = Answered::empty(http::StatusCode::FORBIDDEN);
            cx.answers.add(effect.id(), Answer::Http(Arc::new(wrong)));
        }
        effects.len()
    }

    #[test]
    fn every_refusal_computes_as_many_hashes() {
        let [first, second, third] = HASHES;
        let consumers = ir::Set::new(vec![
            consumer("alice", &[(first, None), (second, None), (third, None)]),
            consumer("bob", &[(first, None)]),
            consumer("carol", &[(first, Some(5)), (second, None)]),
            consumer("dave", &[(first, Some(5))]),
        ]);
        let index = Credentials::index(&consumers.unwrap()).unwrap();
        for user in ["alice", "bob", "carol", "dave", "nobody", ""] {
            assert_eq!(hashes(&index.passwords, &format!("{user}:no")), 3, "{user}");
        }
        assert_eq!(hashes(&index.passwords, "alice"), 0);
        let none = Credentials::index(&ir::Set::new(vec![consumer("erin", &[])]).unwrap());
        assert_eq!(hashes(&none.unwrap().passwords, "erin:no"), 0);
    }
}
