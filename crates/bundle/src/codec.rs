//! CBOR as bundles carry it: the same value gives the same bytes, and only those bytes are read.
//!
//! Maps have integer keys in ascending order, lengths are definite and shortest, there are no
//! floats (release.md §1). What decodes but would be encoded otherwise (an unknown or repeated
//! key, a sloppy length) is refused.

use minicbor::{Decode, Encode};

/// The canonical bytes of a value.
#[must_use]
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    minicbor::encode(value, &mut bytes).expect("writing to a vector cannot fail");
    bytes
}

/// Bytes that are not the canonical encoding of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCanonical;

/// Reads a value; refuses bytes that [`encode`] would not have written.
pub fn decode<T: Encode<()> + for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Result<T, NotCanonical> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|_| NotCanonical)?;
    if decoder.position() == bytes.len() && encode(&value) == bytes {
        Ok(value)
    } else {
        Err(NotCanonical)
    }
}
