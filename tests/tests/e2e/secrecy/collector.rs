//! Collector of traces (OTLP over HTTP) for the tests of secrecy.

use super::*;

/// Collector that accepts every batch and records it.
pub(crate) struct Collector(Upstream);

impl Collector {
    pub(crate) fn start() -> Self {
        Self(Upstream::scripted(|_| Answer::ok("")))
    }

    /// Arguments with which gwd exports the spans of all requests to this collector.
    pub(crate) fn arguments(&self) -> [String; 4] {
        let url = self.0.url();
        ["--otlp", &url, "--trace-ratio", "1"].map(str::to_owned)
    }

    /// Waits for the span of each line in the access log. Returns the recorded batches: a head, and
    /// a body in which texts are not encoded.
    pub(crate) fn outputs_of(&self, gateway: &Gateway) -> Vec<(String, String)> {
        let lines = gateway.access_log().lines();
        let sampled = lines.iter().filter(|line| line["sampled"] == true);
        let ids = sampled.map(|line| line["span_id"].as_str().expect("an id"));
        let ids: Vec<[u8; 8]> = ids
            .map(|id| u64::from_str_radix(id, 16).expect("16 digits"))
            .map(u64::to_be_bytes)
            .collect();
        assert!(ids.len() > 4, "{lines:?}");
        let mut batches: Vec<Seen> = Vec::new();
        wait::until("the collector has the spans of all requests", || {
            batches.extend(self.0.take());
            let has = |id: &[u8; 8]| {
                let mut bodies = batches.iter().map(|batch| &batch.body);
                bodies.any(|body| body.windows(8).any(|part| part == id))
            };
            ids.iter().all(has).then_some(())
        });
        let text = |batch: &Seen| {
            let body = String::from_utf8_lossy(&batch.body);
            assert!(body.contains("gwd.route.id"), "{body}");
            ("traces".to_owned(), format!("{:?}\n{body}", batch.head))
        };
        batches.iter().map(text).collect()
    }
}
