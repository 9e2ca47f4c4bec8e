//! The JSON Schema of the trust file: `schemas/trust.schema.json` is this text.

/// The schema's text.
#[must_use]
pub const fn text() -> &'static str {
    SCHEMA
}

const SCHEMA: &str = r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "urn:gwc:schema:trust:v1",
  "title": "gwd trust file",
  "description": "Whom the operator of a gateway believes, and for what. Never fetched from a store.",
  "type": "object",
  "additionalProperties": false,
  "required": ["project", "channels", "keys"],
  "properties": {
    "$schema": {"type": "string"},
    "project": {"$ref": "#/$defs/name", "description": "The project whose bundles are believed."},
    "channels": {
      "description": "Lowest accepted serials of channels; written by `gwc trust floor`.",
      "type": "object",
      "propertyNames": {"$ref": "#/$defs/name"},
      "additionalProperties": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "min_serial": {"$ref": "#/$defs/serial", "default": 0, "description": "Records with a lower serial are refused."},
          "min_revocations": {"$ref": "#/$defs/serial", "default": 0, "description": "Revocation lists with a lower serial are refused."}
        }
      }
    },
    "keys": {
      "description": "The keys that are believed.",
      "type": "array",
      "maxItems": 64,
      "items": {
        "type": "object",
        "additionalProperties": false,
        "required": ["id", "owner", "spki", "roles", "channels", "not_before", "not_after", "state"],
        "properties": {
          "id": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "The hex sha256 of the DER in spki."},
          "owner": {"type": "string", "minLength": 1, "description": "Owner of the key; thresholds count different owners."},
          "spki": {"type": "string", "contentEncoding": "base64", "description": "The P-256 public key as SubjectPublicKeyInfo: the body of its PEM file in one line."},
          "roles": {"type": "array", "minItems": 1, "items": {"enum": ["build", "release", "revoke", "approve"]}, "description": "Roles of the key."},
          "channels": {"type": "array", "minItems": 1, "items": {"anyOf": [{"const": "*"}, {"$ref": "#/$defs/name"}]}, "description": "For which channels; `*` for all."},
          "not_before": {"$ref": "#/$defs/time", "description": "The first moment at which the key counts."},
          "not_after": {"$ref": "#/$defs/time", "description": "The first moment at which it no longer counts."},
          "state": {"enum": ["active", "retired", "revoked"], "description": "retired: only for what was signed while it was valid; revoked: for nothing."}
        }
      }
    },
    "thresholds": {
      "description": "Number of different owners that must sign, by role.",
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "build": {"$ref": "#/$defs/threshold"},
        "release": {"$ref": "#/$defs/threshold"},
        "revoke": {"$ref": "#/$defs/threshold"},
        "approve": {"$ref": "#/$defs/threshold"}
      }
    }
  },
  "$defs": {
    "name": {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9][a-z0-9_-]*(\\.[a-z0-9_-]+)*\\.?$"},
    "serial": {"type": "integer", "minimum": 0, "maximum": 9007199254740991},
    "threshold": {"type": "integer", "minimum": 1, "maximum": 4294967295, "default": 1},
    "time": {"type": "string", "format": "date-time", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"}
  }
}
"##;
