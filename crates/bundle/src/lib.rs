//! The contract between `gwc` and `gwd`: what a bundle means and how it travels.
//!
//! | Part | Where |
//! |---|---|
//! | a gateway's meaning | [`ir`], [`codec`] |
//! | identity | [`digest`], [`name`], [`moment`] |
//! | bundle bytes | [`oci`], [`manifest`], [`source`] |
//! | who signed what | [`keys`], [`statement`], [`trust`] |
//! | what should run now | [`channel`], [`revocation`] |
//! | where it is kept | [`store`] |
//! | whole errands for the programs | [`publish`] (gwc), [`follow`] (gwd), [`history`] (both) |
//! | what a caller may run | [`verify`] |
//! | checking with openssl | [`by_hand`] |
//! | why not | [`refused`] |
//!
//! Nothing here reads a clock, the environment or a random source: time and entropy are arguments.
//! Without the feature `folder` nothing here does I/O. The format is described for
//! re-implementers in `docs/bundle-format.md`.

#[cfg(feature = "folder")]
pub mod archive;
pub mod by_hand;
pub mod channel;
pub mod codec;
mod context;
pub mod digest;
pub mod follow;
pub mod history;
pub mod ir;
pub mod json;
pub mod keys;
pub mod malformed;
pub mod manifest;
pub mod moment;
pub mod name;
pub mod oci;
pub mod publish;
pub mod refused;
pub mod revocation;
pub mod source;
pub mod statement;
pub mod store;
#[cfg(feature = "folder")]
pub mod sweep;
pub mod trust;
pub mod verify;
