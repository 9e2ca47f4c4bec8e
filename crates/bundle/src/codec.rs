//! Canonical CBOR of bundles: each value has exactly one encoding. Other encodings are refused.
//!
//! Maps have integer keys in ascending order, lengths are definite and shortest, and there are no
//! floats (release.md §1). Bytes that can be decoded but are not canonical (unknown or repeated
//! key, longer length) are refused.

use minicbor::{Decode, Encode};

/// Encodes a value in canonical CBOR.
#[must_use]
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    minicbor::encode(value, &mut bytes).expect("writing to a vector cannot fail");
    bytes
}

/// Error: the bytes are not the canonical encoding of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCanonical {
    /// A required field is missing: an older compiler with the same format number wrote the bundle.
    /// The field gets no default, because a gateway has no defaults (release.md §1).
    MissingFields,
    /// The bytes cannot be decoded, or this version would encode the value differently.
    Otherwise,
}

impl NotCanonical {
    fn of(error: &minicbor::decode::Error) -> Self {
        match error.is_missing_value() {
            true => Self::MissingFields,
            false => Self::Otherwise,
        }
    }
}

/// Decodes a value. Refuses bytes that [`encode`] would not have written.
pub fn decode<T: Encode<()> + for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Result<T, NotCanonical> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|error| NotCanonical::of(&error))?;
    if decoder.position() == bytes.len() && encode(&value) == bytes {
        Ok(value)
    } else {
        Err(NotCanonical::Otherwise)
    }
}

#[cfg(test)]
mod tests {
    use policy::upstream::Limits;

    use super::*;

    /// Limits of an upstream as version 0.1.0 encoded them, before `response_header_bytes` was
    /// added: `{0: 1024, 1: 1024, 2: 1024}`.
    const FORMER: &[u8] = b"\xa3\x00\x19\x04\x00\x01\x19\x04\x00\x02\x19\x04\x00";

    #[test]
    fn lacking_field_of_an_older_compiler_is_reported() {
        assert_eq!(decode::<Limits>(FORMER), Err(NotCanonical::MissingFields));
        let now = b"\xa4\x00\x19\x04\x00\x01\x19\x04\x00\x02\x19\x04\x00\x04\x1a\x00\x01\x00\x00";
        assert_eq!(decode::<Limits>(now), Ok(Limits::default()));
        // Inputs: a length that is not the shortest, an additional key, and a missing byte.
        let sloppy =
            b"\xa4\x18\x00\x19\x04\x00\x01\x19\x04\x00\x02\x19\x04\x00\x04\x1a\x00\x01\x00\x00";
        let more = b"\xa5\x00\x19\x04\x00\x01\x19\x04\x00\x02\x19\x04\x00\x04\x1a\x00\x01\x00\x00\x18\x63\x00";
        for bytes in [&sloppy[..], more, &now[..7]] {
            assert_eq!(
                decode::<Limits>(bytes),
                Err(NotCanonical::Otherwise),
                "{bytes:x?}"
            );
        }
    }
}
