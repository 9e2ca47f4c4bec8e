//! JSON Schema of the trust file, published as `schemas/trust.schema.json`.

/// JSON Schema of the trust file, as text.
#[must_use]
pub const fn text() -> &'static str {
    SCHEMA
}

const SCHEMA: &str = r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "urn:gwc:schema:trust:v1",
  "title": "gwd trust file",
  "description": "Keys that the operator of a gateway trusts, with their roles. Never fetched from a store.",
  "type": "object",
  "additionalProperties": false,
  "required": ["project", "channels", "keys"],
  "properties": {
    "$schema": {"type": "string"},
    "project": {"$ref": "#/$defs/name", "description": "Project whose bundles are trusted."},
    "channels": {
      "description": "Lowest accepted serials of channels, written by `gwc trust floor`, and the approvals that they need.",
      "type": "object",
      "propertyNames": {"$ref": "#/$defs/name"},
      "additionalProperties": {
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "min_serial": {"$ref": "#/$defs/serial", "default": 0, "description": "Records with a lower serial are refused."},
          "min_revocations": {"$ref": "#/$defs/serial", "default": 0, "description": "Revocation lists with a lower serial are refused."},
          "approvals": {"type": "integer", "minimum": 0, "maximum": 16, "default": 0, "description": "Number of different owners that must approve each new bundle (`gwc approve`); written by `gwc trust approvals`."},
          "approvals_after": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "description": "Newest record that needs no approvals, by its digest. The records before it need none either. Only with `approvals`."}
        }
      }
    },
    "keys": {
      "description": "Trusted keys.",
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
          "channels": {"type": "array", "minItems": 1, "items": {"anyOf": [{"const": "*"}, {"$ref": "#/$defs/name"}]}, "description": "Channels for which the key is trusted; `*` for all."},
          "not_before": {"$ref": "#/$defs/time", "description": "Start of the key's validity (inclusive)."},
          "not_after": {"$ref": "#/$defs/time", "description": "End of the key's validity (exclusive)."},
          "state": {"enum": ["active", "retired", "revoked"], "description": "retired: trusted only for signatures made while it was valid; revoked: not trusted."}
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
        "approve": {"$ref": "#/$defs/threshold", "description": "Lower limit of `approvals`, in channels that need approvals."}
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
