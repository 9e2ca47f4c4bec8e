//! Faulty HTTP servers for tests. Their responses hang, drip, flood or break off. gwd must neither
//! exceed its timeouts nor store what such a server sends.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Function that sends the rest of a response: further fields and the body. The status 200 and the
/// JSON content type are already sent.
pub(crate) type Body = fn(&mut TcpStream) -> std::io::Result<()>;

/// Starts a server that sends a response head and then calls `body`. Returns its URL.
pub(crate) fn serve(body: Body) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut head = [0; 4096];
                let head = stream.read(&mut head);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
                // Ignore errors: gwd may close the connection at any time.
                let _ended = head
                    .and_then(|_| stream.write_all(answer))
                    .and_then(|()| body(&mut stream));
            });
        }
    });
    format!("http://{address}")
}

/// Sends nothing for 30 s.
#[expect(clippy::unnecessary_wraps, reason = "it is a [`Body`]")]
pub(crate) fn hangs(_: &mut TcpStream) -> std::io::Result<()> {
    std::thread::sleep(Duration::from_secs(30));
    Ok(())
}

/// Sends one byte per second.
pub(crate) fn drips(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"content-length: 1000\r\n\r\n{")?;
    loop {
        stream.write_all(b" ")?;
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Sends 100 MB in chunks.
pub(crate) fn floods(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n")?;
    let blanks = [&b"10000\r\n"[..], &[b' '; 1 << 16], b"\r\n"].concat();
    (0..1600).try_for_each(|_| stream.write_all(&blanks))
}
