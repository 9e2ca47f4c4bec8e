//! Limit of informational responses (1xx) before the final response to a request that the gateway
//! itself sends. hyper accepts any number of informational responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use tokio::sync::Notify;

/// Maximum number of informational responses before the final response.
const INFORMATIONAL_MAX: usize = 16;

/// Limit of informational responses to one request over HTTP/1.1.
pub(crate) struct InformationalLimit(Arc<Notify>);

impl InformationalLimit {
    /// Counts the informational responses to this request.
    pub(crate) fn of<B>(request: &mut Request<B>) -> Self {
        let (too_many, received) = (Arc::new(Notify::new()), AtomicUsize::new(0));
        let notify = Arc::clone(&too_many);
        hyper::ext::on_informational(request, move |_| {
            if received.fetch_add(1, Ordering::Relaxed) >= INFORMATIONAL_MAX {
                notify.notify_one();
            }
        });
        Self(too_many)
    }

    /// Waits for the final response.
    ///
    /// # Errors
    /// The error of `response`, or a reason after more than 16 informational responses.
    pub(crate) async fn within<T>(
        &self,
        response: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        tokio::select! {
            response = response => response,
            () = self.0.notified() => {
                Err(format!("more than {INFORMATIONAL_MAX} informational responses"))
            }
        }
    }
}
