//! PROTOCOL section 4 a second time, as plainly as it can be said: sets instead of windows, exact times instead
//! of words, crates instead of own hashes. Shares nothing with `nexus0-common` but the document.

mod link;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

use link::Datagram;
use table::Kind;

/// How a verdict is named in PROTOCOL.
pub(crate) type Name = &'static str;
/// `Ok` goes on to the next check.
type Check<T = ()> = Result<T, Name>;

/// A fault planted on purpose, for the comparison to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deviation {
    /// Thirty-one words in a window.
    NarrowWindow,
    /// The destination counts in the pre-tag of multicast and not in that of unicast.
    SwappedClass,
    /// A key is honoured at its end.
    LateEnd,
    /// A key is honoured one unit of time before its beginning.
    EarlyStart,
    /// One frame more in a burst.
    LongBurst,
    /// Thirty-one bytes of the tag are compared.
    ShortTag,
    /// A signed frame counts as seen before anybody verified it.
    HastySigned,
    /// The key that ends last makes room.
    WrongEviction,
    /// A member that returns begins with empty windows.
    LostWindows,
    /// Answers are heard by who is not joining.
    OpenDoor,
    /// What the strangers' rate refuses is not charged to its source.
    RefusedFree,
    /// All strangers share the half of those who are not bound.
    OneHalf,
    /// An entry of an ANSWER binds it although the signature stands there.
    LateEntry,
    /// Hop limit 254 passes.
    HopLimit,
}

impl Deviation {
    pub(crate) const ALL: [Self; 14] = [
        Self::NarrowWindow,
        Self::SwappedClass,
        Self::LateEnd,
        Self::EarlyStart,
        Self::LongBurst,
        Self::ShortTag,
        Self::HastySigned,
        Self::WrongEviction,
        Self::LostWindows,
        Self::OpenDoor,
        Self::RefusedFree,
        Self::OneHalf,
        Self::LateEntry,
        Self::HopLimit,
    ];
}

/// A key and when it is valid: from the first instant to before the last.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) mac: [u8; 32],
    pub(crate) pre_tag: [u8; 16],
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Time between two frames, and how far ahead of it they may run.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) interval: u64,
    pub(crate) burst: u64,
}

/// The sequences of a sender, key and kind that were seen, each behind the word it falls into.
type Seen = BTreeSet<(u64, u64)>;
type WindowOf = ([u8; 8], [u8; 4], Window);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Window {
    Multicast,
    Unicast,
    Signed,
}

/// When the next frame of a member is due, of the unsigned and of the signed ones.
#[derive(Clone, Copy, Default)]
struct Due {
    unsigned: u128,
    signed: u128,
}

/// What a receiver knows.
pub(crate) struct Oracle {
    pub(crate) deviation: Option<Deviation>,
    /// The least time there is here.
    pub(crate) unit: u64,
    pub(crate) addresses: Vec<[u8; 16]>,
    pub(crate) joining: bool,
    pub(crate) nonces: [[u8; 4]; 2],
    pub(crate) request: [u8; 8],
    pub(crate) member_rate: Rate,
    pub(crate) source_rate: Rate,
    pub(crate) stranger_rate: Rate,
    port: u16,
    cell_key: [u64; 2],
    kinds: BTreeMap<u8, Kind>,
    door_id: [u8; 4],
    keys: BTreeMap<[u8; 4], Key>,
    members: BTreeMap<[u8; 8], Due>,
    /// Senders that went, and what they are due.
    gone: BTreeMap<[u8; 8], Due>,
    windows: BTreeMap<WindowOf, Seen>,
    halves: [Half; 2],
}

/// What is remembered of those who are bound, and of those who are not.
#[derive(Default)]
struct Half {
    /// Places of tags, and in which span of 2^33 ns one was seen there last.
    tags: BTreeMap<(u64, u64), u64>,
    sources: BTreeMap<u64, u128>,
    all: u128,
}

/// A frame in its datagram, its fields read and none of them believed.
struct Frame<'a> {
    datagram: &'a Datagram<'a>,
    kind: Kind,
    unicast: bool,
    key_id: [u8; 4],
    sender: [u8; 8],
    sequence: u64,
    authenticated: &'a [u8],
    pre_tag: &'a [u8],
    tag: &'a [u8],
}

impl Oracle {
    pub(crate) fn new(
        port: u16,
        cell_key: [u64; 2],
        door_id: [u8; 4],
        door: Key,
        rate: Rate,
    ) -> Self {
        Self {
            deviation: None,
            unit: 1,
            addresses: Vec::new(),
            joining: false,
            nonces: [[0; 4]; 2],
            request: [0; 8],
            member_rate: rate,
            source_rate: rate,
            stranger_rate: rate,
            port,
            cell_key,
            kinds: table::kinds(),
            door_id,
            keys: BTreeMap::from([(door_id, door)]),
            members: BTreeMap::new(),
            gone: BTreeMap::new(),
            windows: BTreeMap::new(),
            halves: Default::default(),
        }
    }

    /// Takes a key up. Its windows start empty unless it is held already; of four the one that ends first goes.
    pub(crate) fn install_key(&mut self, id: [u8; 4], key: Key) {
        if !self.keys.contains_key(&id) {
            let epochs = || self.keys.iter().filter(|(id, _)| **id != self.door_id);
            if epochs().count() == 4 {
                let end = |(_, key): &(&[u8; 4], &Key)| key.to;
                let goes = match self.deviation {
                    Some(Deviation::WrongEviction) => epochs().max_by_key(end),
                    _ => epochs().min_by_key(end),
                };
                let goes = *goes.expect("four").0;
                self.remove_key(goes);
            }
        }
        self.keys.insert(id, key);
    }

    pub(crate) fn set_key_end(&mut self, id: [u8; 4], to: u64) {
        if let Some(key) = self.keys.get_mut(&id) {
            key.to = to;
        }
    }

    pub(crate) fn remove_key(&mut self, id: [u8; 4]) {
        self.keys.remove(&id);
        self.windows.retain(|(_, key, _), _| *key != id);
    }

    pub(crate) fn install_peer(&mut self, id: [u8; 8]) {
        let due = self.gone.remove(&id).unwrap_or_default();
        self.members.entry(id).or_insert(due);
    }

    pub(crate) fn remove_peer(&mut self, id: [u8; 8]) {
        if let Some(due) = self.members.remove(&id) {
            self.gone.insert(id, due);
        }
        if self.deviation == Some(Deviation::LostWindows) {
            self.windows.retain(|(sender, _, _), _| *sender != id);
        }
    }

    /// The signature of a signed frame was right: it is seen, and charged.
    pub(crate) fn commit_signed(&mut self, sender: [u8; 8], key: [u8; 4], sequence: u64, now: u64) {
        let (Some(due), true) = (self.members.get_mut(&sender), self.keys.contains_key(&key))
        else {
            return;
        };
        let _ = charge(&mut due.signed, now, self.member_rate);
        let window = self.windows.entry((sender, key, Window::Signed));
        window.or_default().insert(place(sequence));
    }

    /// The verdict on one Ethernet frame.
    pub(crate) fn judge(&mut self, now: u64, bytes: &[u8]) -> Name {
        self.checks(now, bytes).err().unwrap_or("accepted")
    }

    fn checks(&mut self, now: u64, bytes: &[u8]) -> Check {
        let datagram = link::datagram(bytes, self.port)?;
        let frame = self.shape(&datagram)?;
        let key = self.keys.get(&frame.key_id).cloned();
        let key = key.filter(|_| frame.kind.door == (frame.key_id == self.door_id));
        let key = key.ok_or("unknown-key")?;
        if frame.pre_tag != self.pre_tag(&key, &frame) {
            return Err("pre-tag");
        }
        self.validity(&key, now)?;
        if frame.kind.door {
            self.stranger(now, &key, &frame)
        } else {
            self.member(now, &key, &frame)
        }
    }

    fn shape<'a>(&self, datagram: &'a Datagram<'a>) -> Check<Frame<'a>> {
        let lowest = if self.deviation == Some(Deviation::HopLimit) {
            254
        } else {
            255
        };
        if datagram.hop_limit < lowest {
            return Err("hop-limit");
        }
        if datagram.source[..8] != [0xfe, 0x80, 0, 0, 0, 0, 0, 0] {
            return Err("source");
        }
        let group = *datagram.destination == [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        if !group && !self.addresses.iter().any(|own| own == datagram.destination) {
            return Err("destination");
        }
        let payload = datagram.payload;
        let (number, unicast) = (payload[3] & 0x7f, payload[3] & 0x80 != 0);
        if unicast == group {
            return Err("class");
        }
        if datagram.udp_length != datagram.ipv6_length {
            return Err("udp-length");
        }
        if &payload[..2] != b"N0" {
            return Err("magic");
        }
        if !(1..=2).contains(&payload[2]) {
            return Err("version");
        }
        let kind = self.kinds.get(&number).copied();
        let kind = kind.filter(|kind| {
            if unicast {
                kind.unicast
            } else {
                kind.multicast
            }
        });
        let kind = kind.ok_or("type")?;
        let length = usize::from(datagram.udp_length).checked_sub(8 + 40);
        let length = length.filter(|length| match kind.length {
            Some(only) => *length == only,
            None => (1..=18).any(|k| *length == 64 * k - 9),
        });
        let length = length.ok_or("length")?;
        if payload.len() < length + 40 {
            return Err("short-frame");
        }
        Ok(Frame {
            datagram,
            kind,
            unicast,
            key_id: payload[4..8].try_into().expect("four"),
            sender: payload[8..16].try_into().expect("eight"),
            sequence: u64::from_be_bytes(payload[16..24].try_into().expect("eight")),
            authenticated: &payload[..length],
            pre_tag: &payload[length..length + 8],
            tag: &payload[length + 8..length + 40],
        })
    }

    fn pre_tag(&self, key: &Key, frame: &Frame<'_>) -> [u8; 8] {
        let mut counts = frame.unicast;
        if self.deviation == Some(Deviation::SwappedClass) {
            counts = !counts;
        }
        let mut message = frame.datagram.source[8..].to_vec();
        message.extend(frame.sender);
        let folded = |at: usize| (0..4).fold(0, |folded, word| folded ^ frame.tag[8 * word + at]);
        message.extend((0..8).map(folded));
        if counts {
            message.extend(&frame.datagram.destination[8..]);
        }
        message.extend(&frame.sequence.to_be_bytes()[1..]);
        let mut sip = SipHasher13::new_with_key(&key.pre_tag);
        sip.write(&message);
        sip.finish().to_le_bytes()
    }

    fn validity(&self, key: &Key, now: u64) -> Check {
        let early = u64::from(self.deviation == Some(Deviation::EarlyStart)) * self.unit;
        let late = u64::from(self.deviation == Some(Deviation::LateEnd)) * self.unit;
        if now.saturating_add(early) < key.from {
            return Err("early-key");
        }
        if now >= key.to.saturating_add(late) {
            return Err("stale-epoch");
        }
        Ok(())
    }

    fn tag(&self, key: &Key, frame: &Frame<'_>) -> Check {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.mac).expect("any length");
        mac.update(frame.authenticated);
        let right = mac.finalize().into_bytes();
        let compared = if self.deviation == Some(Deviation::ShortTag) {
            31
        } else {
            32
        };
        if right[..compared] == frame.tag[..compared] {
            Ok(())
        } else {
            Err("tag")
        }
    }

    fn member(&mut self, now: u64, key: &Key, frame: &Frame<'_>) -> Check {
        let mut due = *self.members.get(&frame.sender).ok_or("unknown-sender")?;
        if frame.sequence >= 1 << 37 {
            return Err("sequence");
        }
        let window = match (frame.kind.signed, frame.unicast) {
            (true, _) => Window::Signed,
            (false, true) => Window::Unicast,
            (false, false) => Window::Multicast,
        };
        let window = (frame.sender, frame.key_id, window);
        if let Some(seen) = self.windows.get(&window) {
            self.unseen(seen, frame.sequence)?;
        }
        let slot = if frame.kind.signed {
            &mut due.signed
        } else {
            &mut due.unsigned
        };
        charge(slot, now, self.longer(self.member_rate)).map_err(|()| "rate")?;
        self.tag(key, frame)?;
        if !frame.kind.signed || self.deviation == Some(Deviation::HastySigned) {
            self.windows
                .entry(window)
                .or_default()
                .insert(place(frame.sequence));
            self.members.insert(frame.sender, due);
        }
        Ok(())
    }

    fn unseen(&self, seen: &Seen, sequence: u64) -> Check {
        let (word, _) = place(sequence);
        let next_block = (sequence / 32 + 1) * 32;
        let mut later = seen.range((word, next_block)..(word + 1, 0));
        let mut too_old = later.next().is_some();
        if self.deviation == Some(Deviation::NarrowWindow) {
            too_old |= seen
                .iter()
                .any(|(_, other)| other / 32 >= sequence / 32 + 31);
        }
        if too_old || seen.contains(&place(sequence)) {
            return Err("replay");
        }
        Ok(())
    }

    fn stranger(&mut self, now: u64, key: &Key, frame: &Frame<'_>) -> Check {
        let open = self.joining || self.deviation == Some(Deviation::OpenDoor);
        if matches!(frame.kind.name, "ANSWER" | "HOLD") && !open {
            return Err("door-closed");
        }
        let bound = self.bound(frame);
        let tag_hash = self.hash(&frame.tag[..8]);
        let tag_place = (tag_hash % 4096, tag_hash / 4096 % 32);
        let span = now >> 33;
        if self.halves[usize::from(bound)].tags.get(&tag_place) == Some(&span) {
            return Err("door-repeat");
        }
        self.tag(key, frame)?;
        let source_cell = self.hash(&frame.datagram.source[8..]) % 4096;
        let half = &mut self.halves[usize::from(bound)];
        half.tags.insert(tag_place, span);
        let source = half.sources.entry(source_cell).or_default();
        let held = *source;
        if frame.kind.name != "BEACON" {
            charge(source, now, self.source_rate).map_err(|()| "door-source")?;
        }
        let refusal = if bound { "door-bound" } else { "door-rate" };
        charge(&mut half.all, now, self.stranger_rate).map_err(|()| {
            if self.deviation == Some(Deviation::RefusedFree) {
                *source = held;
            }
            refusal
        })
    }

    /// Whether a frame at the door carries what this receiver drew itself.
    fn bound(&self, frame: &Frame<'_>) -> bool {
        let body = &frame.authenticated[24..];
        let ours = |bytes: &[u8]| self.request != [0; 8] && bytes[..8] == self.request;
        let bound = match frame.kind.name {
            "REQ_EPOCH" | "DOOR-REPLY" => {
                body[..4] != [0; 4] && self.nonces.iter().any(|nonce| body[..4] == *nonce)
            }
            "HOLD" => ours(body),
            "ANSWER" => {
                let signature = if self.deviation == Some(Deviation::LateEntry) {
                    0
                } else {
                    64
                };
                let mut entries = (0..7).map(|entry| 212 + 112 * entry);
                entries.any(|at| at + 112 + signature <= body.len() && ours(&body[at..]))
            }
            _ => false,
        };
        bound && self.deviation != Some(Deviation::OneHalf)
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        let mut sip = SipHasher13::new_with_keys(self.cell_key[0], self.cell_key[1]);
        sip.write(bytes);
        sip.finish()
    }

    fn longer(&self, rate: Rate) -> Rate {
        let more = u64::from(self.deviation == Some(Deviation::LongBurst)) * rate.interval;
        Rate {
            burst: rate.burst + more,
            ..rate
        }
    }
}

/// A sequence behind the word its block stands in.
fn place(sequence: u64) -> (u64, u64) {
    ((sequence / 32) % 32, sequence)
}

/// The generic cell rate algorithm with times that never wrap.
fn charge(due: &mut u128, now: u64, rate: Rate) -> Result<(), ()> {
    let now = u128::from(now);
    if *due > now + u128::from(rate.burst) {
        return Err(());
    }
    *due = now.max(*due) + u128::from(rate.interval);
    Ok(())
}
