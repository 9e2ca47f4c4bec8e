//! Style rules, one file each. All are off by default.

use diag::{Lint, NodeRef};

use super::{Check, Rule, lints_of};
use crate::spec::objects::{
    CALLBACK, COMPONENTS, CONTACT, DOCUMENT, INFO, Keys, LICENSE, MEDIA_TYPE, OPERATION, PARAMETER,
    PATHS, SCHEMA, SERVER, TAG, XML,
};

mod callback_in_callback;
mod deprecated_field;
mod description_twice;
mod example_server;
mod incomplete_contact;
mod incomplete_license;
mod missing_client_error_response;
mod missing_component_description;
mod missing_contact;
mod missing_example;
mod missing_info_description;
mod missing_license;
mod missing_operation_description;
mod missing_operation_id;
mod missing_operation_summary;
mod missing_operation_tags;
mod missing_parameter_description;
mod missing_servers;
mod missing_success_response;
mod missing_tag_description;
mod missing_tags;
mod nullable_without_type;
mod path_item_reference;
mod path_not_in_kebab_case;
mod server_trailing_slash;
mod several_operation_tags;
mod trailing_slash;
mod undeclared_tag;
mod unexpected_body;
mod unsafe_operation_id;
mod unsorted_tags;
mod unused_component;
mod unused_webhook_field;
mod verb_in_path;

/// Style rules in the order of their codes.
pub(super) const RULES: &[Rule] = &[
    Rule {
        lint: &missing_contact::LINT,
        check: Check::Objects(&[&INFO], missing_contact::check),
    },
    Rule {
        lint: &incomplete_contact::LINT,
        check: Check::Objects(&[&CONTACT], incomplete_contact::check),
    },
    Rule {
        lint: &missing_info_description::LINT,
        check: Check::Objects(&[&INFO], missing_info_description::check),
    },
    Rule {
        lint: &missing_license::LINT,
        check: Check::Objects(&[&INFO], missing_license::check),
    },
    Rule {
        lint: &incomplete_license::LINT,
        check: Check::Objects(&[&LICENSE], incomplete_license::check),
    },
    Rule {
        lint: &missing_tags::LINT,
        check: Check::Objects(&[&DOCUMENT], missing_tags::check),
    },
    Rule {
        lint: &unsorted_tags::LINT,
        check: Check::Objects(&[&DOCUMENT], unsorted_tags::check),
    },
    Rule {
        lint: &missing_tag_description::LINT,
        check: Check::Objects(&[&TAG], missing_tag_description::check),
    },
    Rule {
        lint: &missing_operation_description::LINT,
        check: Check::Objects(&[&OPERATION], missing_operation_description::check),
    },
    Rule {
        lint: &missing_operation_summary::LINT,
        check: Check::Objects(&[&OPERATION], missing_operation_summary::check),
    },
    Rule {
        lint: &missing_operation_id::LINT,
        check: Check::Objects(&[&OPERATION], missing_operation_id::check),
    },
    Rule {
        lint: &missing_operation_tags::LINT,
        check: Check::Objects(&[&OPERATION], missing_operation_tags::check),
    },
    Rule {
        lint: &several_operation_tags::LINT,
        check: Check::Objects(&[&OPERATION], several_operation_tags::check),
    },
    Rule {
        lint: &missing_parameter_description::LINT,
        check: Check::Objects(&[&PARAMETER], missing_parameter_description::check),
    },
    Rule {
        lint: &missing_success_response::LINT,
        check: Check::Objects(&[&OPERATION], missing_success_response::check),
    },
    Rule {
        lint: &missing_client_error_response::LINT,
        check: Check::Objects(&[&OPERATION], missing_client_error_response::check),
    },
    Rule {
        lint: &missing_servers::LINT,
        check: Check::Objects(&[&DOCUMENT], missing_servers::check),
    },
    Rule {
        lint: &example_server::LINT,
        check: Check::Objects(&[&SERVER], example_server::check),
    },
    Rule {
        lint: &missing_component_description::LINT,
        check: Check::Objects(&[&COMPONENTS], missing_component_description::check),
    },
    Rule {
        lint: &verb_in_path::LINT,
        check: Check::Key(Keys::Path, verb_in_path::check),
    },
    Rule {
        lint: &path_not_in_kebab_case::LINT,
        check: Check::Key(Keys::Path, path_not_in_kebab_case::check),
    },
    Rule {
        lint: &trailing_slash::LINT,
        check: Check::Key(Keys::Path, trailing_slash::check),
    },
    Rule {
        lint: &server_trailing_slash::LINT,
        check: Check::Objects(&[&SERVER], server_trailing_slash::check),
    },
    Rule {
        lint: &unsafe_operation_id::LINT,
        check: Check::Objects(&[&OPERATION], unsafe_operation_id::check),
    },
    Rule {
        lint: &undeclared_tag::LINT,
        check: Check::Spec(undeclared_tag::check),
    },
    Rule {
        lint: &path_item_reference::LINT,
        check: Check::Objects(&[&PATHS], path_item_reference::check),
    },
    Rule {
        lint: &missing_example::LINT,
        check: Check::Objects(&[&MEDIA_TYPE], missing_example::check),
    },
    Rule {
        lint: &callback_in_callback::LINT,
        check: Check::Objects(&[&CALLBACK], callback_in_callback::check),
    },
    Rule {
        lint: &unused_webhook_field::LINT,
        check: Check::Objects(&[&DOCUMENT], unused_webhook_field::check),
    },
    Rule {
        lint: &deprecated_field::LINT,
        check: Check::Objects(&[&SCHEMA, &XML, &PARAMETER], deprecated_field::check),
    },
    Rule {
        lint: &nullable_without_type::LINT,
        check: Check::Objects(&[&SCHEMA], nullable_without_type::check),
    },
    Rule {
        lint: &description_twice::LINT,
        check: Check::Spec(description_twice::check),
    },
    Rule {
        lint: &unexpected_body::LINT,
        check: Check::Objects(&[&OPERATION], unexpected_body::check),
    },
    Rule {
        lint: &unused_component::LINT,
        check: Check::Spec(unused_component::check),
    },
];

/// Lints of the style rules.
pub(super) const LINTS: &[&Lint] = &lints_of::<{ RULES.len() }>(RULES);

/// True if a field is missing or contains only white space.
fn is_blank(node: NodeRef<'_>, field: &str) -> bool {
    let value = node.get(field);
    value.is_none_or(|value| value.as_str().is_some_and(|text| text.trim().is_empty()))
}
