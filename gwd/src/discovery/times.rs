//! Time limits of the queries of host discovery.

/// Time limits of queries and answers, in milliseconds.
#[derive(Clone, Debug)]
pub struct Times {
    /// Minimum time between two queries of a name, whatever the TTL. Default: 1,000.
    pub ttl_min_ms: u64,
    /// Maximum time until a name is queried again, whatever the TTL. Default: 300,000.
    pub ttl_max_ms: u64,
    /// Maximum wait after a failed query, or after an answer without hosts. Default: 10,000.
    pub failed_max_ms: u64,
    /// Time for which all answers must report no hosts before the known hosts are removed. Default:
    /// 30,000.
    pub absent_ms: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            ttl_min_ms: 1_000,
            ttl_max_ms: 300_000,
            failed_max_ms: 10_000,
            absent_ms: 30_000,
        }
    }
}
