//! A mesh on one machine: real nodes in namespaces on one bridge, an attacker beside them, and an
//! account of every frame.

pub mod account;
pub mod at_once;
pub mod counts;
pub mod cut;
pub mod demands;
pub mod door;
pub mod failover;
pub mod flooder;
pub mod gauges;
pub mod interface;
pub mod ledger;
pub mod load;
pub mod mesh;
pub mod netns;
pub mod node;
pub mod options;
pub mod pair;
pub mod process;
pub mod record;
pub mod report;
pub mod restart;
pub mod running;
pub mod screen;
pub mod sieve;
pub mod story;
pub mod summary;
pub mod supervisor;
pub mod tally;
pub mod topology;
