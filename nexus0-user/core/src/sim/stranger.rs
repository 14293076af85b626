//! Somebody on the link who holds no epoch key: records, replays, changes, invents, asks in others' names.

use std::collections::VecDeque;
use std::rc::Rc;

use nexus0_common::auth::FrameKey;
use nexus0_common::wire::{
    Class, FrameType, GROUP, HEADER_LEN, Header, LOWEST_VERSION, MAX_BLOCKS, Slot, TRAILER_LEN,
    UNICAST_BIT, authenticated_len,
};

use super::network::Sim;
use super::packet::{Origin, Packet};
use crate::secret::Material;

/// Frames remembered.
const REMEMBERED: usize = 256;

/// What a stranger has recorded.
#[derive(Debug, Default)]
pub(crate) struct Tap(VecDeque<Rc<Packet>>);

impl Tap {
    pub(crate) fn hear(&mut self, packet: &Rc<Packet>) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(Rc::clone(packet));
    }

    /// The recorded frames of one host, oldest first.
    pub(crate) fn of(&self, host: usize) -> impl Iterator<Item = &Rc<Packet>> {
        self.0
            .iter()
            .filter(move |packet| packet.origin == Origin::Node(host))
    }
}

impl Sim {
    /// One deed.
    pub(crate) fn strangers_deed(&mut self) {
        let deed = self.draw(10);
        let Some(packet) = self.recorded() else {
            return;
        };
        let name = match deed {
            0..=3 => {
                self.put(None, &packet);
                "stranger-replayed"
            }
            4..=6 => self.change(&packet),
            7 => self.invent(),
            8 => self.ask_as(&packet, 1),
            _ => self.ask_as(&packet, 40),
        };
        if let Some(watch) = &mut self.watch {
            watch.sometimes.note(name);
        }
    }

    fn recorded(&mut self) -> Option<Rc<Packet>> {
        let count = self.tap.as_ref()?.0.len() as u64;
        if count == 0 {
            return None;
        }
        let index = self.draw(count) as usize;
        self.tap.as_ref()?.0.get(index).cloned()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.draw(256) as u8).collect()
    }

    fn throw(&mut self, source: [u8; 16], destination: [u8; 16], payload: &[u8]) {
        let packet = Packet::new(Origin::Stranger, source, destination, payload, self.now);
        self.put(None, &packet);
    }

    /// A recorded frame with some bits turned, or from or to another address, or with another class.
    fn change(&mut self, packet: &Rc<Packet>) -> &'static str {
        let mut payload = packet.payload().to_vec();
        let (mut source, destination) = (packet.source, packet.destination);
        let body = payload.len().saturating_sub(TRAILER_LEN + HEADER_LEN) as u64;
        match self.draw(6) {
            // Behind a pre-tag that stays right.
            0..=2 if body > 0 => {
                let at = HEADER_LEN + self.draw(body) as usize;
                payload[at] ^= 1 << self.draw(8);
            }
            3 => source[15] ^= 0x55,
            4 => payload[3] ^= UNICAST_BIT,
            _ => {
                for _ in 0..=self.draw(8) {
                    let at = self.draw(payload.len() as u64) as usize;
                    payload[at] = self.draw(256) as u8;
                }
            }
        }
        if payload == packet.payload() && source == packet.source {
            // The bytes drawn were the bytes that stood there.
            self.put(None, packet);
            return "stranger-replayed";
        }
        self.throw(source, destination, &payload);
        "stranger-mutated"
    }

    /// Frames of no meaning, half of them with the door's tag, which everybody can make.
    fn invent(&mut self) -> &'static str {
        for _ in 0..4 {
            let kind = FrameType::ALL[self.draw(FrameType::ALL.len() as u64) as usize];
            let any = authenticated_len(1 + self.draw(MAX_BLOCKS as u64) as usize);
            let length = kind.authenticated_len().unwrap_or(any);
            let sender = self.bytes(8);
            let body = self.bytes(length - HEADER_LEN);
            let source = self.nowhere();
            if kind.slot() == Slot::Door && kind.class() == Some(Class::Multicast) {
                self.knock(kind, sender.try_into().unwrap_or_default(), source, &body);
            } else {
                let junk = self.bytes(length + TRAILER_LEN);
                self.throw(source, GROUP, &junk);
            }
        }
        "stranger-invented"
    }

    fn nowhere(&mut self) -> [u8; 16] {
        let mut source = [0; 16];
        source[..2].copy_from_slice(&[0xfe, 0x80]);
        source[12..].copy_from_slice(&(self.draw(1 << 16) as u32).to_be_bytes());
        source
    }

    /// A frame under the door's key.
    fn knock(&mut self, kind: FrameType, sender: [u8; 8], source: [u8; 16], body: &[u8]) {
        let door = Material::door(self.root.mesh_id());
        let key = FrameKey {
            id: door.id.0,
            pre_tag: door.pre_tag,
            midstates: door.midstates,
        };
        let header = Header {
            version: LOWEST_VERSION,
            frame_type: kind,
            class: Class::Multicast,
            key_id: key.id,
            sender,
            sequence: self.draw(1 << 30),
        };
        let mut payload = [header.emit().as_slice(), body].concat();
        if let Some(trailer) = key.trailer(&payload, &source, &GROUP) {
            payload.extend(trailer);
            self.throw(source, GROUP, &payload);
        }
    }

    /// Requests to join in the name of someone whose request, beacon or probe was recorded.
    fn ask_as(&mut self, packet: &Packet, times: u64) -> &'static str {
        let Some(header) = Header::parse(packet.payload()) else {
            return "stranger-asked";
        };
        let length = FrameType::ReqEpoch.authenticated_len().unwrap_or_default();
        let source = if self.draw(2) == 0 {
            packet.source
        } else {
            self.nowhere()
        };
        let request = self.tap.as_ref().and_then(|tap| {
            let asked = |packet: &&Rc<Packet>| {
                packet.payload().get(3) == Some(&(FrameType::ReqEpoch as u8))
            };
            tap.0.iter().rev().find(asked).cloned()
        });
        for _ in 0..times {
            // A body that was signed once, with something else in it, or of no meaning at all.
            let mut body = match &request {
                Some(request) => request.payload()[HEADER_LEN..length].to_vec(),
                None => self.bytes(length - HEADER_LEN),
            };
            let at = self.draw(body.len() as u64) as usize;
            body[at] ^= 1 + self.draw(255) as u8;
            let sender = request
                .as_ref()
                .and_then(|request| Header::parse(request.payload()))
                .map_or(header.sender, |header| header.sender);
            self.knock(FrameType::ReqEpoch, sender, source, &body);
        }
        "stranger-asked"
    }
}
