//! Unix sockets that only the user of this process can connect to.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};

/// Maximum length of a socket's accept queue.
const BACKLOG: i32 = 128;

/// Binds a socket that only its owner can use. Replaces a socket that an earlier process left; any
/// other existing file stays.
///
/// # Errors
/// If the path names a file that is not a socket, or another process serves the socket.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Ok(there) = std::fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            let why = format!("`{}` exists and is not a socket", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        // Without a server, the socket was left by a killed process: remove it before binding.
        if UnixStream::connect(path).is_err() {
            std::fs::remove_file(path)?;
        }
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Set the mode before `bind`, which creates the file with this mode. So no other user can ever
    // connect.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn socket_is_created_closed_and_replaces_sockets_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let first = bind(&path).unwrap();
        assert_eq!(mode(), 0o600);
        assert!(bind(&path).is_err(), "another process serves there");
        assert!(UnixStream::connect(&path).is_ok());
        drop(first);
        let _second = bind(&path).unwrap();
        assert_eq!(mode(), 0o600);
        let file = folder.path().join("notes");
        std::fs::write(&file, "mine").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for other in [&file, &link, &folder.path().to_path_buf()] {
            let error = bind(other).unwrap_err();
            assert!(error.to_string().contains("is not a socket"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        assert!(link.is_symlink());
    }
}
