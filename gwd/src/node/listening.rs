//! Changes of the addresses at which the node listens. Addresses come from the version or from
//! `--listen`.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bundle::ir::addresses_collide;
use bundle::refused::Refused;
use serde_json::json;

use crate::node::thread::Command;
use crate::node::{AddressKey, Node, Version};
use crate::runtime::program_log::{Level, event};

impl Node {
    /// Warns about `--listen` options for listeners that do not exist. Otherwise a misspelled name
    /// would go unnoticed while the gateway uses the bundle's address.
    pub(super) fn warn_of_strange_overrides(&self, version: &Version) {
        let listeners = version.0.snapshot.listeners();
        let known: Vec<&str> = listeners.iter().map(|listener| &*listener.name).collect();
        for name in self.settings.listen.keys() {
            if !known.contains(&name.as_str()) {
                event(
                    Level::Warn,
                    "--listen names a listener that the bundle does not have; it changes nothing",
                    json!({"listen": name, "listeners": known}),
                );
            }
        }
    }

    /// Refuses a version if `--listen` gives two listeners the same or overlapping addresses. The
    /// build of the version checks the bundle's own addresses.
    pub(super) fn refuse_colliding_overrides(&self, version: &Version) -> Result<(), Refused> {
        let listeners = version.0.snapshot.listeners();
        let address = |at: usize| {
            self.address_key(&listeners[at].name, listeners[at].address)
                .address
        };
        for one in 0..listeners.len() {
            for other in 0..one {
                if addresses_collide(address(one), address(other)) {
                    return Err(Refused::PortBusy {
                        address: format!(
                            "{}: --listen gives `{}` and `{}` overlapping addresses",
                            address(one),
                            listeners[other].name,
                            listeners[one].name
                        ),
                    });
                }
            }
        }
        Ok(())
    }

    pub(super) fn address_key(&self, name: &str, address: SocketAddr) -> AddressKey {
        let address = self.settings.listen.get(name).copied().unwrap_or(address);
        AddressKey {
            address,
            listener: (address.port() == 0).then(|| name.into()),
        }
    }

    pub(super) fn find(&self, wanted: &AddressKey) -> Option<usize> {
        self.bound
            .iter()
            .position(|slot| slot.as_ref().is_some_and(|(known, _)| known == wanted))
    }

    /// Begins to leave the addresses that are not in the version. The returned channel closes once
    /// no worker listens at any of these addresses.
    pub(super) fn leave_others(
        &mut self,
        listener_of_socket: &[Option<usize>],
        handshakes: Duration,
    ) -> mpsc::Receiver<()> {
        let (done, left) = mpsc::channel();
        let now_ms = self.shared.clock.now_ms();
        for (id, listener) in (0u32..).zip(listener_of_socket) {
            let Some((_, bound)) = &mut self.bound[id as usize] else {
                continue;
            };
            if listener.is_some() || !bound.listening {
                continue;
            }
            bound.listening = false;
            bound.socket.mark_unused(now_ms);
            for index in 0..self.workers.len() {
                self.command(index, Command::StopListening(id, handshakes, done.clone()));
            }
        }
        left
    }

    pub(super) fn begin_listening(&mut self, listener_of_socket: &[Option<usize>]) {
        let (done, begun) = mpsc::channel();
        for (id, listener) in listener_of_socket.iter().enumerate() {
            let Some((_, bound)) = &mut self.bound[id] else {
                continue;
            };
            if listener.is_none() || bound.listening {
                continue;
            }
            bound.listening = true;
            bound.socket.used();
            let socket = Arc::clone(&bound.socket);
            match bound.handles(self.workers.len()) {
                Ok(handles) => {
                    for (index, handles) in handles.into_iter().enumerate() {
                        let command = Command::Listen(Arc::clone(&socket), handles, done.clone());
                        self.command(index, command);
                    }
                }
                Err(error) => drop(done.send(Err(error))),
            }
        }
        drop(done);
        for error in begun.iter().filter_map(Result::err) {
            // Listening on a bound address fails only if no file descriptors are left.
            event(
                Level::Error,
                "listening on a bound address failed; its requests are not served",
                json!({"error": error.to_string()}),
            );
        }
    }
}
