//! From a body to a frame: header, signature, tag, pre-tag.

use nexus0_common::auth::{self, hmac};
use nexus0_common::wire::cursor::Writer;
use nexus0_common::wire::{
    Body, Class, FrameType, GROUP, HEADER_LEN, Header, MAX_BLOCKS, MAX_LEN, SEQUENCE_END,
    SIGNATURE_LEN, authenticated_len,
};

use crate::id::{ChainId, MeshId};
use crate::identity::Identity;
use crate::node::{Node, Output};
use crate::secret::Material;

/// Under which key a frame goes out.
#[derive(Clone, Debug)]
pub(crate) struct Under {
    pub(crate) material: Material,
    /// `None` for the door.
    pub(crate) chain: Option<ChainId>,
}

/// Everything a frame depends on.
pub(crate) struct Envelope<'a> {
    pub(crate) mesh: MeshId,
    pub(crate) identity: &'a Identity,
    pub(crate) under: &'a Under,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    pub(crate) sequence: u64,
}

impl Envelope<'_> {
    /// The frame's bytes; `None` if the body does not fit.
    pub(crate) fn frame<B: Body>(&self, body: &B) -> Option<Vec<u8>> {
        let header = Header {
            version: self.under.material.wire,
            frame_type: B::TYPE,
            class: class_of(&self.destination),
            key_id: self.under.material.id.0,
            sender: self.identity.node_id().0,
            sequence: self.sequence,
        };
        let mut room = [0; MAX_LEN];
        let mut writer = Writer::new(&mut room);
        writer.put(&header.emit());
        body.emit(&mut writer);
        let used = writer.position()?;
        let mut frame = room.get(..length(B::TYPE, used)?)?.to_vec();
        if B::TYPE.signed() {
            self.sign(&mut frame)?;
        }
        self.seal(&header, frame)
    }

    fn sign(&self, frame: &mut [u8]) -> Option<()> {
        let (signed, signature) = frame.split_last_chunk_mut::<SIGNATURE_LEN>()?;
        let chain = self.under.chain.unwrap_or_default();
        let message = signed_message(self.mesh, chain, &self.source, &self.destination, signed);
        *signature = self.identity.sign(&message);
        Some(())
    }

    fn seal(&self, header: &Header, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        let material = &self.under.material;
        let tag = hmac::tag(&material.midstates, &frame)?;
        let pre_tag = auth::pre_tag(
            &material.pre_tag,
            &self.source,
            &self.destination,
            header.class,
            &header.sender,
            header.sequence,
            &auth::words(&tag),
        );
        frame.extend(pre_tag.to_le_bytes());
        frame.extend(tag);
        Some(frame)
    }
}

/// Bytes of header and body: what the type says, or the least that holds `used` bytes and a signature.
fn length(frame_type: FrameType, used: usize) -> Option<usize> {
    let signature = if frame_type.signed() {
        SIGNATURE_LEN
    } else {
        0
    };
    let least = used.checked_add(signature)?;
    let fixed = frame_type.authenticated_len();
    let any = (1..=MAX_BLOCKS).map(authenticated_len);
    fixed
        .into_iter()
        .chain(any.filter(|_| fixed.is_none()))
        .find(|length| *length >= least)
}

pub(crate) fn class_of(destination: &[u8; 16]) -> Class {
    if *destination == GROUP {
        Class::Multicast
    } else {
        Class::Unicast
    }
}

/// What a frame's signature covers (R2).
pub(crate) fn signed_message(
    mesh: MeshId,
    chain: ChainId,
    source: &[u8; 16],
    destination: &[u8; 16],
    frame: &[u8],
) -> Vec<u8> {
    [
        b"nexus0 v1 frame".as_slice(),
        &mesh.0,
        &chain.0,
        source,
        destination,
        frame,
    ]
    .concat()
}

impl Node {
    /// Sends under the door's key.
    pub(crate) fn send_door<B: Body>(&mut self, destination: [u8; 16], body: &B) -> Option<()> {
        self.door_sequence = self.door_sequence.checked_add(1)?;
        let under = Under {
            material: self.door.clone(),
            chain: None,
        };
        self.transmit(&under, self.door_sequence, destination, body)
            .map(drop)
    }

    /// Sends under an epoch's key; hands out the frame.
    pub(crate) fn send<B: Body>(
        &mut self,
        under: &Under,
        destination: [u8; 16],
        body: &B,
    ) -> Option<Vec<u8>> {
        self.sequence = self
            .sequence
            .checked_add(1)
            .filter(|next| *next < SEQUENCE_END)?;
        let frame = self.transmit(under, self.sequence, destination, body)?;
        if class_of(&destination) == Class::Multicast {
            self.ledger.sent(under.material.id);
        }
        Some(frame)
    }

    fn transmit<B: Body>(
        &mut self,
        under: &Under,
        sequence: u64,
        destination: [u8; 16],
        body: &B,
    ) -> Option<Vec<u8>> {
        let source = self.address?;
        let (mesh, identity) = (self.mesh, &self.identity);
        let payload = Envelope {
            mesh,
            identity,
            under,
            source,
            destination,
            sequence,
        }
        .frame(body)?;
        self.counters.sent += 1;
        self.counters.sent_bytes += payload.len() as u64;
        self.outputs.push_back(Output::Transmit {
            destination,
            payload: payload.clone(),
        });
        Some(payload)
    }

    /// The key this node sends under.
    pub(crate) fn under_current(&self, now: crate::time::Time) -> Option<Under> {
        let key = self.keys.current(self.lineage.as_ref()?.chain, now)?;
        Some(Under {
            material: key.material.clone(),
            chain: Some(key.chain),
        })
    }
}

const _: () = assert!(HEADER_LEN + SIGNATURE_LEN < MAX_LEN);
