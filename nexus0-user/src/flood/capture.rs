//! What a stranger on the link hears: mesh frames that the group carries to its own interface.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use nexus0_common::wire::{FrameType, Header, PORT, Slot};
use nix::libc;
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

const KEPT: usize = 4096;
const PAYLOAD: usize = 62;
const IPV6: u16 = 0x86dd;

/// One mesh frame as it was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// From the Ethernet header on.
    pub frame: Vec<u8>,
    /// Its header.
    pub header: Header,
}

impl Heard {
    /// Reads an Ethernet frame; `None` if it is not a plain mesh frame.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let udp = [(PORT >> 8) as u8, PORT as u8];
        let ours = frame.get(12..14)? == IPV6.to_be_bytes()
            && frame.get(20)? == &17
            && frame.get(56..58)? == udp;
        let header = Header::parse(frame.get(PAYLOAD..)?).filter(|_| ours)?;
        Some(Self {
            frame: frame.to_owned(),
            header,
        })
    }

    /// The sender's MAC address.
    pub fn mac(&self) -> [u8; 6] {
        self.frame
            .get(6..)
            .and_then(<[u8]>::first_chunk)
            .copied()
            .unwrap_or_default()
    }

    /// The sender's address.
    pub fn address(&self) -> [u8; 16] {
        self.frame
            .get(22..)
            .and_then(<[u8]>::first_chunk)
            .copied()
            .unwrap_or_default()
    }
}

/// The frames heard last, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    epoch: VecDeque<Heard>,
    door: VecDeque<Heard>,
}

impl Captured {
    /// Takes a frame, if it is one of the mesh.
    pub fn take(&mut self, frame: &[u8]) {
        let Some(heard) = Heard::parse(frame) else {
            return;
        };
        let queue = match heard.header.frame_type.slot() {
            Slot::Epoch => &mut self.epoch,
            Slot::Door => &mut self.door,
        };
        if queue.len() == KEPT {
            queue.pop_front();
        }
        queue.push_back(heard);
    }

    /// The key id heard last under an epoch.
    pub fn key_id(&self) -> Option<[u8; 4]> {
        self.epoch.back().map(|heard| heard.header.key_id)
    }

    /// The key id of the door.
    pub fn door_key_id(&self) -> Option<[u8; 4]> {
        self.door.back().map(|heard| heard.header.key_id)
    }

    /// Frames under the key heard last, newest first.
    pub fn current(&self) -> impl Iterator<Item = &Heard> {
        let key = self.key_id();
        self.epoch
            .iter()
            .rev()
            .filter(move |heard| Some(heard.header.key_id) == key)
    }

    /// Frames under the keys before, newest first; the last one before is left out, since a grace may
    /// still run.
    pub fn stale(&self) -> impl Iterator<Item = &Heard> {
        let keys: Vec<[u8; 4]> = self.keys_newest_first();
        self.epoch.iter().rev().filter(move |heard| {
            keys.iter()
                .position(|key| *key == heard.header.key_id)
                .is_some_and(|age| age >= 2)
        })
    }

    /// Frames of one type at the door, newest first.
    pub fn door(&self, frame_type: FrameType) -> impl Iterator<Item = &Heard> {
        self.door
            .iter()
            .rev()
            .filter(move |heard| heard.header.frame_type == frame_type)
    }

    /// All frames at the door, oldest first.
    pub fn all_at_door(&self) -> impl Iterator<Item = &Heard> {
        self.door.iter()
    }

    fn keys_newest_first(&self) -> Vec<[u8; 4]> {
        let mut keys = Vec::new();
        for heard in self.epoch.iter().rev() {
            if !keys.contains(&heard.header.key_id) {
                keys.push(heard.header.key_id);
            }
        }
        keys
    }
}

/// A thread that listens on one interface.
#[derive(Debug)]
pub struct Capture {
    captured: Arc<Mutex<Captured>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Listens on an interface of the calling thread's network namespace.
    pub fn start(interface: u32) -> Result<Self> {
        let socket = listen(interface).context("cannot listen on the interface")?;
        let captured = Arc::new(Mutex::new(Captured::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, ended) = (Arc::clone(&captured), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("capture".into())
            .spawn(move || hear(&socket, &shared, &ended))?;
        Ok(Self {
            captured,
            stop,
            thread: Some(thread),
        })
    }

    /// What was heard until now.
    pub fn captured(&self) -> Captured {
        lock(&self.captured).clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn hear(socket: &Socket, captured: &Mutex<Captured>, stop: &AtomicBool) {
    let mut buffer = [MaybeUninit::uninit(); 2048];
    while !stop.load(Ordering::Relaxed) {
        let Ok(length) = socket.recv(&mut buffer) else {
            continue;
        };
        let frame: Vec<u8> = buffer[..length]
            .iter()
            // SAFETY: `recv` wrote this many bytes.
            .map(|byte| unsafe { byte.assume_init() })
            .collect();
        lock(captured).take(&frame);
    }
}

fn lock(captured: &Mutex<Captured>) -> MutexGuard<'_, Captured> {
    captured.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(interface: u32) -> io::Result<Socket> {
    let socket = packet_socket(interface, IPV6)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(socket)
}

/// A socket for whole frames of one interface that hears one EtherType, or none if that is zero.
pub(super) fn packet_socket(interface: u32, ether_type: u16) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(ether_type.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: a sockaddr_ll is one of the addresses this storage may hold.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ether_type.to_be();
    address.sll_ifindex = interface as i32;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds an address of this length, filled above.
    socket.bind(&unsafe { SockAddr::new(storage, length) })?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flood::envelope::Envelope;
    use nexus0_common::wire::Class;

    fn frame(key: u8, frame_type: FrameType) -> Vec<u8> {
        let header = Header {
            version: nexus0_common::wire::LOWEST_VERSION,
            frame_type,
            class: Class::Multicast,
            key_id: [key; 4],
            sender: [9; 8],
            sequence: 1,
        };
        Envelope::to_group([2; 6], [0xfe; 16]).wrap(&header.emit())
    }

    #[test]
    fn frames_are_sorted_by_key_and_the_grace_is_respected() {
        let mut captured = Captured::default();
        for key in [1, 2, 3] {
            captured.take(&frame(key, FrameType::Ann));
        }
        captured.take(&frame(7, FrameType::ReqEpoch));
        captured.take(b"something else");
        assert_eq!(captured.key_id(), Some([3; 4]));
        assert_eq!(captured.door_key_id(), Some([7; 4]));
        assert_eq!(captured.current().count(), 1);
        assert_eq!(captured.stale().count(), 1);
        assert_eq!(captured.door(FrameType::ReqEpoch).count(), 1);
        assert_eq!(captured.door(FrameType::Answer).count(), 0);
    }
}
