//! Cryptography provider for all TLS of the gateway.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

/// Cryptography provider for all TLS: aws-lc-rs.
pub(crate) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
