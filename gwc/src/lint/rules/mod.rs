//! One file for each rule.

use diag::Lint;

use super::{Check, Rule, lints_of};
use crate::spec::objects::{
    DOCUMENT, ENCODING, EXAMPLE, HEADER, Keys, LICENSE, LINK, MEDIA_TYPE, OPERATION, PARAMETER,
    PATH_ITEM, RESPONSE, SCHEMA, SECURITY_SCHEME, SERVER, XML,
};

mod array_without_items;
mod duplicate_enum_value;
mod duplicate_operation_id;
mod duplicate_parameter;
mod duplicate_tag;
mod empty_document;
mod empty_range;
mod endless_schema;
mod example_outside_schema;
mod exclusive_fields;
mod ignored_header_parameter;
mod incomplete_security_scheme;
mod malformed_component_name;
mod malformed_expression;
mod malformed_header_name;
mod malformed_media_type;
mod malformed_method;
mod malformed_path_template;
mod malformed_pattern;
mod malformed_security;
mod malformed_status;
mod misplaced_style;
mod nullable_without_effect;
mod optional_path_parameter;
mod parameter_without_schema;
mod querystring_beside_query;
mod redundant_additional_operation;
mod repeated_template_parameter;
mod required_without_property;
pub(crate) mod unchecked_value;
mod undeclared_path_parameter;
mod undefined_security_scheme;
mod undefined_server_variable;
mod unknown_dialect;
mod unknown_link_operation;
pub(crate) mod unknown_method;
mod unresolved_discriminator;
mod unsupported_pattern;
mod unsupported_template;
mod unused_path_parameter;
mod value_of_other_type;
mod value_outside_schema;

/// The rules, in the order of their codes.
pub const RULES: &[Rule] = &[
    Rule {
        lint: &duplicate_operation_id::LINT,
        check: Check::Spec(duplicate_operation_id::check),
    },
    Rule {
        lint: &unknown_method::LINT,
        check: Check::Walk,
    },
    Rule {
        lint: &malformed_path_template::LINT,
        check: Check::Key(Keys::Path, malformed_path_template::check),
    },
    Rule {
        lint: &repeated_template_parameter::LINT,
        check: Check::Key(Keys::Path, repeated_template_parameter::check),
    },
    Rule {
        lint: &unsupported_template::LINT,
        check: Check::Key(Keys::Path, unsupported_template::check),
    },
    Rule {
        lint: &undeclared_path_parameter::LINT,
        check: Check::Spec(undeclared_path_parameter::check),
    },
    Rule {
        lint: &unused_path_parameter::LINT,
        check: Check::Spec(unused_path_parameter::check),
    },
    Rule {
        lint: &optional_path_parameter::LINT,
        check: Check::Objects(&[&PARAMETER], optional_path_parameter::check),
    },
    Rule {
        lint: &undefined_security_scheme::LINT,
        check: Check::Spec(undefined_security_scheme::check),
    },
    Rule {
        lint: &duplicate_tag::LINT,
        check: Check::Objects(&[&DOCUMENT], duplicate_tag::check),
    },
    Rule {
        lint: &malformed_status::LINT,
        check: Check::Key(Keys::Status, malformed_status::check),
    },
    Rule {
        lint: &malformed_media_type::LINT,
        check: Check::Key(Keys::MediaType, malformed_media_type::check),
    },
    Rule {
        lint: &parameter_without_schema::LINT,
        check: Check::Objects(&[&PARAMETER, &HEADER], parameter_without_schema::check),
    },
    Rule {
        lint: &ignored_header_parameter::LINT,
        check: Check::Objects(&[&PARAMETER], ignored_header_parameter::check),
    },
    Rule {
        lint: &incomplete_security_scheme::LINT,
        check: Check::Objects(&[&SECURITY_SCHEME], incomplete_security_scheme::check),
    },
    Rule {
        lint: &array_without_items::LINT,
        check: Check::Objects(&[&SCHEMA], array_without_items::check),
    },
    Rule {
        lint: &unknown_link_operation::LINT,
        check: Check::Objects(&[&LINK], unknown_link_operation::check),
    },
    Rule {
        lint: &duplicate_parameter::LINT,
        check: Check::Objects(&[&PATH_ITEM, &OPERATION], duplicate_parameter::check),
    },
    Rule {
        lint: &malformed_component_name::LINT,
        check: Check::Key(Keys::Component, malformed_component_name::check),
    },
    Rule {
        lint: &exclusive_fields::LINT,
        check: Check::Objects(
            &[
                &PARAMETER,
                &HEADER,
                &MEDIA_TYPE,
                &ENCODING,
                &EXAMPLE,
                &LINK,
                &LICENSE,
                &XML,
            ],
            exclusive_fields::check,
        ),
    },
    Rule {
        lint: &empty_document::LINT,
        check: Check::Objects(&[&DOCUMENT], empty_document::check),
    },
    Rule {
        lint: &empty_range::LINT,
        check: Check::Objects(&[&SCHEMA], empty_range::check),
    },
    Rule {
        lint: &duplicate_enum_value::LINT,
        check: Check::Objects(&[&SCHEMA], duplicate_enum_value::check),
    },
    Rule {
        lint: &value_of_other_type::LINT,
        check: Check::Objects(&[&SCHEMA], value_of_other_type::check),
    },
    Rule {
        lint: &undefined_server_variable::LINT,
        check: Check::Objects(&[&SERVER], undefined_server_variable::check),
    },
    Rule {
        lint: &malformed_expression::LINT,
        check: Check::Key(Keys::Expression, malformed_expression::check),
    },
    Rule {
        lint: &redundant_additional_operation::LINT,
        check: Check::Objects(&[&PATH_ITEM], redundant_additional_operation::check),
    },
    Rule {
        lint: &querystring_beside_query::LINT,
        check: Check::Objects(&[&PATH_ITEM, &OPERATION], querystring_beside_query::check),
    },
    Rule {
        lint: &malformed_security::LINT,
        check: Check::Objects(&[&DOCUMENT, &OPERATION], malformed_security::check),
    },
    Rule {
        lint: &example_outside_schema::LINT,
        check: Check::Objects(
            &[&SCHEMA, &PARAMETER, &HEADER, &MEDIA_TYPE],
            example_outside_schema::check,
        ),
    },
    Rule {
        lint: &value_outside_schema::LINT,
        check: Check::Objects(&[&SCHEMA], value_outside_schema::check),
    },
    Rule {
        lint: &unchecked_value::LINT,
        check: Check::Walk,
    },
    Rule {
        lint: &malformed_pattern::LINT,
        check: Check::Objects(&[&SCHEMA], malformed_pattern::check),
    },
    Rule {
        lint: &unsupported_pattern::LINT,
        check: Check::Objects(&[&SCHEMA], unsupported_pattern::check),
    },
    Rule {
        lint: &endless_schema::LINT,
        check: Check::Objects(&[&SCHEMA], endless_schema::check),
    },
    Rule {
        lint: &required_without_property::LINT,
        check: Check::Objects(&[&SCHEMA], required_without_property::check),
    },
    Rule {
        lint: &unresolved_discriminator::LINT,
        check: Check::Objects(&[&SCHEMA], unresolved_discriminator::check),
    },
    Rule {
        lint: &unknown_dialect::LINT,
        check: Check::Objects(&[&DOCUMENT, &SCHEMA], unknown_dialect::check),
    },
    Rule {
        lint: &malformed_method::LINT,
        check: Check::Key(Keys::Method, malformed_method::check),
    },
    Rule {
        lint: &malformed_header_name::LINT,
        check: Check::Objects(
            &[&PARAMETER, &RESPONSE, &ENCODING],
            malformed_header_name::check,
        ),
    },
    Rule {
        lint: &misplaced_style::LINT,
        check: Check::Objects(&[&PARAMETER], misplaced_style::check),
    },
    Rule {
        lint: &nullable_without_effect::LINT,
        check: Check::Objects(&[&SCHEMA], nullable_without_effect::check),
    },
];

/// Their kinds of findings.
pub const LINTS: &[&Lint] = &lints_of::<{ RULES.len() }>(RULES);
