//! The contract between gwc and gwd: a gateway's meaning ([`ir`]) and its bytes.

pub mod codec;
pub mod ir;
