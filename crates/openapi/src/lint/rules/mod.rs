//! Lint rules, one file each.

use diag::Lint;

use super::{Check, Rule, lints_of};
use crate::spec::objects::{
    AUTHORIZATION_CODE, CLIENT_CREDENTIALS, CONTACT, DEVICE_AUTHORIZATION, DOCUMENT, ENCODING,
    EXAMPLE, EXTERNAL_DOCS, HEADER, IMPLICIT, INFO, Keys, LICENSE, LINK, MEDIA_TYPE, OPERATION,
    PARAMETER, PASSWORD, PATH_ITEM, REQUEST_BODY, RESPONSE, RESPONSES, SCHEMA, SECURITY_SCHEME,
    SERVER, TAG, XML,
};

mod array_without_items;
mod credential_in_query;
mod credentials_in_url;
mod doubled_limit;
mod duplicate_enum_value;
mod duplicate_operation_id;
mod duplicate_operation_tag;
mod duplicate_parameter;
mod duplicate_required;
mod duplicate_tag;
mod duplicate_type;
mod empty_alternatives;
mod empty_document;
mod empty_range;
mod empty_responses;
mod endless_schema;
mod example_outside_schema;
mod exclusive_fields;
mod foreign_template;
mod ignored_encoding;
mod ignored_header_parameter;
mod ignored_scheme_field;
mod incomplete_security_scheme;
pub mod invisible_character;
mod keyword_of_older_draft;
mod keyword_of_other_type;
mod limit_of_other_version;
mod link_without_operation;
mod malformed_component_name;
mod malformed_expression;
mod malformed_header_name;
mod malformed_media_type;
mod malformed_method;
mod malformed_path_template;
mod malformed_pattern;
mod malformed_schema_name;
mod malformed_security;
mod malformed_status;
mod malformed_url;
mod misplaced_empty_value;
mod misplaced_style;
mod nullable_without_effect;
mod optional_discriminator;
mod optional_path_parameter;
mod parameter_without_schema;
mod querystring_beside_query;
mod read_and_write_only;
mod redundant_additional_operation;
mod repeated_template_parameter;
mod required_without_property;
mod type_of_other_version;
pub mod unchecked_value;
mod undeclared_path_parameter;
mod undeclared_scope;
mod undefined_security_scheme;
mod undefined_server_variable;
mod unencrypted_url;
mod unknown_dialect;
mod unknown_encoding_property;
mod unknown_http_scheme;
mod unknown_link_operation;
pub mod unknown_method;
mod unknown_tag_parent;
mod unresolved_discriminator;
mod unroutable_template;
mod unsafe_markdown;
pub mod unsupported_pattern;
mod unsupported_template;
mod unused_path_parameter;
mod unused_server_variable;
mod value_of_other_format;
mod value_of_other_type;
mod value_outside_schema;
mod weak_flow;

/// Rules in the order of their codes.
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
        lint: &unroutable_template::LINT,
        check: Check::Key(Keys::Path, unroutable_template::check),
    },
    Rule {
        lint: &unsupported_template::LINT,
        check: Check::Key(Keys::Path, unsupported_template::check),
    },
    Rule {
        lint: &foreign_template::LINT,
        check: Check::Key(Keys::Path, foreign_template::check),
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
        check: Check::Objects(
            &[&PARAMETER, &RESPONSE, &ENCODING],
            ignored_header_parameter::check,
        ),
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
        check: Check::Objects(&[&PARAMETER, &HEADER], misplaced_style::check),
    },
    Rule {
        lint: &nullable_without_effect::LINT,
        check: Check::Objects(&[&SCHEMA], nullable_without_effect::check),
    },
    Rule {
        lint: &undeclared_scope::LINT,
        check: Check::Spec(undeclared_scope::check),
    },
    Rule {
        lint: &credential_in_query::LINT,
        check: Check::Objects(&[&SECURITY_SCHEME], credential_in_query::check),
    },
    Rule {
        lint: &unencrypted_url::LINT,
        check: Check::Objects(&[&SERVER, &SECURITY_SCHEME], unencrypted_url::check),
    },
    Rule {
        lint: &weak_flow::LINT,
        check: Check::Objects(&[&SECURITY_SCHEME], weak_flow::check),
    },
    Rule {
        lint: &credentials_in_url::LINT,
        check: Check::Objects(&[&SERVER], credentials_in_url::check),
    },
    Rule {
        lint: &unsafe_markdown::LINT,
        check: Check::Objects(
            &[
                &INFO,
                &TAG,
                &SERVER,
                &EXTERNAL_DOCS,
                &PATH_ITEM,
                &OPERATION,
                &PARAMETER,
                &HEADER,
                &REQUEST_BODY,
                &RESPONSE,
                &EXAMPLE,
                &LINK,
                &SCHEMA,
                &SECURITY_SCHEME,
            ],
            unsafe_markdown::check,
        ),
    },
    Rule {
        lint: &optional_discriminator::LINT,
        check: Check::Objects(&[&SCHEMA], optional_discriminator::check),
    },
    Rule {
        lint: &unknown_tag_parent::LINT,
        check: Check::Objects(&[&DOCUMENT], unknown_tag_parent::check),
    },
    Rule {
        lint: &doubled_limit::LINT,
        check: Check::Objects(&[&SCHEMA], doubled_limit::check),
    },
    Rule {
        lint: &keyword_of_other_type::LINT,
        check: Check::Objects(&[&SCHEMA], keyword_of_other_type::check),
    },
    Rule {
        lint: &limit_of_other_version::LINT,
        check: Check::Objects(&[&SCHEMA], limit_of_other_version::check),
    },
    Rule {
        lint: &duplicate_required::LINT,
        check: Check::Objects(&[&SCHEMA], duplicate_required::check),
    },
    Rule {
        lint: &read_and_write_only::LINT,
        check: Check::Objects(&[&SCHEMA], read_and_write_only::check),
    },
    Rule {
        lint: &ignored_encoding::LINT,
        check: Check::Objects(&[&MEDIA_TYPE], ignored_encoding::check),
    },
    Rule {
        lint: &unknown_encoding_property::LINT,
        check: Check::Objects(&[&MEDIA_TYPE], unknown_encoding_property::check),
    },
    Rule {
        lint: &unused_server_variable::LINT,
        check: Check::Objects(&[&SERVER], unused_server_variable::check),
    },
    Rule {
        lint: &malformed_url::LINT,
        check: Check::Objects(
            &[
                &INFO,
                &CONTACT,
                &LICENSE,
                &EXTERNAL_DOCS,
                &SERVER,
                &DOCUMENT,
                &EXAMPLE,
                &SECURITY_SCHEME,
                &IMPLICIT,
                &PASSWORD,
                &CLIENT_CREDENTIALS,
                &AUTHORIZATION_CODE,
                &DEVICE_AUTHORIZATION,
            ],
            malformed_url::check,
        ),
    },
    Rule {
        lint: &empty_responses::LINT,
        check: Check::Objects(&[&RESPONSES], empty_responses::check),
    },
    Rule {
        lint: &link_without_operation::LINT,
        check: Check::Objects(&[&LINK], link_without_operation::check),
    },
    Rule {
        lint: &duplicate_operation_tag::LINT,
        check: Check::Objects(&[&OPERATION], duplicate_operation_tag::check),
    },
    Rule {
        lint: &empty_alternatives::LINT,
        check: Check::Objects(&[&SCHEMA], empty_alternatives::check),
    },
    Rule {
        lint: &unknown_http_scheme::LINT,
        check: Check::Objects(&[&SECURITY_SCHEME], unknown_http_scheme::check),
    },
    Rule {
        lint: &ignored_scheme_field::LINT,
        check: Check::Objects(&[&SECURITY_SCHEME], ignored_scheme_field::check),
    },
    Rule {
        lint: &misplaced_empty_value::LINT,
        check: Check::Objects(&[&PARAMETER, &HEADER], misplaced_empty_value::check),
    },
    Rule {
        lint: &type_of_other_version::LINT,
        check: Check::Objects(&[&SCHEMA], type_of_other_version::check),
    },
    Rule {
        lint: &keyword_of_older_draft::LINT,
        check: Check::Objects(&[&SCHEMA], keyword_of_older_draft::check),
    },
    Rule {
        lint: &duplicate_type::LINT,
        check: Check::Objects(&[&SCHEMA], duplicate_type::check),
    },
    Rule {
        lint: &malformed_schema_name::LINT,
        check: Check::Objects(&[&SCHEMA], malformed_schema_name::check),
    },
    Rule {
        lint: &value_of_other_format::LINT,
        check: Check::Objects(&[&SCHEMA], value_of_other_format::check),
    },
    Rule {
        lint: &invisible_character::LINT,
        check: Check::Spec(invisible_character::check),
    },
];

/// Lints of the rules.
pub const LINTS: &[&Lint] = &lints_of::<{ RULES.len() }>(RULES);
