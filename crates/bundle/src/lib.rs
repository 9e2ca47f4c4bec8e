//! Formats that `gwc` and `gwd` share: the content of a bundle, its signatures, its storage and its
//! release.
//!
//! | Part | Modules |
//! |---|---|
//! | gateway model | [`ir`], [`codec`] |
//! | identity | [`digest`], [`name`], [`moment`] |
//! | bundle files | [`oci`], [`manifest`], [`source`] |
//! | signatures and trust | [`keys`], [`statement`], [`trust`] |
//! | version that should run | [`channel`], [`approval`], [`revocation`] |
//! | storage | [`store`], [`replicate`] |
//! | operations of the programs | [`publish`], [`pending`] (gwc), [`follow`] (gwd), [`history`] (both) |
//! | verification of bundles | [`verify`] |
//! | checking with openssl | [`by_hand`] |
//! | reasons of refusals | [`refused`] |
//!
//! The crate reads no clock, environment or random source: time and entropy are arguments. Without
//! the feature `folder` it does no I/O. `docs/bundle-format.md` specifies the format for other
//! implementations.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod approval;
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
mod linked;
pub mod lists;
pub mod malformed;
pub mod manifest;
pub mod moment;
pub mod name;
pub mod oci;
pub mod pending;
pub mod publish;
pub mod refused;
pub mod replicate;
pub mod revocation;
pub mod rollout;
mod serials;
pub mod source;
pub mod statement;
pub mod store;
#[cfg(feature = "folder")]
pub mod sweep;
pub mod trust;
pub mod verify;
