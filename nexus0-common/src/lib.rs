//! What the filter in the kernel and the node in user space must agree on.
#![no_std]
