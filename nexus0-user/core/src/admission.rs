//! The node's own judgement of a payload, after the filter's and without trusting it (R12).

use nexus0_common::auth;
use nexus0_common::wire::{
    Class, FrameType, HEADER_LEN, Header, SIGNATURE_LEN, Slot, TAG_LEN, TRAILER_LEN,
};
use subtle::ConstantTimeEq;

use crate::filter::MapOp;
use crate::id::{ChainId, KeyId, NodeId};
use crate::identity::verify_strict;
use crate::node::Node;
use crate::sabotage::{Sabotage, planted};
use crate::secret::Material;
use crate::send::{class_of, signed_message};
use crate::time::Time;

/// A frame that has passed. One under the door's key proves only that its sender knows the mesh id; its
/// signature is for the handler to check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted<'a> {
    pub(crate) header: Header,
    pub(crate) sender: NodeId,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    /// Header and body.
    pub(crate) frame: &'a [u8],
    /// The chain of the key, `None` at the door.
    pub(crate) chain: Option<ChainId>,
}

impl<'a> Admitted<'a> {
    pub(crate) fn body(&self) -> &'a [u8] {
        let signature = if self.header.frame_type.signed() {
            SIGNATURE_LEN
        } else {
            0
        };
        let end = self.frame.len().saturating_sub(signature);
        self.frame.get(HEADER_LEN..end).unwrap_or_default()
    }

    pub(crate) fn key_id(&self) -> KeyId {
        KeyId(self.header.key_id)
    }
}

/// Header, authenticated bytes, pre-tag and tag of a payload in the right shape.
pub(crate) struct Shape<'a> {
    header: Header,
    frame: &'a [u8],
    pre_tag: u64,
    tag: &'a [u8; TAG_LEN],
}

impl<'a> Shape<'a> {
    fn parse(payload: &'a [u8]) -> Option<Self> {
        let header = Header::parse(payload)?;
        let (frame, trailer) = payload.split_last_chunk::<TRAILER_LEN>()?;
        let fixed = header.frame_type.authenticated_len();
        if fixed.is_some_and(|length| length != frame.len()) {
            return None;
        }
        let (pre_tag, tag) = trailer.split_first_chunk()?;
        Some(Self {
            header,
            frame,
            pre_tag: u64::from_le_bytes(*pre_tag),
            tag: tag.try_into().ok()?,
        })
    }

    fn pre_tag_matches(&self, key: &Material, source: &[u8; 16], destination: &[u8; 16]) -> bool {
        let Header {
            class,
            sender,
            sequence,
            ..
        } = &self.header;
        let expected = auth::pre_tag(
            &key.pre_tag,
            source,
            destination,
            *class,
            sender,
            *sequence,
            &auth::words(self.tag),
        );
        expected == self.pre_tag
    }

    /// In constant time (R19).
    fn tag_matches(&self, key: &Material) -> bool {
        planted(Sabotage::SkipTag)
            || crate::memo::tag(&key.midstates, self.frame)
                .is_some_and(|tag| bool::from(tag.ct_eq(self.tag)))
    }
}

impl Node {
    /// Passes a frame or changes nothing.
    pub(crate) fn admit<'a>(
        &mut self,
        now: Time,
        source: [u8; 16],
        destination: [u8; 16],
        payload: &'a [u8],
    ) -> Option<Admitted<'a>> {
        let own = self.address?;
        let shape = Shape::parse(payload)?;
        let sender = NodeId(shape.header.sender);
        let to_us = destination == own;
        if !self.speaks(shape.header.version)
            || !link_local(&source)
            || shape.header.class != class_of(&destination)
            || (shape.header.class == Class::Unicast && !to_us)
        {
            return None;
        }
        let (header, frame) = (shape.header, shape.frame);
        let frame = Admitted {
            header,
            sender,
            source,
            destination,
            frame,
            chain: None,
        };
        if sender == self.id {
            self.meet_oneself(now, &shape, frame);
            return None;
        }
        match header.frame_type.slot() {
            Slot::Door => self.admit_stranger(now, &shape, frame),
            Slot::Epoch => self.admit_member(now, &shape, frame),
        }
    }

    pub(crate) fn admit_stranger<'a>(
        &mut self,
        now: Time,
        shape: &Shape<'_>,
        frame: Admitted<'a>,
    ) -> Option<Admitted<'a>> {
        let answers = matches!(frame.header.frame_type, FrameType::Answer | FrameType::Hold);
        let passes = frame.key_id() == self.door.id
            && shape.pre_tag_matches(&self.door, &frame.source, &frame.destination)
            && (!answers || self.join.is_some())
            && shape.tag_matches(&self.door)
            && self.within_door_rate(now, &frame);
        passes.then_some(frame)
    }

    fn admit_member<'a>(
        &mut self,
        now: Time,
        shape: &Shape<'_>,
        frame: Admitted<'a>,
    ) -> Option<Admitted<'a>> {
        let key = self.keys.find(frame.key_id())?;
        let member = self.roster.get(frame.sender)?;
        let passes = shape.pre_tag_matches(&key.material, &frame.source, &frame.destination)
            && key.valid(now)
            && key.fresh(&frame.header)
            && shape.tag_matches(&key.material);
        if !passes {
            return None;
        }
        let frame = Admitted {
            chain: Some(key.chain),
            ..frame
        };
        if frame.header.frame_type.signed() {
            let public_key = *member.grant.public_key();
            self.check_signature(&frame, &public_key)?;
            let (sender, key_id, sequence) = (frame.sender, frame.key_id(), frame.header.sequence);
            self.op(MapOp::CommitSigned {
                sender,
                key_id,
                sequence,
                now,
            });
        }
        self.keys.find_mut(frame.key_id())?.commit(&frame.header);
        self.note(now, &frame);
        Some(frame)
    }

    /// Whether the frame is signed by this key. Counts failures.
    pub(crate) fn check_signature(
        &mut self,
        frame: &Admitted<'_>,
        public_key: &[u8; 32],
    ) -> Option<()> {
        let (signed, signature) = frame.frame.split_last_chunk::<SIGNATURE_LEN>()?;
        let chain = frame.chain.unwrap_or_default();
        let message = signed_message(self.mesh, chain, &frame.source, &frame.destination, signed);
        let right = verify_strict(public_key, &message, signature);
        if !right && !planted(Sabotage::SkipSignature) {
            self.counters.signature_failures += 1;
            return None;
        }
        Some(())
    }

    /// A member was heard.
    fn note(&mut self, now: Time, frame: &Admitted<'_>) {
        self.heard = Some(now);
        if frame.header.class == Class::Multicast {
            self.ledger.accepted(frame.key_id(), frame.sender);
        }
        // Any member can tag a frame in another's name: what is signed decides where it is.
        let proved = frame.header.frame_type.signed();
        self.roster.heard(frame.sender, now, frame.source, proved);
        if self.is_anchor() {
            self.confirm_newcomer(now, frame.sender);
            self.watch_returned(now, frame);
        }
    }
}

pub(crate) fn link_local(address: &[u8; 16]) -> bool {
    address.starts_with(&[0xfe, 0x80, 0, 0, 0, 0, 0, 0])
}
