//! Every outcome of the judgement: its number, its name and one sentence of help.

/// Declares [`Verdict`] so that number, name and help of an outcome stand on one line.
macro_rules! verdicts {
    ($($variant:ident = $number:literal, $name:literal, $help:literal;)*) => {
        /// What the filter decided about one frame. Numbers index the counter map, travel in events and
        /// are never reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Verdict {
            $(#[doc = $help] $variant = $number,)*
        }

        impl Verdict {
            /// All outcomes in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The one spelling used by counters, events, metrics, JSON and documents.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One sentence for a person who sees the name for the first time.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

verdicts! {
    Accepted = 0, "accepted", "A mesh frame that proved it comes from a current member, once.";
    Foreign = 1, "foreign", "Not mesh traffic: left to the network stack untouched.";
    ShortFrame = 2, "short-frame", "The frame ends before the header it announces, or its linear part does.";
    HopLimit = 3, "hop-limit", "The hop limit is not 255, so the frame may have crossed a router.";
    Source = 4, "source", "The source is not an address of fe80::/64.";
    Destination = 5, "destination", "The destination is neither ff02::1 nor an address of this interface.";
    Class = 6, "class", "The class bit says unicast and the destination multicast, or the other way round.";
    UdpLength = 7, "udp-length", "The UDP length and the IPv6 payload length disagree.";
    Magic = 8, "magic", "The payload does not begin with N0.";
    Version = 9, "version", "A wire version this node does not speak.";
    Type = 10, "type", "An unknown frame type, or one that never has this class.";
    Length = 11, "length", "Not a length this frame type can have.";
    Fragment = 12, "fragment", "A fragment that could be reassembled into a frame for the mesh port.";
    ExtensionHeader = 13, "extension-header", "Extension headers in front of the mesh port.";
    ChainTooLong = 14, "chain-too-long", "More than 8 extension headers or 256 bytes of them.";
    Vlan = 15, "vlan", "A VLAN tag in front of the mesh port.";
    UnknownKey = 16, "unknown-key", "A key id that no live slot holds: another epoch or another mesh.";
    PreTag = 17, "pre-tag", "The pre-tag is wrong: the sender does not hold the key, or moved the frame.";
    EarlyKey = 18, "early-key", "The key is not valid yet.";
    StaleEpoch = 19, "stale-epoch", "The key is no longer valid.";
    UnknownSender = 20, "unknown-sender", "The sender is not in the roster.";
    Sequence = 21, "sequence", "The sequence number is beyond 2^37.";
    Replay = 22, "replay", "The sequence number was seen before or lies behind the window.";
    Rate = 23, "rate", "The sender exceeded its rate.";
    Tag = 24, "tag", "The HMAC-SHA256 tag is wrong.";
    Contention = 25, "contention", "Four attempts to commit the sequence lost against other processors.";
    DoorClosed = 26, "door-closed", "An answer to a joiner, while this node is not joining.";
    DoorRepeat = 27, "door-repeat", "A frame at the door whose tag was seen seconds ago.";
    DoorSource = 28, "door-source", "One source knocked too often.";
    DoorRate = 29, "door-rate", "All who knock without a nonce of this node came too often.";
    Internal = 30, "internal", "A map of the filter could not be read.";
    DoorBound = 31, "door-bound", "Frames at the door that carry a nonce of this node came too often, all together.";
}

/// Entries of the counter map; more than there are verdicts so that the layout outlives new ones.
pub const COUNTERS: usize = 64;

impl Verdict {
    /// The outcome with this number, or `None` for a number never given out.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Whether a rate of the door refused the frame: others were there before it.
    pub const fn crowds_the_door(self) -> bool {
        matches!(self, Self::DoorSource | Self::DoorRate | Self::DoorBound)
    }

    /// Whether the frame goes on to the network stack.
    pub const fn passes(self) -> bool {
        matches!(self, Self::Accepted | Self::Foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_names_are_unique_kebab_case() {
        for (index, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, index);
            assert_eq!(Verdict::from_number(index as u8), Some(*verdict));
            let name = verdict.name();
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{name}"
            );
            assert!(
                Verdict::ALL.iter().filter(|v| v.name() == name).count() == 1,
                "{name}"
            );
        }
        assert!(Verdict::ALL.len() <= COUNTERS);
        assert_eq!(Verdict::from_number(Verdict::ALL.len() as u8), None);
    }
}
