//! A frame on the link: its bytes once, however many receive it, and who put it there.

use core::cell::RefCell;
use std::rc::Rc;

use nexus0_common::wire::PORT;

use crate::time::Time;

/// Bytes of Ethernet, IPv6 and UDP before the payload.
pub(crate) const BEFORE: usize = 62;

/// Who put a frame on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A node, by its protocol.
    Node(usize),
    /// A member that lies, beside its protocol.
    Traitor(usize),
    /// Someone who holds no epoch key.
    Stranger,
}

/// A frame as it lies on the link.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) origin: Origin,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    /// When it was put on the link.
    pub(crate) sent: Time,
    ethernet: Vec<u8>,
    /// Which life of each host accepted it.
    accepted: RefCell<Vec<u32>>,
}

impl Packet {
    pub(crate) fn new(
        origin: Origin,
        source: [u8; 16],
        destination: [u8; 16],
        payload: &[u8],
        sent: Time,
    ) -> Rc<Self> {
        Rc::new(Self {
            origin,
            source,
            destination,
            sent,
            ethernet: ethernet(source, destination, payload),
            accepted: RefCell::default(),
        })
    }

    /// From the Ethernet header on.
    pub(crate) fn ethernet(&self) -> &[u8] {
        &self.ethernet
    }

    /// The UDP payload.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.ethernet[BEFORE..]
    }

    /// Whether a host accepted it in any life.
    pub(crate) fn was_accepted(&self, host: usize) -> bool {
        self.accepted
            .borrow()
            .get(host)
            .is_some_and(|life| *life != 0)
    }

    /// Whether a host accepted it in this life, or sent it.
    pub(crate) fn reached(&self, host: usize, life: u32) -> bool {
        self.origin == Origin::Node(host) || self.accepted.borrow().get(host) == Some(&life)
    }

    /// Marks it accepted by a host in a life of it; whether that is the first time.
    pub(crate) fn accept(&self, host: usize, life: u32) -> bool {
        let mut accepted = self.accepted.borrow_mut();
        if accepted.len() <= host {
            accepted.resize(host + 1, 0);
        }
        core::mem::replace(&mut accepted[host], life) != life
    }
}

/// A payload as it lies on the wire.
pub(crate) fn ethernet(source: [u8; 16], destination: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let udp_length = (8 + payload.len()) as u16;
    let mut packet = Vec::with_capacity(BEFORE + payload.len());
    packet.extend([0; 12]);
    packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    packet.extend(udp_length.to_be_bytes());
    packet.extend([17, 255]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend(PORT.to_be_bytes());
    packet.extend(PORT.to_be_bytes());
    packet.extend(udp_length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}
