//! Redis Sentinel: queries the sentinels of a store for the address of its master.

use std::time::Duration;

use redis::{AsyncConnectionConfig, RedisError};
use tokio::time::timeout;

use super::connection::{Connection, reason};
use super::replies::Bounds;
use super::servers::{Url, address};

/// Maximum time for the answer of one sentinel, connection included: 500ms.
const SENTINEL: Duration = Duration::from_millis(500);

/// Queries the sentinels in order for the address of a master.
///
/// # Errors
/// If no sentinel names a master. The error is the reason of the last sentinel.
pub(super) async fn master(url: &Url, name: &str) -> Result<String, String> {
    let mut why = "no sentinel".to_owned();
    for sentinel in url.sentinels() {
        match timeout(SENTINEL, ask(&sentinel, name)).await {
            Ok(Ok(Some((host, port)))) => return Ok(address(&host, port)),
            Ok(Ok(None)) => "no sentinel knows a master of this name".clone_into(&mut why),
            Ok(Err(error)) => why = format!("sentinel: {}", reason(&error)),
            Err(_) => "sentinel: timeout".clone_into(&mut why),
        }
    }
    Err(why)
}

async fn ask(url: &str, name: &str) -> Result<Option<(String, u16)>, RedisError> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(SENTINEL));
    let mut connection = Connection::open(url, config, Bounds::COMMANDS).await?;
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    ask.query_async(&mut connection.commands).await
}
