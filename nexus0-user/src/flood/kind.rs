//! The kinds of frames the flood makes, and what a filter says to each.

use std::str::FromStr;

use nexus0_common::reason::Verdict;

use crate::flood::Cast;

/// Declares [`Kind`] so that name, cast, verdicts and meaning of a kind stand together.
macro_rules! kinds {
    ($($variant:ident $name:literal $cast:ident [$($verdict:ident),+] $help:literal;)*) => {
        /// One kind of forged frame.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = $help] $variant,)*
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The spelling on the command line and in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How its frames travel.
            pub const fn cast(self) -> Cast {
                match self { $(Self::$variant => Cast::$cast,)* }
            }

            /// What a member's filter says to its frames.
            pub const fn verdicts(self) -> &'static [Verdict] {
                match self { $(Self::$variant => &[$(Verdict::$verdict),+],)* }
            }

            /// One sentence.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

kinds! {
    Short "short" Multicast [ShortFrame] "Ends inside the mesh header.";
    HopLimit "hop-limit" Multicast [HopLimit] "Has a hop limit below 255.";
    Source "source" Multicast [Source] "Comes from an address that is not link-local.";
    Destination "destination" Multicast [Destination] "Goes to another group.";
    Class "class" Multicast [Class] "Says unicast and goes to the group.";
    UdpLength "udp-length" Multicast [UdpLength] "Its UDP length is not that of the packet.";
    Magic "magic" Multicast [Magic] "Does not begin with N0.";
    Version "version" Multicast [Version] "Has another wire version.";
    Type "type" Multicast [Type] "Has an unknown type, or one that is never multicast.";
    Length "length" Multicast [Length] "Has a length its type cannot have.";
    Fragment "fragment" Multicast [Fragment] "A first fragment for the mesh port.";
    ExtensionHeader "extension-header" Multicast [ExtensionHeader] "A destination-options header before UDP.";
    ChainTooLong "chain-too-long" Multicast [ChainTooLong] "Nine extension headers before UDP.";
    Vlan "vlan" Multicast [Vlan] "Carries a VLAN tag.";
    UnknownKey "unknown-key" Multicast [UnknownKey] "Well formed, with a key id drawn at random.";
    PreTag "pre-tag" Multicast [PreTag] "The current key id, a known sender, a fresh sequence, a wrong pre-tag.";
    Replay "replay" Multicast [Replay, UnknownSender, StaleEpoch, UnknownKey] "A captured frame, unchanged.";
    ReplayBody "replay-body" Multicast [Replay, Tag, UnknownSender, StaleEpoch, UnknownKey] "A captured frame with another body.";
    ReplaySequence "replay-sequence" Multicast [PreTag] "A captured frame with a fresh sequence.";
    StaleEpoch "stale-epoch" Multicast [StaleEpoch, UnknownKey] "A captured frame of an epoch that is over.";
    DoorRepeat "door-repeat" Multicast [DoorRepeat, DoorSource, DoorRate, Accepted] "A captured request to join, unchanged; the joiner's own filter has not seen it yet.";
    DoorClosed "door-closed" Multicast [DoorClosed] "A captured answer to somebody else's request.";
    DoorPreTag "door-pre-tag" Multicast [PreTag] "A request to join by one who does not know the mesh.";
    DoorUnknown "door-unknown" Multicast [UnknownKey] "A request to join another mesh.";
    SelfGranted "self-granted" Multicast [Accepted, DoorRepeat, DoorSource, DoorRate] "A request to join by one who knows the mesh's name and granted itself.";
    PreTagUnicast "pre-tag-unicast" Unicast [PreTag] "A wrong pre-tag under the current key id, to one node.";
    ReplayClass "replay-class" Unicast [Class] "A captured multicast frame, sent to one node.";
    ReplayFlipped "replay-flipped" Unicast [PreTag, Type] "A captured multicast frame to one node, its class bit flipped.";
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| {
                let names: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
                format!("there is no kind \"{text}\"; allowed: {}", names.join(", "))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_unknown_ones_list_the_allowed() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(*kind));
        }
        assert!(
            "nonsense"
                .parse::<Kind>()
                .unwrap_err()
                .contains("hop-limit")
        );
    }
}
