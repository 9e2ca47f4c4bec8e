//! Connections to stores: TCP, TLS or a UNIX socket, with bounded replies.

use std::io;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, RedisError,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::{AbortHandle, spawn_local};
use tokio_rustls::TlsConnector;

use super::replies::{Bounded, Bounds};
use crate::tls::client;

/// Connection to a store. Dropping it closes the connection.
pub(super) struct Connection {
    /// Handle with which commands are sent. Clones use the same connection.
    pub(super) commands: MultiplexedConnection,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects to the store of a URL. The connection fails at a reply that exceeds the bounds.
    ///
    /// # Errors
    /// If the URL is not the URL of a store, or if the connection, the TLS handshake or the
    /// authentication failed.
    pub(super) async fn open(
        url: &str,
        config: AsyncConnectionConfig,
        bounds: Bounds,
    ) -> Result<Self, RedisError> {
        let info = url.into_connection_info()?;
        let settings = info.redis_settings();
        match info.addr() {
            ConnectionAddr::Tcp(host, port) => {
                let stream = tcp(host, *port).await?;
                Self::over(Bounded::new(stream, bounds), settings, config).await
            }
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                Err(io::Error::other("TLS without verification is not supported").into())
            }
            ConnectionAddr::TcpTls { host, port, .. } => {
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let connector = TlsConnector::from(Arc::new(tls()?));
                let stream = tcp(host, *port).await?;
                let stream = connector.connect(name, stream).await?;
                Self::over(Bounded::new(stream, bounds), settings, config).await
            }
            ConnectionAddr::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                Self::over(Bounded::new(stream, bounds), settings, config).await
            }
            _ => Err(io::Error::other("this kind of address is not supported").into()),
        }
    }

    async fn over<S>(
        stream: Bounded<S>,
        settings: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<Self, RedisError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (commands, driver) =
            MultiplexedConnection::new_with_config(settings, stream, config).await?;
        let driver = spawn_local(driver).abort_handle();
        Ok(Self { commands, driver })
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// TLS client configuration that trusts the system's CA certificates.
fn tls() -> io::Result<ClientConfig> {
    let mut found = rustls_native_certs::load_native_certs();
    if let Some(error) = found.errors.pop() {
        return Err(io::Error::other(error));
    }
    let mut roots = RootCertStore::empty();
    for authority in found.certs {
        roots.add(authority).map_err(io::Error::other)?;
    }
    client::verifying(roots).map_err(io::Error::other)
}

/// Kind of an error. The error's text is not used, because it can contain a part of the URL.
pub(super) fn reason(error: &RedisError) -> String {
    error.code().unwrap_or_else(|| error.category()).to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use tokio::task::LocalSet;

    use super::*;

    /// Sends `reply` to each command, then bytes without end. Returns the URL, and a thread whose
    /// result is the number of bytes that could be sent.
    fn endless(reply: &'static str) -> (String, std::thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The first bytes show that the client has connected.
            let _read = stream.read(&mut [0; 1 << 12]).unwrap();
            let mut sent = stream.write(reply.as_bytes()).unwrap_or(0);
            // Ends when the client closes the connection.
            while sent < 1 << 30
                && let Ok(more) = stream.write(&[b'x'; 1 << 16])
            {
                sent += more;
            }
            sent
        });
        (url, served)
    }

    #[test]
    fn endless_replies_end_the_connection() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for reply in ["$500000000\r\n", "+", "*3\r\n:1\r\n$400000000\r\n"] {
            let (url, served) = endless(reply);
            LocalSet::new().block_on(&runtime, async {
                let config = AsyncConnectionConfig::new()
                    .set_response_timeout(Some(Duration::from_secs(60)));
                let ping = async {
                    let mut one = Connection::open(&url, config, Bounds::COMMANDS).await?;
                    redis::cmd("PING")
                        .query_async::<String>(&mut one.commands)
                        .await
                };
                assert!(ping.await.is_err(), "{reply:?}");
            });
            // The socket buffers of client and server hold a few megabytes even if the client reads
            // nothing.
            let sent = served.join().unwrap();
            assert!(sent < 64 << 20, "{reply:?}: {sent} bytes");
        }
    }
}
