//! Responses of one operation: statuses, media types and header fields.

use std::collections::BTreeMap;

use bundle::ir;
use serde_json::Value as Json;

use super::super::encoding::JsonFields;
use super::super::media_types::{is_same_json, nearest};
use super::super::schema::{Part, Role};
use super::super::statuses::{class_of, has_content, has_status_of, is_empty, rest_of};
use super::Messages;
use crate::pairs::both;

impl Messages<'_> {
    pub(super) fn responses(&mut self, old: &[ir::Response], new: &[ir::Response]) {
        let mut all: BTreeMap<&str, (Option<&ir::Response>, Option<&ir::Response>)> =
            BTreeMap::new();
        for one in old {
            all.entry(&one.status).or_default().0.get_or_insert(one);
        }
        for one in new {
            all.entry(&one.status).or_default().1.get_or_insert(one);
        }
        // Clients send the responses of an outgoing request. `default` admits every success status if
        // no other status does.
        let is_success = |one: &ir::Response| one.status.starts_with('2');
        let is_range = |one: &ir::Response| one.status.eq_ignore_ascii_case("2XX");
        let admits_success =
            self.is_outgoing && !old.iter().any(is_success) && !new.iter().any(is_range);
        for (status, pair) in all {
            let path = format!("response {status}");
            self.part.clone_from(&path);
            let kind = match status.starts_with('2') || status == "default" && admits_success {
                true => "response-success-status",
                false => "response-non-success-status",
            };
            match pair {
                (Some(old), Some(new)) => self.response(&path, old, new),
                (None, Some(new)) => {
                    let values = (Json::Null, status.into());
                    self.push(&format!("{kind}-added"), &path, "", values);
                    // A response such as 204 has no content.
                    let is_compared = |old: &&ir::Response| {
                        let may_be_empty = old.status == "default" || is_empty(status);
                        has_content(new) || !may_be_empty
                    };
                    if let Some(old) = class_of(old, status).filter(is_compared) {
                        self.response(&path, old, new);
                    }
                }
                (Some(old), None) => {
                    let values = (status.into(), Json::Null);
                    self.push(&format!("{kind}-removed"), &path, "", values);
                    if !self.is_outgoing && has_status_of(new, old) {
                        self.last_is_harmless();
                    }
                    let other = rest_of(new, status);
                    let other = other.filter(|new| has_content(old) && has_content(new));
                    if let Some(new) = other {
                        self.response(&path, old, new);
                    }
                }
                (None, None) => {}
            }
        }
    }

    fn response(&mut self, path: &str, old: &ir::Response, new: &ir::Response) {
        let role = Role {
            is_response: !self.is_outgoing,
            part: Part::Body,
            is_inner: false,
            is_absent: false,
            is_opaque: false,
            is_text: false,
            is_xml: false,
            json_fields: JsonFields::None,
        };
        for (name, was, is) in both(&old.media_types, &new.media_types) {
            if self.is_head {
                break;
            }
            let path = format!("{path} body");
            self.media_type(&path, name, (was, is), "response-media-type", role);
            let mut others = new.media_types.iter();
            if self.is_outgoing && is.is_some() && !has_content(old) {
                // Receivers may have to send the body.
                self.last_may_break();
            }
            match (was, is, nearest(&old.media_types, name)) {
                (None, Some(is), Some(was)) => self.described(&path, name, (was, is), role),
                (Some(_), None, _) if others.any(|other| is_same_json(&other.name, name)) => {
                    self.last_is_harmless();
                }
                _ => {}
            }
        }
        let role = self.role(Part::ResponseHeader);
        for (name, was, is) in both(&old.headers, &new.headers) {
            let path = format!("{path} header {name}");
            self.part.clone_from(&path);
            match (was, is) {
                (Some(was), Some(is)) => {
                    if was.required && !is.required {
                        let values = (true.into(), false.into());
                        self.push("response-header-became-optional", &path, "required", values);
                    } else if was.required != is.required {
                        let values = (false.into(), true.into());
                        self.push("response-schema-narrowed", &path, "required", values);
                    }
                    self.field(&path, (&was.definition, &is.definition), role);
                }
                (None, Some(is)) => {
                    let new = self.joint.json(&self.joint.of_new(&is.definition));
                    self.push("response-header-added", &path, "", (Json::Null, new));
                    if self.is_outgoing && is.required {
                        let values = (false.into(), true.into());
                        self.push("response-schema-narrowed", &path, "required", values);
                    }
                }
                (Some(was), None) => {
                    let id = match was.required {
                        true => "required-response-header-removed",
                        false => "optional-response-header-removed",
                    };
                    let old = self.joint.json(&was.definition);
                    self.push(id, &path, "", (old, Json::Null));
                }
                (None, None) => {}
            }
        }
    }
}
