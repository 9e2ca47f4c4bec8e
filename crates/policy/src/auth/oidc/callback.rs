//! Response of the provider at the redirect URI (OpenID Connect Core §3.1.2.5, RFC 6749 §4.1.2,
//! RFC 9207).

use std::net::IpAddr;

use http::header::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::login::{LoginContext, Outcome};
use super::provider::Metadata;
use super::session::Pending;
use super::{Login, Reason, reply};
use crate::ask::Answer;
use crate::auth::place::{FoundCredential, Place};
use crate::auth::replays::Refused;
use crate::head::RequestHead;

impl Login {
    /// Ends a login with the response of the provider. On success, the browser gets a new session
    /// and a redirect to the page that it requested first.
    pub fn complete(&self, head: &RequestHead, context: &mut LoginContext<'_>) -> Outcome {
        let one = |name: &str| match Place::Query(name.to_owned()).find(head) {
            FoundCredential::Absent => Some(None),
            FoundCredential::One(value) => String::from_utf8(value.into_owned()).ok().map(Some),
            FoundCredential::Several => None,
        };
        let Some(Some(state)) = one("state") else {
            return Outcome::Fault(Reason::State);
        };
        let Some(pending) = self.pending(head, &state, context.unix_s) else {
            return Outcome::Fault(Reason::State);
        };
        let outcome = match (one("iss"), one("error"), one("code")) {
            (Some(issuer), Some(error), Some(code)) => {
                self.respond(&pending, [issuer, error, code], context)
            }
            _ => Outcome::Fault(Reason::Code),
        };
        if !matches!(outcome, Outcome::Ask(_)) {
            self.remove_login(&state, context);
        }
        outcome
    }

    fn respond(
        &self,
        pending: &Pending,
        [issuer, error, code]: [Option<String>; 3],
        context: &mut LoginContext<'_>,
    ) -> Outcome {
        let set = match self.metadata(context) {
            Ok(set) => set,
            Err(outcome) => return outcome,
        };
        let Some(metadata) = Metadata::of(&set) else {
            return Outcome::Fault(Reason::Unavailable);
        };
        match issuer {
            None if metadata.names_issuer => return Outcome::Fault(Reason::Issuer),
            Some(issuer) if *issuer != *metadata.issuer => return Outcome::Fault(Reason::Issuer),
            _ => {}
        }
        if let Some(error) = error {
            return Outcome::Fault(match error.as_str() {
                "access_denied" => Reason::Denied,
                "server_error" | "temporarily_unavailable" => Reason::Unavailable,
                _ => Reason::Refused,
            });
        }
        let Some(code) = code else {
            return Outcome::Fault(Reason::Code);
        };
        let id = self.code_id(&pending.state);
        let answered = match context.answers.get(&id) {
            Some(Answer::Http(answered)) => answered.clone(),
            Some(_) => return Outcome::Fault(Reason::Unavailable),
            None => {
                if let Err(reason) = remember(pending, context) {
                    return Outcome::Fault(reason);
                }
                let grant = [
                    ("code", code.as_str()),
                    ("redirect_uri", pending.redirect_uri.as_str()),
                    ("code_verifier", pending.verifier.as_str()),
                ];
                return self.ask_code(id, metadata, grant);
            }
        };
        let login = (pending.nonce.as_str(), self.new_id(context));
        let session = match self.begun(&answered, login, (context.unix_s, context.answers)) {
            Ok(session) => session,
            Err(outcome) => return outcome,
        };
        let cookies: Vec<HeaderValue> = match self.cookies(&session, context) {
            Ok(cookies) => cookies,
            Err(reason) => return Outcome::Fault(reason),
        };
        let reply = match self.settings.strict {
            true => reply::page(&pending.target),
            false => reply::redirect(&pending.target, None),
        };
        match reply {
            Some(reply) => {
                context.cookies.extend(cookies);
                Outcome::Reply(reply)
            }
            None => Outcome::Fault(Reason::State),
        }
    }
}

/// Marks the provider's response to a login as used. Fails if it was used before.
///
/// If the table of used responses is full, accepts the response without storing it. Otherwise an
/// attacker could fill the table with forged responses and block all logins. Accepting it is safe,
/// because the provider accepts each code only once (RFC 6749 §4.1.2).
fn remember(pending: &Pending, context: &LoginContext<'_>) -> Result<(), Reason> {
    let mut used = [0; 16];
    used.copy_from_slice(&Sha256::digest(&pending.state)[..16]);
    // Identify an IPv6 client by its /64 prefix, because a client controls the rest of its address.
    let client = match context.client.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets()[..8].to_vec(),
    };
    match context
        .logins
        .remember(used, &client, context.unix_s, pending.ends_s)
    {
        Ok(()) | Err(Refused::Full) => Ok(()),
        Err(Refused::Replayed) => Err(Reason::Replayed),
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::ask::Answers;
    use crate::auth::replays::Replays;
    use crate::unique::Unique;

    #[test]
    fn full_table_refuses_no_login() {
        let used = |logins: &Replays| {
            let pending = Pending {
                state: "state".to_owned(),
                nonce: String::new(),
                verifier: String::new(),
                redirect_uri: String::new(),
                target: String::new(),
                ends_s: 600,
            };
            let mut cookies = Vec::new();
            let context = LoginContext {
                unix_s: 1,
                client: [192, 0, 2, 1].into(),
                received: None,
                answers: &Answers::default(),
                logins,
                ended: &Replays::default(),
                unique: &Unique::new(RandomState::new),
                cookies: &mut cookies,
            };
            remember(&pending, &context)
        };
        let full = Replays::with_room(0);
        assert!(used(&full).is_ok() && used(&full).is_ok());
        let table = Replays::default();
        assert!(used(&table).is_ok());
        assert!(matches!(used(&table), Err(Reason::Replayed)));
    }
}
