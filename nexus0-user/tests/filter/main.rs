//! The program in the kernel against the same judgement on the host, by BPF_PROG_TEST_RUN. Needs root.

mod capabilities;
mod differential;
mod door;
mod figures;
mod judges;
mod mutate;
mod oracle;
mod processors;
mod publish;
mod redirect;
mod story;
mod table;
mod verdicts;
mod world;
